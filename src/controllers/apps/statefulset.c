/* The StatefulSet controller: pods with names, claims and an order.
 *
 * A pass claims pods and revisions, finds the revision of the present template (making it when it
 * is new), and then does the next step: OrderedReady does one thing and waits for what comes of it,
 * Parallel everything at once. Steps: bring the members 0 .. n-1 to life, lowest first; end the
 * condemned, highest first; replace members of old revisions, highest first, down to the partition.
 * A pod is deleted and the next one of that name is made only after it is gone, so there are never
 * two of one name.
 *
 * Left to others: removing what a deleted set owned (garbage collector).
 */
#include <stdlib.h>

#include "base/mem.h"
#include "client/recorder.h"
#include "controllers/apps/statefulset_int.h"
#include "controllers/table_int.h"

enum { PARALLEL = 5 };

/* ---- status ---- */

static void count_members(struct pass *pass, const struct stateful *set, struct val *status)
{
    int64_t replicas = 0, ready = 0, current = 0, updated = 0, available = 0;
    for (size_t i = 0; i < (size_t)set->replicas + set->condemned_count; i++) {
        const struct member *member = i < (size_t)set->replicas
                                          ? &set->members[i]
                                          : &set->condemned[i - (size_t)set->replicas];
        if (!member->exists) {
            continue;
        }
        bool is_available = member_is_available(pass, set, member);
        bool living = !member->pod.object->deleting;
        replicas++;
        ready += member_is_ready(member);
        available += is_available;
        current += living && str_eq(member->revision, set->current->object->name);
        updated += living && str_eq(member->revision, set->update->object->name);
        if (member_is_ready(member) && !is_available) {
            pass_after(pass,
                       member->pod.ready_since + set->min_ready * NS_PER_S - pass->now + NS_PER_MS);
        }
    }
    struct revision *was = set->current;
    if (!set->on_delete && updated == set->replicas && ready == set->replicas &&
        replicas == set->replicas) {
        current = updated; /* the update is complete */
        was = set->update;
    }
    struct arena *arena = pass->arena;
    val_set_int(arena, status, STR("observedGeneration"),
                val_int(val_path(set->value, "metadata.generation"), 0));
    val_set_int(arena, status, STR("replicas"), replicas);
    val_set_int(arena, status, STR("readyReplicas"), ready);
    val_set_int(arena, status, STR("currentReplicas"), current);
    val_set_int(arena, status, STR("updatedReplicas"), updated);
    val_set_int(arena, status, STR("availableReplicas"), available);
    val_set_text(arena, status, STR("currentRevision"), was->object->name);
    val_set_text(arena, status, STR("updateRevision"), set->update->object->name);
    val_set_int(arena, status, STR("collisionCount"),
                val_int(val_get(status, "collisionCount"), 0));
}

static bool is_same_status(const struct val *a, const struct val *b)
{
    static const char *const numbers[] = {"observedGeneration", "replicas",
                                          "readyReplicas",      "currentReplicas",
                                          "updatedReplicas",    "availableReplicas"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct str key = str_of(numbers[i]);
        if (val_int(val_get_str(a, key), 0) != val_int(val_get_str(b, key), 0)) {
            return false;
        }
    }
    return val_get(a, "collisionCount") != NULL &&
           str_eq(val_text(val_get(a, "currentRevision")),
                  val_text(val_get(b, "currentRevision"))) &&
           str_eq(val_text(val_get(a, "updateRevision")), val_text(val_get(b, "updateRevision")));
}

static bool is_live_revision(void *ctx, const struct revision *revision)
{
    const struct stateful *set = ctx;
    if (revision == set->current || revision == set->update) {
        return true;
    }
    for (size_t i = 0; i < (size_t)set->replicas + set->condemned_count; i++) {
        const struct member *member = i < (size_t)set->replicas
                                          ? &set->members[i]
                                          : &set->condemned[i - (size_t)set->replicas];
        if (member->exists && str_eq(member->revision, revision->object->name)) {
            return true;
        }
    }
    return false;
}

/* The last step: what the informers show now. */
static void finish(struct pass *pass, void *arg)
{
    struct stateful *set = arg;
    struct object *now = informer_get(set->all->sets, pass->ns, pass->name);
    if (now == NULL || !str_eq(now->uid, set->object->uid)) {
        return;
    }
    set->value = object_decode(pass_hold(pass, now), pass->arena);
    stateful_load_spec(set);
    struct objects pods;
    children_of(pass->arena, set->all->pods, now->uid, &pods);
    stateful_load_members(pass, set, &pods);
    struct val *old = val_copy(pass->arena, val_get(set->value, "status"));
    struct val *status = val_make_object(pass->arena, set->value, STR("status"));
    count_members(pass, set, status);
    if (!is_same_status(old, status)) {
        pass_update(pass, set->all->resource, "status", set->value, NULL, NULL);
    }
    revisions_truncate(pass, &set->revisions,
                       val_int(val_path(set->value, "spec.revisionHistoryLimit"), 10),
                       is_live_revision, set);
}

