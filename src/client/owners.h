/* owners.h: metadata.ownerReferences of an object at rest, without decoding the whole of it. */
#pragma once
#include "api/object.h"

struct owner {
    struct str api_version, kind, name, uid;
    bool controller, block_deletion; /* blockOwnerDeletion */
};
/* All owners, in order; views into the arena or the object. Returns how many. */
size_t owners_of(struct arena *arena, const struct object *object, struct owner **ret_owners);
/* The value of a top-level member of metadata as raw JSON (object, array, string ...), or STR_NONE.
 * `name` needs no escaping. */
struct str metadata_raw(const struct object *object, struct str name);
/* The same of the object itself. */
struct str object_raw(const struct object *object, struct str name);
/* "apps/v1", into the object. */
struct str object_api_version(const struct object *object);
