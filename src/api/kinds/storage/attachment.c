/* attachment.c: VolumeAttachments: validation, rows. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/storage/storage.h"

static void source_check(struct field_errors *errors, const struct path *path,
                         const struct val *source)
{
    const struct val *name = val_get(source, "persistentVolumeName");
    const struct val *spec = val_get(source, "inlineVolumeSpec");
    static const char one[] =
        "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    if (val_absent(name) && val_absent(spec)) {
        field_required(errors, path, one);
    } else if (!val_absent(name) && !val_absent(spec)) {
        field_forbidden(errors, path, "%s", one);
    } else if (!val_absent(spec)) {
        persistent_volume_spec_check(errors, AT(path, "inlineVolumeSpec"), spec, STR(""), true);
    } else if (val_text(name).n == 0) {
        field_required(errors, AT(path, "persistentVolumeName"),
                       "must specify non empty persistentVolumeName");
    }
    if (!val_absent(name)) {
        check_name(errors, AT(path, "persistentVolumeName"), NAME_SUBDOMAIN, val_text(name));
    }
}

static void error_check(struct field_errors *errors, const struct path *path,
                        const struct val *error)
{
    enum { MESSAGE_MAX = 1024 };
    const struct val *code = val_get(error, "errorCode");
    if (val_text(val_get(error, "message")).n > MESSAGE_MAX) {
        field_too_long(errors, AT(path, "message"), MESSAGE_MAX);
    }
    if (val_int(code, 0) < 0) {
        field_invalid_int(errors, AT(path, "errorCode"), val_int(code, 0),
                          "must be between 0 and 2147483647, inclusive");
    }
}

static void status_check(struct field_errors *errors, const struct val *status)
{
    enum { METADATA_MAX = 256 * 1024 };
    const struct path *path = AT(NULL, "status");
    size_t size = 0;
    VAL_EACH (it, val_get(status, "attachmentMetadata")) {
        size += it->key.n + val_text(it).n;
    }
    if (size > METADATA_MAX) {
        field_too_long(errors, AT(path, "attachmentMetadata"), METADATA_MAX);
    }
    error_check(errors, AT(path, "attachError"), val_get(status, "attachError"));
    error_check(errors, AT(path, "detachError"), val_get(status, "detachError"));
}

static void validate(struct api_context *ctx, const struct val *attachment,
                     struct field_errors *errors)
{
    const struct val *spec = val_get(attachment, "spec");
    const struct path *path = AT(NULL, "spec");
    csi_driver_name_check(errors, AT(path, "attacher"), val_text(val_get(spec, "attacher")));
    source_check(errors, AT(path, "source"), val_get(spec, "source"));
    check_name(errors, AT(path, "nodeName"), NAME_SUBDOMAIN, val_text(val_get(spec, "nodeName")));
    (void)ctx;
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    status_check(errors, val_get(next, "status"));
    check_immutable(errors, AT(NULL, "spec"), val_get(next, "spec"), val_get(old, "spec"));
    (void)ctx;
}

static void columns(struct api_context *ctx, const struct val *attachment, struct val *cells)
{
    const struct val *spec = val_get(attachment, "spec");
    cell_text(ctx, cells, val_name(attachment));
    cell_text(ctx, cells, val_text(val_get(spec, "attacher")));
    cell_text(ctx, cells, val_text(val_path(spec, "source.persistentVolumeName")));
    cell_text(ctx, cells, val_text(val_get(spec, "nodeName")));
    cell_bool(ctx, cells, val_bool(val_path(attachment, "status.attached"), false));
    cell_age(ctx, cells, attachment);
}

const struct api_ops ops_volume_attachment = {
    .validate = validate,
    .validate_update = validate_update,
    .columns = columns,
    .metadata_fixed_in_status = true,
    .returns_deleted = true,
};
