/* node.c: fixed rules for nodes, as upstream's node authorizer: a table of what any node may do,
 * objects that only matter to a node through its pods (Secrets and the like), and its own Lease.
 * NodeRestriction (admission/node.c) narrows writes further.
 */
#include "server/authz/node.h"

#include "server/server_int.h"

struct node_rule {
    const char *group, *resources, *verbs; /* words between spaces */
};

static const struct node_rule anywhere[] = {
    {"", "services nodes endpoints namespaces", "get list watch"},
    {"", "nodes", "create update patch"},
    {"", "nodes/status", "update patch"},
    {"", "events", "create update patch"},
    {"events.k8s.io", "events", "create update patch"},
    {"", "pods", "get create delete"},
    {"", "pods/status", "update patch"},
    {"", "pods/eviction", "create"},
    {"discovery.k8s.io", "endpointslices", "get list watch"},
    {"node.k8s.io", "runtimeclasses", "get list watch"},
    {"storage.k8s.io", "csidrivers", "get list watch"},
    {"storage.k8s.io", "csinodes", "get create update patch delete"},
    {"networking.k8s.io", "networkpolicies", "get list watch"},
    {"authentication.k8s.io", "tokenreviews", "create"},
    {"authorization.k8s.io", "subjectaccessreviews localsubjectaccessreviews", "create"},
    {"certificates.k8s.io", "certificatesigningrequests", "create get list watch"},
};

static bool has_word(const char *words, struct str word)
{
    struct str rest = str_of(words);
    while (rest.p != NULL) {
        if (str_eq(str_cut(rest, ' ', &rest), word)) {
            return true;
        }
    }
    return false;
}

static bool table_allows(const struct attributes *a)
{
    char text[128];
    if (a->resource.n + a->subresource.n + 2 > sizeof text) {
        return false;
    }
    struct buf buf = {.p = text, .n = 0, .cap = sizeof text};
    buf_str(&buf, a->resource);
    if (a->subresource.n > 0) {
        buf_char(&buf, '/');
        buf_str(&buf, a->subresource);
    }
    for (size_t i = 0; i < sizeof anywhere / sizeof *anywhere; i++) {
        if (str_is(a->group, anywhere[i].group) &&
            has_word(anywhere[i].resources, buf_view(&buf)) &&
            has_word(anywhere[i].verbs, a->verb)) {
            return true;
        }
    }
    return false;
}

/* ---- what the pods of a node refer to ---- */

static bool is_named(const struct val *v, const char *key, struct str name)
{
    return v != NULL && str_eq(val_text(val_get_n(v, key, strlen(key))), name);
}

static bool volumes_refer(const struct val *spec, bool secret, struct str name)
{
    VAL_EACH (volume, val_get(spec, "volumes")) {
        if (secret ? is_named(val_get(volume, "secret"), "secretName", name)
                   : is_named(val_get(volume, "configMap"), "name", name)) {
            return true;
        }
        VAL_EACH (source, val_path(volume, "projected.sources")) {
            if (is_named(secret ? val_get(source, "secret") : val_get(source, "configMap"), "name",
                         name)) {
                return true;
            }
        }
        if (secret && is_named(val_path(volume, "csi.nodePublishSecretRef"), "name", name)) {
            return true;
        }
    }
    return false;
}

static bool container_refers(const struct val *container, bool secret, struct str name)
{
    VAL_EACH (env, val_get(container, "env")) {
        if (is_named(secret ? val_path(env, "valueFrom.secretKeyRef")
                            : val_path(env, "valueFrom.configMapKeyRef"),
                     "name", name)) {
            return true;
        }
    }
    VAL_EACH (env, val_get(container, "envFrom")) {
        if (is_named(secret ? val_get(env, "secretRef") : val_get(env, "configMapRef"), "name",
                     name)) {
            return true;
        }
    }
    return false;
}

static bool containers_refer(const struct val *spec, bool secret, struct str name)
{
    static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        VAL_EACH (container, val_get_n(spec, lists[i], strlen(lists[i]))) {
            if (container_refers(container, secret, name)) {
                return true;
            }
        }
    }
    return false;
}

/* The claim of an ephemeral volume is named POD-VOLUME. */
static bool is_ephemeral_claim(const struct val *pod, const struct val *volume, struct str name)
{
    struct str own = val_name(pod), part = val_text(val_get(volume, "name"));
    return !val_absent(val_get(volume, "ephemeral")) && name.n == own.n + 1 + part.n &&
           str_starts(name, own) && name.p[own.n] == '-' && str_ends(name, part);
}

