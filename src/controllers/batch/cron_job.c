/* The CronJob controller: Jobs at the times of a schedule.
 *
 * A pass looks at the Jobs of one CronJob: keeps status.active in step with them, deletes finished
 * ones beyond the history limits, and makes the Job of the latest time that is due. Its name is
 * derived from that time (NAME-MINUTES), so the same time never gets two Jobs, whoever crashed in
 * between. A time that lies further back than startingDeadlineSeconds is missed for good. The next
 * time is a timer on the queue; nothing polls.
 *
 * Left to others: running the Jobs (job.c), removing what a deleted CronJob owned (garbage
 * collector).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/batch/cron_time.h"
#include "controllers/pods.h"
#include "controllers/table_int.h"

enum { PARALLEL = 5, TOO_MANY_MISSED = 100 };
#define AFTER_DUE_NS (100 * NS_PER_MS) /* clocks of others may be a little behind */

struct cron_jobs {
    struct worker *worker;
    struct informer *cron_jobs, *jobs;
    const struct api_resource *resource, *job_resource;
    struct recorder *recorder;
};

struct cron_pass {
    struct cron_jobs *all;
    struct object *object;
    struct val *value, *status;
    struct objects jobs;
    struct zone *zone;
    struct cron cron;
    int64_t now_s, due_s;
    const char *name; /* of the Job to make */
    bool changed;     /* status */
};

static void tell(struct cron_pass *work, const char *type, const char *reason, const char *text)
{
    recorder_event(work->all->recorder, work->object, type, reason, "%s", text);
}

/* ---- Jobs ---- */

static const struct val *end_condition(const struct val *job)
{
    VAL_EACH (it, val_path(job, "status.conditions")) {
        struct str type = val_text(val_get(it, "type"));
        if ((str_is(type, "Complete") || str_is(type, "Failed")) &&
            str_is(val_text(val_get(it, "status")), "True")) {
            return it;
        }
    }
    return NULL;
}

struct ended {
    struct object *object;
    int64_t started;
};

static int compare_started(const void *a, const void *b)
{
    const struct ended *one = a, *two = b;
    return one->started != two->started ? (one->started < two->started ? -1 : 1)
                                        : str_cmp(one->object->name, two->object->name);
}

static void trim_history(struct pass *pass, struct cron_pass *work, const char *type,
                         const char *limit_name, int64_t otherwise)
{
    int64_t limit =
        val_int(val_get_str(val_get(work->value, "spec"), str_of(limit_name)), otherwise);
    struct ended *ended = arena_array(pass->arena, struct ended, work->jobs.count + 1);
    size_t count = 0;
    for (size_t i = 0; i < work->jobs.count; i++) {
        const struct val *job = object_decode(work->jobs.items[i], pass->arena);
        const struct val *condition = end_condition(job);
        if (condition != NULL && str_is(val_text(val_get(condition, "type")), type) &&
            !work->jobs.items[i]->deleting) {
            ended[count] = (struct ended){pass_hold(pass, work->jobs.items[i]), INT64_MAX};
            time_parse(val_text(val_path(job, "status.startTime")), &ended[count].started);
            count++;
        }
    }
    qsort(ended, count, sizeof *ended, compare_started);
    for (size_t i = 0; (int64_t)(count - i) > limit && i < count; i++) {
        tell(work, "Normal", "SuccessfulDelete",
             arena_printf(pass->arena, "Deleted job %.*s", STR_ARG(ended[i].object->name)));
        pass_delete(pass, ended[i].object, "Background", -1, NULL, NULL);
    }
}

/* ---- status.active ---- */

static struct val *active_of(struct cron_pass *work, struct str uid)
{
    return val_find(val_get(work->status, "active"), "uid", uid);
}

static void drop_active(struct cron_pass *work, struct val *entry)
{
    struct val *list = val_get(work->status, "active");
    val_remove(list, entry);
    if (list->count == 0) {
        val_unset(work->status, STR("active"));
    }
    work->changed = true;
}

static void note_success(struct pass *pass, struct cron_pass *work, const struct val *job)
{
    int64_t done, before = 0;
    struct str text = val_text(val_path(job, "status.completionTime"));
    if (!time_parse(text, &done)) {
        return;
    }
    time_parse(val_text(val_get(work->status, "lastSuccessfulTime")), &before);
    if (done > before) {
        val_set_text(pass->arena, work->status, STR("lastSuccessfulTime"), text);
        work->changed = true;
    }
}

