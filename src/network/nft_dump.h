/* nft_dump.h: reads back what table `cox` holds: names of sets, elements of a set. Internal to
 * network/. */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct netlink;
struct nft_dumped_element {
    uint32_t key[4], data[4]; /* cells as in nft.h */
    unsigned key_cells, data_cells;
    uint64_t timeout_ms, expires_ms; /* 0: never */
};
/* No table: nothing is visited. */
int nft_each_set(struct netlink *netlink, void (*visit)(void *ctx, const char *name), void *ctx,
                 struct err *err);
int nft_each_element(struct netlink *netlink, const char *set,
                     void (*visit)(void *ctx, const char *set,
                                   const struct nft_dumped_element *element),
                     void *ctx, struct err *err);
