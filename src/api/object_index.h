/* object_index.h: finding, in canonical bytes, what the header of an object points at. Inside api/
 * only. */
#pragma once
#include "api/object.h"
#include "base/vec.h"

struct object_span {
    uint32_t at, n; /* at 0: absent (a member never starts there) */
};
enum { OBJECT_SELECTORS_MAX = 16 };
struct object_index {
    struct object_span name, ns, uid;
    struct object_span fields[OBJECT_SELECTORS_MAX]; /* raw values: strings without their quotes */
    bool field_escaped[OBJECT_SELECTORS_MAX];
    struct {
        VEC_OF(struct object_label);
    } labels;
    uint32_t revision_at, type_end;
    bool deleting;
};

/* False: the bytes are not one canonical object of the resource's storage version. The caller frees
 * index->labels either way. */
bool object_index_make(const struct api_resource *resource, struct str json,
                       struct object_index *ret_index);
