/* semantic.c: whether two typed values mean the same. See semantic.h.
 *
 * What was read from the store has no empty members, what a client sends may have: an update must
 * not look like a change because of that. Recursion is bounded by the parser's depth.
 */
#include "api/semantic.h"

#include "api/schema.h"
#include "base/map.h"

/* Stands for nothing, when it is in no pointer field. */
static bool is_empty(const struct val *v)
{
    const struct api_field *field = v->field;
    if (v->type == VAL_NULL) {
        return true;
    }
    if (field == NULL) {
        return v->type == VAL_ARRAY ? v->count == 0 : v->type == VAL_STRING && v->text.n == 0;
    }
    if (v->type == VAL_ARRAY || (v->type == VAL_OBJECT && field->shape == API_SHAPE_MAP)) {
        return v->count == 0;
    }
    if ((field->flags & API_POINTER) != 0) {
        return false;
    }
    switch (v->type) {
    case VAL_STRING:
        return v->text.n == 0;
    case VAL_FALSE:
        return true;
    case VAL_NUMBER:
        return str_is(v->text, "0");
    default:
        return v->type == VAL_OBJECT && field->type == API_TYPE_STRUCT && v->count == 0;
    }
}

enum { INDEX_FROM = 64 }; /* members from which on a hash map pays */

/* As below, for large maps whose members are in any order. */
static bool large_equal(const struct val *a, const struct val *b)
{
    struct map index = MAP_INIT;
    VAL_EACH (it, b) {
        map_set(&index, it->key, it);
    }
    bool equal = true;
    for (const struct val *it = a->child; it != NULL && equal; it = it->next) {
        struct val *other = map_remove(&index, it->key);
        equal = semantic_equal(it, other);
    }
    for (const struct val *it = b->child; it != NULL && equal; it = it->next) {
        equal = map_get(&index, it->key) == NULL || is_empty(it);
    }
    map_done(&index);
    return equal;
}

static bool objects_equal(const struct val *a, const struct val *b)
{
    if (a->count > INDEX_FROM && b->count > INDEX_FROM) {
        return large_equal(a, b);
    }
    uint32_t matched = 0;
    const struct val *hint = b->child; /* members mostly have equal order */
    VAL_EACH (it, a) {
        const struct val *other =
            hint != NULL && str_eq(hint->key, it->key) ? hint : val_get_str(b, it->key);
        if (other != NULL) {
            hint = other->next;
            matched++;
        }
        if (!semantic_equal(it, other)) {
            return false;
        }
    }
    if (matched == b->count) {
        return true;
    }
    VAL_EACH (it, b) {
        if (!is_empty(it) && val_get_str(a, it->key) == NULL) {
            return false;
        }
    }
    return true;
}

bool semantic_equal(const struct val *a, const struct val *b)
{
    if (a == b) {
        return true;
    }
    if (a == NULL || b == NULL) {
        return is_empty(a != NULL ? a : b);
    }
    if (a->type != b->type) {
        return (val_absent(a) || val_absent(b)) && is_empty(a) && is_empty(b);
    }
    if (a->type == VAL_OBJECT) {
        return objects_equal(a, b);
    }
    if (a->count != b->count || !str_eq(a->text, b->text)) {
        return false;
    }
    const struct val *other = b->child;
    VAL_EACH (it, a) {
        if (!semantic_equal(it, other)) {
            return false;
        }
        other = other->next;
    }
    return true;
}
