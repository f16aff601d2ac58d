/* entries.h: metadata.managedFields taken apart: one entry a manager, with a field set
 * (field_set.h). Sets and texts are shared with the list they came from, not copied. */
#pragma once
#include "api/val.h"
#include "base/err.h"

enum { ENTRIES_MAX = 1000 };

struct entry {
    struct str manager, operation, version, subresource, time; /* time n 0: none */
    struct val *set;                                           /* NULL: nothing left */
};

struct entries {
    struct arena *arena;
    struct entry *items;
    size_t count, cap;
};

/* ERR_INVALID when the list is not what managedFields may be; then `ret` is empty. A list that is
 * absent gives none. */
int entries_load(struct arena *arena, const struct val *list, struct entries *ret, struct err *err);
/* The managedFields list, sorted as the API has it; NULL when no entry has anything left. */
struct val *entries_store(struct entries *entries);

bool entry_is_apply(const struct entry *entry);
/* Whether two entries are of one manager doing the same thing to the same (sub)resource. Appliers
 * stay one manager when they change to another version. */
bool entry_same(const struct entry *a, const struct entry *b);
/* The entry like `like`, or NULL. */
struct entry *entries_find(struct entries *entries, const struct entry *like);
/* The same, made with everything of `like` when there is none. */
struct entry *entries_make(struct entries *entries, const struct entry *like);
/* One more, whatever is there. */
struct entry *entries_append(struct entries *entries, const struct entry *entry);
/* Drops entries with nothing left. */
void entries_tidy(struct entries *entries);
/* More than ten updaters: the oldest of a version become one, "ancient-changes". */
void entries_cap_updaters(struct entries *entries);
