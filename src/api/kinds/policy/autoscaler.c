/* autoscaler.c: HorizontalPodAutoscalers: defaults, validation, rows. What v1 has is turned into v2
 * and judged as that. */
#include "api/kinds/policy/autoscaler.h"

#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/resource_names.h"
#include "api/quantity.h"

/* ---- defaults ---- */

static struct val *parsed(struct arena *arena, const char *json)
{
    struct val *value = NULL;
    val_parse_json(arena, str_of(json), &value, NULL);
    return value;
}

static void rules_default(struct arena *arena, struct val *behavior, const char *name,
                          const char *policies, bool window)
{
    struct val *rules = default_object(arena, behavior, name);
    if (window) {
        default_int(arena, rules, "stabilizationWindowSeconds", 0);
    }
    default_text(arena, rules, "selectPolicy", "Max");
    if (val_absent(val_get(rules, "policies"))) {
        default_put(rules, STR("policies"), parsed(arena, policies));
    }
}

static void defaults(struct arena *arena, struct val *scaler)
{
    struct val *spec = default_object(arena, scaler, "spec");
    default_int(arena, spec, "minReplicas", 1);
    if (val_count(val_get(spec, "metrics")) == 0) {
        default_put(spec, STR("metrics"),
                    parsed(arena, "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\","
                                  "\"target\":{\"type\":\"Utilization\","
                                  "\"averageUtilization\":80}}}]"));
    }
    struct val *behavior = val_get(spec, "behavior");
    if (!val_absent(behavior)) {
        rules_default(arena, behavior, "scaleUp",
                      "[{\"type\":\"Pods\",\"value\":4,\"periodSeconds\":15},"
                      "{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]",
                      true);
        rules_default(arena, behavior, "scaleDown",
                      "[{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]", false);
    }
}

/* ---- validation ---- */

struct reference_rules {
    bool any_version; /* a version that was there stays */
    bool no_group;    /* "v1" will do */
};

static void segment_check(struct field_errors *errors, const struct path *path, struct str text)
{
    if (text.n == 0) {
        field_required(errors, path, "");
    } else {
        check_name(errors, path, NAME_PATH, text);
    }
}

static void reference_check(struct field_errors *errors, const struct path *path,
                            const struct val *reference, struct reference_rules rules)
{
    struct str version = val_text(val_get(reference, "apiVersion")), rest, more;
    segment_check(errors, AT(path, "kind"), val_text(val_get(reference, "kind")));
    segment_check(errors, AT(path, "name"), val_text(val_get(reference, "name")));
    if (rules.any_version) {
        return;
    }
    str_cut(version, '/', &rest);
    str_cut(rest, '/', &more);
    if (more.p != NULL) {
        field_invalid(errors, AT(path, "apiVersion"), version,
                      "unexpected GroupVersion string: %.*s", STR_ARG(version));
    } else if (!rules.no_group && (rest.p == NULL || version.p[0] == '/')) {
        field_invalid(errors, AT(path, "apiVersion"), version, "apiVersion must specify API group");
    }
}

static void target_check(struct field_errors *errors, const struct path *path,
                         const struct val *target)
{
    static const char *const amounts[] = {"value", "averageValue"};
    struct str type = val_text(val_get(target, "type"));
    const struct val *percent = val_get(target, "averageUtilization");
    if (type.n == 0) {
        field_required(errors, AT(path, "type"), "must specify a metric target type");
    }
    if (!str_is(type, "Utilization") && !str_is(type, "Value") && !str_is(type, "AverageValue")) {
        field_invalid(errors, AT(path, "type"), type,
                      "must be either Utilization, Value, or AverageValue");
    }
    for (int i = 0; i < 2; i++) {
        const struct val *amount = val_get_str(target, str_of(amounts[i]));
        struct quantity q;
        if (!val_absent(amount) && quantity_parse(val_text(amount), &q) && q.nano <= 0) {
            field_invalid(errors, AT(path, amounts[i]), val_text(amount), "must be positive");
        }
    }
    if (!val_absent(percent) && val_int(percent, 0) < 1) {
        field_invalid_int(errors, AT(path, "averageUtilization"), val_int(percent, 0),
                          "must be greater than 0");
    }
}

