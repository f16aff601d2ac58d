/* scheduler.c: the loop: takes the next pod, decides, assumes the decision at once (so that the
 * next pod sees it), and has it written. A write that fails gives the room back and the pod waits
 * out its back-off.
 *
 * Invariants: a pod that is being bound holds its room; room is given back only when the pod is
 * known to be gone, finished or refused. A pod waits in the queue exactly while its state is
 * ENTRY_WAITING.
 */
#include "scheduler/scheduler_int.h"

#include "base/log.h"
#include "base/metrics.h"

enum { PODS_A_TURN = 64 };

METRIC(metric_scheduled, METRIC_KIND_COUNTER, "scheduler_schedule_attempts_total",
       "profile=\"default-scheduler\",result=\"scheduled\"",
       "Attempts to schedule pods by result.");
METRIC(metric_stuck, METRIC_KIND_COUNTER, "scheduler_schedule_attempts_total",
       "profile=\"default-scheduler\",result=\"unschedulable\"",
       "Attempts to schedule pods by result.");
METRIC(metric_victims, METRIC_KIND_COUNTER, "scheduler_preemption_victims", NULL,
       "Pods removed to make room.");
METRIC(metric_pending, METRIC_KIND_GAUGE, "scheduler_pending_pods", NULL,
       "Pods that wait for a node.");

/* Pods nominated to the node that come after this one look for another node. */
static void drop_lesser_claims(struct scheduler *scheduler, const struct pod *pod, int number)
{
    struct node *node = scheduler->cluster->nodes[number];
    for (size_t i = node->nominated.count; i > 0; i--) {
        struct pod *other = node->nominated.items[i - 1];
        if (other != pod && other->shape->priority < pod->shape->priority) {
            cluster_nominate(scheduler->cluster, other, -1);
        }
    }
}

/* A lower pod on the nominated node is on its way out: wait for it. */
static bool room_is_coming(const struct scheduler *scheduler, const struct pod *pod)
{
    if (pod->nominated < 0) {
        return false;
    }
    VEC_EACH (it, &scheduler->cluster->nodes[pod->nominated]->pods) {
        if ((*it)->terminating && (*it)->shape->priority < pod->shape->priority) {
            return true;
        }
    }
    return false;
}

static const char *no_victims(struct cycle *cycle, size_t hopeless)
{
    size_t all = cycle->cluster->node_count, others = all - hopeless;
    const char *none = "No preemption victims found for incoming pod";
    const char *useless = "Preemption is not helpful for scheduling";
    char *a = arena_printf(cycle->arena, "%zu %s", others, none);
    char *b = arena_printf(cycle->arena, "%zu %s", hopeless, useless);
    if (others == 0 || hopeless == 0) {
        return arena_printf(cycle->arena, " preemption: 0/%zu nodes are available: %s.", all,
                            others == 0 ? b : a);
    }
    bool ordered = strcmp(a, b) < 0;
    return arena_printf(cycle->arena, " preemption: 0/%zu nodes are available: %s, %s.", all,
                        ordered ? a : b, ordered ? b : a);
}

/* Returns what to add to the message. */
static const char *make_room(struct scheduler *scheduler, struct entry *entry, struct cycle *cycle,
                             size_t hopeless)
{
    struct pod *pod = entry->pod;
    if (cycle->refusal != NULL) {
        return "";
    }
    if (pod->shape->never_preempts) {
        return " preemption: not eligible due to preemptionPolicy=Never.";
    }
    if (room_is_coming(scheduler, pod)) {
        return " preemption: not eligible due to a terminating pod on the nominated node.";
    }
    struct preemption found;
    preempt_find(cycle, loop_random(scheduler->loop), &found);
    if (found.node < 0) {
        return scheduler->cluster->node_count > 0 ? no_victims(cycle, hopeless) : "";
    }
    drop_lesser_claims(scheduler, pod, found.node);
    cluster_nominate(scheduler->cluster, pod, found.node);
    VEC_EACH (it, &found.victims) {
        metric_add(&metric_victims, 1);
        scheduler_evict(scheduler, entry, *it);
    }
    vec_done(&found.victims);
    return "";
}

/* Looking at all nodes for the reasons costs more than the decision; pods that ask the same of a
 * node's own state get the same answer until something changes. */
static const char *explain(struct scheduler *scheduler, struct cycle *cycle,
                           const char **ret_nearest, size_t *ret_hopeless)
{
    const struct cluster *cluster = scheduler->cluster;
    bool shared = !cycle->global && cycle->refusal == NULL && cycle->pod->nominated < 0;
    uint64_t local = cycle->shape->local->id;
    for (int i = 0; i < EXPLANATIONS && shared; i++) {
        const struct explanation *it = &scheduler->explanations[i];
        if (it->local == local && it->layout == cluster->layout &&
            it->changes == cluster->changes) {
            *ret_nearest = it->nearest;
            *ret_hopeless = it->hopeless;
            cycle->events = it->events;
            return it->message;
        }
    }
    const char *message = cycle_explain(cycle, ret_nearest, ret_hopeless);
    if (shared) {
        struct explanation *it =
            &scheduler->explanations[scheduler->next_explanation++ % EXPLANATIONS];
        free(it->message);
        free(it->nearest);
        *it = (struct explanation){local,
                                   cluster->layout,
                                   cluster->changes,
                                   mem_dupz(message),
                                   mem_dupz(*ret_nearest),
                                   *ret_hopeless,
                                   cycle->events};
    }
    return message;
}

