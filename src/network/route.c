/* route.c: addresses and routes over rtnetlink, IPv4.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "network/netlink.h"

int address_add(struct netlink *netlink, int index, uint32_t address, uint8_t prefix,
                struct err *err)
{
    struct nlmsghdr *message = netlink_begin(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    info->ifa_family = AF_INET;
    info->ifa_prefixlen = prefix;
    info->ifa_index = (uint32_t)index;
    mnl_attr_put_u32(message, IFA_LOCAL, htonl(address));
    mnl_attr_put_u32(message, IFA_ADDRESS, htonl(address));
    return netlink_send(netlink, message, err, "add an address");
}

static int send_route(struct netlink *netlink, uint16_t type, uint16_t flags,
                      const struct route *route, struct err *err, const char *what)
{
    struct nlmsghdr *message = netlink_begin(netlink, type, flags);
    struct rtmsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    info->rtm_family = AF_INET;
    info->rtm_dst_len = route->prefix;
    info->rtm_table = RT_TABLE_MAIN;
    info->rtm_protocol = route->protocol != 0 ? route->protocol : RTPROT_BOOT;
    info->rtm_scope = route->gateway != 0 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
    info->rtm_type = RTN_UNICAST;
    if (route->prefix > 0) {
        mnl_attr_put_u32(message, RTA_DST, htonl(route->destination));
    }
    if (route->gateway != 0) {
        mnl_attr_put_u32(message, RTA_GATEWAY, htonl(route->gateway));
    }
    if (route->source != 0) {
        mnl_attr_put_u32(message, RTA_PREFSRC, htonl(route->source));
    }
    if (route->index != 0) {
        mnl_attr_put_u32(message, RTA_OIF, (uint32_t)route->index);
    }
    return netlink_send(netlink, message, err, what);
}

int route_replace(struct netlink *netlink, const struct route *route, struct err *err)
{
    return send_route(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route, err,
                      "set a route");
}

int route_delete(struct netlink *netlink, const struct route *route, struct err *err)
{
    return send_route(netlink, RTM_DELROUTE, 0, route, err, "delete a route");
}

struct each_route {
    uint8_t protocol;
    void (*visit)(void *ctx, const struct route *route);
    void *ctx;
};

static void visit_route(void *ctx, const struct nlmsghdr *answer)
{
    const struct each_route *each = ctx;
    const struct rtmsg *info = mnl_nlmsg_get_payload(answer);
    if (info->rtm_family != AF_INET || info->rtm_protocol != each->protocol ||
        info->rtm_table != RT_TABLE_MAIN) {
        return;
    }
    struct route route = {.prefix = info->rtm_dst_len, .protocol = info->rtm_protocol};
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, answer, sizeof *info)
    {
        switch (mnl_attr_get_type(attribute)) {
        case RTA_DST:
            route.destination = ntohl(mnl_attr_get_u32(attribute));
            break;
        case RTA_GATEWAY:
            route.gateway = ntohl(mnl_attr_get_u32(attribute));
            break;
        case RTA_OIF:
            route.index = (int)mnl_attr_get_u32(attribute);
            break;
        default:
            break;
        }
    }
    each->visit(each->ctx, &route);
}

int route_each(struct netlink *netlink, uint8_t protocol,
               void (*visit)(void *ctx, const struct route *route), void *ctx, struct err *err)
{
    struct each_route each = {.protocol = protocol, .visit = visit, .ctx = ctx};
    struct nlmsghdr *message = netlink_begin(netlink, RTM_GETROUTE, 0);
    struct rtmsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    info->rtm_family = AF_INET;
    return netlink_dump(netlink, message, visit_route, &each, err, "list routes");
}
