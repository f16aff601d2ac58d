/* budget.c: PodDisruptionBudgets: validation, rows. */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/workload/workload.h"
#include "api/semantic.h"

static void validate(struct api_context *ctx, const struct val *budget, struct field_errors *errors)
{
    static const char *const policies[] = {"AlwaysAllow", "IfHealthyBudget", NULL};
    static const char *const members[] = {"minAvailable", "maxUnavailable"};
    const struct val *spec = val_get(budget, "spec");
    const struct path *path = AT(NULL, "spec");
    if (!val_absent(val_get(spec, "minAvailable")) &&
        !val_absent(val_get(spec, "maxUnavailable"))) {
        field_invalid_val(errors, path, spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for (int i = 0; i < 2; i++) {
        const struct val *share = val_get_str(spec, str_of(members[i]));
        bool none;
        if (!val_absent(share)) {
            workload_share_check(errors, AT(path, members[i]), share, true, &none);
        }
    }
    if (!val_absent(val_get(spec, "selector"))) {
        check_label_selector(errors, AT(path, "selector"), val_get(spec, "selector"));
    }
    const struct val *policy = val_get(spec, "unhealthyPodEvictionPolicy");
    check_optional_one_of(errors, AT(path, "unhealthyPodEvictionPolicy"), policy, policies);
    (void)ctx;
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    static const char *const counts[] = {"disruptionsAllowed", "currentHealthy", "desiredHealthy",
                                         "expectedPods"};
    const struct val *status = val_get(next, "status");
    const struct path *path = AT(NULL, "status");
    if (strcmp(ctx->subresource, "status") != 0) {
        return;
    }
    check_conditions(errors, AT(path, "conditions"), val_get(status, "conditions"));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        check_not_negative(errors, AT(path, counts[i]), val_get_str(status, str_of(counts[i])));
    }
    (void)old;
}

static void share_cell(struct api_context *ctx, const struct val *share, struct val *cells)
{
    cell_text(ctx, cells, val_absent(share) ? STR("N/A") : val_text(share));
}

static void columns(struct api_context *ctx, const struct val *budget, struct val *cells)
{
    cell_text(ctx, cells, val_name(budget));
    share_cell(ctx, val_path(budget, "spec.minAvailable"), cells);
    share_cell(ctx, val_path(budget, "spec.maxUnavailable"), cells);
    cell_int(ctx, cells, val_int(val_path(budget, "status.disruptionsAllowed"), 0));
    cell_age(ctx, cells, budget);
}

const struct api_ops ops_pod_disruption_budget = {
    .validate = validate,
    .validate_update = validate_update,
    .columns = columns,
    .generation = true,
    .name_rule = "path",
    .any_finalizer = true,
};
