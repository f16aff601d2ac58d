/* service_base.h: names of the fixed sets and chains, and the rules that never change. Internal to
 * network/. */
#pragma once
#include "network/service_rules.h"

#define SET_LAYOUT        "layout-3" /* another number: an older table is made anew at once */
#define SET_SERVICES      "services"
#define SET_NODE_PORTS    "node-ports"
#define SET_REFUSED       "refused"
#define SET_REFUSED_PORTS "refused-ports"
#define SET_HOST_PORTS    "host-ports"
#define SET_HOST_PORTS_ON "host-ports-on"
#define SET_HAIRPIN       "hairpin"
#define SET_NODES         "nodes"

void service_base_build(struct nft_batch *batch, const struct service_rules_options *options);
/* mark |= the bit that postrouting masquerades by */
void service_base_mark(struct nft_batch *batch);
/* Continues only when `reg` (an address) is (not) in the range. */
void service_base_match_range(struct nft_batch *batch, unsigned reg,
                              const struct address_range *range, bool inside);
