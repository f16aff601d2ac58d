/* slice.c: ResourceSlice: some devices of a pool, as their driver tells. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/resource/capacity.h"
#include "api/kinds/resource/device.h"
#include "api/kinds/storage/storage.h"
#include "api/semantic.h"
#include "api/warning.h"

enum {
    DEVICES_MAX = 128,
    DEVICES_MAX_ADVANCED = 64,
    COUNTER_SETS_MAX = 8,
    COUNTERS_MAX = 32,
    CONSUMPTIONS_MAX = 2,
    MEMBERS_MAX = 32, /* attributes and capacities of a device */
    TAINTS_MAX = 16,
    TEXT_MAX = 64,
};

/* ---- which nodes ---- */

struct placement { /* which of the exclusive fields are there */
    int count;
    struct buf names;
};

static void placement_add(struct placement *placement, const char *name)
{
    buf_printf(&placement->names, "%s`%s`", placement->count++ > 0 ? ", " : "", name);
}

static void true_check(struct field_errors *errors, const struct path *path,
                       const struct val *object, const char *name, struct placement *placement)
{
    const struct val *value = val_get_str(object, str_of(name));
    if (val_absent(value)) {
        return;
    }
    if (val_bool(value, false)) {
        placement_add(placement, name);
    } else {
        field_invalid(errors, AT(path, name), STR("false"), "must be either unset or set to true");
    }
}

static void node_check(struct field_errors *errors, const struct path *path,
                       const struct val *object, struct placement *placement)
{
    const struct val *name = val_get(object, "nodeName");
    const struct val *selector = val_get(object, "nodeSelector");
    if (!val_absent(name) && val_text(name).n == 0) {
        field_invalid(errors, AT(path, "nodeName"), val_text(name),
                      "must be either unset or set to a non-empty string");
    } else if (!val_absent(name)) {
        placement_add(placement, "nodeName");
        check_name(errors, AT(path, "nodeName"), NAME_SUBDOMAIN, val_text(name));
    }
    if (!val_absent(selector)) {
        placement_add(placement, "nodeSelector");
        node_selector_check(errors, AT(path, "nodeSelector"), selector);
    }
}

static void placement_finish(struct field_errors *errors, const struct path *path,
                             struct placement *placement, const char *what)
{
    if (placement->count == 0) {
        field_required(errors, path, what);
    } else if (placement->count > 1) {
        struct str names = buf_view(&placement->names);
        field_invalid(errors, path, str_of(arena_printf(errors->arena, "{%.*s}", STR_ARG(names))),
                      "%s, but multiple fields are set", what);
    }
    buf_done(&placement->names);
}

static void slice_nodes_check(struct field_errors *errors, const struct path *path,
                              const struct val *spec)
{
    struct placement placement = {0, BUF_INIT};
    const struct val *selector = val_get(spec, "nodeSelector");
    const struct val *terms = val_get(selector, "nodeSelectorTerms");
    node_check(errors, path, spec, &placement);
    if (!val_absent(selector) && val_count(terms) != 1) {
        field_invalid_val(errors, AT(AT(path, "nodeSelector"), "nodeSelectorTerms"), terms,
                          "must have exactly one node selector term");
    }
    true_check(errors, path, spec, "allNodes", &placement);
    true_check(errors, path, spec, "perDeviceNodeSelection", &placement);
    placement_finish(errors, path, &placement,
                     "exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
                     "`perDeviceNodeSelection` is required");
}

static void device_nodes_check(struct field_errors *errors, const struct path *path,
                               const struct val *device, bool each)
{
    static const char *const members[] = {"nodeName", "nodeSelector", "allNodes"};
    if (each) {
        struct placement placement = {0, BUF_INIT};
        node_check(errors, path, device, &placement);
        true_check(errors, path, device, "allNodes", &placement);
        placement_finish(errors, path, &placement,
                         "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required "
                         "when `perDeviceNodeSelection` is set to true in the ResourceSlice spec");
        return;
    }
    for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
        if (!val_absent(val_get_str(device, str_of(members[m])))) {
            field_invalid_val(errors, path, NULL,
                              "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
                              "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
            return;
        }
    }
}

/* ---- attributes ---- */

static bool is_numeric(struct str part)
{
    for (size_t i = 0; i < part.n; i++) {
        if (part.p[i] < '0' || part.p[i] > '9') {
            return false;
        }
    }
    return part.n > 0;
}

/* Identifiers between dots; `numbers_plain`: numeric ones have no leading zero. */
static bool identifiers_good(struct str text, bool numbers_plain)
{
    struct str rest = text;
    while (rest.p != NULL) {
        struct str part = str_cut(rest, '.', &rest);
        for (size_t i = 0; i < part.n; i++) {
            char c = part.p[i];
            bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-';
            if (!good) {
                return false;
            }
        }
        if (part.n == 0 || (numbers_plain && is_numeric(part) && part.n > 1 && part.p[0] == '0')) {
            return false;
        }
    }
    return true;
}

