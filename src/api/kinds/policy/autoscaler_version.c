/* autoscaler_version.c: HorizontalPodAutoscalers between autoscaling/v1 and v2.
 *
 * Metrics have other shapes in the annotations of v1: a table of members. The behavior is written
 * there as the API server's own structs are called (ScaleUp, Policies ...), and read in any case.
 */
#include "api/kinds/policy/autoscaler.h"

#include <strings.h>

#include "api/quantity.h"

const char *const autoscaler_spec_annotations[2] = {"autoscaling.alpha.kubernetes.io/metrics",
                                                    "autoscaling.alpha.kubernetes.io/behavior"};
const char *const autoscaler_status_annotations[2] = {
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "autoscaling.alpha.kubernetes.io/conditions"};
/* Old ones that are dropped wherever they turn up. */
static const char *const dropped_annotations[] = {
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance"};

struct member { /* of a metric */
    const char *metric, *v1, *outer, *v2;
    bool always; /* written as "0" in v1 when it is absent */
};

static const struct member spec_members[] = {
    {"object", "target", NULL, "describedObject", false},
    {"object", "metricName", "metric", "name", false},
    {"object", "targetValue", "target", "value", true},
    {"object", "selector", "metric", "selector", false},
    {"object", "averageValue", "target", "averageValue", false},
    {"pods", "metricName", "metric", "name", false},
    {"pods", "targetAverageValue", "target", "averageValue", true},
    {"pods", "selector", "metric", "selector", false},
    {"resource", "name", NULL, "name", false},
    {"resource", "targetAverageUtilization", "target", "averageUtilization", false},
    {"resource", "targetAverageValue", "target", "averageValue", false},
    {"containerResource", "name", NULL, "name", false},
    {"containerResource", "targetAverageUtilization", "target", "averageUtilization", false},
    {"containerResource", "targetAverageValue", "target", "averageValue", false},
    {"containerResource", "container", NULL, "container", false},
    {"external", "metricName", "metric", "name", false},
    {"external", "metricSelector", "metric", "selector", false},
    {"external", "targetValue", "target", "value", false},
    {"external", "targetAverageValue", "target", "averageValue", false},
};

static const struct member status_members[] = {
    {"object", "target", NULL, "describedObject", false},
    {"object", "metricName", "metric", "name", false},
    {"object", "currentValue", "current", "value", true},
    {"object", "selector", "metric", "selector", false},
    {"object", "averageValue", "current", "averageValue", false},
    {"pods", "metricName", "metric", "name", false},
    {"pods", "currentAverageValue", "current", "averageValue", true},
    {"pods", "selector", "metric", "selector", false},
    {"resource", "name", NULL, "name", false},
    {"resource", "currentAverageUtilization", "current", "averageUtilization", false},
    {"resource", "currentAverageValue", "current", "averageValue", true},
    {"containerResource", "name", NULL, "name", false},
    {"containerResource", "currentAverageUtilization", "current", "averageUtilization", false},
    {"containerResource", "currentAverageValue", "current", "averageValue", true},
    {"containerResource", "container", NULL, "container", false},
    {"external", "metricName", "metric", "name", false},
    {"external", "metricSelector", "metric", "selector", false},
    {"external", "currentValue", "current", "value", true},
    {"external", "currentAverageValue", "current", "averageValue", false},
};

static const char *const metric_kinds[] = {"object", "pods", "resource", "containerResource",
                                           "external"};

static void put(struct arena *arena, struct val *object, const char *name, const struct val *value)
{
    if (!val_absent(value)) {
        val_set(object, str_of(name), val_copy(arena, value));
    }
}

static struct val *metric_to_v1(struct arena *arena, const struct val *metric,
                                const struct member *members, size_t count)
{
    struct val *out = val_new(arena, VAL_OBJECT);
    put(arena, out, "type", val_get(metric, "type"));
    for (size_t k = 0; k < sizeof metric_kinds / sizeof *metric_kinds; k++) {
        const struct val *source = val_get_str(metric, str_of(metric_kinds[k]));
        if (val_absent(source)) {
            continue;
        }
        struct val *shape = val_set(out, str_of(metric_kinds[k]), val_new(arena, VAL_OBJECT));
        for (size_t i = 0; i < count; i++) {
            const struct member *m = &members[i];
            const struct val *in =
                m->outer != NULL ? val_get_str(source, str_of(m->outer)) : source;
            if (strcmp(m->metric, metric_kinds[k]) != 0) {
                continue;
            }
            put(arena, shape, m->v1, val_get_str(in, str_of(m->v2)));
            if (m->always && val_get_str(shape, str_of(m->v1)) == NULL) {
                val_set_text(arena, shape, str_of(m->v1), STR("0"));
            }
        }
    }
    return out;
}

/* v1 does not say of which type a target is. */
static void type_target(struct arena *arena, const char *kind, struct val *target)
{
    bool value = val_get(target, "value") != NULL;
    bool average = val_get(target, "averageValue") != NULL;
    const char *type = "AverageValue";
    struct quantity q;
    if (strcmp(kind, "object") == 0 && !average) {
        type = "Value";
    } else if (strcmp(kind, "object") == 0) {
        bool zero = quantity_parse(val_text(val_get(target, "value")), &q) && q.nano == 0;
        if (zero) {
            val_unset(target, STR("value"));
        }
    } else if (strcmp(kind, "external") == 0 && value) {
        type = "Value";
    } else if (val_get(target, "averageUtilization") != NULL) {
        type = "Utilization";
    }
    val_set_text(arena, target, STR("type"), str_of(type));
}

static struct val *metric_to_v2(struct arena *arena, const struct val *metric,
                                const struct member *members, size_t count, bool spec)
{
    struct val *out = val_new(arena, VAL_OBJECT);
    put(arena, out, "type", val_get(metric, "type"));
    for (size_t k = 0; k < sizeof metric_kinds / sizeof *metric_kinds; k++) {
        const struct val *shape = val_get_str(metric, str_of(metric_kinds[k]));
        if (val_absent(shape)) {
            continue;
        }
        struct val *source = val_set(out, str_of(metric_kinds[k]), val_new(arena, VAL_OBJECT));
        struct val *amount = val_make_object(arena, source, spec ? STR("target") : STR("current"));
        for (size_t i = 0; i < count; i++) {
            const struct member *m = &members[i];
            if (strcmp(m->metric, metric_kinds[k]) != 0) {
                continue;
            }
            struct val *in =
                m->outer != NULL ? val_make_object(arena, source, str_of(m->outer)) : source;
            put(arena, in, m->v2, val_get_str(shape, str_of(m->v1)));
        }
        if (spec) {
            type_target(arena, metric_kinds[k], amount);
        }
    }
    return out;
}

/* ---- the behavior ---- */

/* Members as the API server's structs have them, in their order; absent ones are null. */
static const char *const behavior_names[][2] = {{"ScaleUp", "scaleUp"}, {"ScaleDown", "scaleDown"}};
static const char *const rule_names[][2] = {
    {"StabilizationWindowSeconds", "stabilizationWindowSeconds"},
    {"SelectPolicy", "selectPolicy"},
    {"Policies", "policies"},
    {"Tolerance", "tolerance"}};
static const char *const policy_names[][2] = {
    {"Type", "type"}, {"Value", "value"}, {"PeriodSeconds", "periodSeconds"}};

static const struct val *find_in_any_case(const struct val *object, const char *name)
{
    VAL_EACH (it, object) {
        if (it->key.n == strlen(name) && strncasecmp(it->key.p, name, it->key.n) == 0) {
            return it;
        }
    }
    return NULL;
}

/* Copies members from one set of names to the other. `to` 0: the structs'. */
static struct val *rename_all(struct arena *arena, const struct val *object,
                              const char *const (*names)[2], size_t count, int to)
{
    struct val *out = val_new(arena, VAL_OBJECT);
    for (size_t i = 0; i < count; i++) {
        const struct val *member = find_in_any_case(object, names[i][1]);
        if (!val_absent(member)) {
            val_set(out, str_of(names[i][to]), val_copy(arena, member));
        } else if (to == 0) {
            val_set(out, str_of(names[i][to]), val_new(arena, VAL_NULL));
        }
    }
    return out;
}

static struct val *behavior_renamed(struct arena *arena, const struct val *behavior, int to)
{
    struct val *out = rename_all(arena, behavior, behavior_names, 2, to);
    for (size_t i = 0; i < 2; i++) {
        struct str name = str_of(behavior_names[i][to]);
        const struct val *rules = val_get_str(out, name);
        if (val_absent(rules)) {
            continue;
        }
        struct val *renamed = val_set(out, name, rename_all(arena, rules, rule_names, 4, to));
        struct val *policies = val_get_str(renamed, str_of(rule_names[2][to]));
        if (val_is(policies, VAL_ARRAY)) {
            struct val *list = val_new(arena, VAL_ARRAY);
            VAL_EACH (policy, policies) {
                val_append(list, rename_all(arena, policy, policy_names, 3, to));
            }
            val_set(renamed, str_of(rule_names[2][to]), list);
        }
    }
    return out;
}

/* ---- annotations ---- */

static void drop_annotations(struct val *metadata)
{
    struct val *annotations = val_get(metadata, "annotations");
    for (size_t i = 0; i < 2 && annotations != NULL; i++) {
        val_unset(annotations, str_of(autoscaler_spec_annotations[i]));
        val_unset(annotations, str_of(autoscaler_status_annotations[i]));
        val_unset(annotations, str_of(dropped_annotations[i]));
    }
    if (annotations != NULL && annotations->count == 0) {
        val_unset(metadata, STR("annotations"));
    }
}

static void annotate(struct arena *arena, struct val *object, const char *name,
                     const struct val *value)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *metadata = val_make_object(arena, object, STR("metadata"));
    val_write_json(value, &text);
    val_set_text(arena, val_make_object(arena, metadata, STR("annotations")), str_of(name),
                 str_copy_in(arena, buf_view(&text)));
}

