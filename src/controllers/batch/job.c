/* The Job controller: pods until enough of them have succeeded.
 *
 * A pass claims the pods, decides whether the Job has come to an end, makes or ends pods
 * (job_pods.c), then counts and writes the status (job_status.c). A second queue frees pods that
 * carry our finalizer though their Job is gone or done.
 *
 * Left to others: removing finished Jobs (job_ttl.c), and the pods of a deleted one (garbage
 * collector). A Job whose spec.managedBy names someone else is not touched.
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/batch/job_int.h"
#include "controllers/finalizers.h"
#include "controllers/table_int.h"

enum { PARALLEL = 5 };

/* ---- the end ---- */

static void end(struct job_pass *work, const char *type, const char *reason, const char *message)
{
    work->end_type = type;
    work->end_reason = reason;
    work->end_message = message;
}

/* One of the two interim conditions is there already: it stands. */
static bool has_ended(struct pass *pass, struct job_pass *work)
{
    static const char *const types[] = {"FailureTarget", "SuccessCriteriaMet"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *condition =
            condition_find(val_get(work->job, "status"), str_of(types[i]));
        if (str_is(val_text(val_get(condition, "status")), "True")) {
            end(work, types[i], str_dup_in(pass->arena, val_text(val_get(condition, "reason"))),
                str_dup_in(pass->arena, val_text(val_get(condition, "message"))));
            return true;
        }
    }
    return false;
}

/* With restartPolicy OnFailure the kubelet restarts containers: their restarts count as failures.
 */
static bool is_past_restarts(const struct job_pass *work)
{
    if (!work->on_failure) {
        return false;
    }
    int64_t restarts = 0;
    for (size_t i = 0; i < work->count; i++) {
        if (work->pods[i].brief.phase != POD_RUNNING && work->pods[i].brief.phase != POD_PENDING) {
            continue;
        }
        static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
        for (size_t j = 0; j < 2; j++) {
            VAL_EACH (it, val_get_str(val_get(work->pods[i].value, "status"), str_of(lists[j]))) {
                restarts += val_int(val_get(it, "restartCount"), 0);
            }
        }
    }
    return work->backoff_limit == 0 ? restarts > 0 : restarts >= work->backoff_limit;
}

static bool is_past_deadline(struct pass *pass, struct job_pass *work)
{
    int64_t seconds = val_int(val_path(work->job, "spec.activeDeadlineSeconds"), -1), start;
    if (seconds < 0 || work->suspended ||
        !time_parse(val_text(val_path(work->job, "status.startTime")), &start)) {
        return false;
    }
    int64_t left = start + seconds * NS_PER_S - pass->now;
    if (left > 0) {
        pass_after(pass, left);
    }
    return left <= 0;
}

static bool is_complete(const struct job_pass *work)
{
    if (work->completions < 0) {
        return work->succeeded > 0 && work->active == 0;
    }
    return work->succeeded >= work->completions && work->active == 0;
}

void job_decide_end(struct pass *pass, struct job_pass *work)
{
    if (work->object->deleting || has_ended(pass, work) || work->end_type != NULL) {
        return; /* a FailJob rule was found while the pods were read */
    }
    int64_t most = val_int(val_path(work->job, "spec.maxFailedIndexes"), -1);
    int rule = work->indexed ? job_success_rule(pass->arena, work->job, &work->completed) : -1;
    if (work->failed > work->backoff_limit || is_past_restarts(work)) {
        end(work, "FailureTarget", "BackoffLimitExceeded",
            "Job has reached the specified backoff limit");
    } else if (is_past_deadline(pass, work)) {
        end(work, "FailureTarget", "DeadlineExceeded",
            "Job was active longer than specified deadline");
    } else if (work->per_index && most >= 0 && work->failed_indexes.count > most) {
        end(work, "FailureTarget", "MaxFailedIndexesExceeded",
            "Job has exceeded the specified maximal number of failed indexes");
    } else if (rule >= 0) {
        end(work, "SuccessCriteriaMet", "SuccessPolicy",
            arena_printf(pass->arena, "Matched rules at index %d", rule));
    } else if (work->per_index && work->failed_indexes.count > 0 && work->active == 0 &&
               work->failed_indexes.count + work->completed.count >= work->completions) {
        end(work, "FailureTarget", "FailedIndexes", "Job has failed indexes");
    } else if (!work->suspended && is_complete(work)) {
        end(work, "SuccessCriteriaMet", "CompletionsReached",
            "Reached expected number of succeeded pods");
    }
}

/* ---- a pass ---- */

static void write_status_now(struct pass *pass, void *arg)
{
    struct job_pass *work = arg;
    const char *type = work->end_type, *reason = work->end_reason, *message = work->end_message;
    if (job_load(pass, work)) {
        if (type != NULL) {
            end(work, type, reason, message);
        }
        job_write_status(pass, work);
    }
}

/* No pod of a finished Job should still carry our finalizer: the other queue sees to those that do.
 */
