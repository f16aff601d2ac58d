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
    static const char *const strategies[] = {"OldestEmulationVersion", NULL};
    const struct val *spec = val_get(lease, "spec");
    const struct path *path = AT(NULL, "spec");
    const struct val *duration = val_get(spec, "leaseDurationSeconds");
    if (!val_absent(duration) && val_int(duration, 0) <= 0) {
        field_invalid_int(errors, AT(path, "leaseDurationSeconds"), val_int(duration, 0),
                          "must be greater than 0");
    }
    check_not_negative(errors, AT(path, "leaseTransitions"), val_get(spec, "leaseTransitions"));
    struct str strategy = val_text(val_get(spec, "strategy"));
    if (strategy.n > 0 && !str_contains(strategy, STR("/"))) {
        check_one_of(errors, AT(path, "strategy"), strategy, strategies, false);
    } else if (strategy.n > 0) {
        check_name(errors, AT(path, "strategy"), NAME_LABEL_KEY, strategy);
    } else if (val_text(val_get(spec, "preferredHolder")).n > 0) {
        field_forbidden(errors, AT(path, "preferredHolder"),
                        "may only be specified if `strategy` is defined");
    }
    (void)ctx;
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
};

const struct api_ops ops_lease = {
    .validate = lease_validate,
    .columns = lease_columns,
    .create_on_update = true,
};