/* The JSON of an annotation; NULL when there is none, or it is broken. */
static struct val *annotation_of(struct arena *arena, const struct val *object, const char *name,
                                 enum val_type type)
{
    struct val *value = NULL;
    struct str text = val_text(val_get_str(val_path(object, "metadata.annotations"), str_of(name)));
    if (text.n == 0 || val_parse_json(arena, text, &value, NULL) < 0 || !val_is(value, type)) {
        return NULL;
    }
    return value;
}

/* ---- whole objects ---- */

static bool is_cpu_utilization(const struct val *metric)
{
    const struct val *resource = val_get(metric, "resource");
    return str_is(val_text(val_get(metric, "type")), "Resource") &&
           str_is(val_text(val_get(resource, "name")), "cpu") &&
           !val_absent(val_path(resource, "target.averageUtilization"));
}

static struct val *cpu_metric(struct arena *arena, const struct val *percent)
{
    struct val *metric = val_new(arena, VAL_OBJECT);
    val_set_text(arena, metric, STR("type"), STR("Resource"));
    struct val *resource = val_make_object(arena, metric, STR("resource"));
    val_set_text(arena, resource, STR("name"), STR("cpu"));
    struct val *target = val_make_object(arena, resource, STR("target"));
    val_set_text(arena, target, STR("type"), STR("Utilization"));
    val_set(target, STR("averageUtilization"),
            percent != NULL ? val_copy(arena, percent) : val_new_int(arena, 80));
    return metric;
}

