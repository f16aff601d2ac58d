/* job.c: Jobs: defaults, the generated selector, row.
 *
 * The selector of a Job is made from its uid unless manualSelector says otherwise, so it can only
 * be made after the server has given the uid; job_generate_selector() is for that moment.
 */
#include "api/kinds/workload/job.h"

#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/workload/workload.h"
#include "base/clock.h"

static void defaults(struct arena *arena, struct val *job)
{
    struct val *spec = default_object(arena, job, "spec");
    bool per_index = !val_absent(val_get(spec, "backoffLimitPerIndex"));
    bool policy = !val_absent(val_get(spec, "podFailurePolicy"));
    if (val_absent(val_get(spec, "completions")) && val_absent(val_get(spec, "parallelism"))) {
        default_int(arena, spec, "completions", 1);
    }
    default_int(arena, spec, "parallelism", 1);
    default_int(arena, spec, "backoffLimit", per_index ? INT32_MAX : 6);
    default_text(arena, spec, "completionMode", "NonIndexed");
    default_bool(arena, spec, "suspend", false);
    default_bool(arena, spec, "manualSelector", false);
    default_text(arena, spec, "podReplacementPolicy", policy ? "Failed" : "TerminatingOrFailed");
    VAL_EACH (rule, val_path(spec, "podFailurePolicy.rules")) {
        VAL_EACH (pattern, val_get(rule, "onPodConditions")) {
            default_text(arena, pattern, "status", "True");
        }
    }
    pod_template_default(arena, spec);
    const struct val *labels = val_path(spec, "template.metadata.labels");
    struct val *metadata = val_get(job, "metadata");
    if (val_count(labels) > 0 && metadata != NULL && val_count(val_get(metadata, "labels")) == 0) {
        default_put(metadata, STR("labels"), val_copy(arena, labels));
    }
}

void job_generate_selector(struct arena *arena, struct val *job)
{
    struct val *spec = val_get(job, "spec");
    struct val *template = val_get(spec, "template");
    if (val_absent(template) || val_bool(val_get(spec, "manualSelector"), false)) {
        return;
    }
    struct val *metadata = val_make_object(arena, template, STR("metadata"));
    struct val *labels = val_make_object(arena, metadata, STR("labels"));
    struct str uid = val_uid(job), name = val_name(job);
    val_set_text(arena, labels, STR("controller-uid"), uid);
    val_set_text(arena, labels, STR("batch.kubernetes.io/controller-uid"), uid);
    val_set_text(arena, labels, STR("job-name"), name);
    val_set_text(arena, labels, STR("batch.kubernetes.io/job-name"), name);
    struct val *selector = val_make_object(arena, spec, STR("selector"));
    struct val *match = val_make_object(arena, selector, STR("matchLabels"));
    if (val_get(match, "batch.kubernetes.io/controller-uid") == NULL) {
        val_set_text(arena, match, STR("batch.kubernetes.io/controller-uid"), uid);
    }
}

static void prepare_create(struct api_context *ctx, struct val *job)
{
    if (val_uid(job).n > 0) {
        job_generate_selector(ctx->arena, job);
    }
    const struct val *labels = val_path(job, "spec.template.metadata.labels");
    struct val *metadata = val_make_object(ctx->arena, job, STR("metadata"));
    if (val_count(labels) > 0 && val_count(val_get(metadata, "labels")) == 0) {
        val_set(metadata, STR("labels"), val_copy(ctx->arena, labels)); /* a default, since 1.2 */
    }
}

static void validate_create(struct api_context *ctx, const struct val *job,
                            struct field_errors *errors)
{
    workload_warn(ctx, job, NULL);
    (void)errors;
}

static bool has_condition(const struct val *job, const char *type)
{
    const struct val *it = val_find(val_path(job, "status.conditions"), "type", str_of(type));
    return str_is(val_text(val_get(it, "status")), "True");
}

static const char *status_text(const struct val *job)
{
    if (has_condition(job, "Complete")) {
        return "Complete";
    }
    if (has_condition(job, "Failed")) {
        return "Failed";
    }
    if (!val_absent(val_path(job, "metadata.deletionTimestamp"))) {
        return "Terminating";
    }
    if (has_condition(job, "Suspended")) {
        return "Suspended";
    }
    if (has_condition(job, "FailureTarget")) {
        return "FailureTarget";
    }
    return has_condition(job, "SuccessCriteriaMet") ? "SuccessCriteriaMet" : "Running";
}

static void duration_cell(struct api_context *ctx, const struct val *job, struct val *cells)
{
    int64_t start, end = ctx->now_wall_ns;
    if (!time_parse(val_text(val_path(job, "status.startTime")), &start)) {
        cell_text(ctx, cells, STR(""));
        return;
    }
    time_parse(val_text(val_path(job, "status.completionTime")), &end);
    char *text = arena_alloc(ctx->arena, TIME_TEXT_SIZE);
    cell_text(ctx, cells, str_at(text, duration_format_age(end - start, text)));
}

static void columns(struct api_context *ctx, const struct val *job, struct val *cells)
{
    const struct val *spec = val_get(job, "spec");
    const struct val *completions = val_get(spec, "completions");
    long long done = val_int(val_path(job, "status.succeeded"), 0);
    long long parallel = val_int(val_get(spec, "parallelism"), 0);
    cell_text(ctx, cells, val_name(job));
    cell_text(ctx, cells, str_of(status_text(job)));
    if (!val_absent(completions)) {
        cell_format(ctx, cells, "%lld/%lld", done, (long long)val_int(completions, 0));
    } else if (parallel > 1) {
        cell_format(ctx, cells, "%lld/1 of %lld", done, parallel);
    } else {
        cell_format(ctx, cells, "%lld/1", done);
    }
    duration_cell(ctx, job, cells);
    cell_age(ctx, cells, job);
    cell_containers(ctx, cells, val_path(spec, "template.spec"));
    cell_text(ctx, cells, cell_selector_text(ctx, val_get(spec, "selector")));
}

const struct api_ops ops_job = {
    .prepare_create = prepare_create,
    .defaults = defaults,
    .validate = job_validate,
    .validate_create = validate_create,
    .validate_update = job_validate_update,
    .columns = columns,
    .generation = true,
    .unconditional_update = true,
    .orphans_by_default = true,
};
