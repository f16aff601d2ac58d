/* claim.c: ResourceClaim and ResourceClaimTemplate. What is asked for never changes; the status
 * says which devices were given, to whom, and what their drivers tell. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/resource/device.h"
#include "api/kinds/storage/storage.h"
#include "api/semantic.h"

enum {
    RESERVED_MAX = 256,
    RESULTS_MAX = 32,
    CONFIG_MAX = 64,
    DATA_MAX = 10 * 1024,
    IPS_MAX = 16,
    INTERFACE_MAX = 256,
    HARDWARE_MAX = 128,
};

static bool has_selectors(const struct val *claim)
{
    VAL_EACH (request, val_get(claim, "requests")) {
        if (val_count(val_path(request, "exactly.selectors")) > 0) {
            return true;
        }
        VAL_EACH (way, val_get(request, "firstAvailable")) {
            if (val_count(val_get(way, "selectors")) > 0) {
                return true;
            }
        }
    }
    return false;
}

/* ---- devices that were given ---- */

static bool same_device(const struct val *a, const struct val *b)
{
    static const char *const members[] = {"driver", "pool", "device", "shareID"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct str name = str_of(members[i]);
        if (!str_eq(val_text(val_get_str(a, name)), val_text(val_get_str(b, name)))) {
            return false;
        }
    }
    return true;
}

static bool is_allocated(const struct val *status, const struct val *device)
{
    VAL_EACH (it, val_path(status, "allocation.devices.results")) {
        if (same_device(it, device)) {
            return true;
        }
    }
    return false;
}

/* What drivers told about devices that are no longer the claim's. */
static void drop_deallocated(struct val *status, const struct val *old)
{
    struct val *devices = val_get(status, "devices");
    struct val *it = devices != NULL ? devices->child : NULL;
    while (it != NULL) {
        struct val *next = it->next;
        if (is_allocated(old, it) && !is_allocated(status, it)) {
            val_remove(devices, it);
        }
        it = next;
    }
    if (devices != NULL && devices->count == 0) {
        val_unset(status, STR("devices"));
    }
}

/* ---- claim: strategy ---- */

static void claim_defaults(struct arena *arena, struct val *claim)
{
    device_claim_defaults(arena, val_path(claim, "spec.devices"));
}

static void claim_prepare_create(struct api_context *ctx, struct val *claim)
{
    device_claim_drop(val_path(claim, "spec.devices"));
    (void)ctx;
}

static void claim_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    struct val *status = val_get(next, "status");
    if (ctx->subresource[0] == '\0') {
        device_claim_drop(val_path(next, "spec.devices"));
    }
    if (strcmp(ctx->subresource, "status") != 0 || status == NULL) {
        return;
    }
    VAL_EACH (it, val_path(status, "allocation.devices.results")) {
        val_unset(it, STR("skipNodeOperations")); /* a gate that is off */
    }
    drop_deallocated(status, val_get(old, "status"));
}

static void claim_validate_create(struct api_context *ctx, const struct val *claim,
                                  struct field_errors *errors)
{
    const struct val *devices = val_path(claim, "spec.devices");
    device_claim_check(errors, AT(AT(NULL, "spec"), "devices"), devices);
    if (has_selectors(devices)) {
        expressions_warn(ctx, claim, "ResourceClaim");
    }
}

/* ---- claim: status ---- */

static bool is_share_id(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !hex) {
            return false;
        }
    }
    return text.n == 36;
}

static void place_check(struct field_errors *errors, const struct path *path,
                        const struct val *device)
{
    const struct val *share = val_get(device, "shareID");
    csi_driver_name_check(errors, AT(path, "driver"), val_text(val_get(device, "driver")));
    pool_name_check(errors, AT(path, "pool"), val_text(val_get(device, "pool")));
    device_name_check(errors, AT(path, "device"), val_text(val_get(device, "device")));
    if (!val_absent(share) && !is_share_id(val_text(share))) {
        field_invalid(errors, AT(path, "shareID"), val_text(share), "must be a UUID in lower case");
    }
}

static void result_check(struct field_errors *errors, const struct path *path,
                         const struct val *result, const struct val *claim)
{
    uint32_t i = 0;
    request_ref_check(errors, AT(path, "request"), val_text(val_get(result, "request")), claim);
    place_check(errors, path, result);
    binding_conditions_check(errors, path, result);
    VAL_EACH (it, val_get(result, "tolerations")) {
        device_toleration_check(errors, AT_INDEX(AT(path, "tolerations"), i++), it);
    }
}

