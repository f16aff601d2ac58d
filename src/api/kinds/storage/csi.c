/* csi.c: CSIDriver, CSINode, CSIStorageCapacity: what CSI drivers say of themselves: defaults,
 * validation, rows. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/storage/storage.h"
#include "api/quantity.h"
#include "api/semantic.h"
#include "api/warning.h"

/* ---- CSIDriver ---- */

static void driver_defaults(struct arena *arena, struct val *driver)
{
    static const char *const off[] = {"podInfoOnMount", "storageCapacity", "requiresRepublish",
                                      "seLinuxMount", "preventPodSchedulingIfMissing"};
    struct val *spec = default_object(arena, driver, "spec");
    default_bool(arena, spec, "attachRequired", true);
    default_text(arena, spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if (val_count(val_get(spec, "volumeLifecycleModes")) == 0) {
        struct val *modes =
            default_put(spec, STR("volumeLifecycleModes"), val_new(arena, VAL_ARRAY));
        val_append(modes, val_new_text(arena, STR("Persistent")));
    }
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++) {
        default_bool(arena, spec, off[i], false);
    }
}

/* A new driver has no generation; each change of the spec gives the next. */
static void driver_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    if (!semantic_equal(val_get(next, "spec"), val_get(old, "spec"))) {
        val_set_int(ctx->arena, val_get(next, "metadata"), STR("generation"),
                    val_int(val_path(old, "metadata.generation"), 0) + 1);
    }
}

static void tokens_check(struct field_errors *errors, const struct path *path,
                         const struct val *tokens)
{
    uint32_t i = 0;
    if (!check_length(errors, path, tokens, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (token, tokens) {
        const struct path *at = AT_INDEX(path, i++);
        struct str audience = val_text(val_get(token, "audience"));
        int64_t seconds = val_int(val_get(token, "expirationSeconds"), 3600);
        const struct val *first = tokens->child;
        while (first != token && !str_eq(val_text(val_get(first, "audience")), audience)) {
            first = first->next;
        }
        if (first != token) {
            field_duplicate(errors, AT(at, "audience"), audience);
        } else if (seconds < 600) {
            field_invalid_int(errors, AT(at, "expirationSeconds"), seconds,
                              "may not specify a duration less than 10 minutes");
        } else if (seconds > (int64_t)1 << 32) {
            field_invalid_int(errors, AT(at, "expirationSeconds"), seconds,
                              "may not specify a duration larger than 2^32 seconds");
        }
    }
}

static void driver_validate(struct api_context *ctx, const struct val *driver,
                            struct field_errors *errors)
{
    enum { PERIOD_MIN = 10 };
    static const char *const policies[] = {"File", "None", "ReadWriteOnceWithFSType", NULL};
    static const char *const modes[] = {"Persistent", "Ephemeral", NULL};
    const struct val *spec = val_get(driver, "spec");
    const struct path *path = AT(NULL, "spec");
    const struct val *period = val_get(spec, "nodeAllocatableUpdatePeriodSeconds");
    const struct val *in_secrets = val_get(spec, "serviceAccountTokenInSecrets");
    check_optional_one_of(errors, AT(path, "fsGroupPolicy"), val_get(spec, "fsGroupPolicy"),
                          policies);
    tokens_check(errors, AT(path, "tokenRequests"), val_get(spec, "tokenRequests"));
    VAL_EACH (mode, val_get(spec, "volumeLifecycleModes")) {
        struct str name = val_text(mode);
        if (!str_is(name, "Persistent") && !str_is(name, "Ephemeral")) {
            field_not_supported(errors, AT(path, "volumeLifecycleModes"), name, modes);
        }
    }
    if (!val_absent(period) && val_int(period, 0) < PERIOD_MIN) {
        field_invalid_int(errors, AT(path, "nodeAllocatableUpdatePeriodSeconds"),
                          val_int(period, 0), "must be greater than or equal to 10 seconds");
    }
    if (!val_absent(in_secrets) && val_count(val_get(spec, "tokenRequests")) == 0) {
        field_invalid_val(errors, AT(path, "serviceAccountTokenInSecrets"), in_secrets,
                          "is set but no tokenRequests are specified");
    }
    (void)ctx;
}

static void token_warn(struct api_context *ctx, const struct val *driver, const struct val *old)
{
    const struct val *tokens = val_path(driver, "spec.tokenRequests");
    bool changed = old == NULL || !semantic_equal(tokens, val_path(old, "spec.tokenRequests"));
    if (changed && val_count(tokens) > 0 &&
        val_absent(val_path(driver, "spec.serviceAccountTokenInSecrets"))) {
        api_warn(ctx, AT(AT(NULL, "spec"), "serviceAccountTokenInSecrets"),
                 "is unset; a driver that supports it should have true, so that tokens among the "
                 "volume attributes are not logged");
    }
}

static void driver_validate_create(struct api_context *ctx, const struct val *driver,
                                   struct field_errors *errors)
{
    token_warn(ctx, driver, NULL);
    (void)errors;
}

static void driver_validate_update(struct api_context *ctx, const struct val *next,
                                   const struct val *old, struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec");
    check_immutable(errors, AT(path, "attachedRequired"), val_path(next, "spec.attachRequired"),
                    val_path(old, "spec.attachRequired"));
    check_immutable(errors, AT(path, "volumeLifecycleModes"),
                    val_path(next, "spec.volumeLifecycleModes"),
                    val_path(old, "spec.volumeLifecycleModes"));
    token_warn(ctx, next, old);
}

static struct str joined(struct api_context *ctx, const struct val *list, const char *member)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    VAL_EACH (it, list) {
        buf_addz(&out, it != list->child ? "," : "");
        buf_str(&out, val_text(member != NULL ? val_get_str(it, str_of(member)) : it));
    }
    return str_copy_in(ctx->arena, buf_view(&out));
}

static void driver_columns(struct api_context *ctx, const struct val *driver, struct val *cells)
{
    const struct val *spec = val_get(driver, "spec"), *tokens = val_get(spec, "tokenRequests");
    cell_text(ctx, cells, val_name(driver));
    cell_bool(ctx, cells, val_bool(val_get(spec, "attachRequired"), true));
    cell_bool(ctx, cells, val_bool(val_get(spec, "podInfoOnMount"), false));
    cell_bool(ctx, cells, val_bool(val_get(spec, "storageCapacity"), false));
    cell_text(ctx, cells, val_absent(tokens) ? STR("<unset>") : joined(ctx, tokens, "audience"));
    cell_bool(ctx, cells, val_bool(val_get(spec, "requiresRepublish"), false));
    cell_or_none(ctx, cells, joined(ctx, val_get(spec, "volumeLifecycleModes"), NULL));
    cell_age(ctx, cells, driver);
}

const struct api_ops ops_csi_driver = {
    .prepare_update = driver_prepare_update,
    .defaults = driver_defaults,
    .validate = driver_validate,
    .validate_create = driver_validate_create,
    .validate_update = driver_validate_update,
    .columns = driver_columns,
    .returns_deleted = true,
};

/* ---- CSINode ---- */

/* Health of storage is behind a gate that is off. */
static void node_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    struct val *status = val_get(next, "status");
    if (val_count(val_path(old, "status.storageHealth")) == 0 && status != NULL) {
        val_unset(status, STR("storageHealth"));
    }
    (void)ctx;
}

