/* quota.c: the measures of ResourceQuota, one row a resource that is more than a count.
 *
 * Every namespaced resource counts as count/PLURAL.GROUP; pods, services, claims and device claims
 * have measures of their own, and four core resources have an older name for their count.
 */
#include "api/quota.h"

#include "api/selector.h"
#include "base/clock.h"

struct measure {
    const char *group, *plural;
    bool (*measures)(struct str hard_name);
    void (*usage)(const struct quota_item *item, struct amounts *ret);
    bool (*scope)(struct str scope, const struct val *selector, const struct quota_item *item);
    bool (*changes)(const struct val *old, const struct val *now, int64_t now_wall_ns);
};

static struct quantity count_of(int64_t n)
{
    return quantity_of_value(n, 0);
}

static bool in_words(struct str name, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (str_is(name, words[i])) {
            return true;
        }
    }
    return false;
}

static struct str prefixed(struct arena *arena, const char *prefix, struct str name)
{
    return str_of(arena_printf(arena, "%s%.*s", prefix, STR_ARG(name)));
}

/* ---- pods ---- */

/* "requests.example.com/gpu": a resource that is not Kubernetes' own. */
static bool is_extended_request(struct str name)
{
    return str_starts(name, STR("requests.")) && str_contains(name, STR("/")) &&
           !str_contains(name, STR("kubernetes.io/"));
}

static bool pods_measure(struct str name)
{
    static const char *const names[] = {"pods",
                                        "cpu",
                                        "memory",
                                        "ephemeral-storage",
                                        "requests.cpu",
                                        "requests.memory",
                                        "requests.ephemeral-storage",
                                        "limits.cpu",
                                        "limits.memory",
                                        "limits.ephemeral-storage",
                                        NULL};
    return in_words(name, names) || str_starts(name, STR("hugepages-")) ||
           str_starts(name, STR("requests.hugepages-")) || is_extended_request(name);
}

static bool is_terminating(const struct val *pod)
{
    return val_int(val_path(pod, "spec.activeDeadlineSeconds"), -1) >= 0;
}

/* Whether it still holds what it asked for: not finished, and not past its grace. */
static bool holds(const struct val *pod, int64_t now_wall_ns)
{
    struct str phase = val_text(val_path(pod, "status.phase"));
    const struct val *meta = val_get(pod, "metadata");
    const struct val *when = val_get(meta, "deletionTimestamp");
    const struct val *grace = val_get(meta, "deletionGracePeriodSeconds");
    int64_t at = 0;
    if (str_is(phase, "Failed") || str_is(phase, "Succeeded")) {
        return false;
    }
    return val_absent(when) || val_absent(grace) || !time_parse(val_text(when), &at) ||
           now_wall_ns <= at + val_int(grace, 0) * NS_PER_S;
}

static bool is_compute(struct str name)
{
    return str_is(name, "cpu") || str_is(name, "memory") || str_is(name, "ephemeral-storage");
}

static void requests_usage(const struct amounts *requests, struct amounts *ret)
{
    for (size_t i = 0; i < requests->count; i++) {
        const struct amount *it = &requests->items[i];
        bool huge = str_starts(it->name, STR("hugepages-"));
        if (is_compute(it->name) || huge) {
            amounts_set(ret, it->name, it->value);
        }
        struct str name = prefixed(ret->arena, "requests.", it->name);
        if (is_compute(it->name) || huge || is_extended_request(name)) {
            amounts_set(ret, name, it->value);
        }
    }
}

static void pods_usage(const struct quota_item *item, struct amounts *ret)
{
    struct amounts requests = {.arena = ret->arena}, limits = {.arena = ret->arena};
    if (!holds(item->object, item->now_wall_ns)) {
        return;
    }
    amounts_set(ret, STR("pods"), count_of(1));
    pod_amounts(item->object, POD_AMOUNTS_STATUS | POD_AMOUNTS_OVERHEAD, &requests);
    pod_amounts(item->object, POD_AMOUNTS_LIMITS | POD_AMOUNTS_STATUS | POD_AMOUNTS_OVERHEAD,
                &limits);
    requests_usage(&requests, ret);
    for (size_t i = 0; i < limits.count; i++) {
        if (is_compute(limits.items[i].name)) {
            amounts_set(ret, prefixed(ret->arena, "limits.", limits.items[i].name),
                        limits.items[i].value);
        }
    }
}

static bool names_compute(const struct val *resources)
{
    static const char *const lists[] = {"requests", "limits"};
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_get_str(resources, str_of(lists[i]))) {
            struct quantity q;
            if ((str_is(it->key, "cpu") || str_is(it->key, "memory")) &&
                quantity_parse(val_text(it), &q) && q.nano > 0) {
                return true;
            }
        }
    }
    return false;
}

