/* fields.h: managedFields: who owns which field (metav1.FieldsV1), for creates, updates and
 * patches; apply is built on it. */
#pragma once
#include "api/schema.h"
#include "api/val.h"

/* Rewrites metadata.managedFields of `next` for an Update by `manager` (subresource "" or
 * "status"...): fields that differ from `old` (NULL on create) become the manager's, and are taken
 * from others. `api_version` "apps/v1". When the same manager owns the same set, only the time
 * moves. Never fails on our own objects; a broken managedFields in `next` resets it (an empty list
 * from the client resets it too, as upstream). */
void fields_track_update(struct arena *arena, const struct api_struct *type, const struct val *old,
                         struct val *next, struct str manager, struct str api_version,
                         struct str subresource, int64_t now_wall_ns);
