/* The ReplicaSet controller: as many pods of a template as asked. The ReplicationController's is
 * the same with another kind (its selector is a plain map of labels).
 *
 * A pass claims the pods that match (adopting orphans, releasing others), creates or deletes the
 * difference, then writes the counts. Creation starts slowly: batches of 1, 2, 4 ... so that a
 * template that no server accepts costs one failure a pass, not hundreds. There are no
 * "expectations": answers to one's own writes are in the informer before the next pass of the key
 * (informer.h), so nothing is counted twice.
 *
 * Left to others: removing the pods of a deleted set (garbage collector), rollouts (deployment.c).
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/pods.h"
#include "controllers/table_int.h"

enum { BURST = 500, PARALLEL = 5 };

struct set_kind {
    const char *group, *plural, *kind, *controller;
    bool counts_terminating; /* status.terminatingReplicas */
};

struct replicasets {
    const struct set_kind *kind;
    struct worker *worker;
    struct informer *sets, *pods;
    const struct api_resource *resource, *pod_resource;
    struct recorder *recorder;
    struct pod_cache *briefs;
};

struct replicaset_pass {
    struct replicasets *all;
    struct object *object; /* one reference, dropped at the end of the pass */
    struct val *set;
    struct pod_brief *pods;
    size_t count;
    struct pod_brief **active;
    size_t active_count;
    int64_t wanted;
    int64_t missing, batch, failed_in_batch;
    const char *failure_reason; /* "FailedCreate", "FailedDelete" */
    const char *failure_text;
};

/* ---- status ---- */

static bool has_template_labels(const struct val *set, const struct object *pod)
{
    VAL_EACH (it, val_path(set, "spec.template.metadata.labels")) {
        struct str value = object_label_get(pod, it->key);
        if (value.p == NULL || !str_eq(value, it->text)) {
            return false;
        }
    }
    return true;
}

static void count_pods(struct pass *pass, struct replicaset_pass *work, struct val *status)
{
    int64_t min_ready = val_int(val_path(work->set, "spec.minReadySeconds"), 0);
    int64_t active = 0, labeled = 0, ready = 0, available = 0, terminating = 0;
    for (size_t i = 0; i < work->count; i++) {
        const struct pod_brief *pod = &work->pods[i];
        terminating += pod->object->deleting && !pod_is_finished(pod);
        if (!pod_is_active(pod)) {
            continue;
        }
        active++;
        labeled += has_template_labels(work->set, pod->object);
        ready += pod->ready;
        available += pod_is_available(pod, min_ready, pass->now);
        if (pod->ready && !pod_is_available(pod, min_ready, pass->now)) {
            pass_after(pass, pod->ready_since + min_ready * NS_PER_S - pass->now + NS_PER_MS);
        }
    }
    struct arena *arena = pass->arena;
    val_set_int(arena, status, STR("replicas"), active);
    val_set_int(arena, status, STR("fullyLabeledReplicas"), labeled);
    val_set_int(arena, status, STR("readyReplicas"), ready);
    val_set_int(arena, status, STR("availableReplicas"), available);
    if (work->all->kind->counts_terminating) {
        val_set_int(arena, status, STR("terminatingReplicas"), terminating);
    }
    val_set_int(arena, status, STR("observedGeneration"),
                val_int(val_path(work->set, "metadata.generation"), 0));
}

static void set_failure(struct pass *pass, struct replicaset_pass *work, struct val *status)
{
    struct arena *arena = pass->arena;
    struct val *old = condition_find(status, STR("ReplicaFailure"));
    if (work->failure_reason == NULL) {
        if (old != NULL) {
            val_remove(val_get(status, "conditions"), old);
        }
        return;
    }
    if (old != NULL && str_is(val_text(val_get(old, "reason")), work->failure_reason)) {
        return;
    }
    if (old == NULL) {
        old = val_append(val_make_array(arena, status, STR("conditions")),
                         val_new(arena, VAL_OBJECT));
    }
    char now[TIME_TEXT_SIZE];
    time_format(pass->now, now);
    val_set_text(arena, old, STR("type"), STR("ReplicaFailure"));
    val_set_text(arena, old, STR("status"), STR("True"));
    val_set_text(arena, old, STR("lastTransitionTime"), str_of(str_dup_in(arena, str_of(now))));
    val_set_text(arena, old, STR("reason"), str_of(work->failure_reason));
    val_set_text(arena, old, STR("message"), str_of(work->failure_text));
}