/* QoS class BestEffort: nothing asks for cpu or memory. */
static bool is_best_effort(const struct val *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    if (names_compute(val_path(pod, "spec.resources"))) {
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_path(pod, lists[i])) {
            if (names_compute(val_get(it, "resources"))) {
                return false;
            }
        }
    }
    return true;
}

static bool crosses_namespaces(const struct val *term)
{
    return val_count(val_get(term, "namespaces")) > 0 ||
           !val_absent(val_get(term, "namespaceSelector"));
}

static bool has_cross_affinity(const struct val *pod)
{
    static const char *const kinds[] = {"spec.affinity.podAffinity",
                                        "spec.affinity.podAntiAffinity"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *affinity = val_path(pod, kinds[i]);
        VAL_EACH (it, val_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution")) {
            if (crosses_namespaces(it)) {
                return true;
            }
        }
        VAL_EACH (it, val_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution")) {
            if (crosses_namespaces(val_get(it, "podAffinityTerm"))) {
                return true;
            }
        }
    }
    return false;
}

/* A scope that asks for a class by name: In, NotIn, Exists, DoesNotExist. */
static bool name_matches(const struct val *selector, struct str name)
{
    struct str op = val_text(val_get(selector, "operator"));
    bool in = false;
    VAL_EACH (it, val_get(selector, "values")) {
        in = in || str_eq(val_text(it), name);
    }
    if (str_is(op, "In")) {
        return name.n > 0 && in;
    }
    if (str_is(op, "NotIn")) {
        return name.n == 0 || !in;
    }
    return str_is(op, "DoesNotExist") ? name.n == 0 : name.n > 0;
}

static bool pods_scope(struct str scope, const struct val *selector, const struct quota_item *item)
{
    const struct val *pod = item->object;
    if (str_is(scope, "Terminating")) {
        return is_terminating(pod);
    }
    if (str_is(scope, "NotTerminating")) {
        return !is_terminating(pod);
    }
    if (str_is(scope, "BestEffort")) {
        return is_best_effort(pod);
    }
    if (str_is(scope, "NotBestEffort")) {
        return !is_best_effort(pod);
    }
    if (str_is(scope, "PriorityClass")) {
        return name_matches(selector, val_text(val_path(pod, "spec.priorityClassName")));
    }
    return str_is(scope, "CrossNamespacePodAffinity") && has_cross_affinity(pod);
}

static bool resources_changed(const struct val *old, const struct val *now)
{
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses"};
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (was, val_path(old, lists[i])) {
            const struct val *is =
                val_find(val_path(now, lists[i]), "name", val_text(val_get(was, "name")));
            const struct val *a = val_get(was, "resources"), *b = val_get(is, "resources");
            if (is != NULL && (a == NULL) != (b == NULL)) {
                return true;
            }
            if (is != NULL && a != NULL && !val_equal(a, b)) {
                return true;
            }
        }
    }
    return false;
}

static bool pods_change(const struct val *old, const struct val *now, int64_t now_wall_ns)
{
    return is_terminating(old) != is_terminating(now) || resources_changed(old, now) ||
           (holds(old, now_wall_ns) && !holds(now, now_wall_ns));
}

/* ---- services ---- */

static bool services_measure(struct str name)
{
    return str_is(name, "services") || str_is(name, "services.nodeports") ||
           str_is(name, "services.loadbalancers");
}

static void services_usage(const struct quota_item *item, struct amounts *ret)
{
    const struct val *spec = val_get(item->object, "spec");
    struct str type = val_text(val_get(spec, "type"));
    bool balancer = str_is(type, "LoadBalancer");
    int64_t ports = 0;
    VAL_EACH (port, val_get(spec, "ports")) {
        bool all = str_is(type, "NodePort") ||
                   (balancer && val_bool(val_get(spec, "allocateLoadBalancerNodePorts"), true));
        ports += all || (balancer && val_int(val_get(port, "nodePort"), 0) != 0);
    }
    amounts_set(ret, STR("services"), count_of(1));
    amounts_set(ret, STR("services.nodeports"), count_of(ports));
    amounts_set(ret, STR("services.loadbalancers"), count_of(balancer ? 1 : 0));
}

static bool services_change(const struct val *old, const struct val *now, int64_t now_wall_ns)
{
    struct str a = val_text(val_path(old, "spec.type")), b = val_text(val_path(now, "spec.type"));
    return !str_eq(a, b) ||
           val_count(val_path(old, "spec.ports")) != val_count(val_path(now, "spec.ports"));
}

/* ---- claims of storage ---- */

static const char class_infix[] = ".storageclass.storage.k8s.io/";

