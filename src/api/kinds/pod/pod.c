/* pod.c: the strategy of Pods: what a create and an update reset, QoS class, grace of a delete.
 *
 * Left to others: the spec (pod_spec.c and its parts), updates (pod_update.c), the row
 * (pod_columns.c).
 */
#include "api/defaults.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_parts.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/quantity.h"
#include "base/clock.h"

const struct val *pod_condition(const struct val *pod, const char *type)
{
    return val_find(val_path(pod, "status.conditions"), "type", str_of(type));
}

bool pod_condition_is_true(const struct val *pod, const char *type)
{
    return str_is(val_text(val_get(pod_condition(pod, type), "status")), "True");
}

bool pod_is_finished(const struct val *pod)
{
    struct str phase = val_text(val_path(pod, "status.phase"));
    return str_is(phase, "Succeeded") || str_is(phase, "Failed");
}

bool container_is_sidecar(const struct val *container)
{
    return str_is(val_text(val_get(container, "restartPolicy")), "Always");
}

struct qos {
    bool any;        /* something is asked for or limited */
    bool guaranteed; /* everything is limited, and asked for in full */
};

static struct str amount(const struct val *resources, const char *list, struct str name)
{
    return val_text(val_get_str(val_get_str(resources, str_of(list)), name));
}

static bool is_positive(struct str text, struct quantity *ret)
{
    return quantity_parse(text, ret) && ret->nano > 0;
}

static void qos_of_resources(struct qos *qos, const struct val *resources)
{
    static const char *const names[] = {"cpu", "memory"};
    for (int i = 0; i < 2; i++) {
        struct quantity limit, request;
        bool limited = is_positive(amount(resources, "limits", str_of(names[i])), &limit);
        bool asked = is_positive(amount(resources, "requests", str_of(names[i])), &request);
        qos->any = qos->any || limited || asked;
        qos->guaranteed =
            qos->guaranteed && limited && (!asked || quantity_cmp(limit, request) == 0);
    }
}

const char *pod_qos_class(const struct val *pod)
{
    const struct val *spec = val_get(pod, "spec");
    struct qos qos = {.guaranteed = true};
    if (val_count(val_get(spec, "resources")) > 0) {
        qos_of_resources(&qos, val_get(spec, "resources"));
    } else {
        VAL_EACH (container, val_get(spec, "containers")) {
            qos_of_resources(&qos, val_get(container, "resources"));
        }
        VAL_EACH (container, val_get(spec, "initContainers")) {
            qos_of_resources(&qos, val_get(container, "resources"));
        }
    }
    return !qos.any ? "BestEffort" : qos.guaranteed ? "Guaranteed" : "Burstable";
}

static void gated_condition(struct api_context *ctx, struct val *status)
{
    struct arena *arena = ctx->arena;
    char *time = arena_alloc(arena, TIME_TEXT_SIZE);
    struct str now = str_at(time, time_format(ctx->now_wall_ns, time));
    struct val *conditions = val_new(arena, VAL_ARRAY);
    struct val *condition = val_append(conditions, val_new(arena, VAL_OBJECT));
    val_set_text(arena, condition, STR("type"), STR("PodScheduled"));
    val_set_text(arena, condition, STR("status"), STR("False"));
    val_set_text(arena, condition, STR("lastTransitionTime"), now);
    val_set_text(arena, condition, STR("reason"), STR("SchedulingGated"));
    val_set_text(arena, condition, STR("message"),
                 STR("Scheduling is blocked due to non-empty scheduling gates"));
    default_put(status, STR("conditions"), conditions);
    condition->field = conditions->field;
}

static void prepare_create(struct api_context *ctx, struct val *pod)
{
    struct val *status = val_make_object(ctx->arena, pod, STR("status"));
    val_set_text(ctx->arena, status, STR("phase"), STR("Pending"));
    pod_apply_match_keys(ctx->arena, pod);
    pod_level_default(ctx->arena, pod);
    if (val_count(val_path(pod, "spec.schedulingGates")) > 0) {
        gated_condition(ctx, status);
    }
    val_set_text(ctx->arena, status, STR("qosClass"), str_of(pod_qos_class(pod)));
}

static void put_back(struct arena *arena, struct val *next, const struct val *old, struct str name)
{
    const struct val *was = val_get_str(old, name);
    if (was == NULL) {
        val_unset(next, name);
        return;
    }
    struct val *copy = val_copy(arena, was);
    copy->field = was->field;
    val_set(next, was->key, copy);
}

void pod_keep_metadata(struct api_context *ctx, struct val *next, const struct val *old)
{
    static const char *const members[] = {"labels", "annotations", "finalizers", "ownerReferences"};
    struct val *metadata = val_make_object(ctx->arena, next, STR("metadata"));
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        put_back(ctx->arena, metadata, val_get(old, "metadata"), str_of(members[i]));
    }
}

