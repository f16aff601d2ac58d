/* grain.c: how finely the fields of a value are owned. See grain.h. */
#include "api/managed/grain.h"

#include "api/codec.h"

const struct api_field grain_deduced = {
    .name = "", .type = API_TYPE_ANY, .shape = API_SHAPE_ONE, .flags = API_PRESERVE_UNKNOWN};

static struct grain grain_container(const struct api_field *field)
{
    bool nested = field->type == API_TYPE_NESTED;
    struct grain grain = {.kind = GRAIN_LEAF,
                          .members = nested ? &field->type_struct->fields[0] : field,
                          .as_member = !nested};
    if (field->shape == API_SHAPE_MAP) {
        grain.kind = (field->flags & API_MAP_ATOMIC) != 0 ? GRAIN_LEAF : GRAIN_MAP;
    } else if (field->list == API_LIST_SET ||
               (field->list == API_LIST_MAP && field->list_keys != NULL)) {
        grain.kind = GRAIN_LIST;
    }
    return grain;
}

struct grain grain_of(struct grain_place place)
{
    const struct api_field *field = place.field;
    struct grain leaf = {.kind = GRAIN_LEAF};
    if (field == NULL) {
        return leaf;
    }
    if (!place.as_member && field->shape != API_SHAPE_ONE) {
        return grain_container(field);
    }
    if (field->type == API_TYPE_ANY) {
        return (field->flags & API_PRESERVE_UNKNOWN) != 0
                   ? (struct grain){.kind = GRAIN_MAP, .members = &grain_deduced}
                   : leaf;
    }
    const struct api_struct *type = field->type == API_TYPE_STRUCT ? field->type_struct : NULL;
    bool granular = (field->flags & API_MAP_GRANULAR) != 0;
    bool atomic = type == NULL || (field->flags & API_MAP_ATOMIC) != 0 ||
                  ((type->flags & API_MAP_ATOMIC) != 0 && !granular);
    return atomic ? leaf : (struct grain){.kind = GRAIN_STRUCT, .type = type};
}

struct grain_place grain_member(const struct grain *grain, struct str key)
{
    if (grain->kind != GRAIN_STRUCT) {
        return (struct grain_place){grain->members, grain->as_member};
    }
    const struct api_field *field = schema_field(grain->type, key);
    if (field == NULL && (grain->type->flags & API_PRESERVE_UNKNOWN) != 0) {
        field = &grain_deduced;
    }
    return (struct grain_place){field, false};
}

bool grain_is_omitted(const struct api_field *field, const struct val *v)
{
    if (v == NULL || v->type == VAL_NULL) {
        return true;
    }
    if (field == NULL || (field->flags & (API_OMIT_EMPTY | API_POINTER)) != API_OMIT_EMPTY) {
        return false;
    }
    return codec_is_empty(field, v);
}
