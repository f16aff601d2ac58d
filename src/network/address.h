/* address.h: IPv4 addresses and ranges as the node's network uses them, and the pool that hands
 * them out. Addresses are in host byte order unless a name ends in _be.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

enum { ADDRESS_TEXT_SIZE = 16 };

struct address_range {
    uint32_t base; /* network address */
    uint8_t prefix;
    bool set; /* false: no range given */
};

bool address_parse(struct str text, uint32_t *ret_address); /* strict dotted quad */
void address_format(uint32_t address, char ret_text[ADDRESS_TEXT_SIZE]);
/* "10.244.0.0/24"; host bits are cleared. Empty text gives a range that is not set. ERR_INVALID. */
int address_range_parse(struct str text, struct address_range *ret_range, struct err *err);
uint32_t address_range_mask(const struct address_range *range);
static inline bool address_in_range(const struct address_range *range, uint32_t address)
{
    return range->set && (address & address_range_mask(range)) == range->base;
}

/* Which addresses of a range are in use. Network, gateway (first) and broadcast address are never
 * handed out; a freed address comes back as late as possible, so that nobody talks to the wrong
 * pod. */
struct address_pool {
    struct address_range range;
    uint8_t *used; /* a bit an address */
    uint32_t size, next, taken;
};
int address_pool_init(struct address_pool *pool, struct address_range range, struct err *err);
void address_pool_done(struct address_pool *pool);
bool address_pool_take(struct address_pool *pool, uint32_t *ret_address); /* false: all in use */
bool address_pool_mark(struct address_pool *pool, uint32_t address); /* false: not of this range */
void address_pool_free(struct address_pool *pool, uint32_t address);
