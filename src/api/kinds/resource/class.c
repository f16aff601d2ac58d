/* class.c: DeviceClass and DeviceTaintRule: which devices are of one sort, and which are tainted.
 */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/resource/device.h"
#include "api/kinds/storage/storage.h"
#include "api/semantic.h"

enum { CONFIG_MAX = 32 };

/* "acme.io/gpu": prefixed, not Kubernetes' own, and not looking like a quota. */
static bool is_extended_resource(struct arena *arena, struct str name)
{
    struct str quota = str_of(arena_printf(arena, "requests.%.*s", STR_ARG(name)));
    return str_contains(name, STR("/")) && !str_contains(name, STR("kubernetes.io/")) &&
           !str_starts(name, STR("requests.")) && name_is(NAME_LABEL_KEY, quota);
}

static void class_check(struct api_context *ctx, struct field_errors *errors,
                        const struct val *class, const struct val *old)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(class, "spec"), *was = val_get(old, "spec");
    const struct val *config = val_get(spec, "config");
    const struct val *extended = val_get(spec, "extendedResourceName");
    bool stored = old != NULL && semantic_equal(config, val_get(was, "config"));
    uint32_t i = 0;
    if (old == NULL || !semantic_equal(val_get(spec, "selectors"), val_get(was, "selectors"))) {
        selectors_check(errors, AT(path, "selectors"), val_get(spec, "selectors"));
    }
    if (check_length(errors, AT(path, "config"), config, CONFIG_MAX)) {
        VAL_EACH (it, config) {
            opaque_check(errors, AT_INDEX(AT(path, "config"), i++), it, stored);
        }
    }
    if (!val_absent(extended) && !is_extended_resource(errors->arena, val_text(extended))) {
        field_invalid(errors, AT(path, "extendedResourceName"), val_text(extended),
                      "must be a valid extended resource name");
    }
    if (val_count(val_get(spec, "selectors")) > 0) {
        expressions_warn(ctx, class, "DeviceClass");
    }
}

static void class_validate_create(struct api_context *ctx, const struct val *class,
                                  struct field_errors *errors)
{
    class_check(ctx, errors, class, NULL);
}

static void class_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    class_check(ctx, errors, next, old);
}

/* ---- DeviceTaintRule ---- */

static void rule_prepare_create(struct api_context *ctx, struct val *rule)
{
    device_taint_time(ctx, val_path(rule, "spec.taint"));
}

/* timeAdded is since when the taint has its effect. */
static void rule_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    struct val *taint = val_path(next, "spec.taint");
    const struct val *was = val_path(old, "spec.taint");
    if (taint == NULL || ctx->subresource[0] != '\0') {
        return;
    }
    bool changed = !str_eq(val_text(val_get(taint, "effect")), val_text(val_get(was, "effect")));
    bool same_time =
        str_eq(val_text(val_get(taint, "timeAdded")), val_text(val_get(was, "timeAdded")));
    if (changed && same_time) {
        val_unset(taint, STR("timeAdded"));
    }
    device_taint_time(ctx, taint);
}

static void rule_check(struct field_errors *errors, const struct val *rule, const struct val *old)
{
    const struct path *path = AT(NULL, "spec"), *at = AT(path, "deviceSelector");
    const struct val *selector = val_path(rule, "spec.deviceSelector");
    const struct val *driver = val_get(selector, "driver"), *pool = val_get(selector, "pool");
    const struct val *device = val_get(selector, "device");
    if (!val_absent(driver)) {
        csi_driver_name_check(errors, AT(at, "driver"), val_text(driver));
    }
    if (!val_absent(pool)) {
        pool_name_check(errors, AT(at, "pool"), val_text(pool));
    }
    if (!val_absent(device)) {
        device_name_check(errors, AT(at, "device"), val_text(device));
    }
    device_taint_check(errors, AT(path, "taint"), val_path(rule, "spec.taint"),
                       val_path(old, "spec.taint"));
}

static void rule_validate_create(struct api_context *ctx, const struct val *rule,
                                 struct field_errors *errors)
{
    rule_check(errors, rule, NULL);
    (void)ctx;
}

static void rule_validate_update(struct api_context *ctx, const struct val *next,
                                 const struct val *old, struct field_errors *errors)
{
    const struct path *path = AT(AT(NULL, "status"), "conditions");
    const struct val *conditions = val_path(next, "status.conditions");
    if (strcmp(ctx->subresource, "status") != 0) {
        rule_check(errors, next, old);
        return;
    }
    check_conditions(errors, path, conditions);
    check_length(errors, path, conditions, DEVICE_CONDITIONS_MAX);
}

static void rule_columns(struct api_context *ctx, const struct val *rule, struct val *cells)
{
    const struct val *taint = val_path(rule, "spec.taint");
    cell_text(ctx, cells, val_name(rule));
    cell_text(ctx, cells, val_text(val_get(taint, "key")));
    cell_text(ctx, cells, val_text(val_get(taint, "value")));
    cell_text(ctx, cells, val_text(val_get(taint, "effect")));
    cell_since(ctx, cells, val_get(taint, "timeAdded"));
    cell_age(ctx, cells, rule);
}

const struct api_ops ops_device_class = {
    .validate_create = class_validate_create,
    .validate_update = class_validate_update,
    .generation = true,
    .unconditional_update = true,
    .columns = cells_name_age,
    .returns_deleted = true,
};

const struct api_ops ops_device_taint_rule = {
    .prepare_create = rule_prepare_create,
    .prepare_update = rule_prepare_update,
    .validate_create = rule_validate_create,
    .validate_update = rule_validate_update,
    .columns = rule_columns,
    .generation = true,
    .metadata_fixed_in_status = true,
};