static bool claims_measure(struct str name)
{
    if (str_is(name, "persistentvolumeclaims") || str_is(name, "requests.storage")) {
        return true;
    }
    return str_ends(name, STR(".storageclass.storage.k8s.io/persistentvolumeclaims")) ||
           str_ends(name, STR(".storageclass.storage.k8s.io/requests.storage"));
}

static struct str class_of(const struct val *claim)
{
    const struct val *annotations = val_path(claim, "metadata.annotations");
    const struct val *old = val_get(annotations, "volume.beta.kubernetes.io/storage-class");
    return val_text(old != NULL ? old : val_path(claim, "spec.storageClassName"));
}

static void add_claimed(struct amounts *ret, struct str class, const char *what, struct quantity q)
{
    amounts_set(ret, str_of(what), q);
    if (class.n > 0) {
        amounts_set(ret,
                    str_of(arena_printf(ret->arena, "%.*s%s%s", STR_ARG(class), class_infix, what)),
                    q);
    }
}

static void claims_usage(const struct quota_item *item, struct amounts *ret)
{
    const struct val *claim = item->object;
    struct str class = class_of(claim);
    struct quantity asked, allocated;
    add_claimed(ret, class, "persistentvolumeclaims", count_of(1));
    if (!quantity_parse(val_text(val_path(claim, "spec.resources.requests.storage")), &asked)) {
        return;
    }
    if (quantity_parse(val_text(val_path(claim, "status.allocatedResources.storage")),
                       &allocated) &&
        quantity_cmp(allocated, asked) > 0) {
        asked = allocated;
    }
    add_claimed(ret, class, "requests.storage",
                quantity_of_value(quantity_value(asked), asked.format));
}

static bool claims_scope(struct str scope, const struct val *selector,
                         const struct quota_item *item)
{
    static const char *const paths[] = {
        "spec.volumeAttributesClassName", "status.currentVolumeAttributesClassName",
        "status.modifyVolumeStatus.targetVolumeAttributesClassName"};
    bool any = false;
    if (!str_is(scope, "VolumeAttributesClass")) {
        return false;
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct str name = val_text(val_path(item->object, paths[i]));
        any = any || name.n > 0;
        if (name.n > 0 && name_matches(selector, name)) {
            return true;
        }
    }
    return !any && name_matches(selector, STR_NONE);
}

static bool text_differs(const struct val *old, const struct val *now, const char *path)
{
    return !str_eq(val_text(val_path(old, path)), val_text(val_path(now, path)));
}

static bool claims_change(const struct val *old, const struct val *now, int64_t now_wall_ns)
{
    return text_differs(old, now, "status.allocatedResources.storage") ||
           text_differs(old, now, "spec.volumeAttributesClassName") ||
           text_differs(old, now, "status.currentVolumeAttributesClassName") ||
           text_differs(old, now, "status.modifyVolumeStatus.targetVolumeAttributesClassName");
}

/* ---- claims of devices ---- */

enum { ALL_DEVICES = 32 }; /* AllocationResultsMaxSize */

static bool devices_measure(struct str name)
{
    return str_ends(name, STR(".deviceclass.resource.k8s.io/devices"));
}

static int64_t devices_asked(const struct val *request)
{
    struct str mode = val_text(val_get(request, "allocationMode"));
    return str_is(mode, "All")          ? ALL_DEVICES
           : str_is(mode, "ExactCount") ? val_int(val_get(request, "count"), 1)
                                        : 0;
}

static struct str devices_name(struct arena *arena, const struct val *request)
{
    struct str class = val_text(val_get(request, "deviceClassName"));
    return str_of(arena_printf(arena, "%.*s.deviceclass.resource.k8s.io/devices", STR_ARG(class)));
}

static void devices_usage(const struct quota_item *item, struct amounts *ret)
{
    VAL_EACH (request, val_path(item->object, "spec.devices.requests")) {
        const struct val *exactly = val_get(request, "exactly");
        struct amounts most = {.arena = ret->arena};
        if (exactly != NULL) {
            amounts_add(ret, devices_name(ret->arena, exactly), count_of(devices_asked(exactly)));
        }
        VAL_EACH (it, val_get(request, "firstAvailable")) {
            amounts_max(&most, devices_name(ret->arena, it), count_of(devices_asked(it)));
        }
        amounts_add_all(ret, &most);
    }
}

/* ---- all ---- */

static const struct measure measures[] = {
    {"", "pods", pods_measure, pods_usage, pods_scope, pods_change},
    {"", "services", services_measure, services_usage, NULL, services_change},
    {"", "persistentvolumeclaims", claims_measure, claims_usage, claims_scope, claims_change},
    {"resource.k8s.io", "resourceclaims", devices_measure, devices_usage, NULL, NULL},
};

static const struct measure *measure_of(const struct api_resource *resource)
{
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++) {
        if (str_is(str_of(resource->plural), measures[i].plural) &&
            str_is(str_of(resource->group), measures[i].group)) {
            return &measures[i];
        }
    }
    return NULL;
}

