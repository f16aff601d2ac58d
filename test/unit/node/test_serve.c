/* The agent's HTTP surface with a real container: logs, exec with and without a terminal, attach,
 * port forwarding, statistics. Skipped (77) where containers cannot run. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "base/mem.h"
#include "io/file.h"
#include "node_rig.h"
#include "wire/http.h"
#include "wire/spdy.h"
#include "wire/websocket.h"

static struct rig *rig;

static void ignore_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
}
static void ignore_close(void *ctx, struct stream *stream, const struct err *err)
{
}
static const struct stream_ops quiet = {.on_read = ignore_read, .on_close = ignore_close};

static void on_request(void *ctx, struct http_exchange *exchange)
{
    agent_handle(rig->agent, exchange, true);
}
static void on_abort(void *ctx, struct http_exchange *exchange)
{
    agent_abort(rig->agent, exchange);
}
static const struct http_server_ops server_ops = {.on_request = on_request, .on_abort = on_abort};

/* A connection to the agent; our end. */
static struct stream *connect_agent(void)
{
    int fds[2];
    static const struct http_server_options options = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    http_serve(stream_from_fd(rig->loop, fds[0], &quiet, NULL), &options, &server_ops, NULL);
    return stream_from_fd(rig->loop, fds[1], &quiet, NULL);
}

/* ---- plain requests ---- */

struct answer {
    int status;
    struct buf body;
    bool ended;
};

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    ((struct answer *)ctx)->status = status;
}
static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    buf_add(&((struct answer *)ctx)->body, bytes, size);
}
static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    ((struct answer *)ctx)->ended = true;
}
static const struct http_client_ops client_ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end};
static void on_client_close(void *ctx, const struct err *err)
{
}

static struct answer *waited;
static bool answered(struct rig *r, const char *pod)
{
    return waited->ended;
}

static void get(const char *path, struct answer *answer)
{
    struct http_client *client = http_client_new(connect_agent(), 1, on_client_close, NULL);
    struct http_client_request request = {
        .method = STR("GET"), .path = str_of(path), .authority = STR("node")};
    http_send(client, &request, &client_ops, answer);
    waited = answer;
    assert_true(rig_wait(rig, answered, NULL, 10));
    http_client_free(client);
}

static void test_plain(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *contains;
    } cases[] = {{"/healthz", 200, "ok"},
                 {"/pods", 200, "\"name\":\"box\""},
                 {"/stats/summary", 200, "\"usageCoreNanoSeconds\""},
                 {"/metrics/resource", 200, "container_memory_working_set_bytes{container=\"c\""},
                 {"/metrics", 200, "# TYPE"},
                 {"/nothing", 404, "404"},
                 {"/containerLogs/default/box/c", 200, "line 1\nline 2\nline 3\n"},
                 {"/containerLogs/default/box/c?tailLines=1", 200, "line 3\n"},
                 {"/containerLogs/default/box/c?tailLines=x", 400, "no valid number"},
                 {"/containerLogs/default/box/none", 404, "not found"},
                 {"/containerLogs/default/none/c", 404, "not found"},
                 {"/containerLogs/default/box/c?previous=true", 400, "previous terminated"},
                 {"/exec/default/box/c?command=ls&stdout=1", 400, "upgrade"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct answer answer = {0};
        get(cases[i].path, &answer);
        assert_int_equal(answer.status, cases[i].status);
        if (answer.body.p == NULL || strstr(answer.body.p, cases[i].contains) == NULL) {
            fail_msg("%s: %s", cases[i].path, answer.body.p);
        }
        buf_done(&answer.body);
    }
}

/* ---- channels over a WebSocket ---- */

struct channels {
    struct websocket *socket;
    struct buf text[5];
    bool open, closed;
    int status;
};

static void on_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                       size_t size)
{
    struct channels *c = ctx;
    if (size > 0 && bytes[0] >= 0 && bytes[0] < 5) {
        buf_add(&c->text[(int)bytes[0]], bytes + 1, size - 1);
    }
}
static void on_ws_close(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    ((struct channels *)ctx)->closed = true;
}
static const struct websocket_ops ws_ops = {.on_message = on_message, .on_close = on_ws_close};

static void on_upgraded(void *ctx, struct stream *stream, int status,
                        const struct http_header *headers, size_t count, const struct err *err)
{
    struct channels *c = ctx;
    c->open = true;
    c->status = status;
    if (status == 101) {
        c->socket = websocket_from_stream(stream, &ws_ops, c);
    }
}

static struct channels *now;
static bool is_open(struct rig *r, const char *pod)
{
    return now->open;
}
static bool is_closed(struct rig *r, const char *pod)
{
    return now->closed;
}

