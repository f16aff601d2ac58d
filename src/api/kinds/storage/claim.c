/* claim.c: PersistentVolumeClaims: defaults, validation, rows.
 *
 * dataSource is the old form of dataSourceRef: whichever is given is copied to the other, and an
 * old one that names anything but a claim or a snapshot is dropped, as it always was.
 */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/storage/storage.h"
#include "api/quantity.h"
#include "api/semantic.h"
#include "api/volume_binding.h"
#include "api/warning.h"

static const char class_annotation[] = "volume.beta.kubernetes.io/storage-class";

static struct str old_class(const struct val *claim)
{
    return val_text(val_get_str(val_path(claim, "metadata.annotations"), str_of(class_annotation)));
}

static void defaults(struct arena *arena, struct val *claim)
{
    struct val *spec = default_object(arena, claim, "spec");
    default_text(arena, spec, "volumeMode", "Filesystem");
    default_resource_list(arena, val_path(spec, "resources.requests"));
    default_resource_list(arena, val_path(spec, "resources.limits"));
    struct val *status = default_object(arena, claim, "status");
    default_text(arena, status, "phase", "Pending");
    default_resource_list(arena, val_get(status, "capacity"));
}

/* ---- data sources ---- */

static bool is_copyable(const struct val *source)
{
    struct str kind = val_text(val_get(source, "kind"));
    struct str group = val_text(val_get(source, "apiGroup"));
    return (str_is(kind, "PersistentVolumeClaim") && group.n == 0) ||
           (str_is(kind, "VolumeSnapshot") && str_is(group, "snapshot.storage.k8s.io"));
}

static void copy_source(struct arena *arena, struct val *spec, const char *to,
                        const struct val *from)
{
    static const char *const members[] = {"apiGroup", "kind", "name"};
    struct val *copy = default_put(spec, str_of(to), val_new(arena, VAL_OBJECT));
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const struct val *member = val_get_str(from, str_of(members[i]));
        if (!val_absent(member)) {
            default_put(copy, str_of(members[i]), val_copy(arena, member));
        }
    }
}

static void normalize_sources(struct api_context *ctx, struct val *spec, const struct val *old)
{
    const struct val *source = val_get(spec, "dataSource"), *ref = val_get(spec, "dataSourceRef");
    bool was =
        !val_absent(val_get(old, "dataSource")) || !val_absent(val_get(old, "dataSourceRef"));
    if (!val_absent(ref) && val_text(val_get(ref, "namespace")).n > 0 &&
        val_absent(val_get(old, "dataSourceRef"))) {
        val_unset(spec, STR("dataSourceRef")); /* across namespaces: a gate that is off */
        ref = NULL;
    }
    if (!was && val_absent(ref) && !val_absent(source) && !is_copyable(source)) {
        val_unset(spec, STR("dataSource"));
        source = NULL;
    }
    if (val_absent(ref) && !val_absent(source)) {
        copy_source(ctx->arena, spec, "dataSourceRef", source);
    } else if (!val_absent(ref) && val_absent(source) &&
               val_text(val_get(ref, "namespace")).n == 0) {
        copy_source(ctx->arena, spec, "dataSource", ref);
    }
}

static void prepare_create(struct api_context *ctx, struct val *claim)
{
    struct val *status = val_make_object(ctx->arena, claim, STR("status"));
    val_set_text(ctx->arena, status, STR("phase"), STR("Pending"));
    normalize_sources(ctx, val_make_object(ctx->arena, claim, STR("spec")), NULL);
}

static void prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    if (strcmp(ctx->subresource, "status") != 0) {
        normalize_sources(ctx, val_make_object(ctx->arena, next, STR("spec")),
                          val_get(old, "spec"));
    } else {
        struct val *status = val_get(next, "status");
        if (val_absent(val_path(old, "status.healthStatus"))) {
            val_unset(status, STR("healthStatus")); /* a gate that is off */
        }
    }
}

/* ---- validation ---- */

