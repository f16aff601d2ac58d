/* service_port.h: what packets must meet for one port of one Service, as plain data, and the
 * difference between two such states as calls of an ops table. Pure: no kernel, no API objects.
 * Internal to network/.
 *
 * Names in the rules: a port's id is UID-PROTOCOL-PORT. Balancers "s-ID" (all endpoints) and "l-ID"
 * (this node's) spread over their slots 0..count-1; with session affinity they are "sa-ID" and
 * "la-ID". Entry "x-ID" is where packets from outside come in.
 */
#pragma once
#include "base/vec.h"
#include "network/address.h"

enum { SERVICE_ID_SIZE = 64, SERVICE_NAME_SIZE = 72 };

struct endpoint {
    uint32_t address;
    uint16_t port;
};
struct endpoints {
    VEC_OF(struct endpoint);
};
struct vip {
    uint32_t address;
    bool external; /* externalIPs, load balancer: enters through "x-ID" */
    bool filtered; /* load balancer with source ranges: through "f-ID" */
};
struct service_port {
    char id[SERVICE_ID_SIZE];
    uint8_t protocol; /* IPPROTO_* */
    uint16_t port, node_port /* 0: none */;
    struct {
        VEC_OF(struct vip);
    } vips;
    struct endpoints all;   /* who may answer on any node */
    struct endpoints local; /* who may answer on this node */
    bool internal_local, external_local;
    uint32_t affinity_s; /* 0: none */
    struct {
        VEC_OF(struct address_range);
    } sources; /* loadBalancerSourceRanges; none: everybody */
};
void service_port_done(struct service_port *port);

/* Where packets to a key go. */
enum service_verdict { SERVICE_NOWHERE, SERVICE_CHAIN, SERVICE_DROP, SERVICE_REJECT };
struct service_target {
    bool node_port; /* key (protocol, port) on any address of the node; else with `address` */
    uint32_t address;
    uint8_t protocol;
    uint16_t port;
    enum service_verdict verdict;
    char chain[SERVICE_NAME_SIZE];
};
struct service_entry_rules {
    const char *name, *all; /* "x-ID", balancer or NULL */
    const char *local;      /* balancer, or NULL: nobody here */
    bool is_local;          /* externalTrafficPolicy: Local */
};

/* Calls come in an order in which nothing is named before it exists or deleted while it is named.
 */
struct service_ops {
    void (*balancer)(void *ctx, bool add, const char *name, uint32_t affinity_s);
    void (*slot)(void *ctx, bool add, const char *balancer, bool affine, uint32_t index,
                 const struct endpoint *endpoint);
    void (*balancer_rules)(void *ctx, const char *name, uint32_t count, uint32_t affinity_s);
    void (*entry)(void *ctx, bool add, const char *name);
    void (*entry_rules)(void *ctx, const struct service_entry_rules *rules);
    void (*filter_rules)(void *ctx, const char *name, const char *entry,
                         const struct address_range *sources, size_t count);
    void (*target)(void *ctx, bool add, const struct service_target *target);
    /* A local endpoint came or went (for packets that a pod sends itself through a Service). */
    void (*local_endpoint)(void *ctx, bool add, uint32_t address);
};

/* Tells `ops` how to get from `old` (as applied; NULL: nothing) to `next` (NULL: nothing). The
 * endpoints of `next` are put into the order of their slots: keep it as the next `old`. */
void service_port_apply(const struct service_port *old, struct service_port *next,
                        const struct service_ops *ops, void *ctx);
