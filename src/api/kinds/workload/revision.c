/* revision.c: ControllerRevisions: states that a StatefulSet or DaemonSet can go back to. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/semantic.h"
#include "api/validation.h"

static void validate(struct api_context *ctx, const struct val *revision,
                     struct field_errors *errors)
{
    check_not_negative(errors, AT(NULL, "revision"), val_get(revision, "revision"));
    (void)ctx;
}

static void validate_create(struct api_context *ctx, const struct val *revision,
                            struct field_errors *errors)
{
    const struct val *data = val_get(revision, "data");
    if (val_absent(data)) {
        field_required(errors, AT(NULL, "data"), "data is mandatory");
    } else if (!val_is(data, VAL_OBJECT)) {
        field_required(errors, AT(NULL, "data"), "data must be a valid JSON object");
    }
    (void)ctx;
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    check_immutable(errors, AT(NULL, "data"), val_get(next, "data"), val_get(old, "data"));
    (void)ctx;
}

/* "statefulset.apps/web" */
static void controller_cell(struct api_context *ctx, const struct val *revision, struct val *cells)
{
    VAL_EACH (owner, val_path(revision, "metadata.ownerReferences")) {
        if (!val_bool(val_get(owner, "controller"), false)) {
            continue;
        }
        struct str group, version, kind = val_text(val_get(owner, "kind"));
        schema_split_version(val_text(val_get(owner, "apiVersion")), &group, &version);
        char *text = arena_printf(ctx->arena, "%.*s%s%.*s", STR_ARG(kind), group.n > 0 ? "." : "",
                                  STR_ARG(group));
        for (char *c = text; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        }
        cell_format(ctx, cells, "%s/%.*s", text, STR_ARG(val_text(val_get(owner, "name"))));
        return;
    }
    cell_text(ctx, cells, STR("<none>"));
}

static void columns(struct api_context *ctx, const struct val *revision, struct val *cells)
{
    cell_text(ctx, cells, val_name(revision));
    controller_cell(ctx, revision, cells);
    cell_int(ctx, cells, val_int(val_get(revision, "revision"), 0));
    cell_age(ctx, cells, revision);
}

const struct api_ops ops_controller_revision = {
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .columns = columns,
    .unconditional_update = true,
};
