/* unsupported.c: wishes that no node can meet because nothing here acts on them yet. Saying
 * so at once is better than a pod that starts without its volume or device. */
#include "scheduler/plugins/plugins.h"

static int prepare(struct cycle *cycle, void **state)
{
    const struct shape *shape = cycle->shape;
    if (shape->wants_devices) {
        cycle->refusal = "resource claims are not supported yet";
        return PLUGIN_REFUSES;
    }
    return PLUGIN_NOTHING;
}

const struct plugin plugin_unsupported = {.name = "Unsupported", .prepare = prepare};
