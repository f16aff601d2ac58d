/* val.c: reading and editing a tape. See val.h for the contract.
 *
 * Containers keep count, first and last member; every edit keeps the three in step. Walks over
 * whole values use an explicit stack, since a patch can nest deeper than any parsed input. Nothing
 * here knows schemas or text formats.
 */
#include "api/val.h"

#include <stdlib.h>

#include "base/vec.h"

struct val *val_get_n(const struct val *object, const char *key, size_t n)
{
    if (object == NULL || object->type != VAL_OBJECT) {
        return NULL;
    }
    for (struct val *it = object->child; it != NULL; it = it->next) {
        if (it->key.n == n && memcmp(it->key.p, key, n) == 0) {
            return it;
        }
    }
    return NULL;
}

struct val *val_get_str(const struct val *object, struct str key)
{
    return val_get_n(object, key.p != NULL ? key.p : "", key.n);
}

struct val *val_path(const struct val *object, const char *dotted)
{
    struct str rest = str_of(dotted);
    const struct val *at = object;
    while (rest.p != NULL && at != NULL) {
        struct str name = str_cut(rest, '.', &rest);
        at = val_get_str(at, name);
    }
    return (struct val *)at;
}

struct val *val_at(const struct val *array, uint32_t i)
{
    if (array == NULL || array->type != VAL_ARRAY || i >= array->count) {
        return NULL;
    }
    struct val *it = array->child;
    while (i-- > 0) {
        it = it->next;
    }
    return it;
}

struct val *val_find(const struct val *array, const char *key, struct str value)
{
    if (array == NULL || array->type != VAL_ARRAY) {
        return NULL;
    }
    size_t n = strlen(key);
    VAL_EACH (it, array) {
        const struct val *member = val_get_n(it, key, n);
        if (member != NULL && (member->type == VAL_STRING || member->type == VAL_NUMBER) &&
            str_eq(member->text, value)) {
            return it;
        }
    }
    return NULL;
}

struct str val_text(const struct val *v)
{
    return v != NULL && (v->type == VAL_STRING || v->type == VAL_NUMBER) ? v->text : STR_NONE;
}

bool val_bool(const struct val *v, bool otherwise)
{
    return val_is(v, VAL_TRUE) ? true : val_is(v, VAL_FALSE) ? false : otherwise;
}

int64_t val_int(const struct val *v, int64_t otherwise)
{
    int64_t value = 0;
    return val_is(v, VAL_NUMBER) && str_i64(v->text, &value) ? value : otherwise;
}

struct str val_name(const struct val *object)
{
    return val_text(val_get(val_get(object, "metadata"), "name"));
}

struct str val_namespace(const struct val *object)
{
    return val_text(val_get(val_get(object, "metadata"), "namespace"));
}

struct str val_uid(const struct val *object)
{
    return val_text(val_get(val_get(object, "metadata"), "uid"));
}

/* ---- making and changing ---- */

struct val *val_new(struct arena *arena, enum val_type type)
{
    struct val *v = arena_new(arena, struct val);
    v->type = type;
    return v;
}

struct val *val_new_text(struct arena *arena, struct str text)
{
    struct val *v = val_new(arena, VAL_STRING);
    v->text = text;
    return v;
}

struct val *val_new_int(struct arena *arena, int64_t value)
{
    struct val *v = val_new(arena, VAL_NUMBER);
    char digits[24], *end = digits + sizeof digits, *at = end;
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        *--at = (char)('0' + size % 10);
        size /= 10;
    } while (size > 0);
    if (value < 0) {
        *--at = '-';
    }
    v->text = str_copy_in(arena, str_at(at, (size_t)(end - at)));
    return v;
}

struct val *val_new_bool(struct arena *arena, bool value)
{
    return val_new(arena, value ? VAL_TRUE : VAL_FALSE);
}