static void source_check(struct field_errors *errors, const struct path *path,
                         const struct val *source)
{
    struct str group = val_text(val_get(source, "apiGroup"));
    struct str kind = val_text(val_get(source, "kind"));
    struct str ns = val_text(val_get(source, "namespace"));
    if (val_text(val_get(source, "name")).n == 0) {
        field_required(errors, AT(path, "name"), "");
    }
    if (kind.n == 0) {
        field_required(errors, AT(path, "kind"), "");
    }
    if (group.n == 0 && !str_is(kind, "PersistentVolumeClaim")) {
        field_invalid(errors, path, kind,
                      "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    } else if (group.n > 0) {
        check_name(errors, AT(path, "apiGroup"), NAME_SUBDOMAIN, group);
    }
    if (ns.n > 0) {
        check_name(errors, AT(path, "namespace"), NAME_LABEL, ns);
    }
}

static void sources_check(struct field_errors *errors, const struct path *path,
                          const struct val *spec)
{
    const struct val *source = val_get(spec, "dataSource"), *ref = val_get(spec, "dataSourceRef");
    static const char *const members[] = {"apiGroup", "kind", "name"};
    if (!val_absent(source)) {
        source_check(errors, AT(path, "dataSource"), source);
    }
    if (!val_absent(ref)) {
        source_check(errors, AT(path, "dataSourceRef"), ref);
    }
    if (val_absent(source) || val_absent(ref)) {
        return;
    }
    if (val_text(val_get(ref, "namespace")).n > 0) {
        field_invalid_val(errors, path, source,
                          "dataSource may not be specified when dataSourceRef.namespace is");
        return;
    }
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (!str_eq(val_text(val_get_str(source, str_of(members[i]))),
                    val_text(val_get_str(ref, str_of(members[i]))))) {
            field_invalid_val(errors, path, source, "dataSource must match dataSourceRef");
            return;
        }
    }
}

static void size_check(struct field_errors *errors, const struct path *path,
                       const struct val *amount)
{
    struct quantity q;
    if (amount == NULL) {
        field_required(errors, path, "");
    } else if (quantity_parse(val_text(amount), &q) && q.nano <= 0) {
        field_invalid(errors, path, val_text(amount), "must be greater than zero");
    }
}

static void optional_class(struct field_errors *errors, const struct path *path,
                           const struct val *spec, const char *member)
{
    struct str name = val_text(val_get_str(spec, str_of(member)));
    if (name.n > 0) {
        check_name(errors, AT(path, member), NAME_SUBDOMAIN, name);
    }
}

void claim_spec_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    access_modes_check(errors, AT(path, "accessModes"), val_get(spec, "accessModes"),
                       "at least 1 access mode is required");
    if (!val_absent(val_get(spec, "selector"))) {
        check_label_selector(errors, AT(path, "selector"), val_get(spec, "selector"));
    }
    size_check(errors, AT_KEY(AT(path, "resources"), STR("storage")),
               val_get(val_path(spec, "resources.requests"), "storage"));
    optional_class(errors, path, spec, "storageClassName");
    volume_mode_check(errors, AT(path, "volumeMode"), val_get(spec, "volumeMode"));
    sources_check(errors, path, spec);
    optional_class(errors, path, spec, "volumeAttributesClassName");
}

static void validate(struct api_context *ctx, const struct val *claim, struct field_errors *errors)
{
    claim_spec_check(errors, AT(NULL, "spec"), val_get(claim, "spec"));
    (void)ctx;
}

void claim_spec_warn(struct api_context *ctx, const struct path *path, const struct val *spec)
{
    static const char *const lists[] = {"requests", "limits"};
    for (int i = 0; i < 2; i++) {
        const struct val *list = val_get_str(val_get(spec, "resources"), str_of(lists[i]));
        struct str amount = val_text(val_get(list, "storage"));
        struct quantity q;
        if (quantity_parse(amount, &q) && q.nano % 1000000000 != 0) {
            api_warn(ctx, AT_KEY(AT(AT(path, "resources"), lists[i]), STR("storage")),
                     "fractional byte value \"%.*s\" is invalid, must be an integer",
                     STR_ARG(amount));
        }
    }
}

