/* account.c: ServiceAccounts and Leases: small kinds with little of their own. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"

static void account_columns(struct api_context *ctx, const struct val *account, struct val *cells)
{
    cell_text(ctx, cells, val_name(account));
    cell_age(ctx, cells, account);
}

static void lease_validate(struct api_context *ctx, const struct val *lease,
                           struct field_errors *errors)
{
    const struct val *spec = val_get(lease, "spec");
    const struct path *path = AT(NULL, "spec");
    const struct val *duration = val_get(spec, "leaseDurationSeconds");
    if (!val_absent(duration) && val_int(duration, 0) <= 0) {
        field_invalid_int(errors, AT(path, "leaseDurationSeconds"), val_int(duration, 0),
                          "must be greater than 0");
    }
    check_not_negative(errors, AT(path, "leaseTransitions"), val_get(spec, "leaseTransitions"));
    (void)ctx;
}

/* Coordinated leader election is off, as it is by default upstream: its fields are dropped. */
static void lease_drop(struct val *lease)
{
    struct val *spec = val_get(lease, "spec");
    val_unset(spec, STR("strategy"));
    val_unset(spec, STR("preferredHolder"));
}

static void lease_prepare_create(struct api_context *ctx, struct val *lease)
{
    lease_drop(lease);
    (void)ctx;
}

static void lease_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    lease_drop(next);
    (void)ctx;
    (void)old;
}

static void lease_columns(struct api_context *ctx, const struct val *lease, struct val *cells)
{
    cell_text(ctx, cells, val_name(lease));
    cell_text(ctx, cells, val_text(val_path(lease, "spec.holderIdentity")));
    cell_age(ctx, cells, lease);
}

const struct api_ops ops_service_account = {
    .columns = account_columns,
    .unconditional_update = true,
    .returns_deleted = true,
};

const struct api_ops ops_lease = {
    .prepare_create = lease_prepare_create,
    .prepare_update = lease_prepare_update,
    .validate = lease_validate,
    .columns = lease_columns,
    .create_on_update = true,
    .any_finalizer = true,
};
