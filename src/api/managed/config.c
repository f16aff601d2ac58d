/* config.c: an applied configuration: whether it fits its type, and which fields it names.
 *
 * It is not decoded as objects are: what it says counts as it was written ("1000m" is another
 * value than "1"), and what it does not say does not exist. Complaints are worded as clients of
 * the API know them.
 *
 * Recursion is bounded by the parser's depth.
 */
#include "api/field_set.h"
#include "api/managed/apply_int.h"
#include "api/managed/grain.h"
#include "base/map.h"

enum { COMPLAINTS_MAX = 50, INDEX_FROM = 16 };

struct check {
    struct arena *arena;
    struct buf path;
    struct buf text; /* complaints so far */
    uint32_t count;
};

static void check_value(struct check *check, struct grain_place place, const struct val *v);

static void complain(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void complain(struct check *check, const char *format, ...)
{
    va_list ap;
    if (check->count++ >= COMPLAINTS_MAX) {
        return;
    }
    buf_printf(&check->text, "%s%.*s%s", check->count > 1 ? "\n  " : "",
               STR_ARG(buf_view(&check->path)), check->path.n > 0 ? ": " : "");
    va_start(ap, format);
    buf_vprintf(&check->text, format, ap);
    va_end(ap);
}

static const char *type_name(const struct val *v)
{
    static const char *const names[] = {"nil",    "bool",      "bool",  "number",
                                        "string", "an object", "a list"};
    return names[v->type];
}

static void descend(struct check *check, struct str element, struct grain_place place,
                    const struct val *v)
{
    size_t n = check->path.n;
    field_element_text(element, &check->path);
    check_value(check, place, v);
    check->path.n = n;
}

static void check_name(struct check *check, struct str name, struct grain_place place,
                       const struct val *v)
{
    size_t n = check->path.n;
    buf_char(&check->path, '.');
    buf_str(&check->path, name);
    if (place.field == NULL) {
        complain(check, "field not declared in schema");
    } else {
        check_value(check, place, v);
    }
    check->path.n = n;
}

static void check_scalar(struct check *check, const struct api_field *field, const struct val *v)
{
    bool container = v->type == VAL_OBJECT || v->type == VAL_ARRAY;
    switch ((enum api_type)field->type) {
    case API_TYPE_STRING:
    case API_TYPE_BYTES:
    case API_TYPE_DURATION:
        if (v->type != VAL_STRING) {
            complain(check, "expected string, got %s", type_name(v));
        }
        return;
    case API_TYPE_BOOL:
        if (v->type != VAL_TRUE && v->type != VAL_FALSE) {
            complain(check, "expected boolean, got %s", type_name(v));
        }
        return;
    case API_TYPE_INT32:
    case API_TYPE_INT64:
    case API_TYPE_DOUBLE:
        if (v->type != VAL_NUMBER) {
            complain(check, "expected numeric (int or float), got %s", type_name(v));
        }
        return;
    case API_TYPE_QUANTITY:
    case API_TYPE_INT_OR_STRING:
    case API_TYPE_TIME:
    case API_TYPE_MICRO_TIME:
        if (container) {
            complain(check, "expected any scalar, got %s", type_name(v));
        }
        return;
    default:
        return;
    }
}

static void check_struct(struct check *check, const struct api_struct *type, const struct val *v)
{
    struct grain grain = {.kind = GRAIN_STRUCT, .type = type};
    if (v->type != VAL_OBJECT) {
        complain(check, "expected map, got %s", type_name(v));
        return;
    }
    VAL_EACH (it, v) {
        struct grain_place place = grain_member(&grain, it->key);
        check_name(check, it->key, place, it);
        if (place.field == NULL) {
            return; /* the rest of it is not looked at */
        }
    }
}

static void write_list_keys(const struct api_field *field, struct buf *out)
{
    for (size_t i = 0; field->list_keys != NULL && field->list_keys[i] != NULL; i++) {
        buf_printf(out, "%s\"%s\"", i > 0 ? " " : "", field->list_keys[i]);
    }
}

/* Why a member of a list-map or set has no element. */
static void complain_element(struct check *check, const struct api_field *field, uint32_t index,
                             const struct val *v)
{
    bool keyed = field->list == API_LIST_MAP;
    struct buf keys BUF_CLEANUP = BUF_INIT;
    if (v->type == VAL_NULL) {
        complain(check, "element %u: associative list %s", index,
                 keyed ? "with keys may not have a null element"
                       : "without keys has an element that's an explicit null");
    } else if (!keyed) {
        complain(check, "element %u: %s", index,
                 v->type == VAL_OBJECT
                     ? "associative list without keys has an element that's a map type"
                     : "not supported: associative list with lists as elements");
    } else if (v->type != VAL_OBJECT) {
        complain(check, "element %u: associative list with keys may not have non-map elements",
                 index);
    } else {
        write_list_keys(field, &keys);
        complain(check,
                 "element %u: associative list with keys has an element that omits all key fields "
                 "[%.*s] (and doesn't have default values for any key fields)",
                 index, STR_ARG(buf_view(&keys)));
    }
}

/* The element of a member of a list-map or set; STR_NONE when it may have none. */
static struct str element_of(struct check *check, const struct api_field *field,
                             const struct val *v)
{
    bool scalar = v->type != VAL_NULL && v->type != VAL_OBJECT && v->type != VAL_ARRAY;
    return field->list == API_LIST_MAP || scalar ? field_element(check->arena, field, v) : STR_NONE;
}

static bool is_twin(struct map *seen, const struct val *list, const struct str *elements,
                    uint32_t at)
{
    if (list->count >= INDEX_FROM) {
        bool twin = map_get(seen, elements[at]) != NULL;
        map_set(seen, elements[at], (void *)list);
        return twin;
    }
    for (uint32_t i = 0; i < at; i++) {
        if (str_eq(elements[i], elements[at])) {
            return true;
        }
    }
    return false;
}

static void check_keyed_list(struct check *check, const struct grain *grain, const struct val *list)
{
    struct grain_place place = {grain->members, grain->as_member};
    struct str *elements = arena_array(check->arena, struct str, list->count + 1);
    struct map seen = MAP_INIT;
    uint32_t at = 0;
    VAL_EACH (it, list) {
        struct str element = element_of(check, grain->members, it);
        if (element.p == NULL) {
            complain_element(check, grain->members, at, it);
            break;
        }
        elements[at] = element;
        if (is_twin(&seen, list, elements, at)) {
            struct buf text BUF_CLEANUP = BUF_INIT;
            field_element_text(element, &text);
            complain(check, "duplicate entries for key %.*s", STR_ARG(buf_view(&text)));
        }
        descend(check, element, place, it);
        at++;
    }
    map_done(&seen);
}

static void check_plain_list(struct check *check, struct grain_place place, const struct val *list)
{
    uint32_t at = 0;
    VAL_EACH (it, list) {
        size_t n = check->path.n;
        buf_printf(&check->path, "[%u]", at++);
        check_value(check, place, it);
        check->path.n = n;
    }
}

static void check_container(struct check *check, const struct api_field *field, const struct val *v)
{
    struct grain grain = grain_of((struct grain_place){field, false});
    enum val_type wanted = field->shape == API_SHAPE_LIST ? VAL_ARRAY : VAL_OBJECT;
    bool nested = field->type == API_TYPE_NESTED;
    struct grain_place place = {nested ? &field->type_struct->fields[0] : field, !nested};
    if (v->type != wanted) {
        complain(check, "expected %s, got %s", wanted == VAL_ARRAY ? "list" : "map", type_name(v));
    } else if (wanted == VAL_OBJECT) {
        VAL_EACH (it, v) {
            check_name(check, it->key, place, it);
        }
    } else if (grain.kind == GRAIN_LIST) {
        check_keyed_list(check, &grain, v);
    } else {
        check_plain_list(check, place, v);
    }
}

static void check_value(struct check *check, struct grain_place place, const struct val *v)
{
    const struct api_field *field = place.field;
    if (v->type == VAL_NULL || field == NULL) {
        return;
    }
    if (!place.as_member && field->shape != API_SHAPE_ONE) {
        check_container(check, field, v);
    } else if (field->type == API_TYPE_STRUCT && field->type_struct != NULL) {
        check_struct(check, field->type_struct, v);
    } else {
        check_scalar(check, field, v);
    }
}

struct str config_check(struct arena *arena, const struct api_struct *type,
                        const struct val *config)
{
    struct check check = {.arena = arena};
    struct buf all BUF_CLEANUP = BUF_INIT;
    check_struct(&check, type, config);
    if (check.count > 1) {
        buf_addz(&all, "errors:\n  ");
    }
    buf_str(&all, buf_view(&check.text));
    buf_done(&check.path);
    buf_done(&check.text);
    return str_copy_in(arena, buf_view(&all));
}

/* ---- fields ---- */

static struct val *set_of(struct arena *arena, struct grain_place place, const struct val *v,
                          struct val *node, bool included);

static void add_members(struct arena *arena, const struct grain *grain, const struct val *v,
                        struct val *node)
{
    VAL_EACH (it, v) {
        struct val *child = val_new(arena, VAL_OBJECT);
        child->key = field_element_name(arena, it->key);
        struct grain_place place = grain_member(grain, it->key);
        bool empty = it->type == VAL_NULL || (it->type == VAL_OBJECT && it->count == 0);
        child = set_of(arena, place, it, child, empty || !grain_names(grain, it->key));
        if (child != NULL) {
            val_append(node, child);
        }
    }
}

static void add_items(struct arena *arena, const struct grain *grain, const struct val *list,
                      struct val *node)
{
    VAL_EACH (it, list) {
        struct val *child = val_new(arena, VAL_OBJECT);
        child->key = field_element(arena, grain->members, it);
        child =
            set_of(arena, (struct grain_place){grain->members, grain->as_member}, it, child, true);
        val_append(node, child);
    }
}

/* What is below `v`, in `node`; NULL when that is nothing and the path itself is not `included`. */
static struct val *set_of(struct arena *arena, struct grain_place place, const struct val *v,
                          struct val *node, bool included)
{
    struct grain grain = grain_of(place);
    if (!grain_is_deep(&grain, v)) {
        bool list = grain.kind == GRAIN_LIST || grain.kind == GRAIN_MAP;
        return included || !list ? node : NULL;
    }
    if (grain.kind == GRAIN_LIST) {
        add_items(arena, &grain, v, node);
    } else {
        add_members(arena, &grain, v, node);
    }
    return field_set_finish(arena, node, included);
}

struct val *config_set(struct arena *arena, const struct api_struct *type, const struct val *config)
{
    struct grain grain = {.kind = GRAIN_STRUCT, .type = type};
    struct val *node = val_new(arena, VAL_OBJECT);
    add_members(arena, &grain, config, node);
    return field_set_finish(arena, node, false);
}

static struct val *without_systems(struct arena *arena, const struct val *node, int depth)
{
    struct val *made = val_new(arena, VAL_OBJECT);
    made->key = node->key;
    for (const struct val *it = field_set_first(node); it != NULL; it = it->next) {
        struct str name = str_from(it->key, 2);
        bool metadata = depth == 0 && str_is(name, "metadata");
        const struct val *kept = field_is_systems(name, depth) ? NULL : it;
        kept = metadata ? without_systems(arena, it, 1) : kept;
        if (kept != NULL) {
            struct val *copy = val_append(made, val_new(arena, VAL_OBJECT));
            copy->key = kept->key;
            copy->child = kept->child;
            copy->last = kept->last;
            copy->count = kept->count;
        }
    }
    return made->count > 0 ? made : NULL;
}

struct val *config_owned(struct arena *arena, struct val *set)
{
    return set != NULL ? without_systems(arena, set, 0) : NULL;
}
