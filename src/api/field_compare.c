/* field_compare.c: which fields differ between two typed objects, as field sets.
 *
 * The shape of paths follows the type's tables: members of structs and maps are "f:", of list-maps
 * "k:", of sets "v:"; atomic lists, maps and structs are one field. A member that was not there
 * before is a path of its own, beside the paths below it. On a create the object before is an empty
 * one, in which members that are always written count as being there.
 *
 * Recursion is bounded by the types' depth and the parser's.
 */
#include "api/field_compare.h"

#include "api/field_set.h"
#include "base/map.h"

enum { INDEX_FROM = 16 }; /* list members from which on a hash map pays */

struct compare {
    struct arena *arena;
    const char *reset;
};

struct sides {
    const struct val *old, *next;
    bool blank;   /* old stands for an empty object that is there */
    bool removed; /* collect what is only in old, instead of what is new in next */
};

static struct val *compare_value(struct compare *ctx, const struct api_field *field, bool member,
                                 struct sides sides, struct val *node, bool is_new);

static bool system_owns(const struct val *v, int depth, const char *reset)
{
    static const char *const names[] = {"name",
                                        "namespace",
                                        "uid",
                                        "creationTimestamp",
                                        "generation",
                                        "managedFields",
                                        "resourceVersion",
                                        "selfLink",
                                        "deletionTimestamp",
                                        "deletionGracePeriodSeconds",
                                        NULL};
    if (depth == 0) {
        return str_is(v->key, "kind") || str_is(v->key, "apiVersion") ||
               (reset != NULL && str_is(v->key, reset));
    }
    for (size_t i = 0; names[i] != NULL; i++) {
        if (str_is(v->key, names[i])) {
            return true;
        }
    }
    return false;
}

static struct str element_of(struct arena *arena, char kind, struct str text)
{
    char *out = arena_alloc(arena, text.n + 2);
    out[0] = kind;
    out[1] = ':';
    if (text.n > 0) {
        memcpy(out + 2, text.p, text.n);
    }
    return str_at(out, text.n + 2);
}

/* Key fields in the order of their names; few, so a selection sort. */
static void write_keys(const struct api_field *field, const struct val *member, struct buf *out)
{
    const char *last = "";
    buf_char(out, '{');
    for (;;) {
        const char *least = NULL;
        for (size_t i = 0; field->list_keys[i] != NULL; i++) {
            const char *name = field->list_keys[i];
            if (strcmp(name, last) > 0 && (least == NULL || strcmp(name, least) < 0)) {
                least = name;
            }
        }
        if (least == NULL) {
            break;
        }
        const struct val *value = val_get_str(member, str_of(least));
        const struct api_field *key =
            field->type_struct != NULL ? schema_field(field->type_struct, str_of(least)) : NULL;
        buf_printf(out, "%s\"%s\":", last[0] != '\0' ? "," : "", least);
        if (value != NULL) {
            val_write_json(value, out);
        } else {
            buf_addz(out, key != NULL && key->default_json != NULL ? key->default_json : "null");
        }
        last = least;
    }
    buf_char(out, '}');
}

struct str field_element(struct arena *arena, const struct api_field *field,
                         const struct val *member)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (field->list == API_LIST_SET) {
        val_write_json(member, &text);
        return element_of(arena, 'v', buf_view(&text));
    }
    if (field->list == API_LIST_MAP && field->list_keys != NULL && val_is(member, VAL_OBJECT)) {
        write_keys(field, member, &text);
        return element_of(arena, 'k', buf_view(&text));
    }
    return STR_NONE;
}

static bool is_always_there(const struct api_field *field)
{
    return field != NULL && (field->flags & API_OMIT_EMPTY) == 0;
}

