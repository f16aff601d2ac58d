/* pending.h: pods that wait for a node: ready ones by priority and age, those that wait out their
 * back-off, and those for which nothing fits until something happens. */
#pragma once
#include "io/loop.h"
#include "scheduler/cluster.h"

enum pending_where { PENDING_NOWHERE, PENDING_READY, PENDING_BACKOFF, PENDING_STUCK };

struct pending {
    enum pending_where where; /* private, as the next ones */
    size_t heap_at;
    struct list link;
    uint64_t order;
    int64_t due_ns, since_ns;
    int32_t priority;
    int attempts;
    unsigned events; /* that may help */
};

struct pending_queue {
    struct loop *loop;
    struct {
        VEC_OF(struct pending *);
    } ready, backoff;
    struct list stuck;
    size_t stuck_count;
    uint64_t next_order;
    struct timer timer, flush;
    void (*on_ready)(void *ctx); /* something is ready (again) */
    void *ctx;
};

void pending_init(struct pending_queue *queue, struct loop *loop, void (*on_ready)(void *ctx),
                  void *ctx);
void pending_done(struct pending_queue *queue);
void pending_add(struct pending_queue *queue, struct pending *item); /* ready at once */
void pending_remove(struct pending_queue *queue, struct pending *item);
struct pending *pending_pop(struct pending_queue *queue); /* NULL: none is ready */
/* An attempt failed: waits for one of the events (0: for its back-off only). */
void pending_fail(struct pending_queue *queue, struct pending *item, unsigned events);
/* Something happened: stuck pods that it may help come back, after their back-off. `helps` (may be
 * NULL) has the last word on each. */
void pending_wake(struct pending_queue *queue, unsigned event,
                  bool (*helps)(void *ctx, struct pending *item), void *ctx);
size_t pending_count(const struct pending_queue *queue);
