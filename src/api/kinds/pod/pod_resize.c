/* pod_resize.c: pods/resize: the cpu and memory of a running pod and of its containers.
 *
 * A client sends a whole Pod; only resources and resize policies of containers, and the resources
 * of the pod, are taken from it. Whether the node can do it is the node's to say later, in status.
 */
#include "api/defaults.h"
#include "api/kinds/pod/pod_parts.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/semantic.h"
#include "api/validation.h"

static const char *const lists[] = {"containers", "initContainers"};
static const char *const movable[] = {"cpu", "memory"};

static void put(struct arena *arena, struct val *object, const struct val *from, const char *name)
{
    const struct val *value = val_get_str(from, str_of(name));
    if (value == NULL) {
        val_unset(object, str_of(name));
        return;
    }
    struct val *copy = val_copy(arena, value);
    copy->field = value->field;
    val_set(object, value->key, copy);
}

static bool same_containers(const struct val *next, const struct val *old)
{
    const struct val *was = old != NULL ? old->child : NULL;
    if (val_count(next) != val_count(old)) {
        return false;
    }
    VAL_EACH (container, next) {
        if (!str_eq(val_text(val_get(container, "name")), val_text(val_get(was, "name")))) {
            return false;
        }
        was = was->next;
    }
    return true;
}

/* The old list with the new resources; the new list when it is about other containers, for the
 * validation to refuse. */
static void merge_list(struct arena *arena, struct val *spec, struct val *wanted, const char *name)
{
    struct val *list = val_get_str(spec, str_of(name));
    if (!same_containers(wanted, list)) {
        if (wanted != NULL) {
            val_set(spec, str_of(name), wanted);
        }
        return;
    }
    const struct val *from = wanted != NULL ? wanted->child : NULL;
    VAL_EACH (container, list) {
        put(arena, container, from, "resources");
        put(arena, container, from, "resizePolicy");
        from = from->next;
    }
}

void pod_prepare_resize(struct api_context *ctx, struct val *next, const struct val *old)
{
    struct arena *arena = ctx->arena;
    struct val *wanted = val_get(next, "spec");
    bool other = false;
    for (int l = 0; l < 2; l++) {
        struct str name = str_of(lists[l]);
        other = other || val_count(val_get_str(wanted, name)) !=
                             val_count(val_get_str(val_get(old, "spec"), name));
    }
    pod_keep_metadata(ctx, next, old);
    put(arena, next, old, "status");
    if (other) {
        return; /* containers may not come or go */
    }
    put(arena, next, old, "spec");
    struct val *spec = val_get(next, "spec");
    for (int l = 0; l < 2; l++) {
        merge_list(arena, spec, val_get_str(wanted, str_of(lists[l])), lists[l]);
    }
    if (!val_absent(val_get(wanted, "resources"))) { /* a client that knows none keeps them */
        put(arena, spec, wanted, "resources");
    }
    pod_level_default(arena, next);
}

static bool is_removed(const struct val *next, const struct val *old)
{
    VAL_EACH (amount, old) {
        if (val_get_str(next, amount->key) == NULL) {
            return true;
        }
    }
    return false;
}

static void removal_check(struct field_errors *errors, const struct path *path,
                          const struct val *next, const struct val *old, const char *whose)
{
    static const char *const kinds[] = {"requests", "limits"};
    for (int i = 0; i < 2; i++) {
        struct str name = str_of(kinds[i]);
        if (is_removed(val_get_str(next, name), val_get_str(old, name))) {
            field_forbidden(errors, AT(path, kinds[i]), "%sresource %s cannot be removed", whose,
                            kinds[i]);
        }
    }
}

/* `resources` of `holder` with cpu and memory as they were in `old`. */
static void mask(struct arena *arena, struct val *holder, const struct val *old)
{
    static const char *const kinds[] = {"limits", "requests"};
    const struct val *was = val_get(old, "resources");
    struct val *resources = val_get(holder, "resources");
    for (int i = 0; i < 2 && !val_absent(resources); i++) {
        struct val *list = val_get_str(resources, str_of(kinds[i]));
        const struct val *before = val_get_str(was, str_of(kinds[i]));
        for (int m = 0; m < 2; m++) {
            if (val_get_str(before, str_of(movable[m])) != NULL && val_absent(list)) {
                list = val_make_object(arena, resources, str_of(kinds[i]));
            }
            if (!val_absent(list)) {
                put(arena, list, before, movable[m]);
            }
        }
        if (val_count(list) == 0) {
            val_unset(resources, str_of(kinds[i]));
        }
    }
    if (val_count(resources) == 0 && val_absent(was)) {
        val_unset(holder, STR("resources"));
    }
}