static void warn(struct api_context *ctx, const struct val *claim)
{
    if (old_class(claim).p != NULL) {
        api_warn(ctx, AT_KEY(AT(AT(NULL, "metadata"), "annotations"), str_of(class_annotation)),
                 "deprecated since v1.8; use \"storageClassName\" attribute instead");
    }
    claim_spec_warn(ctx, AT(NULL, "spec"), val_get(claim, "spec"));
}

static void validate_create(struct api_context *ctx, const struct val *claim,
                            struct field_errors *errors)
{
    warn(ctx, claim);
    (void)errors;
}

/* ---- updates ---- */

/* The same member as in `was`, or none. */
static void put_back(struct arena *arena, struct val *spec, const struct val *was,
                     const char *member)
{
    const struct val *value = val_get_str(was, str_of(member));
    if (value == NULL) {
        val_unset(spec, str_of(member));
    } else {
        val_set(spec, value->key, val_copy(arena, value));
    }
}

/* The class may move from the annotation into the spec, and be set once where there was none. */
static bool class_may_change(const struct val *next, const struct val *old)
{
    const struct val *now = val_path(next, "spec.storageClassName");
    const struct val *was = val_path(old, "spec.storageClassName");
    struct str annotated = old_class(old);
    return val_absent(was) && !val_absent(now) &&
           (annotated.p == NULL || str_eq(annotated, val_text(now)));
}

/* What may differ is put back; what then still differs may not. */
static bool spec_is_kept(struct arena *arena, const struct val *next, const struct val *old)
{
    const struct val *was = val_get(old, "spec");
    struct val *copy = val_copy(arena, val_get(next, "spec"));
    if (val_text(val_get(was, "volumeName")).n == 0) {
        put_back(arena, copy, was, "volumeName"); /* a claim is bound once */
    }
    if (class_may_change(next, old)) {
        put_back(arena, copy, was, "storageClassName");
    }
    if (str_is(val_text(val_path(old, "status.phase")), "Bound")) {
        struct val *requests = val_path(copy, "resources.requests");
        const struct val *before = val_path(was, "resources.requests");
        if (requests != NULL) {
            put_back(arena, requests, before, "storage");
        }
        put_back(arena, copy, was, "volumeAttributesClassName");
    }
    return semantic_equal(copy, was);
}

static void size_update_check(struct field_errors *errors, const struct val *next,
                              const struct val *old)
{
    struct quantity now, was, real = {0};
    struct str now_text = val_text(val_get(val_path(next, "spec.resources.requests"), "storage"));
    struct str was_text = val_text(val_get(val_path(old, "spec.resources.requests"), "storage"));
    if (!quantity_parse(now_text, &now)) {
        now = (struct quantity){0}; /* none is less than any */
    }
    if (!quantity_parse(was_text, &was) || quantity_cmp(now, was) >= 0) {
        return;
    }
    if (!quantity_parse(val_text(val_get(val_path(old, "status.capacity"), "storage")), &real)) {
        real.nano = 0;
    }
    if (quantity_cmp(now, real) <= 0) {
        field_forbidden(errors, AT(AT(AT(AT(NULL, "spec"), "resources"), "requests"), "storage"),
                        "field can not be less than status.capacity");
    }
}

static void attributes_update_check(struct field_errors *errors, const struct val *next,
                                    const struct val *old)
{
    const struct path *path = AT(AT(NULL, "spec"), "volumeAttributesClassName");
    const struct val *now = val_path(next, "spec.volumeAttributesClassName");
    const struct val *was = val_path(old, "spec.volumeAttributesClassName");
    bool same = val_absent(now) == val_absent(was) && str_eq(val_text(now), val_text(was));
    if (!same && !val_absent(val_path(old, "status.currentVolumeAttributesClassName")) &&
        val_text(now).n == 0) {
        field_forbidden(errors, path,
                        "may not be unset while status.currentVolumeAttributesClassName is there");
    }
}

