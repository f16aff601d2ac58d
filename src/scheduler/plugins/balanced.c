/* balanced.c: NodeResourcesBalancedAllocation: nodes whose shares of used cpu and memory are
 * closer to each other with the pod than without it. Pods that request neither have no say. */
#include <math.h>

#include "scheduler/plugins/plugins.h"

static int prepare(struct cycle *cycle, void **state)
{
    return cycle->shape->cpu > 0 || cycle->shape->memory > 0 ? PLUGIN_SCORES : PLUGIN_NOTHING;
}

static double share(int64_t used, int64_t has)
{
    double part = (double)used / (double)has;
    return part > 1 ? 1 : part;
}

/* 100 less the standard deviation of the shares; with two of them that is half their distance. */
static int64_t balance(const struct room *room, int64_t cpu, int64_t memory)
{
    double deviation = 0;
    if (room->cpu > 0 && room->memory > 0) {
        deviation = fabs((share(cpu, room->cpu) - share(memory, room->memory)) / 2);
    }
    return (int64_t)((1 - deviation) * SCORE_MAX);
}

static int64_t score(const struct cycle *cycle, void *state, const struct node *node)
{
    const struct room *room = &cycle->cluster->rooms[node->number];
    int64_t with =
        balance(room, room->cpu_used + cycle->shape->cpu, room->memory_used + cycle->shape->memory);
    int64_t without = balance(room, room->cpu_used, room->memory_used);
    return SCORE_MAX / 2 + (SCORE_MAX / 2 + with - without) / 2;
}

const struct plugin plugin_balanced = {
    .name = "NodeResourcesBalancedAllocation", .weight = 1, .prepare = prepare, .score = score};
