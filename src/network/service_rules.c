/* service_rules.c: struct service_ops as nf_tables changes, and what is remembered to make the
 * table anew.
 *
 * Invariants: a key of the address and port maps belongs to the first Service that claimed it;
 * later claims wait and take over when it goes, so two Services with one externalIP never break a
 * batch. Maps are "e-" and the balancer's name (slot -> endpoint), with affinity also "m-"
 * (endpoints that are in it) and "c-" (client -> endpoint, elements time out). One map for all
 * balancers would be worse: the kernel walks the whole map for each chain that names it.
 */
#include "network/service_rules.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/map.h"
#include "base/mem.h"
#include "network/netlink.h"
#include "network/nft_dump.h"
#include "network/service_base.h"

enum { CLIENTS_MAX = 65536 };

struct claims {
    VEC_OF(struct service_target); /* the first one is in the kernel */
};
struct sticky { /* clients of one affinity map, kept over a reset */
    VEC_OF(struct nft_dumped_element);
};
struct service_rules {
    struct service_rules_options options;
    struct netlink netlink;
    struct nft_batch batch;
    struct map claims;  /* by target key: struct claims */
    struct map hairpin; /* by address: count as pointer-sized integer */
    struct map sticky;  /* by map name: struct sticky */
    struct {
        VEC_OF(struct host_port);
    } host_ports;
    struct {
        VEC_OF(uint32_t);
    } nodes;
};

static uint32_t port_cell(uint16_t port)
{
    return htons(port); /* two bytes, then zeros, as a register holds it */
}

/* ---- targets ---- */

static char *target_key(const struct service_target *target)
{
    return mem_printf("%x/%u/%u", target->node_port ? 0 : target->address, target->protocol,
                      target->port);
}

static void put_target(struct service_rules *rules, bool add, const struct service_target *target)
{
    uint32_t key[3] = {htonl(target->address), target->protocol, port_cell(target->port)};
    struct nft_element element = {.key = target->node_port ? key + 1 : key,
                                  .key_cells = target->node_port ? 2 : 3,
                                  .verdict_chain =
                                      target->verdict == SERVICE_CHAIN ? target->chain : NULL,
                                  .verdict_drop = target->verdict == SERVICE_DROP};
    const char *set = target->verdict == SERVICE_REJECT
                          ? (target->node_port ? SET_REFUSED_PORTS : SET_REFUSED)
                          : (target->node_port ? SET_NODE_PORTS : SET_SERVICES);
    (add ? nft_element_add : nft_element_delete)(&rules->batch, set, &element);
}

static void change_target(void *ctx, bool add, const struct service_target *target)
{
    struct service_rules *rules = ctx;
    char *key MEM_CLEANUP = target_key(target);
    struct claims *claims = map_get(&rules->claims, str_of(key));
    if (claims == NULL) {
        claims = mem_new(struct claims);
        map_set(&rules->claims, str_of(key), claims);
    }
    if (add) {
        *vec_push(claims) = *target;
        if (claims->count == 1) {
            put_target(rules, true, target);
        }
        return;
    }
    for (size_t i = 0; i < claims->count; i++) {
        if (memcmp(&claims->items[i], target, sizeof *target) != 0) {
            continue;
        }
        memmove(&claims->items[i], &claims->items[i + 1],
                (--claims->count - i) * sizeof claims->items[0]);
        if (i == 0) {
            put_target(rules, false, target);
            if (claims->count > 0) {
                put_target(rules, true, &claims->items[0]);
            }
        }
        break;
    }
    if (claims->count == 0) {
        map_remove(&rules->claims, str_of(key));
        vec_done(claims);
        free(claims);
    }
}

/* ---- balancers ---- */

struct balancer_sets {
    char slots[SERVICE_NAME_SIZE + 4], members[SERVICE_NAME_SIZE + 4],
        clients[SERVICE_NAME_SIZE + 4];
};

