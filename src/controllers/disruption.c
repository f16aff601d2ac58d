/* The disruption controller: how many pods of a budget may be evicted now.
 *
 * A PodDisruptionBudget names pods by a selector and says how many must stay (minAvailable) or may
 * be missing (maxUnavailable). The controller counts: expected pods (from the scale of what
 * controls them, when a share or maxUnavailable needs it), healthy ones, and the difference.
 * Evictions lower status.disruptionsAllowed in the server and note the pod in status.disruptedPods;
 * a pod noted there counts as gone until its deletion is seen, or two minutes are over. When the
 * count cannot be made, nothing may be evicted and the condition says why.
 *
 * Left to others: the check at eviction (server/subresource).
 */
#include <stdlib.h>

#include "api/semantic.h"
#include "base/mem.h"
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/pods.h"
#include "controllers/table_int.h"

enum { PARALLEL = 2 };
#define DELETION_WAIT_NS   (120 * NS_PER_S)
#define STALE_CONDITION_NS (120 * NS_PER_S)

enum scale_of {
    SCALE_REPLICATION,
    SCALE_REPLICA_SET,
    SCALE_STATEFUL_SET,
    SCALE_DEPLOYMENT,
    SCALE_COUNT
};

struct scaled { /* a kind that has spec.replicas and controls pods */
    const char *group, *plural, *kind;
};
static const struct scaled scaled_kinds[SCALE_COUNT] = {
    [SCALE_REPLICATION] = {"", "replicationcontrollers", "ReplicationController"},
    [SCALE_REPLICA_SET] = {"apps", "replicasets", "ReplicaSet"},
    [SCALE_STATEFUL_SET] = {"apps", "statefulsets", "StatefulSet"},
    [SCALE_DEPLOYMENT] = {"apps", "deployments", "Deployment"},
};

struct disruptions {
    struct worker *worker;
    struct worker *stale; /* pods whose eviction never came */
    struct informer *budgets, *pods, *scaled[SCALE_COUNT];
    const struct api_resource *resource;
    struct recorder *recorder;
    struct pod_cache *briefs;
};

struct counting { /* one pass over one budget */
    struct disruptions *all;
    struct object *object;
    struct val *budget;
    struct objects pods;
    struct val *disrupted; /* status.disruptedPods that still count */
    int64_t expected, desired, healthy;
    const char *failure; /* why nothing can be said */
};

/* ---- which pods ---- */

static bool collect(void *ctx, struct object *pod)
{
    struct pass *pass = ((void **)ctx)[0];
    objects_add(pass->arena, ((void **)ctx)[1], pod);
    return true;
}

static void find_pods(struct pass *pass, struct counting *work)
{
    struct selector selector;
    const struct val *value = val_path(work->budget, "spec.selector");
    if (selector_from_val(pass->arena, value, &selector, NULL) == 0 && !selector.nothing) {
        informer_each(work->all->pods, pass->ns, &selector, collect, (void *[]){pass, &work->pods});
    }
}

/* ---- how many there should be ---- */

struct found_scale {
    struct str uid;
    int64_t replicas;
};

static struct object *find_scaled(struct disruptions *all, enum scale_of of, struct object *child)
{
    return controller_object_of(all->scaled[of], scaled_kinds[of].kind, child);
}

static bool find_scale(struct pass *pass, struct disruptions *all, struct object *pod,
                       struct found_scale *ret_scale)
{
    struct object *found = NULL;
    for (int of = 0; of < SCALE_DEPLOYMENT && found == NULL; of++) {
        found = find_scaled(all, (enum scale_of)of, pod);
    }
    struct object *above = found != NULL ? find_scaled(all, SCALE_DEPLOYMENT, found) : NULL;
    found = above != NULL ? above : found;
    if (found == NULL) {
        return false;
    }
    ret_scale->uid = found->uid;
    ret_scale->replicas = val_int(val_path(object_decode(found, pass->arena), "spec.replicas"), 1);
    return true;
}

