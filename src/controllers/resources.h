/* resources.h: informers over every served resource, for what looks at all objects. */
#pragma once
#include "base/vec.h"
#include "controllers/pass.h"

struct resource_watch {
    const struct api_resource *resource;
    struct informer *informer;
};
struct resources {
    VEC_OF(struct resource_watch);
};
/* Every stored resource that can be listed, watched and deleted, in its storage version, events
 * left out; `namespaced` only: those of namespaces. */
void resources_watch(struct resources *resources, struct informers *informers, bool namespaced);
void resources_done(struct resources *resources);
struct informer *resources_informer_by_id(const struct resources *resources, uint16_t id);
