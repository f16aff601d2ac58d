/* quota.h: what an object counts for in a ResourceQuota, and for which quotas it counts.
 *
 * Shared by admission, which charges a quota when an object is written, and by the controller that
 * counts anew. Resource names and scopes are those of the API (ResourceQuotaSpec).
 */
#pragma once
#include "api/amounts.h"
#include "api/schema.h"

struct quota_item {
    const struct api_resource *resource;
    const struct val *object;
    int64_t now_wall_ns;
};
/* Whether objects of this resource count for anything at all (Events do not). */
bool quota_covers(const struct api_resource *resource);
/* Whether a name in `hard` measures objects of this resource. */
bool quota_measures(const struct api_resource *resource, struct str hard_name);
/* Everything that the object counts for; callers pick what a quota limits. Names are in the arena
 * of `ret`. */
void quota_usage(const struct quota_item *item, struct amounts *ret);
/* Whether the quota (a ResourceQuota object) counts the object: `hard` measures its resource, and
 * all scopes hold. */
bool quota_matches(const struct val *quota, const struct val *hard, const struct quota_item *item);
/* A pod must say what a quota limits: "must specify limits.cpu for: a,b", or STR_NONE. */
struct str quota_missing(const struct val *hard, const struct quota_item *item,
                         struct arena *arena);
/* Whether a change of an object may change what it counts for; `old` and `now` are tapes. */
bool quota_changes(const struct api_resource *resource, const struct val *old,
                   const struct val *now, int64_t now_wall_ns);