/* A struct that is new brings its always written fields along, also those that nobody set. */
static void add_unset(struct compare *ctx, const struct api_struct *type, struct sides sides,
                      struct val *node)
{
    static const struct val empty = {.type = VAL_OBJECT};
    const struct val *from = sides.removed ? sides.old : sides.next;
    for (uint16_t i = 0; i < type->count; i++) {
        const struct api_field *field = &type->fields[i];
        struct str name = str_at(field->name, field->name_n);
        const struct val *there = val_get_str(from, name);
        if ((field->flags & API_OMIT_EMPTY) != 0 || (there != NULL && there->type != VAL_NULL)) {
            continue;
        }
        struct val *child = val_new(ctx->arena, VAL_OBJECT);
        child->key = element_of(ctx->arena, 'f', name);
        if (field->type == API_TYPE_STRUCT && field->shape == API_SHAPE_ONE &&
            (field->flags & API_POINTER) == 0) {
            struct sides inner = {.next = sides.removed ? NULL : &empty,
                                  .old = sides.removed ? &empty : NULL,
                                  .removed = sides.removed};
            child = compare_value(ctx, field, false, inner, child, true);
        }
        if (child != NULL) {
            val_append(node, child);
        }
    }
}

static bool is_zero(const struct val *v)
{
    return v->type == VAL_NULL || v->type == VAL_FALSE ||
           (v->type == VAL_STRING && v->text.n == 0) ||
           (v->type == VAL_NUMBER && str_is(v->text, "0"));
}

/* One member that is in `next` (or, when collecting what is gone, in `old` only). */
static void compare_member(struct compare *ctx, const struct api_field *field, bool as_member,
                           struct sides sides, struct str element, struct val *node)
{
    const struct val *have = sides.removed ? sides.old : sides.next;
    bool there = sides.removed ? sides.next != NULL : sides.old != NULL || sides.blank;
    if (have == NULL || have->type == VAL_NULL) {
        return;
    }
    struct val *child = val_new(ctx->arena, VAL_OBJECT);
    child->key = element;
    child = compare_value(ctx, field, as_member, sides, child, !there);
    if (child != NULL) {
        val_append(node, child);
    }
}

/* Members of a struct (`type`) or of a map (`field` says what they are). */
static void compare_members(struct compare *ctx, const struct api_struct *type,
                            const struct api_field *field, struct sides sides, struct val *node,
                            int depth)
{
    const struct val *from = sides.removed ? sides.old : sides.next;
    const struct val *other = sides.removed ? sides.next : sides.old;
    struct map index = MAP_INIT;
    if (type == NULL && val_count(other) >= INDEX_FROM) {
        VAL_EACH (it, other) {
            map_set(&index, it->key, it);
        }
    }
    const struct val *hint = other != NULL ? other->child : NULL;
    VAL_EACH (it, from) {
        const struct val *same = hint != NULL && str_eq(hint->key, it->key) ? hint
                                 : index.count > 0 ? map_get(&index, it->key)
                                                   : val_get_str(other, it->key);
        hint = same != NULL ? same->next : hint;
        if (depth < 2 && system_owns(it, depth, ctx->reset)) {
            continue;
        }
        const struct api_field *member = type != NULL ? schema_field(type, it->key) : field;
        struct sides inner = {.old = sides.removed ? it : same,
                              .next = sides.removed ? same : it,
                              .blank = sides.blank && type != NULL && is_always_there(member),
                              .removed = sides.removed};
        struct str element = element_of(ctx->arena, 'f', it->key);
        if (depth == 0 && type != NULL && str_is(it->key, "metadata")) {
            struct val *child = val_new(ctx->arena, VAL_OBJECT);
            child->key = element;
            if (member != NULL) {
                compare_members(ctx, member->type_struct, NULL, inner, child, 1);
            }
            if (field_set_finish(ctx->arena, child, false) != NULL) {
                val_append(node, child);
            }
            continue;
        }
        compare_member(ctx, member, type == NULL, inner, element, node);
    }
    map_done(&index);
    if (type != NULL && depth >= 2 && other == NULL && !sides.blank) {
        add_unset(ctx, type, sides, node);
    }
}

static const struct val *find_like(struct compare *ctx, const struct api_field *field,
                                   const struct val *list, const struct map *index,
                                   struct str element)
{
    if (index->count > 0) {
        return map_get(index, element);
    }
    VAL_EACH (it, list) {
        if (str_eq(field_element(ctx->arena, field, it), element)) {
            return it;
        }
    }
    return NULL;
}

