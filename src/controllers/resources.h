/* resources.h: informers over every served resource, custom ones too as they come and go, for what
 * looks at all objects.
 */
#pragma once
#include "api/registry.h"
#include "base/vec.h"
#include "controllers/pass.h"

struct resource_watch {
    const struct api_resource *resource; /* a reference, to the tables as they were at first */
    struct informer *informer;
    void *user; /* of whoever watches */
};
struct resources_ops {
    void (*added)(void *ctx, struct resource_watch *watch); /* handle the informer */
    /* Unhandle it; the informer ends. Also for each at the end. */
    void (*removed)(void *ctx, struct resource_watch *watch);
};
struct resources_feed;
struct resources {
    VEC_OF(struct resource_watch *);
    struct informers *informers;
    struct registry *registry;
    bool namespaced;
    const struct resources_ops *ops;
    void *ctx;
    struct resources_feed *feed; /* NULL: no registry */
};
/* Every stored resource that can be listed, watched and deleted, in its storage version, events
 * left out; `namespaced` only: those of namespaces. Calls added for each, also later. */
void resources_watch(struct resources *resources, const struct controller_env *env, bool namespaced,
                     const struct resources_ops *ops, void *ctx);
void resources_done(struct resources *resources);
struct informer *resources_informer_by_id(const struct resources *resources, uint16_t id);