/* ---- revisions ---- */

/* Finds the current and the update revision; false: one was sent to be made, the pass comes again.
 */
static bool find_revisions(struct pass *pass, struct stateful *set)
{
    set->update = revisions_current(
        pass, set->object, set->value, &set->revisions,
        &(struct revision_rule){set->all->revision_resource, "controller.kubernetes.io/hash", 0});
    if (set->update == NULL) {
        return false;
    }
    set->current =
        revisions_find(&set->revisions, val_text(val_path(set->value, "status.currentRevision")));
    set->current = set->current != NULL ? set->current : set->update;
    return true;
}

/* ---- making pods ---- */

struct made {
    struct stateful *set;
    const char *name;
};

static void on_made(struct pass *pass, void *arg, const struct client_result *result)
{
    struct made *made = arg;
    struct str set = made->set->object->name;
    struct recorder *recorder = made->set->all->recorder;
    if (result->code == 0) {
        recorder_event(recorder, made->set->object, "Normal", "SuccessfulCreate",
                       "create Pod %s in StatefulSet %.*s successful", made->name, STR_ARG(set));
    } else if (pass_namespace_ends(result)) {
        return; /* the namespace is going away */
    } else {
        recorder_event(recorder, made->set->object, "Warning", "FailedCreate",
                       "create Pod %s in StatefulSet %.*s failed error: %s", made->name,
                       STR_ARG(set), result->error.message);
        pass_retry(pass);
    }
}

static void make_pods(struct pass *pass, void *arg)
{
    struct stateful *set = arg;
    for (size_t i = 0; i < set->to_make_count; i++) {
        struct member *member = set->to_make[i];
        struct made *made = arena_new(pass->arena, struct made);
        *made = (struct made){set, member_name(pass->arena, set, member->ordinal)};
        pass_create(pass, set->all->pod_resource, pass->ns, member_pod(pass, set, member), on_made,
                    made);
    }
    pass_then(pass, finish, set);
}

/* ---- one step ---- */

static bool is_over(const struct member *member)
{
    return member->pod.phase == POD_FAILED || member->pod.phase == POD_SUCCEEDED;
}

/* True: the pass ends with this member. */
static bool step_member(struct pass *pass, struct stateful *set, struct member *member)
{
    if (!member->exists) {
        if (claims_make(pass, set, member)) {
            set->to_make[set->to_make_count++] = member;
        }
        return !set->parallel;
    }
    if (is_over(member)) {
        if (!member->pod.object->deleting) {
            recorder_event(set->all->recorder, set->object, "Warning", "RecreatingFailedPod",
                           "StatefulSet %.*s is recreating failed Pod %.*s", STR_ARG(pass->key),
                           STR_ARG(member->pod.object->name));
            stateful_delete_pod(pass, set, member);
        }
        return !set->parallel;
    }
    if (member->pod.phase == POD_PENDING && !member->pod.object->deleting) {
        claims_make(pass, set, member);
    }
    if (!set->parallel &&
        (member->pod.object->deleting || !member_is_available(pass, set, member))) {
        return true;
    }
    claims_own(pass, set, member, false);
    return false;
}

/* The lowest member that is not well, or the highest condemned one: what an ordered scale-down need
 * not wait for. */
static const struct member *first_unhealthy(const struct stateful *set)
{
    for (int64_t i = 0; i < set->replicas; i++) {
        const struct member *member = &set->members[i];
        if (!member_is_ready(member) || member->pod.object->deleting) {
            return member;
        }
    }
    for (size_t i = set->condemned_count; i-- > 0;) {
        const struct member *member = &set->condemned[i];
        if (!member_is_ready(member) || member->pod.object->deleting) {
            return member;
        }
    }
    return NULL;
}

static bool step_condemned(struct pass *pass, struct stateful *set, struct member *member)
{
    if (member->pod.object->deleting) {
        return !set->parallel;
    }
    if (!set->parallel && !member_is_available(pass, set, member) &&
        member != first_unhealthy(set)) {
        return true;
    }
    stateful_delete_pod(pass, set, member);
    return !set->parallel;
}

