/* plugins.h: the rows of the table, one file each. */
#pragma once
#include "scheduler/cycle.h"

extern const struct plugin plugin_unsupported, plugin_node_unschedulable, plugin_taint_toleration,
    plugin_node_affinity, plugin_node_ports, plugin_resources_fit, plugin_balanced,
    plugin_image_locality, plugin_topology_spread, plugin_inter_pod_affinity, plugin_volume_binding;

/* Required node affinity and node selector of the shape, also asked by topology_spread. */
bool node_affinity_matches(const struct shape *shape, const struct node *node);
/* A taint that keeps the pod away, or NULL. */
const struct taint *node_keeps_away(const struct shape *shape, const struct node *node);
