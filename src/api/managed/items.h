/* items.h: the members of a list-map or set by what they are owned by. */
#pragma once
#include "api/schema.h"
#include "api/val.h"
#include "base/map.h"

struct item { /* a path element, and the members that have it */
    struct str element;
    struct val *first;
    uint32_t at;    /* position of the first */
    uint32_t count; /* more than one: twins, which are one field */
    bool done;      /* the caller's */
};
struct items {
    struct item *items; /* in the order of their first members */
    uint32_t count;
    struct item **of; /* of each member of the list; NULL: it has no element */
    struct map index; /* private */
};

/* Members without an element (no key, no object) are in no item. `list` may be NULL. */
void items_fill(struct arena *arena, const struct api_field *field, const struct val *list,
                struct items *ret);
struct item *items_find(const struct items *items, struct str element);
void items_done(struct items *items);