/* Counts are compared by value: an absent one is 0. */
static bool is_same_status(const struct val *a, const struct val *b)
{
    static const char *const counts[] = {
        "replicas",          "fullyLabeledReplicas", "readyReplicas",
        "availableReplicas", "terminatingReplicas",  "observedGeneration"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct str key = str_of(counts[i]);
        if (val_int(val_get_str(a, key), 0) != val_int(val_get_str(b, key), 0)) {
            return false;
        }
    }
    const struct val *x = val_get(a, "conditions"), *y = val_get(b, "conditions");
    return val_count(x) == val_count(y) && (val_count(x) == 0 || val_equal(x, y));
}

/* The last step: the counts as the informer shows the pods now. */
static void write_status(struct pass *pass, struct replicaset_pass *work)
{
    struct replicasets *all = work->all;
    struct object *now = informer_get(all->sets, pass->ns, pass->name);
    if (now == NULL || !str_eq(now->uid, work->object->uid)) {
        return;
    }
    struct val *set = object_decode(now, pass->arena);
    struct val *old = val_copy(pass->arena, val_get(set, "status"));
    struct val *status = val_make_object(pass->arena, set, STR("status"));
    count_pods(pass, work, status);
    set_failure(pass, work, status);
    if (!is_same_status(old, status)) {
        pass_update(pass, all->resource, "status", set, NULL, NULL);
    }
}

/* ---- pods ---- */

static void load_pods(struct pass *pass, struct replicaset_pass *work, const struct objects *mine)
{
    work->pods = arena_array(pass->arena, struct pod_brief, mine->count + 1);
    work->active = arena_array(pass->arena, struct pod_brief *, mine->count + 1);
    work->count = mine->count;
    work->active_count = 0;
    for (size_t i = 0; i < mine->count; i++) {
        pod_cache_get(work->all->briefs, mine->items[i], &work->pods[i]);
        if (pod_is_active(&work->pods[i])) {
            work->active[work->active_count++] = &work->pods[i];
        }
    }
}

static void finish(struct pass *pass, void *arg)
{
    struct replicaset_pass *work = arg;
    struct objects mine;
    children_of(pass->arena, work->all->pods, work->object->uid, &mine);
    load_pods(pass, work, &mine);
    write_status(pass, work);
    if (work->failure_reason != NULL) {
        pass_retry(pass);
    }
}

static void note_failure(struct pass *pass, struct replicaset_pass *work, const char *reason,
                         const struct client_result *result)
{
    const char *verb = str_is(str_of(reason), "FailedCreate") ? "creating" : "deleting";
    if (work->failure_reason == NULL) {
        work->failure_reason = reason;
        work->failure_text = str_dup_in(pass->arena, str_of(result->error.message));
    }
    recorder_event(work->all->recorder, work->object, "Warning", reason, "Error %s: %s", verb,
                   result->error.message);
}

static void on_created(struct pass *pass, void *arg, const struct client_result *result)
{
    struct replicaset_pass *work = arg;
    if (result->code == 0) {
        if (result->object != NULL) {
            recorder_event(work->all->recorder, work->object, "Normal", "SuccessfulCreate",
                           "Created pod: %.*s", STR_ARG(result->object->name));
        }
        return;
    }
    work->failed_in_batch++;
    if (pass_namespace_ends(result)) {
        return; /* the namespace is going away: nothing to complain about */
    }
    note_failure(pass, work, "FailedCreate", result);
}

static void create_batch(struct pass *pass, void *arg)
{
    struct replicaset_pass *work = arg;
    if (work->failed_in_batch > 0 || work->missing <= 0) {
        finish(pass, work);
        return;
    }
    int64_t count = work->batch < work->missing ? work->batch : work->missing;
    const struct val *template = val_path(work->set, "spec.template");
    for (int64_t i = 0; i < count; i++) {
        pass_create(pass, work->all->pod_resource, pass->ns,
                    pod_from_template(pass->arena, template, work->object), on_created, work);
    }
    work->missing -= count;
    work->batch *= 2;
    pass_then(pass, create_batch, work);
}

static void on_deleted(struct pass *pass, void *arg, const struct client_result *result)
{
    struct replicaset_pass *work = arg;
    if (result->code != 0 && result->code != ERR_NOT_FOUND && result->code != ERR_CONFLICT) {
        note_failure(pass, work, "FailedDelete", result);
    }
}

/* How many active pods of the same Deployment's sets are on each pod's node: crowded nodes lose
 * pods first. */
