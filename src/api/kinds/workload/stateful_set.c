/* stateful_set.c: StatefulSets: defaults, validation, rows.
 *
 * What the controller sets in each pod (hostname, subdomain, the volumes of claim templates) is not
 * the template's: the template is checked as the pods will have it.
 */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/storage/storage.h"
#include "api/kinds/workload/workload.h"
#include "api/warning.h"

static const char *const always_only[] = {"Always", NULL};

/* Claim templates are written with kind and apiVersion, as objects are. */
static void claim_template_default(struct arena *arena, struct val *claim)
{
    default_put(claim, STR("kind"), val_new_text(arena, STR("PersistentVolumeClaim")));
    default_put(claim, STR("apiVersion"), val_new_text(arena, STR("v1")));
    ops_persistent_volume_claim.defaults(arena, claim);
}

static void strategy_default(struct arena *arena, struct val *spec)
{
    struct val *strategy = default_object(arena, spec, "updateStrategy");
    bool unnamed = val_text(val_get(strategy, "type")).n == 0;
    default_text(arena, strategy, "type", "RollingUpdate");
    struct val *rolling = val_get(strategy, "rollingUpdate");
    if (unnamed && val_absent(rolling)) {
        rolling = default_object(arena, strategy, "rollingUpdate");
    }
    if (!val_absent(rolling) && str_is(val_text(val_get(strategy, "type")), "RollingUpdate")) {
        default_int(arena, rolling, "partition", 0);
        default_int(arena, rolling, "maxUnavailable", 1);
    }
}

static void defaults(struct arena *arena, struct val *set)
{
    struct val *spec = default_object(arena, set, "spec");
    default_int(arena, spec, "replicas", 1);
    default_int(arena, spec, "revisionHistoryLimit", 10);
    default_text(arena, spec, "podManagementPolicy", "OrderedReady");
    strategy_default(arena, spec);
    struct val *retention = default_object(arena, spec, "persistentVolumeClaimRetentionPolicy");
    default_text(arena, retention, "whenDeleted", "Retain");
    default_text(arena, retention, "whenScaled", "Retain");
    VAL_EACH (claim, val_get(spec, "volumeClaimTemplates")) {
        claim_template_default(arena, claim);
    }
    pod_template_default(arena, spec);
}

/* status.replicas is always there, also when it is 0. */
static void prepare_create(struct api_context *ctx, struct val *set)
{
    val_set_int(ctx->arena, val_make_object(ctx->arena, set, STR("status")), STR("replicas"), 0);
}

static void rolling_check(struct field_errors *errors, const struct path *path,
                          const struct val *rolling)
{
    const struct val *down = val_get(rolling, "maxUnavailable");
    bool none;
    check_not_negative(errors, AT(path, "partition"), val_get(rolling, "partition"));
    if (!val_absent(down)) {
        workload_share_check(errors, AT(path, "maxUnavailable"), down, true, &none);
        if (none) {
            field_invalid_val(errors, AT(path, "maxUnavailable"), down, "cannot be 0");
        }
    }
}

static void strategy_check(struct field_errors *errors, const struct path *path,
                           const struct val *strategy)
{
    struct str type = val_text(val_get(strategy, "type"));
    const struct val *rolling = val_get(strategy, "rollingUpdate");
    if (type.n == 0) {
        field_required(errors, path, "");
    } else if (str_is(type, "OnDelete")) {
        if (!val_absent(rolling)) {
            field_invalid_val(errors, AT(path, "rollingUpdate"), rolling,
                              "only allowed for updateStrategy 'RollingUpdate'");
        }
    } else if (!str_is(type, "RollingUpdate")) {
        field_invalid_val(errors, path, strategy, "must be 'RollingUpdate' or 'OnDelete'");
    } else if (!val_absent(rolling)) {
        rolling_check(errors, AT(path, "rollingUpdate"), rolling);
    }
}

static void retention_check(struct field_errors *errors, const struct path *path,
                            const struct val *policy)
{
    static const char *const policies[] = {"Delete", "Retain", NULL};
    static const char *const members[] = {"whenDeleted", "whenScaled"};
    for (size_t i = 0; i < 2 && !val_absent(policy); i++) {
        struct str value = val_text(val_get_str(policy, str_of(members[i])));
        if (!str_is(value, "Delete") && !str_is(value, "Retain")) {
            field_not_supported(errors, AT(path, members[i]), value, policies);
        }
    }
}

/* The volumes of the claim templates take the place of those with the same name. */
static void put_claim_volumes(struct arena *arena, struct val *pod_spec, const struct val *claims)
{
    struct val *volumes = val_new(arena, VAL_ARRAY);
    VAL_EACH (claim, claims) {
        if (val_find(volumes, "name", val_name(claim)) != NULL) {
            continue;
        }
        struct val *volume = val_append(volumes, val_new(arena, VAL_OBJECT));
        struct val *source = val_new(arena, VAL_OBJECT);
        val_set_text(arena, volume, STR("name"), val_name(claim).n > 0 ? val_name(claim) : STR(""));
        val_set(volume, STR("persistentVolumeClaim"), source);
        val_set_text(arena, source, STR("claimName"), val_name(claim));
    }
    VAL_EACH (volume, val_get(pod_spec, "volumes")) {
        if (val_find(volumes, "name", val_text(val_get(volume, "name"))) == NULL) {
            val_append(volumes, val_copy(arena, volume));
        }
    }
    val_set(pod_spec, STR("volumes"), volumes);
}

