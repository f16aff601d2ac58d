/* service_base.c: the fixed part of table `cox`.
 *
 *   prerouting, output (nat)   -> dispatch: Service addresses, host ports, node ports
 *   postrouting (nat)          masquerades: marked packets; a pod that reached itself through a
 *                              Service; pods that leave the cluster
 *   input, forward, output     -> check: refuses what has nobody behind it, and what is left of the
 *                              service range after dispatch
 *
 *   prerouting, output (raw)   -> dns: queries to the DNS in process are not tracked
 *
 * Registers in dispatch and check: R(0) address, R(1) protocol, R(2) port.
 */
#include "network/service_base.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

enum { MASQUERADE_BIT = 0x4000 };

static void match_mask(struct nft_batch *batch, unsigned reg, uint32_t mask, uint32_t value,
                       bool equal)
{
    nft_mask(batch, reg, mask, 0);
    nft_compare(batch, reg, equal, &value, 4);
}

void service_base_match_range(struct nft_batch *batch, unsigned reg,
                              const struct address_range *range, bool inside)
{
    match_mask(batch, reg, htonl(address_range_mask(range)), htonl(range->base), inside);
}

void service_base_mark(struct nft_batch *batch)
{
    nft_load_mark(batch, 4);
    nft_mask(batch, 4, ~(uint32_t)MASQUERADE_BIT, MASQUERADE_BIT);
    nft_set_mark(batch, 4);
}

static void load_key(struct nft_batch *batch)
{
    nft_load_destination(batch, 0);
    nft_load_protocol(batch, 1);
    nft_load_port(batch, 2);
}

static void match_address_type(struct nft_batch *batch, bool source, bool local)
{
    uint32_t type = RTN_LOCAL;
    nft_load_address_type(batch, 4, source);
    nft_compare(batch, 4, local, &type, 4);
}

static void build_sets(struct nft_batch *batch)
{
    static const struct nft_set sets[] = {
        {.name = SET_LAYOUT, .key = {NFT_TYPE_ADDRESS}},
        {.name = SET_SERVICES,
         .key = {NFT_TYPE_ADDRESS, NFT_TYPE_PROTOCOL, NFT_TYPE_PORT},
         .verdicts = true},
        {.name = SET_NODE_PORTS, .key = {NFT_TYPE_PROTOCOL, NFT_TYPE_PORT}, .verdicts = true},
        {.name = SET_REFUSED, .key = {NFT_TYPE_ADDRESS, NFT_TYPE_PROTOCOL, NFT_TYPE_PORT}},
        {.name = SET_REFUSED_PORTS, .key = {NFT_TYPE_PROTOCOL, NFT_TYPE_PORT}},
        {.name = SET_HOST_PORTS,
         .key = {NFT_TYPE_PROTOCOL, NFT_TYPE_PORT},
         .data = {NFT_TYPE_ADDRESS, NFT_TYPE_PORT}},
        {.name = SET_HOST_PORTS_ON,
         .key = {NFT_TYPE_ADDRESS, NFT_TYPE_PROTOCOL, NFT_TYPE_PORT},
         .data = {NFT_TYPE_ADDRESS, NFT_TYPE_PORT}},
        {.name = SET_HAIRPIN, .key = {NFT_TYPE_ADDRESS, NFT_TYPE_ADDRESS}},
        {.name = SET_NODES, .key = {NFT_TYPE_ADDRESS}},
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        nft_set_add(batch, &sets[i]);
    }
}

static void build_chains(struct nft_batch *batch)
{
    static const struct {
        const char *name, *goes_to;
        struct nft_hook hook;
    } chains[] = {
        {"prerouting", "dispatch", {"nat", NF_INET_PRE_ROUTING, -100}},
        {"output", "dispatch", {"nat", NF_INET_LOCAL_OUT, -100}},
        {"postrouting", NULL, {"nat", NF_INET_POST_ROUTING, 100}},
        {"check-input", "check", {"filter", NF_INET_LOCAL_IN, 0}},
        {"check-forward", "check", {"filter", NF_INET_FORWARD, 0}},
        {"check-output", "check", {"filter", NF_INET_LOCAL_OUT, 0}},
    };
    nft_chain_add(batch, "dispatch", NULL);
    nft_chain_add(batch, "check", NULL);
    nft_chain_add(batch, "refuse", NULL);
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        nft_chain_add(batch, chains[i].name, &chains[i].hook);
        if (chains[i].goes_to != NULL) {
            nft_rule_begin(batch, chains[i].name);
            nft_go(batch, chains[i].goes_to, true);
            nft_rule_end(batch);
        }
    }
}

static void build_dispatch(struct nft_batch *batch, const struct service_rules_options *options)
{
    if (options->cluster.set && options->services.set) {
        /* From outside the pods to a Service: the answer must come back through this node. */
        nft_rule_begin(batch, "dispatch");
        nft_load_destination(batch, 0);
        service_base_match_range(batch, 0, &options->services, true);
        nft_load_source(batch, 0);
        service_base_match_range(batch, 0, &options->cluster, false);
        service_base_mark(batch);
        nft_rule_end(batch);
    }
    nft_rule_begin(batch, "dispatch");
    load_key(batch);
    nft_lookup_verdict(batch, SET_SERVICES, 0);
    nft_rule_end(batch);
    nft_rule_begin(batch, "dispatch");
    load_key(batch);
    nft_lookup_map(batch, SET_HOST_PORTS_ON, 0, 8);
    nft_destination_nat(batch, 8, 9);
    nft_rule_end(batch);
    nft_rule_begin(batch, "dispatch"); /* 127.0.0.0/8 stays on this machine */
    nft_load_destination(batch, 0);
    match_mask(batch, 0, htonl(0xFF000000), htonl(0x7F000000), true);
    nft_return(batch);
    nft_rule_end(batch);
    nft_rule_begin(batch, "dispatch");
    match_address_type(batch, false, true);
    load_key(batch);
    nft_lookup_verdict(batch, SET_NODE_PORTS, 1);
    nft_rule_end(batch);
    nft_rule_begin(batch, "dispatch");
    match_address_type(batch, false, true);
    load_key(batch);
    nft_lookup_map(batch, SET_HOST_PORTS, 1, 8);
    nft_destination_nat(batch, 8, 9);
    nft_rule_end(batch);
}