static struct balancer_sets set_names(const char *balancer)
{
    struct balancer_sets names;
    snprintf(names.slots, sizeof names.slots, "e-%s", balancer);
    snprintf(names.members, sizeof names.members, "m-%s", balancer);
    snprintf(names.clients, sizeof names.clients, "c-%s", balancer);
    return names;
}

static void restore_clients(struct service_rules *rules, const char *clients)
{
    struct sticky *sticky = map_get(&rules->sticky, str_of(clients));
    for (size_t i = 0; sticky != NULL && i < sticky->count; i++) {
        const struct nft_dumped_element *client = &sticky->items[i];
        nft_element_add(&rules->batch, clients,
                        &(struct nft_element){.key = client->key,
                                              .key_cells = 1,
                                              .data = client->data,
                                              .data_cells = 2,
                                              .timeout_ms = client->timeout_ms,
                                              .expires_ms = client->expires_ms});
    }
}

static void add_balancer(struct service_rules *rules, const char *name,
                         const struct balancer_sets *sets, uint32_t affinity_s)
{
    nft_chain_add(&rules->batch, name, NULL);
    nft_set_add(&rules->batch, &(struct nft_set){.name = sets->slots,
                                                 .key = {NFT_TYPE_INTEGER},
                                                 .data = {NFT_TYPE_ADDRESS, NFT_TYPE_PORT}});
    if (affinity_s != 0) {
        nft_set_add(&rules->batch, &(struct nft_set){.name = sets->members,
                                                     .key = {NFT_TYPE_ADDRESS, NFT_TYPE_PORT}});
        nft_set_add(&rules->batch, &(struct nft_set){.name = sets->clients,
                                                     .key = {NFT_TYPE_ADDRESS},
                                                     .data = {NFT_TYPE_ADDRESS, NFT_TYPE_PORT},
                                                     .dynamic = true,
                                                     .timeout_ms = affinity_s * 1000ULL,
                                                     .size_limit = CLIENTS_MAX});
        restore_clients(rules, sets->clients);
    }
}

static void change_balancer(void *ctx, bool add, const char *name, uint32_t affinity_s)
{
    struct service_rules *rules = ctx;
    struct balancer_sets sets = set_names(name);
    if (add) {
        add_balancer(rules, name, &sets, affinity_s);
        return;
    }
    nft_chain_flush(&rules->batch, name);
    nft_chain_delete(&rules->batch, name);
    nft_set_delete(&rules->batch, sets.slots);
    if (affinity_s != 0) {
        nft_set_delete(&rules->batch, sets.members);
        nft_set_delete(&rules->batch, sets.clients);
    }
}

static void change_slot(void *ctx, bool add, const char *balancer, bool affine, uint32_t index,
                        const struct endpoint *endpoint)
{
    struct service_rules *rules = ctx;
    struct balancer_sets sets = set_names(balancer);
    uint32_t data[2] = {htonl(endpoint->address), port_cell(endpoint->port)};
    struct nft_element slot = {.key = &index, .key_cells = 1, .data = data, .data_cells = 2};
    struct nft_element member = {.key = data, .key_cells = 2};
    (add ? nft_element_add : nft_element_delete)(&rules->batch, sets.slots, &slot);
    if (affine) {
        (add ? nft_element_add : nft_element_delete)(&rules->batch, sets.members, &member);
    }
}

/* A known client goes where it went, as long as that endpoint is a member; otherwise it is
 * forgotten and chosen for again. */
static void write_affinity(struct nft_batch *batch, const char *name,
                           const struct balancer_sets *sets, uint64_t timeout_ms)
{
    nft_rule_begin(batch, name);
    nft_load_source(batch, 0);
    nft_lookup_map(batch, sets->clients, 0, 1);
    nft_lookup(batch, sets->members, 1, false);
    nft_dynamic_set(batch, sets->clients, NFT_DYNAMIC_UPDATE, 0, 1, timeout_ms);
    nft_destination_nat(batch, 1, 2);
    nft_rule_end(batch);
    nft_rule_begin(batch, name);
    nft_load_source(batch, 0);
    nft_lookup_map(batch, sets->clients, 0, 1);
    nft_dynamic_set(batch, sets->clients, NFT_DYNAMIC_DELETE, 0, 1, 0);
    nft_rule_end(batch);
}

