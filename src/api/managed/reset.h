/* reset.h: which fields a way of writing cannot own, because the strategy puts them back: the
 * status of the main resource, all but the status of /status, and so on. */
#pragma once
#include "api/schema.h"
#include "api/val.h"

/* NULL ended paths below the object: "status", "metadata.labels". When the first one starts with
 * '+', only what these paths lead to can be owned ("*" is any element). Never NULL. */
const char *const *reset_paths(const struct api_resource *resource, struct str subresource);
/* The set without what is reset. */
struct val *reset_filter(struct arena *arena, const char *const *paths, struct val *set);