static void copy_members(struct arena *arena, struct val *to, const struct val *from,
                         const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put(arena, to, names[i], val_get_str(from, str_of(names[i])));
    }
}

static const char *const spec_same[] = {"scaleTargetRef", "minReplicas", "maxReplicas"};
static const char *const status_same[] = {"observedGeneration", "lastScaleTime", "currentReplicas",
                                          "desiredReplicas"};

static void spec_to_v1(struct arena *arena, struct val *out, const struct val *from)
{
    struct val *others = val_new(arena, VAL_ARRAY);
    struct val *spec = val_set(out, STR("spec"), val_new(arena, VAL_OBJECT));
    copy_members(arena, spec, from, spec_same, 3);
    VAL_EACH (metric, val_get(from, "metrics")) {
        if (!is_cpu_utilization(metric)) {
            val_append(others, metric_to_v1(arena, metric, spec_members,
                                            sizeof spec_members / sizeof *spec_members));
        } else if (val_get(spec, "targetCPUUtilizationPercentage") == NULL) {
            put(arena, spec, "targetCPUUtilizationPercentage",
                val_path(metric, "resource.target.averageUtilization"));
        }
    }
    if (others->count > 0) {
        annotate(arena, out, autoscaler_spec_annotations[0], others);
    }
    if (!val_absent(val_get(from, "behavior"))) {
        annotate(arena, out, autoscaler_spec_annotations[1],
                 behavior_renamed(arena, val_get(from, "behavior"), 0));
    }
}