static void write_balancer(void *ctx, const char *name, uint32_t count, uint32_t affinity_s)
{
    struct service_rules *rules = ctx;
    struct nft_batch *batch = &rules->batch;
    struct balancer_sets sets = set_names(name);
    uint64_t timeout_ms = affinity_s * 1000ULL;
    nft_chain_flush(batch, name);
    if (affinity_s != 0) {
        write_affinity(batch, name, &sets, timeout_ms);
    }
    nft_rule_begin(batch, name);
    nft_load_source(batch, 0);
    nft_load_random(batch, 1, count);
    nft_lookup_map(batch, sets.slots, 1, 1);
    if (affinity_s != 0) {
        nft_dynamic_set(batch, sets.clients, NFT_DYNAMIC_UPDATE, 0, 1, timeout_ms);
    }
    nft_destination_nat(batch, 1, 2);
    nft_rule_end(batch);
}

/* ---- entries ---- */

static void change_entry(void *ctx, bool add, const char *name)
{
    struct service_rules *rules = ctx;
    if (add) {
        nft_chain_add(&rules->batch, name, NULL);
    } else {
        nft_chain_flush(&rules->batch, name);
        nft_chain_delete(&rules->batch, name);
    }
}

static void write_entry(void *ctx, const struct service_entry_rules *entry)
{
    struct service_rules *rules = ctx;
    struct nft_batch *batch = &rules->batch;
    uint32_t local = RTN_LOCAL;
    nft_chain_flush(batch, entry->name);
    if (!entry->is_local) {
        nft_rule_begin(batch, entry->name);
        service_base_mark(batch);
        nft_go(batch, entry->all, false);
        nft_rule_end(batch);
        return;
    }
    /* Pods and this node itself are inside: they may use any endpoint. */
    const struct address_range *cluster =
        rules->options.cluster.set ? &rules->options.cluster : &rules->options.pods;
    nft_rule_begin(batch, entry->name);
    nft_load_source(batch, 0);
    service_base_match_range(batch, 0, cluster, true);
    nft_go(batch, entry->all, false);
    nft_rule_end(batch);
    nft_rule_begin(batch, entry->name);
    nft_load_address_type(batch, 4, true);
    nft_compare(batch, 4, true, &local, 4);
    service_base_mark(batch);
    nft_go(batch, entry->all, false);
    nft_rule_end(batch);
    nft_rule_begin(batch, entry->name);
    if (entry->local != NULL) {
        nft_go(batch, entry->local, false); /* keeps the client's address */
    } else {
        nft_drop(batch);
    }
    nft_rule_end(batch);
}

static void write_filter(void *ctx, const char *name, const char *entry,
                         const struct address_range *sources, size_t count)
{
    struct service_rules *rules = ctx;
    nft_chain_flush(&rules->batch, name);
    for (size_t i = 0; i < count; i++) {
        nft_rule_begin(&rules->batch, name);
        nft_load_source(&rules->batch, 0);
        service_base_match_range(&rules->batch, 0, &sources[i], true);
        nft_go(&rules->batch, entry, false);
        nft_rule_end(&rules->batch);
    }
    nft_rule_begin(&rules->batch, name);
    nft_drop(&rules->batch);
    nft_rule_end(&rules->batch);
}

static void change_local_endpoint(void *ctx, bool add, uint32_t address)
{
    struct service_rules *rules = ctx;
    char text[ADDRESS_TEXT_SIZE];
    address_format(address, text);
    uintptr_t count = (uintptr_t)map_get(&rules->hairpin, str_of(text));
    uintptr_t now = add ? count + 1 : count - 1;
    uint32_t key[2] = {htonl(address), htonl(address)};
    struct nft_element element = {.key = key, .key_cells = 2};
    if (add && count == 0) {
        nft_element_add(&rules->batch, SET_HAIRPIN, &element);
    } else if (!add && now == 0) {
        nft_element_delete(&rules->batch, SET_HAIRPIN, &element);
    }
    if (now == 0) {
        map_remove(&rules->hairpin, str_of(text));
    } else {
        map_set(&rules->hairpin, str_of(text), (void *)now);
    }
}