/* `spec` with the template as the pods will have it. */
static const struct val *as_in_pods(struct arena *arena, const struct val *spec)
{
    const struct val *claims = val_get(spec, "volumeClaimTemplates");
    const struct val *pod_spec = val_path(spec, "template.spec");
    if (val_count(claims) == 0 && val_text(val_get(pod_spec, "hostname")).n == 0 &&
        val_text(val_get(pod_spec, "subdomain")).n == 0) {
        return spec;
    }
    struct val *copy = val_copy(arena, spec);
    struct val *inner = val_path(copy, "template.spec");
    if (inner != NULL) {
        val_unset(inner, STR("hostname"));
        val_unset(inner, STR("subdomain"));
        put_claim_volumes(arena, inner, claims);
    }
    return copy;
}

static void validate(struct api_context *ctx, const struct val *set, struct field_errors *errors)
{
    const struct val *spec = val_get(set, "spec");
    const struct path *path = AT(NULL, "spec");
    struct str policy = val_text(val_get(spec, "podManagementPolicy"));
    if (!str_is(policy, "OrderedReady") && !str_is(policy, "Parallel")) {
        field_invalid(errors, AT(path, "podManagementPolicy"), policy,
                      "must be 'OrderedReady' or 'Parallel'");
    }
    strategy_check(errors, AT(path, "updateStrategy"), val_get(spec, "updateStrategy"));
    retention_check(errors, AT(path, "persistentVolumeClaimRetentionPolicy"),
                    val_get(spec, "persistentVolumeClaimRetentionPolicy"));
    check_not_negative(errors, AT(path, "replicas"), val_get(spec, "replicas"));
    check_not_negative(errors, AT(path, "minReadySeconds"), val_get(spec, "minReadySeconds"));
    check_not_negative(errors, AT(path, "ordinals.start"), val_path(spec, "ordinals.start"));
    workload_selector_check(errors, path, spec, "statefulset");
    if (check_length(errors, AT(path, "volumeClaimTemplates"),
                     val_get(spec, "volumeClaimTemplates"), LIST_LENGTH_MAX)) {
        workload_template_check(errors, path, as_in_pods(errors->arena, spec), always_only);
    }
    workload_deadline_check(errors, path, spec, "StatefulSet");
    (void)ctx;
}

static void warn(struct api_context *ctx, const struct val *spec)
{
    uint32_t i = 0;
    VAL_EACH (claim, val_get(spec, "volumeClaimTemplates")) {
        claim_spec_warn(ctx, AT_INDEX(AT(AT(NULL, "spec"), "volumeClaimTemplates"), i++),
                        val_get(claim, "spec"));
    }
    if (val_int(val_get(spec, "revisionHistoryLimit"), 0) < 0) {
        api_warn(ctx, AT(AT(NULL, "spec"), "revisionHistoryLimit"),
                 "a negative value retains all historical revisions; a value >= 0 is recommended");
    }
}

/* What cannot change is only checked here. */
static void validate_create(struct api_context *ctx, const struct val *set,
                            struct field_errors *errors)
{
    const struct val *spec = val_get(set, "spec");
    const struct path *path = AT(NULL, "spec");
    uint32_t i = 0;
    VAL_EACH (claim, val_get(spec, "volumeClaimTemplates")) {
        claim_spec_check(errors, AT(AT_INDEX(AT(path, "volumeClaimTemplates"), i++), "spec"),
                         val_get(claim, "spec"));
    }
    struct str service = val_text(val_get(spec, "serviceName"));
    if (service.n > 0) {
        check_name(errors, AT(path, "serviceName"), NAME_LABEL, service);
    }
    workload_warn(ctx, set, NULL);
    warn(ctx, spec);
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    static const char *const fixed[] = {"selector", "volumeClaimTemplates", "serviceName",
                                        "podManagementPolicy"};
    if (strcmp(ctx->subresource, "status") == 0) {
        workload_counts_check(errors, val_get(next, "status"), val_get(old, "status"));
        return;
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        struct str name = str_of(fixed[i]);
        check_immutable(errors, AT(AT(NULL, "spec"), fixed[i]),
                        val_get_str(val_get(next, "spec"), name),
                        val_get_str(val_get(old, "spec"), name));
    }
    workload_warn(ctx, next, old);
    warn(ctx, val_get(next, "spec"));
}

static void columns(struct api_context *ctx, const struct val *set, struct val *cells)
{
    const struct val *spec = val_get(set, "spec");
    cell_text(ctx, cells, val_name(set));
    cell_format(ctx, cells, "%lld/%lld",
                (long long)val_int(val_path(set, "status.readyReplicas"), 0),
                (long long)val_int(val_get(spec, "replicas"), 0));
    cell_age(ctx, cells, set);
    cell_containers(ctx, cells, val_path(spec, "template.spec"));
}

const struct api_ops ops_stateful_set = {
    .prepare_create = prepare_create,
    .defaults = defaults,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .columns = columns,
    .generation = true,
    .unconditional_update = true,
    .name_rule = "label",
};
