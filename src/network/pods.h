/* pods.h: pods' network namespaces: warm pool, attach, detach, found again after a restart.
 * Internal to network/. */
#pragma once
#include "network/address.h"
#include "network/netlink.h"
#include "node/node_interface.h"

struct pods;
struct pods_options {
    struct loop *loop;
    int netns_fd;          /* the cluster namespace; borrowed */
    const char *state_dir; /* run_dir/netns */
    struct address_range range;
    uint32_t gateway;
    int bridge; /* link index */
    unsigned mtu, pool;
};
struct host_port {
    uint32_t host_address; /* 0: any of the node's */
    uint8_t protocol;      /* IPPROTO_* */
    uint16_t host_port, pod_port;
    uint32_t pod_address;
};
/* Tells that the host ports of a pod appeared (add) or went; during pods_new for those found. */
struct pods_ops {
    int (*host_ports)(void *ctx, bool add, const struct host_port *ports, size_t count,
                      struct err *err);
    void *ctx;
};
int pods_new(const struct pods_options *options, const struct pods_ops *ops, struct pods **ret_pods,
             struct err *err);
void pods_free(struct pods *pods); /* attached pods stay */
int pods_attach(struct pods *pods, const struct pod_network_request *request,
                struct pod_network *ret_network, struct err *err);
int pods_detach(struct pods *pods, struct str uid, struct err *err);
void pods_retain(struct pods *pods, const struct str *uids, size_t count);
size_t pods_count(const struct pods *pods), pods_pooled(const struct pods *pods);
/* Unmounts and removes all that is recorded in state_dir. */
int pods_remove_all(const char *state_dir, struct err *err);
