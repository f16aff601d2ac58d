/* map.c: open addressing over a dense, ordered array of entries. See map.h. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void map_done(struct map *map)
{
    for (size_t i = 0; i < map->used; i++) {
        free((char *)map->entries[i].key.p);
    }
    free(map->entries);
    free(map->slots);
    *map = (struct map){0};
}

/* The slot that holds `key`, or the free slot where its probe ends. */
static size_t slot_of(const struct map *map, struct str key, uint64_t hash)
{
    size_t mask = map->cap * 2 - 1;
    size_t at = hash & mask;
    while (map->slots[at] != 0) {
        const struct map_entry *entry = &map->entries[map->slots[at] - 1];
        if (entry->hash == hash && entry->key.p != NULL && str_eq(entry->key, key)) {
            break;
        }
        at = (at + 1) & mask;
    }
    return at;
}

static void rebuild(struct map *map, size_t cap)
{
    struct map_entry *entries = mem_array(struct map_entry, cap);
    size_t kept = 0;
    for (size_t i = 0; i < map->used; i++) {
        if (map->entries[i].key.p != NULL) {
            entries[kept++] = map->entries[i];
        }
    }
    free(map->entries);
    free(map->slots);
    map->entries = entries;
    map->slots = mem_array(uint32_t, cap * 2);
    map->cap = cap;
    map->used = kept;
    for (size_t i = 0; i < kept; i++) {
        map->slots[slot_of(map, entries[i].key, entries[i].hash)] = (uint32_t)i + 1;
    }
}

void *map_get(const struct map *map, struct str key)
{
    if (map->count == 0) {
        return NULL;
    }
    size_t at = slot_of(map, key, str_hash(key));
    return map->slots[at] == 0 ? NULL : map->entries[map->slots[at] - 1].value;
}

void *map_set(struct map *map, struct str key, void *value)
{
    if (map->used == map->cap) {
        rebuild(map, map->count * 2 < 8 ? 8 : map->count * 2 <= map->cap ? map->cap : map->cap * 2);
    }
    uint64_t hash = str_hash(key);
    size_t at = slot_of(map, key, hash);
    if (map->slots[at] != 0) {
        struct map_entry *entry = &map->entries[map->slots[at] - 1];
        void *old = entry->value;
        entry->value = value;
        return old;
    }
    map->entries[map->used] = (struct map_entry){{str_dup(key), key.n}, value, hash};
    map->slots[at] = (uint32_t)++map->used;
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, struct str key)
{
    if (map->count == 0) {
        return NULL;
    }
    size_t at = slot_of(map, key, str_hash(key));
    if (map->slots[at] == 0) {
        return NULL;
    }
    struct map_entry *entry = &map->entries[map->slots[at] - 1];
    void *old = entry->value;
    free((char *)entry->key.p);
    entry->key =
        STR_NONE; /* its slot stays taken until the next rebuild, so that probes pass over it */
    entry->value = NULL;
    map->count--;
    return old;
}

struct map_entry *map_next(const struct map *map, struct map_entry *prev)
{
    size_t i = prev == NULL ? 0 : (size_t)(prev - map->entries) + 1;
    while (i < map->used && map->entries[i].key.p == NULL) {
        i++;
    }
    return i < map->used ? &map->entries[i] : NULL;
}