static void sync_job(struct pass *pass, struct cron_pass *work, struct object *object)
{
    const struct val *job = object_decode(object, pass->arena);
    const struct val *condition = end_condition(job);
    struct val *active = active_of(work, object->uid);
    if (active == NULL && condition == NULL && !object->deleting) {
        tell(work, "Warning", "UnexpectedJob",
             arena_printf(pass->arena,
                          "Saw a job that the controller did not create or forgot: %.*s",
                          STR_ARG(object->name)));
    } else if (active != NULL && condition != NULL) {
        struct str type = val_text(val_get(condition, "type"));
        drop_active(work, active);
        tell(work, "Normal", "SawCompletedJob",
             arena_printf(pass->arena, "Saw completed job: %.*s, condition: %.*s",
                          STR_ARG(object->name), STR_ARG(type)));
    }
    if (condition != NULL && str_is(val_text(val_get(condition, "type")), "Complete")) {
        note_success(pass, work, job);
    }
}

static void sync_active(struct pass *pass, struct cron_pass *work)
{
    for (size_t i = 0; i < work->jobs.count; i++) {
        sync_job(pass, work, work->jobs.items[i]);
    }
    struct val *next, *list = val_get(work->status, "active");
    for (struct val *it = list != NULL ? list->child : NULL; it != NULL; it = next) {
        next = it->next;
        struct str name = val_text(val_get(it, "name"));
        struct object *job = informer_get(work->all->jobs, pass->ns, name);
        if (job == NULL || !str_eq(job->uid, val_text(val_get(it, "uid")))) {
            tell(work, "Normal", "MissingJob",
                 arena_printf(pass->arena, "Active job went missing: %.*s", STR_ARG(name)));
            drop_active(work, it);
        }
    }
}

static void write_status(struct pass *pass, struct cron_pass *work)
{
    if (work->changed) {
        work->changed = false;
        pass_update(pass, work->all->resource, "status", work->value, NULL, NULL);
    }
}

/* ---- making a Job ---- */

static struct val *job_body(struct pass *pass, struct cron_pass *work)
{
    struct arena *arena = pass->arena;
    const struct val *template = val_path(work->value, "spec.jobTemplate");
    struct val *job = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, job, STR("metadata"));
    static const char *const copied[] = {"labels", "annotations"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *from = val_get_str(val_get(template, "metadata"), str_of(copied[i]));
        if (val_count(from) > 0) {
            val_set(meta, str_of(copied[i]), val_copy(arena, from));
        }
    }
    int32_t offset = zone_offset(work->zone, work->due_s);
    char text[TIME_TEXT_SIZE];
    time_format((work->due_s + offset) * NS_PER_S, text);
    if (offset != 0) { /* 2026-11-30T23:00:00+01:00 */
        text[strcspn(text, "Z")] = '\0';
    }
    int32_t east = offset < 0 ? -offset : offset;
    const char *stamp = offset == 0
                            ? str_dup_in(arena, str_of(text))
                            : arena_printf(arena, "%s%c%02d:%02d", text, offset < 0 ? '-' : '+',
                                           east / 3600, east / 60 % 60);
    val_set_text(arena, val_make_object(arena, meta, STR("annotations")),
                 STR("batch.kubernetes.io/cronjob-scheduled-timestamp"), str_of(stamp));
    val_set_text(arena, meta, STR("name"), str_of(work->name));
    val_append(val_make_array(arena, meta, STR("ownerReferences")),
               owner_reference_new(arena, work->object));
    val_set(job, STR("spec"), val_copy(arena, val_get(template, "spec")));
    return job;
}

