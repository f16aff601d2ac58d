/* link.c: bridge, veth pairs and their state over rtnetlink (rtnetlink(7), linux/if_link.h).
 *
 * A veth pair is made with one message: our end in the bridge, the other end named inside the pod's
 * namespace; both are brought up afterwards (the kernel joins the two only when both are made, and
 * what must be set before a port is up is set between).
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>

#include "network/netlink.h"

static struct ifinfomsg *put_info(struct nlmsghdr *message)
{
    return mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
}

static void visit_index(void *ctx, const struct nlmsghdr *answer)
{
    const struct ifinfomsg *info = mnl_nlmsg_get_payload(answer);
    *(int *)ctx = info->ifi_index;
}

struct each {
    int master;
    void (*visit)(void *ctx, const char *name);
    void *ctx;
};

static void visit_link(void *ctx, const struct nlmsghdr *answer)
{
    const struct each *each = ctx;
    const struct nlattr *attribute;
    const char *name = NULL;
    int master = 0;
    mnl_attr_for_each(attribute, answer, sizeof(struct ifinfomsg))
    {
        if (mnl_attr_get_type(attribute) == IFLA_IFNAME) {
            name = mnl_attr_get_str(attribute);
        } else if (mnl_attr_get_type(attribute) == IFLA_MASTER) {
            master = (int)mnl_attr_get_u32(attribute);
        }
    }
    if (name != NULL && master == each->master) {
        each->visit(each->ctx, name);
    }
}

struct find {
    const char *name;
    int index;
};

static void visit_name(void *ctx, const struct nlmsghdr *answer)
{
    struct find *find = ctx;
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, answer, sizeof(struct ifinfomsg))
    {
        if (mnl_attr_get_type(attribute) == IFLA_IFNAME &&
            strcmp(mnl_attr_get_str(attribute), find->name) == 0) {
            visit_index(&find->index, answer);
        }
    }
}

int link_find(struct netlink *netlink, const char *name, int *ret_index, struct err *err)
{
    struct find find = {.name = name};
    struct nlmsghdr *message = netlink_begin(netlink, RTM_GETLINK, 0);
    put_info(message);
    int rc = netlink_dump(netlink, message, visit_name, &find, err, "list links");
    if (rc != 0) {
        return rc;
    }
    if (find.index == 0) {
        return err_set(err, ERR_NOT_FOUND, "no link %s", name);
    }
    *ret_index = find.index;
    return 0;
}

int link_each(struct netlink *netlink, int master, void (*visit)(void *ctx, const char *name),
              void *ctx, struct err *err)
{
    struct each each = {.master = master, .visit = visit, .ctx = ctx};
    struct nlmsghdr *message = netlink_begin(netlink, RTM_GETLINK, 0);
    put_info(message);
    return netlink_dump(netlink, message, visit_link, &each, err, "list links");
}

int link_bridge_new(struct netlink *netlink, const char *name, const uint8_t mac[6], unsigned mtu,
                    struct err *err)
{
    struct nlmsghdr *message = netlink_begin(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg *info = put_info(message);
    info->ifi_flags = info->ifi_change = IFF_UP;
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    mnl_attr_put(message, IFLA_ADDRESS, 6, mac); /* set by us: it stays when ports come and go */
    mnl_attr_put_u32(message, IFLA_MTU, mtu);
    struct nlattr *link_info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    mnl_attr_put_u32(message, IFLA_BR_FORWARD_DELAY, 0);
    mnl_attr_put_u32(message, IFLA_BR_STP_STATE, 0);
    mnl_attr_put_u8(message, IFLA_BR_MCAST_SNOOPING, 0);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, link_info);
    return netlink_send(netlink, message, err, "make the bridge");
}

int link_veth_new(struct netlink *netlink, const struct veth_options *options, struct err *err)
{
    struct nlmsghdr *message = netlink_begin(netlink, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    put_info(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, options->name);
    mnl_attr_put_u32(message, IFLA_MTU, options->mtu);
    mnl_attr_put_u32(message, IFLA_MASTER, (uint32_t)options->master);
    struct nlattr *link_info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
    put_info(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, options->peer_name);
    mnl_attr_put(message, IFLA_ADDRESS, 6, options->peer_mac);
    mnl_attr_put_u32(message, IFLA_MTU, options->mtu);
    mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)options->peer_netns_fd);
    mnl_attr_nest_end(message, peer);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, link_info);
    return netlink_send(netlink, message, err, "make a veth pair");
}

/* No IPv6 address on our end: it is a port, and would only speak to all others of the bridge. */
static void put_no_ipv6(struct nlmsghdr *message)
{
    struct nlattr *spec = mnl_attr_nest_start(message, IFLA_AF_SPEC);
    struct nlattr *inet6 = mnl_attr_nest_start(message, AF_INET6);
    mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(message, inet6);
    mnl_attr_nest_end(message, spec);
}

static int configure_port(struct netlink *netlink, const char *name, bool has_ipv6, struct err *err)
{
    struct nlmsghdr *message = netlink_begin(netlink, RTM_NEWLINK, 0);
    put_info(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    if (has_ipv6) {
        put_no_ipv6(message);
    }
    struct nlattr *link_info = mnl_attr_nest_start(message, IFLA_LINKINFO);
    mnl_attr_put_strz(message, IFLA_INFO_SLAVE_KIND, "bridge");
    struct nlattr *data = mnl_attr_nest_start(message, IFLA_INFO_SLAVE_DATA);
    mnl_attr_put_u8(message, IFLA_BRPORT_MODE, 1);
    mnl_attr_nest_end(message, data);
    mnl_attr_nest_end(message, link_info);
    return netlink_send(netlink, message, err, "set hairpin mode");
}

int link_port_up(struct netlink *netlink, const char *name, struct err *err)
{
    int rc = configure_port(netlink, name, true, NULL);
    rc = rc == 0 ? 0 : configure_port(netlink, name, false, err); /* a kernel without IPv6 */
    if (rc != 0) {
        return rc;
    }
    struct nlmsghdr *message = netlink_begin(netlink, RTM_NEWLINK, 0);
    struct ifinfomsg *info = put_info(message);
    info->ifi_flags = info->ifi_change = IFF_UP;
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    return netlink_send(netlink, message, err, "bring a port up");
}

int link_up(struct netlink *netlink, int index, struct err *err)
{
    struct nlmsghdr *message = netlink_begin(netlink, RTM_NEWLINK, 0);
    struct ifinfomsg *info = put_info(message);
    info->ifi_index = index;
    info->ifi_flags = info->ifi_change = IFF_UP;
    return netlink_send(netlink, message, err, "bring a link up");
}

int link_delete(struct netlink *netlink, const char *name, struct err *err)
{
    struct nlmsghdr *message = netlink_begin(netlink, RTM_DELLINK, 0);
    put_info(message);
    mnl_attr_put_strz(message, IFLA_IFNAME, name);
    return netlink_send(netlink, message, err, "delete a link");
}
