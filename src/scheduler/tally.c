/* tally.c: see tally.h. Open addressing; grows by doubling into new memory of the arena. */
#include "scheduler/tally.h"

static struct tally_slot *slot_of(const struct tally *tally, uint64_t domain)
{
    for (size_t i = (domain >> 7) & tally->mask;; i = (i + 1) & tally->mask) {
        struct tally_slot *slot = &tally->slots[i];
        if (slot->domain == 0 || slot->domain == domain) {
            return slot;
        }
    }
}

int64_t *tally_find(const struct tally *tally, uint64_t domain)
{
    struct tally_slot *slot = tally->slots != NULL ? slot_of(tally, domain) : NULL;
    return slot != NULL && slot->domain != 0 ? &slot->count : NULL;
}

static void grow(struct tally *tally, struct arena *arena)
{
    struct tally old = *tally;
    size_t size = old.slots == NULL ? 16 : (old.mask + 1) * 2;
    tally->slots = arena_array(arena, struct tally_slot, size);
    tally->mask = size - 1;
    TALLY_EACH(it, &old)
    {
        *slot_of(tally, it->domain) = *it;
    }
}

int64_t *tally_get(struct tally *tally, struct arena *arena, uint64_t domain)
{
    if (tally->slots == NULL || tally->used * 2 > tally->mask) {
        grow(tally, arena);
    }
    struct tally_slot *slot = slot_of(tally, domain);
    if (slot->domain == 0) {
        slot->domain = domain;
        tally->used++;
    }
    return &slot->count;
}
