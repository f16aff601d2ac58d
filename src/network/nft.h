/* nft.h: batches of nf_tables changes for the one table that is ours (linux/netfilter/nf_tables.h).
 *
 * A batch is bytes; nothing happens before nft_commit(), which the kernel takes whole or not at
 * all, at one instant for packets. Only table NFT_TABLE (family ip) is ever named, so foreign
 * tables cannot be touched. Addresses and ports in keys and data are in network byte order, each in
 * a 4 byte cell.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct netlink;
struct nlmsghdr;
struct nlattr;

#define NFT_TABLE "cox"

struct nft_batch {
    struct buf bytes;
    uint32_t changes;
    /* while a rule is built: offsets into bytes */
    size_t message, list, item, data;
    /* the last message, when it carries elements to which more of the same set can be added */
    struct {
        size_t message, list, end;
        uint16_t type;
        char set[128];
    } elements;
};
void nft_begin(struct nft_batch *batch);
void nft_done(struct nft_batch *batch); /* drops it */
/* Sends; the batch is empty afterwards, also on failure. */
int nft_commit(struct nft_batch *batch, struct netlink *netlink, struct err *err);

void nft_table_add(struct nft_batch *batch);    /* fine when it is there */
void nft_table_delete(struct nft_batch *batch); /* with all in it; fails when absent */

struct nft_hook {     /* a base chain */
    const char *type; /* "nat", "filter" */
    uint32_t hook;    /* NF_INET_* */
    int32_t priority;
};
void nft_chain_add(struct nft_batch *batch, const char *name, const struct nft_hook *hook);
void nft_chain_delete(struct nft_batch *batch, const char *name);
void nft_chain_flush(struct nft_batch *batch, const char *name);

/* Field types as nft prints them; a concatenation is one byte a field, at most three. */
enum nft_type {
    NFT_TYPE_INTEGER = 4,
    NFT_TYPE_ADDRESS = 7,
    NFT_TYPE_PROTOCOL = 12,
    NFT_TYPE_PORT = 13
};
struct nft_set {
    const char *name;
    uint8_t key[4];  /* enum nft_type, 0 ended */
    uint8_t data[4]; /* map data; none: a set */
    bool verdicts;   /* map to verdicts */
    bool dynamic;    /* filled by rules, elements time out */
    uint64_t timeout_ms;
    uint32_t size_limit; /* 0: none */
};
void nft_set_add(struct nft_batch *batch, const struct nft_set *set);
void nft_set_delete(struct nft_batch *batch, const char *name);

struct nft_element {
    const uint32_t *key; /* cells */
    unsigned key_cells;
    const uint32_t *data;
    unsigned data_cells;
    const char *verdict_chain; /* goto it */
    bool verdict_drop;
    uint64_t timeout_ms, expires_ms; /* dynamic sets */
};
void nft_element_add(struct nft_batch *batch, const char *set, const struct nft_element *element);
void nft_element_delete(struct nft_batch *batch, const char *set,
                        const struct nft_element *element);

/* ---- rules: begin, expressions, end. Registers are numbered in cells, R(0) to R(15). ---- */
void nft_rule_begin(struct nft_batch *batch, const char *chain);
void nft_rule_end(struct nft_batch *batch);
void nft_load_source(struct nft_batch *batch, unsigned reg);      /* ip saddr */
void nft_load_destination(struct nft_batch *batch, unsigned reg); /* ip daddr */
void nft_load_protocol(struct nft_batch *batch, unsigned reg);
void nft_load_port(struct nft_batch *batch, unsigned reg); /* destination port */
void nft_load_source_port(struct nft_batch *batch, unsigned reg);
void nft_load_mark(struct nft_batch *batch, unsigned reg);
void nft_load_ct_state(struct nft_batch *batch, unsigned reg);
void nft_load_random(struct nft_batch *batch, unsigned reg, uint32_t modulus); /* [0, modulus) */
/* RTN_* type of the destination's (or source's) address: RTN_LOCAL is this node's own. */
void nft_load_address_type(struct nft_batch *batch, unsigned reg, bool source);
void nft_compare(struct nft_batch *batch, unsigned reg, bool equal, const void *bytes, size_t size);
/* reg = (reg & mask) ^ exclusive_or; 4 bytes as they lie in the register */
void nft_mask(struct nft_batch *batch, unsigned reg, uint32_t mask, uint32_t exclusive_or);
void nft_set_mark(struct nft_batch *batch, unsigned reg);
void nft_lookup(struct nft_batch *batch, const char *set, unsigned key_reg, bool inverted);
void nft_lookup_map(struct nft_batch *batch, const char *set, unsigned key_reg, unsigned data_reg);
void nft_lookup_verdict(struct nft_batch *batch, const char *set, unsigned key_reg);
enum nft_dynamic { NFT_DYNAMIC_UPDATE, NFT_DYNAMIC_DELETE };
void nft_dynamic_set(struct nft_batch *batch, const char *set, enum nft_dynamic operation,
                     unsigned key_reg, unsigned data_reg, uint64_t timeout_ms);
void nft_go(struct nft_batch *batch, const char *chain, bool jump);
void nft_accept(struct nft_batch *batch);
void nft_no_track(struct nft_batch *batch); /* no connection is remembered for the packet */
void nft_return(struct nft_batch *batch);
void nft_drop(struct nft_batch *batch);
void nft_destination_nat(struct nft_batch *batch, unsigned address_reg, unsigned port_reg);
void nft_masquerade(struct nft_batch *batch);
void nft_reject(struct nft_batch *batch);       /* ICMP port unreachable */
void nft_reject_reset(struct nft_batch *batch); /* TCP reset; rule must have matched TCP */