static bool pod_refers(const struct val *pod, struct str resource, struct str name)
{
    const struct val *spec = val_get(pod, "spec");
    if (str_is(resource, "serviceaccounts")) {
        return is_named(spec, "serviceAccountName", name);
    }
    if (str_is(resource, "persistentvolumeclaims")) {
        VAL_EACH (volume, val_get(spec, "volumes")) {
            if (is_named(val_get(volume, "persistentVolumeClaim"), "claimName", name) ||
                is_ephemeral_claim(pod, volume, name)) {
                return true;
            }
        }
        return false;
    }
    bool secret = str_is(resource, "secrets");
    if (secret && val_find(val_get(spec, "imagePullSecrets"), "name", name) != NULL) {
        return true;
    }
    return volumes_refer(spec, secret, name) || containers_refer(spec, secret, name);
}

bool node_refers(struct server *server, struct str node, struct str ns, struct str resource,
                 struct str name)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    bool found = false;
    if (server->known.pods == NULL || ns.n == 0 || name.n == 0) {
        return false;
    }
    struct snapshot *snapshot = snapshot_take(server->cache, server->known.pods);
    struct snapshot_iter iter;
    snapshot_iter_init(&iter, snapshot, ns, NULL, NULL, STR_NONE, STR_NONE);
    const struct object *pod;
    while (!found && (pod = snapshot_next(&iter)) != NULL) {
        arena_reset(&arena);
        const struct val *value = object_decode(pod, &arena);
        found = str_eq(val_text(val_path(value, "spec.nodeName")), node) &&
                pod_refers(value, resource, name);
    }
    snapshot_release(snapshot);
    return found;
}

static bool own_lease(const struct attributes *a)
{
    return str_is(a->group, "coordination.k8s.io") && str_is(a->resource, "leases") &&
           str_is(a->ns, "kube-node-lease") &&
           has_word("get create update patch delete", a->verb) &&
           (str_eq(a->name, a->identity->node) || (a->name.n == 0 && str_is(a->verb, "create")));
}

static bool is_reference(const struct attributes *a)
{
    if (a->group.n > 0) {
        return false;
    }
    if (str_is(a->resource, "serviceaccounts") && str_is(a->subresource, "token")) {
        return str_is(a->verb, "create");
    }
    return a->subresource.n == 0 && has_word("get list watch", a->verb) &&
           has_word("secrets configmaps serviceaccounts persistentvolumeclaims", a->resource);
}

/* A volume matters to the nodes whose pods use its claim; one that is not there to all: an agent
 * asks whether a folder's volume is gone. */
static bool is_volume_of_node(struct server *server, const struct attributes *a)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (a->group.n > 0 || a->subresource.n > 0 || a->name.n == 0 ||
        !str_is(a->resource, "persistentvolumes") || !has_word("get list watch", a->verb)) {
        return false;
    }
    struct object *volume = cache_get(server->cache, server->known.volumes, STR_NONE, a->name);
    if (volume == NULL) {
        return true;
    }
    const struct val *ref = val_path(object_decode(volume, &arena), "spec.claimRef");
    bool found = node_refers(server, a->identity->node, val_text(val_get(ref, "namespace")),
                             STR("persistentvolumeclaims"), val_text(val_get(ref, "name")));
    object_unref(volume);
    return found;
}

bool node_authorizer_allows(struct server *server, const struct attributes *a,
                            struct arena *reason_arena, struct str *ret_reason)
{
    if (a->resource.n == 0) {
        return (str_is(a->path, "/cox/v1/reverse") && str_is(a->verb, "get")) ||
               (str_is(a->path, "/cox/v1/renew") && str_is(a->verb, "post"));
    }
    if (table_allows(a) || own_lease(a) || is_volume_of_node(server, a)) {
        return true;
    }
    /* Pods are listed by node only. */
    if (a->group.n == 0 && a->subresource.n == 0 && str_is(a->resource, "pods") &&
        has_word("list watch", a->verb)) {
        char wanted[300];
        struct buf text = {.p = wanted, .n = 0, .cap = sizeof wanted};
        if (a->identity->node.n > 253) {
            return false;
        }
        buf_printf(&text, "spec.nodeName=%.*s", STR_ARG(a->identity->node));
        return str_eq(a->selector, buf_view(&text));
    }
    if (!is_reference(a)) {
        return false;
    }
    if (node_refers(server, a->identity->node, a->ns, a->resource, a->name)) {
        return true;
    }
    if (ret_reason != NULL && reason_arena != NULL) {
        *ret_reason = str_of(arena_printf(
            reason_arena, "node: no relationship found between node '%.*s' and this object",
            STR_ARG(a->identity->node)));
    }
    return false;
}