static bool names_check(struct field_errors *errors, const struct path *path,
                        const struct val *next, const struct val *old, const char *list)
{
    const struct val *now = val_get_str(next, str_of(list));
    const struct val *was = val_get_str(old, str_of(list));
    bool ok = val_count(now) == val_count(was);
    uint32_t i = 0;
    if (!ok) {
        field_forbidden(errors, AT(path, list), "%s may not be added or removed on resize", list);
        return false;
    }
    was = was != NULL ? was->child : NULL;
    VAL_EACH (container, now) {
        if (!str_eq(val_text(val_get(container, "name")), val_text(val_get(was, "name")))) {
            field_forbidden(errors, AT(AT_INDEX(AT(path, list), i), "name"),
                            "%s may not be renamed or reordered on resize", list);
            ok = false;
        }
        was = was->next;
        i++;
    }
    return ok;
}

static bool restarts_to_resize(const struct val *container)
{
    VAL_EACH (policy, val_get(container, "resizePolicy")) {
        if (str_is(val_text(val_get(policy, "restartPolicy")), "RestartContainer")) {
            return true;
        }
    }
    return false;
}

static void containers_check(struct field_errors *errors, const struct path *path,
                             const struct val *next, const struct val *old, bool init)
{
    const char *list = lists[init];
    const struct val *was = val_get_str(old, str_of(list));
    uint32_t i = 0;
    was = was != NULL ? was->child : NULL;
    VAL_EACH (container, val_get_str(next, str_of(list))) {
        const struct path *at = AT_INDEX(AT(path, list), i++);
        struct val *copy = val_copy(errors->arena, container);
        bool changed = !semantic_equal(container, was);
        removal_check(errors, AT(at, "resources"), val_get(container, "resources"),
                      val_get(was, "resources"), "");
        mask(errors->arena, copy, was);
        if (!semantic_equal(copy, was)) {
            field_forbidden(errors, init ? at : path, "only cpu and memory resources are mutable");
        }
        if (init && changed && !container_is_sidecar(container) && restarts_to_resize(container)) {
            field_forbidden(errors, at,
                            "non-sidecar init containers with a resize policy of RestartContainer "
                            "cannot be resized");
        }
        was = was->next;
    }
}

static void level_check(struct field_errors *errors, const struct path *path,
                        const struct val *next, const struct val *old)
{
    const struct val *was = val_get(old, "resources");
    struct val *copy = val_copy(errors->arena, next);
    removal_check(errors, AT(path, "resources"), val_get(next, "resources"), was, "pod-level ");
    mask(errors->arena, copy, old);
    if (!semantic_equal(val_get(copy, "resources"), was)) {
        field_forbidden(errors, path, "only cpu and memory resources are mutable at pod-level");
    }
}

/* A node that reports no resources of a running container does not know how to resize. */
static bool node_can_resize(const struct val *pod)
{
    VAL_EACH (status, val_path(pod, "status.containerStatuses")) {
        if (!val_absent(val_path(status, "state.running"))) {
            return !val_absent(val_get(status, "resources"));
        }
    }
    return true;
}

static bool refuses(struct field_errors *errors, const struct val *old)
{
    const struct path *path = AT(NULL, "");
    if (val_get_str(val_path(old, "metadata.annotations"), STR("kubernetes.io/config.mirror")) !=
        NULL) {
        field_forbidden(errors, path, "static pods cannot be resized");
        return true;
    }
    if (str_is(val_text(val_path(old, "spec.os.name")), "windows")) {
        field_forbidden(errors, path, "windows pods cannot be resized");
        return true;
    }
    return false;
}

void pod_validate_resize(const struct val *next, const struct val *old, struct field_errors *errors)
{
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    const struct path *path = AT(NULL, "spec");
    struct str class = val_text(val_path(old, "status.qosClass"));
    if (refuses(errors, old)) {
        return;
    }
    pod_spec_check(errors, path, spec, true);
    if (!str_is(class.n > 0 ? class : str_of(pod_qos_class(old)), pod_qos_class(next))) {
        field_invalid(errors, path, val_text(val_path(next, "status.qosClass")),
                      "Pod QOS Class may not change as a result of resizing");
    }
    if (!node_can_resize(old)) {
        field_forbidden(errors, path, "Pod running on node without support for resize");
    }
    if (val_count(val_get(spec, "resources")) + val_count(val_get(was, "resources")) > 0) {
        level_check(errors, path, spec, was);
    }
    bool ok = names_check(errors, path, spec, was, lists[0]);
    if (!names_check(errors, path, spec, was, lists[1]) || !ok) {
        return;
    }
    containers_check(errors, path, spec, was, true);
    containers_check(errors, path, spec, was, false);
}
