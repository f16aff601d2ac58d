/* pipeline.h: from a decoded object to a plan: metadata, defaults, admission, strategy, validation,
 * managedFields. The same for every kind and every way of writing (style.md: kinds differ by ops).
 */
#pragma once
#include "server/write/change.h"

/* `object` is typed as change->resource; it is changed in place. Sets change->name. */
int pipeline_create(struct request *request, struct change *change, struct val *object,
                    struct plan *ret_plan, struct failure *failure);
/* `old` is the tape of `current`, `next` what it shall be. Plans nothing when nothing changes, and
 * a delete when the last finalizer of a dying object goes. */
int pipeline_update(struct request *request, struct change *change, struct val *next,
                    const struct val *old, const struct object *current, struct plan *ret_plan,
                    struct failure *failure);
/* The tape of the current object in the change's version; NULL when there is none. */
struct val *pipeline_decode(struct change *change, const struct object *current);