static void allocation_check(struct field_errors *errors, const struct path *path,
                             const struct val *allocation, const struct val *claim)
{
    static const char *const sources[] = {"FromClaim", "FromClass", NULL};
    const struct path *at = AT(path, "devices");
    const struct val *results = val_path(allocation, "devices.results");
    const struct val *config = val_path(allocation, "devices.config");
    const struct val *selector = val_get(allocation, "nodeSelector");
    uint32_t i = 0;
    if (check_length(errors, AT(at, "results"), results, RESULTS_MAX)) {
        VAL_EACH (it, results) {
            result_check(errors, AT_INDEX(AT(at, "results"), i++), it, claim);
        }
    }
    i = 0;
    if (check_length(errors, AT(at, "config"), config, CONFIG_MAX)) {
        VAL_EACH (it, config) {
            const struct path *one = AT_INDEX(AT(at, "config"), i++);
            check_one_of(errors, AT(one, "source"), val_text(val_get(it, "source")), sources, true);
            request_refs_check(errors, AT(one, "requests"), val_get(it, "requests"), claim);
            opaque_check(errors, one, it, false);
        }
    }
    if (!val_absent(selector)) {
        node_selector_check(errors, AT(path, "nodeSelector"), selector);
    }
}

static void network_check(struct field_errors *errors, const struct path *path,
                          const struct val *data)
{
    const struct val *ips = val_get(data, "ips");
    uint32_t i = 0;
    if (val_text(val_get(data, "interfaceName")).n > INTERFACE_MAX) {
        field_too_long(errors, AT(path, "interfaceName"), INTERFACE_MAX);
    }
    if (val_text(val_get(data, "hardwareAddress")).n > HARDWARE_MAX) {
        field_too_long(errors, AT(path, "hardwareAddress"), HARDWARE_MAX);
    }
    if (!check_length(errors, AT(path, "ips"), ips, IPS_MAX)) {
        return;
    }
    VAL_EACH (it, ips) {
        check_interface_address(errors, AT_INDEX(AT(path, "ips"), i++), val_text(it));
    }
    repeats_check(errors, AT(path, "ips"), ips);
}

static void device_status_check(struct field_errors *errors, const struct path *path,
                                const struct val *device, const struct val *status)
{
    const struct val *conditions = val_get(device, "conditions");
    const struct val *data = val_get(device, "data");
    place_check(errors, path, device);
    if (!is_allocated(status, device)) {
        field_invalid(errors, path, val_text(val_get(device, "device")),
                      "must be an allocated device in the claim");
    }
    check_length(errors, AT(path, "conditions"), conditions, DEVICE_CONDITIONS_MAX);
    check_conditions(errors, AT(path, "conditions"), conditions);
    if (!val_absent(data)) {
        json_object_check(errors, AT(path, "data"), data, DATA_MAX);
    }
    network_check(errors, AT(path, "networkData"), val_get(device, "networkData"));
}

static void reserved_check(struct field_errors *errors, const struct path *path,
                           const struct val *list)
{
    static const char *const members[] = {"resource", "name", "uid"};
    uint32_t i = 0;
    if (!check_length(errors, path, list, RESERVED_MAX)) {
        return;
    }
    VAL_EACH (it, list) {
        const struct path *at = AT_INDEX(path, i++);
        for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
            if (val_text(val_get_str(it, str_of(members[m]))).n == 0) {
                field_required(errors, AT(at, members[m]), "");
            }
        }
    }
    repeated_members_check(errors, path, list, "uid");
}

static bool has_consumer(const struct val *list, const struct val *consumer)
{
    VAL_EACH (it, list) {
        if (semantic_equal(it, consumer)) {
            return true;
        }
    }
    return false;
}

/* Who uses the claim: only of one that has devices, and nobody new while it goes. */
static void reservation_check(struct field_errors *errors, const struct path *path,
                              const struct val *next, const struct val *old)
{
    const struct val *list = val_path(next, "status.reservedFor");
    if (val_count(list) == 0) {
        return;
    }
    if (val_absent(val_path(next, "status.allocation"))) {
        field_forbidden(errors, path, "may not be specified when `allocated` is not set");
        return;
    }
    VAL_EACH (it, val_absent(val_path(next, "metadata.deletionTimestamp")) ? NULL : list) {
        if (!has_consumer(val_path(old, "status.reservedFor"), it)) {
            field_forbidden(errors, path,
                            "new entries may not be added while `deallocationRequested` or "
                            "`deletionTimestamp` are set");
            return;
        }
    }
}

static void repeated_devices_check(struct field_errors *errors, const struct path *path,
                                   const struct val *devices)
{
    uint32_t i = 0;
    VAL_EACH (it, devices) {
        for (const struct val *other = devices->child; other != it; other = other->next) {
            if (same_device(it, other)) {
                field_duplicate(errors, AT_INDEX(path, i), val_text(val_get(it, "device")));
                break;
            }
        }
        i++;
    }
}

