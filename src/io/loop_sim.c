/* loop_sim.c: the simulated loop: one thread, virtual time, order from a seed.
 *
 * Time stands still while anything is posted or deferred, and then jumps to the next timer. What
 * happens at one instant happens in an order drawn from the seed, as threads would make it: the
 * tasks queued are taken in random order, and a due timer competes with them. The same seed and the
 * same inputs give the same run, byte for byte. Blocking work is done at once; its done callback is
 * posted.
 *
 * Simplification, on purpose: the order between two posts of one poster is kept only when they ran
 * in the same event; each event that runs is one poster.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "io/loop_int.h"

struct sim_poster { /* tasks that one event posted, in order */
    struct list link;
    struct list tasks;
};

struct sim {
    struct loop loop;
    struct clock clock;
    struct random random; /* for the cores */
    struct random order;  /* for us: what the cores draw does not change the order */
    struct list posters;
    size_t poster_count;
    struct sim_poster *current; /* of the event that runs now */
    bool stopping;
};

static struct sim *sim_of(struct loop *loop)
{
    return container_of(loop, struct sim, loop);
}

static void sim_post(struct loop *loop, struct task *task)
{
    struct sim *sim = sim_of(loop);
    if (sim->current == NULL) {
        sim->current = mem_new(struct sim_poster);
        list_init(&sim->current->tasks);
        list_append(&sim->posters, &sim->current->link);
        sim->poster_count++;
    }
    list_append(&sim->current->tasks, &task->link);
}

static void sim_job_done(struct task *task)
{
    struct job *job = container_of(task, struct job, done_);
    if (job->done != NULL) {
        job->done(job);
    }
}

static void sim_work(struct loop *loop, struct job *job)
{
    job->loop_ = loop;
    job->work(job);
    job->done_.run = sim_job_done;
    sim_post(loop, &job->done_);
}

static struct task *sim_take_task(struct sim *sim, uint64_t pick)
{
    struct list *at = sim->posters.next;
    while (pick-- > 0) {
        at = at->next;
    }
    struct sim_poster *poster = container_of(at, struct sim_poster, link);
    struct task *task = container_of(list_pop(&poster->tasks), struct task, link);
    if (list_empty(&poster->tasks)) {
        list_remove(&poster->link);
        free(poster);
        sim->poster_count--;
    }
    return task;
}

/* One event, if there is one that is due at or before `until_ns`. */
static bool sim_step(struct sim *sim, int64_t until_ns)
{
    sim->current = NULL; /* what follows is another poster */
    struct timer *timer = loop_first_timer(&sim->loop);
    int64_t now_ns = sim->clock.virtual_mono_ns;
    if (sim->poster_count == 0) {
        if (timer == NULL || timer->due_ns > until_ns) {
            return false;
        }
        if (timer->due_ns > now_ns) {
            clock_virtual_advance(&sim->clock, timer->due_ns - now_ns);
        }
    }
    now_ns = sim->clock.virtual_mono_ns;
    size_t choices = sim->poster_count + (timer != NULL && timer->due_ns <= now_ns ? 1 : 0);
    uint64_t pick = choices > 1 ? random_below(&sim->order, choices) : 0;
    if (pick < sim->poster_count) {
        struct task *task = sim_take_task(sim, pick);
        task->run(task);
    } else {
        timer_stop(timer);
        timer->fire(timer);
    }
    loop_run_deferred(&sim->loop);
    return true;
}

static void sim_run(struct loop *loop)
{
    struct sim *sim = sim_of(loop);
    loop_run_deferred(loop);
    while (!sim->stopping && sim_step(sim, INT64_MAX)) {
    }
    sim->current = NULL;
    sim->stopping = false;
}

static uint64_t sim_run_for(struct loop *loop, int64_t ns)
{
    struct sim *sim = sim_of(loop);
    int64_t until_ns = sim->clock.virtual_mono_ns + ns;
    uint64_t count = 0;
    loop_run_deferred(loop);
    while (!sim->stopping && sim_step(sim, until_ns)) {
        count++;
    }
    sim->current = NULL;
    if (!sim->stopping && sim->clock.virtual_mono_ns < until_ns) {
        clock_virtual_advance(&sim->clock, until_ns - sim->clock.virtual_mono_ns);
    }
    sim->stopping = false;
    return count;
}

static void sim_stop(struct loop *loop)
{
    sim_of(loop)->stopping = true;
}

static void sim_free(struct loop *loop)
{
    struct sim *sim = sim_of(loop);
    struct list *item;
    while ((item = list_pop(&sim->posters)) != NULL) {
        free(container_of(item, struct sim_poster, link));
    }
    loop_done(loop);
    free(sim);
}

static const struct loop_ops sim_ops = {
    .free = sim_free,
    .run = sim_run,
    .run_for = sim_run_for,
    .stop = sim_stop,
    .post = sim_post,
    .work = sim_work,
};

struct loop *loop_new_sim(uint64_t seed, int64_t start_wall_ns)
{
    struct sim *sim = mem_new(struct sim);
    clock_virtual_init(&sim->clock, start_wall_ns);
    random_seeded_init(&sim->random, seed);
    random_seeded_init(&sim->order, seed ^ 0x9e3779b97f4a7c15ULL);
    loop_init(&sim->loop, &sim_ops, &sim->clock, &sim->random);
    list_init(&sim->posters);
    sim->loop.timer_shuffle = &sim->order;
    return &sim->loop;
}