static void fail(struct scheduler *scheduler, struct entry *entry, struct cycle *cycle)
{
    const char *nearest = NULL;
    size_t hopeless = 0;
    metric_add(&metric_stuck, 1);
    const char *message = explain(scheduler, cycle, &nearest, &hopeless);
    unsigned events = cycle->events | EVENT_NODE;
    const char *more = make_room(scheduler, entry, cycle, hopeless);
    if (entry->pod->nominated >= 0) {
        events |= EVENT_POD_GONE;
    }
    pending_fail(&scheduler->queue, &entry->pending, events);
    scheduler_say_no(scheduler, entry, arena_printf(&scheduler->arena, "%s%s", message, more),
                     nearest);
}

static int choose(struct scheduler *scheduler, struct cycle *cycle)
{
    const struct pod *pod = cycle->pod;
    struct random *random = loop_random(scheduler->loop);
    if (pod->nominated >= 0) {
        const struct node *node = scheduler->cluster->nodes[pod->nominated];
        return cycle_passes(cycle, node) ? pod->nominated : cycle_choose(cycle, random, NULL);
    }
    return rankings_choose(scheduler->rankings, cycle, random);
}

static void schedule(struct scheduler *scheduler, struct entry *entry)
{
    struct cycle cycle;
    arena_reset(&scheduler->arena);
    bool possible = cycle_prepare(&cycle, scheduler->cluster, entry->pod, &scheduler->arena);
    int node = possible ? choose(scheduler, &cycle) : -1;
    if (node < 0) {
        fail(scheduler, entry, &cycle);
        return;
    }
    metric_add(&metric_scheduled, 1);
    cluster_nominate(scheduler->cluster, entry->pod, -1);
    cluster_place(scheduler->cluster, entry->pod, node);
    entry->state = ENTRY_BINDING;
    if (volumes_claim_count(entry->pod->shape) == 0 ||
        !scheduler_choose_volumes(scheduler, entry)) {
        scheduler_bind(scheduler, entry);
    }
}

static void turn(struct task *task)
{
    struct scheduler *scheduler = container_of(task, struct scheduler, turn);
    scheduler->turning = false;
    if (scheduler->stopped) {
        if (scheduler->in_flight == 0) {
            scheduler_free(scheduler);
        }
        return;
    }
    for (int i = 0; i < PODS_A_TURN; i++) {
        struct pending *pending = pending_pop(&scheduler->queue);
        if (pending == NULL) {
            break;
        }
        schedule(scheduler, container_of(pending, struct entry, pending));
    }
    metric_set(&metric_pending, (int64_t)pending_count(&scheduler->queue));
    if (scheduler->queue.ready.count > 0) {
        scheduler_wake(scheduler);
    }
}

void scheduler_wake(struct scheduler *scheduler)
{
    if (!scheduler->turning && (scheduler->synced || scheduler->stopped)) {
        scheduler->turning = true;
        loop_post(scheduler->loop, &scheduler->turn);
    }
}

static void on_ready(void *ctx)
{
    scheduler_wake(ctx);
}

static void on_synced(void *ctx)
{
    struct scheduler *scheduler = ctx;
    scheduler->synced = true;
    LOG_INFO("scheduler", "synced", LOG_I("nodes", scheduler->cluster->node_count),
             LOG_I("pods", scheduler->entries.count));
    scheduler_wake(scheduler);
}

struct scheduler *scheduler_start(struct loop *loop, struct informers *informers, const char *name)
{
    struct scheduler *scheduler = mem_new(struct scheduler);
    scheduler->loop = loop;
    scheduler->informers = informers;
    scheduler->client = informers_client(informers);
    scheduler->name = name;
    scheduler->cluster = cluster_new();
    scheduler->rankings = rankings_new();
    scheduler->recorder = recorder_new(scheduler->client, name, "");
    list_init(&scheduler->turn.link);
    list_init(&scheduler->volume_waiters);
    scheduler->turn.run = turn;
    pending_init(&scheduler->queue, loop, on_ready, scheduler);
    scheduler_watch(scheduler);
    informers_on_synced(informers, on_synced, scheduler);
    return scheduler;
}

/* The informers (and with them the handlers) are freed by their owner before the loop runs again.
 */
void scheduler_stop(struct scheduler *scheduler)
{
    if (scheduler == NULL) {
        return;
    }
    recorder_free(scheduler->recorder);
    scheduler->recorder = NULL;
    timer_stop(&scheduler->volume_timer);
    scheduler->stopped = true;
    if (scheduler->in_flight == 0 && !scheduler->turning) {
        scheduler_free(scheduler);
    }
}

void scheduler_free(struct scheduler *scheduler)
{
    MAP_EACH (it, &scheduler->entries) {
        scheduler_entry_free(scheduler, it->value);
    }
    map_done(&scheduler->entries);
    pending_done(&scheduler->queue);
    for (int i = 0; i < EXPLANATIONS; i++) {
        free(scheduler->explanations[i].message);
        free(scheduler->explanations[i].nearest);
    }
    rankings_free(scheduler->rankings);
    cluster_free(scheduler->cluster);
    arena_done(&scheduler->arena);
    free(scheduler);
}

size_t scheduler_pending(const struct scheduler *scheduler)
{
    return pending_count(&scheduler->queue);
}
