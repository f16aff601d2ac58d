/* pod_link.h: one pod's namespace with its link, address and routes. Blocking (a few milliseconds),
 * on any thread. Internal to network/. */
#pragma once
#include "network/pods.h"

enum { POD_LINK_NAME_SIZE = 16 };
struct pod_link {
    int netns_fd;
    uint32_t address;
};
void pod_link_name(uint32_t address, char ret_name[POD_LINK_NAME_SIZE]);
bool pod_link_parse(const char *name, uint32_t *ret_address);
void pod_link_mac(uint32_t address, uint8_t ret_mac[6]);
/* `netlink` is a socket in the cluster namespace. ERR_EXISTS: the address's link is still there. */
int pod_link_new(struct netlink *netlink, const struct pods_options *options, uint32_t address,
                 struct pod_link *ret_link, struct err *err);
