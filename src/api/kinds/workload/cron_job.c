/* cron_job.c: CronJobs: defaults, validation, rows. */
#include "api/cron.h"
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/workload/job.h"
#include "api/kinds/workload/workload.h"
#include "api/semantic.h"
#include "api/time_zone.h"
#include "api/warning.h"

static void defaults(struct arena *arena, struct val *cron_job)
{
    struct val *spec = default_object(arena, cron_job, "spec");
    default_text(arena, spec, "concurrencyPolicy", "Allow");
    default_bool(arena, spec, "suspend", false);
    default_int(arena, spec, "successfulJobsHistoryLimit", 3);
    default_int(arena, spec, "failedJobsHistoryLimit", 1);
    struct val *template = default_object(arena, spec, "jobTemplate");
    struct val *job = default_object(arena, template, "spec"); /* a Job's defaults come later */
    pod_template_default(arena, job);
}

/* Old schedules with a time zone in them stay; new ones have a field for it. */
static void schedule_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec, const struct val *old)
{
    struct str schedule = val_text(val_get(spec, "schedule"));
    bool zoned = str_contains(schedule, STR("TZ"));
    bool may = str_contains(val_text(val_get(old, "schedule")), STR("TZ"));
    struct cron cron;
    struct err err = ERR_INIT;
    if (schedule.n == 0) {
        field_required(errors, path, "");
        return;
    }
    if (cron_parse(schedule, &cron, &err) < 0) {
        field_invalid(errors, path, schedule, "%s", err.message);
    }
    if (zoned && may && !val_absent(val_get(spec, "timeZone"))) {
        field_invalid(errors, path, schedule,
                      "cannot use both timeZone field and TZ or CRON_TZ in schedule");
    } else if (zoned && !may) {
        field_invalid(errors, path, schedule,
                      "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    }
}

static void zone_check(struct field_errors *errors, const struct path *path, const struct val *zone)
{
    struct str name = val_text(zone);
    if (val_absent(zone)) {
        return;
    }
    if (name.n == 0) {
        field_invalid(errors, path, name, "timeZone must be nil or non-empty string");
    } else if (!time_zone_known(name)) {
        field_invalid(errors, path, name, "unknown time zone %.*s", STR_ARG(name));
    }
}

static void template_check(struct field_errors *errors, const struct path *path,
                           const struct val *job)
{
    static const char *const none[] = {"nil", "false", NULL};
    job_spec_check(errors, path, job);
    const struct val *selector = val_get(job, "selector");
    if (!val_absent(selector)) {
        field_invalid_val(errors, AT(path, "selector"), selector,
                          "`selector` will be auto-generated");
    }
    if (val_bool(val_get(job, "manualSelector"), false)) {
        field_not_supported(errors, AT(path, "manualSelector"), STR("true"), none);
    }
}

static void validate(struct api_context *ctx, const struct val *cron_job,
                     struct field_errors *errors)
{
    static const char *const policies[] = {"Allow", "Forbid", "Replace", NULL};
    static const char *const counts[] = {"startingDeadlineSeconds", "successfulJobsHistoryLimit",
                                         "failedJobsHistoryLimit"};
    const struct val *spec = val_get(cron_job, "spec");
    const struct path *path = AT(NULL, "spec");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        check_not_negative(errors, AT(path, counts[i]), val_get_str(spec, str_of(counts[i])));
    }
    check_one_of(errors, AT(path, "concurrencyPolicy"),
                 val_text(val_get(spec, "concurrencyPolicy")), policies, true);
    template_check(errors, AT(AT(path, "jobTemplate"), "spec"), val_path(spec, "jobTemplate.spec"));
    (void)ctx;
}

static void warn(struct api_context *ctx, const struct val *next, const struct val *old)
{
    const struct val *job = val_path(next, "spec.jobTemplate.spec");
    const struct path *path = AT(AT(AT(NULL, "spec"), "jobTemplate"), "spec");
    if (old == NULL || !semantic_equal(val_get(next, "spec"), val_get(old, "spec"))) {
        job_spec_warn(ctx, path, job);
        pod_spec_warn(ctx, AT(AT(path, "template"), "spec"), val_path(job, "template.spec"));
    }
}

static void validate_create(struct api_context *ctx, const struct val *cron_job,
                            struct field_errors *errors)
{
    enum { NAME_MAX_BYTES = 52 }; /* the controller adds 11 for the name of a Job */
    const struct val *spec = val_get(cron_job, "spec");
    struct str name = val_name(cron_job);
    schedule_check(errors, AT(AT(NULL, "spec"), "schedule"), spec, NULL);
    zone_check(errors, AT(AT(NULL, "spec"), "timeZone"), val_get(spec, "timeZone"));
    if (name.n > NAME_MAX_BYTES) {
        field_invalid(errors, AT(AT(NULL, "metadata"), "name"), name,
                      "must be no more than %d characters", NAME_MAX_BYTES);
    }
    workload_name_warn(ctx, name);
    warn(ctx, cron_job, NULL);
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    const struct val *zone = val_get(spec, "timeZone");
    if (strcmp(ctx->subresource, "status") == 0) {
        return;
    }
    schedule_check(errors, AT(AT(NULL, "spec"), "schedule"), spec, was);
    if (val_absent(val_get(was, "timeZone")) != val_absent(zone) ||
        !str_eq(val_text(zone), val_text(val_get(was, "timeZone")))) {
        zone_check(errors, AT(AT(NULL, "spec"), "timeZone"), zone);
    }
    warn(ctx, next, old);
    if (str_contains(val_text(val_get(spec, "schedule")), STR("TZ"))) {
        api_warn(ctx, AT(AT(NULL, "spec"), "schedule"),
                 "cannot use TZ or CRON_TZ here, use timeZone instead");
    }
}

static void columns(struct api_context *ctx, const struct val *cron_job, struct val *cells)
{
    const struct val *spec = val_get(cron_job, "spec"), *status = val_get(cron_job, "status");
    const struct val *job = val_path(spec, "jobTemplate.spec");
    const struct val *last = val_get(status, "lastScheduleTime");
    cell_text(ctx, cells, val_name(cron_job));
    cell_text(ctx, cells, val_text(val_get(spec, "schedule")));
    cell_or_none(ctx, cells, val_text(val_get(spec, "timeZone")));
    cell_switch(ctx, cells, val_get(spec, "suspend"));
    cell_int(ctx, cells, val_count(val_get(status, "active")));
    if (val_absent(last)) {
        cell_text(ctx, cells, STR("<none>"));
    } else {
        cell_since(ctx, cells, last);
    }
    cell_age(ctx, cells, cron_job);
    cell_containers(ctx, cells, val_path(job, "template.spec"));
    cell_text(ctx, cells, cell_selector_text(ctx, val_get(job, "selector")));
}

const struct api_ops ops_cron_job = {
    .defaults = defaults,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .columns = columns,
    .generation = true,
    .unconditional_update = true,
};
