/* What every namespace has: the ServiceAccount "default", and the ConfigMap kube-root-ca.crt with
 * which pods check the API server. Two controllers of one shape: each keeps one object in each
 * namespace that is not being deleted, and puts it right when someone changes or removes it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/pass.h"
#include "controllers/table_int.h"

enum { PARALLEL = 5 };

struct fixture {
    struct worker *worker;
    struct informer *namespaces, *informer;
    const struct api_resource *resource;
    const char *name;
    struct val *(*make)(struct fixture *fixture, struct arena *arena);
    /* Changes the object to what it should be; whether it had to. NULL: any content will do. */
    bool (*mend)(struct fixture *fixture, struct arena *arena, struct val *object);
};

static void on_created(struct pass *pass, void *arg, const struct client_result *result)
{
    if (result->code != 0 && result->code != ERR_EXISTS && result->code != ERR_FORBIDDEN &&
        result->code != ERR_NOT_FOUND) { /* the namespace may be going or gone */
        pass_fail(pass);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct fixture *fixture = ctx;
    struct object *namespace = informer_get(fixture->namespaces, STR_NONE, pass->name);
    if (namespace == NULL || namespace->deleting) {
        return;
    }
    struct object *object = informer_get(fixture->informer, pass->name, str_of(fixture->name));
    if (object == NULL) {
        struct val *made = fixture->make(fixture, pass->arena);
        struct val *meta = val_make_object(pass->arena, made, STR("metadata"));
        val_set_text(pass->arena, meta, STR("name"), str_of(fixture->name));
        val_set_text(pass->arena, meta, STR("namespace"), pass->name);
        pass_create(pass, fixture->resource, pass->name, made, on_created, NULL);
        return;
    }
    if (fixture->mend == NULL || object->deleting) {
        return;
    }
    struct val *value = object_decode(pass_hold(pass, object), pass->arena);
    if (fixture->mend(fixture, pass->arena, value)) {
        pass_update(pass, fixture->resource, "", value, NULL, NULL);
    }
}

static void on_namespace(void *ctx, struct object *old, struct object *now)
{
    struct fixture *fixture = ctx;
    if (now != NULL) {
        worker_add(fixture->worker, now);
    }
}

static void on_object(void *ctx, struct object *old, struct object *now)
{
    struct fixture *fixture = ctx;
    struct object *object = now != NULL ? now : old;
    if (str_is(object->name, fixture->name)) {
        worker_add_name(fixture->worker, STR_NONE, object->ns);
    }
}

static struct fixture *fixture_new(struct controller_env *env, const char *controller,
                                   const char *plural, const char *name)
{
    struct fixture *fixture = mem_new(struct fixture);
    fixture->name = name;
    fixture->resource = controller_resource("", "v1", plural);
    fixture->worker = worker_new(env, controller, PARALLEL, reconcile, fixture);
    fixture->namespaces =
        informers_get(env->informers, controller_resource("", "v1", "namespaces"));
    fixture->informer = informers_get(env->informers, fixture->resource);
    informer_handle(fixture->namespaces, (struct informer_handler){on_namespace, fixture});
    informer_handle(fixture->informer, (struct informer_handler){on_object, fixture});
    return fixture;
}

static void stop(void *state)
{
    struct fixture *fixture = state;
    informer_unhandle(fixture->namespaces, fixture);
    informer_unhandle(fixture->informer, fixture);
    worker_free(fixture->worker);
    free(fixture);
}

/* ---- ServiceAccount ---- */

static struct val *make_account(struct fixture *fixture, struct arena *arena)
{
    return val_new(arena, VAL_OBJECT);
}

static void *start_accounts(struct controller_env *env)
{
    struct fixture *fixture =
        fixture_new(env, "service-account-controller", "serviceaccounts", "default");
    fixture->make = make_account;
    return fixture;
}

/* ---- root CA ---- */

static bool mend_ca(struct fixture *fixture, struct arena *arena, struct val *object)
{
    struct str ca = fixture->worker->env.options->ca_pem;
    struct val *data = val_get(object, "data");
    if (val_count(data) == 1 && str_eq(val_text(val_get(data, "ca.crt")), ca)) {
        return false;
    }
    val_set(object, STR("data"), val_new(arena, VAL_OBJECT));
    val_set_text(arena, val_get(object, "data"), STR("ca.crt"), ca);
    return true;
}

static struct val *make_ca(struct fixture *fixture, struct arena *arena)
{
    struct val *map = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, map, STR("metadata"));
    val_set_text(arena, val_make_object(arena, meta, STR("annotations")),
                 STR("kubernetes.io/description"),
                 STR("The CA that signs the API server's certificate on its cluster-internal "
                     "names and addresses."));
    mend_ca(fixture, arena, map);
    return map;
}

static void *start_ca(struct controller_env *env)
{
    struct fixture *fixture =
        fixture_new(env, "root-ca-cert-publisher", "configmaps", "kube-root-ca.crt");
    fixture->make = make_ca;
    fixture->mend = mend_ca;
    return fixture;
}

const struct controller controller_service_account = {
    .name = "service-account-controller", .start = start_accounts, .stop = stop};
const struct controller controller_root_ca = {
    .name = "root-ca-cert-publisher", .start = start_ca, .stop = stop};
