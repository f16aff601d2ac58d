/* patch_strategic.h: what the parts of patching share; inside api/ only. */
#pragma once
#include "api/patch.h"

/* Lookups are walks; a hostile patch of a huge object would make millions of them. */
enum { PATCH_STEPS_MAX = 100 * 1000 * 1000 };
#define PATCH_TOO_EXPENSIVE "the patch is too large for an object of this size"

struct strategic {
    struct arena *arena;
    struct err *err;
    uint64_t steps; /* members that lookups may have passed */
};

/* Merges the object `patch` into `target`, in place. `type` is NULL for maps and free JSON. */
int strategic_merge_object(struct strategic *ctx, const struct api_struct *type, struct val *target,
                           const struct val *patch);
/* A list with merge strategy: `patch` (may be NULL) into `target` (may be NULL), in the order that
 * `order` (may be NULL) asks for. Returns the merged list in *ret. */
int strategic_merge_list(struct strategic *ctx, const struct api_field *field,
                         const struct val *target, const struct val *patch, const struct val *order,
                         struct val **ret);
/* A copy of what a patch adds, without directives and nulls. */
struct val *strategic_copy(struct strategic *ctx, const struct val *patch);
