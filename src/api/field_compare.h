/* field_compare.h: which fields an update changes. */
#pragma once
#include "api/schema.h"
#include "api/val.h"

struct field_changes {
    struct val *taken;   /* added or changed, as a field set; NULL: none */
    struct val *removed; /* were there and are not any more */
};

struct field_comparison {
    const struct api_struct *type;
    const struct val *old, *next; /* old NULL: a create */
    const char *const *skip;      /* top-level members that are left out, NULL ended, or NULL */
    /* `next` holds what a client wrote, not a typed object: zero values and nulls are there, and
     * new structs have no members but those that were written (apply). */
    bool raw;
};

/* What the system owns (kind, name, uid, resourceVersion, managedFields ...) is left out too. */
void field_compare(struct arena *arena, const struct field_comparison *comparison,
                   struct field_changes *ret);
/* The path element of a list member, or STR_NONE when it has none: no key, or no object. */
struct str field_element(struct arena *arena, const struct api_field *field,
                         const struct val *member);
/* "f:NAME". */
struct str field_element_name(struct arena *arena, struct str name);
/* Whether it is one of the members that the system owns; depth 0: of the object, 1: of its
 * metadata. */
bool field_is_systems(struct str name, int depth);
