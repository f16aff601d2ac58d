/* nft_int.h: how nft.c and nft_rule.c put messages and attributes into a batch. */
#pragma once
#include <libmnl/libmnl.h>

#include "network/nft.h"

/* Room for the largest message; must be asked for before building one, so that it does not move. */
enum { NFT_MESSAGE_ROOM = 4096 };
struct nlmsghdr *nft_message(struct nft_batch *batch, uint16_t type, uint16_t flags);
void nft_message_end(struct nft_batch *batch, struct nlmsghdr *message);
static inline void nft_put_u32(struct nlmsghdr *message, uint16_t type, uint32_t value)
{
    mnl_attr_put_u32(message, type, __builtin_bswap32(value)); /* all numbers are big-endian */
}
void nft_put_verdict(struct nlmsghdr *message, int code, const char *chain);
