/* loop_int.h: what the two loops share: the ops table, the timer heap, the end-of-turn queue. */
#pragma once
#include "base/vec.h"
#include "io/loop.h"

struct loop_ops {
    void (*free)(struct loop *loop);
    void (*run)(struct loop *loop);
    uint64_t (*run_for)(struct loop *loop, int64_t ns); /* NULL: real */
    void (*stop)(struct loop *loop);
    void (*post)(struct loop *loop, struct task *task);
    void (*work)(struct loop *loop, struct job *job);
};

struct loop {
    const struct loop_ops *ops;
    struct clock *clock;
    struct random *random;
    struct list deferred;  /* struct task: runs before the loop waits */
    struct timer **timers; /* binary heap by (due_ns, order) */
    size_t timer_count, timer_cap;
    uint64_t timer_order;
    struct random *timer_shuffle; /* simulated: timers of one instant fire in random order */
    struct list closers;          /* struct loop_closer: what loop_free takes down */
    struct {
        VEC_OF(struct loop_place *);
    } locals;
};

struct loop_place { /* of loop_local */
    const void *key;
    void *value;
    void (*free_value)(void *value);
};

/* Something that lives on a loop and must go when the loop goes. */
struct loop_closer {
    struct list link;
    void (*close)(struct loop_closer *closer);
};

void loop_init(struct loop *loop, const struct loop_ops *ops, struct clock *clock,
               struct random *random);
void loop_done(struct loop *loop);
/* Runs deferred tasks until there are none. Returns how many ran. */
size_t loop_run_deferred(struct loop *loop);
/* The timer that is due first, or NULL. */
static inline struct timer *loop_first_timer(const struct loop *loop)
{
    return loop->timer_count != 0 ? loop->timers[0] : NULL;
}
/* Fires the timers that were due at `now_ns`; those armed meanwhile wait for the next turn. */
size_t loop_fire_timers(struct loop *loop, int64_t now_ns);
