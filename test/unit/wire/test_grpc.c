/* test_grpc.c: our client against our server over a Unix socket: unary, streams, errors, ends. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "wire/grpc.h"

struct world {
    struct loop *loop;
    char dir[64], path[96];
    struct grpc_server *server;
    struct grpc_client *client;
    struct grpc_call *open; /* the call that "Hold" keeps */
    int cancelled, closed;
    struct buf got;
    int messages, status, ends;
    char message[128];
};
static struct world w;

static void echo(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    grpc_send(call, message, size);
    grpc_finish(call, GRPC_OK, NULL);
}

static void refuse(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    grpc_finish(call, GRPC_NOT_FOUND, "none of 100% \xC3\xA4");
}

static void count_cancel(void *arg, struct grpc_call *call)
{
    w.cancelled++;
    w.open = NULL;
    grpc_finish(call, GRPC_CANCELLED, NULL);
}

static void hold(void *ctx, struct grpc_call *call, const char *message, size_t size)
{
    w.open = call;
    grpc_send(call, "first", 5);
    grpc_call_on_cancel(call, count_cancel, NULL);
}

static const struct grpc_method methods[] = {
    {"/test.Test/Echo", echo}, {"/test.Test/Fail", refuse}, {"/test.Test/Hold", hold}};

static void on_message(void *ctx, const char *message, size_t size)
{
    w.messages++;
    buf_clear(&w.got);
    buf_add(&w.got, message, size);
}

static void on_end(void *ctx, int status, struct str message)
{
    w.ends++;
    w.status = status;
    snprintf(w.message, sizeof w.message, "%.*s", STR_ARG(message));
}

static const struct grpc_reply_ops ops = {on_message, on_end};

static void on_close(void *ctx, const struct err *err)
{
    w.closed++;
}

static void stop(struct timer *timer)
{
    loop_stop(w.loop);
}

static void run(int ms)
{
    struct timer timer = {0};
    timer_start(w.loop, &timer, ms * NS_PER_MS, stop);
    loop_run(w.loop);
}

static int set_up(void **state)
{
    int fd;
    w = (struct world){.loop = loop_new()};
    snprintf(w.dir, sizeof w.dir, "/tmp/grpc-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.path, sizeof w.path, "unix:%s/s", w.dir);
    assert_int_equal(net_bind(str_of(w.path), &fd, NULL), 0);
    w.server = grpc_serve(w.loop, fd, methods, 3, NULL);
    w.client = grpc_dial(w.loop, w.path + 5, on_close, NULL);
    return 0;
}

static int tear_down(void **state)
{
    grpc_client_free(w.client);
    grpc_server_free(w.server);
    run(20);
    loop_free(w.loop);
    unlink(w.path + 5);
    rmdir(w.dir);
    buf_done(&w.got);
    return 0;
}

static void unary(void **state)
{
    char *large = mem_alloc(1 << 20);
    memset(large, 'x', 1 << 20);
    grpc_request(w.client, "/test.Test/Echo", "hello", 5, NS_PER_S, &ops, NULL);
    run(30);
    assert_int_equal(w.ends, 1);
    assert_int_equal(w.status, GRPC_OK);
    assert_true(str_is(buf_view(&w.got), "hello"));
    grpc_request(w.client, "/test.Test/Echo", large, 1 << 20, 0, &ops, NULL);
    run(200);
    assert_int_equal(w.ends, 2);
    assert_int_equal(w.got.n, 1 << 20);
    grpc_request(w.client, "/test.Test/Echo", "", 0, 0, &ops, NULL);
    run(30);
    assert_int_equal(w.messages, 3);
    assert_int_equal(w.got.n, 0);
    free(large);
}

static void errors(void **state)
{
    grpc_request(w.client, "/test.Test/Fail", "", 0, 0, &ops, NULL);
    run(30);
    assert_int_equal(w.status, GRPC_NOT_FOUND);
    assert_string_equal(w.message, "none of 100% \xC3\xA4");
    grpc_request(w.client, "/test.Test/None", "", 0, 0, &ops, NULL);
    run(30);
    assert_int_equal(w.status, GRPC_UNIMPLEMENTED);
    grpc_request(w.client, "/test.Test/Hold", "", 0, 30 * NS_PER_MS, &ops, NULL);
    run(100);
    assert_int_equal(w.status, GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(w.cancelled, 1);
    assert_int_equal(w.ends, 3);
}

static void streams(void **state)
{
    struct grpc_request *request = grpc_request(w.client, "/test.Test/Hold", "", 0, 0, &ops, NULL);
    run(30);
    assert_int_equal(w.messages, 1);
    grpc_send(w.open, "second", 6);
    grpc_send(w.open, "third", 5);
    run(30);
    assert_int_equal(w.messages, 3);
    assert_true(str_is(buf_view(&w.got), "third"));
    grpc_finish(w.open, GRPC_OK, NULL);
    run(30);
    assert_int_equal(w.ends, 1);
    request = grpc_request(w.client, "/test.Test/Hold", "", 0, 0, &ops, NULL);
    run(30);
    grpc_cancel(request);
    run(30);
    assert_int_equal(w.cancelled, 1);
    assert_int_equal(w.ends, 1);
}

static void the_server_goes(void **state)
{
    grpc_request(w.client, "/test.Test/Hold", "", 0, 0, &ops, NULL);
    run(30);
    grpc_server_free(w.server);
    w.server = NULL;
    run(30);
    assert_int_equal(w.ends, 1);
    assert_int_equal(w.status, GRPC_UNAVAILABLE);
    assert_int_equal(w.closed, 1);
    grpc_finish(w.open, GRPC_OK, NULL);
    unlink(w.path + 5);
    grpc_client_free(w.client);
    w.client = grpc_dial(w.loop, w.path + 5, on_close, NULL); /* nobody listens */
    grpc_request(w.client, "/test.Test/Echo", "", 0, 0, &ops, NULL);
    run(30);
    assert_int_equal(w.ends, 2);
    assert_int_equal(w.status, GRPC_UNAVAILABLE);
    assert_int_equal(w.closed, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unary, set_up, tear_down),
        cmocka_unit_test_setup_teardown(errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_server_goes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
