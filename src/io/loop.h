/* loop.h: the event loop seam: timers, and tasks posted from other threads.
 *
 * A loop belongs to the thread that runs it; only loop_post() and loop_stop() may be called from
 * elsewhere. Cores (store logic, controllers, scheduler, pod workers) see nothing of the outside
 * but a struct loop, its clock and its random source, so the same code runs on the real loop
 * (libuv, loop_uv.c) and on the simulated one (loop_sim.c): one thread, virtual time, events at one
 * instant in order of a seed. Sockets, files and processes (net.h, file.h, process.h) need a real
 * loop.
 */
#pragma once
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/random.h"

struct loop;

struct loop *loop_new(void); /* real */
struct loop *loop_new_sim(uint64_t seed, int64_t start_wall_ns);
/* Streams that are still open end with their on_close (ERR_CANCELED) before it returns. */
void loop_free(struct loop *loop);
/* Runs until loop_stop(). For the simulated loop: until stopped, or nothing is left to do. */
void loop_run(struct loop *loop);
/* Simulated only: runs all that is due up to `ns` from now of virtual time. Returns events run. */
uint64_t loop_run_for(struct loop *loop, int64_t ns);
void loop_stop(struct loop *loop); /* any thread */
bool loop_is_sim(const struct loop *loop);
struct clock *loop_clock(struct loop *loop);
struct random *loop_random(struct loop *loop);
static inline int64_t loop_mono(struct loop *loop)
{
    return clock_mono(loop_clock(loop));
}

/* ---- tasks: closures handed between threads ---- */
struct task {
    struct list link;               /* owned by the loop between post and run */
    void (*run)(struct task *task); /* on the loop's thread; may free or post the task again */
};
/* Thread-safe; runs in order of posting (simulated: of the seed, between different posters at one
 * instant). A burst of posts wakes the loop once. Tasks still queued when the loop is freed are
 * dropped: task->run is not called. */
void loop_post(struct loop *loop, struct task *task);

/* Runs the task before the loop next waits for the outside, after what runs now: for gathering the
 * work of a turn. Loop thread only; the task is dropped when the loop is freed. */
void loop_defer(struct loop *loop, struct task *task);

/* ---- timers: embedded, one shot, re-armable; loop thread only ---- */
struct timer {
    struct loop *loop; /* NULL: not armed */
    void (*fire)(struct timer *timer);
    int64_t due_ns; /* monotonic */
    size_t heap_at; /* position in the loop's heap + 1 */
    uint64_t order;
};
/* Arms (or moves) the timer to `delay_ns` from now; 0 fires in the next turn. */
void timer_start(struct loop *loop, struct timer *timer, int64_t delay_ns,
                 void (*fire)(struct timer *timer));
void timer_stop(struct timer *timer); /* harmless when not armed */
static inline bool timer_armed(const struct timer *timer)
{
    return timer->loop != NULL;
}

/* ---- blocking work (real loops: a small pool of threads shared by the process; simulated: run at
 * once) ---- */
struct job {
    struct task done_;             /* private */
    struct loop *loop_;            /* private */
    void (*work)(struct job *job); /* on a pool thread: may block, touches nothing of the loop */
    void (*done)(struct job *job); /* back on the loop */
    struct list link_;             /* private */
};
void loop_work(struct loop *loop, struct job *job);

/* A place on the loop for what a module shares among its objects there (pools, buffers): NULL at
 * first; `free_value` gets what is in it when the loop is freed, after everything else. `key` is
 * the address of a static of the module. Loop thread only. */
void **loop_local(struct loop *loop, const void *key, void (*free_value)(void *value));

/* For the rooms that need libuv itself (io and wire only): the uv_loop_t behind a real loop, NULL
 * for a simulated one. */
struct uv_loop_s *loop_uv(struct loop *loop);