static void status_check(struct field_errors *errors, const struct val *next, const struct val *old)
{
    const struct path *path = AT(NULL, "status"), *list = AT(path, "devices");
    const struct val *status = val_get(next, "status");
    const struct val *allocation = val_get(status, "allocation");
    const struct val *was = val_path(old, "status.allocation");
    const struct val *devices = val_get(status, "devices");
    uint32_t i = 0;
    reserved_check(errors, AT(path, "reservedFor"), val_get(status, "reservedFor"));
    if (check_length(errors, list, devices, LIST_LENGTH_MAX)) {
        VAL_EACH (it, devices) {
            device_status_check(errors, AT_INDEX(list, i++), it, status);
        }
        repeated_devices_check(errors, list, devices);
    }
    reservation_check(errors, AT(path, "reservedFor"), next, old);
    if (!val_absent(allocation) && !val_absent(was)) {
        check_immutable(errors, AT(path, "allocation"), allocation, was);
    } else if (!val_absent(allocation)) {
        allocation_check(errors, AT(path, "allocation"), allocation,
                         val_path(next, "spec.devices"));
    }
}

static void claim_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        status_check(errors, next, old);
    } else {
        check_immutable(errors, AT(NULL, "spec"), val_get(next, "spec"), val_get(old, "spec"));
    }
}

static void claim_columns(struct api_context *ctx, const struct val *claim, struct val *cells)
{
    bool deleted = !val_absent(val_path(claim, "metadata.deletionTimestamp"));
    const struct val *status = val_get(claim, "status");
    bool allocated = !val_absent(val_get(status, "allocation"));
    bool reserved = allocated && val_count(val_get(status, "reservedFor")) > 0;
    cell_text(ctx, cells, val_name(claim));
    cell_format(ctx, cells, "%s%s%s%s", deleted ? "deleted" : "", deleted && allocated ? "," : "",
                allocated  ? "allocated"
                : !deleted ? "pending"
                           : "",
                reserved ? ",reserved" : "");
    cell_age(ctx, cells, claim);
}

/* ---- template ---- */

static void template_defaults(struct arena *arena, struct val *object)
{
    device_claim_defaults(arena, val_path(object, "spec.spec.devices"));
}

static void template_prepare_create(struct api_context *ctx, struct val *object)
{
    device_claim_drop(val_path(object, "spec.spec.devices"));
    (void)ctx;
}

static void template_prepare_update(struct api_context *ctx, struct val *next,
                                    const struct val *old)
{
    template_prepare_create(ctx, next);
    (void)old;
}

/* Claims take labels and annotations from their template, and nothing else. */
static void template_metadata_check(struct field_errors *errors, const struct path *path,
                                    const struct val *metadata)
{
    check_annotations(errors, AT(path, "annotations"), val_get(metadata, "annotations"));
    check_labels(errors, AT(path, "labels"), val_get(metadata, "labels"));
    VAL_EACH (it, metadata) {
        bool empty = it->type == VAL_STRING && it->text.n == 0;
        if (!val_absent(it) && !empty && !str_is(it->key, "labels") &&
            !str_is(it->key, "annotations")) {
            const char *name = str_is(it->key, "uid") ? "uID" : str_dup_in(errors->arena, it->key);
            field_forbidden(errors, AT(path, name), "may not be set in a template");
        }
    }
}

static void template_check(struct field_errors *errors, const struct val *object)
{
    const struct path *path = AT(NULL, "spec");
    template_metadata_check(errors, AT(path, "metadata"), val_path(object, "spec.metadata"));
    device_claim_check(errors, AT(AT(path, "spec"), "devices"),
                       val_path(object, "spec.spec.devices"));
}

static void template_validate_create(struct api_context *ctx, const struct val *object,
                                     struct field_errors *errors)
{
    const struct val *devices = val_path(object, "spec.spec.devices");
    template_check(errors, object);
    if (has_selectors(devices)) {
        expressions_warn(ctx, object, "ResourceClaimTemplate");
    }
}

static void template_validate_update(struct api_context *ctx, const struct val *next,
                                     const struct val *old, struct field_errors *errors)
{
    if (!check_immutable(errors, AT(NULL, "spec"), val_get(next, "spec"), val_get(old, "spec"))) {
        template_check(errors, next);
    }
    (void)ctx;
}

const struct api_ops ops_resource_claim = {
    .defaults = claim_defaults,
    .prepare_create = claim_prepare_create,
    .prepare_update = claim_prepare_update,
    .validate_create = claim_validate_create,
    .validate_update = claim_validate_update,
    .columns = claim_columns,
    .metadata_fixed_in_status = true,
    .unconditional_update = true,
    .returns_deleted = true,
};

const struct api_ops ops_resource_claim_template = {
    .defaults = template_defaults,
    .prepare_create = template_prepare_create,
    .prepare_update = template_prepare_update,
    .validate_create = template_validate_create,
    .validate_update = template_validate_update,
    .unconditional_update = true,
    .columns = cells_name_age,
    .returns_deleted = true,
};