static void wake_tracked(struct pass *pass, struct jobs *all, struct str uid)
{
    struct objects pods;
    children_of(pass->arena, all->pods, uid, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        if (finalizer_has(pods.items[i], JOB_FINALIZER)) {
            worker_add(all->orphans, pods.items[i]);
        }
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct jobs *all = ctx;
    struct object *object = informer_get(all->jobs, pass->ns, pass->name);
    if (object == NULL) {
        return;
    }
    struct job_pass *work = arena_new(pass->arena, struct job_pass);
    work->all = all;
    struct val *job = object_decode(pass_hold(pass, object), pass->arena);
    struct str manager = val_text(val_path(job, "spec.managedBy"));
    struct selector selector;
    if (job_is_finished(job)) {
        wake_tracked(pass, all, object->uid);
        return;
    }
    if ((manager.n > 0 && !str_is(manager, JOB_MANAGER)) ||
        selector_from_val(pass->arena, val_path(job, "spec.selector"), &selector, NULL) != 0) {
        return;
    }
    struct objects mine;
    children_claim(pass, object, &selector, all->pods,
                   &(struct claim_rule){.finalizer = JOB_FINALIZER}, &mine);
    if (!job_load(pass, work)) {
        return;
    }
    job_decide_end(pass, work);
    if (object->deleting) {
        pass_then(pass, write_status_now, work);
    } else if (work->end_type != NULL) {
        job_delete_active(pass, work);
        pass_then(pass, write_status_now, work);
    } else {
        job_manage(pass, work);
    }
}

/* ---- pods without a Job ---- */

static void on_job(struct pass *pass, void *arg, const struct client_result *result)
{
    struct object *pod = arg;
    struct owner owner;
    bool gone = result->code == ERR_NOT_FOUND;
    if (result->object != NULL && controller_of(pass->arena, pod, &owner)) {
        gone = !str_eq(result->object->uid, owner.uid) ||
               job_is_finished(object_decode(result->object, pass->arena));
    }
    if (gone) {
        finalizer_remove(pass, pod, JOB_FINALIZER);
    } else if (result->code != 0) {
        pass_fail(pass);
    }
}

static void reconcile_orphan(void *ctx, struct pass *pass)
{
    struct jobs *all = ctx;
    struct object *pod = informer_get(all->pods, pass->ns, pass->name);
    struct owner owner;
    if (pod == NULL || !finalizer_has(pod, JOB_FINALIZER)) {
        return;
    }
    pass_hold(pass, pod);
    if (!controller_of(pass->arena, pod, &owner)) {
        finalizer_remove(pass, pod, JOB_FINALIZER);
        return;
    }
    if (!str_is(owner.kind, "Job")) {
        return;
    }
    struct object *job = controller_object_of(all->jobs, "Job", pod);
    if (job != NULL && !job_is_finished(object_decode(job, pass->arena))) {
        return;
    }
    pass_write(pass,
               &(struct client_request){.verb = CLIENT_GET,
                                        .resource = all->resource,
                                        .ns = pass->ns,
                                        .name = owner.name,
                                        .subresource = ""},
               on_job, pod);
}

/* ---- events ---- */

static bool wake_orphan(void *ctx, struct object *pod)
{
    struct jobs *all = ctx;
    worker_add(all->orphans, pod);
    return true;
}

static void on_job_change(void *ctx, struct object *old, struct object *now)
{
    struct jobs *all = ctx;
    worker_add(all->worker, now != NULL ? now : old);
    if (now == NULL) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct objects pods;
        free(map_remove(all->backoffs, old->uid));
        children_of(&arena, all->pods, old->uid, &pods);
        for (size_t i = 0; i < pods.count; i++) {
            wake_orphan(all, pods.items[i]);
        }
    }
}

static void add_key(void *ctx, struct object *job)
{
    struct jobs *all = ctx;
    worker_add(all->worker, job);
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct jobs *all = ctx;
    struct object *states[] = {old, now};
    bool found = false;
    for (size_t i = 0; i < 2; i++) {
        struct object *job =
            states[i] != NULL ? controller_object_of(all->jobs, "Job", states[i]) : NULL;
        if (job != NULL) {
            worker_add(all->worker, job);
            found = true;
        }
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct owner owner;
    if (now != NULL && !now->deleting && !controller_of(&arena, now, &owner)) {
        for_each_selecting(all->jobs, now, add_key, all);
    }
    if (now != NULL && (!found || now->deleting) && finalizer_has(now, JOB_FINALIZER)) {
        worker_add(all->orphans, now);
    }
}

static void *start(struct controller_env *env)
{
    struct jobs *all = mem_new(struct jobs);
    all->resource = controller_resource("batch", "v1", "jobs");
    all->pod_resource = controller_resource("", "v1", "pods");
    all->jobs = informers_get(env->informers, all->resource);
    all->pods = informers_get(env->informers, all->pod_resource);
    children_index(all->pods);
    all->briefs = pod_cache_new(all->pods);
    all->backoffs = mem_new(struct map);
    all->recorder = recorder_new(env->client, "job-controller", "");
    all->worker = worker_new(env, "job-controller", PARALLEL, reconcile, all);
    all->orphans = worker_new(env, "job-controller", PARALLEL, reconcile_orphan, all);
    informer_handle(all->jobs, (struct informer_handler){on_job_change, all});
    informer_handle(all->pods, (struct informer_handler){on_pod, all});
    return all;
}

static void stop(void *state)
{
    struct jobs *all = state;
    informer_unhandle(all->jobs, all);
    informer_unhandle(all->pods, all);
    worker_free(all->worker);
    worker_free(all->orphans);
    recorder_free(all->recorder);
    pod_cache_free(all->briefs);
    MAP_EACH (it, all->backoffs) {
        free(it->value);
    }
    map_done(all->backoffs);
    free(all->backoffs);
    free(all);
}

const struct controller controller_job = {.name = "job-controller", .start = start, .stop = stop};
