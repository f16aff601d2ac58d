/* service_range.c: ServiceCIDR and IPAddress: where Services get their addresses, and who has
 * which. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"

enum { RANGES_MAX = 2 };

static int family_of(const struct val *range)
{
    uint8_t bytes[16];
    int bits;
    return name_cidr_parse(val_text(range), bytes, &bits);
}

static void ranges_check(struct field_errors *errors, const struct path *path,
                         const struct val *ranges)
{
    if (val_count(ranges) == 0) {
        field_required(errors, path, "at least one CIDR required");
        return;
    }
    if (ranges->count > RANGES_MAX) {
        field_invalid_val(errors, path, ranges, "may only hold up to 2 values");
        return;
    }
    uint32_t i = 0;
    VAL_EACH (range, ranges) {
        check_range(errors, AT_INDEX(path, i++), val_text(range), true);
    }
    int first = family_of(ranges->child);
    if (ranges->count == RANGES_MAX && first != 0 && first == family_of(ranges->last)) {
        field_invalid_val(errors, path, ranges,
                          "may specify no more than one IP for each IP family, i.e "
                          "192.168.0.0/24 and 2001:db8::/64");
    }
}

static void range_validate_create(struct api_context *ctx, const struct val *object,
                                  struct field_errors *errors)
{
    ranges_check(errors, AT(AT(NULL, "spec"), "cidrs"), val_path(object, "spec.cidrs"));
    (void)ctx;
}

/* A range never changes; a second one, of the other family, may be added. */
static void range_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    const struct path *path = AT(AT(NULL, "spec"), "cidrs");
    const struct val *ranges = val_path(next, "spec.cidrs"), *was = val_path(old, "spec.cidrs");
    bool grown = val_count(was) == 1 && val_count(ranges) == RANGES_MAX;
    if (ctx->subresource[0] != '\0') {
        return;
    }
    if (!grown && val_count(was) != val_count(ranges)) {
        field_invalid_val(errors, path, ranges, "field is immutable");
        return;
    }
    for (uint32_t i = 0; i < val_count(was); i++) {
        struct str range = val_text(val_at(ranges, i));
        if (!str_eq(range, val_text(val_at(was, i)))) {
            field_invalid(errors, AT_INDEX(path, i), range, "field is immutable");
        }
    }
    if (grown) {
        ranges_check(errors, path, ranges);
    }
}

static void range_columns(struct api_context *ctx, const struct val *object, struct val *cells)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    VAL_EACH (range, val_path(object, "spec.cidrs")) {
        buf_printf(&out, "%s%.*s", out.n > 0 ? "," : "", STR_ARG(val_text(range)));
    }
    cell_text(ctx, cells, val_name(object));
    cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&out)));
    cell_age(ctx, cells, object);
}

static void parent_check(struct field_errors *errors, const struct path *path,
                         const struct val *parent)
{
    static const char *const members[] = {"resource", "name", "namespace"};
    struct str group = val_text(val_get(parent, "group"));
    if (group.n > 0) {
        check_name(errors, AT(path, "group"), NAME_SUBDOMAIN, group);
    }
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct str value = val_text(val_get_str(parent, str_of(members[i])));
        if (value.n > 0) {
            check_name(errors, AT(path, members[i]), NAME_PATH, value);
        } else if (strcmp(members[i], "namespace") != 0) {
            field_required(errors, AT(path, members[i]), "");
        }
    }
}

static void address_validate(struct api_context *ctx, const struct val *address,
                             struct field_errors *errors)
{
    const struct path *path = AT(AT(NULL, "spec"), "parentRef");
    const struct val *parent = val_path(address, "spec.parentRef");
    if (val_absent(parent)) {
        field_required(errors, path, "");
    } else {
        parent_check(errors, path, parent);
    }
    (void)ctx;
}

static void address_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    uint8_t bytes[16];
    struct str prefix = val_text(val_path(next, "metadata.generateName"));
    if (prefix.n > 0 && name_ip_parse(prefix, bytes) == 0) {
        field_invalid(errors, AT(AT(NULL, "metadata"), "generateName"), prefix,
                      "must be an address: no prefix is one");
    }
    check_immutable(errors, AT(AT(NULL, "spec"), "parentRef"), val_path(next, "spec.parentRef"),
                    val_path(old, "spec.parentRef"));
    (void)ctx;
}

/* One cell more than there are columns, as upstream answers. */
static void address_columns(struct api_context *ctx, const struct val *address, struct val *cells)
{
    const struct val *parent = val_path(address, "spec.parentRef");
    struct str group = val_text(val_get(parent, "group"));
    struct str ns = val_text(val_get(parent, "namespace"));
    cell_text(ctx, cells, val_name(address));
    if (val_absent(parent)) {
        cell_text(ctx, cells, STR("<none>"));
    } else {
        cell_format(ctx, cells, "%.*s%s%.*s%s%.*s/%.*s",
                    STR_ARG(val_text(val_get(parent, "resource"))), group.n > 0 ? "." : "",
                    STR_ARG(group), ns.n > 0 ? "/" : "", STR_ARG(ns),
                    STR_ARG(val_text(val_get(parent, "name"))));
    }
    cell_age(ctx, cells, address);
}

const struct api_ops ops_service_range = {
    .validate_create = range_validate_create,
    .validate_update = range_validate_update,
    .columns = range_columns,
    .unconditional_update = true,
    .metadata_fixed_in_status = true,
};

const struct api_ops ops_address = {
    .validate = address_validate,
    .validate_update = address_validate_update,
    .columns = address_columns,
    .unconditional_update = true,
    .name_rule = "address",
};
