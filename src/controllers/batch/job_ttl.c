/* The TTL controller of Jobs: removes finished ones spec.ttlSecondsAfterFinished after their end.
 *
 * The end is the transition time of Complete or Failed. The deletion is in the foreground (the pods
 * go first) and only of the very object that was looked at.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/batch/job_int.h"
#include "controllers/table_int.h"

struct job_ttl {
    struct worker *worker;
    struct informer *jobs;
};

static bool finish_time(const struct val *job, int64_t *ret_wall)
{
    static const char *const types[] = {"Complete", "Failed"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *condition = condition_find(val_get(job, "status"), str_of(types[i]));
        if (str_is(val_text(val_get(condition, "status")), "True")) {
            return time_parse(val_text(val_get(condition, "lastTransitionTime")), ret_wall);
        }
    }
    return false;
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct job_ttl *ttl = ctx;
    struct object *object = informer_get(ttl->jobs, pass->ns, pass->name);
    int64_t finished;
    if (object == NULL || object->deleting) {
        return;
    }
    struct val *job = object_decode(pass_hold(pass, object), pass->arena);
    int64_t seconds = val_int(val_path(job, "spec.ttlSecondsAfterFinished"), -1);
    if (seconds < 0 || !finish_time(job, &finished)) {
        return;
    }
    int64_t left = finished + seconds * NS_PER_S - pass->now;
    if (left > 0) {
        pass_after(pass, left);
        return;
    }
    pass_delete(pass, object, "Foreground", -1, NULL, NULL);
}

static void on_job(void *ctx, struct object *old, struct object *now)
{
    struct job_ttl *ttl = ctx;
    if (now != NULL) {
        worker_add(ttl->worker, now);
    }
}

static void *start(struct controller_env *env)
{
    struct job_ttl *ttl = mem_new(struct job_ttl);
    ttl->jobs = informers_get(env->informers, controller_resource("batch", "v1", "jobs"));
    ttl->worker = worker_new(env, "ttl-after-finished-controller", 2, reconcile, ttl);
    informer_handle(ttl->jobs, (struct informer_handler){on_job, ttl});
    return ttl;
}

static void stop(void *state)
{
    struct job_ttl *ttl = state;
    informer_unhandle(ttl->jobs, ttl);
    worker_free(ttl->worker);
    free(ttl);
}

const struct controller controller_job_ttl = {
    .name = "ttl-after-finished-controller", .start = start, .stop = stop};
