/* map.h: a hash map from text to a pointer. Keys are copied in; values are borrowed (the caller
 * frees them). Iteration order is insertion order as long as nothing was removed, so runs are
 * reproducible; one thread only. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct map_entry {
    struct str key; /* key.p == NULL: removed */
    void *value;
    uint64_t hash;
};
struct map {
    struct map_entry *entries; /* dense, in order of insertion */
    uint32_t *slots;           /* 0: free, else index + 1 */
    size_t count;              /* live entries */
    size_t used;               /* entries, removed ones included */
    size_t cap;                /* of entries; slots has 2 * cap */
};

#define MAP_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }
void map_done(struct map *map);                       /* frees keys, not values */
void *map_get(const struct map *map, struct str key); /* NULL when absent */
void *map_set(struct map *map, struct str key,
              void *value); /* returns the old value or NULL; value must not be NULL */
void *map_remove(struct map *map, struct str key); /* returns the removed value or NULL */
/* Visits live entries; the body may remove the current entry or set existing keys, not insert new
 * ones. */
struct map_entry *map_next(const struct map *map,
                           struct map_entry *prev); /* prev NULL: the first */
#define MAP_EACH(it, map)                                                                          \
    for (struct map_entry *it = map_next((map), NULL); it != NULL; it = map_next((map), it))
