/* node.c: NodeRestriction: an agent writes only what is its own: its Node, Lease and CSINode, the
 * status of its pods, mirror pods of its own; and never its own taints, protected labels or owner
 * references (CVE-2025-5187). Default deny: a node writing anything else is refused by the node
 * authorizer before. */
#include "server/admission/admission.h"
#include "server/server_int.h"

static int deny(struct admission *a, struct failure *failure, const char *why)
{
    return failure_forbidden(failure, a->arena, a->resource, a->name, "node \"%.*s\" %s",
                             STR_ARG(a->request->identity->node), why);
}

/* Labels below kubernetes.io and k8s.io that a kubelet may set on itself. */
static bool label_is_free(struct str key)
{
    static const char *const exact[] = {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    };
    struct str name = STR_NONE;
    struct str domain = str_cut(key, '/', &name);
    bool ours = name.p != NULL &&
                (str_is(domain, "kubernetes.io") || str_ends(domain, STR(".kubernetes.io")) ||
                 str_is(domain, "k8s.io") || str_ends(domain, STR(".k8s.io")));
    if (!ours) {
        return true;
    }
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        if (str_is(key, exact[i])) {
            return true;
        }
    }
    return str_is(domain, "kubelet.kubernetes.io") || str_is(domain, "node.kubernetes.io") ||
           str_ends(domain, STR(".kubelet.kubernetes.io")) ||
           (str_ends(domain, STR(".node.kubernetes.io")));
}

static bool labels_changed_badly(const struct val *next, const struct val *old)
{
    const struct val *now = val_path(next, "metadata.labels");
    const struct val *before = val_path(old, "metadata.labels");
    VAL_EACH (it, now) {
        const struct val *was = val_get_str(before, it->key);
        if ((was == NULL || !str_eq(val_text(was), val_text(it))) && !label_is_free(it->key)) {
            return true;
        }
    }
    VAL_EACH (it, before) {
        if (val_get_str(now, it->key) == NULL && !label_is_free(it->key)) {
            return true;
        }
    }
    return false;
}

static bool same(const struct val *next, const struct val *old, const char *path)
{
    const struct val *a = val_path(next, path), *b = val_path(old, path);
    if (val_count(a) == 0 && val_count(b) == 0) {
        return true;
    }
    return a != NULL && b != NULL && val_equal(a, b);
}

static int check_node(struct admission *a, struct failure *failure)
{
    if (!str_eq(a->name, a->request->identity->node)) {
        return deny(
            a, failure,
            arena_printf(a->arena, "is not allowed to modify node \"%.*s\"", STR_ARG(a->name)));
    }
    if (a->object == NULL) {
        return 0;
    }
    if (labels_changed_badly(a->object, a->old)) {
        return deny(a, failure, "is not allowed to modify labels that are reserved");
    }
    if (val_count(val_path(a->object, "metadata.ownerReferences")) > 0 &&
        !same(a->object, a->old, "metadata.ownerReferences")) {
        return deny(a, failure, "is not allowed to modify ownerReferences");
    }
    if (a->operation == VERB_UPDATE && !same(a->object, a->old, "spec.taints")) {
        return deny(a, failure, "is not allowed to modify taints");
    }
    return 0;
}

/* ---- mirror pods: they may refer to nothing of the API, or a node could read it through them ----
 */

static bool env_refers(const struct val *container)
{
    VAL_EACH (env, val_get(container, "env")) {
        const struct val *from = val_get(env, "valueFrom");
        if (val_get(from, "secretKeyRef") != NULL || val_get(from, "configMapKeyRef") != NULL) {
            return true;
        }
    }
    return val_count(val_get(container, "envFrom")) > 0;
}

/* All volume types but those that hold nothing of the API. */
static bool volume_refers(const struct val *volume)
{
    static const char *const plain[] = {"name", "hostPath", "emptyDir", "downwardAPI", "image"};
    VAL_EACH (it, volume) {
        bool harmless = false;
        for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
            harmless = harmless || str_is(it->key, plain[i]);
        }
        if (!harmless && !val_absent(it)) {
            return true;
        }
    }
    return false;
}

static const char *reference_of(const struct val *pod)
{
    static const char *const lists[] = {"spec.initContainers", "spec.containers",
                                        "spec.ephemeralContainers"};
    if (val_text(val_path(pod, "spec.serviceAccountName")).n > 0) {
        return "serviceaccounts";
    }
    if (val_count(val_path(pod, "spec.imagePullSecrets")) > 0) {
        return "secrets";
    }
    if (val_count(val_path(pod, "spec.resourceClaims")) > 0) {
        return "resourceclaims";
    }
    VAL_EACH (volume, val_path(pod, "spec.volumes")) {
        if (volume_refers(volume)) {
            return "objects through volumes";
        }
    }
    for (size_t i = 0; i < 3; i++) {
        VAL_EACH (container, val_path(pod, lists[i])) {
            if (env_refers(container)) {
                return "secrets or configmaps";
            }
        }
    }
    return NULL;
}