/* The sum of the scales of all controllers of the pods; -1 when one is not known. */
static int64_t expected_scale(struct pass *pass, struct counting *work)
{
    struct found_scale *seen = arena_array(pass->arena, struct found_scale, work->pods.count + 1);
    size_t seen_count = 0;
    int64_t sum = 0;
    bool unmanaged = false;
    for (size_t i = 0; i < work->pods.count; i++) {
        struct object *pod = work->pods.items[i];
        struct found_scale scale;
        struct owner owner;
        if (!controller_of(pass->arena, pod, &owner)) {
            unmanaged = true;
            continue;
        }
        if (!find_scale(pass, work->all, pod, &scale)) {
            work->failure = arena_printf(pass->arena, "found no controllers for pod \"%.*s\"",
                                         STR_ARG(pod->name));
            recorder_event(work->all->recorder, work->object, "Warning", "NoControllers", "%s",
                           work->failure);
            return -1;
        }
        size_t at = 0;
        while (at < seen_count && !str_eq(seen[at].uid, scale.uid)) {
            at++;
        }
        if (at == seen_count) {
            seen[seen_count++] = scale;
            sum += scale.replicas;
        }
    }
    if (unmanaged) {
        recorder_event(work->all->recorder, work->object, "Warning", "UnmanagedPods",
                       "Some pods of this budget have no controller: how many there should be "
                       "cannot be told from a share or from maxUnavailable.");
    }
    return sum;
}

static void count_expected(struct pass *pass, struct counting *work)
{
    const struct val *spec = val_get(work->budget, "spec");
    const struct val *missing = val_get(spec, "maxUnavailable");
    const struct val *staying = val_get(spec, "minAvailable");
    if (!val_absent(missing)) {
        work->expected = expected_scale(pass, work);
        work->desired = work->expected - pods_scaled(missing, work->expected, true, 0);
    } else if (val_is(staying, VAL_STRING)) {
        work->expected = expected_scale(pass, work);
        work->desired = pods_scaled(staying, work->expected, true, 0);
    } else {
        work->expected = (int64_t)work->pods.count;
        work->desired = val_int(staying, 0);
    }
    work->desired = work->desired < 0 ? 0 : work->desired;
}

/* ---- how many there are ---- */

static void keep_disrupted(struct pass *pass, struct counting *work)
{
    work->disrupted = val_new(pass->arena, VAL_OBJECT);
    VAL_EACH (it, val_path(work->budget, "status.disruptedPods")) {
        struct object *pod = informer_get(work->all->pods, pass->ns, it->key);
        int64_t since;
        if (pod == NULL || pod->deleting || !time_parse(it->text, &since)) {
            continue;
        }
        int64_t left = since + DELETION_WAIT_NS - pass->now;
        if (left <= 0) {
            recorder_event(work->all->recorder, pod, "Warning", "NotDeleted",
                           "Pod was expected by PDB %.*s to be deleted but it wasn't",
                           STR_ARG(pass->key));
            continue;
        }
        pass_after(pass, left);
        val_set_text(pass->arena, work->disrupted, it->key, it->text);
    }
}

static void count_healthy(struct counting *work)
{
    for (size_t i = 0; i < work->pods.count; i++) {
        struct pod_brief pod;
        struct object *object = work->pods.items[i];
        if (object->deleting || val_get_str(work->disrupted, object->name) != NULL) {
            continue;
        }
        pod_cache_get(work->all->briefs, object, &pod);
        work->healthy += pod.ready;
    }
}

/* ---- status ---- */