static bool has(const struct val *source, const char *member)
{
    return !val_absent(val_get_str(val_get(source, "target"), str_of(member)));
}

static void identifier_check(struct field_errors *errors, const struct path *path,
                             const struct val *source)
{
    struct str name = val_text(val_path(source, "metric.name"));
    const struct path *at = AT(AT(path, "metric"), "name");
    if (name.n == 0) {
        field_required(errors, at, "must specify a metric name");
    } else {
        check_name(errors, at, NAME_PATH, name);
    }
}

static void resource_check(struct field_errors *errors, const struct path *path,
                           const struct val *source, bool of_container)
{
    struct str name = val_text(val_get(source, "name"));
    struct str container = val_text(val_get(source, "container"));
    const struct path *at = AT(path, "target");
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "must specify a resource name");
    } else if (of_container) {
        container_resource_name_check(errors, AT(path, "name"), name);
    }
    if (of_container && container.n == 0) {
        field_required(errors, AT(path, "container"), "must specify a container");
    } else if (of_container) {
        check_name(errors, AT(path, "container"), NAME_LABEL, container);
    }
    target_check(errors, at, val_get(source, "target"));
    bool percent = has(source, "averageUtilization"), raw = has(source, "averageValue");
    if (!percent && !raw) {
        field_required(errors, AT(at, "averageUtilization"),
                       "must set either a target raw value or a target utilization");
    } else if (percent && raw) {
        field_forbidden(errors, AT(at, "averageValue"),
                        "may not set both a target raw value and a target utilization");
    }
}

static void source_check(struct field_errors *errors, const struct path *path, const char *name,
                         const struct val *source, bool any_version)
{
    const struct path *at = AT(path, name), *target = AT(at, "target");
    bool value = has(source, "value"), average = has(source, "averageValue");
    if (strcmp(name, "resource") == 0 || strcmp(name, "containerResource") == 0) {
        resource_check(errors, at, source, name[0] == 'c');
        return;
    }
    if (strcmp(name, "object") == 0) {
        reference_check(errors, AT(at, "describedObject"), val_get(source, "describedObject"),
                        (struct reference_rules){any_version, true});
    }
    identifier_check(errors, at, source);
    target_check(errors, target, val_get(source, "target"));
    if (strcmp(name, "pods") == 0) {
        if (!average) {
            field_required(errors, AT(target, "averageValue"),
                           "must specify a positive target averageValue");
        }
        return;
    }
    if (!value && !average) {
        field_required(errors, AT(target, "averageValue"),
                       "must set either a target value or averageValue");
    } else if (value && average && strcmp(name, "external") == 0) {
        field_forbidden(errors, AT(target, "value"),
                        "may not set both a target value for metric and a per-pod target");
    }
}

static void metric_check(struct field_errors *errors, const struct path *path,
                         const struct val *metric, bool any_version)
{
    static const char *const types[] = {"ContainerResource", "External", "Object", "Pods",
                                        "Resource",          NULL};
    static const char *const members[] = {"containerResource", "external", "object", "pods",
                                          "resource"};
    static const int order[] = {2, 1, 3, 4, 0}; /* the first one found is looked at */
    struct str type = val_text(val_get(metric, "type"));
    const char *expected = NULL;
    int found = 0;
    if (type.n == 0) {
        field_required(errors, AT(path, "type"), "must specify a metric source type");
    }
    for (int i = 0; i < 5; i++) {
        const char *member = members[order[i]];
        const struct val *source = val_get_str(metric, str_of(member));
        bool wanted = str_is(type, types[order[i]]);
        expected = wanted ? member : expected;
        if (!val_absent(source) && found++ == 0) {
            source_check(errors, path, member, source, any_version);
        } else if (val_absent(source) && wanted) {
            field_required(errors, AT(path, member),
                           "must populate information for the given metric source");
        }
    }
    if (expected == NULL) {
        field_not_supported(errors, AT(path, "type"), type, types);
    }
    for (int i = 0; i < 5 && found != 1; i++) {
        bool there = !val_absent(val_get_str(metric, str_of(members[i])));
        if (there && (expected == NULL || strcmp(members[i], expected) != 0)) {
            field_forbidden(errors, AT(path, members[i]),
                            "must populate the given metric source only");
        }
    }
}

