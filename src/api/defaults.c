/* defaults.c: static defaults out of the schema, and the forms that computed defaults are made of.
 *
 * A static default holds wherever its type is used and the struct that it belongs to is there, so
 * one walk over the typed tape fills them all in. Depth is bounded by the parser (VAL_DEPTH_MAX).
 *
 * Left to others: computed defaults (kinds/).
 */
#include "api/defaults.h"

#include "api/custom/custom.h"
#include "api/quantity.h"

struct val *default_put(struct val *object, struct str name, struct val *value)
{
    if (object->field != NULL && object->field->type_struct != NULL) {
        value->field = schema_field(object->field->type_struct, name);
    }
    return val_set(object, name, value);
}

void default_str(struct arena *arena, struct val *object, const char *name, struct str text)
{
    struct str key = str_of(name);
    const struct val *member = val_get_str(object, key);
    bool pointer = member != NULL && member->field != NULL && (member->field->flags & API_POINTER);
    if (val_absent(member) || (val_text(member).n == 0 && !pointer)) {
        default_put(object, key, val_new_text(arena, text));
    }
}

void default_text(struct arena *arena, struct val *object, const char *name, const char *text)
{
    default_str(arena, object, name, str_of(text));
}

void default_int(struct arena *arena, struct val *object, const char *name, int64_t value)
{
    struct str key = str_of(name);
    if (val_absent(val_get_str(object, key))) {
        default_put(object, key, val_new_int(arena, value));
    }
}

void default_int_zero(struct arena *arena, struct val *object, const char *name, int64_t value)
{
    struct str key = str_of(name);
    const struct val *member = val_get_str(object, key);
    if (val_absent(member) || val_int(member, 1) == 0) {
        default_put(object, key, val_new_int(arena, value));
    }
}

void default_bool(struct arena *arena, struct val *object, const char *name, bool value)
{
    struct str key = str_of(name);
    if (val_absent(val_get_str(object, key))) {
        default_put(object, key, val_new_bool(arena, value));
    }
}

struct val *default_object(struct arena *arena, struct val *object, const char *name)
{
    struct str key = str_of(name);
    struct val *member = val_get_str(object, key);
    return val_absent(member) ? default_put(object, key, val_new(arena, VAL_OBJECT)) : member;
}

void default_resource_list(struct arena *arena, struct val *list)
{
    const __int128 milli = 1000000; /* in nano units */
    VAL_EACH (it, list) {
        struct quantity q;
        if (!quantity_parse(val_text(it), &q) || q.nano % milli == 0) {
            continue; /* the codec made it canonical */
        }
        q.nano = (q.nano / milli + (q.nano > 0 ? 1 : 0)) * milli;
        char *text = arena_alloc(arena, 64);
        it->text = str_at(text, quantity_format(q, text));
    }
}

static void default_struct(struct arena *arena, const struct api_struct *type, struct val *object);

static void default_members(struct arena *arena, const struct api_field *field, struct val *value)
{
    if (field->type_struct == NULL) {
        return;
    }
    if (field->shape == API_SHAPE_ONE) {
        default_struct(arena, field->type_struct, value);
        return;
    }
    VAL_EACH (it, value) {
        default_struct(arena, field->type_struct, it);
    }
}

/* A field without a pointer cannot tell its zero from its absence. */
static bool is_unset(const struct api_field *field, const struct val *value)
{
    bool pointer = (field->flags & API_POINTER) != 0 || field->shape != API_SHAPE_ONE;
    return val_absent(value) || (!pointer && val_is(value, VAL_STRING) && value->text.n == 0) ||
           (!pointer && val_is(value, VAL_NUMBER) && val_int(value, 1) == 0);
}

static void default_field(struct arena *arena, const struct api_field *field, struct val *object)
{
    struct str name = str_at(field->name, field->name_n);
    struct val *value = NULL;
    if (is_unset(field, val_get_str(object, name)) &&
        val_parse_json(arena, str_of(field->default_json), &value, NULL) == 0) {
        value->field = field;
        val_set(object, name, value);
    }
}

/* A struct without a pointer exists even when nobody wrote it. */
static bool is_always_there(const struct api_field *field)
{
    return field->type == API_TYPE_STRUCT && field->shape == API_SHAPE_ONE &&
           (field->flags & API_POINTER) == 0 && field->type_struct != NULL;
}

static void default_struct(struct arena *arena, const struct api_struct *type, struct val *object)
{
    if (!val_is(object, VAL_OBJECT)) {
        return;
    }
    for (uint16_t i = 0; i < type->count; i++) {
        const struct api_field *field = &type->fields[i];
        if (field->default_json != NULL) {
            default_field(arena, field, object);
        } else if (is_always_there(field) && (field->type_struct->flags & API_DEFAULTED) != 0) {
            default_object(arena, object, field->name)->field = field;
        }
    }
    VAL_EACH (member, object) {
        const struct api_field *field =
            member->field != NULL ? member->field : schema_field(type, member->key);
        if (field != NULL) {
            default_members(arena, field, member);
        }
    }
}

void api_default(struct arena *arena, const struct api_resource *resource, struct val *object)
{
    if (resource->custom != NULL) {
        custom_default(arena, resource->custom, object);
        return;
    }
    if (resource->type != NULL) {
        default_struct(arena, resource->type, object);
    }
    if (resource->ops->defaults != NULL) {
        resource->ops->defaults(arena, object);
    }
}
