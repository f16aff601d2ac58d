/* nodes.c: level-triggered: what should be (from Node objects) against what is there (routes of
 * protocol ROUTE_PROTOCOL_OURS), at the end of the turn in which a Node changed.
 *
 * Nodes are on one link: a pod range is reached through its node's InternalIP. The overlay across
 * links is not here.
 */
#include "network/nodes.h"

#include <linux/netlink.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "network/netlink.h"

struct node {
    uint32_t address; /* 0: none known */
    struct address_range pods;
    bool own;
};
struct nodes {
    struct loop *loop;
    struct netlink netlink;
    struct service_rules *rules;
    char *node_name;
    struct map by_name; /* struct node */
    struct map told;    /* addresses that the rules know, by text */
    struct timer timer;
    bool begun;
    int64_t retry_ms;
};

int nodes_new(const struct nodes_options *options, struct service_rules *rules,
              struct nodes **ret_nodes, struct err *err)
{
    struct nodes *nodes = mem_new(struct nodes);
    int rc = netlink_open(&nodes->netlink, options->netns_fd, NETLINK_ROUTE, err);
    if (rc != 0) {
        free(nodes);
        return rc;
    }
    nodes->loop = options->loop;
    nodes->rules = rules;
    nodes->node_name = str_dup(options->node_name);
    *ret_nodes = nodes;
    return 0;
}

void nodes_free(struct nodes *nodes)
{
    if (nodes == NULL) {
        return;
    }
    timer_stop(&nodes->timer);
    MAP_EACH (entry, &nodes->by_name) {
        free(entry->value);
    }
    map_done(&nodes->by_name);
    map_done(&nodes->told);
    netlink_close(&nodes->netlink);
    free(nodes->node_name);
    free(nodes);
}

struct found_routes {
    VEC_OF(struct route);
};

static void note_route(void *ctx, const struct route *route)
{
    *vec_push((struct found_routes *)ctx) = *route;
}

static bool is_wanted(const struct nodes *nodes, const struct route *route)
{
    MAP_EACH (entry, &nodes->by_name) {
        const struct node *node = entry->value;
        if (!node->own && node->pods.set && node->pods.base == route->destination &&
            node->pods.prefix == route->prefix && node->address == route->gateway) {
            return true;
        }
    }
    return false;
}

static bool is_found(const struct found_routes *found, const struct node *node)
{
    for (size_t i = 0; i < found->count; i++) {
        if (node->pods.base == found->items[i].destination &&
            node->pods.prefix == found->items[i].prefix &&
            node->address == found->items[i].gateway) {
            return true;
        }
    }
    return false;
}

static int sync_routes(struct nodes *nodes, struct err *err)
{
    struct found_routes found = {0};
    int rc = route_each(&nodes->netlink, ROUTE_PROTOCOL_OURS, note_route, &found, err);
    for (size_t i = 0; i < found.count && rc == 0; i++) {
        if (!is_wanted(nodes, &found.items[i])) {
            rc = route_delete(&nodes->netlink, &found.items[i], err);
        }
    }
    MAP_EACH (entry, &nodes->by_name) {
        const struct node *node = entry->value;
        if (rc == 0 && !node->own && node->pods.set && node->address != 0 &&
            !is_found(&found, node)) {
            struct route route = {.destination = node->pods.base,
                                  .prefix = node->pods.prefix,
                                  .gateway = node->address,
                                  .protocol = ROUTE_PROTOCOL_OURS};
            rc = route_replace(&nodes->netlink, &route, err);
        }
    }
    vec_done(&found);
    return rc;
}

static bool has_address(const struct nodes *nodes, uint32_t address)
{
    MAP_EACH (entry, &nodes->by_name) {
        if (((const struct node *)entry->value)->address == address) {
            return true;
        }
    }
    return false;
}

static int sync_addresses(struct nodes *nodes, struct err *err)
{
    int rc = 0;
    MAP_EACH (entry, &nodes->told) {
        uint32_t address;
        if (rc == 0 && address_parse(entry->key, &address) && !has_address(nodes, address)) {
            rc = service_rules_node(nodes->rules, false, address, err);
            if (rc == 0) {
                map_remove(&nodes->told, entry->key);
            }
        }
    }
    MAP_EACH (entry, &nodes->by_name) {
        char text[ADDRESS_TEXT_SIZE];
        const struct node *node = entry->value;
        address_format(node->address, text);
        if (rc == 0 && node->address != 0 && map_get(&nodes->told, str_of(text)) == NULL) {
            rc = service_rules_node(nodes->rules, true, node->address, err);
            if (rc == 0) {
                map_set(&nodes->told, str_of(text), nodes);
            }
        }
    }
    return rc;
}

static void fire(struct timer *timer)
{
    struct nodes *nodes = container_of(timer, struct nodes, timer);
    struct err err = ERR_INIT;
    int routes = sync_routes(nodes, &err);
    int addresses = sync_addresses(nodes, routes == 0 ? &err : NULL);
    if (routes == 0 && addresses == 0) {
        nodes->retry_ms = 0;
        return;
    }
    LOG_WARN("network", "routes to other nodes", LOG_ERR(&err));
    nodes->retry_ms = nodes->retry_ms == 0 ? 500 : nodes->retry_ms * 2;
    nodes->retry_ms = nodes->retry_ms > 30000 ? 30000 : nodes->retry_ms;
    timer_start(nodes->loop, timer, nodes->retry_ms * NS_PER_MS, fire);
}

void nodes_begin(struct nodes *nodes)
{
    nodes->begun = true;
    timer_start(nodes->loop, &nodes->timer, 0, fire);
}

static void read_node(const struct object *object, struct node *node)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = object_decode(object, &arena);
    address_range_parse(val_text(val_path(value, "spec.podCIDR")), &node->pods, NULL);
    VAL_EACH (item, val_path(value, "status.addresses")) {
        uint32_t address;
        if (node->address == 0 && str_is(val_text(val_get(item, "type")), "InternalIP") &&
            address_parse(val_text(val_get(item, "address")), &address)) {
            node->address = address;
        }
    }
}

void nodes_change(void *ctx, struct object *old, struct object *now)
{
    struct nodes *nodes = ctx;
    struct str name = now != NULL ? now->name : old->name;
    struct node next = {.own = str_is(name, nodes->node_name)};
    struct node *known = map_get(&nodes->by_name, name);
    if (now == NULL) {
        free(map_remove(&nodes->by_name, name));
    } else {
        read_node(now, &next);
        if (known != NULL && known->address == next.address && known->pods.base == next.pods.base &&
            known->pods.prefix == next.pods.prefix && known->pods.set == next.pods.set) {
            return; /* a heartbeat */
        }
        if (known == NULL) {
            known = mem_new(struct node);
            map_set(&nodes->by_name, name, known);
        }
        *known = next;
    }
    if (nodes->begun) {
        timer_start(nodes->loop, &nodes->timer, 0, fire);
    }
}

int nodes_remove_routes(int netns_fd, struct err *err)
{
    struct netlink netlink;
    struct found_routes found = {0};
    int rc = netlink_open(&netlink, netns_fd, NETLINK_ROUTE, err);
    if (rc != 0) {
        return rc;
    }
    rc = route_each(&netlink, ROUTE_PROTOCOL_OURS, note_route, &found, err);
    for (size_t i = 0; i < found.count && rc == 0; i++) {
        rc = route_delete(&netlink, &found.items[i], err);
    }
    vec_done(&found);
    netlink_close(&netlink);
    return rc;
}
