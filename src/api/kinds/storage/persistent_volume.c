/* persistent_volume.c: PersistentVolumes: defaults, validation, rows. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/storage/storage.h"
#include "api/quantity.h"
#include "api/semantic.h"
#include "api/volume_binding.h"
#include "api/warning.h"
#include "base/clock.h"

/* In the order in which they are looked at: of two, the later one is too many. */
static const char *const sources[] = {"hostPath",
                                      "gcePersistentDisk",
                                      "awsElasticBlockStore",
                                      "glusterfs",
                                      "flocker",
                                      "nfs",
                                      "rbd",
                                      "quobyte",
                                      "cephfs",
                                      "iscsi",
                                      "cinder",
                                      "fc",
                                      "flexVolume",
                                      "azureFile",
                                      "vsphereVolume",
                                      "photonPersistentDisk",
                                      "portworxVolume",
                                      "azureDisk",
                                      "scaleIO",
                                      "local",
                                      "storageos",
                                      "csi"};
enum { SOURCES = sizeof sources / sizeof sources[0] };

static void defaults(struct arena *arena, struct val *volume)
{
    struct val *spec = default_object(arena, volume, "spec");
    default_text(arena, spec, "persistentVolumeReclaimPolicy", "Retain");
    default_text(arena, spec, "volumeMode", "Filesystem");
    default_resource_list(arena, val_get(spec, "capacity"));
    struct val *path = val_get(spec, "hostPath");
    if (!val_absent(path) && val_absent(val_get(path, "type"))) {
        default_put(path, STR("type"), val_new_text(arena, STR("")));
    }
    default_text(arena, default_object(arena, volume, "status"), "phase", "Pending");
}

static void note_transition(struct api_context *ctx, struct val *volume)
{
    char *time = arena_alloc(ctx->arena, TIME_TEXT_SIZE);
    struct val *status = val_make_object(ctx->arena, volume, STR("status"));
    val_set_text(ctx->arena, status, STR("lastPhaseTransitionTime"),
                 str_at(time, time_format(ctx->now_wall_ns, time)));
}

static void prepare_create(struct api_context *ctx, struct val *volume)
{
    struct val *status = val_make_object(ctx->arena, volume, STR("status"));
    val_set_text(ctx->arena, status, STR("phase"), STR("Pending"));
    note_transition(ctx, volume);
}

/* The time is the server's, unless a client that moves the phase brings a new one. */
static void prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    const struct val *was = val_path(old, "status.lastPhaseTransitionTime");
    const struct val *now = val_path(next, "status.lastPhaseTransitionTime");
    bool moved =
        !str_eq(val_text(val_path(next, "status.phase")), val_text(val_path(old, "status.phase")));
    if (strcmp(ctx->subresource, "status") != 0) {
        return;
    }
    if (moved && (val_absent(now) || str_eq(val_text(now), val_text(was)))) {
        note_transition(ctx, next);
    } else if (!moved && val_absent(now) && !val_absent(was)) {
        val_set_text(ctx->arena, val_make_object(ctx->arena, next, STR("status")),
                     STR("lastPhaseTransitionTime"), val_text(was));
    }
}

/* ---- validation ---- */

static void capacity_check(struct field_errors *errors, const struct path *path,
                           const struct val *capacity)
{
    static const struct val none = {.type = VAL_NULL};
    if (val_count(capacity) == 0) {
        field_required(errors, path, "");
    }
    if (val_get(capacity, "storage") == NULL || val_count(capacity) > 1) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        val_write_json(capacity != NULL ? capacity : &none, &text);
        field_error_add(errors, "FieldValueNotSupported", path_text(errors, path),
                        "Unsupported value: %.*s: supported values: \"storage\"",
                        STR_ARG(buf_view(&text)));
    }
    VAL_EACH (amount, capacity) {
        struct quantity q;
        if (!quantity_parse(val_text(amount), &q)) {
            continue;
        }
        if (q.nano < 0) {
            field_invalid(errors, AT_KEY(path, amount->key), val_text(amount),
                          "must be a valid resource quantity");
        }
        if (q.nano <= 0) {
            field_invalid(errors, AT_KEY(path, amount->key), val_text(amount),
                          "must be greater than zero");
        }
    }
}