static void set_condition(struct pass *pass, struct counting *work, struct val *status,
                          int64_t allowed)
{
    struct arena *arena = pass->arena;
    const char *state = allowed > 0 ? "True" : "False";
    const char *reason = work->failure != NULL ? "SyncFailed"
                         : allowed > 0         ? "SufficientPods"
                                               : "InsufficientPods";
    struct val *condition = condition_find(status, STR("DisruptionAllowed"));
    if (condition == NULL) {
        condition = val_append(val_make_array(arena, status, STR("conditions")),
                               val_new(arena, VAL_OBJECT));
        val_set_text(arena, condition, STR("type"), STR("DisruptionAllowed"));
    }
    if (!str_is(val_text(val_get(condition, "status")), state)) {
        char now[TIME_TEXT_SIZE];
        time_format(pass->now, now);
        val_set_text(arena, condition, STR("status"), str_of(state));
        val_set_text(arena, condition, STR("lastTransitionTime"),
                     str_of(str_dup_in(arena, str_of(now))));
    }
    val_set_int(arena, condition, STR("observedGeneration"),
                val_int(val_path(work->budget, "metadata.generation"), 0));
    val_set_text(arena, condition, STR("reason"), str_of(reason));
    val_set_text(arena, condition, STR("message"),
                 str_of(work->failure != NULL ? work->failure : ""));
}

