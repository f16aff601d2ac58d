/* conntrack.c: ctnetlink (linux/netfilter/nfnetlink_conntrack.h): dump, and delete by tuple.
 *
 * The whole table is read and judged, so a deletion that was missed once heals at the next change.
 */
#include "network/conntrack.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/vec.h"
#include "network/netlink.h"

struct tuple {
    uint32_t source_be, destination_be;
    uint16_t source_port_be, destination_port_be;
    uint8_t protocol;
};
struct forget {
    uint8_t protocol;
    bool (*is_stale)(void *ctx, const struct conntrack_flow *flow);
    void *ctx;
    struct {
        VEC_OF(struct tuple);
    } stale;
};

static void read_addresses(const struct nlattr *nest, struct tuple *tuple)
{
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, nest)
    {
        if (mnl_attr_get_type(attribute) == CTA_IP_V4_SRC) {
            tuple->source_be = mnl_attr_get_u32(attribute);
        } else if (mnl_attr_get_type(attribute) == CTA_IP_V4_DST) {
            tuple->destination_be = mnl_attr_get_u32(attribute);
        }
    }
}

static void read_ports(const struct nlattr *nest, struct tuple *tuple)
{
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, nest)
    {
        switch (mnl_attr_get_type(attribute)) {
        case CTA_PROTO_NUM:
            tuple->protocol = mnl_attr_get_u8(attribute);
            break;
        case CTA_PROTO_SRC_PORT:
            tuple->source_port_be = mnl_attr_get_u16(attribute);
            break;
        case CTA_PROTO_DST_PORT:
            tuple->destination_port_be = mnl_attr_get_u16(attribute);
            break;
        default:
            break;
        }
    }
}

static void read_tuple(const struct nlattr *nest, struct tuple *ret_tuple)
{
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, nest)
    {
        if (mnl_attr_get_type(attribute) == CTA_TUPLE_IP) {
            read_addresses(attribute, ret_tuple);
        } else if (mnl_attr_get_type(attribute) == CTA_TUPLE_PROTO) {
            read_ports(attribute, ret_tuple);
        }
    }
}

static void visit_flow(void *ctx, const struct nlmsghdr *answer)
{
    struct forget *forget = ctx;
    struct tuple original = {0}, reply = {0};
    const struct nlattr *attribute;
    mnl_attr_for_each(attribute, answer, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attribute) == CTA_TUPLE_ORIG) {
            read_tuple(attribute, &original);
        } else if (mnl_attr_get_type(attribute) == CTA_TUPLE_REPLY) {
            read_tuple(attribute, &reply);
        }
    }
    if (original.protocol != forget->protocol) {
        return;
    }
    struct conntrack_flow flow = {.protocol = original.protocol,
                                  .address = ntohl(original.destination_be),
                                  .port = ntohs(original.destination_port_be),
                                  .endpoint_address = ntohl(reply.source_be),
                                  .endpoint_port = ntohs(reply.source_port_be),
                                  .translated =
                                      original.destination_be != reply.source_be ||
                                      original.destination_port_be != reply.source_port_be};
    if (forget->is_stale(forget->ctx, &flow)) {
        *vec_push(&forget->stale) = original;
    }
}

static struct nlmsghdr *begin(struct netlink *netlink, uint16_t type)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), 0);
    struct nfgenmsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    info->nfgen_family = AF_INET;
    info->version = NFNETLINK_V0;
    return message;
}

static int delete_flow(struct netlink *netlink, const struct tuple *tuple, struct err *err)
{
    struct nlmsghdr *message = begin(netlink, IPCTNL_MSG_CT_DELETE);
    struct nlattr *nest = mnl_attr_nest_start(message, CTA_TUPLE_ORIG);
    struct nlattr *ip = mnl_attr_nest_start(message, CTA_TUPLE_IP);
    mnl_attr_put_u32(message, CTA_IP_V4_SRC, tuple->source_be);
    mnl_attr_put_u32(message, CTA_IP_V4_DST, tuple->destination_be);
    mnl_attr_nest_end(message, ip);
    struct nlattr *proto = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(message, CTA_PROTO_NUM, tuple->protocol);
    mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, tuple->source_port_be);
    mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, tuple->destination_port_be);
    mnl_attr_nest_end(message, proto);
    mnl_attr_nest_end(message, nest);
    struct err why = ERR_INIT;
    int rc = netlink_send(netlink, message, &why, "conntrack: delete");
    if (rc != 0 && why.os_errno == ENOENT) {
        return 0; /* it ended by itself */
    }
    if (rc != 0 && err != NULL) {
        *err = why;
    }
    return rc;
}

int conntrack_forget(int netns_fd, uint8_t protocol,
                     bool (*is_stale)(void *ctx, const struct conntrack_flow *flow), void *ctx,
                     struct err *err)
{
    struct netlink netlink;
    struct forget forget = {.protocol = protocol, .is_stale = is_stale, .ctx = ctx};
    int rc = netlink_open(&netlink, netns_fd, NETLINK_NETFILTER, err);
    if (rc != 0) {
        return rc;
    }
    rc = netlink_dump(&netlink, begin(&netlink, IPCTNL_MSG_CT_GET), visit_flow, &forget, err,
                      "conntrack: list");
    for (size_t i = 0; i < forget.stale.count && rc == 0; i++) {
        rc = delete_flow(&netlink, &forget.stale.items[i], err);
    }
    vec_done(&forget.stale);
    netlink_close(&netlink);
    return rc;
}
