/* pipeline.h: from a decoded object to a plan: metadata, defaults, admission, strategy, validation,
 * managedFields. The same for every kind and every way of writing (style.md: kinds differ by ops).
 */
#pragma once
#include "api/fields.h"
#include "server/write/change.h"

/* `object` is typed as change->resource; it is changed in place. Sets change->name. */
int pipeline_create(struct request *request, struct change *change, struct val *object,
                    struct plan *ret_plan, struct failure *failure);
/* `old` is the tape of `current`, `next` what it shall be. Plans nothing when nothing changes, and
 * a delete when the last finalizer of a dying object goes. */
int pipeline_update(struct request *request, struct change *change, struct val *next,
                    const struct val *old, const struct object *current, struct plan *ret_plan,
                    struct failure *failure);
/* Who writes, for managedFields (api/fields.h): the request's manager in the change's version. */
struct fields_writer pipeline_writer(struct request *request, struct change *change);
/* The tape of the current object in the change's version; NULL when there is none. */
struct val *pipeline_decode(struct change *change, const struct object *current);
