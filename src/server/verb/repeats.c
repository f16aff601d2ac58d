/* repeats.c: the table of repeats.h. A slot is one word, so nothing can be torn. */
#include "server/verb/repeats.h"

#include <stdatomic.h>

#include "api/custom/custom.h"

enum { SLOTS = 1 << 13 };

struct repeats {
    _Atomic uint64_t slots[SLOTS];
};

struct repeats *repeats_new(struct arena *arena)
{
    return arena_new(arena, struct repeats);
}

uint64_t repeats_digest(const struct request *request, const struct object *object)
{
    const struct api_resource *resource = request->route.resource;
    const struct query_options *options = &request->options;
    const uint64_t facts[] = {
        str_hash(request->body),
        request->body.n,
        object->revision,
        (uint64_t)(uintptr_t)resource,
        resource->custom != NULL ? resource->custom->definition->digest : 0,
        str_hash(object->uid),
        str_hash(options->field_manager),
        str_hash(request->identity->name),
        str_hash(route_subresource(&request->route)),
        (uint64_t)options->strictness << 1 | options->force,
    };
    uint64_t digest = str_hash(str_at((const char *)facts, sizeof facts));
    return digest != 0 ? digest : 1;
}

bool repeats_has(const struct repeats *repeats, uint64_t digest)
{
    return atomic_load_explicit(&repeats->slots[digest % SLOTS], memory_order_relaxed) == digest;
}

void repeats_add(struct repeats *repeats, uint64_t digest)
{
    atomic_store_explicit(&repeats->slots[digest % SLOTS], digest, memory_order_relaxed);
}