static void open_channels(const char *path, struct channels *c)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct http_header headers[4];
    size_t count = websocket_client_headers(&arena, STR("v5.channel.k8s.io"), headers);
    struct http_client_request request = {.method = STR("GET"),
                                          .path = str_of(path),
                                          .authority = STR("node"),
                                          .headers = headers,
                                          .header_count = count};
    http_client_upgrade(connect_agent(), &request, STR("websocket"), on_upgraded, c);
    now = c;
    assert_true(rig_wait(rig, is_open, NULL, 10));
    assert_int_equal(c->status, 101);
}

static void say(struct channels *c, int channel, const char *text)
{
    struct buf message BUF_CLEANUP = BUF_INIT;
    buf_char(&message, (char)channel);
    buf_addz(&message, text);
    websocket_send(c->socket, true, message.p, message.n);
}

static void wait_closed(struct channels *c)
{
    now = c;
    assert_true(rig_wait(rig, is_closed, NULL, 10));
}

static void channels_done(struct channels *c)
{
    for (int i = 0; i < 5; i++) {
        buf_done(&c->text[i]);
    }
}

static void test_exec(void **state)
{
    struct channels c = {0};
    open_channels("/exec/default/box/c?command=/bin/sh&command=-c&command=cat;echo%20bad%20>%262;"
                  "exit%203&stdin=1&stdout=1&stderr=1",
                  &c);
    say(&c, 0, "some input\n");
    websocket_send(c.socket, true, "\377\0", 2);
    wait_closed(&c);
    assert_string_equal(c.text[1].p, "some input\n");
    assert_string_equal(c.text[2].p, "bad\n");
    assert_non_null(strstr(c.text[3].p, "\"reason\":\"NonZeroExitCode\""));
    assert_non_null(strstr(c.text[3].p, "\"message\":\"3\""));
    channels_done(&c);
    struct channels ok = {0};
    open_channels("/exec/default/box/c?command=/bin/true&stdout=1", &ok);
    wait_closed(&ok);
    assert_non_null(strstr(ok.text[3].p, "\"status\":\"Success\""));
    channels_done(&ok);
}

static void test_exec_much(void **state)
{
    struct channels c = {0};
    open_channels("/exec/default/box/c?command=/bin/sh&command=-c&command=head%20-c%205000000%20"
                  "/dev/zero&stdout=1&stderr=1",
                  &c);
    wait_closed(&c);
    assert_int_equal(c.text[1].n, 5000000);
    channels_done(&c);
}

static void test_exec_terminal(void **state)
{
    struct channels c = {0};
    open_channels("/exec/default/box/c?command=/bin/sh&command=-c&command=read%20x;stty%20size;"
                  "echo%20got%20$x&stdin=1&stdout=1&tty=1",
                  &c);
    say(&c, 4, "{\"Width\":100,\"Height\":33}"); /* before there is a terminal */
    rig_run(rig, NS_PER_S);
    say(&c, 0, "typed\n");
    wait_closed(&c);
    assert_non_null(strstr(c.text[1].p, "33 100"));
    assert_non_null(strstr(c.text[1].p, "got typed"));
    channels_done(&c);
}

static void test_attach(void **state)
{
    struct channels c = {0};
    rig_pod(
        rig, "cat",
        "'restartPolicy':'Never','containers':[{'name':'c','image':'cox.test/box:1','stdin':true,"
        "'stdinOnce':true,'command':['/bin/sh','-c','read x; echo heard $x; sleep 0.3']}]");
    assert_true(rig_wait(rig, rig_running, "cat", 10));
    open_channels("/attach/default/cat/c?stdin=1&stdout=1&stderr=1", &c);
    rig_run(rig, NS_PER_S / 5);
    say(&c, 0, "me\n");
    wait_closed(&c);
    assert_string_equal(c.text[1].p, "heard me\n");
    channels_done(&c);
    assert_true(rig_wait(rig, rig_succeeded, "cat", 10));
}

/* ---- port forwarding over SPDY ---- */

struct tunnel {
    struct stream *stream;
    struct spdy *spdy;
    struct spdy_stream *data, *error;
    struct buf got, failure;
    bool open, fin;
};

static void on_spdy_stream(void *ctx, struct spdy *spdy, struct spdy_stream *stream,
                           const struct http_header *headers, size_t count)
{
}
static void on_spdy_data(void *ctx, struct spdy_stream *stream, const char *bytes, size_t size,
                         bool fin)
{
    struct tunnel *t = ctx;
    buf_add(stream == t->error ? &t->failure : &t->got, bytes, size);
    t->fin |= fin;
}
static void on_spdy_close(void *ctx, struct spdy_stream *stream)
{
}
static void on_spdy_send(void *ctx, struct spdy *spdy, const char *bytes, size_t size)
{
    stream_write(((struct tunnel *)ctx)->stream, bytes, size);
}
static const struct spdy_ops spdy_ops = {.on_stream = on_spdy_stream,
                                         .on_data = on_spdy_data,
                                         .on_stream_close = on_spdy_close,
                                         .send = on_spdy_send};

