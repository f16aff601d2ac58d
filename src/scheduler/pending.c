/* pending.c: see pending.h. Back-off doubles from 1 s to 10 s with the attempts of a pod, counted
 * from its last attempt; after 5 minutes a stuck pod is tried again whatever happened, so that a
 * missed event heals (both as upstream). Priority first, then who waited longer. */
#include "scheduler/pending.h"

#define BACKOFF_NS     (1 * NS_PER_S)
#define BACKOFF_MAX_NS (10 * NS_PER_S)
#define FLUSH_NS       (30 * NS_PER_S)
#define STUCK_MAX_NS   (300 * NS_PER_S)

typedef bool before_fn(const struct pending *a, const struct pending *b);

static bool ready_before(const struct pending *a, const struct pending *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}

static bool due_before(const struct pending *a, const struct pending *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

/* ---- a heap that knows where its members are ---- */

static void heap_set(struct pending **items, size_t at, struct pending *item)
{
    items[at] = item;
    item->heap_at = at;
}

static void heap_up(struct pending **items, size_t at, before_fn *before)
{
    struct pending *item = items[at];
    while (at > 0 && before(item, items[(at - 1) / 2])) {
        heap_set(items, at, items[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(items, at, item);
}

static void heap_down(struct pending **items, size_t count, size_t at, before_fn *before)
{
    struct pending *item = items[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < count && before(items[child + 1], items[child])) {
            child++;
        }
        if (child >= count || !before(items[child], item)) {
            break;
        }
        heap_set(items, at, items[child]);
        at = child;
    }
    heap_set(items, at, item);
}

static void heap_remove(struct pending **items, size_t *count, size_t at, before_fn *before)
{
    struct pending *last = items[--*count];
    if (at < *count) {
        heap_set(items, at, last);
        heap_down(items, *count, at, before);
        heap_up(items, last->heap_at, before);
    }
}

/* ---- the queue ---- */

static void to_ready(struct pending_queue *queue, struct pending *item)
{
    item->where = PENDING_READY;
    *vec_push(&queue->ready) = item;
    heap_set(queue->ready.items, queue->ready.count - 1, item);
    heap_up(queue->ready.items, queue->ready.count - 1, ready_before);
    queue->on_ready(queue->ctx);
}

static void backoff_due(struct timer *timer)
{
    struct pending_queue *queue = container_of(timer, struct pending_queue, timer);
    int64_t now = loop_mono(queue->loop);
    while (queue->backoff.count > 0 && queue->backoff.items[0]->due_ns <= now) {
        struct pending *item = queue->backoff.items[0];
        heap_remove(queue->backoff.items, &queue->backoff.count, 0, due_before);
        to_ready(queue, item);
    }
    if (queue->backoff.count > 0) {
        timer_start(queue->loop, timer, queue->backoff.items[0]->due_ns - now, backoff_due);
    }
}

static void to_backoff(struct pending_queue *queue, struct pending *item)
{
    if (item->due_ns <= loop_mono(queue->loop)) {
        to_ready(queue, item);
        return;
    }
    item->where = PENDING_BACKOFF;
    *vec_push(&queue->backoff) = item;
    heap_set(queue->backoff.items, queue->backoff.count - 1, item);
    heap_up(queue->backoff.items, queue->backoff.count - 1, due_before);
    timer_start(queue->loop, &queue->timer,
                queue->backoff.items[0]->due_ns - loop_mono(queue->loop), backoff_due);
}

static void flush_due(struct timer *timer)
{
    struct pending_queue *queue = container_of(timer, struct pending_queue, flush);
    int64_t now = loop_mono(queue->loop);
    LIST_EACH_SAFE (link, &queue->stuck) {
        struct pending *item = container_of(link, struct pending, link);
        if (now - item->since_ns >= STUCK_MAX_NS) {
            pending_remove(queue, item);
            to_backoff(queue, item);
        }
    }
    if (queue->stuck_count > 0) {
        timer_start(queue->loop, timer, FLUSH_NS, flush_due);
    }
}

void pending_init(struct pending_queue *queue, struct loop *loop, void (*on_ready)(void *ctx),
                  void *ctx)
{
    *queue = (struct pending_queue){.loop = loop, .on_ready = on_ready, .ctx = ctx};
    list_init(&queue->stuck);
}

void pending_done(struct pending_queue *queue)
{
    timer_stop(&queue->timer);
    timer_stop(&queue->flush);
    vec_done(&queue->ready);
    vec_done(&queue->backoff);
}

void pending_add(struct pending_queue *queue, struct pending *item)
{
    pending_remove(queue, item);
    item->order = ++queue->next_order;
    list_init(&item->link);
    to_ready(queue, item);
}

void pending_remove(struct pending_queue *queue, struct pending *item)
{
    switch (item->where) {
    case PENDING_READY:
        heap_remove(queue->ready.items, &queue->ready.count, item->heap_at, ready_before);
        break;
    case PENDING_BACKOFF:
        heap_remove(queue->backoff.items, &queue->backoff.count, item->heap_at, due_before);
        break;
    case PENDING_STUCK:
        list_remove(&item->link);
        queue->stuck_count--;
        break;
    case PENDING_NOWHERE:
        break;
    }
    item->where = PENDING_NOWHERE;
}

struct pending *pending_pop(struct pending_queue *queue)
{
    if (queue->ready.count == 0) {
        return NULL;
    }
    struct pending *item = queue->ready.items[0];
    pending_remove(queue, item);
    item->attempts++;
    return item;
}

void pending_fail(struct pending_queue *queue, struct pending *item, unsigned events)
{
    int64_t now = loop_mono(queue->loop), wait = BACKOFF_NS;
    for (int i = 1; i < item->attempts && wait < BACKOFF_MAX_NS; i++) {
        wait *= 2;
    }
    item->due_ns = now + (wait < BACKOFF_MAX_NS ? wait : BACKOFF_MAX_NS);
    item->since_ns = now;
    item->events = events;
    if (events == 0) {
        to_backoff(queue, item);
        return;
    }
    item->where = PENDING_STUCK;
    list_append(&queue->stuck, &item->link);
    queue->stuck_count++;
    if (!timer_armed(&queue->flush)) {
        timer_start(queue->loop, &queue->flush, FLUSH_NS, flush_due);
    }
}

void pending_wake(struct pending_queue *queue, unsigned event,
                  bool (*helps)(void *ctx, struct pending *item), void *ctx)
{
    if (queue->stuck_count == 0) {
        return;
    }
    LIST_EACH_SAFE (link, &queue->stuck) {
        struct pending *item = container_of(link, struct pending, link);
        if ((item->events & event) != 0 && (helps == NULL || helps(ctx, item))) {
            pending_remove(queue, item);
            to_backoff(queue, item);
        }
    }
}

size_t pending_count(const struct pending_queue *queue)
{
    return queue->ready.count + queue->backoff.count + queue->stuck_count;
}