const struct service_ops service_rules_ops = {
    .balancer = change_balancer,
    .slot = change_slot,
    .balancer_rules = write_balancer,
    .entry = change_entry,
    .entry_rules = write_entry,
    .filter_rules = write_filter,
    .target = change_target,
    .local_endpoint = change_local_endpoint,
};

/* ---- host ports and nodes ---- */

static void put_host_port(struct service_rules *rules, bool add, const struct host_port *port)
{
    uint32_t key[3] = {htonl(port->host_address), port->protocol, port_cell(port->host_port)};
    uint32_t data[2] = {htonl(port->pod_address), port_cell(port->pod_port)};
    bool any = port->host_address == 0;
    struct nft_element element = {
        .key = any ? key + 1 : key, .key_cells = any ? 2 : 3, .data = data, .data_cells = 2};
    (add ? nft_element_add
         : nft_element_delete)(&rules->batch, any ? SET_HOST_PORTS : SET_HOST_PORTS_ON, &element);
    change_local_endpoint(rules, add, port->pod_address);
}

/* Whether another pod has the port; an address of its own and "any" are different keys, of which
 * the former wins. */
static int check_host_port(const struct service_rules *rules, const struct host_port *port,
                           struct err *err)
{
    VEC_EACH (known, &rules->host_ports) {
        if (known->host_port == port->host_port && known->protocol == port->protocol &&
            known->host_address == port->host_address && known->pod_address != port->pod_address) {
            char owner[ADDRESS_TEXT_SIZE];
            address_format(known->pod_address, owner);
            return err_set(err, ERR_CONFLICT, "hostPort %u is taken by the pod with address %s",
                           port->host_port, owner);
        }
    }
    return 0;
}

int service_rules_host_ports(struct service_rules *rules, bool add, const struct host_port *ports,
                             size_t count, struct err *err)
{
    for (size_t i = 0; i < count && add; i++) {
        int taken = check_host_port(rules, &ports[i], err);
        if (taken != 0) {
            return taken;
        }
    }
    for (size_t i = 0; i < count; i++) {
        put_host_port(rules, add, &ports[i]);
    }
    int rc = service_rules_commit(rules, err);
    for (size_t i = 0; i < count && rc == 0; i++) {
        if (add) {
            *vec_push(&rules->host_ports) = ports[i];
            continue;
        }
        for (size_t j = 0; j < rules->host_ports.count; j++) {
            if (memcmp(&rules->host_ports.items[j], &ports[i], sizeof ports[i]) == 0) {
                vec_remove_swap(&rules->host_ports, j);
                break;
            }
        }
    }
    return rc;
}

static void put_node(struct service_rules *rules, bool add, uint32_t address)
{
    uint32_t key = htonl(address);
    struct nft_element element = {.key = &key, .key_cells = 1};
    (add ? nft_element_add : nft_element_delete)(&rules->batch, SET_NODES, &element);
}

int service_rules_node(struct service_rules *rules, bool add, uint32_t address, struct err *err)
{
    put_node(rules, add, address);
    int rc = service_rules_commit(rules, err);
    if (rc == 0 && add) {
        *vec_push(&rules->nodes) = address;
    }
    for (size_t i = 0; i < rules->nodes.count && rc == 0 && !add; i++) {
        if (rules->nodes.items[i] == address) {
            vec_remove_swap(&rules->nodes, i);
            break;
        }
    }
    return rc;
}

/* ---- the table ---- */

static void forget(struct service_rules *rules)
{
    MAP_EACH (entry, &rules->claims) {
        struct claims *claims = entry->value;
        vec_done(claims);
        free(claims);
    }
    MAP_EACH (entry, &rules->sticky) {
        struct sticky *sticky = entry->value;
        vec_done(sticky);
        free(sticky);
    }
    map_done(&rules->claims);
    map_done(&rules->hairpin);
    map_done(&rules->sticky);
}

