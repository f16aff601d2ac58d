/* workload.c: Deployments and ReplicaSets: defaults, validation, rows. */
#include "api/kinds/workload/workload.h"
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/selector.h"
#include "api/semantic.h"
#include "api/warning.h"

void workload_selector_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec, const char *kind)
{
    const struct val *selector = val_get(spec, "selector");
    const struct val *labels = val_path(spec, "template.metadata.labels");
    const struct path *at = AT(path, "selector");
    struct selector parsed = {.nothing = true};
    size_t before = errors->count;
    if (val_absent(selector)) {
        if (strcmp(kind, "daemonset") != 0) { /* that one only has a template that does not match */
            field_required(errors, at, "");
        }
    } else {
        check_label_selector(errors, at, selector);
        bool broken = selector_from_val(errors->arena, selector, &parsed, NULL) != 0;
        if (broken && strcmp(kind, "daemonset") != 0) {
            field_invalid_val(errors, at, selector, "invalid label selector");
        }
        if (broken || errors->count > before) {
            return;
        }
        if (selector_empty(&parsed)) {
            field_invalid_val(errors, at, selector, "empty selector is invalid for %s", kind);
            return;
        }
    }
    if (!selector_matches_val(&parsed, labels)) {
        field_invalid_val(errors, AT(AT(AT(path, "template"), "metadata"), "labels"), labels,
                          "`selector` does not match template `labels`");
    }
}

void workload_template_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec, const char *const *policies)
{
    const struct path *at = AT(path, "template");
    const struct val *template = val_get(spec, "template");
    struct str policy = val_text(val_path(template, "spec.restartPolicy"));
    pod_template_check(errors, at, template);
    for (size_t i = 0; policies[i] != NULL; i++) {
        if (str_is(policy, policies[i])) {
            return;
        }
    }
    field_not_supported(errors, AT(AT(at, "spec"), "restartPolicy"), policy, policies);
}

static const char *const always_only[] = {"Always", NULL};

void workload_deadline_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec, const char *kind)
{
    if (!val_absent(val_path(spec, "template.spec.activeDeadlineSeconds"))) {
        field_forbidden(errors, AT(AT(AT(path, "template"), "spec"), "activeDeadlineSeconds"),
                        "activeDeadlineSeconds in %s is not Supported", kind);
    }
}

static void deployment_default(struct arena *arena, struct val *deployment)
{
    struct val *spec = default_object(arena, deployment, "spec");
    default_int(arena, spec, "replicas", 1);
    default_int(arena, spec, "revisionHistoryLimit", 10);
    default_int(arena, spec, "progressDeadlineSeconds", 600);
    struct val *strategy = default_object(arena, spec, "strategy");
    default_text(arena, strategy, "type", "RollingUpdate");
    if (str_is(val_text(val_get(strategy, "type")), "RollingUpdate")) {
        struct val *rolling = default_object(arena, strategy, "rollingUpdate");
        default_text(arena, rolling, "maxUnavailable", "25%");
        default_text(arena, rolling, "maxSurge", "25%");
    }
    pod_template_default(arena, spec);
}

void workload_share_check(struct field_errors *errors, const struct path *path,
                          const struct val *value, bool at_most_all, bool *ret_zero)
{
    struct str text = val_text(value);
    *ret_zero = val_absent(value);
    if (val_is(value, VAL_STRING)) {
        uint64_t percent = 0;
        if (!name_is(NAME_PERCENT, text)) {
            int64_t number = 0;
            *ret_zero = !str_i64(text, &number) || number == 0;
            check_name(errors, path, NAME_PERCENT, text);
            return;
        }
        if (!str_u64(str_at(text.p, text.n - 1), &percent) || (at_most_all && percent > 100)) {
            field_invalid(errors, path, text, "must not be greater than 100%%");
        }
        *ret_zero = percent == 0;
    } else if (value != NULL) {
        check_not_negative(errors, path, value);
        *ret_zero = val_int(value, 0) == 0;
    }
}