/* semver.org 2.0.0 */
static bool is_version(struct str text)
{
    struct str build, release;
    struct str core = str_cut(text, '+', &build);
    core = str_cut(core, '-', &release);
    int parts = 0;
    struct str rest = core;
    while (rest.p != NULL) {
        struct str part = str_cut(rest, '.', &rest);
        parts++;
        if (!is_numeric(part) || (part.n > 1 && part.p[0] == '0')) {
            return false;
        }
    }
    return parts == 3 && (release.p == NULL || identifiers_good(release, true)) &&
           (build.p == NULL || identifiers_good(build, false));
}

static void attribute_check(struct field_errors *errors, const struct path *path,
                            const struct val *attribute)
{
    static const char *const members[] = {"bool", "int", "string", "version"};
    struct str text = val_text(val_get(attribute, "string"));
    const struct val *version = val_get(attribute, "version");
    int count = 0;
    for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
        count += !val_absent(val_get_str(attribute, str_of(members[m])));
    }
    if (text.n > TEXT_MAX) {
        field_too_long(errors, AT(path, "string"), TEXT_MAX);
    }
    if (!val_absent(version) && !is_version(val_text(version))) {
        field_invalid(errors, AT(path, "version"), val_text(version),
                      "must be a string compatible with semver.org spec 2.0.0");
    }
    if (val_text(version).n > TEXT_MAX) {
        field_too_long(errors, AT(path, "version"), TEXT_MAX);
    }
    if (count != 1) {
        field_invalid_val(errors, path, count == 0 ? NULL : attribute,
                          "exactly one value must be specified");
    }
}

/* ---- counters ---- */

static void counters_check(struct field_errors *errors, const struct path *path,
                           const struct val *counters)
{
    if (val_count(counters) == 0) {
        field_required(errors, path, "");
        return;
    }
    if (check_length(errors, path, counters, COUNTERS_MAX)) {
        VAL_EACH (it, counters) {
            device_name_check(errors, path, it->key);
        }
    }
}

static void counter_list_check(struct field_errors *errors, const struct path *path,
                               const struct val *list, const char *name, uint32_t max)
{
    uint32_t i = 0;
    if (!check_length(errors, path, list, max)) {
        return;
    }
    VAL_EACH (it, list) {
        const struct path *at = AT_INDEX(path, i++);
        struct str text = val_text(val_get_str(it, str_of(name)));
        if (text.n == 0) {
            field_required(errors, AT(at, name), "");
        } else {
            device_name_check(errors, AT(at, name), text);
        }
        counters_check(errors, AT(at, "counters"), val_get(it, "counters"));
    }
    repeated_members_check(errors, path, list, name);
}

/* ---- devices ---- */

static void device_members_check(struct field_errors *errors, const struct path *path,
                                 const struct val *device, const struct val *old)
{
    const struct val *attributes = val_get(device, "attributes");
    const struct val *capacity = val_get(device, "capacity");
    bool shared = val_bool(val_get(device, "allowMultipleAllocations"), false);
    uint32_t count = val_count(attributes) + val_count(capacity);
    if (count > MEMBERS_MAX) {
        field_invalid_int(errors, path, count,
                          "the total number of attributes and capacities must not exceed %d",
                          MEMBERS_MAX);
    }
    VAL_EACH (it, attributes) {
        qualified_name_check(errors, AT(path, "attributes"), it->key, false);
        attribute_check(errors, AT_KEY(AT(path, "attributes"), it->key), it);
    }
    if (old != NULL && semantic_equal(capacity, val_get(old, "capacity"))) {
        return;
    }
    VAL_EACH (it, capacity) {
        qualified_name_check(errors, AT(path, "capacity"), it->key, false);
        capacity_check(errors, AT_KEY(AT(path, "capacity"), it->key), it, shared);
    }
}

static void device_check(struct field_errors *errors, const struct path *path,
                         const struct val *device, const struct val *old, bool each)
{
    const struct val *taints = val_get(device, "taints");
    const struct path *taints_at = AT(path, "taints");
    uint32_t i = 0;
    device_name_check(errors, AT(path, "name"), val_text(val_get(device, "name")));
    device_members_check(errors, path, device, old);
    if ((old == NULL || !semantic_equal(taints, val_get(old, "taints"))) &&
        check_length(errors, taints_at, taints, TAINTS_MAX)) {
        VAL_EACH (it, taints) {
            device_taint_check(errors, AT_INDEX(taints_at, i++), it, NULL);
        }
    }
    counter_list_check(errors, AT(path, "consumesCounters"), val_get(device, "consumesCounters"),
                       "counterSet", CONSUMPTIONS_MAX);
    device_nodes_check(errors, path, device, each);
    binding_conditions_check(errors, path, device);
}

static uint32_t devices_max(const struct val *devices)
{
    VAL_EACH (it, devices) {
        if (val_count(val_get(it, "taints")) > 0 ||
            val_count(val_get(it, "consumesCounters")) > 0) {
            return DEVICES_MAX_ADVANCED;
        }
    }
    return DEVICES_MAX;
}

