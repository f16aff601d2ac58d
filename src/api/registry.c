/* registry.c: the view of custom kinds beside the built-in tables. See registry.h.
 *
 * A put makes a new view out of the old one: a few pointers a kind. Ids are kept in a map that only
 * grows; there are at most REGISTRY_IDS_MAX of them, which is as many as the cache has indexes.
 */
#include "api/registry.h"

#include <pthread.h>
#include <stdlib.h>

#include "api/custom/custom.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

enum { REGISTRY_IDS_MAX = 4096 };

struct registry {
    struct head head;
    pthread_mutex_t lock; /* writers, ids, listeners */
    struct map ids;       /* "plural.group" -> id, as a pointer */
    size_t next_id;
    struct list listeners;
    _Atomic uint64_t generation;
};

static void drop_view(struct shared *shared)
{
    struct registry_view *view = container_of(shared, struct registry_view, shared);
    for (size_t i = 0; i < view->definition_count; i++) {
        definition_unref(view->definitions[i]);
    }
    free(view->definitions);
    free((void *)(uintptr_t)view->catalog.resources);
    free((void *)view->by_path);
    free((void *)view->by_kind);
    free(view);
}

static int compare_names(const char *name, const char *group, const char *version,
                         const struct str sought[3])
{
    int order = str_cmp(str_of(name), sought[0]);
    order = order != 0 ? order : str_cmp(str_of(group), sought[1]);
    return order != 0 ? order : str_cmp(str_of(version), sought[2]);
}

static int by_path(const void *a, const void *b)
{
    const struct api_resource *x = *(const struct api_resource *const *)a,
                              *y = *(const struct api_resource *const *)b;
    const struct str sought[3] = {str_of(y->plural), str_of(y->group), str_of(y->version)};
    return compare_names(x->plural, x->group, x->version, sought);
}

static int by_kind(const void *a, const void *b)
{
    const struct api_resource *x = *(const struct api_resource *const *)a,
                              *y = *(const struct api_resource *const *)b;
    const struct str sought[3] = {str_of(y->kind), str_of(y->group), str_of(y->version)};
    int order = compare_names(x->kind, x->group, x->version, sought);
    return order != 0 ? order : (int)y->served - (int)x->served; /* what is served first */
}

/* Fills the arrays of a view whose definitions are set. */
static void index_view(struct registry_view *view)
{
    size_t built_in = 0, custom = 0;
    const struct api_resource *const *all = schema_resources(&built_in);
    for (size_t i = 0; i < view->definition_count; i++) {
        custom += view->definitions[i]->version_count;
    }
    const struct api_resource **resources =
        mem_array(const struct api_resource *, built_in + custom + 1);
    memcpy((void *)resources, all, built_in * sizeof *all);
    size_t at = built_in;
    for (size_t i = 0; i < view->definition_count; i++) {
        for (size_t k = 0; k < view->definitions[i]->version_count; k++) {
            resources[at++] = &view->definitions[i]->versions[k];
        }
    }
    view->catalog = (struct api_catalog){resources, at};
    view->custom_count = custom;
    view->by_path = mem_array(const struct api_resource *, custom + 1);
    view->by_kind = mem_array(const struct api_resource *, custom + 1);
    if (custom > 0) {
        memcpy((void *)view->by_path, resources + built_in, custom * sizeof *resources);
        memcpy((void *)view->by_kind, resources + built_in, custom * sizeof *resources);
        qsort((void *)view->by_path, custom, sizeof *view->by_path, by_path);
        qsort((void *)view->by_kind, custom, sizeof *view->by_kind, by_kind);
    }
}

struct registry *registry_new(void)
{
    struct registry *registry = mem_new(struct registry);
    struct registry_view *view = mem_new(struct registry_view);
    pthread_mutex_init(&registry->lock, NULL);
    list_init(&registry->listeners);
    schema_resources(&registry->next_id);
    shared_init(&view->shared, drop_view);
    index_view(view);
    atomic_init(&registry->head.word, 0);
    head_swap(&registry->head, &view->shared);
    return registry;
}