static void compare_list(struct compare *ctx, const struct api_field *field, struct sides sides,
                         struct val *node)
{
    const struct val *from = sides.removed ? sides.old : sides.next;
    const struct val *other = sides.removed ? sides.next : sides.old;
    struct map index = MAP_INIT;
    if (val_count(other) >= INDEX_FROM) {
        VAL_EACH (it, other) {
            map_set(&index, field_element(ctx->arena, field, it), it);
        }
    }
    const struct val *hint = other != NULL ? other->child : NULL;
    VAL_EACH (it, from) {
        struct str element = field_element(ctx->arena, field, it);
        const struct val *same = NULL;
        if (hint != NULL && str_eq(field_element(ctx->arena, field, hint), element)) {
            same = hint; /* mostly the lists are in step */
        } else if (other != NULL) {
            same = find_like(ctx, field, other, &index, element);
        }
        hint = same != NULL ? same->next : hint;
        struct sides inner = {.old = sides.removed ? it : same,
                              .next = sides.removed ? same : it,
                              .removed = sides.removed};
        compare_member(ctx, field, true, inner, element, node);
    }
    map_done(&index);
}

static bool is_granular_list(const struct api_field *field, const struct val *list)
{
    if (field->list == API_LIST_SET) {
        return true;
    }
    if (field->list != API_LIST_MAP || field->list_keys == NULL) {
        return false;
    }
    VAL_EACH (it, list) {
        if (it->type != VAL_OBJECT) {
            return false;
        }
    }
    return true;
}

/* What kind of value a field holds decides how deep paths go. Returns false for one whole value. */
static bool compare_inside(struct compare *ctx, const struct api_field *field, bool member,
                           struct sides sides, struct val *node)
{
    const struct val *have = sides.removed ? sides.old : sides.next;
    if (field == NULL) {
        return false;
    }
    bool outer = !member && field->shape != API_SHAPE_ONE;
    if (outer && field->shape == API_SHAPE_LIST) {
        if (!is_granular_list(field, have)) {
            return false;
        }
        compare_list(ctx, field, sides, node);
        return true;
    }
    if (have->type != VAL_OBJECT || (field->flags & API_MAP_ATOMIC) != 0) {
        return false;
    }
    if (outer) {
        compare_members(ctx, NULL, field, sides, node, 2);
        return true;
    }
    const struct api_struct *type = field->type == API_TYPE_STRUCT ? field->type_struct : NULL;
    if (type == NULL || (type->flags & API_MAP_ATOMIC) != 0) {
        return false;
    }
    compare_members(ctx, type, NULL, sides, node, 2);
    return true;
}

/* Fills `node` with what is below; `is_new`: the path itself belongs to the set as well. NULL when
 * there is nothing. */
static struct val *compare_value(struct compare *ctx, const struct api_field *field, bool member,
                                 struct sides sides, struct val *node, bool is_new)
{
    const struct val *have = sides.removed ? sides.old : sides.next;
    const struct val *other = sides.removed ? sides.next : sides.old;
    if (other != NULL && (other->type == VAL_NULL || other->type != have->type)) {
        sides.old = sides.removed ? sides.old : NULL;
        sides.next = sides.removed ? NULL : sides.next;
        if (other->type != VAL_NULL && other->type != have->type) {
            is_new = true;
        }
        other = NULL;
    }
    if (compare_inside(ctx, field, member, sides, node)) {
        bool hollow = have->count == 0 && (is_new || other == NULL) && have->type == VAL_OBJECT;
        return field_set_finish(ctx->arena, node, is_new || (hollow && !sides.blank));
    }
    if (sides.removed) {
        return is_new ? node : NULL;
    }
    bool same = other != NULL ? val_equal(other, have) : sides.blank && is_zero(have);
    return is_new || !same ? node : NULL;
}

void field_compare(struct arena *arena, const struct api_struct *type, const struct val *old,
                   const struct val *next, const char *reset, struct field_changes *ret)
{
    struct compare ctx = {arena, reset};
    struct val *taken = val_new(arena, VAL_OBJECT);
    struct sides sides = {.old = old, .next = next, .blank = old == NULL};
    compare_members(&ctx, type, NULL, sides, taken, 0);
    ret->taken = field_set_finish(arena, taken, false);
    ret->removed = NULL;
    if (old != NULL) {
        struct val *removed = val_new(arena, VAL_OBJECT);
        sides.removed = true;
        compare_members(&ctx, type, NULL, sides, removed, 0);
        ret->removed = field_set_finish(arena, removed, false);
    }
}
