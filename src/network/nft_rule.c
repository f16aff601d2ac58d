/* nft_rule.c: rules as lists of expressions (what `nft --debug=netlink` shows).
 *
 * A rule is built in place: nft_rule_begin leaves its message open in the batch, expressions are
 * added, nft_rule_end closes it. Registers are the 4 byte cells NFT_REG32_00 and up, so a
 * concatenation is just neighbouring cells.
 */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include "network/nft_int.h"

static struct nlmsghdr *current(struct nft_batch *batch)
{
    return (struct nlmsghdr *)(void *)(batch->bytes.p + batch->message);
}

static struct nlattr *attribute_at(struct nft_batch *batch, size_t offset)
{
    return (struct nlattr *)(void *)(batch->bytes.p + offset);
}

static size_t offset_of(struct nft_batch *batch, const struct nlattr *attribute)
{
    return (size_t)((const char *)attribute - batch->bytes.p);
}

void nft_rule_begin(struct nft_batch *batch, const char *chain)
{
    struct nlmsghdr *message = nft_message(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    batch->message = batch->bytes.n;
    mnl_attr_put_strz(message, NFTA_RULE_TABLE, NFT_TABLE);
    mnl_attr_put_strz(message, NFTA_RULE_CHAIN, chain);
    batch->list = offset_of(batch, mnl_attr_nest_start(message, NFTA_RULE_EXPRESSIONS));
}

void nft_rule_end(struct nft_batch *batch)
{
    mnl_attr_nest_end(current(batch), attribute_at(batch, batch->list));
    nft_message_end(batch, current(batch));
}

static struct nlmsghdr *begin(struct nft_batch *batch, const char *name)
{
    struct nlmsghdr *message = current(batch);
    batch->item = offset_of(batch, mnl_attr_nest_start(message, NFTA_LIST_ELEM));
    mnl_attr_put_strz(message, NFTA_EXPR_NAME, name);
    batch->data = offset_of(batch, mnl_attr_nest_start(message, NFTA_EXPR_DATA));
    return message;
}

static void end(struct nft_batch *batch)
{
    mnl_attr_nest_end(current(batch), attribute_at(batch, batch->data));
    mnl_attr_nest_end(current(batch), attribute_at(batch, batch->item));
}

static uint32_t cell(unsigned reg)
{
    return NFT_REG32_00 + reg;
}

static void load_payload(struct nft_batch *batch, unsigned reg, uint32_t base, uint32_t offset,
                         uint32_t size)
{
    struct nlmsghdr *message = begin(batch, "payload");
    nft_put_u32(message, NFTA_PAYLOAD_DREG, cell(reg));
    nft_put_u32(message, NFTA_PAYLOAD_BASE, base);
    nft_put_u32(message, NFTA_PAYLOAD_OFFSET, offset);
    nft_put_u32(message, NFTA_PAYLOAD_LEN, size);
    end(batch);
}

void nft_load_source(struct nft_batch *batch, unsigned reg)
{
    load_payload(batch, reg, NFT_PAYLOAD_NETWORK_HEADER, 12, 4);
}

void nft_load_destination(struct nft_batch *batch, unsigned reg)
{
    load_payload(batch, reg, NFT_PAYLOAD_NETWORK_HEADER, 16, 4);
}

void nft_load_port(struct nft_batch *batch, unsigned reg)
{
    load_payload(batch, reg, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2); /* tcp, udp and sctp alike */
}

void nft_load_source_port(struct nft_batch *batch, unsigned reg)
{
    load_payload(batch, reg, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2);
}

static void load_meta(struct nft_batch *batch, unsigned reg, uint32_t key)
{
    struct nlmsghdr *message = begin(batch, "meta");
    nft_put_u32(message, NFTA_META_DREG, cell(reg));
    nft_put_u32(message, NFTA_META_KEY, key);
    end(batch);
}

void nft_load_protocol(struct nft_batch *batch, unsigned reg)
{
    load_meta(batch, reg, NFT_META_L4PROTO);
}

void nft_load_mark(struct nft_batch *batch, unsigned reg)
{
    load_meta(batch, reg, NFT_META_MARK);
}

void nft_set_mark(struct nft_batch *batch, unsigned reg)
{
    struct nlmsghdr *message = begin(batch, "meta");
    nft_put_u32(message, NFTA_META_KEY, NFT_META_MARK);
    nft_put_u32(message, NFTA_META_SREG, cell(reg));
    end(batch);
}

void nft_load_ct_state(struct nft_batch *batch, unsigned reg)
{
    struct nlmsghdr *message = begin(batch, "ct");
    nft_put_u32(message, NFTA_CT_DREG, cell(reg));
    nft_put_u32(message, NFTA_CT_KEY, NFT_CT_STATE);
    end(batch);
}

void nft_load_random(struct nft_batch *batch, unsigned reg, uint32_t modulus)
{
    struct nlmsghdr *message = begin(batch, "numgen");
    nft_put_u32(message, NFTA_NG_DREG, cell(reg));
    nft_put_u32(message, NFTA_NG_MODULUS, modulus);
    nft_put_u32(message, NFTA_NG_TYPE, NFT_NG_RANDOM);
    nft_put_u32(message, NFTA_NG_OFFSET, 0);
    end(batch);
}

void nft_load_address_type(struct nft_batch *batch, unsigned reg, bool source)
{
    struct nlmsghdr *message = begin(batch, "fib");
    nft_put_u32(message, NFTA_FIB_DREG, cell(reg));
    nft_put_u32(message, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nft_put_u32(message, NFTA_FIB_FLAGS, source ? NFTA_FIB_F_SADDR : NFTA_FIB_F_DADDR);
    end(batch);
}

static void put_value(struct nlmsghdr *message, uint16_t attribute, const void *bytes, size_t size)
{
    struct nlattr *nest = mnl_attr_nest_start(message, attribute);
    mnl_attr_put(message, NFTA_DATA_VALUE, size, bytes);
    mnl_attr_nest_end(message, nest);
}

void nft_compare(struct nft_batch *batch, unsigned reg, bool equal, const void *bytes, size_t size)
{
    struct nlmsghdr *message = begin(batch, "cmp");
    nft_put_u32(message, NFTA_CMP_SREG, cell(reg));
    nft_put_u32(message, NFTA_CMP_OP, equal ? NFT_CMP_EQ : NFT_CMP_NEQ);
    put_value(message, NFTA_CMP_DATA, bytes, size);
    end(batch);
}

void nft_mask(struct nft_batch *batch, unsigned reg, uint32_t mask, uint32_t exclusive_or)
{
    struct nlmsghdr *message = begin(batch, "bitwise");
    nft_put_u32(message, NFTA_BITWISE_SREG, cell(reg));
    nft_put_u32(message, NFTA_BITWISE_DREG, cell(reg));
    nft_put_u32(message, NFTA_BITWISE_LEN, 4);
    put_value(message, NFTA_BITWISE_MASK, &mask, 4);
    put_value(message, NFTA_BITWISE_XOR, &exclusive_or, 4);
    end(batch);
}

void nft_lookup(struct nft_batch *batch, const char *set, unsigned key_reg, bool inverted)
{
    struct nlmsghdr *message = begin(batch, "lookup");
    mnl_attr_put_strz(message, NFTA_LOOKUP_SET, set);
    nft_put_u32(message, NFTA_LOOKUP_SREG, cell(key_reg));
    nft_put_u32(message, NFTA_LOOKUP_FLAGS, inverted ? NFT_LOOKUP_F_INV : 0);
    end(batch);
}

static void lookup_into(struct nft_batch *batch, const char *set, unsigned key_reg, uint32_t into)
{
    struct nlmsghdr *message = begin(batch, "lookup");
    mnl_attr_put_strz(message, NFTA_LOOKUP_SET, set);
    nft_put_u32(message, NFTA_LOOKUP_SREG, cell(key_reg));
    nft_put_u32(message, NFTA_LOOKUP_DREG, into);
    end(batch);
}

void nft_lookup_map(struct nft_batch *batch, const char *set, unsigned key_reg, unsigned data_reg)
{
    lookup_into(batch, set, key_reg, cell(data_reg));
}

void nft_lookup_verdict(struct nft_batch *batch, const char *set, unsigned key_reg)
{
    lookup_into(batch, set, key_reg, NFT_REG_VERDICT);
}

void nft_dynamic_set(struct nft_batch *batch, const char *set, enum nft_dynamic operation,
                     unsigned key_reg, unsigned data_reg, uint64_t timeout_ms)
{
    struct nlmsghdr *message = begin(batch, "dynset");
    mnl_attr_put_strz(message, NFTA_DYNSET_SET_NAME, set);
    nft_put_u32(message, NFTA_DYNSET_OP,
                operation == NFT_DYNAMIC_UPDATE ? NFT_DYNSET_OP_UPDATE : NFT_DYNSET_OP_DELETE);
    nft_put_u32(message, NFTA_DYNSET_SREG_KEY, cell(key_reg));
    nft_put_u32(message, NFTA_DYNSET_SREG_DATA, cell(data_reg));
    if (timeout_ms != 0) {
        mnl_attr_put_u64(message, NFTA_DYNSET_TIMEOUT, __builtin_bswap64(timeout_ms));
    }
    end(batch);
}

static void put_verdict_expression(struct nft_batch *batch, int code, const char *chain)
{
    struct nlmsghdr *message = begin(batch, "immediate");
    nft_put_u32(message, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
    struct nlattr *nest = mnl_attr_nest_start(message, NFTA_IMMEDIATE_DATA);
    nft_put_verdict(message, code, chain);
    mnl_attr_nest_end(message, nest);
    end(batch);
}

void nft_go(struct nft_batch *batch, const char *chain, bool jump)
{
    put_verdict_expression(batch, jump ? NFT_JUMP : NFT_GOTO, chain);
}

void nft_no_track(struct nft_batch *batch)
{
    begin(batch, "notrack");
    end(batch);
}

void nft_accept(struct nft_batch *batch)
{
    put_verdict_expression(batch, NF_ACCEPT, NULL);
}

void nft_return(struct nft_batch *batch)
{
    put_verdict_expression(batch, NFT_RETURN, NULL);
}

void nft_drop(struct nft_batch *batch)
{
    put_verdict_expression(batch, NF_DROP, NULL);
}

void nft_destination_nat(struct nft_batch *batch, unsigned address_reg, unsigned port_reg)
{
    struct nlmsghdr *message = begin(batch, "nat");
    nft_put_u32(message, NFTA_NAT_TYPE, NFT_NAT_DNAT);
    nft_put_u32(message, NFTA_NAT_FAMILY, NFPROTO_IPV4);
    nft_put_u32(message, NFTA_NAT_REG_ADDR_MIN, cell(address_reg));
    nft_put_u32(message, NFTA_NAT_REG_PROTO_MIN, cell(port_reg));
    end(batch);
}

void nft_masquerade(struct nft_batch *batch)
{
    begin(batch, "masq");
    end(batch);
}

void nft_reject(struct nft_batch *batch)
{
    struct nlmsghdr *message = begin(batch, "reject");
    nft_put_u32(message, NFTA_REJECT_TYPE, NFT_REJECT_ICMP_UNREACH);
    mnl_attr_put_u8(message, NFTA_REJECT_ICMP_CODE, 3);
    end(batch);
}

void nft_reject_reset(struct nft_batch *batch)
{
    struct nlmsghdr *message = begin(batch, "reject");
    nft_put_u32(message, NFTA_REJECT_TYPE, NFT_REJECT_TCP_RST);
    mnl_attr_put_u8(message, NFTA_REJECT_ICMP_CODE, 0);
    end(batch);
}
