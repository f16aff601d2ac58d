/* tally.h: counters by topology domain (label key and value), in an arena, for one decision. */
#pragma once
#include "scheduler/labels.h"

struct tally_slot {
    uint64_t domain; /* 0: free */
    int64_t count;
};
struct tally {
    struct tally_slot *slots;
    size_t mask, used;
};
/* A domain is told by 64 bits of its key's and value's hashes. */
static inline uint64_t tally_domain(uint64_t key_hash, uint64_t value_hash)
{
    return ((key_hash * 0x9e3779b97f4a7c15ULL) ^ value_hash) | 1;
}
/* NULL when it was never added to. */
int64_t *tally_find(const struct tally *tally, uint64_t domain);
/* The counter, made with 0 when new. */
int64_t *tally_get(struct tally *tally, struct arena *arena, uint64_t domain);
#define TALLY_EACH(it, tally)                                                                      \
    for (struct tally_slot *it = (tally)->slots;                                                   \
         it != NULL && it <= (tally)->slots + (tally)->mask; it++)                                 \
        if (it->domain != 0)
