/* trust_bundle.c: the ClusterTrustBundle of the signer kubernetes.io/kube-apiserver-serving: the
 * certificate with which pods check the API server. Its name ends in a digest of what it holds, so
 * a new authority is a new object; others of the signer are removed.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/pass.h"
#include "controllers/table_int.h"
#include "pki/digest.h"

#define SIGNER "kubernetes.io/kube-apiserver-serving"
static const char name_prefix[] = "kubernetes.io:kube-apiserver-serving:";
enum { DIGEST_SHOWN = 24 }; /* hex digits */

struct publisher {
    struct worker *worker;
    const struct api_resource *resource;
    struct informer *bundles;
    char name[sizeof name_prefix + DIGEST_SHOWN];
};

static struct val *make_bundle(struct publisher *publisher, struct arena *arena)
{
    struct val *bundle = val_new(arena, VAL_OBJECT);
    struct val *spec = val_make_object(arena, bundle, STR("spec"));
    val_set_text(arena, val_make_object(arena, bundle, STR("metadata")), STR("name"),
                 str_of(publisher->name));
    val_set_text(arena, spec, STR("signerName"), STR(SIGNER));
    val_set_text(arena, spec, STR("trustBundle"), publisher->worker->env.options->ca_pem);
    return bundle;
}

struct sweep {
    struct publisher *publisher;
    struct pass *pass;
};

static bool remove_other(void *ctx, struct object *object)
{
    struct sweep *sweep = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str signer = val_text(val_path(object_decode(object, &arena), "spec.signerName"));
    if (str_is(signer, SIGNER) && !str_is(object->name, sweep->publisher->name) &&
        !object->deleting) {
        pass_delete(sweep->pass, object, NULL, -1, NULL, NULL);
    }
    return true;
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct publisher *publisher = ctx;
    struct str ca = pass->worker->env.options->ca_pem;
    struct object *object = informer_get(publisher->bundles, STR_NONE, str_of(publisher->name));
    if (ca.n == 0) {
        return;
    }
    if (object == NULL) {
        pass_create(pass, publisher->resource, STR_NONE, make_bundle(publisher, pass->arena), NULL,
                    NULL);
    } else if (!object->deleting) {
        struct val *bundle = object_decode(pass_hold(pass, object), pass->arena);
        if (!str_eq(val_text(val_path(bundle, "spec.trustBundle")), ca)) {
            val_set_text(pass->arena, val_make_object(pass->arena, bundle, STR("spec")),
                         STR("trustBundle"), ca);
            pass_update(pass, publisher->resource, "", bundle, NULL, NULL);
        }
    }
    struct sweep sweep = {publisher, pass};
    informer_each(publisher->bundles, STR_NONE, NULL, remove_other, &sweep);
}

static void on_bundle(void *ctx, struct object *old, struct object *now)
{
    struct publisher *publisher = ctx;
    worker_add_name(publisher->worker, STR_NONE, str_of(publisher->name));
}

static void *start(struct controller_env *env)
{
    struct publisher *publisher = mem_new(struct publisher);
    char digest[DIGEST_HEX_SIZE];
    digest_sha256_hex(env->options->ca_pem, digest);
    memcpy(publisher->name, name_prefix, sizeof name_prefix - 1);
    memcpy(publisher->name + sizeof name_prefix - 1, digest, DIGEST_SHOWN);
    publisher->resource = controller_resource("certificates.k8s.io", "v1", "clustertrustbundles");
    publisher->worker = worker_new(env, "kube-apiserver-serving-clustertrustbundle-publisher", 1,
                                   reconcile, publisher);
    publisher->bundles = informers_get(env->informers, publisher->resource);
    informer_handle(publisher->bundles, (struct informer_handler){on_bundle, publisher});
    if (env->options->ca_pem.n > 0) {
        worker_add_name(publisher->worker, STR_NONE, str_of(publisher->name));
    }
    return publisher;
}

static void stop(void *state)
{
    struct publisher *publisher = state;
    informer_unhandle(publisher->bundles, publisher);
    worker_free(publisher->worker);
    free(publisher);
}

const struct controller controller_trust_bundle = {
    .name = "kube-apiserver-serving-clustertrustbundle-publisher", .start = start, .stop = stop};
