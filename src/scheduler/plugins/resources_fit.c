/* resources_fit.c: NodeResourcesFit: what the pod requests must be free; LeastAllocated: the
 * emptier a node will be in cpu and memory, the better (containers that request nothing count as
 * 100m and 200 MiB there). */
#include "api/quantity.h"
#include "scheduler/plugins/plugins.h"

static int prepare(struct cycle *cycle, void **state)
{
    return PLUGIN_FILTERS | PLUGIN_SCORES;
}

/* What pods that were promised the node will take, beside what is taken. */
static struct room room_of(const struct cycle *cycle, const struct node *node)
{
    struct room room = cycle->cluster->rooms[node->number];
    if (room.nominated > 0) {
        VEC_EACH (it, &node->nominated) {
            if (cycle_counts(cycle, *it)) {
                room.cpu_used += (*it)->shape->cpu;
                room.memory_used += (*it)->shape->memory;
                room.pods_used++;
            }
        }
    }
    return room;
}

static int64_t promised(const struct cycle *cycle, const struct node *node, int column)
{
    int64_t sum = 0;
    VEC_EACH (it, &node->nominated) {
        for (uint32_t i = 0; cycle_counts(cycle, *it) && i < (*it)->shape->amount_count; i++) {
            const struct amount *amount = &(*it)->shape->amounts[i];
            sum += amount->column == column ? amount->value : 0;
        }
    }
    return sum;
}

static int64_t lack_of(const struct cycle *cycle, const struct node *node,
                       const struct amount *amount)
{
    int64_t free_ = node_amount(node, amount->column) - node_amount_used(node, amount->column);
    return amount->value - free_ + promised(cycle, node, amount->column);
}

static bool filter(const struct cycle *cycle, void *state, const struct node *node)
{
    const struct shape *shape = cycle->shape;
    struct room room = room_of(cycle, node);
    if (room.pods_used >= room.pods || (shape->cpu > 0 && shape->cpu > room.cpu - room.cpu_used) ||
        (shape->memory > 0 && shape->memory > room.memory - room.memory_used)) {
        return false;
    }
    for (uint32_t i = 0; i < shape->amount_count; i++) {
        if (lack_of(cycle, node, &shape->amounts[i]) > 0) {
            return false;
        }
    }
    return true;
}

/* ---- why not ---- */

struct miss {
    double share; /* of what the node has */
    char lack[64];
    struct str what;
};

static void note_miss(struct miss *miss, int64_t lack, int64_t has, struct str what, bool milli)
{
    double share = has > 0 ? (double)lack / (double)has : 1e9;
    if (share > miss->share) {
        miss->share = share;
        miss->what = what;
        quantity_format(milli ? quantity_of_milli(lack)
                              : quantity_of_value(lack, str_is(what, "memory") ||
                                                            str_is(what, "ephemeral-storage")),
                        miss->lack);
    }
}

static void explain(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons)
{
    const struct shape *shape = cycle->shape;
    struct room room = room_of(cycle, node);
    struct miss miss = {.share = -1};
    if (room.pods_used >= room.pods) {
        reason_add(reasons, room.pods == 0, "Too many pods");
        note_miss(&miss, 1, room.pods, STR("pod slot"), false);
    }
    if (shape->cpu > 0 && shape->cpu > room.cpu - room.cpu_used) {
        reason_add(reasons, shape->cpu > room.cpu, "Insufficient cpu");
        note_miss(&miss, shape->cpu - room.cpu + room.cpu_used, room.cpu, STR("cpu"), true);
    }
    if (shape->memory > 0 && shape->memory > room.memory - room.memory_used) {
        reason_add(reasons, shape->memory > room.memory, "Insufficient memory");
        note_miss(&miss, shape->memory - room.memory + room.memory_used, room.memory, STR("memory"),
                  false);
    }
    for (uint32_t i = 0; i < shape->amount_count; i++) {
        const struct amount *amount = &shape->amounts[i];
        int64_t lack = lack_of(cycle, node, amount);
        if (lack > 0) {
            int64_t has = node_amount(node, amount->column);
            reason_add(reasons, amount->value > has, "Insufficient %.*s", STR_ARG(amount->name));
            note_miss(&miss, lack, has, amount->name, false);
        }
    }
    if (miss.share >= 0 && (reasons->nearest_lack < 0 || miss.share < reasons->nearest_lack)) {
        reasons->nearest_lack = miss.share;
        reasons->nearest = arena_printf(reasons->arena, "node %.*s lacks %s %.*s",
                                        STR_ARG(node->name), miss.lack, STR_ARG(miss.what));
    }
}

/* ---- LeastAllocated ---- */

static int64_t share_left(int64_t has, int64_t used)
{
    return used > has ? 0 : (has - used) * SCORE_MAX / has;
}

static int64_t score(const struct cycle *cycle, void *state, const struct node *node)
{
    const struct room *room = &cycle->cluster->rooms[node->number];
    const struct shape *shape = cycle->shape;
    int64_t sum = 0, weights = 0;
    if (room->cpu > 0) {
        sum += share_left(room->cpu, room->nonzero_cpu + shape->nonzero_cpu);
        weights++;
    }
    if (room->memory > 0) {
        sum += share_left(room->memory, room->nonzero_memory + shape->nonzero_memory);
        weights++;
    }
    return weights > 0 ? sum / weights : 0;
}

const struct plugin plugin_resources_fit = {.name = "NodeResourcesFit",
                                            .weight = 1,
                                            .events = EVENT_NODE | EVENT_POD_GONE,
                                            .prepare = prepare,
                                            .filter = filter,
                                            .explain = explain,
                                            .score = score};
