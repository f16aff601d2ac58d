/* loop.c: what every loop has: timers in one binary heap, tasks deferred to the end of the turn.
 *
 * Invariants: heap order is (due_ns, order), so timers of one instant fire in the order they were
 * armed (simulated: in an order of the seed); timer->heap_at is the position + 1 and 0 when not
 * armed. A timer that fires is disarmed before its callback, which may arm it again; what is armed
 * during a firing round waits for the next one, so a timer of delay 0 cannot starve sockets.
 * Waiting, waking and threads are left to loop_uv.c and loop_sim.c.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "io/loop_int.h"

void loop_init(struct loop *loop, const struct loop_ops *ops, struct clock *clock,
               struct random *random)
{
    loop->ops = ops;
    loop->clock = clock;
    loop->random = random;
    list_init(&loop->deferred);
    list_init(&loop->closers);
}

void loop_done(struct loop *loop)
{
    for (size_t i = 0; i < loop->timer_count; i++) {
        loop->timers[i]->loop = NULL;
        loop->timers[i]->heap_at = 0;
    }
    free(loop->timers);
    loop->timers = NULL;
    loop->timer_count = loop->timer_cap = 0;
    VEC_EACH (it, &loop->locals) {
        if ((*it)->value != NULL) {
            (*it)->free_value((*it)->value);
        }
        free(*it);
    }
    vec_done(&loop->locals);
}

void **loop_local(struct loop *loop, const void *key, void (*free_value)(void *value))
{
    VEC_EACH (it, &loop->locals) {
        if ((*it)->key == key) {
            return &(*it)->value;
        }
    }
    struct loop_place *place = mem_new(struct loop_place);
    *place = (struct loop_place){.key = key, .free_value = free_value};
    *vec_push(&loop->locals) = place;
    return &place->value;
}

void loop_free(struct loop *loop)
{
    if (loop != NULL) {
        loop->ops->free(loop);
    }
}

void loop_run(struct loop *loop)
{
    loop->ops->run(loop);
}

uint64_t loop_run_for(struct loop *loop, int64_t ns)
{
    return loop->ops->run_for != NULL ? loop->ops->run_for(loop, ns) : 0;
}

void loop_stop(struct loop *loop)
{
    loop->ops->stop(loop);
}

bool loop_is_sim(const struct loop *loop)
{
    return loop->ops->run_for != NULL;
}

struct clock *loop_clock(struct loop *loop)
{
    return loop->clock;
}

struct random *loop_random(struct loop *loop)
{
    return loop->random;
}

void loop_post(struct loop *loop, struct task *task)
{
    loop->ops->post(loop, task);
}

void loop_work(struct loop *loop, struct job *job)
{
    loop->ops->work(loop, job);
}

void loop_defer(struct loop *loop, struct task *task)
{
    list_append(&loop->deferred, &task->link);
}

size_t loop_run_deferred(struct loop *loop)
{
    size_t count = 0;
    struct list *item;
    while ((item = list_pop(&loop->deferred)) != NULL) {
        struct task *task = container_of(item, struct task, link);
        task->run(task);
        count++;
    }
    return count;
}

/* ---- the heap ---- */

static bool timer_before(const struct timer *a, const struct timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_put(struct loop *loop, size_t at, struct timer *timer)
{
    loop->timers[at] = timer;
    timer->heap_at = at + 1;
}

static void heap_sift_up(struct loop *loop, size_t at)
{
    struct timer *timer = loop->timers[at];
    while (at > 0 && timer_before(timer, loop->timers[(at - 1) / 2])) {
        heap_put(loop, at, loop->timers[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(loop, at, timer);
}

static void heap_sift_down(struct loop *loop, size_t at)
{
    struct timer *timer = loop->timers[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= loop->timer_count) {
            break;
        }
        if (child + 1 < loop->timer_count &&
            timer_before(loop->timers[child + 1], loop->timers[child])) {
            child++;
        }
        if (!timer_before(loop->timers[child], timer)) {
            break;
        }
        heap_put(loop, at, loop->timers[child]);
        at = child;
    }
    heap_put(loop, at, timer);
}

static void heap_fix(struct loop *loop, size_t at)
{
    if (at > 0 && timer_before(loop->timers[at], loop->timers[(at - 1) / 2])) {
        heap_sift_up(loop, at);
    } else {
        heap_sift_down(loop, at);
    }
}

void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ns,
                 void (*fire)(struct timer *timer))
{
    if (timer->loop != NULL && timer->loop != loop) {
        timer_stop(timer);
    }
    timer->fire = fire;
    if (__builtin_add_overflow(loop_mono(loop), delay_ns > 0 ? delay_ns : 0, &timer->due_ns)) {
        timer->due_ns = INT64_MAX; /* never */
    }
    timer->order = ++loop->timer_order;
    if (loop->timer_shuffle != NULL) {
        timer->order |= random_u64(loop->timer_shuffle) << 40;
    }
    if (timer->loop == loop) {
        heap_fix(loop, timer->heap_at - 1);
        return;
    }
    timer->loop = loop;
    if (loop->timer_count == loop->timer_cap) {
        loop->timer_cap = loop->timer_cap != 0 ? 2 * loop->timer_cap : 64;
        loop->timers = mem_realloc(loop->timers, loop->timer_cap * sizeof *loop->timers);
    }
    loop->timers[loop->timer_count++] = timer;
    heap_sift_up(loop, loop->timer_count - 1);
}

void timer_stop(struct timer *timer)
{
    struct loop *loop = timer->loop;
    if (loop == NULL) {
        return;
    }
    size_t at = timer->heap_at - 1;
    timer->loop = NULL;
    timer->heap_at = 0;
    struct timer *last = loop->timers[--loop->timer_count];
    if (last != timer) {
        heap_put(loop, at, last);
        heap_fix(loop, at);
    }
}

size_t loop_fire_timers(struct loop *loop, int64_t now_ns)
{
    uint64_t newest = loop->timer_order;
    size_t count = 0;
    struct timer *timer;
    while ((timer = loop_first_timer(loop)) != NULL && timer->due_ns <= now_ns &&
           timer->order <= newest) {
        timer_stop(timer);
        timer->fire(timer);
        count++;
    }
    return count;
}
