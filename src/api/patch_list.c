/* patch_list.c: strategic merge of lists: sets of scalars, and lists of objects by their merge key.
 *
 * Elements of the patch are found in the target by key, merged or appended; then order is restored:
 * what the patch names stands in the patch's order (or that of $setElementOrder), what only the
 * server has keeps its own, and the two are woven by the places they had before. Lookups go through
 * hash maps, so that two long lists do not cost their product.
 */
#include <stdlib.h>

#include "api/patch_strategic.h"
#include "base/map.h"

struct item {
    struct val *value;
    struct str key;
    size_t place;  /* in the server's order, 1-based; 0: it was not there */
    size_t wanted; /* in the patch's order, 1-based; 0: the server's own */
};

struct list {
    struct strategic *ctx;
    const struct api_field *field;
    struct item *items; /* in server order, then as they were appended */
    size_t count, cap;
    struct map index; /* key to item number + 1 */
    bool repeats;     /* some key is there twice */
};

static bool is_keyed(const struct api_field *field)
{
    return field->merge_key != NULL && field->merge_key[0] != '\0';
}

static int key_of(struct list *list, const struct val *element, struct str *ret)
{
    const char *name = list->field->merge_key;
    const struct val *key = is_keyed(list->field) ? val_get_str(element, str_of(name)) : element;
    if (is_keyed(list->field) && !val_is(element, VAL_OBJECT)) {
        return err_set(list->ctx->err, ERR_BAD_REQUEST,
                       "expected an object in list \"%s\" of a patch", list->field->name);
    }
    if (key == NULL || key->type == VAL_OBJECT || key->type == VAL_ARRAY) {
        return err_set(list->ctx->err, ERR_BAD_REQUEST,
                       "list element of \"%s\" does not contain declared merge key: %s",
                       list->field->name, name != NULL ? name : "");
    }
    *ret = key->type == VAL_TRUE ? STR("true") : key->type == VAL_FALSE ? STR("false") : key->text;
    if (ret->p == NULL) {
        *ret = STR("");
    }
    return 0;
}

static struct item *find(struct list *list, struct str key)
{
    size_t at = (size_t)(uintptr_t)map_get(&list->index, key);
    return at == 0 ? NULL : &list->items[at - 1];
}

static struct item *append(struct list *list, struct val *value, struct str key)
{
    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 16 : list->cap * 2;
        struct item *grown = arena_array(list->ctx->arena, struct item, cap);
        if (list->count > 0) {
            memcpy(grown, list->items, list->count * sizeof *grown);
        }
        list->items = grown;
        list->cap = cap;
    }
    struct item *item = &list->items[list->count++];
    *item = (struct item){.value = value, .key = key};
    if (find(list, key) == NULL) {
        map_set(&list->index, key, (void *)(uintptr_t)list->count);
    } else {
        list->repeats = true;
    }
    return item;
}

static int load(struct list *list, const struct val *target)
{
    VAL_EACH (it, target) {
        struct str key;
        int rc = key_of(list, it, &key);
        if (rc != 0) {
            return rc;
        }
        struct item *item = append(list, val_copy(list->ctx->arena, it), key);
        item->place = list->count;
    }
    return 0;
}

static void drop_key(struct list *list, struct str key)
{
    struct item *item = find(list, key);
    if (item == NULL) {
        return;
    }
    item->value = NULL;
    for (size_t i = 0; list->repeats && i < list->count; i++) {
        if (str_eq(list->items[i].key, key)) {
            list->items[i].value = NULL;
        }
    }
    map_remove(&list->index, key);
}

/* "$patch" of an element: delete removes its like, replace empties the list first. */
static int apply_directives(struct list *list, const struct val *patch)
{
    bool replace = false;
    VAL_EACH (it, patch) {
        struct str what = val_text(val_get(it, "$patch")), key;
        if (str_is(what, "replace")) {
            replace = true;
        } else if (str_is(what, "delete")) {
            int rc = key_of(list, it, &key);
            if (rc != 0) {
                return rc;
            }
            drop_key(list, key);
        } else if (what.p != NULL && !str_is(what, "merge")) {
            return err_set(list->ctx->err, ERR_BAD_REQUEST, "unknown patch type \"%.*s\" in list",
                           STR_ARG(what));
        }
    }
    if (replace) {
        list->count = 0;
        map_done(&list->index);
        list->index = (struct map)MAP_INIT;
    }
    return 0;
}

