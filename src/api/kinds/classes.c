/* classes.c: PriorityClass, RuntimeClass: cluster-wide settings that pods name. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/semantic.h"

static void priority_default(struct arena *arena, struct val *class)
{
    default_text(arena, class, "preemptionPolicy", "PreemptLowerPriority");
}

static void priority_validate(struct api_context *ctx, const struct val *class,
                              struct field_errors *errors)
{
    enum { USER_MAX = 1000000000 };
    static const char *const policies[] = {"PreemptLowerPriority", "Never", NULL};
    struct str name = val_name(class);
    int64_t value = val_int(val_get(class, "value"), 0);
    bool system = str_starts(name, STR("system-"));
    bool known = (str_is(name, "system-node-critical") && value == 2000001000) ||
                 (str_is(name, "system-cluster-critical") && value == 2000000000);
    if (system && !known) {
        field_forbidden(errors, AT(AT(NULL, "metadata"), "name"),
                        "priority class names with 'system-' prefix are reserved for system use "
                        "only. error: %.*s is not a known system priority class",
                        STR_ARG(name));
    } else if (!system && value > USER_MAX) {
        field_forbidden(errors, AT(NULL, "value"),
                        "maximum allowed value of a user defined priority is %d", USER_MAX);
    }
    check_one_of(errors, AT(NULL, "preemptionPolicy"), val_text(val_get(class, "preemptionPolicy")),
                 policies, false);
    (void)ctx;
}

static void priority_validate_update(struct api_context *ctx, const struct val *next,
                                     const struct val *old, struct field_errors *errors)
{
    if (val_int(val_get(next, "value"), 0) != val_int(val_get(old, "value"), 0)) {
        field_forbidden(errors, AT(NULL, "value"), "may not be changed in an update.");
    }
    check_immutable(errors, AT(NULL, "preemptionPolicy"), val_get(next, "preemptionPolicy"),
                    val_get(old, "preemptionPolicy"));
    (void)ctx;
}

static void priority_columns(struct api_context *ctx, const struct val *class, struct val *cells)
{
    cell_text(ctx, cells, val_name(class));
    cell_int(ctx, cells, val_int(val_get(class, "value"), 0));
    cell_bool(ctx, cells, val_bool(val_get(class, "globalDefault"), false));
    cell_age(ctx, cells, class);
    cell_text(ctx, cells, val_text(val_get(class, "preemptionPolicy")));
}

static void runtime_validate(struct api_context *ctx, const struct val *class,
                             struct field_errors *errors)
{
    struct str handler = val_text(val_get(class, "handler"));
    if (handler.n == 0) {
        field_required(errors, AT(NULL, "handler"), "");
    } else {
        check_name(errors, AT(NULL, "handler"), NAME_LABEL, handler);
    }
    const struct val *scheduling = val_get(class, "scheduling");
    check_labels(errors, AT(AT(NULL, "scheduling"), "nodeSelector"),
                 val_get(scheduling, "nodeSelector"));
    tolerations_check(errors, AT(AT(NULL, "scheduling"), "tolerations"),
                      val_get(scheduling, "tolerations"));
    uint32_t i = 0;
    if (!check_length(errors, AT(AT(NULL, "scheduling"), "tolerations"),
                      val_get(scheduling, "tolerations"), LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (toleration, val_get(scheduling, "tolerations")) {
        for (const struct val *it = val_get(scheduling, "tolerations")->child; it != toleration;
             it = it->next) {
            if (semantic_equal(it, toleration)) {
                field_duplicate_val(errors, AT_INDEX(AT(AT(NULL, "scheduling"), "tolerations"), i),
                                    toleration);
                break;
            }
        }
        i++;
    }
    resource_list_check(errors, AT(AT(NULL, "overhead"), "limits"),
                        val_path(class, "overhead.podFixed"));
    (void)ctx;
}

static void runtime_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    check_immutable(errors, AT(NULL, "handler"), val_get(next, "handler"), val_get(old, "handler"));
    (void)ctx;
}

static void runtime_columns(struct api_context *ctx, const struct val *class, struct val *cells)
{
    cell_text(ctx, cells, val_name(class));
    cell_text(ctx, cells, val_text(val_get(class, "handler")));
    cell_age(ctx, cells, class);
}

const struct api_ops ops_priority_class = {
    .defaults = priority_default,
    .validate = priority_validate,
    .validate_update = priority_validate_update,
    .columns = priority_columns,
    .generation = true,
    .unconditional_update = true,
};

const struct api_ops ops_runtime_class = {
    .validate = runtime_validate,
    .validate_update = runtime_validate_update,
    .columns = runtime_columns,
    .create_on_update = true,
    .any_finalizer = true,
};
