/* taint_toleration.c: TaintToleration: NoSchedule and NoExecute taints keep a pod away that
 * does not tolerate them; each untolerated PreferNoSchedule taint makes a node less welcome. */
#include "scheduler/plugins/plugins.h"

static int prepare(struct cycle *cycle, void **state)
{
    /* Normalised over nodes that passed: only without such taints is it the same for all. */
    return PLUGIN_FILTERS |
           (cycle->cluster->preferring_taints > 0 ? PLUGIN_SCORES | PLUGIN_RELATIVE : 0);
}

const struct taint *node_keeps_away(const struct shape *shape, const struct node *node)
{
    for (uint32_t i = 0; i < node->taint_count; i++) {
        const struct taint *taint = &node->taints[i];
        if ((taint->effect == TAINT_NO_SCHEDULE || taint->effect == TAINT_NO_EXECUTE) &&
            !taint_tolerated(shape, taint)) {
            return taint;
        }
    }
    return NULL;
}

static bool filter(const struct cycle *cycle, void *state, const struct node *node)
{
    return node->taint_count == 0 || node_keeps_away(cycle->shape, node) == NULL;
}

static void explain(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons)
{
    reason_add(reasons, true, "node(s) had untolerated taint(s)");
}

static int64_t score(const struct cycle *cycle, void *state, const struct node *node)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < node->taint_count; i++) {
        count += node->taints[i].effect == TAINT_PREFER_NO_SCHEDULE &&
                 !taint_tolerated(cycle->shape, &node->taints[i]);
    }
    return count;
}

static void normalize(const struct cycle *cycle, void *state, const struct node *const *nodes,
                      int64_t *scores, size_t count)
{
    scores_normalize(scores, count, true);
}

const struct plugin plugin_taint_toleration = {
    .name = "TaintToleration",
    .weight = 3,
    .events = EVENT_NODE,
    .prepare = prepare,
    .change = "let the pod tolerate the node's taint, or take the taint away",
    .filter = filter,
    .explain = explain,
    .score = score,
    .normalize = normalize};