static void status_to_v1(struct arena *arena, struct val *out, const struct val *from)
{
    struct val *metrics = val_new(arena, VAL_ARRAY);
    struct val *status = val_set(out, STR("status"), val_new(arena, VAL_OBJECT));
    copy_members(arena, status, from, status_same, 4);
    VAL_EACH (metric, val_get(from, "currentMetrics")) {
        const struct val *resource = val_get(metric, "resource");
        val_append(metrics, metric_to_v1(arena, metric, status_members,
                                         sizeof status_members / sizeof *status_members));
        if (str_is(val_text(val_get(metric, "type")), "Resource") &&
            str_is(val_text(val_get(resource, "name")), "cpu")) {
            put(arena, status, "currentCPUUtilizationPercentage",
                val_path(resource, "current.averageUtilization"));
        }
    }
    if (metrics->count > 0) {
        annotate(arena, out, autoscaler_status_annotations[0], metrics);
    }
    if (val_count(val_get(from, "conditions")) > 0) {
        annotate(arena, out, autoscaler_status_annotations[1], val_get(from, "conditions"));
    }
}

struct val *autoscaler_to_v1(struct arena *arena, const struct val *v2)
{
    struct val *out = val_new(arena, VAL_OBJECT);
    put(arena, out, "metadata", val_get(v2, "metadata"));
    drop_annotations(val_get(out, "metadata"));
    spec_to_v1(arena, out, val_get(v2, "spec"));
    status_to_v1(arena, out, val_get(v2, "status"));
    return out;
}

static void spec_to_v2(struct arena *arena, struct val *out, const struct val *v1)
{
    const struct val *from = val_get(v1, "spec");
    const struct val *percent = val_get(from, "targetCPUUtilizationPercentage");
    struct val *spec = val_set(out, STR("spec"), val_new(arena, VAL_OBJECT));
    copy_members(arena, spec, from, spec_same, 3);
    struct val *metrics = val_set(spec, STR("metrics"), val_new(arena, VAL_ARRAY));
    VAL_EACH (metric, annotation_of(arena, v1, autoscaler_spec_annotations[0], VAL_ARRAY)) {
        val_append(metrics, metric_to_v2(arena, metric, spec_members,
                                         sizeof spec_members / sizeof *spec_members, true));
    }
    if (!val_absent(percent) || metrics->count == 0) {
        val_append(metrics, cpu_metric(arena, val_absent(percent) ? NULL : percent));
    }
    const struct val *behavior =
        annotation_of(arena, v1, autoscaler_spec_annotations[1], VAL_OBJECT);
    if (behavior != NULL) {
        struct val *renamed = behavior_renamed(arena, behavior, 1);
        if (renamed->count > 0) {
            val_set(spec, STR("behavior"), renamed);
        }
    }
}

static void status_to_v2(struct arena *arena, struct val *out, const struct val *v1)
{
    const struct val *from = val_get(v1, "status");
    const struct val *percent = val_get(from, "currentCPUUtilizationPercentage");
    const struct val *conditions =
        annotation_of(arena, v1, autoscaler_status_annotations[1], VAL_ARRAY);
    const struct val *current =
        annotation_of(arena, v1, autoscaler_status_annotations[0], VAL_ARRAY);
    struct val *status = val_set(out, STR("status"), val_new(arena, VAL_OBJECT));
    copy_members(arena, status, from, status_same, 4);
    if (current != NULL || !val_absent(percent)) {
        struct val *metrics = val_set(status, STR("currentMetrics"), val_new(arena, VAL_ARRAY));
        VAL_EACH (metric, current) {
            val_append(metrics,
                       metric_to_v2(arena, metric, status_members,
                                    sizeof status_members / sizeof *status_members, false));
        }
        if (current == NULL) {
            struct val *metric = val_append(metrics, val_new(arena, VAL_OBJECT));
            val_set_text(arena, metric, STR("type"), STR("Resource"));
            struct val *resource = val_make_object(arena, metric, STR("resource"));
            val_set_text(arena, resource, STR("name"), STR("cpu"));
            put(arena, val_make_object(arena, resource, STR("current")), "averageUtilization",
                percent);
        }
    }
    put(arena, status, "conditions", conditions);
}

struct val *autoscaler_to_v2(struct arena *arena, const struct val *v1)
{
    struct val *out = val_new(arena, VAL_OBJECT);
    put(arena, out, "metadata", val_get(v1, "metadata"));
    drop_annotations(val_get(out, "metadata"));
    spec_to_v2(arena, out, v1);
    status_to_v2(arena, out, v1);
    return out;
}