static void on_tunnel_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    assert_int_equal(spdy_feed(((struct tunnel *)ctx)->spdy, bytes, size, NULL), 0);
}
static const struct stream_ops tunnel_ops = {.on_read = on_tunnel_read, .on_close = ignore_close};

static void on_tunnel(void *ctx, struct stream *stream, int status,
                      const struct http_header *headers, size_t count, const struct err *err)
{
    struct tunnel *t = ctx;
    assert_int_equal(status, 101);
    t->stream = stream;
    t->open = true;
    stream_set_ops(stream, &tunnel_ops, t);
}

static struct tunnel *tunnel;
static bool tunnel_open(struct rig *r, const char *pod)
{
    return tunnel->open;
}
static bool tunnel_heard(struct rig *r, const char *pod)
{
    return tunnel->got.n >= 5 || tunnel->failure.n > 0;
}

static void forward(const char *port, bool half_close, struct tunnel *t)
{
    struct http_header headers[] = {{STR("x-stream-protocol-version"), STR("portforward.k8s.io")}};
    struct http_client_request request = {.method = STR("POST"),
                                          .path = STR("/portForward/default/box"),
                                          .authority = STR("node"),
                                          .headers = headers,
                                          .header_count = 1};
    t->spdy = spdy_new(false, &spdy_ops, t);
    http_client_upgrade(connect_agent(), &request, STR("SPDY/3.1"), on_tunnel, t);
    tunnel = t;
    assert_true(rig_wait(rig, tunnel_open, NULL, 10));
    struct http_header stream_headers[] = {{STR("streamtype"), STR("error")},
                                           {STR("port"), str_of(port)},
                                           {STR("requestid"), STR("0")}};
    t->error = spdy_open(t->spdy, stream_headers, 3);
    stream_headers[0].value = STR("data");
    t->data = spdy_open(t->spdy, stream_headers, 3);
    spdy_write(t->data, "hello", 5, half_close);
    assert_true(rig_wait(rig, tunnel_heard, NULL, 10));
    rig_run(rig, NS_PER_S / 10);
}

static void tunnel_done(struct tunnel *t)
{
    stream_set_ops(t->stream, &quiet, NULL);
    stream_abort(t->stream, ERR_CANCELED, "done");
    spdy_free(t->spdy);
    buf_done(&t->got);
    buf_done(&t->failure);
    rig_run(rig, NS_PER_S / 20);
}

static void test_port_forward(void **state)
{
    struct tunnel good = {0}, half = {0}, bad = {0};
    forward("18923", true, &half);
    assert_memory_equal(half.got.p, "hello", 5);
    assert_true(half.fin);
    tunnel_done(&half);
    rig_run(rig, NS_PER_S / 5); /* the listener takes one connection after the other */
    forward("18923", false, &good);
    assert_int_equal(good.got.n, 5);
    assert_memory_equal(good.got.p, "hello", 5);
    tunnel_done(&good);
    forward("18924", false, &bad);
    assert_non_null(strstr(bad.failure.p, "18924"));
    tunnel_done(&bad);
}

static void test_follow(void **state)
{
    struct answer answer = {0};
    rig_pod(rig, "talk",
            "'restartPolicy':'Never','containers':[{'name':'c','image':'cox.test/box:1','command':["
            "'/bin/sh','-c','for i in 1 2 3 4 5; do echo $i; sleep 0.2; done']}]");
    assert_true(rig_wait(rig, rig_running, "talk", 10));
    get("/containerLogs/default/talk/c?follow=true", &answer); /* ends when the container does */
    assert_string_equal(answer.body.p, "1\n2\n3\n4\n5\n");
    buf_done(&answer.body);
}

static bool start_box(struct rig *r)
{
    rig_pod(
        rig, "box",
        "'containers':[{'name':'c','image':'cox.test/box:1','command':['/bin/sh','-c',"
        "'for i in 1 2 3; do echo line $i; done; while true; do nc -l -p 18923 -e cat; done']}]");
    if (!rig_wait(rig, rig_running, "box", 10)) {
        return false;
    }
    rig_run(rig, NS_PER_S / 2);
    return true;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_exec),
        cmocka_unit_test(test_exec_much), cmocka_unit_test(test_exec_terminal),
        cmocka_unit_test(test_attach),    cmocka_unit_test(test_port_forward),
        cmocka_unit_test(test_follow),
    };
    return rig_main(argc, argv, &rig, start_box, tests, sizeof tests / sizeof *tests);
}
