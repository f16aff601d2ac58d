/* ordered.h: an ordered set of object references by (namespace, name), for informers.
 *
 * A vector of sorted blocks: a search is two binary searches, an insert moves at most one block, a
 * walk is a scan. Entries do not move in memory as long as they are in the set.
 */
#pragma once
#include <stddef.h>

#include "api/object.h"

struct ordered_entry {
    struct object *object; /* one reference */
    uint32_t epoch;        /* the owner's: of the last sync that named it */
};
struct ordered_block;
struct ordered {
    struct ordered_block **blocks;
    size_t block_count, block_cap;
    size_t count;
};

struct ordered_place { /* before the first call of ordered_next: {0} or ordered_seek() */
    size_t block, at;
};

struct ordered_entry *ordered_find(const struct ordered *set, struct str ns, struct str name);
/* The entry of (ns, name), made with a NULL object when absent: give it one at once. */
struct ordered_entry *ordered_make(struct ordered *set, struct str ns, struct str name);
/* Removes and frees the entry; its object is returned to the caller, with its reference. */
struct object *ordered_take(struct ordered *set, struct str ns, struct str name);
/* The place of the first entry >= (ns, name). */
struct ordered_place ordered_seek(const struct ordered *set, struct str ns, struct str name);
/* NULL at the end. The set must not change between calls. */
struct ordered_entry *ordered_next(const struct ordered *set, struct ordered_place *place);
void ordered_done(struct ordered *set); /* drops all references */
