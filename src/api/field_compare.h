/* field_compare.h: which fields an update changes. */
#pragma once
#include "api/schema.h"
#include "api/val.h"

struct field_changes {
    struct val *taken;   /* added or changed, as a field set; NULL: none */
    struct val *removed; /* were there and are not any more */
};

/* From `old` (NULL: a create) to `next`, both of `type`. What the system owns (kind, name, uid,
 * resourceVersion, managedFields ...) is left out, and so is the top-level member `reset` (may be
 * NULL), which this way of updating does not change. */
void field_compare(struct arena *arena, const struct api_struct *type, const struct val *old,
                   const struct val *next, const char *reset, struct field_changes *ret);
/* The path element of a list member, or STR_NONE when the list is one value (atomic). */
struct str field_element(struct arena *arena, const struct api_field *field,
                         const struct val *member);
