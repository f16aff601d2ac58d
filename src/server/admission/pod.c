/* pod.c: what other objects say about a new pod: Priority, DefaultTolerationSeconds, RuntimeClass.
 */
#include "server/admission/admission.h"
#include "server/server_int.h"

enum { EVICT_SECONDS = 300 };

static bool is_new_pod(const struct admission *a)
{
    return a->operation == VERB_CREATE && admission_is(a, a->request->server->known.pods);
}

/* A copy of a cluster-scoped object's tape, or NULL. */
static struct val *lookup(struct admission *a, const struct api_resource *resource, struct str name)
{
    struct object *object =
        resource != NULL ? cache_get(a->request->server->cache, resource, STR_NONE, name) : NULL;
    if (object == NULL) {
        return NULL;
    }
    struct val *value = val_copy(a->arena, object_decode(object, a->arena));
    object_unref(object);
    return value;
}

/* ---- Priority ---- */

static struct val *global_default(struct admission *a)
{
    const struct api_resource *resource = a->request->server->known.priority_classes;
    struct val *best = NULL;
    if (resource == NULL) {
        return NULL;
    }
    struct snapshot *snapshot = snapshot_take(a->request->server->cache, resource);
    struct snapshot_iter iter;
    const struct object *object;
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        struct val *value = val_copy(a->arena, object_decode(object, a->arena));
        if (val_bool(val_get(value, "globalDefault"), false) &&
            (best == NULL ||
             val_int(val_get(value, "value"), 0) < val_int(val_get(best, "value"), 0))) {
            best = value;
        }
    }
    snapshot_release(snapshot);
    return best;
}

/* Pods, and groups of pods: the class gives the number, and nobody else does. */
static int mutate_priority(struct admission *a, struct failure *failure)
{
    bool pod = is_new_pod(a);
    if (!pod &&
        (a->operation != VERB_CREATE || !admission_is(a, a->request->server->known.pod_groups))) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    struct str name = val_text(val_get(spec, "priorityClassName"));
    const struct val *class = NULL;
    if (name.n > 0) {
        class = lookup(a, a->request->server->known.priority_classes, name);
        if (class == NULL) {
            return failure_forbidden(failure, a->arena, a->resource, a->name,
                                     "no PriorityClass with name %.*s was found", STR_ARG(name));
        }
    } else {
        class = global_default(a);
        if (class != NULL) {
            val_set_text(a->arena, spec, STR("priorityClassName"), val_name(class));
        }
    }
    int64_t priority = val_int(val_get(class, "value"), 0);
    const struct val *given = val_get(spec, "priority");
    if (!val_absent(given) && val_int(given, 0) != priority) {
        return failure_forbidden(failure, a->arena, a->resource, a->name,
                                 "the integer value of priority (%lld) must not be provided in pod "
                                 "spec; priority admission controller computed %lld from the given "
                                 "PriorityClass name",
                                 (long long)val_int(given, 0), (long long)priority);
    }
    val_set_int(a->arena, spec, STR("priority"), priority);
    struct str policy = val_text(val_get(class, "preemptionPolicy"));
    if (pod && val_absent(val_get(spec, "preemptionPolicy"))) {
        val_set_text(a->arena, spec, STR("preemptionPolicy"),
                     policy.n > 0 ? policy : STR("PreemptLowerPriority"));
    }
    return 0;
}

const struct admission_step admission_priority = {"Priority", mutate_priority, NULL, NULL};

/* ---- DefaultTolerationSeconds ---- */

static bool tolerates(const struct val *spec, const char *key)
{
    VAL_EACH (it, val_get(spec, "tolerations")) {
        struct str k = val_text(val_get(it, "key"));
        struct str effect = val_text(val_get(it, "effect"));
        if ((k.n == 0 || str_is(k, key)) && (effect.n == 0 || str_is(effect, "NoExecute"))) {
            return true;
        }
    }
    return false;
}

static void tolerate(struct arena *arena, struct val *spec, const char *key)
{
    struct val *t =
        val_append(val_make_array(arena, spec, STR("tolerations")), val_new(arena, VAL_OBJECT));
    val_set_text(arena, t, STR("key"), str_of(key));
    val_set_text(arena, t, STR("operator"), STR("Exists"));
    val_set_text(arena, t, STR("effect"), STR("NoExecute"));
    val_set_int(arena, t, STR("tolerationSeconds"), EVICT_SECONDS);
}

static int mutate_tolerations(struct admission *a, struct failure *failure)
{
    static const char *const keys[] = {"node.kubernetes.io/not-ready",
                                       "node.kubernetes.io/unreachable"};
    bool update = a->operation == VERB_UPDATE && a->subresource.n == 0 &&
                  admission_is(a, a->request->server->known.pods);
    if (!is_new_pod(a) && !update) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    bool wanted[2] = {!tolerates(spec, keys[0]), !tolerates(spec, keys[1])};
    for (size_t i = 0; i < 2; i++) {
        if (wanted[i]) {
            tolerate(a->arena, spec, keys[i]);
        }
    }
    return 0;
}

const struct admission_step admission_tolerations = {"DefaultTolerationSeconds", mutate_tolerations,
                                                     NULL, NULL};

/* ---- RuntimeClass ---- */

static int merge_scheduling(struct admission *a, struct val *spec, const struct val *scheduling,
                            struct failure *failure)
{
    VAL_EACH (label, val_get(scheduling, "nodeSelector")) {
        struct val *selector = val_make_object(a->arena, spec, STR("nodeSelector"));
        const struct val *has = val_get_str(selector, label->key);
        if (has != NULL && !str_eq(val_text(has), val_text(label))) {
            return failure_forbidden(failure, a->arena, a->resource, a->name,
                                     "conflict: runtimeClass.scheduling.nodeSelector conflicts "
                                     "with pod.spec.nodeSelector on %.*s",
                                     STR_ARG(label->key));
        }
        val_set_text(a->arena, selector, label->key, val_text(label));
    }
    VAL_EACH (toleration, val_get(scheduling, "tolerations")) {
        struct val *list = val_make_array(a->arena, spec, STR("tolerations"));
        bool there = false;
        VAL_EACH (it, list) {
            there = there || val_equal(it, toleration);
        }
        if (!there) {
            val_append(list, val_copy(a->arena, toleration));
        }
    }
    return 0;
}

static int mutate_runtime_class(struct admission *a, struct failure *failure)
{
    if (!is_new_pod(a)) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    struct str name = val_text(val_get(spec, "runtimeClassName"));
    const struct val *overhead = val_get(spec, "overhead");
    const struct val *class = NULL;
    if (name.n > 0) {
        class = lookup(a, a->request->server->known.runtime_classes, name);
        if (class == NULL) {
            return failure_forbidden(failure, a->arena, a->resource, a->name,
                                     "pod rejected: RuntimeClass \"%.*s\" not found",
                                     STR_ARG(name));
        }
    }
    const struct val *fixed = val_path(class, "overhead.podFixed");
    if (val_count(overhead) > 0 && (fixed == NULL || !val_equal(overhead, fixed))) {
        return failure_forbidden(failure, a->arena, a->resource, a->name,
                                 "pod rejected: Pod's Overhead doesn't match RuntimeClass's "
                                 "defined Overhead");
    }
    if (fixed != NULL) {
        val_set(spec, STR("overhead"), val_copy(a->arena, fixed));
    }
    return merge_scheduling(a, spec, val_get(class, "scheduling"), failure);
}

const struct admission_step admission_runtime_class = {"RuntimeClass", mutate_runtime_class, NULL,
                                                       NULL};
