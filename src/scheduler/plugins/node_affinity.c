/* node_affinity.c: NodeAffinity: nodeSelector and required node affinity must match (one
 * term of the latter); preferred terms add their weights. */
#include "scheduler/plugins/plugins.h"

static int prepare(struct cycle *cycle, void **state)
{
    const struct shape *shape = cycle->shape;
    int does = shape->node_selector.count > 0 || shape->has_node_terms ? PLUGIN_FILTERS : 0;
    return does | (shape->preferred_node_count > 0 ? PLUGIN_SCORES | PLUGIN_RELATIVE : 0);
}

bool node_affinity_matches(const struct shape *shape, const struct node *node)
{
    if (!requirements_match(&shape->node_selector, &node->labels, node->name)) {
        return false;
    }
    for (uint32_t i = 0; i < shape->node_term_count; i++) {
        if (requirements_match(&shape->node_terms[i].match, &node->labels, node->name)) {
            return true;
        }
    }
    return !shape->has_node_terms;
}

static bool filter(const struct cycle *cycle, void *state, const struct node *node)
{
    return node_affinity_matches(cycle->shape, node);
}

static void explain(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons)
{
    reason_add(reasons, true, "node(s) didn't match Pod's node affinity/selector");
}

static int64_t score(const struct cycle *cycle, void *state, const struct node *node)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < cycle->shape->preferred_node_count; i++) {
        const struct node_term *term = &cycle->shape->preferred_nodes[i];
        if (requirements_match(&term->match, &node->labels, node->name)) {
            sum += term->weight;
        }
    }
    return sum;
}

static void normalize(const struct cycle *cycle, void *state, const struct node *const *nodes,
                      int64_t *scores, size_t count)
{
    scores_normalize(scores, count, false);
}

const struct plugin plugin_node_affinity = {
    .name = "NodeAffinity",
    .weight = 2,
    .events = EVENT_NODE,
    .prepare = prepare,
    .change = "give the node the labels that the pod asks for, or ask for less",
    .filter = filter,
    .explain = explain,
    .score = score,
    .normalize = normalize};
