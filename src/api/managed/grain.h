/* grain.h: how finely the fields of a value are owned.
 *
 * A value is one field (scalars, atomic lists, maps and structs), or its members are fields: of a
 * struct by the type's tables, of a map by key, of a list by key or value. All walks of comparing,
 * merging and pruning ask here, so that they agree.
 *
 * What a type keeps without describing it (API_PRESERVE_UNKNOWN) is deduced from the value: objects
 * by key, everything else one field.
 */
#pragma once
#include "api/schema.h"
#include "api/val.h"

enum grain_kind { GRAIN_LEAF, GRAIN_STRUCT, GRAIN_MAP, GRAIN_LIST };
struct grain {
    enum grain_kind kind;
    const struct api_struct *type;   /* GRAIN_STRUCT */
    const struct api_field *members; /* of a map or list: what each member is */
    bool as_member;                  /* ... and is one of a container, not a whole field */
};

/* Where a value stands: as `field`, or as a member of a list or map that is. */
struct grain_place {
    const struct api_field *field; /* NULL: nothing is known, so one field */
    bool as_member;
};

extern const struct api_field grain_deduced; /* what nothing describes */

struct grain grain_of(struct grain_place place);
/* The place of the member `key` of a struct or map (of a list: any). */
struct grain_place grain_member(const struct grain *grain, struct str key);
/* Whether the member is one that the type names: such members have no entry of their own beside
 * those of their own members. */
static inline bool grain_names(const struct grain *grain, struct str key)
{
    return grain->kind == GRAIN_STRUCT && schema_field(grain->type, key) != NULL;
}
/* Whether a value of this place is a container that goes deeper. */
static inline bool grain_is_deep(const struct grain *grain, const struct val *value)
{
    switch (grain->kind) {
    case GRAIN_STRUCT:
    case GRAIN_MAP:
        return val_is(value, VAL_OBJECT);
    case GRAIN_LIST:
        return val_is(value, VAL_ARRAY);
    default:
        return false;
    }
}
/* Whether a typed value is one that is never written (Go's omitempty), so counts as absent. */
bool grain_is_omitted(const struct api_field *field, const struct val *value);
