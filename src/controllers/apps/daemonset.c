/* The DaemonSet controller: one pod on every node that the template allows.
 *
 * A pass judges the nodes, makes and deletes the difference, then replaces pods of an old template
 * as far as the strategy allows (daemonset_rollout.c), then writes the counts. Pods are bound to
 * their node by a required affinity, so that the scheduler counts their resources. Nodes wake the
 * sets only when something that a set can ask for has changed: heartbeats do not.
 *
 * Left to others: binding (scheduler), pods of nodes that are gone (pod collector), removing what a
 * deleted set owned (garbage collector).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/recorder.h"
#include "controllers/apps/daemonset_int.h"
#include "controllers/table_int.h"

enum { PARALLEL = 2 };

/* ---- status ---- */

static void count_nodes(struct pass *pass, struct daemons *set, struct val *status)
{
    int64_t desired = 0, current = 0, misscheduled = 0, ready = 0, updated = 0, available = 0;
    int64_t min_ready = val_int(val_path(set->value, "spec.minReadySeconds"), 0);
    for (size_t i = 0; i < set->node_count; i++) {
        struct daemon_node *node = &set->nodes[i];
        desired += node->runs;
        misscheduled += !node->runs && node->count > 0;
        if (!node->runs || node->count == 0) {
            continue;
        }
        daemon_sort(node);
        const struct pod_brief *pod = node->pods[0];
        bool is_available = daemon_is_available(pass, set, pod);
        current++;
        ready += pod->ready;
        available += is_available;
        updated += daemon_is_updated(set, pod);
        if (pod->ready && !is_available) {
            pass_after(pass, pod->ready_since + min_ready * NS_PER_S - pass->now + NS_PER_MS);
        }
    }
    struct arena *arena = pass->arena;
    val_set_int(arena, status, STR("currentNumberScheduled"), current);
    val_set_int(arena, status, STR("numberMisscheduled"), misscheduled);
    val_set_int(arena, status, STR("desiredNumberScheduled"), desired);
    val_set_int(arena, status, STR("numberReady"), ready);
    val_set_int(arena, status, STR("updatedNumberScheduled"), updated);
    val_set_int(arena, status, STR("numberAvailable"), available);
    val_set_int(arena, status, STR("numberUnavailable"), desired - available);
    val_set_int(arena, status, STR("observedGeneration"),
                val_int(val_path(set->value, "metadata.generation"), 0));
}

static bool is_same_status(const struct val *a, const struct val *b)
{
    static const char *const numbers[] = {"currentNumberScheduled", "numberMisscheduled",
                                          "desiredNumberScheduled", "numberReady",
                                          "numberAvailable",        "updatedNumberScheduled",
                                          "numberUnavailable",      "observedGeneration"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct str key = str_of(numbers[i]);
        if (val_int(val_get_str(a, key), 0) != val_int(val_get_str(b, key), 0)) {
            return false;
        }
    }
    return true;
}

static struct str hash_of(const struct revision *revision)
{
    return object_label_get(revision->object, STR("controller-revision-hash"));
}

static bool is_live_revision(void *ctx, const struct revision *revision)
{
    const struct daemons *set = ctx;
    bool live = revision == set->current;
    for (size_t i = 0; i < set->pod_count && !live; i++) {
        live = str_eq(object_label_get(set->pods[i].object, STR("controller-revision-hash")),
                      hash_of(revision));
    }
    return live;
}

static void finish(struct pass *pass, void *arg)
{
    struct daemons *set = arg;
    struct object *now = informer_get(set->all->sets, pass->ns, pass->name);
    if (now != NULL && str_eq(now->uid, set->object->uid)) {
        set->value = object_decode(pass_hold(pass, now), pass->arena);
        daemons_load(pass, set);
        struct val *old = val_copy(pass->arena, val_get(set->value, "status"));
        struct val *status = val_make_object(pass->arena, set->value, STR("status"));
        count_nodes(pass, set, status);
        if (old == NULL || !is_same_status(old, status)) {
            pass_update(pass, set->all->resource, "status", set->value, NULL, NULL);
        }
        revisions_truncate(pass, &set->revisions,
                           val_int(val_path(set->value, "spec.revisionHistoryLimit"), 10),
                           is_live_revision, set);
    }
}

/* ---- history ---- */

static bool find_current(struct pass *pass, struct daemons *set)
{
    set->current = revisions_current(
        pass, set->object, set->value, &set->revisions,
        &(struct revision_rule){set->all->revision_resource, "controller-revision-hash", -1});
    if (set->current == NULL) {
        return false;
    }
    set->hash = hash_of(set->current);
    return true;
}

