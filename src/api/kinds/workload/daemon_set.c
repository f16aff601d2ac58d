/* daemon_set.c: DaemonSets: defaults, validation, rows.
 *
 * An annotation counts the changes of the template. It is older than ControllerRevisions; the
 * server keeps it, whatever a client sends.
 */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/workload/workload.h"
#include "api/semantic.h"

static const char *const always_only[] = {"Always", NULL};
static const char counter[] = "deprecated.daemonset.template.generation";

static int64_t template_generation(const struct val *set)
{
    uint64_t value = 0;
    struct str text = val_text(val_get_str(val_path(set, "metadata.annotations"), str_of(counter)));
    return str_u64(text, &value) && value <= INT64_MAX ? (int64_t)value : 0;
}

static void put_template_generation(struct arena *arena, struct val *set, int64_t value)
{
    struct val *metadata = val_make_object(arena, set, STR("metadata"));
    val_set_text(arena, val_make_object(arena, metadata, STR("annotations")), str_of(counter),
                 str_of(arena_printf(arena, "%lld", (long long)value)));
}

static void defaults(struct arena *arena, struct val *set)
{
    struct val *spec = default_object(arena, set, "spec");
    default_int(arena, spec, "revisionHistoryLimit", 10);
    struct val *strategy = default_object(arena, spec, "updateStrategy");
    default_text(arena, strategy, "type", "RollingUpdate");
    if (str_is(val_text(val_get(strategy, "type")), "RollingUpdate")) {
        struct val *rolling = default_object(arena, strategy, "rollingUpdate");
        default_int(arena, rolling, "maxUnavailable", 1);
        default_int(arena, rolling, "maxSurge", 0);
    }
    pod_template_default(arena, spec);
}

static void prepare_create(struct api_context *ctx, struct val *set)
{
    int64_t given = template_generation(set);
    put_template_generation(ctx->arena, set, given > 0 ? given : 1);
}

static void prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    int64_t value = template_generation(old);
    bool changed = !semantic_equal(val_path(next, "spec.template"), val_path(old, "spec.template"));
    put_template_generation(ctx->arena, next, changed ? value + 1 : value);
}

static void rolling_check(struct field_errors *errors, const struct path *path,
                          const struct val *rolling)
{
    const struct val *surge = val_get(rolling, "maxSurge");
    bool none_down, no_surge;
    workload_share_check(errors, AT(path, "maxUnavailable"), val_get(rolling, "maxUnavailable"),
                         true, &none_down);
    workload_share_check(errors, AT(path, "maxSurge"), surge, true, &no_surge);
    if (!none_down && !no_surge) {
        field_invalid_val(errors, AT(path, "maxSurge"), surge,
                          "may not be set when maxUnavailable is non-zero");
    } else if (none_down && no_surge) {
        field_required(errors, AT(path, "maxUnavailable"), "cannot be 0 when maxSurge is 0");
    }
}

static void strategy_check(struct field_errors *errors, const struct path *path,
                           const struct val *strategy)
{
    static const char *const types[] = {"OnDelete", "RollingUpdate", NULL};
    struct str type = val_text(val_get(strategy, "type"));
    const struct val *rolling = val_get(strategy, "rollingUpdate");
    if (str_is(type, "OnDelete")) {
        return;
    }
    if (!str_is(type, "RollingUpdate")) {
        field_not_supported(errors, path, type, types);
    } else if (val_absent(rolling)) {
        field_required(errors, AT(path, "rollingUpdate"), "");
    } else {
        rolling_check(errors, AT(path, "rollingUpdate"), rolling);
    }
}

static void validate(struct api_context *ctx, const struct val *set, struct field_errors *errors)
{
    const struct val *spec = val_get(set, "spec");
    const struct path *path = AT(NULL, "spec");
    workload_selector_check(errors, path, spec, "daemonset");
    workload_template_check(errors, path, spec, always_only);
    workload_deadline_check(errors, path, spec, "DaemonSet");
    check_not_negative(errors, AT(path, "minReadySeconds"), val_get(spec, "minReadySeconds"));
    strategy_check(errors, AT(path, "updateStrategy"), val_get(spec, "updateStrategy"));
    check_not_negative(errors, AT(path, "revisionHistoryLimit"),
                       val_get(spec, "revisionHistoryLimit"));
    (void)ctx;
}

static void status_check(struct field_errors *errors, const struct val *status,
                         const struct val *old)
{
    static const char *const names[] = {"currentNumberScheduled", "numberMisscheduled",
                                        "desiredNumberScheduled", "numberReady",
                                        "observedGeneration",     "updatedNumberScheduled",
                                        "numberAvailable",        "numberUnavailable",
                                        "collisionCount"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        check_not_negative(errors, AT(AT(NULL, "status"), names[i]),
                           val_get_str(status, str_of(names[i])));
    }
    workload_collisions_check(errors, status, old);
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        status_check(errors, val_get(next, "status"), val_get(old, "status"));
        return;
    }
    workload_warn(ctx, next, old);
    check_immutable(errors, AT(AT(NULL, "spec"), "selector"), val_path(next, "spec.selector"),
                    val_path(old, "spec.selector"));
}

static void columns(struct api_context *ctx, const struct val *set, struct val *cells)
{
    static const char *const counts[] = {"desiredNumberScheduled", "currentNumberScheduled",
                                         "numberReady", "updatedNumberScheduled",
                                         "numberAvailable"};
    const struct val *spec = val_get(set, "spec"), *status = val_get(set, "status");
    cell_text(ctx, cells, val_name(set));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        cell_int(ctx, cells, val_int(val_get_str(status, str_of(counts[i])), 0));
    }
    cell_text(ctx, cells, cell_map_text(ctx, val_path(spec, "template.spec.nodeSelector")));
    cell_age(ctx, cells, set);
    cell_containers(ctx, cells, val_path(spec, "template.spec"));
    cell_text(ctx, cells, cell_selector_text(ctx, val_get(spec, "selector")));
}

const struct api_ops ops_daemon_set = {
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .defaults = defaults,
    .validate = validate,
    .validate_create = workload_validate_create,
    .validate_update = validate_update,
    .columns = columns,
    .generation = true,
    .unconditional_update = true,
};
