/* version.h: between the version a client speaks and the version that is stored.
 *
 * Most resources have one version only; a few kinds are served in two (Event in core/v1 and
 * events.k8s.io/v1). Conversion is a function over tapes, one row a pair in version.c.
 */
#pragma once
#include "api/object.h"

/* The object at rest of a tape in `resource`'s version. Reference count 1, revision 0. */
struct object *version_store(struct arena *arena, const struct api_resource *resource,
                             struct val *value);
/* A tape of `object` in `resource`'s version. The object must outlive it. */
struct val *version_decode(struct arena *arena, const struct api_resource *resource,
                           const struct object *object);
/* A copy of a tape in another version of its kind: both are stored as the same resource. */
struct val *version_convert(struct arena *arena, const struct api_resource *from,
                            const struct api_resource *to, const struct val *value);
/* Whether the bytes at rest can be sent as `resource` as they are. */
static inline bool version_same(const struct api_resource *resource, const struct object *object)
{
    return resource == resource->storage && object->resource == resource;
}
