/* table.c: the table of plugins: the default profile, in its order. */
#include "scheduler/plugins/plugins.h"

const struct plugin *const plugins_table[] = {
    &plugin_unsupported,     &plugin_node_unschedulable, &plugin_taint_toleration,
    &plugin_node_affinity,   &plugin_node_ports,         &plugin_resources_fit,
    &plugin_volume_binding,  &plugin_balanced,           &plugin_image_locality,
    &plugin_topology_spread, &plugin_inter_pod_affinity, NULL,
};