static struct val *shallow_copy(struct arena *arena, const struct val *v)
{
    struct val *copy = val_new(arena, v->type);
    copy->field = v->field;
    if (v->key.p != NULL) {
        copy->key = str_copy_in(arena, v->key);
    }
    if (v->text.p != NULL) {
        copy->text = str_copy_in(arena, v->text);
    }
    return copy;
}

struct copy_frame {
    const struct val *from; /* the next member to copy */
    struct val *to;         /* the container that gets it */
};

struct val *val_copy(struct arena *arena, const struct val *v)
{
    if (v == NULL) {
        return NULL;
    }
    struct {
        VEC_OF(struct copy_frame);
    } stack = {0};
    struct val *root = shallow_copy(arena, v);
    *vec_push(&stack) = (struct copy_frame){v->child, root};
    while (stack.count > 0) {
        struct copy_frame *top = &stack.items[stack.count - 1];
        if (top->from == NULL) {
            stack.count--;
            continue;
        }
        const struct val *from = top->from;
        top->from = from->next;
        struct val *copy = val_append(top->to, shallow_copy(arena, from));
        if (from->child != NULL) {
            *vec_push(&stack) = (struct copy_frame){from->child, copy};
        }
    }
    vec_done(&stack);
    return root;
}

struct val *val_set(struct val *object, struct str key, struct val *value)
{
    struct val *prev = NULL;
    value->key = key;
    for (struct val *it = object->child; it != NULL; prev = it, it = it->next) {
        if (!str_eq(it->key, key)) {
            continue;
        }
        if (it == value) {
            return value;
        }
        value->next = it->next;
        if (prev != NULL) {
            prev->next = value;
        } else {
            object->child = value;
        }
        if (object->last == it) {
            object->last = value;
        }
        if (value->field == NULL) {
            value->field = it->field;
        }
        it->next = NULL;
        return value;
    }
    return val_append(object, value);
}

struct val *val_set_text(struct arena *arena, struct val *object, struct str key, struct str text)
{
    return val_set(object, key, val_new_text(arena, text));
}

struct val *val_set_int(struct arena *arena, struct val *object, struct str key, int64_t value)
{
    return val_set(object, key, val_new_int(arena, value));
}

struct val *val_set_bool(struct arena *arena, struct val *object, struct str key, bool value)
{
    return val_set(object, key, val_new_bool(arena, value));
}

static struct val *make_container(struct arena *arena, struct val *object, struct str key,
                                  enum val_type type)
{
    struct val *there = val_get_str(object, key);
    return !val_absent(there) ? there : val_set(object, key, val_new(arena, type));
}

struct val *val_make_object(struct arena *arena, struct val *object, struct str key)
{
    return make_container(arena, object, key, VAL_OBJECT);
}

struct val *val_make_array(struct arena *arena, struct val *object, struct str key)
{
    return make_container(arena, object, key, VAL_ARRAY);
}

struct val *val_append(struct val *array, struct val *value)
{
    value->next = NULL;
    if (array->last != NULL) {
        array->last->next = value;
    } else {
        array->child = value;
    }
    array->last = value;
    array->count++;
    return value;
}

void val_insert_after(struct val *container, struct val *after, struct val *value)
{
    value->next = after != NULL ? after->next : container->child;
    if (after != NULL) {
        after->next = value;
    } else {
        container->child = value;
    }
    if (container->last == after) {
        container->last = value;
    }
    container->count++;
}

static void unlink_after(struct val *container, struct val *prev, struct val *member)
{
    if (prev != NULL) {
        prev->next = member->next;
    } else {
        container->child = member->next;
    }
    if (container->last == member) {
        container->last = prev;
    }
    member->next = NULL;
    container->count--;
}

bool val_unset(struct val *object, struct str key)
{
    if (object == NULL || object->type != VAL_OBJECT) {
        return false;
    }
    struct val *prev = NULL;
    for (struct val *it = object->child; it != NULL; prev = it, it = it->next) {
        if (str_eq(it->key, key)) {
            unlink_after(object, prev, it);
            return true;
        }
    }
    return false;
}

