/* The work queue of a controller (client/queue.h).
 *
 * One item a key, kept while the key is waiting, running, delayed or remembered as failed.
 * Invariants: a key is in `ready` at most once; a running key is never in `ready`, an add meanwhile
 * is noted in `again` and queues it when it is done; at most `parallel` keys run.
 *
 * Keys are handed out from a timer of the loop, never from inside queue_add, so that a handler
 * which adds a hundred keys is not re-entered. One turn hands out at most TURN keys, then lets the
 * loop breathe. What a key means is the controller's business.
 */
#include "client/queue.h"

#include <stdlib.h>

#include "base/failpoint.h"
#include "base/map.h"
#include "base/mem.h"

enum { TURN = 64 };
#define BACKOFF_FIRST (5 * NS_PER_MS)
#define BACKOFF_MAX   (1000 * NS_PER_S)

struct item {
    struct list ready; /* in queue->ready while waiting */
    struct queue *queue;
    struct timer timer;
    bool running, again;
    unsigned failures;
    int64_t rest_until; /* mono */
    size_t n;
    char key[];
};

struct queue {
    struct loop *loop;
    const char *name;
    int parallel, running;
    void (*work)(void *ctx, struct str key);
    void *ctx;
    struct map items;
    struct list ready;
    size_t length;
    struct timer turn;
    bool paused;
};

static bool is_waiting(const struct item *item)
{
    return !list_empty(&item->ready);
}

static struct item *item_of(struct queue *queue, struct str key)
{
    struct item *item = map_get(&queue->items, key);
    if (item == NULL) {
        item = mem_zalloc(sizeof *item + key.n + 1);
        item->queue = queue;
        item->n = key.n;
        memcpy(item->key, key.p != NULL ? key.p : "", key.n);
        list_init(&item->ready);
        map_set(&queue->items, str_at(item->key, item->n), item);
    }
    return item;
}

static void item_release(struct item *item)
{
    if (item->running || is_waiting(item) || timer_armed(&item->timer) || item->failures > 0) {
        return;
    }
    if (item->rest_until > loop_mono(item->queue->loop)) {
        return; /* remembered; its next run, if there is one, may free it */
    }
    map_remove(&item->queue->items, str_at(item->key, item->n));
    free(item);
}

static void turn(struct timer *timer)
{
    struct queue *queue = container_of(timer, struct queue, turn);
    for (int n = 0; n < TURN; n++) {
        if (queue->paused || queue->running >= queue->parallel) {
            return; /* queue_done or queue_pause starts the next turn */
        }
        struct list *link = list_pop(&queue->ready);
        if (link == NULL) {
            return;
        }
        struct item *item = container_of(link, struct item, ready);
        queue->length--;
        item->running = true;
        queue->running++;
        FAILPOINT("queue.get");
        queue->work(queue->ctx, str_at(item->key, item->n));
    }
    timer_start(queue->loop, &queue->turn, 0, turn);
}

static void wake(struct queue *queue)
{
    if (!queue->paused && queue->running < queue->parallel && !list_empty(&queue->ready) &&
        !timer_armed(&queue->turn)) {
        timer_start(queue->loop, &queue->turn, 0, turn);
    }
}

static void delay(struct item *item, int64_t delay_ns);

static void make_ready(struct item *item)
{
    int64_t rest = item->rest_until - loop_mono(item->queue->loop);
    if (item->running) {
        item->again = true;
    } else if (rest > 0) {
        delay(item, rest);
    } else if (!is_waiting(item)) {
        list_append(&item->queue->ready, &item->ready);
        item->queue->length++;
        wake(item->queue);
    }
}

static void delay_over(struct timer *timer)
{
    make_ready(container_of(timer, struct item, timer));
}

static void delay(struct item *item, int64_t delay_ns)
{
    int64_t due = loop_mono(item->queue->loop) + delay_ns;
    if (!timer_armed(&item->timer) || due < item->timer.due_ns) {
        timer_start(item->queue->loop, &item->timer, delay_ns, delay_over);
    }
}

struct queue *queue_new(struct loop *loop, const char *name, int parallel,
                        void (*work)(void *ctx, struct str key), void *ctx)
{
    struct queue *queue = mem_new(struct queue);
    queue->loop = loop;
    queue->name = name;
    queue->parallel = parallel;
    queue->work = work;
    queue->ctx = ctx;
    list_init(&queue->ready);
    return queue;
}

void queue_free(struct queue *queue)
{
    if (queue == NULL) {
        return;
    }
    timer_stop(&queue->turn);
    MAP_EACH (it, &queue->items) {
        struct item *item = it->value;
        timer_stop(&item->timer);
        free(item);
    }
    map_done(&queue->items);
    free(queue);
}

void queue_add(struct queue *queue, struct str key)
{
    FAILPOINT("queue.add");
    make_ready(item_of(queue, key));
}

void queue_add_after(struct queue *queue, struct str key, int64_t delay_ns)
{
    if (delay_ns <= 0) {
        queue_add(queue, key);
        return;
    }
    delay(item_of(queue, key), delay_ns);
}

void queue_rest(struct queue *queue, struct str key, int64_t ns)
{
    struct item *item = map_get(&queue->items, key);
    if (item != NULL && item->running) {
        item->rest_until = loop_mono(queue->loop) + ns;
    }
}

static int64_t backoff(unsigned failures)
{
    int64_t delay = BACKOFF_FIRST;
    for (unsigned i = 1; i < failures && delay < BACKOFF_MAX; i++) {
        delay *= 2;
    }
    return delay < BACKOFF_MAX ? delay : BACKOFF_MAX;
}

void queue_done(struct queue *queue, struct str key, bool ok)
{
    struct item *item = map_get(&queue->items, key);
    if (item == NULL || !item->running) {
        return;
    }
    FAILPOINT("queue.done");
    item->running = false;
    queue->running--;
    bool again = item->again;
    item->again = false;
    item->failures = ok ? 0 : item->failures + 1;
    if (again) {
        make_ready(item);
    } else if (!ok) {
        queue_add_after(queue, str_at(item->key, item->n), backoff(item->failures));
    } else {
        item_release(item);
    }
    wake(queue);
}

size_t queue_length(const struct queue *queue)
{
    return queue->length;
}

void queue_pause(struct queue *queue, bool paused)
{
    queue->paused = paused;
    wake(queue);
}
