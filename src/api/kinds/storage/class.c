/* class.c: StorageClasses and VolumeAttributesClasses: defaults, validation, rows. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/storage/storage.h"
#include "api/semantic.h"
#include "api/warning.h"

static void storage_default(struct arena *arena, struct val *class)
{
    default_text(arena, class, "reclaimPolicy", "Delete");
    default_text(arena, class, "volumeBindingMode", "Immediate");
}

/* A qualified name in any case. */
static void provisioner_check(struct field_errors *errors, const struct path *path,
                              struct str provisioner)
{
    if (provisioner.n == 0) {
        field_required(errors, path, "");
        return;
    }
    char *lower = str_dup_in(errors->arena, provisioner);
    for (size_t i = 0; i < provisioner.n; i++) {
        lower[i] = (char)(lower[i] >= 'A' && lower[i] <= 'Z' ? lower[i] + 32 : lower[i]);
    }
    check_name(errors, path, NAME_LABEL_KEY, str_at(lower, provisioner.n));
}

static void parameters_check(struct field_errors *errors, const struct val *parameters,
                             bool may_be_empty)
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
    if (!may_be_empty && val_count(parameters) == 0) {
        field_required(errors, path, "must contain at least one key/value pair");
    }
}

static bool has_text(const struct val *list, const struct val *end, struct str text)
{
    for (const struct val *it = list->child; it != end && it != NULL; it = it->next) {
        if (str_eq(val_text(it), text)) {
            return true;
        }
    }
    return false;
}

static void expression_check(struct field_errors *errors, const struct path *path,
                             const struct val *expressions, const struct val *expression)
{
    struct str key = val_text(val_get(expression, "key"));
    const struct val *values = val_get(expression, "values");
    if (val_count(values) == 0) {
        field_required(errors, AT(path, "values"), "");
    }
    if (check_length(errors, AT(path, "values"), values, LIST_LENGTH_MAX)) {
        uint32_t i = 0;
        VAL_EACH (value, values) {
            if (has_text(values, value, val_text(value))) {
                field_duplicate(errors, AT_INDEX(AT(path, "values"), i), val_text(value));
            }
            i++;
        }
    }
    check_name(errors, AT(path, "key"), NAME_LABEL_KEY, key);
    if (list_repeats(expressions, expression, "key")) {
        field_duplicate(errors, AT(path, "key"), key);
    }
}

/* Terms are compared as sets of sets: neither keys nor values have an order. */
static bool same_values(const struct val *a, const struct val *b)
{
    bool same = val_count(a) == val_count(b);
    VAL_EACH (value, a) {
        same = same && has_text(b, NULL, val_text(value));
    }
    return same;
}

static bool same_term(const struct val *a, const struct val *b)
{
    const struct val *left = val_get(a, "matchLabelExpressions");
    const struct val *right = val_get(b, "matchLabelExpressions");
    if (val_count(left) != val_count(right)) {
        return false;
    }
    VAL_EACH (expression, left) {
        const struct val *other = val_find(right, "key", val_text(val_get(expression, "key")));
        if (other == NULL ||
            !same_values(val_get(expression, "values"), val_get(other, "values"))) {
            return false;
        }
    }
    return true;
}

static void topologies_check(struct field_errors *errors, const struct val *topologies)
{
    uint32_t t = 0;
    if (!check_length(errors, AT(NULL, "allowedTopologies"), topologies, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (term, topologies) {
        const struct path *path = AT_INDEX(AT(NULL, "allowedTopologies"), t++);
        const struct path *at = AT(path, "matchLabelExpressions");
        const struct val *expressions = val_get(term, "matchLabelExpressions");
        uint32_t e = 0;
        if (!check_length(errors, at, expressions, LIST_LENGTH_MAX)) {
            return;
        }
        VAL_EACH (expression, expressions) {
            expression_check(errors, AT_INDEX(at, e++), expressions, expression);
        }
        bool repeated = val_count(expressions) == 0; /* the API takes it for a second one */
        for (const struct val *it = topologies->child; it != term && !repeated; it = it->next) {
            repeated = same_term(it, term);
        }
        if (repeated) {
            field_duplicate(errors, at, STR(""));
        }
    }
}

static void storage_validate(struct api_context *ctx, const struct val *class,
                             struct field_errors *errors)
{
    static const char *const reclaim[] = {"Delete", "Retain", NULL};
    static const char *const modes[] = {"Immediate", "WaitForFirstConsumer", NULL};
    provisioner_check(errors, AT(NULL, "provisioner"), val_text(val_get(class, "provisioner")));
    topologies_check(errors, val_get(class, "allowedTopologies"));
    parameters_check(errors, val_get(class, "parameters"), true);
    check_one_of(errors, AT(NULL, "reclaimPolicy"), val_text(val_get(class, "reclaimPolicy")),
                 reclaim, false);
    check_optional_one_of(errors, AT(NULL, "volumeBindingMode"),
                          val_get(class, "volumeBindingMode"), modes);
    (void)ctx;
}

static void storage_warn(struct api_context *ctx, const struct val *class)
{
    uint32_t t = 0;
    VAL_EACH (term, val_get(class, "allowedTopologies")) {
        const struct path *path =
            AT(AT_INDEX(AT(NULL, "allowedTopologies"), t++), "matchLabelExpressions");
        uint32_t e = 0;
        VAL_EACH (expression, val_get(term, "matchLabelExpressions")) {
            const char *text = node_label_deprecation(val_text(val_get(expression, "key")));
            if (text != NULL) {
                api_warn(ctx, AT(AT_INDEX(path, e), "key"), "%s", text);
            }
            e++;
        }
    }
}

static void storage_validate_create(struct api_context *ctx, const struct val *class,
                                    struct field_errors *errors)
{
    storage_warn(ctx, class);
    (void)errors;
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
    storage_warn(ctx, next);
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

const struct api_ops ops_storage_class = {
    .defaults = storage_default,
    .validate = storage_validate,
    .validate_create = storage_validate_create,
    .validate_update = storage_validate_update,
    .columns = storage_columns,
    .unconditional_update = true,
    .returns_deleted = true,
};

/* ---- VolumeAttributesClass ---- */

static void attributes_validate(struct api_context *ctx, const struct val *class,
                                struct field_errors *errors)
{
    provisioner_check(errors, AT(NULL, "driverName"), val_text(val_get(class, "driverName")));
    parameters_check(errors, val_get(class, "parameters"), false);
    (void)ctx;
}

static void attributes_validate_update(struct api_context *ctx, const struct val *next,
                                       const struct val *old, struct field_errors *errors)
{
    static const char *const fixed[] = {"driverName", "parameters"};
    for (int i = 0; i < 2; i++) {
        struct str name = str_of(fixed[i]);
        if (!semantic_equal(val_get_str(next, name), val_get_str(old, name))) {
            field_forbidden(errors, AT(NULL, fixed[i]), "updates to %s are forbidden.", fixed[i]);
        }
    }
    (void)ctx;
}

static void attributes_columns(struct api_context *ctx, const struct val *class, struct val *cells)
{
    cell_text(ctx, cells, val_name(class));
    cell_text(ctx, cells, val_text(val_get(class, "driverName")));
    cell_age(ctx, cells, class);
}

const struct api_ops ops_volume_attributes_class = {
    .validate = attributes_validate,
    .validate_update = attributes_validate_update,
    .columns = attributes_columns,
    .unconditional_update = true,
    .returns_deleted = true,
};
