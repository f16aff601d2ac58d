/* cursor.c: a watcher's place in the stream of one resource's events.
 *
 * A cursor is a revision: it finds its place in the ring by it, and holds one chunk while it is
 * read. When there is nothing new it is parked in the seat of its loop at the resource; the writer
 * sees that somebody is parked and wakes the loop once, whatever the number of cursors and events.
 * A cursor that begins before the ring reads pages of the history from the store until it has
 * reached the ring.
 *
 * Invariants: events come in order, each once, none left out; where that cannot be kept the cursor
 * says ERR_EXPIRED and stays there. One loop a cursor.
 */
#include "server/cache_int.h"
#include "server/sequencer.h"

enum { HISTORY_PAGE = 256 };

struct cursor {
    struct cache *cache;
    const struct api_resource *resource; /* a reference */
    struct index *index;
    struct seat *seat;
    struct loop *loop;
    struct list link; /* in seat->cursors when parked */
    bool parked;
    void (*on_ready)(void *ctx, struct cursor *cursor);
    void *ctx;
    uint64_t after;     /* every event up to it has been returned */
    uint64_t revision;  /* at least `after`; newer when nothing came between */
    struct chunk *held; /* being read */
    uint32_t at;
    struct page *page; /* of the history; NULL: in the ring */
    int failed;
};

struct page {
    struct history_read read;
    struct cursor *cursor; /* NULL: closed while the read was under way */
    bool arrived;
    size_t at;
};

/* ---- parking ---- */

static void park(struct cursor *cursor)
{
    if (!cursor->parked) {
        cursor->parked = true;
        list_append(&cursor->seat->cursors, &cursor->link);
        atomic_fetch_add(&cursor->seat->parked, 1);
    }
}

static void unpark(struct cursor *cursor)
{
    if (cursor->parked) {
        cursor->parked = false;
        list_remove(&cursor->link);
        atomic_fetch_sub(&cursor->seat->parked, 1);
    }
}

static void wake_seat(struct seat *seat)
{
    struct list woken;
    list_init(&woken);
    for (struct list *link; (link = list_pop(&seat->cursors)) != NULL;) {
        list_append(&woken, link);
    }
    for (struct list *link; (link = list_pop(&woken)) != NULL;) {
        struct cursor *cursor = container_of(link, struct cursor, link);
        unpark(cursor);
        cursor->on_ready(cursor->ctx, cursor);
    }
}

void hub_run(struct task *task)
{
    struct hub *hub = container_of(task, struct hub, task);
    struct cache *cache = hub->cache;
    int seat = cache_hub(cache, hub->loop);
    atomic_store(&hub->posted, false);
    for (unsigned word = 0; word < RESOURCE_MAX / 64; word++) {
        if (atomic_load_explicit(&hub->dirty[word], memory_order_relaxed) == 0) {
            continue;
        }
        uint64_t bits = atomic_exchange(&hub->dirty[word], 0);
        for (; bits != 0; bits &= bits - 1) {
            unsigned id = word * 64 + (unsigned)__builtin_ctzll(bits);
            wake_seat(&cache_index_at(cache, id)->seats[seat]);
        }
    }
}

static int find_hub(struct cache *cache, const struct loop *loop)
{
    int count = atomic_load(&cache->hub_count);
    for (int i = 0; i < count; i++) {
        if (atomic_load(&cache->hubs[i])->loop == loop) {
            return i;
        }
    }
    return -1;
}