static void strategy_check(struct field_errors *errors, const struct path *path,
                           const struct val *strategy)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};
    struct str type = val_text(val_get(strategy, "type"));
    const struct val *rolling = val_get(strategy, "rollingUpdate");
    if (str_is(type, "Recreate")) {
        if (!val_absent(rolling)) {
            field_forbidden(errors, AT(path, "rollingUpdate"),
                            "may not be specified when strategy `type` is 'Recreate'");
        }
    } else if (!str_is(type, "RollingUpdate")) {
        field_not_supported(errors, path, type, types);
    } else if (val_absent(rolling)) {
        field_required(errors, AT(path, "rollingUpdate"),
                       "this should be defaulted and never be nil");
    } else {
        const struct path *at = AT(path, "rollingUpdate");
        bool no_surge, none_down;
        const struct val *down = val_get(rolling, "maxUnavailable");
        workload_share_check(errors, AT(at, "maxUnavailable"), down, true, &none_down);
        workload_share_check(errors, AT(at, "maxSurge"), val_get(rolling, "maxSurge"), false,
                             &no_surge);
        if (no_surge && none_down) {
            field_invalid_val(errors, AT(at, "maxUnavailable"), down,
                              "may not be 0 when `maxSurge` is 0");
        }
    }
}

void workload_warn(struct api_context *ctx, const struct val *next, const struct val *old)
{
    const struct val *spec = val_path(next, "spec.template.spec");
    if (old == NULL || !semantic_equal(spec, val_path(old, "spec.template.spec"))) {
        pod_spec_warn(ctx, AT(AT(AT(NULL, "spec"), "template"), "spec"), spec);
    }
}

void workload_name_warn(struct api_context *ctx, struct str name)
{
    struct name_complaints complaints;
    if (!name_check(NAME_LABEL, name, &complaints)) {
        api_warn(ctx, AT(AT(NULL, "metadata"), "name"),
                 "pods and their host names are called after it, a DNS label is recommended: %s",
                 complaints.items[0]);
    }
}

void workload_validate_create(struct api_context *ctx, const struct val *object,
                              struct field_errors *errors)
{
    workload_warn(ctx, object, NULL);
    (void)errors;
}

static void deployment_validate(struct api_context *ctx, const struct val *deployment,
                                struct field_errors *errors)
{
    const struct val *spec = val_get(deployment, "spec");
    const struct path *path = AT(NULL, "spec");
    check_not_negative(errors, AT(path, "replicas"), val_get(spec, "replicas"));
    workload_selector_check(errors, path, spec, "deployment");
    workload_template_check(errors, path, spec, always_only);
    workload_deadline_check(errors, path, spec, "ReplicaSet");
    strategy_check(errors, AT(path, "strategy"), val_get(spec, "strategy"));
    check_not_negative(errors, AT(path, "minReadySeconds"), val_get(spec, "minReadySeconds"));
    check_not_negative(errors, AT(path, "revisionHistoryLimit"),
                       val_get(spec, "revisionHistoryLimit"));
    const struct val *deadline = val_get(spec, "progressDeadlineSeconds");
    if (!val_absent(deadline)) {
        check_not_negative(errors, AT(path, "progressDeadlineSeconds"), deadline);
        if (val_int(deadline, 0) <= val_int(val_get(spec, "minReadySeconds"), 0)) {
            field_invalid_int(errors, AT(path, "progressDeadlineSeconds"), val_int(deadline, 0),
                              "must be greater than minReadySeconds");
        }
    }
    (void)ctx;
}

void workload_counts_check(struct field_errors *errors, const struct val *status,
                           const struct val *old)
{
    static const char *const names[] = {
        "observedGeneration",  "replicas",      "fullyLabeledReplicas", "currentReplicas",
        "updatedReplicas",     "readyReplicas", "availableReplicas",    "unavailableReplicas",
        "terminatingReplicas", "collisionCount"};
    static const char *const parts[] = {"fullyLabeledReplicas", "currentReplicas",
                                        "updatedReplicas", "readyReplicas", "availableReplicas"};
    const struct path *path = AT(NULL, "status");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        check_not_negative(errors, AT(path, names[i]), val_get_str(status, str_of(names[i])));
    }
    int64_t replicas = val_int(val_get(status, "replicas"), 0);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int64_t part = val_int(val_get_str(status, str_of(parts[i])), 0);
        bool has = status != NULL && status->field != NULL &&
                   schema_field(status->field->type_struct, str_of(parts[i])) != NULL;
        if (has && part > replicas) {
            field_invalid_int(errors, AT(path, parts[i]), part,
                              "cannot be greater than status.replicas");
        }
    }
    int64_t available = val_int(val_get(status, "availableReplicas"), 0);
    if (available > val_int(val_get(status, "readyReplicas"), 0)) {
        field_invalid_int(errors, AT(path, "availableReplicas"), available,
                          "cannot be greater than readyReplicas");
    }
    workload_collisions_check(errors, status, old);
}

