/* client/queue.h on virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/queue.h"

struct log {
    struct queue *queue;
    struct loop *loop;
    char text[512];
    int running, most;
    bool finish, ok;
    int64_t last_ns;
};

static void work(void *ctx, struct str key)
{
    struct log *log = ctx;
    size_t n = strlen(log->text);
    assert_true(n + key.n + 2 < sizeof log->text);
    memcpy(log->text + n, key.p, key.n);
    memcpy(log->text + n + key.n, " ", 2);
    log->last_ns = loop_mono(log->loop);
    log->running++;
    log->most = log->running > log->most ? log->running : log->most;
    if (log->finish) {
        log->running--;
        queue_done(log->queue, key, log->ok);
    }
}

static struct log begin(int parallel)
{
    struct log log = {.finish = true, .ok = true};
    log.loop = loop_new_sim(7, 1000 * NS_PER_S);
    return log;
}

static void end(struct log *log)
{
    queue_free(log->queue);
    loop_free(log->loop);
}

static void each_key_once(void **state)
{
    struct log log = begin(1);
    log.queue = queue_new(log.loop, "test", 1, work, &log);
    queue_add(log.queue, STR("a"));
    queue_add(log.queue, STR("b"));
    queue_add(log.queue, STR("a"));
    assert_int_equal(queue_length(log.queue), 2);
    loop_run_for(log.loop, NS_PER_S);
    assert_string_equal(log.text, "a b ");
    end(&log);
}

static void never_twice_at_a_time(void **state)
{
    struct log log = begin(4);
    log.queue = queue_new(log.loop, "test", 4, work, &log);
    log.finish = false;
    queue_add(log.queue, STR("a"));
    loop_run_for(log.loop, NS_PER_S);
    queue_add(log.queue, STR("a"));
    loop_run_for(log.loop, NS_PER_S);
    assert_string_equal(log.text, "a ");
    queue_done(log.queue, STR("a"), true);
    loop_run_for(log.loop, NS_PER_S);
    assert_string_equal(log.text, "a a ");
    queue_done(log.queue, STR("a"), true);
    end(&log);
}

static void parallel_is_bounded(void **state)
{
    struct log log = begin(2);
    log.queue = queue_new(log.loop, "test", 2, work, &log);
    log.finish = false;
    queue_add(log.queue, STR("a"));
    queue_add(log.queue, STR("b"));
    queue_add(log.queue, STR("c"));
    loop_run_for(log.loop, NS_PER_S);
    assert_int_equal(log.most, 2);
    log.running--;
    queue_done(log.queue, STR("b"), true);
    loop_run_for(log.loop, NS_PER_S);
    assert_string_equal(log.text, "a b c ");
    end(&log);
}

static void failures_back_off_per_key(void **state)
{
    struct log log = begin(1);
    log.queue = queue_new(log.loop, "test", 1, work, &log);
    log.ok = false;
    queue_add(log.queue, STR("a"));
    int64_t start = loop_mono(log.loop);
    loop_run_for(log.loop, 36 * NS_PER_MS); /* at 0, 5, 15, 35 ms */
    assert_string_equal(log.text, "a a a a ");
    assert_int_equal(log.last_ns - start, 35 * NS_PER_MS);
    log.ok = true;
    loop_run_for(log.loop, NS_PER_S);
    assert_string_equal(log.text, "a a a a a ");
    log.ok = false; /* forgotten: starts at 5 ms again */
    log.text[0] = '\0';
    queue_add(log.queue, STR("a"));
    loop_run_for(log.loop, 6 * NS_PER_MS);
    assert_string_equal(log.text, "a a ");
    end(&log);
}

static void the_earliest_delay_wins(void **state)
{
    struct log log = begin(1);
    log.queue = queue_new(log.loop, "test", 1, work, &log);
    queue_add_after(log.queue, STR("a"), 5 * NS_PER_S);
    queue_add_after(log.queue, STR("a"), 2 * NS_PER_S);
    queue_add_after(log.queue, STR("a"), 9 * NS_PER_S);
    int64_t start = loop_mono(log.loop);
    loop_run_for(log.loop, 60 * NS_PER_S);
    assert_string_equal(log.text, "a ");
    assert_int_equal(log.last_ns - start, 2 * NS_PER_S);
    end(&log);
}

static void rest(void *ctx, struct str key)
{
    struct log *log = ctx;
    queue_rest(log->queue, key, 100 * NS_PER_MS);
    work(ctx, key);
}

static void a_resting_key_waits(void **state)
{
    struct log log = begin(1);
    log.queue = queue_new(log.loop, "test", 1, rest, &log);
    queue_add(log.queue, STR("a"));
    for (int i = 0; i < 100; i++) { /* 250 ms of adds: runs at 0, 100 and 200, and once after */
        loop_run_for(log.loop, 5 * NS_PER_MS / 2);
        queue_add(log.queue, STR("a"));
    }
    assert_string_equal(log.text, "a a a ");
    loop_run_for(log.loop, NS_PER_S);
    assert_string_equal(log.text, "a a a a ");
    end(&log);
}

static void pause_holds_keys(void **state)
{
    struct log log = begin(1);
    log.queue = queue_new(log.loop, "test", 1, work, &log);
    queue_pause(log.queue, true);
    queue_add(log.queue, STR("a"));
    loop_run_for(log.loop, NS_PER_S);
    assert_string_equal(log.text, "");
    queue_pause(log.queue, false);
    loop_run_for(log.loop, NS_PER_S);
    assert_string_equal(log.text, "a ");
    end(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_once),           cmocka_unit_test(never_twice_at_a_time),
        cmocka_unit_test(parallel_is_bounded),     cmocka_unit_test(failures_back_off_per_key),
        cmocka_unit_test(the_earliest_delay_wins), cmocka_unit_test(a_resting_key_waits),
        cmocka_unit_test(pause_holds_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
