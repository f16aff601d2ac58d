/* node.c: Nodes: defaults, validation, row. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/quantity.h"
#include "api/semantic.h"
#include "api/validation.h"

static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};

static void defaults(struct arena *arena, struct val *node)
{
    struct val *spec = val_get(node, "spec");
    struct str cidr = val_text(val_get(spec, "podCIDR"));
    struct str first = val_text(val_at(val_get(spec, "podCIDRs"), 0));
    if (cidr.n > 0 && !str_eq(cidr, first)) { /* the old field wins, as the API converts them */
        struct val *list = default_put(spec, STR("podCIDRs"), val_new(arena, VAL_ARRAY));
        val_append(list, val_new_text(arena, cidr))->field = list->field;
    } else if (cidr.n == 0 && first.n > 0) {
        default_put(spec, STR("podCIDR"), val_new_text(arena, first));
    }
    struct val *status = val_get(node, "status");
    struct val *capacity = val_get(status, "capacity");
    default_resource_list(arena, capacity);
    default_resource_list(arena, val_get(status, "allocatable"));
    if (val_count(capacity) > 0 && val_absent(val_get(status, "allocatable"))) {
        struct val *copy = val_copy(arena, capacity);
        default_put(status, STR("allocatable"), copy);
    }
}

static void taints_check(struct field_errors *errors, const struct path *path,
                         const struct val *taints)
{
    uint32_t i = 0;
    if (!check_length(errors, path, taints, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (taint, taints) {
        const struct path *at = AT_INDEX(path, i++);
        struct str key = val_text(val_get(taint, "key"));
        struct str effect = val_text(val_get(taint, "effect"));
        check_name(errors, AT(at, "key"), NAME_LABEL_KEY, key);
        check_name(errors, AT(at, "value"), NAME_LABEL_VALUE, val_text(val_get(taint, "value")));
        check_one_of(errors, AT(at, "effect"), effect, effects, true);
        VAL_EACH (other, taints) {
            if (other == taint) {
                break;
            }
            if (str_eq(val_text(val_get(other, "key")), key) &&
                str_eq(val_text(val_get(other, "effect")), effect)) {
                field_error_add(errors, "FieldValueDuplicate", path_text(errors, at),
                                "Duplicate value: \"%.*s\": taints must be unique by key and "
                                "effect pair",
                                STR_ARG(key));
                break;
            }
        }
    }
}

static void cidrs_check(struct field_errors *errors, const struct path *path,
                        const struct val *cidrs)
{
    int seen[2] = {0, 0};
    uint32_t i = 0;
    VAL_EACH (cidr, cidrs) {
        uint8_t bytes[16];
        int bits;
        int family = name_cidr_parse(val_text(cidr), bytes, &bits);
        if (family == 0) {
            field_invalid(errors, AT_INDEX(path, i), val_text(cidr),
                          "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        } else {
            seen[family == 6]++;
        }
        i++;
    }
    if (seen[0] > 1 || seen[1] > 1 || val_count(cidrs) > 2) {
        field_invalid_val(errors, path, cidrs,
                          "may specify no more than one CIDR for each IP family");
    }
}

static void resource_values_check(struct field_errors *errors, const struct path *path,
                                  const struct val *list)
{
    VAL_EACH (it, list) {
        struct quantity q;
        const struct path *at = AT(path, str_dup_in(errors->arena, it->key));
        if (!quantity_parse(val_text(it), &q)) {
            continue;
        }
        if (q.nano < 0) {
            field_invalid(errors, at, val_text(it), "must be greater than or equal to 0");
        }
        bool extended =
            str_contains(it->key, STR("/")) && !str_contains(it->key, STR("kubernetes.io/"));
        if (extended && q.nano % 1000000000 != 0) {
            field_invalid(errors, at, val_text(it), "must be an integer");
        }
    }
}

static void status_check(struct field_errors *errors, const struct val *status)
{
    const struct path *path = AT(NULL, "status");
    resource_values_check(errors, AT(path, "capacity"), val_get(status, "capacity"));
    resource_values_check(errors, AT(path, "allocatable"), val_get(status, "allocatable"));
}

static void addresses_check(struct field_errors *errors, const struct val *status)
{
    const struct path *path = AT(NULL, "status");
    const struct val *addresses = val_get(status, "addresses");
    uint32_t i = 0;
    if (!check_length(errors, AT(path, "addresses"), addresses, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (address, addresses) {
        VAL_EACH (other, addresses) {
            if (other == address) {
                break;
            }
            if (semantic_equal(other, address)) {
                field_duplicate_val(errors, AT_INDEX(AT(path, "addresses"), i), address);
                break;
            }
        }
        i++;
    }
}

static void validate(struct api_context *ctx, const struct val *node, struct field_errors *errors)
{
    const struct val *spec = val_get(node, "spec");
    const struct path *path = AT(NULL, "spec");
    taints_check(errors, AT(AT(NULL, "metadata"), "taints"), val_get(spec, "taints"));
    cidrs_check(errors, AT(path, "podCIDRs"), val_get(spec, "podCIDRs"));
    status_check(errors, val_get(node, "status"));
    (void)ctx;
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    const struct path *path = AT(NULL, "spec");
    if (strcmp(ctx->subresource, "status") == 0) {
        status_check(errors, val_get(next, "status"));
        addresses_check(errors, val_get(next, "status"));
        return;
    }
    if (val_count(val_get(was, "podCIDRs")) > 0 &&
        !semantic_equal(val_get(was, "podCIDRs"), val_get(spec, "podCIDRs"))) {
        field_forbidden(errors, AT(path, "podCIDRs"),
                        "node updates may not change podCIDR except from \"\" to valid");
    }
    struct str provider = val_text(val_get(was, "providerID"));
    struct str now = val_text(val_get(spec, "providerID"));
    if (provider.n > 0 && !str_eq(provider, now)) {
        field_invalid_val(errors, AT(path, "providerID"), NULL, "field cannot be %s once set",
                          now.n == 0 ? "cleared" : "modified");
    }
}

static void roles_cell(struct api_context *ctx, const struct val *node, struct val *cells)
{
    const struct str prefix = STR("node-role.kubernetes.io/");
    struct val *roles = val_new(ctx->arena, VAL_OBJECT); /* a set, sorted by the cell */
    VAL_EACH (label, val_path(node, "metadata.labels")) {
        struct str role = STR_NONE;
        if (str_starts(label->key, prefix)) {
            role = str_from(label->key, prefix.n);
        } else if (str_is(label->key, "kubernetes.io/role")) {
            role = val_text(label);
        }
        if (role.n > 0) {
            val_set_text(ctx->arena, roles, role, role);
        }
    }
    cell_or_none(ctx, cells, cell_keys_text(ctx, roles));
}

static struct str address_of(const struct val *node, const char *type)
{
    return val_text(
        val_get(val_find(val_path(node, "status.addresses"), "type", str_of(type)), "address"));
}

static void wide_columns(struct api_context *ctx, const struct val *node, struct val *cells)
{
    const struct val *info = val_path(node, "status.nodeInfo");
    struct str image = val_text(val_get(info, "osImage"));
    struct str kernel = val_text(val_get(info, "kernelVersion"));
    struct str runtime = val_text(val_get(info, "containerRuntimeVersion"));
    struct str arch = val_text(val_get(info, "architecture"));
    cell_or_none(ctx, cells, address_of(node, "InternalIP"));
    cell_or_none(ctx, cells, address_of(node, "ExternalIP"));
    cell_text(ctx, cells, image.n > 0 ? image : STR("<unknown>"));
    kernel = kernel.n > 0 ? kernel : STR("<unknown>");
    if (arch.n > 0) {
        cell_format(ctx, cells, "%.*s (%.*s)", STR_ARG(kernel), STR_ARG(arch));
    } else {
        cell_text(ctx, cells, kernel);
    }
    cell_text(ctx, cells, runtime.n > 0 ? runtime : STR("<unknown>"));
}

static void columns(struct api_context *ctx, const struct val *node, struct val *cells)
{
    const struct val *ready = val_find(val_path(node, "status.conditions"), "type", STR("Ready"));
    const char *state = ready == NULL                                        ? "Unknown"
                        : str_is(val_text(val_get(ready, "status")), "True") ? "Ready"
                                                                             : "NotReady";
    bool cordoned = val_bool(val_path(node, "spec.unschedulable"), false);
    cell_text(ctx, cells, val_name(node));
    cell_format(ctx, cells, "%s%s", state, cordoned ? ",SchedulingDisabled" : "");
    roles_cell(ctx, node, cells);
    cell_age(ctx, cells, node);
    cell_text(ctx, cells, val_text(val_path(node, "status.nodeInfo.kubeletVersion")));
    wide_columns(ctx, node, cells);
}

const struct api_ops ops_node = {
    .defaults = defaults,
    .validate = validate,
    .validate_update = validate_update,
    .columns = columns,
    .keeps_status_on_create = true,
    .unconditional_update = true,
};