static void policy_check(struct field_errors *errors, const struct path *path,
                         const struct val *policy)
{
    enum { PERIOD_MAX = 1800 };
    static const char *const types[] = {"Percent", "Pods", NULL};
    struct str type = val_text(val_get(policy, "type"));
    int64_t value = val_int(val_get(policy, "value"), 0);
    int64_t period = val_int(val_get(policy, "periodSeconds"), 0);
    if (!str_is(type, "Percent") && !str_is(type, "Pods")) {
        field_not_supported(errors, AT(path, "type"), type, types);
    }
    if (value <= 0) {
        field_invalid_int(errors, AT(path, "value"), value, "must be greater than zero");
    }
    if (period <= 0) {
        field_invalid_int(errors, AT(path, "periodSeconds"), period, "must be greater than zero");
    } else if (period > PERIOD_MAX) {
        field_invalid_int(errors, AT(path, "periodSeconds"), period,
                          "must be less than or equal to %d", PERIOD_MAX);
    }
}

static void rules_check(struct field_errors *errors, const struct path *path,
                        const struct val *rules)
{
    enum { WINDOW_MAX = 3600 };
    static const char *const selects[] = {"Disabled", "Max", "Min", NULL};
    const struct val *window = val_get(rules, "stabilizationWindowSeconds");
    const struct val *policies = val_get(rules, "policies");
    const struct val *select = val_get(rules, "selectPolicy");
    struct quantity q;
    if (val_absent(rules)) {
        return;
    }
    if (check_not_negative(errors, AT(path, "stabilizationWindowSeconds"), window) &&
        val_int(window, 0) > WINDOW_MAX) {
        field_invalid_int(errors, AT(path, "stabilizationWindowSeconds"), val_int(window, 0),
                          "must be less than or equal to %d", WINDOW_MAX);
    }
    check_optional_one_of(errors, AT(path, "selectPolicy"), select, selects);
    if (val_count(policies) == 0) {
        field_required(errors, AT(path, "policies"), "must specify at least one Policy");
    }
    uint32_t i = 0;
    VAL_EACH (policy, policies) {
        policy_check(errors, AT_INDEX(AT(path, "policies"), i++), policy);
    }
    if (quantity_parse(val_text(val_get(rules, "tolerance")), &q) && q.nano < 0) {
        field_invalid(errors, AT(path, "tolerance"), val_text(val_get(rules, "tolerance")),
                      "must be greater than or equal to 0");
    }
}

static void replicas_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct val *least = val_get(spec, "minReplicas");
    int64_t min = val_int(least, 0), max = val_int(val_get(spec, "maxReplicas"), 0);
    check_not_negative(errors, AT(path, "minReplicas"), least);
    if (max == 0) {
        field_required(errors, AT(path, "maxReplicas"), "must be set and greater than 0");
    } else if (max < 0) {
        field_invalid_int(errors, AT(path, "maxReplicas"), max,
                          "must be greater than or equal to 1");
    }
    if (!val_absent(least) && max < min) {
        field_invalid_int(errors, AT(path, "maxReplicas"), max,
                          "must be greater than or equal to `minReplicas`");
    }
}

static bool reference_has_kind(const struct val *a, const struct val *b)
{
    return str_eq(val_text(val_get(a, "kind")), val_text(val_get(b, "kind"))) &&
           str_eq(val_text(val_get(a, "apiVersion")), val_text(val_get(b, "apiVersion")));
}

