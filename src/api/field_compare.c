/* field_compare.c: which fields differ between two typed objects, as field sets.
 *
 * The shape of paths follows the type's tables (managed/grain.h): members of structs and maps are
 * "f:", of list-maps "k:", of sets "v:". A member that was not there before is a path of its own,
 * beside the paths below it. On a create the object before is an empty one, in which members that
 * are always written count as being there. A list member that is there twice is one field.
 *
 * Recursion is bounded by the types' depth and the parser's.
 */
#include "api/field_compare.h"

#include "api/field_set.h"
#include "api/managed/grain.h"
#include "api/managed/items.h"
#include "base/map.h"

enum { INDEX_FROM = 16 }; /* list members from which on a hash map pays */

struct compare {
    struct arena *arena;
    const struct field_comparison *comparison;
    bool removed; /* collect what is only in old, instead of what is new in next */
};

/* `from` is the side whose paths are collected. */
struct sides {
    const struct val *from, *other;
    bool blank; /* other stands for an empty value that is there */
};

static struct val *compare_value(struct compare *ctx, struct grain_place place, struct sides sides,
                                 struct val *node, bool is_new);

bool field_is_systems(struct str name, int depth)
{
    static const char *const of_metadata[] = {"name",
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
        return str_is(name, "kind") || str_is(name, "apiVersion");
    }
    for (size_t i = 0; of_metadata[i] != NULL; i++) {
        if (str_is(name, of_metadata[i])) {
            return true;
        }
    }
    return false;
}

static bool is_left_out(const struct compare *ctx, struct str name, int depth)
{
    const char *const *skip = depth == 0 ? ctx->comparison->skip : NULL;
    for (; skip != NULL && *skip != NULL; skip++) {
        if (str_is(name, *skip)) {
            return true;
        }
    }
    return field_is_systems(name, depth);
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

struct str field_element_name(struct arena *arena, struct str name)
{
    return element_of(arena, 'f', name);
}

/* What a key is that a member does not have: its default, or what it is always written with. NULL:
 * it is none. */
static const char *absent_key(const struct api_field *key)
{
    if (key == NULL || key->default_json != NULL) {
        return key != NULL ? key->default_json : NULL;
    }
    if ((key->flags & (API_OMIT_EMPTY | API_POINTER)) != 0) {
        return NULL;
    }
    switch ((enum api_type)key->type) {
    case API_TYPE_STRING:
        return "\"\"";
    case API_TYPE_BOOL:
        return "false";
    case API_TYPE_INT32:
    case API_TYPE_INT64:
        return "0";
    default:
        return NULL;
    }
}

/* Key fields in the order of their names; few, so a selection sort. False when there is none. */
static bool write_keys(const struct api_field *field, const struct val *member, struct buf *out)
{
    const char *last = "";
    bool any = false;
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
        last = least;
        const struct val *value = val_get_str(member, str_of(least));
        const struct api_field *key =
            field->type_struct != NULL ? schema_field(field->type_struct, str_of(least)) : NULL;
        const char *otherwise = absent_key(key);
        if (value == NULL && otherwise == NULL) {
            continue;
        }
        buf_printf(out, "%s\"%s\":", any ? "," : "", least);
        any = true;
        if (value != NULL) {
            val_write_json(value, out);
        } else {
            buf_addz(out, otherwise);
        }
    }
    buf_char(out, '}');
    return any;
}

struct str field_element(struct arena *arena, const struct api_field *field,
                         const struct val *member)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (field->list == API_LIST_SET) {
        val_write_json(member, &text);
        return element_of(arena, 'v', buf_view(&text));
    }
    if (field->list == API_LIST_MAP && field->list_keys != NULL && val_is(member, VAL_OBJECT) &&
        write_keys(field, member, &text)) {
        return element_of(arena, 'k', buf_view(&text));
    }
    return STR_NONE;
}

static bool is_always_there(const struct api_field *field)
{
    return field != NULL && (field->flags & API_OMIT_EMPTY) == 0;
}

/* Whether a side was written by a client and not typed. */
static bool is_raw(const struct compare *ctx, bool from)
{
    return ctx->comparison->raw && from != ctx->removed;
}

