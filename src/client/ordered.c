/* The ordered set of object references behind an informer (ordered.h).
 *
 * Invariants: no block is empty; blocks and the entries in them are sorted by namespace, then name,
 * bytewise (cluster-scoped objects have the empty namespace); each entry has an object, except
 * between ordered_make and its caller's next line.
 */
#include "client/ordered.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { BLOCK = 128 };
struct ordered_block {
    size_t count;
    struct ordered_entry *entries[BLOCK];
};

static int compare(const struct object *object, struct str ns, struct str name)
{
    int order = str_cmp(object->ns, ns);
    return order != 0 ? order : str_cmp(object->name, name);
}

/* The last block whose first entry is <= the key, or block 0. */
static size_t block_of(const struct ordered *set, struct str ns, struct str name)
{
    size_t low = 0, high = set->block_count;
    while (low + 1 < high) {
        size_t middle = (low + high) / 2;
        if (compare(set->blocks[middle]->entries[0]->object, ns, name) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first entry of the block that is >= the key. */
static size_t place_in(const struct ordered_block *block, struct str ns, struct str name)
{
    size_t low = 0, high = block->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(block->entries[middle]->object, ns, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct ordered_place ordered_seek(const struct ordered *set, struct str ns, struct str name)
{
    struct ordered_place place = {0};
    if (set->block_count > 0) {
        place.block = block_of(set, ns, name);
        place.at = place_in(set->blocks[place.block], ns, name);
    }
    return place;
}

struct ordered_entry *ordered_next(const struct ordered *set, struct ordered_place *place)
{
    while (place->block < set->block_count && place->at >= set->blocks[place->block]->count) {
        place->block++;
        place->at = 0;
    }
    return place->block < set->block_count ? set->blocks[place->block]->entries[place->at++] : NULL;
}

struct ordered_entry *ordered_find(const struct ordered *set, struct str ns, struct str name)
{
    struct ordered_place place = ordered_seek(set, ns, name);
    struct ordered_entry *entry = ordered_next(set, &place);
    return entry != NULL && compare(entry->object, ns, name) == 0 ? entry : NULL;
}

static void insert_block(struct ordered *set, size_t at, struct ordered_block *block)
{
    if (set->block_count == set->block_cap) {
        set->block_cap = set->block_cap > 0 ? set->block_cap * 2 : 8;
        set->blocks = mem_realloc(set->blocks, set->block_cap * sizeof *set->blocks);
    }
    memmove(set->blocks + at + 1, set->blocks + at, (set->block_count - at) * sizeof *set->blocks);
    set->blocks[at] = block;
    set->block_count++;
}

/* Makes room in a full block: appends at the very end get a fresh block, so that a sorted load
 * fills blocks; others split in half. */
static void split(struct ordered *set, struct ordered_place *place)
{
    struct ordered_block *block = set->blocks[place->block];
    struct ordered_block *upper = mem_new(struct ordered_block);
    size_t keep = place->at == BLOCK && place->block + 1 == set->block_count ? BLOCK : BLOCK / 2;
    upper->count = BLOCK - keep;
    memcpy(upper->entries, block->entries + keep, upper->count * sizeof(struct ordered_entry *));
    block->count = keep;
    insert_block(set, place->block + 1, upper);
    if (place->at > keep || keep == BLOCK) {
        place->block++;
        place->at -= keep;
    }
}

struct ordered_entry *ordered_make(struct ordered *set, struct str ns, struct str name)
{
    if (set->block_count == 0) {
        insert_block(set, 0, mem_new(struct ordered_block));
    }
    struct ordered_place place = {0};
    if (set->count > 0) {
        place = ordered_seek(set, ns, name);
    }
    struct ordered_block *block = set->blocks[place.block];
    if (place.at < block->count && compare(block->entries[place.at]->object, ns, name) == 0) {
        return block->entries[place.at];
    }
    if (block->count == BLOCK) {
        split(set, &place);
        block = set->blocks[place.block];
    }
    struct ordered_entry *entry = mem_new(struct ordered_entry);
    memmove(block->entries + place.at + 1, block->entries + place.at,
            (block->count - place.at) * sizeof(struct ordered_entry *));
    block->entries[place.at] = entry;
    block->count++;
    set->count++;
    return entry;
}

struct object *ordered_take(struct ordered *set, struct str ns, struct str name)
{
    struct ordered_place place = ordered_seek(set, ns, name);
    if (ordered_find(set, ns, name) == NULL) {
        return NULL;
    }
    if (place.at >= set->blocks[place.block]->count) {
        place.block++;
        place.at = 0;
    }
    struct ordered_block *block = set->blocks[place.block];
    struct ordered_entry *entry = block->entries[place.at];
    struct object *object = entry->object;
    free(entry);
    block->count--;
    set->count--;
    memmove(block->entries + place.at, block->entries + place.at + 1,
            (block->count - place.at) * sizeof(struct ordered_entry *));
    if (block->count == 0) {
        free(block);
        set->block_count--;
        memmove(set->blocks + place.block, set->blocks + place.block + 1,
                (set->block_count - place.block) * sizeof *set->blocks);
    }
    return object;
}

void ordered_done(struct ordered *set)
{
    for (size_t i = 0; i < set->block_count; i++) {
        struct ordered_block *block = set->blocks[i];
        for (size_t j = 0; j < block->count; j++) {
            object_unref(block->entries[j]->object);
            free(block->entries[j]);
        }
        free(block);
    }
    free(set->blocks);
    *set = (struct ordered){0};
}