/* `old` NULL: a create. */
static void spec_check(struct field_errors *errors, const struct val *spec, const struct val *old)
{
    const struct path *path = AT(NULL, "spec"), *at = AT(path, "metrics");
    const struct val *target = val_get(spec, "scaleTargetRef"), *least;
    bool scales_to_zero = false;
    struct reference_rules rules = {
        old != NULL && reference_has_kind(target, val_get(old, "scaleTargetRef")),
        str_is(val_text(val_get(target, "kind")), "ReplicationController")};
    replicas_check(errors, path, spec);
    reference_check(errors, AT(path, "scaleTargetRef"), target, rules);
    uint32_t i = 0;
    VAL_EACH (metric, val_get(spec, "metrics")) {
        struct str type = val_text(val_get(metric, "type"));
        metric_check(errors, AT_INDEX(at, i++), metric, false);
        scales_to_zero = scales_to_zero || str_is(type, "Object") || str_is(type, "External");
    }
    least = val_get(spec, "minReplicas");
    if (!val_absent(least) && val_int(least, 1) == 0 && !scales_to_zero) {
        field_forbidden(errors, at,
                        "must specify at least one Object or External metric to support scaling to "
                        "zero replicas");
    }
    const struct val *behavior = val_get(spec, "behavior");
    rules_check(errors, AT(AT(path, "behavior"), "scaleUp"), val_get(behavior, "scaleUp"));
    rules_check(errors, AT(AT(path, "behavior"), "scaleDown"), val_get(behavior, "scaleDown"));
}

static void status_check(struct field_errors *errors, const struct val *status)
{
    const struct path *path = AT(NULL, "status");
    uint32_t i = 0;
    VAL_EACH (condition, val_get(status, "conditions")) {
        check_not_negative(errors, AT(AT_INDEX(AT(path, "conditions"), i++), "observedGeneration"),
                           val_get(condition, "observedGeneration"));
    }
    check_not_negative(errors, AT(path, "currentReplicas"), val_get(status, "currentReplicas"));
    check_not_negative(errors, AT(path, "desiredReplicas"), val_get(status, "desiredReplicas"));
}

static void validate_create(struct api_context *ctx, const struct val *scaler,
                            struct field_errors *errors)
{
    spec_check(errors, val_get(scaler, "spec"), NULL);
    (void)ctx;
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        status_check(errors, val_get(next, "status"));
    } else {
        spec_check(errors, val_get(next, "spec"), val_get(old, "spec"));
    }
}

/* ---- rows ---- */

static struct str or_unknown(const struct val *value)
{
    return val_absent(value) ? STR("<unknown>") : val_text(value);
}

/* "cpu: 10%/80%", "50/100 (avg)" */
static void metric_text(struct buf *out, const struct val *metric, const struct val *now)
{
    static const char *const kinds[][2] = {{"External", "external"},
                                           {"Pods", "pods"},
                                           {"Object", "object"},
                                           {"Resource", "resource"},
                                           {"ContainerResource", "containerResource"}};
    struct str type = val_text(val_get(metric, "type"));
    const char *member = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        member = str_is(type, kinds[i][0]) ? kinds[i][1] : member;
    }
    if (member == NULL) {
        buf_addz(out, "<unknown type>");
        return;
    }
    const struct val *source = val_get_str(metric, str_of(member));
    const struct val *target = val_get(source, "target");
    const struct val *current = val_get(val_get_str(now, str_of(member)), "current");
    const struct val *average = val_get(target, "averageValue");
    bool resource = str_ends(type, STR("Resource"));
    if (resource) {
        buf_printf(out, "%.*s: ", STR_ARG(val_text(val_get(source, "name"))));
    }
    if (!val_absent(average) || str_is(type, "Pods")) {
        buf_printf(out, "%.*s/%.*s%s", STR_ARG(or_unknown(val_get(current, "averageValue"))),
                   STR_ARG(val_text(average)), resource || str_is(type, "Pods") ? "" : " (avg)");
    } else if (!resource) {
        buf_printf(out, "%.*s/%.*s", STR_ARG(or_unknown(val_get(current, "value"))),
                   STR_ARG(val_text(val_get(target, "value"))));
    } else {
        const struct val *used = val_get(current, "averageUtilization");
        const struct val *aim = val_get(target, "averageUtilization");
        buf_printf(out, "%.*s%s/", STR_ARG(or_unknown(used)), val_absent(used) ? "" : "%");
        if (val_absent(aim)) {
            buf_addz(out, "<auto>");
        } else {
            buf_printf(out, "%.*s%%", STR_ARG(val_text(aim)));
        }
    }
}