/* The value of one side, NULL when a typed object would not have it. */
static const struct val *seen(const struct compare *ctx, bool from, const struct api_field *field,
                              const struct val *value)
{
    if (is_raw(ctx, from)) {
        return value;
    }
    return field != NULL && grain_is_omitted(field, value) ? NULL
           : value != NULL && value->type == VAL_NULL      ? NULL
                                                           : value;
}

/* A struct that is new brings its always written fields along, also those that nobody set. */
static void add_unset(struct compare *ctx, const struct api_struct *type, const struct val *from,
                      struct val *node)
{
    static const struct val empty = {.type = VAL_OBJECT};
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
            struct sides inner = {.from = &empty};
            child = compare_value(ctx, (struct grain_place){field, false}, inner, child, true);
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

/* One member of the side that is collected. */
static void compare_member(struct compare *ctx, struct grain_place place, struct sides sides,
                           struct str element, struct val *node)
{
    bool there = sides.other != NULL || sides.blank;
    if (sides.from == NULL) {
        return;
    }
    struct val *child = val_new(ctx->arena, VAL_OBJECT);
    child->key = element;
    child = compare_value(ctx, place, sides, child, !there);
    if (child != NULL) {
        val_append(node, child);
    }
}

static void compare_members(struct compare *ctx, const struct grain *grain, struct sides sides,
                            struct val *node, int depth);

/* metadata is never a path itself, and much in it is the system's. */
static void compare_metadata(struct compare *ctx, struct grain_place place, struct sides sides,
                             struct str element, struct val *node)
{
    struct val *child = val_new(ctx->arena, VAL_OBJECT);
    struct grain inner = grain_of(place);
    child->key = element;
    if (inner.kind == GRAIN_STRUCT && val_is(sides.from, VAL_OBJECT)) {
        compare_members(ctx, &inner, sides, child, 1);
    }
    if (field_set_finish(ctx->arena, child, false) != NULL) {
        val_append(node, child);
    }
}

/* Whether a member that is not on the other side stands there all the same, with nothing in it. */
static bool is_blank(const struct compare *ctx, struct sides parent, const struct grain *grain,
                     const struct api_field *field)
{
    bool typed = !is_raw(ctx, false);
    return grain->kind == GRAIN_STRUCT && typed && (parent.blank || parent.other != NULL) &&
           is_always_there(field);
}

/* Members of a struct or map. */
static void compare_members(struct compare *ctx, const struct grain *grain, struct sides sides,
                            struct val *node, int depth)
{
    struct map index = MAP_INIT;
    if (grain->kind == GRAIN_MAP && val_count(sides.other) >= INDEX_FROM) {
        VAL_EACH (it, sides.other) {
            map_set(&index, it->key, it);
        }
    }
    const struct val *hint = sides.other != NULL ? sides.other->child : NULL;
    VAL_EACH (it, sides.from) {
        const struct val *same = hint != NULL && str_eq(hint->key, it->key) ? hint
                                 : index.count > 0 ? map_get(&index, it->key)
                                                   : val_get_str(sides.other, it->key);
        hint = same != NULL ? same->next : hint;
        if (depth < 2 && is_left_out(ctx, it->key, depth)) {
            continue;
        }
        struct grain_place place = grain_member(grain, it->key);
        const struct api_field *field = grain->kind == GRAIN_STRUCT ? place.field : NULL;
        struct sides inner = {.from = seen(ctx, true, field, it),
                              .other = seen(ctx, false, field, same),
                              .blank = is_blank(ctx, sides, grain, field)};
        struct str element = element_of(ctx->arena, 'f', it->key);
        if (depth == 0 && grain->kind == GRAIN_STRUCT && str_is(it->key, "metadata")) {
            compare_metadata(ctx, place, inner, element, node);
        } else {
            compare_member(ctx, place, inner, element, node);
        }
    }
    map_done(&index);
    bool is_new = sides.other == NULL && !sides.blank;
    if (grain->kind == GRAIN_STRUCT && depth >= 2 && is_new && !is_raw(ctx, true)) {
        add_unset(ctx, grain->type, sides.from, node);
    }
}

/* ---- lists ---- */

/* Whether the members that share an element are the same ones, in order. */
static bool same_twins(struct compare *ctx, const struct api_field *field, struct sides sides,
                       struct str element)
{
    const struct val *other = sides.other->child;
    VAL_EACH (it, sides.from) {
        if (!str_eq(field_element(ctx->arena, field, it), element)) {
            continue;
        }
        while (other != NULL && !str_eq(field_element(ctx->arena, field, other), element)) {
            other = other->next;
        }
        if (other == NULL || !val_equal(it, other)) {
            return false;
        }
        other = other->next;
    }
    return true;
}

/* A member that one side has twice: as a whole it is one field. */
static void compare_twins(struct compare *ctx, struct grain_place place, struct sides sides,
                          const struct item *item, const struct item *same, struct val *node)
{
    bool twins_before = same != NULL && same->count > 1;
    if (item->count == 1) { /* one now, several there: as if it had not been there */
        compare_member(ctx, place, (struct sides){.from = item->first}, item->element, node);
        return;
    }
    bool changed =
        !twins_before || (!ctx->removed && !same_twins(ctx, place.field, sides, item->element));
    if (changed && !(ctx->removed && twins_before)) {
        field_set_child(ctx->arena, node, item->element);
    }
}

static void compare_list(struct compare *ctx, const struct grain *grain, struct sides sides,
                         struct val *node)
{
    struct grain_place place = {grain->members, grain->as_member};
    struct items from, other;
    items_fill(ctx->arena, grain->members, sides.from, &from);
    items_fill(ctx->arena, grain->members, sides.other, &other);
    for (uint32_t i = 0; i < from.count; i++) {
        const struct item *item = &from.items[i];
        const struct item *same = i < other.count && str_eq(other.items[i].element, item->element)
                                      ? &other.items[i] /* mostly the lists are in step */
                                      : items_find(&other, item->element);
        if (item->count > 1 || (same != NULL && same->count > 1)) {
            compare_twins(ctx, place, sides, item, same, node);
            continue;
        }
        struct sides inner = {.from = item->first, .other = same != NULL ? same->first : NULL};
        compare_member(ctx, place, inner, item->element, node);
    }
    items_done(&from);
    items_done(&other);
}

/* ---- values ---- */

/* Fills `node` with what is below; `is_new`: the path itself belongs to the set as well. NULL when
 * there is nothing. */
static struct val *compare_value(struct compare *ctx, struct grain_place place, struct sides sides,
                                 struct val *node, bool is_new)
{
    const struct val *have = sides.from;
    struct grain grain = grain_of(place);
    if (have->type == VAL_NULL) { /* of a container null says nothing, unless it is empty */
        return grain_is_deep(&grain, sides.other) && sides.other->count > 0 ? NULL : node;
    }
    if (sides.other != NULL && sides.other->type != have->type) {
        is_new = is_new || (!ctx->removed && sides.other->type != VAL_NULL);
        sides.other = NULL;
    }
    if (grain_is_deep(&grain, have)) {
        if (grain.kind == GRAIN_LIST) {
            compare_list(ctx, &grain, sides, node);
        } else {
            compare_members(ctx, &grain, sides, node, 2);
        }
        return field_set_finish(ctx->arena, node, is_new);
    }
    if (ctx->removed) {
        return is_new ? node : NULL;
    }
    bool same = sides.other != NULL ? val_equal(sides.other, have) : sides.blank && is_zero(have);
    return is_new || !same ? node : NULL;
}

void field_compare(struct arena *arena, const struct field_comparison *comparison,
                   struct field_changes *ret)
{
    struct compare ctx = {arena, comparison, false};
    struct grain grain = {.kind = GRAIN_STRUCT, .type = comparison->type};
    const struct val *old = comparison->old, *next = comparison->next;
    struct val *taken = val_new(arena, VAL_OBJECT);
    compare_members(&ctx, &grain, (struct sides){.from = next, .other = old, .blank = old == NULL},
                    taken, 0);
    ret->taken = field_set_finish(arena, taken, false);
    ret->removed = NULL;
    if (old != NULL) {
        struct val *removed = val_new(arena, VAL_OBJECT);
        ctx.removed = true;
        compare_members(&ctx, &grain, (struct sides){.from = old, .other = next}, removed, 0);
        ret->removed = field_set_finish(arena, removed, false);
    }
}
