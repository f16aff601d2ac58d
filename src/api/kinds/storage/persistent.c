/* persistent.c: PersistentVolumes and claims: defaults, validation of the basics, rows. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/quantity.h"
#include "api/semantic.h"
#include "base/clock.h"

static const char *const access_modes[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                           "ReadWriteOncePod", NULL};
static const char *const volume_modes[] = {"Block", "Filesystem", NULL};

static void volume_default(struct arena *arena, struct val *volume)
{
    struct val *spec = default_object(arena, volume, "spec");
    default_text(arena, spec, "persistentVolumeReclaimPolicy", "Retain");
    default_text(arena, spec, "volumeMode", "Filesystem");
    default_resource_list(arena, val_get(spec, "capacity"));
    struct val *status = val_get(volume, "status");
    if (!val_absent(status)) {
        default_text(arena, status, "phase", "Pending");
    }
}

static void claim_default(struct arena *arena, struct val *claim)
{
    struct val *spec = default_object(arena, claim, "spec");
    default_text(arena, spec, "volumeMode", "Filesystem");
    default_resource_list(arena, val_path(spec, "resources.requests"));
    struct val *status = val_get(claim, "status");
    if (!val_absent(status)) {
        default_text(arena, status, "phase", "Pending");
    }
}

static void pending(struct api_context *ctx, struct val *object)
{
    struct val *status = val_make_object(ctx->arena, object, STR("status"));
    val_set_text(ctx->arena, status, STR("phase"), STR("Pending"));
}

static void note_transition(struct api_context *ctx, struct val *volume)
{
    char *time = arena_alloc(ctx->arena, TIME_TEXT_SIZE);
    struct val *status = val_make_object(ctx->arena, volume, STR("status"));
    val_set_text(ctx->arena, status, STR("lastPhaseTransitionTime"),
                 str_at(time, time_format(ctx->now_wall_ns, time)));
}

static void volume_prepare_create(struct api_context *ctx, struct val *volume)
{
    pending(ctx, volume);
    note_transition(ctx, volume);
}

static void volume_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    if (!str_eq(val_text(val_path(next, "status.phase")),
                val_text(val_path(old, "status.phase")))) {
        note_transition(ctx, next);
    }
}

static void modes_check(struct field_errors *errors, const struct path *path,
                        const struct val *modes, const char *missing)
{
    bool single = false;
    if (val_count(modes) == 0) {
        field_required(errors, path, missing);
    }
    VAL_EACH (mode, modes) {
        check_one_of(errors, path, val_text(mode), access_modes, true);
        single = single || str_is(val_text(mode), "ReadWriteOncePod");
    }
    if (single && modes->count > 1) {
        field_forbidden(errors, path, "may not use ReadWriteOncePod with other access modes");
    }
}

static void storage_check(struct field_errors *errors, const struct path *path,
                          const struct val *amount)
{
    struct quantity q;
    if (quantity_parse(val_text(amount), &q) && q.nano <= 0) {
        field_invalid(errors, path, val_text(amount), "must be greater than zero");
    }
}

/* Every member of the spec that is no setting is a source. */
static bool is_setting(struct str name)
{
    static const char *const settings[] = {"capacity",
                                           "accessModes",
                                           "claimRef",
                                           "persistentVolumeReclaimPolicy",
                                           "storageClassName",
                                           "mountOptions",
                                           "volumeMode",
                                           "nodeAffinity",
                                           "volumeAttributesClassName",
                                           NULL};
    for (size_t i = 0; settings[i] != NULL; i++) {
        if (str_is(name, settings[i])) {
            return true;
        }
    }
    return false;
}

static void sources_check(struct field_errors *errors, const struct path *path,
                          const struct val *spec)
{
    int found = 0;
    VAL_EACH (member, spec) {
        if (!is_setting(member->key) && !val_absent(member) && found++ > 0) {
            field_forbidden(errors, AT(path, str_dup_in(errors->arena, member->key)),
                            "may not specify more than 1 volume type");
        }
    }
    if (found == 0) {
        field_required(errors, path, "must specify a volume type");
    }
    struct str local = val_text(val_path(spec, "local.path"));
    if (local.n > 0 && path_has_backstep(local)) {
        field_invalid(errors, AT(AT(path, "local"), "path"), local, "must not contain '..'");
    }
    if (!val_absent(val_get(spec, "local")) && val_absent(val_get(spec, "nodeAffinity"))) {
        field_required(errors, AT(path, "nodeAffinity"), "Local volume requires node affinity");
    }
}

