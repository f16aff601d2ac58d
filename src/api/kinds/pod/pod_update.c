/* pod_update.c: what of a Pod may change: the main resource, its status, its ephemeral containers.
 *
 * Of the spec: images, activeDeadlineSeconds (only down), tolerations (only more), a negative grace
 * period to 1; while scheduling gates are there also the gates (only fewer) and the placement.
 */
#include "api/kinds/pod/pod_parts.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/semantic.h"
#include "api/validation.h"

static const char *const placement[] = {"nodeSelector", "affinity"};

static void deadline_check(struct field_errors *errors, const struct path *path,
                           const struct val *next, const struct val *old)
{
    const struct val *now = val_get(next, "activeDeadlineSeconds");
    const struct val *was = val_get(old, "activeDeadlineSeconds");
    const struct path *at = AT(path, "activeDeadlineSeconds");
    if (val_absent(now)) {
        if (!val_absent(was)) {
            field_invalid_val(errors, at, NULL,
                              "must not update from a positive integer to nil value");
        }
        return;
    }
    int64_t seconds = val_int(now, 0);
    if (seconds < 0 || seconds > INT32_MAX) {
        field_invalid_int(errors, at, seconds, "must be between 0 and 2147483647, inclusive");
    } else if (!val_absent(was) && val_int(was, 0) < seconds) {
        field_invalid_int(errors, at, seconds, "must be less than or equal to previous value");
    }
}

static bool same_toleration(const struct val *a, const struct val *b)
{
    static const char *const members[] = {"key", "operator", "value", "effect"};
    for (int i = 0; i < 4; i++) {
        if (!str_eq(val_text(val_get_str(a, str_of(members[i]))),
                    val_text(val_get_str(b, str_of(members[i]))))) {
            return false;
        }
    }
    return true;
}

static void tolerations_check_kept(struct field_errors *errors, const struct path *path,
                                   const struct val *next, const struct val *old)
{
    VAL_EACH (was, old) {
        bool kept = false;
        VAL_EACH (now, next) {
            kept = kept || same_toleration(now, was);
        }
        if (!kept) {
            field_forbidden(errors, path,
                            "existing toleration can not be modified except its "
                            "tolerationSeconds");
            return;
        }
    }
}

static void gates_check_fewer(struct field_errors *errors, const struct path *path,
                              const struct val *next, const struct val *old)
{
    uint32_t i = 0;
    VAL_EACH (gate, next) {
        struct str name = val_text(val_get(gate, "name"));
        if (val_find(old, "name", name) == NULL) {
            field_forbidden(errors, AT(AT_INDEX(path, i), "name"),
                            "only deletion is allowed, but found new scheduling gate '%.*s'",
                            STR_ARG(name));
        }
        i++;
    }
}

static void set_as(struct arena *arena, struct val *object, const struct val *from,
                   const char *name)
{
    const struct val *value = val_get_str(from, str_of(name));
    if (val_absent(value)) {
        val_unset(object, str_of(name));
    } else {
        val_set(object, value->key, val_copy(arena, value));
    }
}

/* Lists of containers: images are free, everything else is compared later. */
static bool take_images(struct arena *arena, struct val *spec, const struct val *old,
                        const char *list)
{
    struct val *now = val_get_str(spec, str_of(list));
    const struct val *was = val_get_str(old, str_of(list));
    if (val_count(now) != val_count(was)) {
        return false;
    }
    const struct val *before = was != NULL ? was->child : NULL;
    VAL_EACH (container, now) {
        set_as(arena, container, before, "image");
        before = before->next;
    }
    return true;
}

static const char *changed_member(const struct val *next, const struct val *old,
                                  struct arena *arena)
{
    VAL_EACH (member, next) {
        const struct val *was = val_get_str(old, member->key);
        if (was == NULL || !semantic_equal(member, was)) {
            return str_dup_in(arena, member->key);
        }
    }
    VAL_EACH (member, old) {
        if (val_get_str(next, member->key) == NULL) {
            return str_dup_in(arena, member->key);
        }
    }
    return "";
}

static void spec_check(struct field_errors *errors, const struct val *next, const struct val *old)
{
    const struct path *path = AT(NULL, "spec");
    struct arena *arena = errors->arena;
    static const char *const lists[] = {"containers", "initContainers"};
    struct val *copy = val_copy(arena, next);
    for (int l = 0; l < 2; l++) {
        if (!take_images(arena, copy, old, lists[l])) {
            field_forbidden(errors, AT(path, lists[l]),
                            "pod updates may not add or remove containers");
            return;
        }
    }
    deadline_check(errors, path, next, old);
    tolerations_check_kept(errors, AT(path, "tolerations"), val_get(next, "tolerations"),
                           val_get(old, "tolerations"));
    gates_check_fewer(errors, AT(path, "schedulingGates"), val_get(next, "schedulingGates"),
                      val_get(old, "schedulingGates"));
    set_as(arena, copy, old, "activeDeadlineSeconds");
    set_as(arena, copy, old, "tolerations");
    set_as(arena, copy, old, "schedulingGates");
    if (val_count(val_get(old, "schedulingGates")) > 0) {
        for (int p = 0; p < 2; p++) {
            set_as(arena, copy, old, placement[p]);
        }
    }
    if (val_int(val_get(old, "terminationGracePeriodSeconds"), 0) < 0 &&
        val_int(val_get(next, "terminationGracePeriodSeconds"), 0) == 1) {
        set_as(arena, copy, old, "terminationGracePeriodSeconds");
    }
    if (!semantic_equal(copy, old)) {
        field_forbidden(errors, path,
                        "pod updates may not change fields other than "
                        "`spec.containers[*].image`,`spec.initContainers[*].image`,"
                        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
                        "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to "
                        "be set to 1 if it was previously negative)\nchanged: %s",
                        changed_member(copy, old, arena));
    }
}