static void write_status(struct pass *pass, struct counting *work)
{
    struct arena *arena = pass->arena;
    struct val *old = val_copy(arena, val_get(work->budget, "status"));
    struct val *status = val_make_object(arena, work->budget, STR("status"));
    int64_t allowed = work->healthy - work->desired;
    if (work->failure != NULL || work->expected <= 0 || allowed < 0) {
        allowed = 0;
    }
    if (work->failure == NULL) {
        val_set_int(arena, status, STR("observedGeneration"),
                    val_int(val_path(work->budget, "metadata.generation"), 0));
        val_set_int(arena, status, STR("currentHealthy"), work->healthy);
        val_set_int(arena, status, STR("desiredHealthy"), work->desired);
        val_set_int(arena, status, STR("expectedPods"), work->expected);
        if (work->disrupted->count > 0) {
            val_set(status, STR("disruptedPods"), work->disrupted);
        } else {
            val_unset(status, STR("disruptedPods"));
        }
    }
    val_set_int(arena, status, STR("disruptionsAllowed"), allowed);
    set_condition(pass, work, status, allowed);
    if (old == NULL || !semantic_equal(old, status)) {
        pass_update(pass, work->all->resource, "status", work->budget, NULL, NULL);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct disruptions *all = ctx;
    struct object *object = informer_get(all->budgets, pass->ns, pass->name);
    if (object == NULL) {
        return;
    }
    struct counting *work = arena_new(pass->arena, struct counting);
    *work = (struct counting){.all = all, .object = pass_hold(pass, object)};
    work->budget = object_decode(object, pass->arena);
    find_pods(pass, work);
    pass_cost(pass, work->pods.count);
    if (work->pods.count == 0) {
        recorder_event(all->recorder, object, "Normal", "NoPods", "No matching pods found");
    }
    count_expected(pass, work);
    keep_disrupted(pass, work);
    count_healthy(work);
    write_status(pass, work);
    if (work->failure != NULL) {
        recorder_event(all->recorder, object, "Warning", "CalculateExpectedPodCountFailed",
                       "Failed to calculate the number of expected pods: %s", work->failure);
        pass_retry(pass);
    }
}

/* ---- pods that were to go and stayed ---- */

static void reconcile_stale(void *ctx, struct pass *pass)
{
    struct disruptions *all = ctx;
    struct object *pod = informer_get(all->pods, pass->ns, pass->name);
    if (pod == NULL || pod->deleting) {
        return;
    }
    const struct val *status = val_get(object_decode(pod, pass->arena), "status");
    const struct val *condition = condition_find(status, STR("DisruptionTarget"));
    struct str reason = val_text(val_get(condition, "reason"));
    struct str phase = val_text(val_get(status, "phase"));
    int64_t since;
    if (!str_is(val_text(val_get(condition, "status")), "True") || str_is(phase, "Failed") ||
        str_is(phase, "Succeeded") || str_is(reason, "TerminationByKubelet") ||
        !time_parse(val_text(val_get(condition, "lastTransitionTime")), &since)) {
        return;
    }
    int64_t left = since + STALE_CONDITION_NS - pass->now;
    if (left > 0) {
        pass_after(pass, left);
        return;
    }
    pass_patch(pass, pass_hold(pass, pod), CLIENT_PATCH_STRATEGIC, "status",
               pod_condition_patch(pass, pod, NULL, "DisruptionTarget", "False", "", ""), NULL,
               NULL);
}

/* ---- events ---- */

static void on_budget(void *ctx, struct object *old, struct object *now)
{
    struct disruptions *all = ctx;
    worker_add(all->worker, now != NULL ? now : old);
}

struct waking {
    struct disruptions *all;
    const struct object *pod;
};

static bool wake_matching(void *ctx, struct object *budget)
{
    struct waking *waking = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct selector selector;
    const struct val *value = val_path(object_decode(budget, &arena), "spec.selector");
    if (selector_from_val(&arena, value, &selector, NULL) == 0 &&
        selector_matches(&selector, waking->pod)) {
        worker_add(waking->all->worker, budget);
    }
    return true;
}

static void wake_budgets(struct disruptions *all, const struct object *pod)
{
    if (pod != NULL && informer_count(all->budgets) > 0) {
        informer_each(all->budgets, pod->ns, NULL, wake_matching, &(struct waking){all, pod});
    }
}

static bool mentions_disruption(const struct object *pod)
{
    return memmem(pod->json, pod->n, "\"DisruptionTarget\"", 18) != NULL;
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct disruptions *all = ctx;
    wake_budgets(all, old);
    wake_budgets(all, now);
    if (now != NULL && !now->deleting && mentions_disruption(now)) {
        worker_add(all->stale, now);
    }
}

/* A scale that changed changes what is expected. */
static bool wake_each(void *ctx, struct object *budget)
{
    struct disruptions *all = ctx;
    worker_add(all->worker, budget);
    return true;
}

static void on_scaled(void *ctx, struct object *old, struct object *now)
{
    struct disruptions *all = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (informer_count(all->budgets) == 0) {
        return;
    }
    if (old != NULL && now != NULL &&
        val_int(val_path(object_decode(old, &arena), "spec.replicas"), 1) ==
            val_int(val_path(object_decode(now, &arena), "spec.replicas"), 1)) {
        return;
    }
    informer_each(all->budgets, (now != NULL ? now : old)->ns, NULL, wake_each, all);
}

static void *start(struct controller_env *env)
{
    struct disruptions *all = mem_new(struct disruptions);
    all->resource = controller_resource("policy", "v1", "poddisruptionbudgets");
    all->budgets = informers_get(env->informers, all->resource);
    all->pods = informers_get(env->informers, controller_resource("", "v1", "pods"));
    all->briefs = pod_cache_new(all->pods);
    all->recorder = recorder_new(env->client, "controllermanager", "");
    all->worker = worker_new(env, "disruption-controller", PARALLEL, reconcile, all);
    all->stale = worker_new(env, "stale-disruption", PARALLEL, reconcile_stale, all);
    for (int i = 0; i < SCALE_COUNT; i++) {
        const struct scaled *kind = &scaled_kinds[i];
        all->scaled[i] =
            informers_get(env->informers, controller_resource(kind->group, "v1", kind->plural));
        informer_handle(all->scaled[i], (struct informer_handler){on_scaled, all});
    }
    informer_handle(all->budgets, (struct informer_handler){on_budget, all});
    informer_handle(all->pods, (struct informer_handler){on_pod, all});
    return all;
}

static void stop(void *state)
{
    struct disruptions *all = state;
    informer_unhandle(all->budgets, all);
    informer_unhandle(all->pods, all);
    for (int i = 0; i < SCALE_COUNT; i++) {
        informer_unhandle(all->scaled[i], all);
    }
    worker_free(all->worker);
    worker_free(all->stale);
    recorder_free(all->recorder);
    pod_cache_free(all->briefs);
    free(all);
}

const struct controller controller_disruption = {
    .name = "disruption-controller", .start = start, .stop = stop};