static void rank_by_crowding(struct pass *pass, struct replicaset_pass *work)
{
    struct map nodes = MAP_INIT; /* node -> count + 1 as a pointer */
    struct objects related = {0}, pods;
    struct owner owner;
    if (controller_of(pass->arena, work->object, &owner)) {
        children_of(pass->arena, work->all->sets, owner.uid, &related);
    } else {
        objects_add(pass->arena, &related, work->object);
    }
    for (size_t i = 0; i < related.count; i++) {
        children_of(pass->arena, work->all->pods, related.items[i]->uid, &pods);
        for (size_t j = 0; j < pods.count; j++) {
            struct pod_brief pod;
            pod_cache_get(work->all->briefs, pods.items[j], &pod);
            if (pod_is_active(&pod) && pod.scheduled) {
                uintptr_t count = (uintptr_t)map_get(&nodes, pod.node);
                map_set(&nodes, pod.node, (void *)(count + 1)); /* NOLINT: a count, not a pointer */
            }
        }
    }
    for (size_t i = 0; i < work->active_count; i++) {
        work->active[i]->rank = (int)(uintptr_t)map_get(&nodes, work->active[i]->node);
    }
    map_done(&nodes);
}

static void delete_surplus(struct pass *pass, struct replicaset_pass *work, int64_t surplus)
{
    surplus = surplus < BURST ? surplus : BURST;
    if ((size_t)surplus < work->active_count) {
        rank_by_crowding(pass, work);
        pods_rank_for_deletion(work->active, work->active_count, pass->now);
    }
    for (int64_t i = 0; i < surplus; i++) {
        struct object *pod = work->active[i]->object;
        recorder_event(work->all->recorder, work->object, "Normal", "SuccessfulDelete",
                       "Deleted pod: %.*s", STR_ARG(pod->name));
        pass_delete(pass, pod, NULL, -1, on_deleted, work);
    }
    pass_then(pass, finish, work);
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct replicasets *all = ctx;
    struct object *object = informer_get(all->sets, pass->ns, pass->name);
    if (object == NULL) {
        return;
    }
    struct replicaset_pass *work = arena_new(pass->arena, struct replicaset_pass);
    work->all = all;
    work->set = object_decode(object, pass->arena);
    work->object = pass_hold(pass, object);
    work->wanted = val_int(val_path(work->set, "spec.replicas"), 1);
    work->batch = 1;
    struct selector selector;
    struct objects mine;
    if (!selector_of(pass->arena, work->set, &selector)) {
        return; /* validation keeps such sets out */
    }
    children_claim(pass, object, &selector, all->pods, &(struct claim_rule){0}, &mine);
    load_pods(pass, work, &mine);
    int64_t difference = (int64_t)work->active_count - work->wanted;
    if (object->deleting || difference == 0) {
        pass_then(pass, finish, work);
    } else if (difference > 0) {
        delete_surplus(pass, work, difference);
    } else {
        work->missing = -difference < BURST ? -difference : BURST;
        pass_then(pass, create_batch, work);
    }
}

/* ---- events ---- */

static void on_set(void *ctx, struct object *old, struct object *now)
{
    struct replicasets *all = ctx;
    worker_add(all->worker, now != NULL ? now : old);
}

static void add_key(void *ctx, struct object *set)
{
    struct replicasets *all = ctx;
    worker_add(all->worker, set);
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct replicasets *all = ctx;
    children_changed(all->sets, all->kind->kind, old, now, add_key, all);
}

static void *start(struct controller_env *env, const struct set_kind *kind)
{
    struct replicasets *all = mem_new(struct replicasets);
    all->kind = kind;
    all->resource = controller_resource(kind->group, "v1", kind->plural);
    all->pod_resource = controller_resource("", "v1", "pods");
    all->sets = informers_get(env->informers, all->resource);
    all->pods = informers_get(env->informers, all->pod_resource);
    children_index(all->sets);
    children_index(all->pods);
    all->briefs = pod_cache_new(all->pods);
    all->recorder = recorder_new(env->client, kind->controller, "");
    all->worker = worker_new(env, kind->controller, PARALLEL, reconcile, all);
    informer_handle(all->sets, (struct informer_handler){on_set, all});
    informer_handle(all->pods, (struct informer_handler){on_pod, all});
    return all;
}

static void stop(void *state)
{
    struct replicasets *all = state;
    informer_unhandle(all->sets, all);
    informer_unhandle(all->pods, all);
    worker_free(all->worker);
    recorder_free(all->recorder);
    pod_cache_free(all->briefs);
    free(all);
}

static void *start_replicaset(struct controller_env *env)
{
    static const struct set_kind kind = {"apps", "replicasets", "ReplicaSet",
                                         "replicaset-controller", .counts_terminating = true};
    return start(env, &kind);
}

static void *start_replication(struct controller_env *env)
{
    static const struct set_kind kind = {"", "replicationcontrollers", "ReplicationController",
                                         "replication-controller"};
    return start(env, &kind);
}

const struct controller controller_replicaset = {
    .name = "replicaset-controller", .start = start_replicaset, .stop = stop};
const struct controller controller_replication = {
    .name = "replication-controller", .start = start_replication, .stop = stop};