static bool is_special(const struct val *element)
{
    struct str what = val_text(val_get(element, "$patch"));
    return str_is(what, "delete") || str_is(what, "replace");
}

static int merge_element(struct list *list, const struct val *element, size_t wanted)
{
    struct str key;
    int rc = key_of(list, element, &key);
    if (rc != 0) {
        return rc;
    }
    struct item *item = find(list, key);
    if (item == NULL) {
        item = append(list, strategic_copy(list->ctx, element), key);
    } else if (is_keyed(list->field)) {
        rc = strategic_merge_object(list->ctx, list->field->type_struct, item->value, element);
    }
    item->wanted = wanted;
    return rc;
}

/* The places that $setElementOrder gives instead of the patch's own order. */
static int apply_order(struct list *list, const struct val *order)
{
    for (size_t i = 0; i < list->count; i++) {
        list->items[i].wanted = 0;
    }
    size_t wanted = 0;
    VAL_EACH (it, order) {
        struct str key;
        int rc = key_of(list, it, &key);
        if (rc != 0) {
            return rc;
        }
        struct item *item = find(list, key);
        wanted++;
        if (item != NULL) {
            item->wanted = wanted;
        }
    }
    return 0;
}

static int compare_wanted(const void *a, const void *b)
{
    size_t x = (*(struct item *const *)a)->wanted, y = (*(struct item *const *)b)->wanted;
    return (x > y) - (x < y);
}

static struct val *weave(struct list *list)
{
    struct arena *arena = list->ctx->arena;
    struct item **asked = arena_array(arena, struct item *, list->count + 1);
    struct item **own = arena_array(arena, struct item *, list->count + 1);
    size_t asked_count = 0, own_count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct item *item = &list->items[i];
        if (item->value != NULL && item->wanted > 0) {
            asked[asked_count++] = item;
        } else if (item->value != NULL) {
            own[own_count++] = item;
        }
    }
    if (asked_count > 1) {
        qsort(asked, asked_count, sizeof(struct item *), compare_wanted);
    }
    struct val *result = val_new(arena, VAL_ARRAY);
    size_t a = 0, o = 0;
    while (a < asked_count || o < own_count) {
        bool own_first = a == asked_count || (o < own_count && asked[a]->place > 0 &&
                                              own[o]->place > 0 && own[o]->place < asked[a]->place);
        struct val *value = own_first ? own[o++]->value : asked[a++]->value;
        value->key = STR_NONE;
        val_append(result, value);
    }
    return result;
}

/* What the patch sets must stand in `order`, and in that order. */
static int check_order(struct list *list, const struct val *patch, const struct val *order)
{
    const struct val *at = order->child;
    VAL_EACH (it, patch) {
        struct str key, other;
        if (is_special(it)) {
            continue;
        }
        int rc = key_of(list, it, &key);
        for (bool found = false; rc == 0 && !found; at = at->next) {
            if (at == NULL) {
                return err_set(list->ctx->err, ERR_BAD_REQUEST,
                               "the order of list \"%s\" in the patch does not match its "
                               "$setElementOrder list",
                               list->field->name);
            }
            rc = key_of(list, at, &other);
            found = rc == 0 && str_eq(key, other);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int merge(struct list *list, const struct val *target, const struct val *patch,
                 const struct val *order)
{
    int rc = load(list, target);
    if (rc == 0 && patch != NULL && order != NULL) {
        rc = check_order(list, patch, order);
    }
    if (rc == 0 && is_keyed(list->field)) {
        rc = apply_directives(list, patch);
    }
    size_t wanted = 0;
    for (const struct val *it = patch != NULL ? patch->child : NULL; it != NULL && rc == 0;
         it = it->next) {
        wanted++;
        if (!is_special(it)) {
            rc = merge_element(list, it, wanted);
        }
    }
    return rc == 0 && order != NULL ? apply_order(list, order) : rc;
}

int strategic_merge_list(struct strategic *ctx, const struct api_field *field,
                         const struct val *target, const struct val *patch, const struct val *order,
                         struct val **ret)
{
    struct list list = {.ctx = ctx, .field = field};
    if (field->type == API_TYPE_STRUCT && !is_keyed(field)) {
        return err_set(ctx->err, ERR_BAD_REQUEST, "cannot merge lists without merge key for %s",
                       field->name);
    }
    int rc = merge(&list, target, patch, order);
    if (rc == 0) {
        *ret = weave(&list);
    }
    map_done(&list.index);
    return rc;
}