/* One source, and what goes with it. */
static void source_check(struct field_errors *errors, const struct path *path,
                         const struct val *spec, struct str name)
{
    enum { INITIATOR_MAX = 64 };
    int found = 0;
    for (size_t i = 0; i < SOURCES; i++) {
        const struct val *source = val_get_str(spec, str_of(sources[i]));
        const char *shown = strcmp(sources[i], "cephfs") == 0 ? "cephFS" : sources[i];
        bool flex = strcmp(sources[i], "flexVolume") == 0; /* nobody ever counted it */
        if (val_absent(source)) {
            continue;
        }
        if (found++ > 0 && !flex) {
            field_forbidden(errors, AT(path, shown), "may not specify more than 1 volume type");
            continue;
        }
        volume_source_check(errors, path, sources[i], source, true);
    }
    if (found == 0) {
        field_required(errors, path, "must specify a volume type");
    }
    const struct val *iscsi = val_get(spec, "iscsi");
    struct str portal = val_text(val_get(iscsi, "targetPortal"));
    if (!val_absent(val_get(iscsi, "initiatorName")) && name.n + 1 + portal.n > INITIATOR_MAX) {
        field_invalid(errors, AT(AT(path, "iscsi"), "targetportal"), portal,
                      "with initiatorName, volume name and targetPortal together must be under 64 "
                      "characters");
    }
    if (!val_absent(val_get(spec, "local")) && val_absent(val_get(spec, "nodeAffinity"))) {
        field_required(errors, AT(path, "nodeAffinity"), "Local volume requires node affinity");
    }
}

static bool is_root(struct str path)
{
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] != '/' && path.p[i] != '.') {
            return false;
        }
    }
    return path.n > 0 && path.p[0] == '/' && !str_contains(path, STR("..."));
}

static void attributes_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec)
{
    const struct val *class = val_get(spec, "volumeAttributesClassName");
    if (val_absent(class)) {
        return;
    }
    if (val_text(class).n == 0) {
        field_required(errors, AT(path, "volumeAttributesClassName"),
                       "an empty string is disallowed");
    } else {
        check_name(errors, AT(path, "volumeAttributesClassName"), NAME_SUBDOMAIN, val_text(class));
    }
    if (val_absent(val_get(spec, "csi"))) {
        field_required(errors, AT(path, "csi"),
                       "has to be specified when using volumeAttributesClassName");
    }
}

/* What an inlined volume may not say. */
static void inlined_check(struct field_errors *errors, const struct path *path,
                          const struct val *spec)
{
    static const char *const never[] = {"claimRef", "capacity", "nodeAffinity", "storageClassName"};
    struct str reclaim = val_text(val_get(spec, "persistentVolumeReclaimPolicy"));
    struct str mode = val_text(val_get(spec, "volumeMode"));
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        const struct val *value = val_get_str(spec, str_of(never[i]));
        if (!val_absent(value) && (i == 0 || i == 2 || val_count(value) + val_text(value).n > 0)) {
            field_forbidden(errors, AT(path, never[i]),
                            "may not be specified in the context of inline volumes");
        }
    }
    if (val_absent(val_get(spec, "csi"))) {
        field_required(errors, AT(path, "csi"),
                       "has to be specified in the context of inline volumes");
    }
    if (reclaim.n > 0 && !str_is(reclaim, "Retain")) {
        field_forbidden(errors, AT(path, "persistentVolumeReclaimPolicy"),
                        "may only be Retain in the context of inline volumes");
    }
    if (!val_absent(val_get(spec, "volumeMode")) && !str_is(mode, "Filesystem")) {
        field_forbidden(errors, AT(path, "volumeMode"),
                        "may not specify volumeMode other than Filesystem in the context of inline "
                        "volumes");
    }
}