static void on_job(struct pass *pass, void *arg, const struct client_result *result)
{
    struct cron_pass *work = arg;
    struct arena *arena = pass->arena;
    struct object *made = result->object;
    if (result->code == ERR_EXISTS) {
        made = informer_get(work->all->jobs, pass->ns, str_of(work->name));
        struct owner owner;
        if (made == NULL || !controller_of(arena, made, &owner) ||
            !str_eq(owner.uid, work->object->uid)) {
            tell(work, "Warning", "FailedCreate",
                 arena_printf(arena, "Error creating job: \"%s\" exists and is not ours",
                              work->name));
            pass_fail(pass);
            return;
        }
    } else if (pass_namespace_ends(result)) {
        return; /* the namespace is going away */
    } else if (result->code != 0) {
        tell(work, "Warning", "FailedCreate",
             arena_printf(arena, "Error creating job: %s", result->error.message));
        pass_fail(pass);
        return;
    } else {
        tell(work, "Normal", "SuccessfulCreate", arena_printf(arena, "Created job %s", work->name));
    }
    if (made != NULL && active_of(work, made->uid) == NULL &&
        end_condition(object_decode(made, arena)) == NULL) {
        struct val *entry = val_append(val_make_array(arena, work->status, STR("active")),
                                       val_new(arena, VAL_OBJECT));
        val_set_text(arena, entry, STR("apiVersion"), STR("batch/v1"));
        val_set_text(arena, entry, STR("kind"), STR("Job"));
        val_set_text(arena, entry, STR("namespace"), pass->ns);
        val_set_text(arena, entry, STR("name"), str_copy_in(arena, made->name));
        val_set_text(arena, entry, STR("uid"), str_copy_in(arena, made->uid));
        val_set_text(arena, entry, STR("resourceVersion"),
                     str_of(arena_printf(arena, "%llu", (unsigned long long)made->revision)));
    }
    char text[TIME_TEXT_SIZE];
    time_format(work->due_s * NS_PER_S, text);
    val_set_text(arena, work->status, STR("lastScheduleTime"),
                 str_of(str_dup_in(arena, str_of(text))));
    work->changed = true;
    write_status(pass, work);
}

static void replace_active(struct pass *pass, struct cron_pass *work)
{
    struct val *next, *list = val_get(work->status, "active");
    for (struct val *it = list != NULL ? list->child : NULL; it != NULL; it = next) {
        next = it->next;
        struct object *job = informer_get(work->all->jobs, pass->ns, val_text(val_get(it, "name")));
        if (job != NULL) {
            tell(work, "Normal", "SuccessfulDelete",
                 arena_printf(pass->arena, "Deleted job %.*s", STR_ARG(job->name)));
            pass_delete(pass, pass_hold(pass, job), "Background", -1, NULL, NULL);
        }
        drop_active(work, it);
    }
}

/* ---- what is due ---- */

static void wake_next(struct pass *pass, struct cron_pass *work)
{
    int64_t next = cron_next(&work->cron, work->zone, work->now_s);
    if (next >= 0) {
        pass_after(pass, next * NS_PER_S - pass->now + AFTER_DUE_NS);
    }
}

static bool find_due(struct pass *pass, struct cron_pass *work)
{
    int64_t earliest = 0, created = 0;
    time_parse(val_text(val_path(work->value, "metadata.creationTimestamp")), &created);
    if (!time_parse(val_text(val_get(work->status, "lastScheduleTime")), &earliest)) {
        earliest = created;
    }
    earliest /= NS_PER_S;
    int64_t last = earliest;
    const struct val *deadline = val_path(work->value, "spec.startingDeadlineSeconds");
    if (!val_absent(deadline) && work->now_s - val_int(deadline, 0) > earliest) {
        earliest = work->now_s - val_int(deadline, 0);
    }
    struct cron_due due;
    cron_due(&work->cron, work->zone, earliest, work->now_s, &due);
    if (due.missed > TOO_MANY_MISSED) {
        tell(work, "Warning", "TooManyMissedTimes",
             arena_printf(pass->arena,
                          "too many missed start times: %lld. Set or decrease "
                          ".spec.startingDeadlineSeconds or check clock skew",
                          (long long)due.missed));
    }
    work->due_s = due.at_s;
    if (due.at_s < 0 || (due.at_s == last && val_get(work->status, "lastScheduleTime") != NULL)) {
        return false;
    }
    if (!val_absent(deadline) && due.at_s + val_int(deadline, 0) < work->now_s) {
        char text[TIME_TEXT_SIZE];
        time_format(due.at_s * NS_PER_S, text);
        tell(work, "Warning", "MissSchedule",
             arena_printf(pass->arena, "Missed scheduled time to start a job: %s", text));
        return false;
    }
    return true;
}

