/* access.c: how volumes are used: access modes, volume modes, and the cells about them. */
#include "api/kinds/cells.h"
#include "api/kinds/storage/storage.h"

static const char *const access_modes[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                           "ReadWriteOncePod", NULL};

void access_modes_check(struct field_errors *errors, const struct path *path,
                        const struct val *modes, const char *missing)
{
    bool single = false, other = false;
    if (val_count(modes) == 0) {
        field_required(errors, path, missing);
    }
    VAL_EACH (mode, modes) {
        struct str name = val_text(mode);
        bool known = false;
        for (size_t i = 0; access_modes[i] != NULL; i++) {
            known = known || str_is(name, access_modes[i]);
        }
        if (!known) {
            field_not_supported(errors, path, name, access_modes);
        }
        bool is_single = str_is(name, "ReadWriteOncePod");
        single = single || is_single;
        other = other || (known && !is_single);
    }
    if (single && other) {
        field_forbidden(errors, path, "may not use ReadWriteOncePod with other access modes");
    }
}

void volume_mode_check(struct field_errors *errors, const struct path *path, const struct val *mode)
{
    static const char *const modes[] = {"Block", "Filesystem", NULL};
    struct str name = val_text(mode);
    if (!val_absent(mode) && !str_is(name, "Block") && !str_is(name, "Filesystem")) {
        field_not_supported(errors, path, name, modes);
    }
}

void access_modes_cell(struct api_context *ctx, const struct val *modes, struct val *cells)
{
    static const struct {
        const char *name, *shown;
    } names[] = {{"ReadWriteOnce", "RWO"},
                 {"ReadOnlyMany", "ROX"},
                 {"ReadWriteMany", "RWX"},
                 {"ReadWriteOncePod", "RWOP"}};
    struct buf out BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        VAL_EACH (mode, modes) {
            if (str_is(val_text(mode), names[i].name)) {
                buf_printf(&out, "%s%s", out.n > 0 ? "," : "", names[i].shown);
                break;
            }
        }
    }
    cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&out)));
}

void phase_cell(struct api_context *ctx, const struct val *object, struct val *cells)
{
    bool deleting = !val_absent(val_path(object, "metadata.deletionTimestamp"));
    cell_text(ctx, cells,
              deleting ? STR("Terminating") : val_text(val_path(object, "status.phase")));
}

void optional_cell(struct api_context *ctx, struct val *cells, const struct val *value)
{
    cell_text(ctx, cells, val_absent(value) ? STR("<unset>") : val_text(value));
}
