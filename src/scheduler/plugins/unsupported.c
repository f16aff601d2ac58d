/* unsupported.c: wishes that no node can meet because nothing here acts on them yet. Saying
 * so at once is better than a pod that starts without its volume or device. */
#include "scheduler/plugins/plugins.h"

static int prepare(struct cycle *cycle, void **state)
{
    const struct shape *shape = cycle->shape;
    if (shape->claim_count > 0) {
        cycle->refusal = arena_printf(cycle->arena, "persistentvolumeclaim \"%.*s\" not found",
                                      STR_ARG(shape->claims[0]));
        return PLUGIN_REFUSES;
    }
    if (shape->wants_devices) {
        cycle->refusal = "resource claims are not supported yet";
        return PLUGIN_REFUSES;
    }
    return PLUGIN_NOTHING;
}

const struct plugin plugin_unsupported = {.name = "Unsupported", .prepare = prepare};
