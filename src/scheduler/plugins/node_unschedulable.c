/* node_unschedulable.c: NodeUnschedulable: cordoned nodes take only pods that tolerate the
 * taint node.kubernetes.io/unschedulable:NoSchedule. */
#include "scheduler/plugins/plugins.h"

static int prepare(struct cycle *cycle, void **state)
{
    static const struct taint cordon = {.key = {"node.kubernetes.io/unschedulable", 32},
                                        .effect = TAINT_NO_SCHEDULE};
    return taint_tolerated(cycle->shape, &cordon) ? PLUGIN_NOTHING : PLUGIN_FILTERS;
}

static bool filter(const struct cycle *cycle, void *state, const struct node *node)
{
    return !node->unschedulable;
}

static void explain(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons)
{
    reason_add(reasons, true, "node(s) were unschedulable");
}

const struct plugin plugin_node_unschedulable = {
    .name = "NodeUnschedulable",
    .events = EVENT_NODE,
    .prepare = prepare,
    .change = "make the node schedulable again (kubectl uncordon)",
    .filter = filter,
    .explain = explain};
