/* managed_int.h: what updates and applies share. Inside api/ only. */
#pragma once
#include "api/field_compare.h"
#include "api/fields.h"
#include "api/managed/entries.h"

/* What one write changes, in every version that a manager speaks; each is compared when it is
 * asked for. */
struct managed_version {
    struct managed_version *before;
    struct str version;
    bool missing; /* not served any more, or of another kind: its managers go */
    struct field_changes changes;
};
struct managed_changes {
    struct arena *arena;
    const struct fields_writer *writer;
    const struct val *old, *next;
    bool raw; /* field_compare.h */
    struct managed_version *versions;
};
const struct managed_version *managed_changes_in(struct managed_changes *changes,
                                                 struct str version);

/* An Update from `old` (NULL: nothing there) to `next`, in the entries. */
void managed_update(struct arena *arena, const struct fields_writer *writer, const struct val *old,
                    const struct val *next, struct entries *entries);
/* Now, as managedFields say it. */
struct str managed_time(struct arena *arena, const struct fields_writer *writer);