static void volume_validate(struct api_context *ctx, const struct val *volume,
                            struct field_errors *errors)
{
    static const char *const reclaim[] = {"Delete", "Recycle", "Retain", NULL};
    const struct val *spec = val_get(volume, "spec");
    const struct path *path = AT(NULL, "spec");
    const struct val *capacity = val_get(spec, "capacity");
    struct str class = val_text(val_get(spec, "storageClassName"));
    modes_check(errors, AT(path, "accessModes"), val_get(spec, "accessModes"), "");
    if (val_count(capacity) == 0) {
        field_required(errors, AT(path, "capacity"), "");
    }
    if (val_get(capacity, "storage") == NULL || val_count(capacity) > 1) {
        static const struct val none = {.type = VAL_NULL};
        struct buf text BUF_CLEANUP = BUF_INIT;
        val_write_json(capacity != NULL ? capacity : &none, &text);
        field_error_add(errors, "FieldValueNotSupported", path_text(errors, AT(path, "capacity")),
                        "Unsupported value: %.*s: supported values: \"storage\"",
                        STR_ARG(buf_view(&text)));
    }
    storage_check(errors, AT_KEY(AT(path, "capacity"), STR("storage")),
                  val_get(capacity, "storage"));
    check_one_of(errors, AT(path, "persistentVolumeReclaimPolicy"),
                 val_text(val_get(spec, "persistentVolumeReclaimPolicy")), reclaim, false);
    const struct val *required = val_path(spec, "nodeAffinity.required");
    if (!val_absent(required)) {
        node_selector_check(errors, AT(AT(path, "nodeAffinity"), "required"), required);
    }
    sources_check(errors, path, spec);
    if (class.n > 0) {
        check_name(errors, AT(path, "storageClassName"), NAME_SUBDOMAIN, class);
    }
    check_one_of(errors, AT(path, "volumeMode"), val_text(val_get(spec, "volumeMode")),
                 volume_modes, false);
    (void)ctx;
}

static void volume_validate_update(struct api_context *ctx, const struct val *next,
                                   const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        return;
    }
    VAL_EACH (member, val_get(old, "spec")) {
        const struct val *now = val_get_str(val_get(next, "spec"), member->key);
        if (!is_setting(member->key) && !semantic_equal(member, now)) {
            field_forbidden(errors, AT(AT(NULL, "spec"), "persistentvolumesource"),
                            "spec.persistentvolumesource is immutable after creation");
            return;
        }
    }
    check_immutable(errors, AT(AT(NULL, "spec"), "volumeMode"), val_path(next, "spec.volumeMode"),
                    val_path(old, "spec.volumeMode"));
}

static void claim_validate(struct api_context *ctx, const struct val *claim,
                           struct field_errors *errors)
{
    const struct val *spec = val_get(claim, "spec");
    const struct path *path = AT(NULL, "spec");
    const struct val *amount = val_get(val_path(spec, "resources.requests"), "storage");
    struct str class = val_text(val_get(spec, "storageClassName"));
    if (!val_absent(val_get(spec, "selector"))) {
        check_label_selector(errors, AT(path, "selector"), val_get(spec, "selector"));
    }
    modes_check(errors, AT(path, "accessModes"), val_get(spec, "accessModes"),
                "at least 1 access mode is required");
    if (amount == NULL) {
        field_required(errors, AT_KEY(AT(path, "resources"), STR("storage")), "");
    } else {
        storage_check(errors, AT_KEY(AT(path, "resources"), STR("storage")), amount);
    }
    if (class.n > 0) {
        check_name(errors, AT(path, "storageClassName"), NAME_SUBDOMAIN, class);
    }
    check_one_of(errors, AT(path, "volumeMode"), val_text(val_get(spec, "volumeMode")),
                 volume_modes, false);
    (void)ctx;
}