int cache_hub(struct cache *cache, struct loop *loop)
{
    int found = find_hub(cache, loop);
    if (found >= 0) {
        return found;
    }
    pthread_mutex_lock(&cache->lock);
    found = find_hub(cache, loop);
    if (found < 0) {
        found = atomic_load(&cache->hub_count);
        if (found == HUB_MAX) {
            abort(); /* loops are made by the role, a handful */
        }
        struct hub *hub = mem_new(struct hub);
        hub->loop = loop;
        hub->cache = cache;
        list_init(&hub->task.link);
        hub->task.run = hub_run;
        atomic_store(&cache->hubs[found], hub);
        atomic_store(&cache->hub_count, found + 1);
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

/* ---- history ---- */

static void page_free(struct page *page)
{
    if (page != NULL) {
        history_read_done(&page->read);
        free(page);
    }
}

static void page_arrived(struct history_read *read)
{
    struct page *page = container_of(read, struct page, read);
    struct cursor *cursor = page->cursor;
    if (cursor == NULL) {
        page_free(page);
        return;
    }
    page->arrived = true;
    cursor->on_ready(cursor->ctx, cursor);
}

static void read_page(struct cursor *cursor)
{
    struct page *page = mem_new(struct page);
    page->cursor = cursor;
    page->read = (struct history_read){.resource = cursor->resource,
                                       .after = cursor->after,
                                       .upto = cache_revision(cursor->cache),
                                       .limit = HISTORY_PAGE,
                                       .loop = cursor->loop,
                                       .done = page_arrived};
    cursor->page = page;
    cursor->cache->history(cursor->cache->history_ctx, &page->read);
}

static int expired(const struct cursor *cursor, struct err *err)
{
    return err_set(err, ERR_EXPIRED, "too old resource version: %llu (%llu)",
                   (unsigned long long)cursor->after,
                   (unsigned long long)atomic_load(&cursor->cache->compacted));
}

/* 1: an event; 0: nothing yet; 2: the history is read up to where the ring begins. */
static int next_in_page(struct cursor *cursor, struct cache_event *ret_event, struct err *err)
{
    struct page *page = cursor->page;
    if (!page->arrived) {
        return 0;
    }
    if (page->read.code != 0) {
        cursor->failed = page->read.code;
        return page->read.code == ERR_EXPIRED
                   ? expired(cursor, err)
                   : err_set(err, page->read.code, "%s", page->read.error.message);
    }
    if (page->at < page->read.events.count) {
        *ret_event = page->read.events.items[page->at++];
        cursor->after = cursor->revision = ret_event->revision;
        return 1;
    }
    cursor->after = cursor->revision = page->read.upto;
    page_free(page);
    cursor->page = NULL;
    if (cursor->after >= ring_floor(&cursor->index->ring)) {
        return 2;
    }
    read_page(cursor);
    return 0;
}

/* ---- the ring ---- */

static void let_go(struct cursor *cursor)
{
    chunk_unref(cursor->held);
    cursor->held = NULL;
}

static int next_in_ring(struct cursor *cursor, struct cache_event *ret_event, struct err *err)
{
    uint64_t quiet =
        cache_revision(cursor->cache); /* before looking: all up to it is in the ring */
    if (cursor->held == NULL || cursor->at >= atomic_load(&cursor->held->count)) {
        let_go(cursor);
        int rc = ring_seek(&cursor->index->ring, cursor->after, &cursor->held, &cursor->at);
        if (rc < 0) {
            cursor->failed = rc;
            return expired(cursor, err);
        }
        if (rc == 0) {
            cursor->revision = quiet > cursor->revision ? quiet : cursor->revision;
            return 0;
        }
    }
    *ret_event = cursor->held->events[cursor->at++];
    cursor->after = ret_event->revision;
    cursor->revision = cursor->after > cursor->revision ? cursor->after : cursor->revision;
    return 1;
}

int cursor_next(struct cursor *cursor, struct cache_event *ret_event, struct err *err)
{
    if (cursor->failed != 0) {
        return expired(cursor, err);
    }
    if (cursor->page != NULL) {
        int rc = next_in_page(cursor, ret_event, err);
        if (rc != 2) {
            return rc;
        }
    }
    int rc = next_in_ring(cursor, ret_event, err);
    if (rc == 0) { /* say that we wait, and look again: an event may have come in between */
        park(cursor);
        rc = next_in_ring(cursor, ret_event, err);
    }
    if (rc != 0) {
        unpark(cursor);
    }
    return rc;
}

uint64_t cursor_revision(const struct cursor *cursor)
{
    return cursor->revision;
}

void cursor_park(struct cursor *cursor)
{
    let_go(cursor);
}

int cursor_open(struct cache *cache, const struct api_resource *resource, uint64_t after,
                struct loop *loop, void (*on_ready)(void *ctx, struct cursor *cursor), void *ctx,
                struct cursor **ret_cursor, struct err *err)
{
    struct index *index = cache_index(cache, resource);
    struct shared *tree = head_take(&index->tree);
    uint64_t newest = container_of(tree, struct tree, shared)->revision;
    shared_unref(tree);
    uint64_t revision = cache_revision(cache);
    newest = newest > revision ? newest : revision;
    if (after > newest) {
        return err_set(err, ERR_TOO_LARGE_REVISION,
                       "Too large resource version: %llu, current: %llu", (unsigned long long)after,
                       (unsigned long long)newest);
    }
    bool in_ring = after >= ring_floor(&index->ring);
    uint64_t compacted = atomic_load(&cache->compacted);
    if (!in_ring && (cache->history == NULL || after < compacted)) {
        return err_set(err, ERR_EXPIRED, "too old resource version: %llu (%llu)",
                       (unsigned long long)after, (unsigned long long)compacted);
    }
    struct cursor *cursor = mem_new(struct cursor);
    schema_ref(resource);
    cursor->cache = cache;
    cursor->resource = resource;
    cursor->index = index;
    cursor->seat = &index->seats[cache_hub(cache, loop)];
    cursor->loop = loop;
    cursor->on_ready = on_ready;
    cursor->ctx = ctx;
    cursor->after = cursor->revision = after;
    list_init(&cursor->link);
    if (!in_ring) {
        read_page(cursor);
    }
    *ret_cursor = cursor;
    return 0;
}

void cursor_close(struct cursor *cursor)
{
    if (cursor == NULL) {
        return;
    }
    unpark(cursor);
    list_remove(&cursor->link);
    let_go(cursor);
    if (cursor->page != NULL) {
        if (cursor->page->arrived) {
            page_free(cursor->page);
        } else {
            cursor->page->cursor = NULL; /* page_arrived frees it */
        }
    }
    schema_unref(cursor->resource);
    free(cursor);
}