/* ---- a pass ---- */

static void roll(struct pass *pass, void *arg)
{
    struct daemons *set = arg;
    daemons_load(pass, set);
    if (!str_is(val_text(val_path(set->value, "spec.updateStrategy.type")), "OnDelete")) {
        daemons_plan_rollout(pass, set);
    }
    daemons_send(pass, set, finish);
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct daemonsets *all = ctx;
    struct object *object = informer_get(all->sets, pass->ns, pass->name);
    if (object == NULL || object->deleting) {
        return;
    }
    struct daemons *set = arena_new(pass->arena, struct daemons);
    *set = (struct daemons){.all = all, .object = pass_hold(pass, object)};
    set->value = object_decode(object, pass->arena);
    if (!selector_of(pass->arena, set->value, &set->selector) || selector_empty(&set->selector)) {
        recorder_event(all->recorder, object, "Warning", "SelectingAll",
                       "This daemon set is selecting all pods. A non-empty selector is required.");
        return;
    }
    struct objects pods;
    children_claim(pass, object, &set->selector, all->pods, &(struct claim_rule){0}, &pods);
    revisions_load(pass, object, &set->selector, all->revisions, &set->revisions);
    if (!find_current(pass, set)) {
        return;
    }
    daemons_load(pass, set);
    pass_cost(pass, pods.count + set->node_count);
    daemons_manage(pass, set);
    daemons_send(pass, set, roll);
}

/* ---- events ---- */

static void add_key(void *ctx, struct object *set)
{
    struct daemonsets *all = ctx;
    worker_add(all->worker, set);
}

static void on_set(void *ctx, struct object *old, struct object *now)
{
    add_key(ctx, now != NULL ? now : old);
}

static void on_child(void *ctx, struct object *old, struct object *now)
{
    struct daemonsets *all = ctx;
    children_changed(all->sets, "DaemonSet", old, now, add_key, all);
}

static bool wake_each(void *ctx, struct object *set)
{
    add_key(ctx, set);
    return true;
}

static void on_node(void *ctx, struct object *old, struct object *now)
{
    struct daemonsets *all = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (informer_count(all->sets) == 0) {
        return;
    }
    if (old != NULL && now != NULL) {
        const struct val *was = object_decode(old, &arena), *is = object_decode(now, &arena);
        if (val_equal(val_path(was, "metadata.labels"), val_path(is, "metadata.labels")) &&
            val_equal(val_path(was, "spec.taints"), val_path(is, "spec.taints"))) {
            return;
        }
    }
    informer_each(all->sets, STR_NONE, NULL, wake_each, all);
}

static void *start(struct controller_env *env)
{
    struct daemonsets *all = mem_new(struct daemonsets);
    all->resource = controller_resource("apps", "v1", "daemonsets");
    all->pod_resource = controller_resource("", "v1", "pods");
    all->revision_resource = controller_resource("apps", "v1", "controllerrevisions");
    all->sets = informers_get(env->informers, all->resource);
    all->pods = informers_get(env->informers, all->pod_resource);
    all->nodes = informers_get(env->informers, controller_resource("", "v1", "nodes"));
    all->revisions = informers_get(env->informers, all->revision_resource);
    children_index(all->pods);
    children_index(all->revisions);
    all->briefs = pod_cache_new(all->pods);
    all->recorder = recorder_new(env->client, "daemonset-controller", "");
    all->worker = worker_new(env, "daemon-set-controller", PARALLEL, reconcile, all);
    informer_handle(all->sets, (struct informer_handler){on_set, all});
    informer_handle(all->pods, (struct informer_handler){on_child, all});
    informer_handle(all->revisions, (struct informer_handler){on_child, all});
    informer_handle(all->nodes, (struct informer_handler){on_node, all});
    return all;
}

static void stop(void *state)
{
    struct daemonsets *all = state;
    informer_unhandle(all->sets, all);
    informer_unhandle(all->pods, all);
    informer_unhandle(all->revisions, all);
    informer_unhandle(all->nodes, all);
    worker_free(all->worker);
    recorder_free(all->recorder);
    pod_cache_free(all->briefs);
    MAP_EACH (it, &all->back_offs) {
        free(it->value);
    }
    map_done(&all->back_offs);
    free(all);
}

const struct controller controller_daemonset = {
    .name = "daemon-set-controller", .start = start, .stop = stop};
