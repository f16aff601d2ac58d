/* loop_uv.c: the real loop, on libuv.
 *
 * One uv_async wakes the loop for posted tasks and for loop_stop(); a burst of posts sends one
 * wake-up. One uv_timer stands for the whole timer heap; it is set once a turn, in the prepare
 * handle, and only when the first timer is due earlier than it is set for: a timer that moved to
 * later costs one idle wake-up instead of a system call each time. Deferred tasks run in the same
 * prepare handle, right before the loop waits.
 *
 * Blocking work uses libuv's pool. loop_free() takes down what still lives on the loop (struct
 * loop_closer; streams end with their on_close) and then runs the loop until all handles are
 * closed.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <uv.h>

#include "base/mem.h"
#include "io/loop_int.h"

struct uv_real {
    struct loop loop;
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_timer_t timer;
    int64_t timer_due_ns; /* what `timer` is set for, INT64_MAX: not set */
    pthread_mutex_t lock;
    struct list posted; /* under lock */
    bool waking;        /* under lock: a wake-up is on its way */
    _Atomic bool stopping;
};

static struct uv_real *real_of(struct loop *loop)
{
    return container_of(loop, struct uv_real, loop);
}

static void run_posted(struct uv_real *real)
{
    struct list batch;
    list_init(&batch);
    pthread_mutex_lock(&real->lock);
    real->waking = false;
    if (!list_empty(&real->posted)) {
        batch = real->posted;
        batch.next->prev = batch.prev->next = &batch;
        list_init(&real->posted);
    }
    pthread_mutex_unlock(&real->lock);
    struct list *item;
    while ((item = list_pop(&batch)) != NULL) {
        struct task *task = container_of(item, struct task, link);
        task->run(task);
    }
}

static void on_wake(uv_async_t *async)
{
    struct uv_real *real = async->data;
    run_posted(real);
    if (real->stopping) {
        uv_stop(&real->uv);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct uv_real *real = timer->data;
    real->timer_due_ns = INT64_MAX;
    loop_fire_timers(&real->loop, loop_mono(&real->loop));
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct uv_real *real = prepare->data;
    loop_run_deferred(&real->loop);
    struct timer *first = loop_first_timer(&real->loop);
    if (first == NULL || first->due_ns >= real->timer_due_ns) {
        return;
    }
    uv_update_time(&real->uv);
    int64_t delay_ns = first->due_ns - loop_mono(&real->loop);
    uint64_t delay_ms = delay_ns > 0 ? (uint64_t)((delay_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
    uv_timer_start(&real->timer, on_timer, delay_ms, 0);
    real->timer_due_ns = first->due_ns;
}

static void real_run(struct loop *loop)
{
    struct uv_real *real = real_of(loop);
    if (!real->stopping) {
        uv_run(&real->uv, UV_RUN_DEFAULT);
    }
    real->stopping = false;
}

static void real_stop(struct loop *loop)
{
    struct uv_real *real = real_of(loop);
    real->stopping = true;
    uv_async_send(&real->wake);
}

static void real_post(struct loop *loop, struct task *task)
{
    struct uv_real *real = real_of(loop);
    pthread_mutex_lock(&real->lock);
    list_append(&real->posted, &task->link);
    bool wake = !real->waking;
    real->waking = true;
    pthread_mutex_unlock(&real->lock);
    if (wake) {
        uv_async_send(&real->wake);
    }
}

/* ---- blocking work ---- */

struct real_work {
    uv_work_t request;
    struct job *job;
};

static void work_run(uv_work_t *request)
{
    struct real_work *work = container_of(request, struct real_work, request);
    work->job->work(work->job);
}

static void work_done(uv_work_t *request, int status)
{
    struct real_work *work = container_of(request, struct real_work, request);
    struct job *job = work->job;
    free(work);
    if (status == 0 && job->done != NULL) {
        job->done(job);
    }
}

static void real_work(struct loop *loop, struct job *job)
{
    struct real_work *work = mem_new(struct real_work);
    work->job = job;
    job->loop_ = loop;
    uv_queue_work(&real_of(loop)->uv, &work->request, work_run, work_done);
}

/* ---- life ---- */

static void real_free(struct loop *loop)
{
    struct uv_real *real = real_of(loop);
    struct list *item;
    while ((item = list_pop(&loop->closers)) != NULL) {
        struct loop_closer *closer = container_of(item, struct loop_closer, link);
        closer->close(closer);
    }
    list_init(&loop->deferred);
    uv_close((uv_handle_t *)&real->wake, NULL);
    uv_close((uv_handle_t *)&real->prepare, NULL);
    uv_close((uv_handle_t *)&real->timer, NULL);
    uv_run(&real->uv, UV_RUN_DEFAULT);
    uv_loop_close(&real->uv);
    loop_done(loop);
    pthread_mutex_destroy(&real->lock);
    free(real);
}

static const struct loop_ops real_ops = {
    .free = real_free,
    .run = real_run,
    .stop = real_stop,
    .post = real_post,
    .work = real_work,
};

struct loop *loop_new(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL); /* libuv writes to sockets whose peer may be gone */
    struct uv_real *real = mem_new(struct uv_real);
    loop_init(&real->loop, &real_ops, clock_real(), random_real());
    if (uv_loop_init(&real->uv) != 0 || uv_async_init(&real->uv, &real->wake, on_wake) != 0) {
        abort(); /* no descriptors left at start: nothing can work */
    }
    uv_prepare_init(&real->uv, &real->prepare);
    uv_timer_init(&real->uv, &real->timer);
    real->uv.data = &real->loop;
    real->wake.data = real->prepare.data = real->timer.data = real;
    uv_prepare_start(&real->prepare, on_prepare);
    real->timer_due_ns = INT64_MAX;
    pthread_mutex_init(&real->lock, NULL);
    list_init(&real->posted);
    return &real->loop;
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
    return loop->ops == &real_ops ? &real_of(loop)->uv : NULL;
}