static void ephemeral_check(struct field_errors *errors, const struct val *next,
                            const struct val *old)
{
    const struct path *path = AT(AT(NULL, "spec"), "ephemeralContainers");
    const struct val *now = val_path(next, "spec.ephemeralContainers");
    if (val_get_str(val_path(old, "metadata.annotations"), STR("kubernetes.io/config.mirror")) !=
        NULL) {
        field_forbidden(errors, AT(NULL, ""), "static pods do not support ephemeral containers");
        return;
    }
    if (!check_length(errors, path, now, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (was, val_path(old, "spec.ephemeralContainers")) {
        struct str name = val_text(val_get(was, "name"));
        const struct val *same = val_find(now, "name", name);
        if (same == NULL) {
            field_forbidden(errors, path,
                            "existing ephemeral containers \"%.*s\" may not be removed",
                            STR_ARG(name));
        } else if (!semantic_equal(same, was)) {
            field_forbidden(errors, path,
                            "existing ephemeral containers \"%.*s\" may not be changed",
                            STR_ARG(name));
        }
    }
    container_list_check(errors, path, now, CONTAINER_EPHEMERAL, val_get(next, "spec"));
}

/* A container that has ended for good does not come back. */
static void statuses_check(struct field_errors *errors, const struct val *next,
                           const struct val *old)
{
    struct str policy = val_text(val_path(next, "spec.restartPolicy"));
    const struct path *path = AT(AT(NULL, "status"), "containerStatuses");
    const struct val *before = val_path(old, "status.containerStatuses");
    uint32_t i = 0;
    VAL_EACH (status, val_path(next, "status.containerStatuses")) {
        const struct val *spec =
            val_find(val_path(next, "spec.containers"), "name", val_text(val_get(status, "name")));
        const struct val *was = val_find(before, "name", val_text(val_get(status, "name")));
        const struct val *ended = val_path(was, "state.terminated");
        struct str own = val_text(val_get(spec, "restartPolicy"));
        struct str holds = own.n > 0 ? own : policy;
        bool final = str_is(holds, "Never") ||
                     (str_is(holds, "OnFailure") && val_int(val_get(ended, "exitCode"), 1) == 0);
        if (!val_absent(ended) && final && val_count(val_get(spec, "restartPolicyRules")) == 0 &&
            val_absent(val_path(status, "state.terminated"))) {
            field_forbidden(errors, AT(AT_INDEX(path, i), "state"),
                            "may not be transitioned to non-terminated state");
        }
        i++;
    }
}

static void status_check(struct field_errors *errors, const struct val *next, const struct val *old)
{
    struct str nominated = val_text(val_path(next, "status.nominatedNodeName"));
    if (nominated.n > 0) {
        check_name(errors, AT(AT(NULL, "status"), "nominatedNodeName"), NAME_SUBDOMAIN, nominated);
    }
    statuses_check(errors, next, old);
}

static void mirror_check(struct field_errors *errors, const struct val *next, const struct val *old)
{
    const struct str key = STR("kubernetes.io/config.mirror");
    const struct val *now = val_get_str(val_path(next, "metadata.annotations"), key);
    const struct val *was = val_get_str(val_path(old, "metadata.annotations"), key);
    const struct path *path = AT_KEY(AT(AT(NULL, "metadata"), "annotations"), key);
    if (now != NULL && was == NULL) {
        field_forbidden(errors, path, "may not add mirror pod annotation");
    } else if (was != NULL && !semantic_equal(now, was)) {
        field_forbidden(errors, path, "may not remove or update mirror pod annotation");
    }
}

void pod_validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                         struct field_errors *errors)
{
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    if (strcmp(ctx->subresource, "status") == 0) {
        status_check(errors, next, old);
    } else if (strcmp(ctx->subresource, "ephemeralcontainers") == 0) {
        ephemeral_check(errors, next, old);
    } else if (strcmp(ctx->subresource, "resize") == 0) {
        pod_validate_resize(next, old, errors);
    } else if (ctx->subresource[0] == '\0') {
        mirror_check(errors, next, old);
        if (!semantic_equal(spec, was)) {
            pod_spec_warn(ctx, AT(NULL, "spec"), spec);
            spec_check(errors, spec, was);
        }
    }
}