static bool only_grows(const struct val *next, const struct val *old, struct arena *arena,
                       struct field_errors *errors)
{
    struct val *copy = val_copy(arena, val_get(next, "spec"));
    const struct val *was = val_get(old, "spec");
    struct quantity now_size, old_size;
    struct str now = val_text(val_get(val_path(copy, "resources.requests"), "storage"));
    struct str before = val_text(val_get(val_path(was, "resources.requests"), "storage"));
    bool bound = str_is(val_text(val_path(old, "status.phase")), "Bound");
    static const char *const free[] = {"volumeAttributesClassName", "volumeName"};
    for (int i = 0; i < 2; i++) {
        const struct val *value = val_get_str(was, str_of(free[i]));
        if (i == 1 && val_text(value).n > 0) {
            continue; /* a claim is bound once */
        }
        if (value == NULL) {
            val_unset(copy, str_of(free[i]));
        } else {
            val_set(copy, value->key, val_copy(arena, value));
        }
    }
    if (bound && quantity_parse(now, &now_size) && quantity_parse(before, &old_size)) {
        if (quantity_cmp(now_size, old_size) < 0) {
            field_forbidden(errors,
                            AT(AT(AT(AT(NULL, "spec"), "resources"), "requests"), "storage"),
                            "field can not be less than previous value");
        }
        val_set_text(arena, val_path(copy, "resources.requests"), STR("storage"), before);
    }
    return semantic_equal(copy, was);
}

static void claim_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    if (ctx->subresource[0] == '\0' &&
        !semantic_equal(val_get(next, "spec"), val_get(old, "spec")) &&
        !only_grows(next, old, errors->arena, errors)) {
        field_forbidden(errors, AT(NULL, "spec"),
                        "spec is immutable after creation except resources.requests and "
                        "volumeAttributesClassName for bound claims");
    }
}

static void modes_cell(struct api_context *ctx, const struct val *modes, struct val *cells)
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

static void phase_cell(struct api_context *ctx, const struct val *object, struct val *cells)
{
    bool deleting = !val_absent(val_path(object, "metadata.deletionTimestamp"));
    cell_text(ctx, cells,
              deleting ? STR("Terminating") : val_text(val_path(object, "status.phase")));
}

static void or_unset(struct api_context *ctx, struct val *cells, const struct val *value)
{
    cell_text(ctx, cells, val_absent(value) ? STR("<unset>") : val_text(value));
}

static void volume_columns(struct api_context *ctx, const struct val *volume, struct val *cells)
{
    const struct val *spec = val_get(volume, "spec"), *claim = val_get(spec, "claimRef");
    cell_text(ctx, cells, val_name(volume));
    cell_text(ctx, cells, val_text(val_get(val_get(spec, "capacity"), "storage")));
    modes_cell(ctx, val_get(spec, "accessModes"), cells);
    cell_text(ctx, cells, val_text(val_get(spec, "persistentVolumeReclaimPolicy")));
    phase_cell(ctx, volume, cells);
    if (val_absent(claim)) {
        cell_text(ctx, cells, STR(""));
    } else {
        cell_format(ctx, cells, "%.*s/%.*s", STR_ARG(val_text(val_get(claim, "namespace"))),
                    STR_ARG(val_text(val_get(claim, "name"))));
    }
    cell_text(ctx, cells, val_text(val_get(spec, "storageClassName")));
    or_unset(ctx, cells, val_get(spec, "volumeAttributesClassName"));
    cell_text(ctx, cells, val_text(val_path(volume, "status.reason")));
    cell_age(ctx, cells, volume);
    or_unset(ctx, cells, val_get(spec, "volumeMode"));
}

static void claim_columns(struct api_context *ctx, const struct val *claim, struct val *cells)
{
    const struct val *spec = val_get(claim, "spec"), *status = val_get(claim, "status");
    struct str volume = val_text(val_get(spec, "volumeName"));
    cell_text(ctx, cells, val_name(claim));
    phase_cell(ctx, claim, cells);
    cell_text(ctx, cells, volume);
    cell_text(ctx, cells,
              volume.n > 0 ? val_text(val_get(val_get(status, "capacity"), "storage")) : STR(""));
    modes_cell(ctx, volume.n > 0 ? val_get(status, "accessModes") : NULL, cells);
    cell_text(ctx, cells, val_text(val_get(spec, "storageClassName")));
    or_unset(ctx, cells, val_get(spec, "volumeAttributesClassName"));
    cell_age(ctx, cells, claim);
    or_unset(ctx, cells, val_get(spec, "volumeMode"));
}

const struct api_ops ops_persistent_volume = {
    .prepare_create = volume_prepare_create,
    .prepare_update = volume_prepare_update,
    .defaults = volume_default,
    .validate = volume_validate,
    .validate_update = volume_validate_update,
    .columns = volume_columns,
    .unconditional_update = true,
};

const struct api_ops ops_persistent_volume_claim = {
    .prepare_create = pending,
    .defaults = claim_default,
    .validate = claim_validate,
    .validate_update = claim_validate_update,
    .columns = claim_columns,
    .unconditional_update = true,
};
