/* pod_link.c: makes a network namespace ready for a pod.
 *
 * The namespace lives by its descriptor alone until pods.c mounts it, so whatever is pooled dies
 * with the agent and leaves nothing. Inside: lo up, eth0 with the pod's /32, the gateway on-link
 * and as default route. The pod's MAC is 0a:58 and its address.
 */
#include "network/pod_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "network/namespace.h"

void pod_link_name(uint32_t address, char ret_name[POD_LINK_NAME_SIZE])
{
    snprintf(ret_name, POD_LINK_NAME_SIZE, "cox%08x", address);
}

bool pod_link_parse(const char *name, uint32_t *ret_address)
{
    uint8_t bytes[4];
    struct str text = str_of(name);
    if (text.n != 11 || !str_starts(text, STR("cox")) || !hex_decode(str_from(text, 3), bytes)) {
        return false;
    }
    *ret_address =
        (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    return true;
}

void pod_link_mac(uint32_t address, uint8_t ret_mac[6])
{
    uint32_t big = htonl(address);
    ret_mac[0] = 0x0a;
    ret_mac[1] = 0x58;
    memcpy(ret_mac + 2, &big, 4);
}

/* In the new namespace: what must be set before the link comes. */
static int set_up_inside(int netns_fd, struct netlink *ret_netlink, struct err *err)
{
    int back;
    int rc = namespace_enter(netns_fd, &back, err);
    if (rc != 0) {
        return rc;
    }
    /* Pods reach each other through the node even on one bridge: no redirect may shorten that. The
     * others are what container runtimes set: ports below 1024 and ping without a capability. */
    static const char *const settings[][2] = {
        {"ipv4/conf/all/accept_redirects", "0"},   {"ipv4/conf/default/accept_redirects", "0"},
        {"ipv6/conf/default/disable_ipv6", "1"},   {"ipv4/ip_unprivileged_port_start", "0"},
        {"ipv4/ping_group_range", "0 2147483647"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        namespace_sysctl(settings[i][0], settings[i][1], NULL); /* absent in small kernels: fine */
    }
    rc = netlink_open(ret_netlink, netns_fd, NETLINK_ROUTE, err);
    namespace_leave(back);
    return rc;
}

static int set_addresses(struct netlink *inside, const struct pods_options *options,
                         uint32_t address, struct err *err)
{
    enum { LOOPBACK_INDEX = 1 };
    int eth0 = 0;
    int rc = link_find(inside, "eth0", &eth0, err);
    rc = rc != 0 ? rc : link_up(inside, LOOPBACK_INDEX, err);
    rc = rc != 0 ? rc : link_up(inside, eth0, err);
    rc = rc != 0 ? rc : address_add(inside, eth0, address, 32, err);
    struct route gateway = {.destination = options->gateway, .prefix = 32, .index = eth0};
    rc = rc != 0 ? rc : route_replace(inside, &gateway, err);
    struct route all = {.gateway = options->gateway, .index = eth0};
    return rc != 0 ? rc : route_replace(inside, &all, err);
}

int pod_link_new(struct netlink *netlink, const struct pods_options *options, uint32_t address,
                 struct pod_link *ret_link, struct err *err)
{
    char name[POD_LINK_NAME_SIZE];
    struct netlink inside = {0};
    struct err veth_err = ERR_INIT;
    struct veth_options veth = {
        .name = name, .master = options->bridge, .peer_name = "eth0", .mtu = options->mtu};
    int fd;
    int rc = namespace_new(&fd, err);
    if (rc != 0) {
        return rc;
    }
    pod_link_name(address, name);
    pod_link_mac(address, veth.peer_mac);
    veth.peer_netns_fd = fd;
    rc = set_up_inside(fd, &inside, err);
    if (rc == 0) {
        rc = link_veth_new(netlink, &veth, &veth_err);
        if (rc != 0 && veth_err.os_errno == EEXIST) {
            rc = err_set(err, ERR_EXISTS, "link %s is there already", name);
        } else if (rc != 0 && err != NULL) {
            *err = veth_err;
        }
    }
    rc = rc != 0 ? rc : link_port_up(netlink, name, err);
    rc = rc != 0 ? rc : set_addresses(&inside, options, address, err);
    netlink_close(&inside);
    if (rc != 0) {
        close(fd); /* the namespace dies, and the pair with it */
        return rc;
    }
    *ret_link = (struct pod_link){.netns_fd = fd, .address = address};
    return 0;
}