/* pods/ephemeralcontainers: only that list changes. */
static void keep_all_but_ephemeral(struct api_context *ctx, struct val *next, const struct val *old)
{
    struct val *wanted = val_path(next, "spec.ephemeralContainers");
    put_back(ctx->arena, next, old, STR("spec"));
    put_back(ctx->arena, next, old, STR("status"));
    pod_keep_metadata(ctx, next, old);
    struct val *spec = val_get(next, "spec");
    if (spec != NULL && wanted != NULL) {
        val_set(spec, STR("ephemeralContainers"), wanted);
    } else if (spec != NULL) {
        val_unset(spec, STR("ephemeralContainers"));
    }
}

static void prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        struct val *metadata = val_get(next, "metadata");
        put_back(ctx->arena, metadata, val_get(old, "metadata"), STR("ownerReferences"));
        struct val *status = val_make_object(ctx->arena, next, STR("status"));
        const struct val *was = val_get(old, "status");
        if (val_text(val_get(status, "qosClass")).n == 0) {
            put_back(ctx->arena, status, was, STR("qosClass"));
        }
    } else if (strcmp(ctx->subresource, "ephemeralcontainers") == 0) {
        keep_all_but_ephemeral(ctx, next, old);
    } else if (strcmp(ctx->subresource, "resize") == 0) {
        pod_prepare_resize(ctx, next, old);
    }
}

static void mirror_addresses(struct arena *arena, struct val *status)
{
    struct val *list = val_get(status, "podIPs");
    struct str first = val_text(val_get(val_at(list, 0), "ip"));
    struct str ip = val_text(val_get(status, "podIP"));
    if (ip.n == 0 && first.n > 0) {
        default_put(status, STR("podIP"), val_new_text(arena, first));
    } else if (ip.n > 0 && !str_eq(ip, first)) {
        struct val *fresh = default_put(status, STR("podIPs"), val_new(arena, VAL_ARRAY));
        struct val *entry = val_append(fresh, val_new(arena, VAL_OBJECT));
        entry->field = fresh->field;
        default_put(entry, STR("ip"), val_new_text(arena, ip));
    }
}

static void defaults(struct arena *arena, struct val *pod)
{
    pod_spec_default(arena, default_object(arena, pod, "spec"), true);
    struct val *status = val_get(pod, "status");
    if (!val_absent(status)) {
        mirror_addresses(arena, status);
    }
}

static void validate(struct api_context *ctx, const struct val *pod, struct field_errors *errors)
{
    const struct str mirror = STR("kubernetes.io/config.mirror");
    const struct val *mark = val_get_str(val_path(pod, "metadata.annotations"), mirror);
    if (mark != NULL && val_text(val_path(pod, "spec.nodeName")).n == 0) {
        field_invalid(errors, AT_KEY(AT(AT(NULL, "metadata"), "annotations"), mirror),
                      val_text(mark), "must set spec.nodeName if mirror pod annotation is set");
    }
    pod_spec_check(errors, AT(NULL, "spec"), val_get(pod, "spec"), true);
    (void)ctx;
}

/* What may not be there yet when a pod is made. */
static void validate_create(struct api_context *ctx, const struct val *pod,
                            struct field_errors *errors)
{
    const struct val *spec = val_get(pod, "spec");
    const struct path *path = AT(NULL, "spec");
    if (val_count(val_get(spec, "ephemeralContainers")) > 0) {
        field_forbidden(errors, AT(path, "ephemeralContainers"), "cannot be set on create");
    }
    if (val_count(val_get(spec, "schedulingGates")) > 0 &&
        val_text(val_get(spec, "nodeName")).n > 0) {
        field_forbidden(errors, AT(path, "nodeName"),
                        "cannot be set until all schedulingGates have been cleared");
    }
    pod_spec_warn(ctx, path, spec);
}

/* Nothing waits for a kubelet that never saw the pod, or has finished with it. */
static int64_t grace_seconds(struct api_context *ctx, const struct val *pod, int64_t asked)
{
    int64_t grace = asked;
    if (asked == -1) {
        grace = val_int(val_path(pod, "spec.terminationGracePeriodSeconds"), 30);
    }
    if (val_text(val_path(pod, "spec.nodeName")).n == 0 || pod_is_finished(pod)) {
        return 0;
    }
    (void)ctx;
    return grace < 0 ? 1 : grace;
}

const struct api_ops ops_pod = {
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .defaults = defaults,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = pod_validate_update,
    .columns = pod_columns,
    .grace_seconds = grace_seconds,
    .generation = true,
    .unconditional_update = true,
    .returns_deleted = true,
};
