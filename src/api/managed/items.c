/* items.c: a list's members by path element. See items.h. Few are searched one by one, many by
 * hash. */
#include "api/managed/items.h"

#include "api/field_compare.h"

enum { INDEX_FROM = 16 }; /* list members from which on a hash map pays */

struct item *items_find(const struct items *items, struct str element)
{
    if (items->index.count > 0) {
        return map_get(&items->index, element);
    }
    for (uint32_t i = 0; i < items->count; i++) {
        if (str_eq(items->items[i].element, element)) {
            return &items->items[i];
        }
    }
    return NULL;
}

void items_fill(struct arena *arena, const struct api_field *field, const struct val *list,
                struct items *ret)
{
    uint32_t n = val_is(list, VAL_ARRAY) ? list->count : 0, at = 0;
    *ret = (struct items){.items = arena_array(arena, struct item, n + 1),
                          .of = arena_array(arena, struct item *, n + 1),
                          .index = MAP_INIT};
    if (n == 0) {
        return;
    }
    VAL_EACH (it, list) {
        struct str element = field_element(arena, field, it);
        struct item *known = element.p != NULL ? items_find(ret, element) : NULL;
        if (known != NULL) {
            known->count++;
        } else if (element.p != NULL) {
            known = &ret->items[ret->count++];
            *known = (struct item){.element = element, .first = it, .at = at, .count = 1};
            if (n >= INDEX_FROM) {
                map_set(&ret->index, element, known);
            }
        }
        ret->of[at++] = known;
    }
}

void items_done(struct items *items)
{
    map_done(&items->index);
}