static void build_postrouting(struct nft_batch *batch, const struct service_rules_options *options)
{
    uint32_t bit = MASQUERADE_BIT;
    nft_rule_begin(batch, "postrouting");
    nft_load_mark(batch, 0);
    match_mask(batch, 0, bit, bit, true);
    nft_load_mark(batch, 0);
    nft_mask(batch, 0, ~bit, 0); /* clear it: the packet may come by again */
    nft_set_mark(batch, 0);
    nft_masquerade(batch);
    nft_rule_end(batch);
    nft_rule_begin(batch, "postrouting");
    nft_load_source(batch, 0);
    nft_load_destination(batch, 1);
    nft_lookup(batch, SET_HAIRPIN, 0, false);
    nft_masquerade(batch);
    nft_rule_end(batch);
    nft_rule_begin(batch, "postrouting");
    nft_load_source(batch, 0);
    service_base_match_range(batch, 0, &options->pods, true);
    nft_load_destination(batch, 0);
    nft_lookup(batch, SET_NODES, 0, true);
    service_base_match_range(batch, 0, options->cluster.set ? &options->cluster : &options->pods,
                             false);
    nft_masquerade(batch);
    nft_rule_end(batch);
}

/* DNS over UDP is answered on this node: connections of a packet each would only fill the table
 * (and meet its races). */
static void build_no_track(struct nft_batch *batch, const struct service_rules_options *options)
{
    static const struct nft_hook in = {"filter", NF_INET_PRE_ROUTING, -300},
                                 out = {"filter", NF_INET_LOCAL_OUT, -300};
    uint32_t address = htonl(options->dns_address);
    uint16_t port = htons(53);
    uint8_t udp = IPPROTO_UDP;
    if (options->dns_address == 0) {
        return;
    }
    nft_chain_add(batch, "dns", NULL);
    for (int answers = 0; answers < 2; answers++) {
        nft_rule_begin(batch, "dns");
        nft_load_protocol(batch, 0);
        nft_compare(batch, 0, true, &udp, 1);
        (answers ? nft_load_source : nft_load_destination)(batch, 0);
        nft_compare(batch, 0, true, &address, 4);
        (answers ? nft_load_source_port : nft_load_port)(batch, 0);
        nft_compare(batch, 0, true, &port, 2);
        nft_no_track(batch);
        nft_rule_end(batch);
    }
    nft_chain_add(batch, "dns-prerouting", &in);
    nft_rule_begin(batch, "dns-prerouting");
    nft_go(batch, "dns", true);
    nft_rule_end(batch);
    nft_chain_add(batch, "dns-output", &out);
    nft_rule_begin(batch, "dns-output");
    nft_go(batch, "dns", true);
    nft_rule_end(batch);
}

static void build_check(struct nft_batch *batch, const struct service_rules_options *options)
{
    uint32_t known = 1u << 1 | 1u << 2; /* established, related */
    uint32_t zero = 0;
    nft_rule_begin(batch, "check");
    nft_load_ct_state(batch, 0);
    nft_mask(batch, 0, known, 0);
    nft_compare(batch, 0, false, &zero, 4);
    nft_return(batch);
    nft_rule_end(batch);
    nft_rule_begin(batch, "check");
    load_key(batch);
    nft_lookup(batch, SET_REFUSED, 0, false);
    nft_go(batch, "refuse", false);
    nft_rule_end(batch);
    nft_rule_begin(batch, "check");
    load_key(batch);
    nft_lookup(batch, SET_REFUSED_PORTS, 1, false);
    match_address_type(batch, false, true);
    nft_go(batch, "refuse", false);
    nft_rule_end(batch);
    if (options->services.set) {
        nft_rule_begin(batch, "check");
        nft_load_destination(batch, 0);
        service_base_match_range(batch, 0, &options->services, true);
        match_address_type(batch, false, false); /* not our DNS address */
        nft_go(batch, "refuse", false);
        nft_rule_end(batch);
    }
    uint8_t tcp = IPPROTO_TCP;
    nft_rule_begin(batch, "refuse"); /* a reset is not rate-limited as ICMP is */
    nft_load_protocol(batch, 0);
    nft_compare(batch, 0, true, &tcp, 1);
    nft_reject_reset(batch);
    nft_rule_end(batch);
    nft_rule_begin(batch, "refuse");
    nft_reject(batch);
    nft_rule_end(batch);
}

void service_base_build(struct nft_batch *batch, const struct service_rules_options *options)
{
    build_sets(batch);
    build_chains(batch);
    build_dispatch(batch, options);
    build_postrouting(batch, options);
    build_check(batch, options);
    build_no_track(batch, options);
}