void registry_free(struct registry *registry)
{
    if (registry == NULL) {
        return;
    }
    head_swap(&registry->head, NULL);
    map_done(&registry->ids);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

struct registry_view *registry_view(struct registry *registry)
{
    return container_of(head_take(&registry->head), struct registry_view, shared);
}

uint64_t registry_generation(struct registry *registry)
{
    return atomic_load(&registry->generation);
}

static const struct api_resource *find(const struct api_resource *const *table, size_t count,
                                       bool kind, const struct str sought[3])
{
    size_t low = 0, high = count;
    while (low < high) { /* the first that is not before it */
        size_t middle = (low + high) / 2;
        const struct api_resource *it = table[middle];
        if (compare_names(kind ? it->kind : it->plural, it->group, it->version, sought) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == count) {
        return NULL;
    }
    const struct api_resource *it = table[low];
    bool same = compare_names(kind ? it->kind : it->plural, it->group, it->version, sought) == 0;
    return same ? it : NULL;
}

static const struct api_resource *find_custom(struct registry *registry, bool kind,
                                              const struct str sought[3])
{
    if (registry == NULL || sought[1].n == 0) {
        return NULL; /* the core group has none */
    }
    struct registry_view *view = registry_view(registry);
    const struct api_resource *found =
        find(kind ? view->by_kind : view->by_path, view->custom_count, kind, sought);
    if (found != NULL) {
        schema_ref(found);
    }
    registry_view_unref(view);
    return found;
}

const struct api_resource *registry_resource(struct registry *registry, struct str group,
                                             struct str version, struct str plural)
{
    const struct api_resource *built_in = schema_resource(group, version, plural);
    return built_in != NULL ? built_in
                            : find_custom(registry, false, (struct str[3]){plural, group, version});
}

const struct api_resource *registry_kind_of(struct registry *registry, struct str api_version,
                                            struct str kind)
{
    struct str group, version;
    schema_split_version(api_version, &group, &version);
    const struct api_resource *built_in = schema_kind(group, version, kind);
    return built_in != NULL ? built_in
                            : find_custom(registry, true, (struct str[3]){kind, group, version});
}

static bool is_named(const struct api_resource *resource, struct str plural, struct str group)
{
    return resource->storage == resource && resource->stored && str_is(plural, resource->plural) &&
           str_is(group, resource->group);
}

const struct api_resource *registry_stored(struct registry *registry, struct str name)
{
    struct str group;
    struct str plural = str_cut(name, '.', &group);
    struct registry_view *view = registry_view(registry);
    const struct api_resource *found = NULL;
    for (size_t i = 0; i < view->catalog.count && found == NULL; i++) {
        if (is_named(view->catalog.resources[i], plural, group)) {
            found = view->catalog.resources[i];
            schema_ref(found);
        }
    }
    registry_view_unref(view);
    return found;
}

/* ---- writing ---- */

int registry_id(struct registry *registry, struct str group, struct str plural, uint16_t *ret_id,
                struct err *err)
{
    char *name MEM_CLEANUP = mem_printf("%.*s.%.*s", STR_ARG(plural), STR_ARG(group));
    pthread_mutex_lock(&registry->lock);
    uintptr_t id = (uintptr_t)map_get(&registry->ids, str_of(name));
    if (id == 0 && registry->next_id < REGISTRY_IDS_MAX) {
        id = registry->next_id++;
        map_set(&registry->ids, str_of(name), (void *)id);
    }
    pthread_mutex_unlock(&registry->lock);
    if (id == 0) {
        return err_set(err, ERR_LIMIT, "there are %d kinds already: restart the server",
                       REGISTRY_IDS_MAX);
    }
    *ret_id = (uint16_t)id;
    return 0;
}

void registry_put(struct registry *registry, struct definition *definition)
{
    pthread_mutex_lock(&registry->lock);
    const struct registry_view *old =
        container_of(head_peek(&registry->head), struct registry_view, shared);
    struct registry_view *view = mem_new(struct registry_view);
    shared_init(&view->shared, drop_view);
    view->generation = old->generation + 1;
    view->definitions = mem_array(struct definition *, old->definition_count + 1);
    for (size_t i = 0; i < old->definition_count; i++) {
        if (old->definitions[i]->id != definition->id) {
            view->definitions[view->definition_count++] = definition_ref(old->definitions[i]);
        }
    }
    view->definitions[view->definition_count++] = definition;
    index_view(view);
    atomic_store(&registry->generation, view->generation);
    head_swap(&registry->head, &view->shared);
    LIST_EACH_SAFE (it, &registry->listeners) {
        struct registry_listener *listener = container_of(it, struct registry_listener, link);
        listener->changed(listener->ctx);
    }
    pthread_mutex_unlock(&registry->lock);
}

struct definition *registry_definition(struct registry *registry, struct str name)
{
    const struct registry_view *view =
        container_of(head_peek(&registry->head), struct registry_view, shared);
    for (size_t i = 0; i < view->definition_count; i++) {
        if (str_eq(view->definitions[i]->name, name)) {
            return view->definitions[i];
        }
    }
    return NULL;
}

void registry_listen(struct registry *registry, struct registry_listener *listener)
{
    pthread_mutex_lock(&registry->lock);
    list_init(&listener->link);
    list_append(&registry->listeners, &listener->link);
    pthread_mutex_unlock(&registry->lock);
}

void registry_unlisten(struct registry *registry, struct registry_listener *listener)
{
    pthread_mutex_lock(&registry->lock);
    list_remove(&listener->link);
    pthread_mutex_unlock(&registry->lock);
}
