/* registry.h: which kinds there are now: the built-in ones, and those that
 * CustomResourceDefinitions define (custom/custom.h).
 *
 * A registry belongs to a cache (server/cache.h). Its state is an immutable view that is swapped
 * whole, so readers on any thread take no lock, and a request that names a built-in kind does not
 * even take a reference. What a look-up returns is a reference (schema_ref, api/schema.h) that
 * keeps the tables of the kind alive, whatever becomes of its definition meanwhile.
 *
 * Invariants: a resource (group and plural) has one id for the life of the registry, also when its
 * definition goes and comes back, so cache, rings and watches go on. A view's generation grows with
 * each change.
 */
#pragma once
#include "api/discovery.h"
#include "base/head.h"
#include "base/list.h"

struct definition;
struct registry;
struct registry *registry_new(void);
void registry_free(struct registry *registry); /* NULL is harmless */

/* ---- reading: any thread ---- */

/* By path or by kind; a reference, or NULL. What is not served is found too. */
const struct api_resource *registry_resource(struct registry *registry, struct str group,
                                             struct str version, struct str plural);
const struct api_resource *registry_kind_of(struct registry *registry, struct str api_version,
                                            struct str kind);
/* The storage version of "pods" or "crontabs.example.com"; a reference, or NULL. */
const struct api_resource *registry_stored(struct registry *registry, struct str name);

struct registry_view {
    struct shared shared;
    uint64_t generation;
    struct api_catalog catalog; /* all resources, served or not; custom ones last */
    struct definition **definitions;
    size_t definition_count;
    const struct api_resource **by_path, **by_kind; /* private: custom ones, sorted */
    size_t custom_count;
};
struct registry_view *registry_view(struct registry *registry); /* a reference */
static inline void registry_view_unref(struct registry_view *view)
{
    if (view != NULL) {
        shared_unref(&view->shared);
    }
}
uint64_t registry_generation(struct registry *registry);

/* Told after each change, on the thread of whoever changed something, under a lock: it may only
 * post to its own loop. */
struct registry_listener {
    void (*changed)(void *ctx);
    void *ctx;
    struct list link; /* private */
};
void registry_listen(struct registry *registry, struct registry_listener *listener);
void registry_unlisten(struct registry *registry, struct registry_listener *listener);

/* ---- writing: one thread at a time ---- */

/* The id of a resource; ERR_LIMIT when there are none left. */
int registry_id(struct registry *registry, struct str group, struct str plural, uint16_t *ret_id,
                struct err *err);
/* Puts the definition in the place of the one that had its id. Takes the reference. */
void registry_put(struct registry *registry, struct definition *definition);
/* The definition of that name ("crontabs.example.com"); borrowed until the next put. */
struct definition *registry_definition(struct registry *registry, struct str name);
