/* nft_dump.c: netlink dumps of our table. Attributes that are not understood are skipped; wrong
 * sizes leave a field empty.
 */
#include "network/nft_dump.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "network/netlink.h"
#include "network/nft.h"

static struct nlmsghdr *begin(struct netlink *netlink, uint16_t type)
{
    struct nlmsghdr *message =
        netlink_begin(netlink, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), 0);
    struct nfgenmsg *info = mnl_nlmsg_put_extra_header(message, sizeof *info);
    info->nfgen_family = NFPROTO_IPV4;
    info->version = NFNETLINK_V0;
    return message;
}

struct each_set {
    void (*visit)(void *ctx, const char *name);
    void *ctx;
};

static void visit_set(void *ctx, const struct nlmsghdr *answer)
{
    const struct each_set *each = ctx;
    const struct nlattr *attribute;
    const char *table = "", *name = NULL;
    mnl_attr_for_each(attribute, answer, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attribute) == NFTA_SET_TABLE) {
            table = mnl_attr_get_str(attribute);
        } else if (mnl_attr_get_type(attribute) == NFTA_SET_NAME) {
            name = mnl_attr_get_str(attribute);
        }
    }
    if (name != NULL && str_is(str_of(table), NFT_TABLE)) {
        each->visit(each->ctx, name);
    }
}

int nft_each_set(struct netlink *netlink, void (*visit)(void *ctx, const char *name), void *ctx,
                 struct err *err)
{
    struct each_set each = {visit, ctx};
    return netlink_dump(netlink, begin(netlink, NFT_MSG_GETSET), visit_set, &each, err,
                        "nftables: list sets");
}

static unsigned read_cells(const struct nlattr *nest, uint32_t ret_cells[4])
{
    const struct nlattr *attribute;
    unsigned cells = 0;
    mnl_attr_for_each_nested(attribute, nest)
    {
        size_t size = mnl_attr_get_payload_len(attribute);
        if (mnl_attr_get_type(attribute) == NFTA_DATA_VALUE && size <= 16) {
            memcpy(ret_cells, mnl_attr_get_payload(attribute), size);
            cells = (unsigned)((size + 3) / 4);
        }
    }
    return cells;
}

struct each_element {
    const char *set;
    void (*visit)(void *ctx, const char *set, const struct nft_dumped_element *element);
    void *ctx;
};

static uint64_t read_u64(const struct nlattr *attribute)
{
    return mnl_attr_get_payload_len(attribute) == 8 ? __builtin_bswap64(mnl_attr_get_u64(attribute))
                                                    : 0;
}

static void visit_item(const struct each_element *each, const struct nlattr *item)
{
    struct nft_dumped_element element = {0};
    const struct nlattr *attribute;
    mnl_attr_for_each_nested(attribute, item)
    {
        switch (mnl_attr_get_type(attribute)) {
        case NFTA_SET_ELEM_KEY:
            element.key_cells = read_cells(attribute, element.key);
            break;
        case NFTA_SET_ELEM_DATA:
            element.data_cells = read_cells(attribute, element.data);
            break;
        case NFTA_SET_ELEM_TIMEOUT:
            element.timeout_ms = read_u64(attribute);
            break;
        case NFTA_SET_ELEM_EXPIRATION:
            element.expires_ms = read_u64(attribute);
            break;
        default:
            break;
        }
    }
    each->visit(each->ctx, each->set, &element);
}

static void visit_elements(void *ctx, const struct nlmsghdr *answer)
{
    const struct nlattr *attribute, *item;
    mnl_attr_for_each(attribute, answer, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(attribute) != NFTA_SET_ELEM_LIST_ELEMENTS) {
            continue;
        }
        mnl_attr_for_each_nested(item, attribute)
        {
            visit_item(ctx, item);
        }
    }
}

int nft_each_element(struct netlink *netlink, const char *set,
                     void (*visit)(void *ctx, const char *set,
                                   const struct nft_dumped_element *element),
                     void *ctx, struct err *err)
{
    struct each_element each = {set, visit, ctx};
    struct nlmsghdr *message = begin(netlink, NFT_MSG_GETSETELEM);
    mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_TABLE, NFT_TABLE);
    mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set);
    return netlink_dump(netlink, message, visit_elements, &each, err, "nftables: list elements");
}