void workload_collisions_check(struct field_errors *errors, const struct val *status,
                               const struct val *old)
{
    int64_t collisions = val_int(val_get(status, "collisionCount"), 0);
    const struct val *was = val_get(old, "collisionCount");
    if (!val_absent(was) && collisions < val_int(was, 0)) {
        field_invalid_int(errors, AT(AT(NULL, "status"), "collisionCount"), collisions,
                          "cannot be decremented");
    }
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        workload_counts_check(errors, val_get(next, "status"), val_get(old, "status"));
        return;
    }
    workload_warn(ctx, next, old);
    check_immutable(errors, AT(AT(NULL, "spec"), "selector"), val_path(next, "spec.selector"),
                    val_path(old, "spec.selector"));
}

/* Labels are not the status updater's. */
static void deployment_prepare_update(struct api_context *ctx, struct val *next,
                                      const struct val *old)
{
    if (strcmp(ctx->subresource, "status") != 0) {
        return;
    }
    const struct val *labels = val_path(old, "metadata.labels");
    struct val *metadata = val_get(next, "metadata");
    if (labels == NULL) {
        val_unset(metadata, STR("labels"));
    } else {
        struct val *copy = val_copy(ctx->arena, labels);
        copy->field = labels->field;
        val_set(metadata, STR("labels"), copy);
    }
}

static void deployment_columns(struct api_context *ctx, const struct val *deployment,
                               struct val *cells)
{
    const struct val *spec = val_get(deployment, "spec"), *status = val_get(deployment, "status");
    cell_text(ctx, cells, val_name(deployment));
    cell_format(ctx, cells, "%lld/%lld", (long long)val_int(val_get(status, "readyReplicas"), 0),
                (long long)val_int(val_get(spec, "replicas"), 0));
    cell_int(ctx, cells, val_int(val_get(status, "updatedReplicas"), 0));
    cell_int(ctx, cells, val_int(val_get(status, "availableReplicas"), 0));
    cell_age(ctx, cells, deployment);
    cell_containers(ctx, cells, val_path(spec, "template.spec"));
    cell_text(ctx, cells, cell_selector_text(ctx, val_get(spec, "selector")));
}

static void replica_set_default(struct arena *arena, struct val *set)
{
    struct val *spec = default_object(arena, set, "spec");
    default_int(arena, spec, "replicas", 1);
    pod_template_default(arena, spec);
}

static void replica_set_validate(struct api_context *ctx, const struct val *set,
                                 struct field_errors *errors)
{
    const struct val *spec = val_get(set, "spec");
    const struct path *path = AT(NULL, "spec");
    check_not_negative(errors, AT(path, "replicas"), val_get(spec, "replicas"));
    check_not_negative(errors, AT(path, "minReadySeconds"), val_get(spec, "minReadySeconds"));
    workload_selector_check(errors, path, spec, "deployment");
    workload_template_check(errors, path, spec, always_only);
    workload_deadline_check(errors, path, spec, "ReplicaSet");
    (void)ctx;
}

static void replica_set_columns(struct api_context *ctx, const struct val *set, struct val *cells)
{
    const struct val *spec = val_get(set, "spec"), *status = val_get(set, "status");
    cell_text(ctx, cells, val_name(set));
    cell_int(ctx, cells, val_int(val_get(spec, "replicas"), 0));
    cell_int(ctx, cells, val_int(val_get(status, "replicas"), 0));
    cell_int(ctx, cells, val_int(val_get(status, "readyReplicas"), 0));
    cell_age(ctx, cells, set);
    cell_containers(ctx, cells, val_path(spec, "template.spec"));
    cell_text(ctx, cells, cell_selector_text(ctx, val_get(spec, "selector")));
}

/* status.replicas is always there, also when it is 0. */
static void replica_set_prepare(struct api_context *ctx, struct val *set)
{
    val_set_int(ctx->arena, val_make_object(ctx->arena, set, STR("status")), STR("replicas"), 0);
}

const struct api_ops ops_deployment = {
    .prepare_update = deployment_prepare_update,
    .defaults = deployment_default,
    .validate = deployment_validate,
    .validate_create = workload_validate_create,
    .validate_update = validate_update,
    .columns = deployment_columns,
    .generation = true,
    .unconditional_update = true,
};

const struct api_ops ops_replica_set = {
    .prepare_create = replica_set_prepare,
    .defaults = replica_set_default,
    .validate = replica_set_validate,
    .validate_create = workload_validate_create,
    .validate_update = validate_update,
    .columns = replica_set_columns,
    .generation = true,
    .unconditional_update = true,
};
