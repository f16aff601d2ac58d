/* service_account.c: ServiceAccount: every pod runs as an account of its namespace, and finds a
 * token for it, the cluster's root certificate and the namespace's name in a projected volume. */
#include "server/admission/admission.h"
#include "server/server_int.h"

enum { RETRY_MS = 50 };
static const char mount_path[] = "/var/run/secrets/kubernetes.io/serviceaccount";

static const char volume_json[] =
    "{\"name\":\"\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"expirationSeconds\":"
    "3607,\"path\":\"token\"}},{\"configMap\":{\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]"
    ","
    "\"name\":\"kube-root-ca.crt\"}},{\"downwardAPI\":{\"items\":[{\"fieldRef\":{\"apiVersion\":"
    "\"v1\",\"fieldPath\":\"metadata.namespace\"},\"path\":\"namespace\"}]}}],\"defaultMode\":420}"
    "}";

static bool is_mirror(const struct val *pod)
{
    return val_get(val_path(pod, "metadata.annotations"), "kubernetes.io/config.mirror") != NULL;
}

static bool mounts_there(const struct val *container)
{
    VAL_EACH (mount, val_get(container, "volumeMounts")) {
        if (str_is(val_text(val_get(mount, "mountPath")), mount_path)) {
            return true;
        }
    }
    return false;
}

static void mount_into(struct arena *arena, struct val *containers, struct str volume,
                       bool *ret_any)
{
    VAL_EACH (container, containers) {
        if (mounts_there(container)) {
            continue;
        }
        struct val *mount = val_append(val_make_array(arena, container, STR("volumeMounts")),
                                       val_new(arena, VAL_OBJECT));
        val_set_text(arena, mount, STR("name"), volume);
        val_set_bool(arena, mount, STR("readOnly"), true);
        val_set_text(arena, mount, STR("mountPath"), str_of(mount_path));
        *ret_any = true;
    }
}

static void add_token_volume(struct admission *a, struct val *spec)
{
    char suffix[6];
    bool any = false;
    random_suffix(loop_random(a->request->loop), 5, suffix);
    struct str name = str_of(arena_printf(a->arena, "kube-api-access-%s", suffix));
    mount_into(a->arena, val_get(spec, "initContainers"), name, &any);
    mount_into(a->arena, val_get(spec, "containers"), name, &any);
    if (!any) {
        return;
    }
    struct val *volume = NULL;
    if (val_parse_json(a->arena, str_of(volume_json), &volume, NULL) == 0) {
        val_set_text(a->arena, volume, STR("name"), name);
        val_append(val_make_array(a->arena, spec, STR("volumes")), volume);
    }
}

static int no_account(struct admission *a, struct str name, struct failure *failure)
{
    if (str_is(name, "default")) {
        /* A new namespace gets its default account a moment later. */
        a->request->retry_ns = RETRY_MS * NS_PER_MS;
    }
    return failure_forbidden(failure, a->arena, a->resource, a->name,
                             "error looking up service account %.*s/%.*s: serviceaccount "
                             "\"%.*s\" not found",
                             STR_ARG(a->ns), STR_ARG(name), STR_ARG(name));
}

static void apply_account(struct admission *a, struct val *spec, const struct val *account)
{
    bool automount = val_bool(val_get(account, "automountServiceAccountToken"), true);
    if (val_bool(val_get(spec, "automountServiceAccountToken"), automount)) {
        add_token_volume(a, spec);
    }
    const struct val *secrets = val_get(account, "imagePullSecrets");
    if (val_count(val_get(spec, "imagePullSecrets")) == 0 && val_count(secrets) > 0) {
        val_set(spec, STR("imagePullSecrets"), val_copy(a->arena, secrets));
    }
}

static int mutate(struct admission *a, struct failure *failure)
{
    struct server *server = a->request->server;
    if (a->operation != VERB_CREATE || !admission_is(a, server->known.pods) ||
        server->known.accounts == NULL || is_mirror(a->object)) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    struct str name = val_text(val_get(spec, "serviceAccountName"));
    if (name.n == 0) {
        name = val_text(val_get(spec, "serviceAccount"));
    }
    if (name.n == 0) {
        name = STR("default");
    }
    val_set_text(a->arena, spec, STR("serviceAccountName"), name);
    val_set_text(a->arena, spec, STR("serviceAccount"), name);
    struct object *object = cache_get(server->cache, server->known.accounts, a->ns, name);
    if (object == NULL) {
        return no_account(a, name, failure);
    }
    /* Copied: what stays in the pod must not point into the account's bytes. */
    struct val *account = val_copy(a->arena, object_decode(object, a->arena));
    object_unref(object);
    apply_account(a, spec, account);
    return 0;
}

static int validate(struct admission *a, struct failure *failure)
{
    if (a->operation != VERB_CREATE || !admission_is(a, a->request->server->known.pods) ||
        !is_mirror(a->object)) {
        return 0;
    }
    if (val_text(val_path(a->object, "spec.serviceAccountName")).n > 0) {
        return failure_forbidden(failure, a->arena, a->resource, a->name,
                                 "a mirror pod may not reference service accounts");
    }
    return 0;
}

const struct admission_step admission_service_account = {"ServiceAccount", mutate, NULL, validate};