static void step_update(struct pass *pass, struct stateful *set)
{
    int64_t unavailable = 0;
    for (int64_t i = 0; i < set->replicas; i++) {
        unavailable +=
            set->members[i].exists && (set->members[i].pod.object->deleting ||
                                       !member_is_available(pass, set, &set->members[i]));
        unavailable += !set->members[i].exists;
    }
    int64_t room = set->max_unavailable - unavailable;
    for (int64_t i = set->replicas; i-- > set->partition && room > 0;) {
        const struct member *member = &set->members[i];
        if (member->exists && !member->pod.object->deleting &&
            !str_eq(member->revision, set->update->object->name)) {
            stateful_delete_pod(pass, set, member);
            room--;
        }
    }
}

static void step(struct pass *pass, struct stateful *set)
{
    for (int64_t i = 0; i < set->replicas; i++) {
        if (step_member(pass, set, &set->members[i])) {
            return;
        }
    }
    if (set->to_make_count > 0) {
        return; /* in parallel: the rest when these are there */
    }
    for (size_t i = 0; i < set->condemned_count; i++) {
        claims_own(pass, set, &set->condemned[i], true);
    }
    for (size_t i = 0; i < set->condemned_count; i++) {
        if (step_condemned(pass, set, &set->condemned[i])) {
            return;
        }
    }
    if (!set->on_delete) {
        step_update(pass, set);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct statefulsets *all = ctx;
    struct object *object = informer_get(all->sets, pass->ns, pass->name);
    if (object == NULL) {
        return;
    }
    struct stateful *set = arena_new(pass->arena, struct stateful);
    *set = (struct stateful){.all = all, .object = pass_hold(pass, object)};
    set->value = object_decode(object, pass->arena);
    if (selector_from_val(pass->arena, val_path(set->value, "spec.selector"), &set->selector,
                          NULL) != 0) {
        return; /* validation keeps such sets out */
    }
    stateful_load_spec(set);
    struct objects pods;
    children_claim(pass, object, &set->selector, all->pods,
                   &(struct claim_rule){.is_member = stateful_is_member}, &pods);
    revisions_load(pass, object, &set->selector, all->revisions, &set->revisions);
    if (!find_revisions(pass, set)) {
        return;
    }
    stateful_load_members(pass, set, &pods);
    pass_cost(pass, pods.count);
    if (object->deleting) {
        pass_then(pass, finish, set);
        return;
    }
    set->to_make = arena_array(pass->arena, struct member *, (size_t)set->replicas + 1);
    step(pass, set);
    pass_then(pass, make_pods, set);
}

/* ---- events ---- */

static void add_key(void *ctx, struct object *set)
{
    struct statefulsets *all = ctx;
    worker_add(all->worker, set);
}

static void on_set(void *ctx, struct object *old, struct object *now)
{
    add_key(ctx, now != NULL ? now : old);
}

/* Pods and revisions. */
static void on_child(void *ctx, struct object *old, struct object *now)
{
    struct statefulsets *all = ctx;
    children_changed(all->sets, "StatefulSet", old, now, add_key, all);
}

/* A claim that is gone may be what a member waits for. */
static void on_claim(void *ctx, struct object *old, struct object *now)
{
    struct statefulsets *all = ctx;
    if (now == NULL) {
        for_each_selecting(all->sets, old, add_key, all);
    }
}

static void *start(struct controller_env *env)
{
    struct statefulsets *all = mem_new(struct statefulsets);
    all->resource = controller_resource("apps", "v1", "statefulsets");
    all->pod_resource = controller_resource("", "v1", "pods");
    all->revision_resource = controller_resource("apps", "v1", "controllerrevisions");
    all->claim_resource = controller_resource("", "v1", "persistentvolumeclaims");
    all->sets = informers_get(env->informers, all->resource);
    all->pods = informers_get(env->informers, all->pod_resource);
    all->revisions = informers_get(env->informers, all->revision_resource);
    all->claims = informers_get(env->informers, all->claim_resource);
    children_index(all->pods);
    children_index(all->revisions);
    all->briefs = pod_cache_new(all->pods);
    all->recorder = recorder_new(env->client, "statefulset-controller", "");
    all->worker = worker_new(env, "statefulset-controller", PARALLEL, reconcile, all);
    informer_handle(all->sets, (struct informer_handler){on_set, all});
    informer_handle(all->pods, (struct informer_handler){on_child, all});
    informer_handle(all->revisions, (struct informer_handler){on_child, all});
    informer_handle(all->claims, (struct informer_handler){on_claim, all});
    return all;
}

static void stop(void *state)
{
    struct statefulsets *all = state;
    informer_unhandle(all->sets, all);
    informer_unhandle(all->pods, all);
    informer_unhandle(all->revisions, all);
    informer_unhandle(all->claims, all);
    worker_free(all->worker);
    recorder_free(all->recorder);
    pod_cache_free(all->briefs);
    free(all);
}

const struct controller controller_statefulset = {
    .name = "statefulset-controller", .start = start, .stop = stop};
