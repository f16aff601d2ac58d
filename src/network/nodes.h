/* nodes.h: other nodes: routes to their pods' ranges, and their addresses, to which pods keep their
 * own. Internal to network/. */
#pragma once
#include "client/informer.h"
#include "network/service_rules.h"

struct nodes;
struct nodes_options {
    struct loop *loop;
    int netns_fd;
    struct str node_name;
};
int nodes_new(const struct nodes_options *options, struct service_rules *rules,
              struct nodes **ret_nodes, struct err *err);
void nodes_free(struct nodes *nodes); /* the routes stay */
void nodes_change(void *ctx, struct object *old, struct object *now);
/* All Nodes have been told: routes of nodes that are gone are deleted from now on. */
void nodes_begin(struct nodes *nodes);
int nodes_remove_routes(int netns_fd, struct err *err);
