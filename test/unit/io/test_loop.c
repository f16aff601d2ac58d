/* test_loop.c: order, timers, posts from threads, and that a seed replays to the same run. */
#include "../cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/loop.h"

struct trace {
    struct loop *loop;
    struct buf text;
    int left;
};
struct mark {
    struct task task;
    struct timer timer;
    struct trace *trace;
    char name;
    int again;
};

static void mark_run(struct task *task)
{
    struct mark *mark = container_of(task, struct mark, task);
    buf_printf(&mark->trace->text, "%c", mark->name);
    if (--mark->trace->left == 0) {
        loop_stop(mark->trace->loop);
    }
}

static void mark_fire(struct timer *timer)
{
    struct mark *mark = container_of(timer, struct mark, timer);
    mark_run(&mark->task);
    if (mark->again-- > 0) {
        timer_start(mark->trace->loop, timer, 3 * NS_PER_MS, mark_fire);
    }
}

static struct mark mark_of(struct trace *trace, char name)
{
    return (struct mark){.task = {.run = mark_run}, .trace = trace, .name = name};
}

static void timers_in_order(struct loop *loop)
{
    struct trace trace = {.loop = loop, .left = 5};
    struct mark a = mark_of(&trace, 'a'), b = mark_of(&trace, 'b'), c = mark_of(&trace, 'c'),
                d = mark_of(&trace, 'd');
    timer_start(loop, &c.timer, 20 * NS_PER_MS, mark_fire);
    timer_start(loop, &a.timer, 1 * NS_PER_MS, mark_fire);
    timer_start(loop, &d.timer, 5 * NS_PER_MS, mark_fire);
    timer_start(loop, &b.timer, 90 * NS_PER_MS, mark_fire);
    timer_start(loop, &b.timer, 10 * NS_PER_MS, mark_fire); /* earlier than before */
    timer_stop(&d.timer);
    timer_stop(&d.timer);
    assert_false(timer_armed(&d.timer));
    a.again = 1;
    loop_defer(loop, &d.task);
    loop_run(loop);
    assert_string_equal(trace.text.p, "daabc");
    buf_done(&trace.text);
}

static void test_real_timers(void **state)
{
    struct loop *loop = loop_new();
    timers_in_order(loop);
    loop_free(loop);
}

static void test_sim_timers(void **state)
{
    struct loop *loop = loop_new_sim(1, 0);
    timers_in_order(loop);
    assert_int_equal(loop_mono(loop), 20 * NS_PER_MS);
    loop_free(loop);
}

struct poster {
    struct trace *trace;
    struct mark marks[1000];
};

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (size_t i = 0; i < 1000; i++) {
        loop_post(poster->trace->loop, &poster->marks[i].task);
    }
    return NULL;
}

static void test_posts_from_threads(void **state)
{
    struct trace trace = {.loop = loop_new(), .left = 4000};
    struct poster *posters = mem_array(struct poster, 4);
    pthread_t threads[4];
    for (size_t t = 0; t < 4; t++) {
        posters[t].trace = &trace;
        for (size_t i = 0; i < 1000; i++) {
            posters[t].marks[i] = mark_of(&trace, (char)('a' + t));
        }
        pthread_create(&threads[t], NULL, post_all, &posters[t]);
    }
    loop_run(trace.loop);
    for (size_t t = 0; t < 4; t++) {
        pthread_join(threads[t], NULL);
    }
    assert_int_equal(trace.text.n, 4000);
    loop_free(trace.loop);
    buf_done(&trace.text);
    free(posters);
}

struct blocking {
    struct job job;
    struct loop *loop;
    int worked, done;
};

static void block_work(struct job *job)
{
    container_of(job, struct blocking, job)->worked++;
}

static void block_done(struct job *job)
{
    struct blocking *blocking = container_of(job, struct blocking, job);
    blocking->done++;
    loop_stop(blocking->loop);
}

static void work_on(struct loop *loop)
{
    struct blocking blocking = {.job = {.work = block_work, .done = block_done}, .loop = loop};
    loop_work(loop, &blocking.job);
    assert_int_equal(blocking.done, 0);
    loop_run(loop);
    assert_int_equal(blocking.worked, 1);
    assert_int_equal(blocking.done, 1);
    loop_free(loop);
}

static void test_work(void **state)
{
    work_on(loop_new());
    work_on(loop_new_sim(3, 0));
}

static void test_stop_before_run(void **state)
{
    struct loop *loop = loop_new();
    loop_stop(loop);
    loop_run(loop);
    loop_free(loop);
}

/* Five actors that post to each other and sleep for random times. */
static void actor_fire(struct timer *timer);
static void actor_run(struct task *task)
{
    struct mark *mark = container_of(task, struct mark, task);
    mark_run(task);
    if (mark->again-- > 0) {
        int64_t delay_ms = (int64_t)random_below(loop_random(mark->trace->loop), 3);
        timer_start(mark->trace->loop, &mark->timer, delay_ms * NS_PER_MS, actor_fire);
    }
}

static void actor_fire(struct timer *timer)
{
    struct mark *mark = container_of(timer, struct mark, timer);
    loop_post(mark->trace->loop, &mark->task);
}

static void actors(uint64_t seed, struct buf *ret_text)
{
    struct trace trace = {.loop = loop_new_sim(seed, 1000 * NS_PER_S), .left = -1};
    struct mark marks[5];
    for (size_t i = 0; i < 5; i++) {
        marks[i] = mark_of(&trace, (char)('a' + i));
        marks[i].task.run = actor_run;
        marks[i].again = 40;
        timer_start(trace.loop, &marks[i].timer, 0, actor_fire);
    }
    assert_true(loop_run_for(trace.loop, NS_PER_S) > 200);
    assert_int_equal(loop_mono(trace.loop), NS_PER_S);
    assert_int_equal(clock_wall(loop_clock(trace.loop)), 1001 * NS_PER_S);
    loop_free(trace.loop);
    *ret_text = trace.text;
}

static void test_seeds(void **state)
{
    struct buf first, same, other;
    actors(7, &first);
    actors(7, &same);
    actors(8, &other);
    assert_string_equal(first.p, same.p);
    assert_int_equal(first.n, 205);
    assert_string_not_equal(first.p, other.p);
    buf_done(&first);
    buf_done(&same);
    buf_done(&other);
}

static void count_free(void *value)
{
    ++*(int *)value;
}

static void test_locals(void **state)
{
    static const char first, second;
    int freed = 0;
    struct loop *loops[2] = {loop_new(), loop_new_sim(1, 0)};
    for (int i = 0; i < 2; i++) {
        void **place = loop_local(loops[i], &first, count_free);
        assert_null(*place);
        *place = &freed;
        assert_ptr_equal(loop_local(loops[i], &first, count_free), place);
        assert_null(*loop_local(loops[i], &second, count_free));
        assert_ptr_equal(*loop_local(loops[i], &first, count_free), &freed);
        loop_free(loops[i]);
    }
    assert_int_equal(freed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_timers),
        cmocka_unit_test(test_sim_timers),
        cmocka_unit_test(test_posts_from_threads),
        cmocka_unit_test(test_work),
        cmocka_unit_test(test_stop_before_run),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_locals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