static void driver_check(struct field_errors *errors, const struct path *path,
                         const struct val *driver)
{
    enum { ID_MAX = 256 };
    struct str id = val_text(val_get(driver, "nodeID"));
    const struct val *keys = val_get(driver, "topologyKeys");
    csi_driver_name_check(errors, AT(path, "name"), val_text(val_get(driver, "name")));
    if (id.n == 0) {
        field_required(errors, AT(path, "nodeID"), "");
    } else if (id.n > ID_MAX) {
        field_invalid(errors, AT(path, "nodeID"), id, "must be %d characters or less", ID_MAX);
    }
    check_not_negative(errors, AT(AT(path, "allocatable"), "count"),
                       val_path(driver, "allocatable.count"));
    if (!check_length(errors, AT(path, "topologyKeys"), keys, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (key, keys) { /* the API does not say which key */
        const struct val *first = keys->child;
        while (first != key && !str_eq(val_text(first), val_text(key))) {
            first = first->next;
        }
        if (val_text(key).n == 0) {
            field_required(errors, path, "");
        }
        if (first != key) {
            field_duplicate(errors, path, val_text(key));
        }
        check_name(errors, path, NAME_LABEL_KEY, val_text(key));
    }
}

static void node_validate(struct api_context *ctx, const struct val *node,
                          struct field_errors *errors)
{
    const struct val *drivers = val_path(node, "spec.drivers");
    const struct path *path = AT(AT(NULL, "spec"), "drivers");
    uint32_t i = 0;
    if (!check_length(errors, path, drivers, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (driver, drivers) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(driver, "name"));
        driver_check(errors, at, driver);
        if (list_repeats(drivers, driver, "name")) {
            field_duplicate(errors, AT(at, "name"), name);
        }
    }
    (void)ctx;
}

static void condition_check(struct field_errors *errors, const struct path *path,
                            const struct val *condition)
{
    enum { REASON_MAX = 256, MESSAGE_MAX = 1024 };
    static const char *const states[] = {"StorageDegraded", "StorageUnreachable", NULL};
    static const char *const modes[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                        "ReadWriteOncePod", NULL};
    struct str state = val_text(val_get(condition, "status"));
    struct str reason = val_text(val_get(condition, "reason"));
    if (!str_is(state, states[0]) && !str_is(state, states[1])) {
        field_not_supported(errors, AT(path, "status"), state, states);
    }
    if (reason.n == 0) {
        field_required(errors, AT(path, "reason"), "");
    } else if (reason.n > REASON_MAX) {
        field_too_long(errors, AT(path, "reason"), REASON_MAX);
    }
    if (val_text(val_get(condition, "message")).n > MESSAGE_MAX) {
        field_too_long(errors, AT(path, "message"), MESSAGE_MAX);
    }
    check_optional_one_of(errors, AT(path, "accessMode"), val_get(condition, "accessMode"), modes);
    volume_mode_check(errors, AT(path, "volumeMode"), val_get(condition, "volumeMode"));
}

static void health_check(struct field_errors *errors, const struct val *list)
{
    enum { CONDITIONS_MAX = 16 };
    const struct path *path = AT(AT(NULL, "status"), "storageHealth");
    uint32_t i = 0;
    if (!check_length(errors, path, list, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (health, list) {
        const struct path *at = AT_INDEX(path, i++), *in = AT(at, "healthConditions");
        struct str name = val_text(val_get(health, "name"));
        const struct val *conditions = val_get(health, "healthConditions");
        if (list_repeats(list, health, "name")) {
            field_duplicate(errors, at, name);
        }
        csi_driver_name_check(errors, AT(at, "name"), name);
        if (val_count(conditions) > CONDITIONS_MAX) {
            field_too_many(errors, in, conditions->count, CONDITIONS_MAX);
            continue;
        }
        uint32_t c = 0;
        VAL_EACH (condition, conditions) {
            condition_check(errors, AT_INDEX(in, c++), condition);
        }
    }
}

static void node_validate_update(struct api_context *ctx, const struct val *next,
                                 const struct val *old, struct field_errors *errors)
{
    const struct val *drivers = val_path(next, "spec.drivers");
    if (strcmp(ctx->subresource, "status") == 0) {
        health_check(errors, val_path(next, "status.storageHealth"));
        return;
    }
    VAL_EACH (was, val_path(old, "spec.drivers")) {
        const struct val *now = val_find(drivers, "name", val_text(val_get(was, "name")));
        if (now == NULL) {
            continue;
        }
        struct val *a = val_copy(errors->arena, now), *b = val_copy(errors->arena, was);
        val_unset(a, STR("allocatable"));
        val_unset(b, STR("allocatable"));
        if (!semantic_equal(a, b)) {
            check_immutable(errors, AT(AT(NULL, "spec"), "drivers"), a, b);
        }
    }
}

static void node_columns(struct api_context *ctx, const struct val *node, struct val *cells)
{
    cell_text(ctx, cells, val_name(node));
    cell_int(ctx, cells, val_count(val_path(node, "spec.drivers")));
    cell_age(ctx, cells, node);
}

const struct api_ops ops_csi_node = {
    .prepare_update = node_prepare_update,
    .validate = node_validate,
    .validate_update = node_validate_update,
    .columns = node_columns,
    .metadata_fixed_in_status = true,
    .returns_deleted = true,
};

/* ---- CSIStorageCapacity ---- */

static void capacity_validate(struct api_context *ctx, const struct val *capacity,
                              struct field_errors *errors)
{
    const struct val *topology = val_get(capacity, "nodeTopology");
    struct quantity q;
    if (!val_absent(topology)) {
        check_label_selector(errors, AT(NULL, "nodeTopology"), topology);
    }
    check_name(errors, AT(NULL, "storageClassName"), NAME_SUBDOMAIN,
               val_text(val_get(capacity, "storageClassName")));
    struct str amount = val_text(val_get(capacity, "capacity"));
    if (quantity_parse(amount, &q) && q.nano < 0) {
        field_invalid(errors, AT(NULL, "capacity"), amount, "must be greater than or equal to 0");
    }
    (void)ctx;
}

static void capacity_warn(struct api_context *ctx, const struct val *capacity)
{
    const struct val *topology = val_get(capacity, "nodeTopology");
    const struct path *path = AT(NULL, "nodeTopology");
    uint32_t i = 0;
    VAL_EACH (label, val_get(topology, "matchLabels")) {
        const char *text = node_label_deprecation(label->key);
        if (text != NULL) {
            api_warn(ctx, AT_KEY(AT(path, "matchLabels"), label->key), "%s", text);
        }
    }
    VAL_EACH (expression, val_get(topology, "matchExpressions")) {
        const char *text = node_label_deprecation(val_text(val_get(expression, "key")));
        if (text != NULL) {
            api_warn(ctx, AT(AT_INDEX(AT(path, "matchExpressions"), i), "key"), "%s", text);
        }
        i++;
    }
}

static void capacity_validate_create(struct api_context *ctx, const struct val *capacity,
                                     struct field_errors *errors)
{
    capacity_warn(ctx, capacity);
    (void)errors;
}

static void capacity_validate_update(struct api_context *ctx, const struct val *next,
                                     const struct val *old, struct field_errors *errors)
{
    static const char *const fixed[] = {"nodeTopology", "storageClassName"};
    for (int i = 0; i < 2; i++) {
        check_immutable(errors, AT(NULL, fixed[i]), val_get_str(next, str_of(fixed[i])),
                        val_get_str(old, str_of(fixed[i])));
    }
    capacity_warn(ctx, next);
}

const struct api_ops ops_csi_storage_capacity = {
    .validate = capacity_validate,
    .validate_create = capacity_validate_create,
    .validate_update = capacity_validate_update,
};
