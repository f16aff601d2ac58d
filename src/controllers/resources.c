/* Informers over every served resource (resources.h).
 *
 * The registry tells of a change on another thread; a task on our loop then compares what there is
 * with what is watched. The task may outlive whoever watches, so it is a block of its own.
 */
#include "controllers/resources.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "api/custom/custom.h"

struct resources_feed {
    struct registry_listener listener;
    struct task task;
    struct loop *loop;
    struct resources *owner; /* NULL: gone */
    _Atomic bool posted;
};

static bool is_wanted(const struct resources *resources, const struct api_resource *resource)
{
    const uint16_t verbs = API_VERB_LIST | API_VERB_WATCH | API_VERB_DELETE;
    bool served =
        resource->custom != NULL ? resource->custom->definition->established : resource->served;
    return resource->stored && served && resource->storage == resource &&
           (resource->verbs & verbs) == verbs && (!resources->namespaced || resource->namespaced) &&
           !str_is(str_of(resource->plural), "events");
}

static struct resource_watch *find(const struct resources *resources, uint16_t id)
{
    for (size_t i = 0; i < resources->count; i++) {
        if (resources->items[i]->resource->id == id) {
            return resources->items[i];
        }
    }
    return NULL;
}

static void add(struct resources *resources, const struct api_resource *resource)
{
    struct resource_watch *watch = mem_new(struct resource_watch);
    schema_ref(resource);
    watch->resource = resource;
    watch->informer = informers_get(resources->informers, resource);
    *vec_push(resources) = watch;
    resources->ops->added(resources->ctx, watch);
}

static void drop(struct resources *resources, struct resource_watch *watch)
{
    resources->ops->removed(resources->ctx, watch);
    if (watch->resource->custom != NULL) {
        informers_drop(resources->informers, watch->informer);
    }
    schema_unref(watch->resource);
    free(watch);
}

static bool is_in(const struct resources *resources, struct api_catalog catalog, uint16_t id)
{
    for (size_t i = 0; i < catalog.count; i++) {
        if (catalog.resources[i]->id == id && is_wanted(resources, catalog.resources[i])) {
            return true;
        }
    }
    return false;
}

static void compare(struct resources *resources, struct api_catalog catalog)
{
    size_t kept = 0;
    for (size_t i = 0; i < resources->count; i++) {
        struct resource_watch *watch = resources->items[i];
        if (is_in(resources, catalog, watch->resource->id)) {
            resources->items[kept++] = watch;
        } else {
            drop(resources, watch);
        }
    }
    resources->count = kept;
    for (size_t i = 0; i < catalog.count; i++) {
        const struct api_resource *resource = catalog.resources[i];
        if (is_wanted(resources, resource) && find(resources, resource->id) == NULL) {
            add(resources, resource);
        }
    }
}

static void refresh(struct resources *resources)
{
    struct registry_view *view = registry_view(resources->registry);
    compare(resources, view->catalog);
    registry_view_unref(view);
}

static void run(struct task *task)
{
    struct resources_feed *feed = container_of(task, struct resources_feed, task);
    atomic_store(&feed->posted, false);
    if (feed->owner == NULL) {
        free(feed);
    } else {
        refresh(feed->owner);
    }
}

static void changed(void *ctx)
{
    struct resources_feed *feed = ctx;
    if (!atomic_exchange(&feed->posted, true)) {
        loop_post(feed->loop, &feed->task);
    }
}

void resources_watch(struct resources *resources, const struct controller_env *env, bool namespaced,
                     const struct resources_ops *ops, void *ctx)
{
    resources->informers = env->informers;
    resources->registry = env->options->registry;
    resources->namespaced = namespaced;
    resources->ops = ops;
    resources->ctx = ctx;
    if (resources->registry == NULL) {
        compare(resources, catalog_builtin());
        return;
    }
    struct resources_feed *feed = resources->feed = mem_new(struct resources_feed);
    feed->loop = env->loop;
    feed->owner = resources;
    list_init(&feed->task.link);
    feed->task.run = run;
    feed->listener = (struct registry_listener){.changed = changed, .ctx = feed};
    registry_listen(resources->registry, &feed->listener);
    refresh(resources);
}

void resources_done(struct resources *resources)
{
    struct resources_feed *feed = resources->feed;
    if (feed != NULL) {
        registry_unlisten(resources->registry, &feed->listener);
        feed->owner = NULL;
        if (!atomic_load(&feed->posted)) {
            free(feed);
        }
        resources->feed = NULL;
    }
    VEC_EACH (it, resources) {
        drop(resources, *it);
    }
    vec_done(resources);
}

struct informer *resources_informer_by_id(const struct resources *resources, uint16_t id)
{
    const struct resource_watch *watch = find(resources, id);
    return watch != NULL ? watch->informer : NULL;
}