static void validate_spec_update(struct api_context *ctx, const struct val *next,
                                 const struct val *old, struct field_errors *errors)
{
    bool moved = class_may_change(next, old) && old_class(old).p != NULL;
    if (!moved && !str_eq(old_class(next), old_class(old))) {
        field_invalid(errors, AT(AT(AT(NULL, "metadata"), "annotations"), class_annotation),
                      old_class(next), "field is immutable");
    }
    if (!spec_is_kept(errors->arena, next, old)) {
        field_forbidden(errors, AT(NULL, "spec"),
                        "spec is immutable after creation except resources.requests and "
                        "volumeAttributesClassName for bound claims");
    }
    size_update_check(errors, next, old);
    check_immutable(errors, AT(NULL, "volumeMode"), val_path(next, "spec.volumeMode"),
                    val_path(old, "spec.volumeMode"));
    attributes_update_check(errors, next, old);
    warn(ctx, next);
}

/* Names of resources in a status: of the API's own only storage. */
static bool status_key_check(struct field_errors *errors, const struct path *path, struct str key)
{
    static const char *const storage_only[] = {"storage", NULL};
    struct str rest, prefix = str_cut(key, '/', &rest);
    bool own = rest.p == NULL || str_is(prefix, "kubernetes.io") ||
               str_ends(prefix, STR(".kubernetes.io"));
    if (!check_name(errors, path, NAME_LABEL_KEY, key)) {
        return false;
    }
    if (own && !str_is(key, "storage")) {
        field_not_supported(errors, path, key, storage_only);
        return false;
    }
    return true;
}

static void amounts_check(struct field_errors *errors, const struct path *path,
                          const struct val *list, bool allocated)
{
    VAL_EACH (it, list) {
        struct quantity q;
        if (allocated && !status_key_check(errors, path, it->key)) {
            continue;
        }
        if (!quantity_parse(val_text(it), &q)) {
            continue;
        }
        if (q.nano < 0) {
            field_invalid(errors, AT_KEY(path, it->key), val_text(it),
                          "must be a valid resource quantity");
        }
    }
}

static void validate_status_update(const struct val *next, struct field_errors *errors)
{
    static const char *const states[] = {"ControllerResizeInProgress", "ControllerResizeInfeasible",
                                         "NodeResizeInProgress",       "NodeResizeInfeasible",
                                         "NodeResizePending",          NULL};
    const struct val *status = val_get(next, "status");
    const struct path *path = AT(NULL, "status");
    amounts_check(errors, AT(path, "capacity"), val_get(status, "capacity"), false);
    amounts_check(errors, AT(path, "allocatedResources"), val_get(status, "allocatedResources"),
                  true);
    VAL_EACH (it, val_get(status, "allocatedResourceStatuses")) {
        const struct path *at = AT(path, "allocatedResourceStatuses");
        status_key_check(errors, at, it->key);
        struct val present = *it;
        present.type = VAL_STRING;
        check_optional_one_of(errors, at, &present, states);
    }
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        validate_status_update(next, errors);
    } else {
        validate_spec_update(ctx, next, old, errors);
    }
}

static void columns(struct api_context *ctx, const struct val *claim, struct val *cells)
{
    const struct val *spec = val_get(claim, "spec"), *status = val_get(claim, "status");
    struct str volume = val_text(val_get(spec, "volumeName"));
    struct str capacity = val_text(val_get(val_get(status, "capacity"), "storage"));
    cell_text(ctx, cells, val_name(claim));
    phase_cell(ctx, claim, cells);
    cell_text(ctx, cells, volume);
    cell_text(ctx, cells, volume.n == 0 ? STR("") : capacity.n > 0 ? capacity : STR("0"));
    access_modes_cell(ctx, volume.n > 0 ? val_get(status, "accessModes") : NULL, cells);
    cell_text(ctx, cells, volume_class_of(claim));
    optional_cell(ctx, cells, val_get(spec, "volumeAttributesClassName"));
    cell_age(ctx, cells, claim);
    optional_cell(ctx, cells, val_get(spec, "volumeMode"));
}

const struct api_ops ops_persistent_volume_claim = {
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .defaults = defaults,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .columns = columns,
    .unconditional_update = true,
    .returns_deleted = true,
};