static void metrics_cell(struct api_context *ctx, const struct val *scaler, struct val *cells)
{
    enum { SHOWN = 2 };
    const struct val *metrics = val_path(scaler, "spec.metrics");
    const struct val *current = val_path(scaler, "status.currentMetrics");
    struct buf out BUF_CLEANUP = BUF_INIT;
    uint32_t i = 0;
    VAL_EACH (metric, metrics) {
        if (i < SHOWN) {
            buf_addz(&out, i > 0 ? ", " : "");
            metric_text(&out, metric, val_at(current, i));
        }
        i++;
    }
    if (i > SHOWN) {
        buf_printf(&out, " + %u more...", i - SHOWN);
    }
    cell_or_none(ctx, cells, str_copy_in(ctx->arena, buf_view(&out)));
}

static void columns(struct api_context *ctx, const struct val *scaler, struct val *cells)
{
    const struct val *spec = val_get(scaler, "spec"), *target = val_get(spec, "scaleTargetRef");
    const struct val *least = val_get(spec, "minReplicas");
    cell_text(ctx, cells, val_name(scaler));
    cell_format(ctx, cells, "%.*s/%.*s", STR_ARG(val_text(val_get(target, "kind"))),
                STR_ARG(val_text(val_get(target, "name"))));
    metrics_cell(ctx, scaler, cells);
    cell_text(ctx, cells, val_absent(least) ? STR("<unset>") : val_text(least));
    cell_int(ctx, cells, val_int(val_get(spec, "maxReplicas"), 0));
    cell_int(ctx, cells, val_int(val_path(scaler, "status.currentReplicas"), 0));
    cell_age(ctx, cells, scaler);
}

const struct api_ops ops_autoscaler = {
    .defaults = defaults,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .columns = columns,
    .generation = true,
    .unconditional_update = true,
};

/* ---- autoscaling/v1 ---- */

static void v1_defaults(struct arena *arena, struct val *scaler)
{
    struct val *spec = default_object(arena, scaler, "spec");
    default_int(arena, spec, "minReplicas", 1);
}

/* What stands in annotations is spec or status all the same, and kept like that. */
static void v1_prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    bool status = strcmp(ctx->subresource, "status") == 0;
    const char *const *kept = status ? autoscaler_spec_annotations : autoscaler_status_annotations;
    const struct val *was = val_path(old, "metadata.annotations");
    struct val *metadata = val_make_object(ctx->arena, next, STR("metadata"));
    for (int i = 0; i < 2; i++) {
        const struct val *value = val_get_str(was, str_of(kept[i]));
        struct val *annotations = val_get(metadata, "annotations");
        if (value != NULL) {
            annotations = val_make_object(ctx->arena, metadata, STR("annotations"));
            val_set_text(ctx->arena, annotations, str_of(kept[i]), val_text(value));
        } else if (annotations != NULL) {
            val_unset(annotations, str_of(kept[i]));
        }
    }
}

static void v1_validate_create(struct api_context *ctx, const struct val *scaler,
                               struct field_errors *errors)
{
    validate_create(ctx, autoscaler_to_v2(errors->arena, scaler), errors);
}

static void v1_validate_update(struct api_context *ctx, const struct val *next,
                               const struct val *old, struct field_errors *errors)
{
    validate_update(ctx, autoscaler_to_v2(errors->arena, next),
                    autoscaler_to_v2(errors->arena, old), errors);
}

static void v1_columns(struct api_context *ctx, const struct val *scaler, struct val *cells)
{
    columns(ctx, autoscaler_to_v2(ctx->arena, scaler), cells);
}

const struct api_ops ops_autoscaler_v1 = {
    .prepare_update = v1_prepare_update,
    .defaults = v1_defaults,
    .validate_create = v1_validate_create,
    .validate_update = v1_validate_update,
    .columns = v1_columns,
    .generation = true,
    .unconditional_update = true,
};
