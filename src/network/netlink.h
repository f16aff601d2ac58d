/* netlink.h: synchronous netlink (libmnl): links, addresses and routes of one network namespace.
 *
 * A struct netlink is one socket in one namespace, used by one thread at a time. The kernel answers
 * before send returns, so nothing here waits. Functions return 0 or a negative enum err_code with
 * err->os_errno set; "exists already" and "not there" are errors that the caller may ignore by
 * os_errno.
 */
#pragma once
#include <linux/netlink.h>

#include "base/err.h"
#include "base/str.h"

struct mnl_socket;
struct netlink {
    struct mnl_socket *socket;
    uint32_t seq;
    char *message; /* one outgoing message, NETLINK_MESSAGE_MAX bytes */
};
enum { NETLINK_MESSAGE_MAX = 4096 };

/* `protocol` NETLINK_ROUTE or NETLINK_NETFILTER, in the namespace of netns_fd. */
int netlink_open(struct netlink *netlink, int netns_fd, int protocol, struct err *err);
void netlink_close(struct netlink *netlink);
struct nlmsghdr *netlink_begin(struct netlink *netlink, uint16_t type, uint16_t flags);
/* Sends and waits for the acknowledgement. `what` goes into the error. */
int netlink_send(struct netlink *netlink, struct nlmsghdr *message, struct err *err,
                 const char *what);
/* Sends a dump request; each answer is visited. */
int netlink_dump(struct netlink *netlink, struct nlmsghdr *message,
                 void (*visit)(void *ctx, const struct nlmsghdr *answer), void *ctx,
                 struct err *err, const char *what);

/* ---- links ---- */
int link_find(struct netlink *netlink, const char *name, int *ret_index, struct err *err);
int link_bridge_new(struct netlink *netlink, const char *name, const uint8_t mac[6], unsigned mtu,
                    struct err *err);
struct veth_options {
    const char *name; /* our end, put into bridge `master`, down */
    int master, peer_netns_fd;
    const char *peer_name;
    uint8_t peer_mac[6];
    unsigned mtu;
};
int link_veth_new(struct netlink *netlink, const struct veth_options *options, struct err *err);
/* Hairpin mode on, no IPv6 address, up. */
int link_port_up(struct netlink *netlink, const char *name, struct err *err);
int link_up(struct netlink *netlink, int index, struct err *err);
int link_delete(struct netlink *netlink, const char *name, struct err *err);
/* Links in bridge `master`. */
int link_each(struct netlink *netlink, int master, void (*visit)(void *ctx, const char *name),
              void *ctx, struct err *err);

/* ---- addresses and routes (IPv4, host byte order) ---- */
int address_add(struct netlink *netlink, int index, uint32_t address, uint8_t prefix,
                struct err *err); /* replaces */
struct route {
    uint32_t destination, gateway, source; /* 0: none */
    uint8_t prefix;
    uint8_t protocol; /* who made it; ROUTE_PROTOCOL_OURS for routes to other nodes */
    int index;        /* output link, 0: by gateway */
};
enum { ROUTE_PROTOCOL_OURS = 99 };
int route_replace(struct netlink *netlink, const struct route *route, struct err *err);
int route_delete(struct netlink *netlink, const struct route *route, struct err *err);
int route_each(struct netlink *netlink, uint8_t protocol,
               void (*visit)(void *ctx, const struct route *route), void *ctx, struct err *err);