bool quota_covers(const struct api_resource *resource)
{
    return resource->namespaced && resource->stored && !str_is(str_of(resource->plural), "events");
}

static bool is_count(const struct api_resource *resource, struct str name)
{
    struct str rest = STR_NONE;
    if (!str_starts(name, STR("count/"))) {
        static const char *const old[] = {"configmaps", "resourcequotas", "replicationcontrollers",
                                          "secrets", NULL};
        return resource->group[0] == '\0' && str_is(name, resource->plural) && in_words(name, old);
    }
    struct str plural = str_cut(str_from(name, 6), '.', &rest);
    return str_is(plural, resource->plural) && str_is(rest, resource->group);
}

bool quota_measures(const struct api_resource *resource, struct str hard_name)
{
    const struct measure *measure = measure_of(resource);
    return is_count(resource, hard_name) || (measure != NULL && measure->measures(hard_name));
}

void quota_usage(const struct quota_item *item, struct amounts *ret)
{
    const struct api_resource *r = item->resource;
    const struct measure *measure = measure_of(r);
    const char *dot = r->group[0] != '\0' ? "." : "";
    amounts_set(ret, str_of(arena_printf(ret->arena, "count/%s%s%s", r->plural, dot, r->group)),
                count_of(1));
    if (is_count(r, str_of(r->plural))) {
        amounts_set(ret, str_of(r->plural), count_of(1));
    }
    if (measure != NULL) {
        measure->usage(item, ret);
    }
}

bool quota_matches(const struct val *quota, const struct val *hard, const struct quota_item *item)
{
    const struct measure *measure = measure_of(item->resource);
    bool measured = false;
    VAL_EACH (it, hard) {
        measured = measured || quota_measures(item->resource, it->key);
    }
    const struct val *scopes = val_path(quota, "spec.scopes");
    VAL_EACH (it, scopes) {
        measured = measured && measure != NULL && measure->scope != NULL &&
                   measure->scope(val_text(it), NULL, item);
    }
    VAL_EACH (it, val_path(quota, "spec.scopeSelector.matchExpressions")) {
        measured = measured && measure != NULL && measure->scope != NULL &&
                   measure->scope(val_text(val_get(it, "scopeName")), it, item);
    }
    return measured;
}

bool quota_changes(const struct api_resource *resource, const struct val *old,
                   const struct val *now, int64_t now_wall_ns)
{
    const struct measure *measure = measure_of(resource);
    return measure != NULL && measure->changes != NULL && measure->changes(old, now, now_wall_ns);
}

/* ---- what must be said ---- */

static bool says(const struct val *container, struct str name)
{
    bool limit = str_starts(name, STR("limits."));
    const struct val *list = val_path(container, limit ? "resources.limits" : "resources.requests");
    struct str bare = limit                                ? str_from(name, 7)
                      : str_starts(name, STR("requests.")) ? str_from(name, 9)
                                                           : name;
    return val_get_str(list, bare) != NULL;
}

static void name_silent(const struct val *pod, struct str name, struct buf *out)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    struct buf who BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_path(pod, lists[i])) {
            if (!says(it, name)) {
                struct str container = val_text(val_get(it, "name"));
                buf_printf(&who, "%s%.*s", who.n > 0 ? "," : "", STR_ARG(container));
            }
        }
    }
    if (who.n > 0) {
        buf_printf(out, "%s%.*s for: %.*s", out->n > 0 ? "; " : "", STR_ARG(name),
                   STR_ARG(buf_view(&who)));
    }
}

static bool has_pod_level(const struct val *pod)
{
    static const char *const lists[] = {"spec.resources.requests", "spec.resources.limits"};
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_path(pod, lists[i])) {
            if (str_is(it->key, "cpu") || str_is(it->key, "memory") ||
                str_starts(it->key, STR("hugepages-"))) {
                return true;
            }
        }
    }
    return false;
}

struct str quota_missing(const struct val *hard, const struct quota_item *item, struct arena *arena)
{
    static const char *const names[] = {"cpu",    "limits.cpu",   "limits.memory",
                                        "memory", "requests.cpu", "requests.memory"};
    struct buf out BUF_CLEANUP = BUF_INIT;
    const struct measure *measure = measure_of(item->resource);
    if (measure == NULL || measure->usage != pods_usage || has_pod_level(item->object)) {
        return STR_NONE;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (val_get_str(hard, str_of(names[i])) != NULL) {
            name_silent(item->object, str_of(names[i]), &out);
        }
    }
    return out.n == 0 ? STR_NONE
                      : str_of(arena_printf(arena, "must specify %.*s", STR_ARG(buf_view(&out))));
}