/* What only a volume of its own has. */
static void own_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    static const char *const reclaim[] = {"Delete", "Recycle", "Retain", NULL};
    struct str class = val_text(val_get(spec, "storageClassName"));
    const struct val *affinity = val_get(spec, "nodeAffinity");
    capacity_check(errors, AT(path, "capacity"), val_get(spec, "capacity"));
    check_one_of(errors, AT(path, "persistentVolumeReclaimPolicy"),
                 val_text(val_get(spec, "persistentVolumeReclaimPolicy")), reclaim, false);
    if (!val_absent(affinity) && val_absent(val_get(affinity, "required"))) {
        field_required(errors, AT(AT(path, "nodeAffinity"), "required"),
                       "must specify required node constraints");
    } else if (!val_absent(affinity)) {
        node_selector_check(errors, AT(AT(path, "nodeAffinity"), "required"),
                            val_get(affinity, "required"));
    }
    if (class.n > 0) {
        check_name(errors, AT(path, "storageClassName"), NAME_SUBDOMAIN, class);
    }
    volume_mode_check(errors, AT(path, "volumeMode"), val_get(spec, "volumeMode"));
}

void persistent_volume_spec_check(struct field_errors *errors, const struct path *path,
                                  const struct val *spec, struct str name, bool inlined)
{
    access_modes_check(errors, AT(path, "accessModes"), val_get(spec, "accessModes"), "");
    if (inlined) {
        inlined_check(errors, path, spec);
    } else {
        own_check(errors, path, spec);
    }
    source_check(errors, path, spec, name);
    if (is_root(val_text(val_path(spec, "hostPath.path"))) &&
        str_is(val_text(val_get(spec, "persistentVolumeReclaimPolicy")), "Recycle")) {
        field_forbidden(errors, AT(path, "persistentVolumeReclaimPolicy"),
                        "may not be 'recycle' for a hostPath mount of '/'");
    }
    if (!inlined) {
        attributes_check(errors, path, spec);
    }
}

static void validate(struct api_context *ctx, const struct val *volume, struct field_errors *errors)
{
    persistent_volume_spec_check(errors, AT(NULL, "spec"), val_get(volume, "spec"),
                                 val_name(volume), false);
    (void)ctx;
}

static void affinity_warn(struct api_context *ctx, const struct val *spec)
{
    const struct path *path = AT(AT(AT(NULL, "spec"), "nodeAffinity"), "required");
    uint32_t t = 0;
    VAL_EACH (term, val_path(spec, "nodeAffinity.required.nodeSelectorTerms")) {
        const struct path *at =
            AT(AT_INDEX(AT(path, "nodeSelectorTerms"), t++), "matchExpressions");
        uint32_t e = 0;
        VAL_EACH (expression, val_get(term, "matchExpressions")) {
            const char *text = node_label_deprecation(val_text(val_get(expression, "key")));
            if (text != NULL) {
                api_warn(ctx, AT(AT_INDEX(at, e), "key"), "%s", text);
            }
            e++;
        }
    }
}

static void warn(struct api_context *ctx, const struct val *volume)
{
    static const char *const annotations[][2] = {
        {"volume.beta.kubernetes.io/storage-class",
         "deprecated since v1.8; use \"storageClassName\" attribute instead"},
        {"volume.beta.kubernetes.io/mount-options",
         "deprecated since v1.31; use \"mountOptions\" attribute instead"}};
    const struct val *spec = val_get(volume, "spec");
    for (int i = 0; i < 2; i++) {
        struct str key = str_of(annotations[i][0]);
        if (val_get_str(val_path(volume, "metadata.annotations"), key) != NULL) {
            api_warn(ctx, AT_KEY(AT(AT(NULL, "metadata"), "annotations"), key), "%s",
                     annotations[i][1]);
        }
    }
    if (str_is(val_text(val_get(spec, "persistentVolumeReclaimPolicy")), "Recycle")) {
        api_warn(ctx, AT(AT(NULL, "spec"), "persistentVolumeReclaimPolicy"),
                 "Recycle is deprecated; volumes that are made on demand take its place");
    }
    affinity_warn(ctx, spec);
    for (size_t i = 0; i < SOURCES; i++) {
        const char *text = volume_source_deprecation(str_of(sources[i]));
        bool silent = strcmp(sources[i], "flocker") == 0 || strcmp(sources[i], "quobyte") == 0;
        if (text != NULL && !silent && !val_absent(val_get_str(spec, str_of(sources[i])))) {
            api_warn(ctx, AT(AT(NULL, "spec"), sources[i]), "%s", text);
        }
    }
}

