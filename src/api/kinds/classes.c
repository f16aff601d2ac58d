/* classes.c: PriorityClass, RuntimeClass, StorageClass: cluster-wide settings that pods and claims
 * name. */
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

static void storage_default(struct arena *arena, struct val *class)
{
    default_text(arena, class, "reclaimPolicy", "Delete");
    default_text(arena, class, "volumeBindingMode", "Immediate");
}

static void parameters_check(struct field_errors *errors, const struct val *parameters)
{
    enum { COUNT_MAX = 512, SIZE_MAX_BYTES = 256 * 1024 };
    const struct path *path = AT(NULL, "parameters");
    size_t total = 0;
    if (val_count(parameters) > COUNT_MAX) {
        field_too_long(errors, path, COUNT_MAX);
        return;
    }
    VAL_EACH (it, parameters) {
        if (it->key.n == 0) {
            field_invalid(errors, path, it->key, "field can not be empty.");
        }
        total += it->key.n + val_text(it).n;
    }
    if (total > SIZE_MAX_BYTES) {
        field_too_long(errors, path, SIZE_MAX_BYTES);
    }
}

static void topologies_check(struct field_errors *errors, const struct val *topologies)
{
    uint32_t t = 0;
    VAL_EACH (term, topologies) {
        const struct path *path = AT_INDEX(AT(NULL, "allowedTopologies"), t++);
        uint32_t e = 0;
        VAL_EACH (expression, val_get(term, "matchLabelExpressions")) {
            const struct path *at = AT_INDEX(AT(path, "matchLabelExpressions"), e++);
            if (val_count(val_get(expression, "values")) == 0) {
                field_required(errors, AT(at, "values"), "");
            }
            check_name(errors, AT(at, "key"), NAME_LABEL_KEY, val_text(val_get(expression, "key")));
        }
    }
}

static void storage_validate(struct api_context *ctx, const struct val *class,
                             struct field_errors *errors)
{
    static const char *const reclaim[] = {"Delete", "Retain", NULL};
    static const char *const modes[] = {"Immediate", "WaitForFirstConsumer", NULL};
    struct str provisioner = val_text(val_get(class, "provisioner"));
    if (provisioner.n == 0) {
        field_required(errors, AT(NULL, "provisioner"), "");
    } else {
        char *lower = str_dup_in(errors->arena, provisioner);
        for (size_t i = 0; i < provisioner.n; i++) {
            lower[i] = (char)(lower[i] >= 'A' && lower[i] <= 'Z' ? lower[i] + 32 : lower[i]);
        }
        check_name(errors, AT(NULL, "provisioner"), NAME_LABEL_KEY, str_at(lower, provisioner.n));
    }
    topologies_check(errors, val_get(class, "allowedTopologies"));
    parameters_check(errors, val_get(class, "parameters"));
    check_one_of(errors, AT(NULL, "reclaimPolicy"), val_text(val_get(class, "reclaimPolicy")),
                 reclaim, false);
    check_one_of(errors, AT(NULL, "volumeBindingMode"),
                 val_text(val_get(class, "volumeBindingMode")), modes, true);
    (void)ctx;
}

static void storage_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    static const char *const fixed[] = {"parameters", "provisioner", "reclaimPolicy",
                                        "volumeBindingMode"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        check_immutable(errors, AT(NULL, fixed[i]), val_get_str(next, str_of(fixed[i])),
                        val_get_str(old, str_of(fixed[i])));
    }
    (void)ctx;
}

static void storage_columns(struct api_context *ctx, const struct val *class, struct val *cells)
{
    const struct val *annotations = val_path(class, "metadata.annotations");
    bool is_default = str_is(
        val_text(val_get(annotations, "storageclass.kubernetes.io/is-default-class")), "true");
    cell_format(ctx, cells, "%.*s%s", STR_ARG(val_name(class)), is_default ? " (default)" : "");
    cell_text(ctx, cells, val_text(val_get(class, "provisioner")));
    cell_text(ctx, cells, val_text(val_get(class, "reclaimPolicy")));
    cell_text(ctx, cells, val_text(val_get(class, "volumeBindingMode")));
    cell_bool(ctx, cells, val_bool(val_get(class, "allowVolumeExpansion"), false));
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
};

const struct api_ops ops_storage_class = {
    .defaults = storage_default,
    .validate = storage_validate,
    .validate_update = storage_validate_update,
    .columns = storage_columns,
    .unconditional_update = true,
};
