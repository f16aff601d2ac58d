/* scale.h: who owns the number of replicas, seen from the scale subresource. The parent's
 * managedFields have its path (spec.replicas), a Scale's have spec.replicas. Paths are names that
 * end with one that is STR_NONE. */
#pragma once
#include "api/val.h"

/* The managedFields that a Scale has: the parent's managers that own `path`. NULL: none. */
struct val *scale_managers(struct arena *arena, const struct val *parent, const struct str *path);
/* The parent's managedFields after a write of its Scale, which has `scale` now: managers that lost
 * the replicas lose `path`, and new ones appear, without a time, as entries of `api_version`. */
struct val *scale_managers_back(struct arena *arena, const struct val *parent,
                                const struct val *scale, const struct str *path,
                                struct str api_version);