static int check_owner(struct admission *a, struct failure *failure)
{
    struct server *server = a->request->server;
    struct str node = a->request->identity->node;
    const struct val *owners = val_path(a->object, "metadata.ownerReferences");
    const struct val *owner = val_at(owners, 0);
    if (val_count(owners) != 1 || !str_is(val_text(val_get(owner, "apiVersion")), "v1") ||
        !str_is(val_text(val_get(owner, "kind")), "Node") ||
        !str_eq(val_text(val_get(owner, "name")), node)) {
        return deny(a, failure, "can only create pods with an owner reference set to itself");
    }
    if (!val_bool(val_get(owner, "controller"), false)) {
        return deny(a, failure,
                    "can only create pods with a controller owner reference set to itself");
    }
    if (val_bool(val_get(owner, "blockOwnerDeletion"), false)) {
        return deny(a, failure, "must not set blockOwnerDeletion on an owner reference");
    }
    struct object *object = cache_get(server->cache, server->known.nodes, STR_NONE, node);
    bool same = object != NULL && str_eq(object->uid, val_text(val_get(owner, "uid")));
    object_unref(object);
    return same ? 0 : deny(a, failure, "can only be an owner with its own uid");
}

static int check_new_pod(struct admission *a, struct failure *failure)
{
    const struct val *pod = a->object;
    if (val_get(val_path(pod, "metadata.annotations"), "kubernetes.io/config.mirror") == NULL) {
        return deny(a, failure, "can only create pods with the mirror annotation");
    }
    if (!str_eq(val_text(val_path(pod, "spec.nodeName")), a->request->identity->node)) {
        return deny(a, failure, "can only create pods that are bound to itself");
    }
    int code = check_owner(a, failure);
    const char *reference = code == 0 ? reference_of(pod) : NULL;
    return reference == NULL
               ? code
               : deny(a, failure,
                      arena_printf(a->arena, "can not create pods that reference %s", reference));
}

static int check_pod(struct admission *a, struct failure *failure)
{
    if (a->operation == VERB_CREATE) {
        return check_new_pod(a, failure);
    }
    if (!str_eq(val_text(val_path(a->old, "spec.nodeName")), a->request->identity->node)) {
        return deny(a, failure, "can only change pods that are bound to itself");
    }
    if (a->operation == VERB_UPDATE && !str_is(a->subresource, "status")) {
        return deny(a, failure, "can only change the status of pods");
    }
    if (a->operation == VERB_UPDATE && !same(a->object, a->old, "metadata.labels")) {
        return deny(a, failure, "can not change labels of pods through status");
    }
    if (a->operation == VERB_UPDATE &&
        (!same(a->object, a->old, "status.resourceClaimStatuses") ||
         !same(a->object, a->old, "status.extendedResourceClaimStatus"))) {
        return deny(a, failure, "can not change which resource claims a pod has");
    }
    return 0;
}

static int validate(struct admission *a, struct failure *failure)
{
    const struct known_resources *known = &a->request->server->known;
    const struct api_resource *storage = a->resource->storage;
    if (a->request->identity->node.n == 0) {
        return 0;
    }
    if (storage == known->nodes) {
        return check_node(a, failure);
    }
    if (storage == known->pods) {
        return check_pod(a, failure);
    }
    bool own_by_name = storage == known->leases || str_is(str_of(a->resource->plural), "csinodes");
    if (own_by_name && !str_eq(a->name, a->request->identity->node)) {
        return deny(a, failure, "can only access objects of its own name");
    }
    return 0;
}

const struct admission_step admission_node = {"NodeRestriction", NULL, NULL, validate};

/* ---- TaintNodesByCondition: a new node takes no pods until it is known to be ready ---- */

static int mutate_taint(struct admission *a, struct failure *failure)
{
    static const char key[] = "node.kubernetes.io/not-ready";
    if (a->operation != VERB_CREATE || !admission_is(a, a->request->server->known.nodes)) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    struct val *taints = val_make_array(a->arena, spec, STR("taints"));
    VAL_EACH (it, taints) {
        if (str_is(val_text(val_get(it, "key")), key) &&
            str_is(val_text(val_get(it, "effect")), "NoSchedule")) {
            return 0;
        }
    }
    struct val *taint = val_append(taints, val_new(a->arena, VAL_OBJECT));
    val_set_text(a->arena, taint, STR("key"), str_of(key));
    val_set_text(a->arena, taint, STR("effect"), STR("NoSchedule"));
    return 0;
}

const struct admission_step admission_node_taint = {"TaintNodesByCondition", mutate_taint, NULL,
                                                    NULL};
