/* capacity.h: how much a device has, and which parts of it may be asked for. */
#pragma once
#include "api/validation.h"

/* `shared`: several claims may have a part; only then there may be a policy. */
void capacity_check(struct field_errors *errors, const struct path *path,
                    const struct val *capacity, bool shared);
