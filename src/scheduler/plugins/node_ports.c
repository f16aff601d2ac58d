/* node_ports.c: NodePorts: a host port is taken once a protocol and address; 0.0.0.0 is all
 * addresses. */
#include "scheduler/plugins/plugins.h"

static int prepare(struct cycle *cycle, void **state)
{
    return cycle->shape->port_count > 0 ? PLUGIN_FILTERS : PLUGIN_NOTHING;
}

static bool any_address(struct str ip)
{
    return str_is(ip, "0.0.0.0");
}

static bool clash(const struct host_port *a, const struct host_port *b)
{
    return a->port == b->port && a->protocol == b->protocol &&
           (any_address(a->ip) || any_address(b->ip) || str_eq(a->ip, b->ip));
}

static bool clashes(const struct shape *shape, const struct host_port *ports, size_t count)
{
    for (uint32_t i = 0; i < shape->port_count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (clash(&shape->ports[i], &ports[j])) {
                return true;
            }
        }
    }
    return false;
}

static bool filter(const struct cycle *cycle, void *state, const struct node *node)
{
    if (clashes(cycle->shape, node->ports.items, node->ports.count)) {
        return false;
    }
    VEC_EACH (it, &node->nominated) {
        const struct shape *other = (*it)->shape;
        if (cycle_counts(cycle, *it) && clashes(cycle->shape, other->ports, other->port_count)) {
            return false;
        }
    }
    return true;
}

static void explain(const struct cycle *cycle, void *state, const struct node *node,
                    struct reasons *reasons)
{
    reason_add(reasons, false, "node(s) didn't have free ports for the requested pod ports");
}

const struct plugin plugin_node_ports = {.name = "NodePorts",
                                         .events = EVENT_NODE | EVENT_POD_GONE,
                                         .prepare = prepare,
                                         .change = "free the host port on the node",
                                         .filter = filter,
                                         .explain = explain};