void val_remove(struct val *container, struct val *member)
{
    struct val *prev = NULL;
    for (struct val *it = container->child; it != NULL; prev = it, it = it->next) {
        if (it == member) {
            unlink_after(container, prev, member);
            return;
        }
    }
}

static int by_key(const void *a, const void *b)
{
    return str_cmp((*(const struct val *const *)a)->key, (*(const struct val *const *)b)->key);
}

struct values {
    VEC_OF(struct val *);
};

/* Relinks the members of one object in the order of their keys; `scratch` is kept between calls. */
static void sort_members(struct val *object, struct values *scratch)
{
    vec_clear(scratch);
    VAL_EACH (it, object) {
        *vec_push(scratch) = it;
    }
    qsort(scratch->items, scratch->count, sizeof *scratch->items, by_key);
    object->child = object->last = NULL;
    object->count = 0;
    VEC_EACH (it, scratch) {
        val_append(object, *it);
    }
}

void val_sort(struct val *v)
{
    struct values todo = {0}, scratch = {0};
    *vec_push(&todo) = v;
    while (todo.count > 0) {
        struct val *top = todo.items[--todo.count];
        if (top->type == VAL_OBJECT && top->count > 1) {
            sort_members(top, &scratch);
        }
        VAL_EACH (it, top) {
            if (it->child != NULL) {
                *vec_push(&todo) = it;
            }
        }
    }
    vec_done(&todo);
    vec_done(&scratch);
}

/* ---- comparing ---- */

struct pair {
    const struct val *a, *b;
};
struct pairs {
    VEC_OF(struct pair);
};

static bool pair_objects(struct pairs *stack, const struct val *a, const struct val *b)
{
    const struct val *hint = b->child; /* equal objects mostly have equal order */
    VAL_EACH (it, a) {
        const struct val *other =
            hint != NULL && str_eq(hint->key, it->key) ? hint : val_get_str(b, it->key);
        if (other == NULL) {
            return false;
        }
        hint = other->next;
        *vec_push(stack) = (struct pair){it, other};
    }
    return true;
}

static bool pair_equal(struct pairs *stack, const struct val *a, const struct val *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    if (a->type != b->type || a->count != b->count) {
        return false;
    }
    if (a->type == VAL_OBJECT) {
        return pair_objects(stack, a, b);
    }
    const struct val *other = b->child;
    VAL_EACH (it, a) {
        *vec_push(stack) = (struct pair){it, other};
        other = other->next;
    }
    return str_eq(a->text, b->text);
}

bool val_equal(const struct val *a, const struct val *b)
{
    struct pairs stack = {0};
    *vec_push(&stack) = (struct pair){a, b};
    bool equal = true;
    while (equal && stack.count > 0) {
        struct pair top = stack.items[--stack.count];
        equal = top.a == top.b || pair_equal(&stack, top.a, top.b);
    }
    vec_done(&stack);
    return equal;
}

uint32_t val_depth(const struct val *v)
{
    struct {
        VEC_OF(const struct val *);
    } stack = {0};
    size_t deepest = 0;
    *vec_push(&stack) = v;
    while (stack.count > 0) {
        const struct val *top = stack.items[stack.count - 1];
        if (top != NULL && top->child != NULL) {
            *vec_push(&stack) = top->child;
            continue;
        }
        deepest = stack.count > deepest ? stack.count : deepest;
        /* Go to the next sibling of the nearest ancestor that has one; the root has none. */
        while (stack.count > 1 && stack.items[stack.count - 1]->next == NULL) {
            stack.count--;
        }
        if (stack.count <= 1) {
            break;
        }
        stack.items[stack.count - 1] = stack.items[stack.count - 1]->next;
    }
    vec_done(&stack);
    return v == NULL ? 0 : (uint32_t)deepest;
}