static void pool_check(struct field_errors *errors, const struct path *path, const struct val *pool)
{
    int64_t count = val_int(val_get(pool, "resourceSliceCount"), 0);
    pool_name_check(errors, AT(path, "name"), val_text(val_get(pool, "name")));
    if (count <= 0) {
        field_invalid_int(errors, AT(path, "resourceSliceCount"), count,
                          "must be greater than zero");
    }
    check_not_negative(errors, AT(path, "generation"), val_get(pool, "generation"));
}

static void slice_warn(struct api_context *ctx, const struct path *path, struct str driver)
{
    for (size_t i = 0; i < driver.n; i++) {
        if (driver.p[i] >= 'A' && driver.p[i] <= 'Z') {
            api_warn(ctx, path,
                     "driver names should be lowercase; \"%.*s\" contains uppercase characters",
                     STR_ARG(driver));
            return;
        }
    }
}

static void slice_check(struct api_context *ctx, struct field_errors *errors,
                        const struct val *slice, const struct val *old)
{
    const struct path *path = AT(NULL, "spec"), *list = AT(path, "devices");
    const struct val *spec = val_get(slice, "spec"), *was = val_get(old, "spec");
    const struct val *devices = val_get(spec, "devices");
    const struct val *sets = val_get(spec, "sharedCounters");
    struct str driver = val_text(val_get(spec, "driver"));
    bool each = val_bool(val_get(spec, "perDeviceNodeSelection"), false);
    uint32_t i = 0;
    csi_driver_name_check(errors, AT(path, "driver"), driver);
    slice_warn(ctx, AT(path, "driver"), driver);
    pool_check(errors, AT(path, "pool"), val_get(spec, "pool"));
    if (old != NULL) {
        check_immutable(errors, AT(AT(path, "pool"), "name"), val_path(spec, "pool.name"),
                        val_path(was, "pool.name"));
        check_immutable(errors, AT(path, "driver"), val_get(spec, "driver"),
                        val_get(was, "driver"));
        check_immutable(errors, AT(path, "nodeName"), val_get(spec, "nodeName"),
                        val_get(was, "nodeName"));
    }
    slice_nodes_check(errors, path, spec);
    if (!val_absent(sets) && !val_absent(devices)) {
        field_invalid(errors, path, STR(""),
                      "only one of `sharedCounters` or `devices` is allowed");
    }
    if (check_length(errors, list, devices, devices_max(devices))) {
        VAL_EACH (it, devices) {
            const struct val *before =
                val_find(val_get(was, "devices"), "name", val_text(val_get(it, "name")));
            device_check(errors, AT_INDEX(list, i++), it, before, each);
        }
        repeated_members_check(errors, list, devices, "name");
    }
    counter_list_check(errors, AT(path, "sharedCounters"), sets, "name", COUNTER_SETS_MAX);
}

/* Members behind gates that are off, as upstream drops them; times of taints. */
static void slice_prepare(struct api_context *ctx, struct val *slice)
{
    static const char *const lists[] = {"ints", "bools", "strings", "versions"};
    struct val *spec = val_get(slice, "spec");
    if (spec == NULL) {
        return;
    }
    val_unset(spec, STR("partitionTypeAttribute"));
    val_unset(spec, STR("skipNodeOperations"));
    VAL_EACH (device, val_get(spec, "devices")) {
        val_unset(device, STR("nodeAllocatableResources"));
        VAL_EACH (attribute, val_get(device, "attributes")) {
            for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
                val_unset(attribute, str_of(lists[i]));
            }
        }
        VAL_EACH (consumption, val_get(device, "consumesCounters")) {
            val_unset(consumption, STR("compatibilityGroups"));
        }
        VAL_EACH (taint, val_get(device, "taints")) {
            device_taint_time(ctx, taint);
        }
    }
}

static void slice_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    slice_prepare(ctx, next);
    (void)old;
}

static void slice_validate_create(struct api_context *ctx, const struct val *slice,
                                  struct field_errors *errors)
{
    slice_check(ctx, errors, slice, NULL);
}

static void slice_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    slice_check(ctx, errors, next, old);
}

static void slice_columns(struct api_context *ctx, const struct val *slice, struct val *cells)
{
    const struct val *spec = val_get(slice, "spec");
    cell_text(ctx, cells, val_name(slice));
    cell_text(ctx, cells, val_text(val_get(spec, "nodeName")));
    cell_text(ctx, cells, val_text(val_get(spec, "driver")));
    cell_text(ctx, cells, val_text(val_path(spec, "pool.name")));
    cell_age(ctx, cells, slice);
}

const struct api_ops ops_resource_slice = {
    .prepare_create = slice_prepare,
    .prepare_update = slice_prepare_update,
    .validate_create = slice_validate_create,
    .validate_update = slice_validate_update,
    .columns = slice_columns,
    .generation = true,
    .unconditional_update = true,
    .returns_deleted = true,
};