static void build_new(struct service_rules *rules)
{
    nft_begin(&rules->batch);
    nft_table_add(&rules->batch); /* so that the deletion cannot fail */
    nft_table_delete(&rules->batch);
    nft_table_add(&rules->batch);
    service_base_build(&rules->batch, &rules->options);
    for (size_t i = 0; i < rules->host_ports.count; i++) {
        put_host_port(rules, true, &rules->host_ports.items[i]);
    }
    for (size_t i = 0; i < rules->nodes.count; i++) {
        put_node(rules, true, rules->nodes.items[i]);
    }
}

static void keep_client(void *ctx, const char *set, const struct nft_dumped_element *element)
{
    struct service_rules *rules = ctx;
    struct sticky *sticky = map_get(&rules->sticky, str_of(set));
    if (sticky == NULL) {
        sticky = mem_new(struct sticky);
        map_set(&rules->sticky, str_of(set), sticky);
    }
    if (element->data_cells == 2 && sticky->count < CLIENTS_MAX) {
        *vec_push(sticky) = *element;
    }
}

struct kept_sets {
    VEC_OF(char *);
};

static void note_clients_set(void *ctx, const char *name)
{
    if (str_starts(str_of(name), STR("c-"))) {
        *vec_push((struct kept_sets *)ctx) = mem_dupz(name);
    }
}

int service_rules_reset(struct service_rules *rules, struct err *err)
{
    struct kept_sets sets = {0};
    forget(rules);
    int rc = nft_each_set(&rules->netlink, note_clients_set, &sets, err);
    VEC_EACH (name, &sets) {
        rc = rc != 0 ? rc : nft_each_element(&rules->netlink, *name, keep_client, rules, err);
        free(*name);
    }
    vec_done(&sets);
    build_new(rules);
    return rc;
}

int service_rules_commit(struct service_rules *rules, struct err *err)
{
    int injected = FAILPOINT_ERRNO("network.rules-commit");
    int rc = injected != 0 ? err_os(err, injected, "nftables")
                           : nft_commit(&rules->batch, &rules->netlink, err);
    nft_begin(&rules->batch);
    return rc;
}

static void note_layout(void *ctx, const char *name)
{
    *(bool *)ctx |= str_is(str_of(name), SET_LAYOUT);
}

int service_rules_new(const struct service_rules_options *options, struct service_rules **ret_rules,
                      struct err *err)
{
    struct service_rules *rules = mem_new(struct service_rules);
    bool current = false;
    rules->options = *options;
    int rc = netlink_open(&rules->netlink, options->netns_fd, NETLINK_NETFILTER, err);
    nft_begin(&rules->batch);
    rc = rc != 0 ? rc : nft_each_set(&rules->netlink, note_layout, &current, err);
    if (rc == 0 && !current) {
        build_new(rules);
        rc = service_rules_commit(rules, err);
    }
    if (rc != 0) {
        service_rules_free(rules);
        return rc;
    }
    *ret_rules = rules;
    return 0;
}

void service_rules_free(struct service_rules *rules)
{
    if (rules == NULL) {
        return;
    }
    forget(rules);
    vec_done(&rules->host_ports);
    vec_done(&rules->nodes);
    nft_done(&rules->batch);
    netlink_close(&rules->netlink);
    free(rules);
}

int service_rules_remove(int netns_fd, struct err *err)
{
    struct netlink netlink;
    struct nft_batch batch = {0};
    int rc = netlink_open(&netlink, netns_fd, NETLINK_NETFILTER, err);
    if (rc != 0) {
        return rc;
    }
    nft_begin(&batch);
    nft_table_add(&batch);
    nft_table_delete(&batch);
    rc = nft_commit(&batch, &netlink, err);
    nft_done(&batch);
    netlink_close(&netlink);
    return rc;
}
