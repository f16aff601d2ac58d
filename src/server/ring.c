/* ring.c: the recent events of one resource, bounded in bytes.
 *
 * Events lie in chunks; the list of chunks is a published view that the writer replaces when a
 * chunk is full, dropping the oldest ones over the bound. Readers find their place by revision, so
 * a reader that is not reading holds nothing: when what it needs was dropped, it is told.
 *
 * Invariants: revisions ascend; all events after view->floor are in its chunks; an entry is
 * readable once the chunk's count is above it and never changes then.
 */
#include "base/failpoint.h"
#include "server/cache_int.h"

enum { EVENT_OVERHEAD = 160 }; /* header of an object and its entry, roughly */

static void view_drop(struct shared *shared)
{
    struct ring_view *view = container_of(shared, struct ring_view, shared);
    for (size_t i = 0; i < view->count; i++) {
        chunk_unref(view->chunks[i]);
    }
    free(view);
}

static struct ring_view *view_new(uint64_t floor, size_t count)
{
    struct ring_view *view = mem_zalloc(sizeof *view + count * sizeof view->chunks[0]);
    shared_init(&view->shared, view_drop);
    view->floor = floor;
    view->count = count;
    return view;
}

static struct ring_view *view_of(struct shared *shared)
{
    return container_of(shared, struct ring_view, shared);
}

void chunk_unref(struct chunk *chunk)
{
    if (chunk == NULL || atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    uint32_t count = atomic_load_explicit(&chunk->count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        object_unref(chunk->events[i].object);
        object_unref(chunk->events[i].previous);
    }
    free(chunk);
}

static struct chunk *chunk_ref(struct chunk *chunk)
{
    atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed);
    return chunk;
}

void ring_init(struct ring *ring, uint64_t floor, size_t limit)
{
    atomic_init(&ring->view.word, 0);
    ring->bytes = 0;
    ring->limit = limit;
    head_swap(&ring->view, &view_new(floor, 0)->shared);
}

void ring_done(struct ring *ring)
{
    head_swap(&ring->view, NULL);
}

static uint64_t last_revision(const struct chunk *chunk)
{
    uint32_t count = atomic_load_explicit(&chunk->count, memory_order_acquire);
    return count > 0 ? chunk->events[count - 1].revision : 0;
}

/* A new view with a chunk for `revision` at its end, without what is over the bound. */
static struct chunk *add_chunk(struct ring *ring, uint64_t revision)
{
    FAILPOINT("cache.ring-chunk");
    struct ring_view *old = view_of(head_peek(&ring->view));
    size_t dropped = 0;
    uint64_t floor = old->floor;
    while (dropped + 1 < old->count && ring->bytes > ring->limit) {
        floor = last_revision(old->chunks[dropped]);
        ring->bytes -= old->chunks[dropped]->bytes;
        dropped++;
    }
    struct ring_view *view = view_new(floor, old->count - dropped + 1);
    for (size_t i = dropped; i < old->count; i++) {
        view->chunks[i - dropped] = chunk_ref(old->chunks[i]);
    }
    struct chunk *chunk = mem_new(struct chunk);
    atomic_init(&chunk->refs, 1);
    chunk->first_revision = revision;
    view->chunks[view->count - 1] = chunk;
    head_swap(&ring->view, &view->shared);
    return chunk;
}

void ring_append(struct ring *ring, const struct cache_event *event)
{
    struct ring_view *view = view_of(head_peek(&ring->view));
    struct chunk *chunk = view->count > 0 ? view->chunks[view->count - 1] : NULL;
    uint32_t count = chunk != NULL ? atomic_load_explicit(&chunk->count, memory_order_relaxed) : 0;
    if (chunk == NULL || count == CHUNK_EVENTS || chunk->bytes >= CHUNK_BYTES) {
        chunk = add_chunk(ring, event->revision);
        count = 0;
    }
    size_t size = event->object->n + EVENT_OVERHEAD;
    chunk->bytes += size;
    ring->bytes += size;
    chunk->events[count] = *event;
    /* Sequentially consistent, as is the reader's side: either a reader that found nothing sees
     * this event when it looks again after saying that it waits, or the writer sees it waiting. */
    atomic_store(&chunk->count, count + 1);
}

uint64_t ring_floor(struct ring *ring)
{
    struct shared *shared = head_take(&ring->view);
    uint64_t floor = view_of(shared)->floor;
    shared_unref(shared);
    return floor;
}

/* First entry of the chunk with a newer revision. */
static uint32_t chunk_seek(const struct chunk *chunk, uint32_t count, uint64_t after)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (chunk->events[middle].revision <= after) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int ring_seek(struct ring *ring, uint64_t after, struct chunk **ret_chunk, uint32_t *ret_at)
{
    struct shared *shared = head_take(&ring->view);
    const struct ring_view *view = view_of(shared);
    int rc = after < view->floor ? ERR_EXPIRED : 0;
    size_t low = 0, high = view->count; /* first chunk that begins after `after` */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (view->chunks[middle]->first_revision <= after) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (size_t i = low > 0 ? low - 1 : 0; i < view->count && rc == 0; i++) {
        uint32_t count = atomic_load(&view->chunks[i]->count);
        uint32_t at = chunk_seek(view->chunks[i], count, after);
        if (at < count) {
            *ret_chunk = chunk_ref(view->chunks[i]);
            *ret_at = at;
            rc = 1;
        }
    }
    shared_unref(shared);
    return rc;
}
