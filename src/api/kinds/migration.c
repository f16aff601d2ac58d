/* migration.c: StorageVersionMigration: asks that objects be written anew. Data: what is stored
 * here is converted when it is read. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"

static void one_complaint(struct field_errors *errors, const struct path *path, enum name_rule rule,
                          struct str text)
{
    struct name_complaints complaints;
    if (!name_check(rule, text, &complaints)) {
        field_invalid(errors, path, text, "%s", complaints.items[0]);
    }
}

static void migration_validate(struct api_context *ctx, const struct val *migration,
                               struct field_errors *errors)
{
    const struct path *path = AT(AT(NULL, "spec"), "resource");
    const struct val *resource = val_path(migration, "spec.resource");
    struct str name = val_text(val_get(resource, "resource"));
    struct str group = val_text(val_get(resource, "group"));
    if (name.n == 0) {
        field_required(errors, AT(path, "resource"), "resource is required to be set");
    } else {
        one_complaint(errors, AT(path, "resource"), NAME_LABEL_1035, name);
    }
    if (group.n > 0) {
        one_complaint(errors, AT(path, "group"), NAME_SUBDOMAIN, group);
    }
    (void)ctx;
}

static bool is_true(const struct val *migration, const char *type)
{
    const struct val *condition =
        val_find(val_path(migration, "status.conditions"), "type", str_of(type));
    return str_is(val_text(val_get(condition, "status")), "True");
}

static void status_check(struct field_errors *errors, const struct val *next, const struct val *old)
{
    static const char *const ends[] = {"Succeeded", "Failed"};
    const struct path *path = AT(NULL, "status"), *list = AT(path, "conditions");
    const struct val *conditions = val_path(next, "status.conditions");
    struct str version = val_text(val_path(next, "status.resourceVersion"));
    struct str was = val_text(val_path(old, "status.resourceVersion"));
    uint64_t number;
    if (version.n > 0 && (!str_u64(version, &number) || version.p[0] == '0')) {
        field_invalid(errors, AT(path, "resourceVersion"), version,
                      "must be a positive integer without leading zeros");
    }
    check_conditions(errors, list, conditions);
    if (was.n > 0 && !str_eq(was, version)) {
        field_invalid(errors, AT(path, "resourceVersion"), version, "field is immutable");
    }
    if (is_true(next, ends[0]) && is_true(next, ends[1])) {
        field_invalid_val(errors, list, conditions,
                          "Both success and failed conditions cannot be true at the same time");
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (is_true(old, ends[i]) && !is_true(next, ends[i])) {
            field_invalid_val(errors, list, conditions,
                              "%s condition cannot be set to false once it is true", ends[i]);
        }
    }
}

static void migration_validate_update(struct api_context *ctx, const struct val *next,
                                      const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        status_check(errors, next, old);
    } else {
        check_immutable(errors, AT(NULL, "spec"), val_get(next, "spec"), val_get(old, "spec"));
    }
}

static void migration_columns(struct api_context *ctx, const struct val *migration,
                              struct val *cells)
{
    const struct val *resource = val_path(migration, "spec.resource");
    struct str group = val_text(val_get(resource, "group")), status = STR("Unknown");
    VAL_EACH (it, val_path(migration, "status.conditions")) {
        struct str type = val_text(val_get(it, "type"));
        bool told = str_is(type, "Running") || str_is(type, "Failed") || str_is(type, "Succeeded");
        if (told && str_is(val_text(val_get(it, "status")), "True")) {
            status = type;
        }
    }
    cell_text(ctx, cells, val_name(migration));
    cell_format(ctx, cells, "%.*s%s%.*s", STR_ARG(val_text(val_get(resource, "resource"))),
                group.n > 0 ? "." : "", STR_ARG(group));
    cell_text(ctx, cells, status);
}

const struct api_ops ops_migration = {
    .validate = migration_validate,
    .validate_update = migration_validate_update,
    .columns = migration_columns,
    .metadata_fixed_in_status = true,
};