static void validate_create(struct api_context *ctx, const struct val *volume,
                            struct field_errors *errors)
{
    warn(ctx, volume);
    (void)errors;
}

/* Whether the source is the one it was; a secret for growing may be added to a CSI volume. */
static bool source_is_kept(struct arena *arena, const struct val *next, const struct val *old)
{
    for (size_t i = 0; i < SOURCES; i++) {
        struct str name = str_of(sources[i]);
        const struct val *now = val_get_str(next, name), *was = val_get_str(old, name);
        if (str_is(name, "csi") && !val_absent(now) && !val_absent(was) &&
            val_absent(val_get(was, "controllerExpandSecretRef"))) {
            struct val *copy = val_copy(arena, now);
            val_unset(copy, STR("controllerExpandSecretRef"));
            now = copy;
        }
        if (val_absent(now) != val_absent(was) || !semantic_equal(now, was)) {
            return false;
        }
    }
    return true;
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    const struct val *affinity = val_get(was, "nodeAffinity");
    if (strcmp(ctx->subresource, "status") == 0) {
        return;
    }
    warn(ctx, next);
    if (!source_is_kept(errors->arena, spec, was)) {
        field_forbidden(errors, AT(AT(NULL, "spec"), "persistentvolumesource"),
                        "spec.persistentvolumesource is immutable after creation");
    }
    check_immutable(errors, AT(NULL, "volumeMode"), val_get(spec, "volumeMode"),
                    val_get(was, "volumeMode"));
    if (!val_absent(affinity) && !semantic_equal(val_get(spec, "nodeAffinity"), affinity)) {
        check_immutable(errors, AT(NULL, "nodeAffinity"), val_get(spec, "nodeAffinity"), affinity);
    }
    if (!val_absent(val_get(was, "volumeAttributesClassName")) &&
        val_absent(val_get(spec, "volumeAttributesClassName"))) {
        field_forbidden(errors, AT(AT(NULL, "spec"), "volumeAttributesClassName"),
                        "update from non-nil value to nil is forbidden");
    }
}

static void columns(struct api_context *ctx, const struct val *volume, struct val *cells)
{
    const struct val *spec = val_get(volume, "spec"), *claim = val_get(spec, "claimRef");
    cell_text(ctx, cells, val_name(volume));
    cell_text(ctx, cells, val_text(val_get(val_get(spec, "capacity"), "storage")));
    access_modes_cell(ctx, val_get(spec, "accessModes"), cells);
    cell_text(ctx, cells, val_text(val_get(spec, "persistentVolumeReclaimPolicy")));
    phase_cell(ctx, volume, cells);
    if (val_absent(claim)) {
        cell_text(ctx, cells, STR(""));
    } else {
        cell_format(ctx, cells, "%.*s/%.*s", STR_ARG(val_text(val_get(claim, "namespace"))),
                    STR_ARG(val_text(val_get(claim, "name"))));
    }
    cell_text(ctx, cells, volume_class_of(volume));
    optional_cell(ctx, cells, val_get(spec, "volumeAttributesClassName"));
    cell_text(ctx, cells, val_text(val_path(volume, "status.reason")));
    cell_age(ctx, cells, volume);
    optional_cell(ctx, cells, val_get(spec, "volumeMode"));
}

const struct api_ops ops_persistent_volume = {
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
