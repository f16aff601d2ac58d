/* cache.c: the table of resources, and publishing: trees first, then rings, then the revision, then
 * the wake-ups. So whoever reads revision R finds every event up to R in trees and rings.
 *
 * Only the sequencer's thread writes. Indexes are made on first use by whoever asks, and stay.
 */
#include "server/cache_int.h"

#include "base/failpoint.h"

enum { RING_BYTES = 16 << 20 };

struct cache *cache_new(size_t ring_bytes_per_resource)
{
    struct cache *cache = mem_new(struct cache);
    cache->ring_limit = ring_bytes_per_resource != 0 ? ring_bytes_per_resource : RING_BYTES;
    cache->batch = 1;
    cache->registry = registry_new();
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

static void index_free(struct index *index)
{
    if (index == NULL) {
        return;
    }
    if (index->next != NULL) {
        shared_unref(&index->next->shared);
    }
    head_swap(&index->tree, NULL);
    ring_done(&index->ring);
    free(index);
}

void cache_free(struct cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (unsigned id = 0; id < RESOURCE_MAX; id++) {
        index_free(cache_index_at(cache, id));
    }
    for (int i = 0; i < RESOURCE_MAX / 64; i++) {
        free((void *)atomic_load(&cache->pages[i]));
    }
    for (int i = 0; i < HUB_MAX; i++) {
        free(atomic_load(&cache->hubs[i]));
    }
    vec_done(&cache->batch_events);
    vec_done(&cache->batch_indexes);
    pthread_mutex_destroy(&cache->lock);
    registry_free(cache->registry);
    free(cache);
}

struct registry *cache_registry(struct cache *cache)
{
    return cache->registry;
}

uint64_t cache_revision(const struct cache *cache)
{
    return atomic_load(&cache->revision);
}

struct index *cache_index_at(struct cache *cache, unsigned id)
{
    _Atomic(struct index *) *page = atomic_load(&cache->pages[id / 64]);
    return page != NULL ? atomic_load(&page[id % 64]) : NULL;
}

static struct index *index_new(struct cache *cache, unsigned id)
{
    struct index *index = mem_new(struct index);
    index->id = id;
    struct tree *tree = tree_new();
    tree->revision = cache->base;
    atomic_init(&index->tree.word, 0);
    head_swap(&index->tree, &tree->shared);
    ring_init(&index->ring, cache->base, cache->ring_limit);
    for (int i = 0; i < HUB_MAX; i++) {
        list_init(&index->seats[i].cursors);
    }
    return index;
}

struct index *cache_index(struct cache *cache, const struct api_resource *resource)
{
    const struct api_resource *storage = resource->storage != NULL ? resource->storage : resource;
    unsigned id = storage->id;
    if (id >= RESOURCE_MAX) {
        abort(); /* ids are dense: more kinds than any cluster has */
    }
    struct index *index = cache_index_at(cache, id);
    if (index != NULL) {
        return index;
    }
    _Atomic(struct index *) *page = atomic_load(&cache->pages[id / 64]);
    if (page == NULL) {
        _Atomic(struct index *) *made = mem_zalloc(64 * sizeof *made);
        if (atomic_compare_exchange_strong(&cache->pages[id / 64], &page, made)) {
            page = made;
        } else {
            free((void *)made);
        }
    }
    struct index *made = index_new(cache, id);
    if (atomic_compare_exchange_strong(&page[id % 64], &index, made)) {
        return made;
    }
    index_free(made);
    return index;
}

/* ---- writing ---- */

static struct tree *tip_of(const struct index *index)
{
    return container_of(head_peek(&index->tree), struct tree, shared);
}

/* The tree that the running batch may change. */
static struct tree *next_of(struct cache *cache, struct index *index)
{
    if (index->next == NULL) {
        index->next = tree_fork(tip_of(index));
        *vec_push(&cache->batch_indexes) = index;
    }
    return index->next;
}

/* Puts the changed trees of the batch in place. */
static void publish_trees(struct cache *cache)
{
    VEC_EACH (it, &cache->batch_indexes) {
        struct index *index = *it;
        head_swap(&index->tree, &index->next->shared);
        index->next = NULL;
    }
    cache->batch++;
}

void cache_load(struct cache *cache, struct object *object)
{
    struct tree *tree = next_of(cache, cache_index(cache, object->resource));
    object_unref(tree_put(tree, cache->batch, object));
}

void cache_set_revision(struct cache *cache, uint64_t revision, uint64_t compacted)
{
    cache->base = revision;
    VEC_EACH (it, &cache->batch_indexes) {
        (*it)->next->revision = revision;
        ring_done(&(*it)->ring);
        ring_init(&(*it)->ring, revision, cache->ring_limit);
    }
    publish_trees(cache);
    vec_clear(&cache->batch_indexes);
    atomic_store(&cache->compacted, compacted);
    atomic_store(&cache->revision, revision);
}

void cache_set_compacted(struct cache *cache, uint64_t compacted)
{
    atomic_store(&cache->compacted, compacted);
}

void cache_set_history(struct cache *cache, void (*read)(void *ctx, struct history_read *read),
                       void *ctx)
{
    cache->history = read;
    cache->history_ctx = ctx;
}

struct object *cache_tip(struct cache *cache, const struct api_resource *resource, struct str ns,
                         struct str name)
{
    return tree_get(tip_of(cache_index(cache, resource)), (struct tree_key){ns, name});
}

static void apply(struct cache *cache, const struct cache_change *change)
{
    struct tree *tree = next_of(cache, cache_index(cache, change->resource));
    struct object *object = object_ref(change->object), *previous;
    if (change->type == EVENT_DELETED) {
        previous = tree_remove(tree, cache->batch, tree_key_of(object));
    } else {
        previous = tree_put(tree, cache->batch, object_ref(object));
    }
    tree->revision = object->revision;
    *vec_push(&cache->batch_events) =
        (struct cache_event){object->revision, change->type, object, previous};
}

const struct object *cache_renew(struct cache *cache, const struct api_resource *storage,
                                 struct str after_ns, struct str after_name, size_t limit)
{
    struct index *index = cache_index(cache, storage);
    struct snapshot tip = {tip_of(index), cache_revision(cache)};
    struct snapshot_iter iter;
    const struct object *object = NULL, *last = NULL;
    snapshot_iter_init(&iter, &tip, STR_NONE, NULL, NULL, after_ns, after_name);
    struct tree *tree = tree_fork(tip.tree);
    while (limit > 0 && (object = snapshot_next(&iter)) != NULL) {
        struct object *now = NULL;
        last = object;
        limit--;
        if (object->resource != storage && object_load(storage, str_at(object->json, object->n),
                                                       object->revision, &now, NULL) == 0) {
            last = now;
            object_unref(tree_put(tree, cache->batch, now));
        }
    }
    head_swap(&index->tree, &tree->shared);
    cache->batch++;
    return limit > 0 ? NULL : last;
}

static void wake(struct cache *cache, const struct index *index)
{
    int count = atomic_load(&cache->hub_count);
    unsigned id = index->id;
    for (int i = 0; i < count; i++) {
        struct hub *hub = atomic_load(&cache->hubs[i]);
        if (atomic_load(&index->seats[i].parked) == 0) {
            continue;
        }
        atomic_fetch_or(&hub->dirty[id / 64], 1ULL << (id % 64));
        if (!atomic_exchange(&hub->posted, true)) {
            loop_post(hub->loop, &hub->task);
        }
    }
}

void cache_publish(struct cache *cache, const struct cache_change *changes, size_t count)
{
    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        apply(cache, &changes[i]);
    }
    publish_trees(cache);
    FAILPOINT("cache.ring-append");
    for (size_t i = 0; i < count; i++) {
        struct index *index = cache_index(cache, changes[i].resource);
        ring_append(&index->ring, &cache->batch_events.items[i]);
    }
    atomic_store(&cache->revision, changes[count - 1].object->revision);
    FAILPOINT("cache.before-wake");
    VEC_EACH (it, &cache->batch_indexes) {
        wake(cache, *it);
    }
    vec_clear(&cache->batch_indexes);
    vec_clear(&cache->batch_events);
}
