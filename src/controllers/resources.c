/* Informers over every served resource (resources.h). */
#include "controllers/resources.h"

void resources_watch(struct resources *resources, struct informers *informers, bool namespaced)
{
    const uint16_t wanted = API_VERB_LIST | API_VERB_WATCH | API_VERB_DELETE;
    size_t count;
    const struct api_resource *const *all = schema_resources(&count);
    for (size_t i = 0; i < count; i++) {
        const struct api_resource *resource = all[i];
        if (!resource->stored || !resource->served || resource->storage != resource ||
            (resource->verbs & wanted) != wanted || (namespaced && !resource->namespaced) ||
            str_is(str_of(resource->plural), "events")) {
            continue;
        }
        struct resource_watch *watch = vec_push(resources);
        watch->resource = resource;
        watch->informer = informers_get(informers, resource);
    }
}

void resources_done(struct resources *resources)
{
    vec_done(resources);
}

struct informer *resources_informer_by_id(const struct resources *resources, uint16_t id)
{
    for (size_t i = 0; i < resources->count; i++) {
        if (resources->items[i].resource->id == id) {
            return resources->items[i].informer;
        }
    }
    return NULL;
}
