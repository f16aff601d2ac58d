/* patch.h: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch (Kubernetes), as
 * operations on tapes. Results are new tapes in the arena; inputs stay as they were. Bounds: 10,000
 * operations (ERR_TOO_LARGE). */
#pragma once
#include "api/schema.h"
#include "api/val.h"

int patch_json(struct arena *arena, const struct val *target, const struct val *operations,
               struct val **ret_value, struct err *err);
int patch_merge(struct arena *arena, const struct val *target, const struct val *patch,
                struct val **ret_value, struct err *err);
/* With the type's merge keys, $patch, $retainKeys, $deleteFromPrimitiveList, $setElementOrder. */
int patch_strategic(struct arena *arena, const struct api_struct *type, const struct val *target,
                    const struct val *patch, struct val **ret_value, struct err *err);
