/* scale.c: managedFields of a Scale and of what it scales. See scale.h.
 *
 * A manager is known by its name, operation and subresource; that of an update also by its
 * version, which is another one for a Scale: so an updater that keeps the replicas through a write
 * of the Scale gets an entry of its own for them. That is what upstream's servers do.
 */
#include "api/managed/scale.h"

#include "api/field_compare.h"
#include "api/field_set.h"
#include "api/managed/entries.h"

#define SCALE_VERSION "autoscaling/v1"

static const struct str of_scale[] = {{"spec", 4}, {"replicas", 8}, {NULL, 0}};

/* The set of one path. */
static struct val *set_of_path(struct arena *arena, const struct str *path)
{
    struct val *root = val_new(arena, VAL_OBJECT), *node = root;
    for (; path->p != NULL; path++) {
        node = field_set_child(arena, node, field_element_name(arena, *path));
    }
    return root;
}

static bool has(const struct entry *entry, const struct val *path)
{
    return field_set_contains(entry->set, path);
}

struct val *scale_managers(struct arena *arena, const struct val *parent, const struct str *path)
{
    struct entries entries;
    const struct val *wanted = set_of_path(arena, path);
    if (entries_load(arena, parent, &entries, NULL) < 0) {
        return NULL;
    }
    for (size_t i = 0; i < entries.count; i++) {
        struct entry *it = &entries.items[i];
        it->set = has(it, wanted) ? set_of_path(arena, of_scale) : NULL;
        it->version = STR(SCALE_VERSION);
    }
    return entries_store(&entries);
}

/* The parent's entries: what the Scale does not give them any more goes; `scale` loses what is
 * told here. */
static void tell_parents(struct arena *arena, struct entries *parents, struct entries *scale,
                         struct val *path)
{
    for (size_t i = 0; i < parents->count; i++) {
        struct entry *it = &parents->items[i];
        struct entry *kept = entries_find(scale, it);
        if (!has(it, path)) {
            continue;
        }
        if (kept == NULL) {
            it->set = field_set_difference(arena, it->set, path);
        } else {
            kept->set = NULL;
        }
    }
}

struct val *scale_managers_back(struct arena *arena, const struct val *parent,
                                const struct val *scale, const struct str *path,
                                struct str api_version)
{
    struct entries parents, scales;
    struct val *mine = set_of_path(arena, path), *theirs = set_of_path(arena, of_scale);
    if (entries_load(arena, parent, &parents, NULL) < 0 ||
        entries_load(arena, scale, &scales, NULL) < 0) {
        return NULL;
    }
    tell_parents(arena, &parents, &scales, mine);
    struct entries result = {.arena = arena};
    for (size_t i = 0; i < parents.count; i++) {
        *entries_make(&result, &parents.items[i]) = parents.items[i];
    }
    for (size_t i = 0; i < scales.count; i++) {
        struct entry entry = scales.items[i];
        if (entry.set == NULL || !has(&entry, theirs)) {
            continue;
        }
        struct entry *known = entries_find(&parents, &entry);
        entry.set = mine;
        entry.time = known != NULL ? known->time : STR_NONE;
        entry.version = api_version;
        if (known != NULL) {
            *entries_find(&result, known) = entry;
        } else {
            entries_append(&result, &entry);
        }
    }
    return entries_store(&result);
}
