/* preempt.c: DefaultPreemption. On a node, all pods of lower priority are taken off; if the pod
 * fits then, as many of them as possible are put back, the more important ones first; the others
 * are the victims. Among nodes: the lowest highest priority of a victim, then the smallest sum of
 * priorities, then the fewest victims, then the victims that started last.
 *
 * As upstream, not all nodes are tried: a tenth of them, at least 100, from a random one on.
 * PodDisruptionBudgets are not looked at yet.
 */
#include "scheduler/preempt.h"

struct candidate {
    int node;
    struct pod_list victims;
    int32_t highest;
    int64_t sum;
    int64_t started; /* earliest start among the victims of the highest priority */
};

static int by_importance(const void *a, const void *b)
{
    const struct pod *left = *(struct pod *const *)a, *right = *(struct pod *const *)b;
    if (left->shape->priority != right->shape->priority) {
        return left->shape->priority > right->shape->priority ? -1 : 1;
    }
    return left->started < right->started ? -1 : left->started > right->started;
}

/* Whether the pod fits on the node as the cluster is now. */
static bool fits(const struct cycle *cycle, int number, struct arena *arena)
{
    if (!cycle->global) {
        return cycle_passes(cycle, cycle->cluster->nodes[number]);
    }
    struct cycle again; /* counts of affinity and spreading are other ones now */
    arena_reset(arena);
    return cycle_prepare(&again, cycle->cluster, cycle->pod, arena) &&
           cycle_passes(&again, cycle->cluster->nodes[number]);
}

/* Cheap: whether the room that lower pods hold could be enough at all. */
static bool may_help(const struct cycle *cycle, const struct node *node)
{
    const struct shape *shape = cycle->shape;
    struct room room = cycle->cluster->rooms[node->number];
    size_t lower = 0;
    VEC_EACH (it, &node->pods) {
        if ((*it)->shape->priority < shape->priority) {
            room.cpu_used -= (*it)->shape->cpu;
            room.memory_used -= (*it)->shape->memory;
            room.pods_used--;
            lower++;
        }
    }
    return lower > 0 && room.pods_used < room.pods && shape->cpu <= room.cpu - room.cpu_used &&
           shape->memory <= room.memory - room.memory_used;
}

static void judge(struct candidate *candidate)
{
    candidate->highest = INT32_MIN;
    candidate->sum = 0;
    candidate->started = INT64_MAX;
    VEC_EACH (it, &candidate->victims) {
        int32_t priority = (*it)->shape->priority;
        candidate->highest = priority > candidate->highest ? priority : candidate->highest;
        candidate->sum += (int64_t)priority - INT32_MIN;
    }
    VEC_EACH (it, &candidate->victims) {
        if ((*it)->shape->priority == candidate->highest && (*it)->started < candidate->started) {
            candidate->started = (*it)->started;
        }
    }
}

static bool is_better(const struct candidate *a, const struct candidate *b)
{
    if (a->highest != b->highest) {
        return a->highest < b->highest;
    }
    if (a->sum != b->sum) {
        return a->sum < b->sum;
    }
    if (a->victims.count != b->victims.count) {
        return a->victims.count < b->victims.count;
    }
    return a->started > b->started;
}

/* True: `candidate` is filled (victims may be none when the room is there by now). */
static bool try_node(const struct cycle *cycle, struct node *node, struct arena *arena,
                     struct candidate *candidate)
{
    struct cluster *cluster = cycle->cluster;
    struct pod_list lower = {0};
    VEC_EACH (it, &node->pods) {
        if ((*it)->shape->priority < cycle->shape->priority) {
            *vec_push(&lower) = *it;
        }
    }
    qsort(lower.items, lower.count, sizeof *lower.items, by_importance);
    VEC_EACH (it, &lower) {
        cluster_take_off(cluster, *it);
    }
    bool found = fits(cycle, node->number, arena);
    for (size_t i = 0; found && i < lower.count; i++) {
        cluster_place(cluster, lower.items[i], node->number);
        if (!fits(cycle, node->number, arena)) {
            cluster_take_off(cluster, lower.items[i]);
            *vec_push(&candidate->victims) = lower.items[i];
        }
    }
    VEC_EACH (it, &lower) {
        if ((*it)->node < 0) {
            cluster_place(cluster, *it, node->number);
        }
    }
    vec_done(&lower);
    candidate->node = node->number;
    judge(candidate);
    return found;
}

void preempt_find(struct cycle *cycle, struct random *random, struct preemption *ret_preemption)
{
    struct cluster *cluster = cycle->cluster;
    struct candidate best = {.node = -1};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    size_t most = cluster->node_count / 10 > 100 ? cluster->node_count / 10 : 100;
    size_t from = cluster->node_cap > 0 ? random_below(random, cluster->node_cap) : 0;
    size_t found = 0;
    bool lower = cluster_has_below(cluster, cycle->shape->priority) && cycle->refusal == NULL;
    for (size_t i = 0; lower && i < cluster->node_cap && found < most; i++) {
        struct node *node = cluster->nodes[(from + i) % cluster->node_cap];
        struct candidate one = {0};
        if (node == NULL || !may_help(cycle, node)) {
            continue;
        }
        if (try_node(cycle, node, &arena, &one)) {
            found++;
            if (best.node < 0 || is_better(&one, &best)) {
                vec_done(&best.victims);
                best = one;
                continue;
            }
        }
        vec_done(&one.victims);
    }
    *ret_preemption = (struct preemption){.node = best.node};
    ret_preemption->victims = best.victims;
}
