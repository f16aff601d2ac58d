/* Taint eviction: pods leave nodes whose NoExecute taints they do not tolerate.
 *
 * A pod that does not tolerate all of them goes at once; one that tolerates them for some seconds
 * goes after the fewest, counted by our monotonic clock from when the taint was first seen against
 * it; a taint that is gone again by then cancels it. Before the deletion the pod gets the condition
 * DisruptionTarget, so that Jobs and budgets can tell an eviction from a crash.
 *
 * Left to others: setting the taints (node_life.c, users).
 */
#include <stdlib.h>

#include "api/node_fit.h"
#include "base/map.h"
#include "base/mem.h"
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/pods.h"
#include "controllers/table_int.h"

enum { PARALLEL = 8 };

struct eviction {     /* of one pod, planned */
    int64_t since_ns; /* mono */
};
struct evictions {
    struct worker *worker;
    struct informer *nodes, *pods;
    struct recorder *recorder;
    struct map planned; /* pod uid -> struct eviction */
};

/* ---- tolerations ---- */

/* Seconds the pod may stay: -1 for ever, 0 not at all. */
static int64_t may_stay(const struct val *pod, const struct val *node, bool *ret_any)
{
    int64_t least = -1;
    *ret_any = false;
    VAL_EACH (taint, val_path(node, "spec.taints")) {
        if (!str_is(val_text(val_get(taint, "effect")), "NoExecute")) {
            continue;
        }
        *ret_any = true;
        bool tolerated = false;
        VAL_EACH (it, val_path(pod, "spec.tolerations")) {
            if (!toleration_covers(it, taint)) {
                continue;
            }
            tolerated = true;
            const struct val *seconds = val_get(it, "tolerationSeconds");
            int64_t number = val_int(seconds, -1);
            if (!val_absent(seconds)) {
                number = number > 0 ? number : 0;
                least = least < 0 || number < least ? number : least;
            }
        }
        if (!tolerated) {
            return 0;
        }
    }
    return least;
}

/* ---- a pass ---- */

static void delete_marked(struct pass *pass, void *arg)
{
    struct evictions *all = arg;
    struct object *pod = informer_get(all->pods, pass->ns, pass->name);
    if (pod != NULL && !pod->deleting) {
        pass_delete(pass, pass_hold(pass, pod), NULL, -1, NULL, NULL);
    }
}

static void evict(struct pass *pass, struct evictions *all, struct object *pod)
{
    recorder_event(all->recorder, pod, "Normal", "TaintManagerEviction",
                   "Marking for deletion Pod %.*s", STR_ARG(pass->key));
    pass_patch(pass, pod, CLIENT_PATCH_STRATEGIC, "status",
               pod_condition_patch(pass, pod, NULL, "DisruptionTarget", "True",
                                   "DeletionByTaintManager",
                                   "Taint manager: deleting due to NoExecute taint"),
               NULL, NULL);
    pass_then(pass, delete_marked, all);
}

static void cancel(struct evictions *all, struct object *pod, bool tell)
{
    struct eviction *planned = map_remove(&all->planned, pod->uid);
    if (planned != NULL && tell) {
        recorder_event(all->recorder, pod, "Normal", "TaintManagerEviction",
                       "Cancelling deletion of Pod %.*s/%.*s", STR_ARG(pod->ns),
                       STR_ARG(pod->name));
    }
    free(planned);
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct evictions *all = ctx;
    struct object *pod = informer_get(all->pods, pass->ns, pass->name);
    if (pod == NULL || pod->deleting) {
        return;
    }
    struct object *node = informer_get(all->nodes, STR_NONE, pod_node_name(pod));
    if (node == NULL) {
        cancel(all, pod, true);
        return;
    }
    bool any;
    int64_t seconds = may_stay(object_decode(pass_hold(pass, pod), pass->arena),
                               object_decode(node, pass->arena), &any);
    if (!any || seconds < 0) {
        cancel(all, pod, true);
        return;
    }
    int64_t now = loop_mono(pass->worker->env.loop);
    struct eviction *planned = map_get(&all->planned, pod->uid);
    if (planned == NULL) {
        planned = mem_new(struct eviction);
        planned->since_ns = now;
        map_set(&all->planned, pod->uid, planned);
    }
    int64_t left = planned->since_ns + seconds * NS_PER_S - now;
    if (left > 0) {
        pass_after(pass, left);
    } else {
        evict(pass, all, pod);
    }
}

/* ---- events ---- */

static bool has_execute_taint(const struct object *node)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (node == NULL || !str_contains(object_raw(node, STR("spec")), STR("NoExecute"))) {
        return false; /* cheap: this is asked for every change of every pod */
    }
    VAL_EACH (it, val_path(object_decode(node, &arena), "spec.taints")) {
        if (str_is(val_text(val_get(it, "effect")), "NoExecute")) {
            return true;
        }
    }
    return false;
}

static bool wake_pod(void *ctx, struct object *pod)
{
    struct evictions *all = ctx;
    worker_add(all->worker, pod);
    return true;
}

static void on_node(void *ctx, struct object *old, struct object *now)
{
    struct evictions *all = ctx;
    if (has_execute_taint(old) || has_execute_taint(now)) {
        pods_on_node(all->pods, (now != NULL ? now : old)->name, wake_pod, all);
    }
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct evictions *all = ctx;
    if (now == NULL) {
        cancel(all, old, false);
        return;
    }
    if (has_execute_taint(informer_get(all->nodes, STR_NONE, pod_node_name(now)))) {
        worker_add(all->worker, now);
    }
}

static void *start(struct controller_env *env)
{
    struct evictions *all = mem_new(struct evictions);
    all->nodes = informers_get(env->informers, controller_resource("", "v1", "nodes"));
    all->pods = informers_get(env->informers, controller_resource("", "v1", "pods"));
    pods_index_by_node(all->pods);
    all->recorder = recorder_new(env->client, "taint-eviction-controller", "");
    all->worker = worker_new(env, "taint-eviction-controller", PARALLEL, reconcile, all);
    informer_handle(all->nodes, (struct informer_handler){on_node, all});
    informer_handle(all->pods, (struct informer_handler){on_pod, all});
    return all;
}

static void stop(void *state)
{
    struct evictions *all = state;
    informer_unhandle(all->nodes, all);
    informer_unhandle(all->pods, all);
    worker_free(all->worker);
    recorder_free(all->recorder);
    MAP_EACH (it, &all->planned) {
        free(it->value);
    }
    map_done(&all->planned);
    free(all);
}

const struct controller controller_taint_eviction = {
    .name = "node-controller", .start = start, .stop = stop};
