/* generic.c: the strategy of kinds that have none of their own, custom resources among them. */
#include "api/ops.h"

const struct api_ops ops_generic = {
    .generation = true,
    .unconditional_update = true,
};