static bool may_start(struct pass *pass, struct cron_pass *work)
{
    struct str policy = val_text(val_path(work->value, "spec.concurrencyPolicy"));
    work->name =
        arena_printf(pass->arena, "%.*s-%lld", STR_ARG(pass->name), (long long)(work->due_s / 60));
    const struct val *active = val_get(work->status, "active");
    if (val_find(active, "name", str_of(work->name)) != NULL) {
        return false;
    }
    if (str_is(policy, "Forbid") && val_count(active) > 0) {
        tell(
            work, "Normal", "JobAlreadyActive",
            "Not starting job because prior execution is running and concurrency policy is Forbid");
        return false;
    }
    if (str_is(policy, "Replace")) {
        replace_active(pass, work);
    }
    return true;
}

static bool read_schedule(struct cron_pass *work)
{
    struct err err = {0};
    struct str zone = val_text(val_path(work->value, "spec.timeZone"));
    struct str schedule = val_text(val_path(work->value, "spec.schedule"));
    if (zone.n > 0 && zone_load(zone, &work->zone, &err) != 0) {
        tell(work, "Warning", "UnknownTimeZone", err.message);
        return false;
    }
    if (cron_parse(schedule, &work->cron, &err) != 0) {
        tell(work, "Warning", "UnparseableSchedule", err.message);
        return false;
    }
    if (work->zone == NULL && work->cron.zone.n > 0 &&
        zone_load(work->cron.zone, &work->zone, &err) != 0) {
        tell(work, "Warning", "UnknownTimeZone", err.message);
        return false;
    }
    return true;
}

static void run_schedule(struct pass *pass, struct cron_pass *work)
{
    if (read_schedule(work)) {
        if (find_due(pass, work) && may_start(pass, work)) {
            pass_create(pass, work->all->job_resource, pass->ns, job_body(pass, work), on_job,
                        work);
        } else {
            write_status(pass, work);
        }
        wake_next(pass, work);
    } else {
        write_status(pass, work);
    }
    zone_free(work->zone);
    work->zone = NULL;
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct cron_jobs *all = ctx;
    struct object *object = informer_get(all->cron_jobs, pass->ns, pass->name);
    if (object == NULL) {
        return;
    }
    struct cron_pass *work = arena_new(pass->arena, struct cron_pass);
    *work = (struct cron_pass){.all = all, .object = pass_hold(pass, object)};
    work->value = object_decode(object, pass->arena);
    work->status = val_make_object(pass->arena, work->value, STR("status"));
    work->now_s = pass->now / NS_PER_S;
    children_of(pass->arena, all->jobs, object->uid, &work->jobs);
    sync_active(pass, work);
    trim_history(pass, work, "Complete", "successfulJobsHistoryLimit", 3);
    trim_history(pass, work, "Failed", "failedJobsHistoryLimit", 1);
    if (object->deleting || val_bool(val_path(work->value, "spec.suspend"), false)) {
        write_status(pass, work);
        return;
    }
    run_schedule(pass, work);
}

/* ---- events ---- */

static void on_cron_job(void *ctx, struct object *old, struct object *now)
{
    struct cron_jobs *all = ctx;
    worker_add(all->worker, now != NULL ? now : old);
}

static void on_job_change(void *ctx, struct object *old, struct object *now)
{
    struct cron_jobs *all = ctx;
    struct object *owner = controller_object_of(all->cron_jobs, "CronJob", now != NULL ? now : old);
    if (owner != NULL) {
        worker_add(all->worker, owner);
    }
}

static void *start(struct controller_env *env)
{
    struct cron_jobs *all = mem_new(struct cron_jobs);
    all->resource = controller_resource("batch", "v1", "cronjobs");
    all->job_resource = controller_resource("batch", "v1", "jobs");
    all->cron_jobs = informers_get(env->informers, all->resource);
    all->jobs = informers_get(env->informers, all->job_resource);
    children_index(all->jobs);
    all->recorder = recorder_new(env->client, "cronjob-controller", "");
    all->worker = worker_new(env, "cronjob-controller", PARALLEL, reconcile, all);
    informer_handle(all->cron_jobs, (struct informer_handler){on_cron_job, all});
    informer_handle(all->jobs, (struct informer_handler){on_job_change, all});
    return all;
}

static void stop(void *state)
{
    struct cron_jobs *all = state;
    informer_unhandle(all->cron_jobs, all);
    informer_unhandle(all->jobs, all);
    worker_free(all->worker);
    recorder_free(all->recorder);
    free(all);
}

const struct controller controller_cron_job = {
    .name = "cronjob-controller", .start = start, .stop = stop};
