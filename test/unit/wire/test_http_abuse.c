/* test_http_abuse.c: peers that misuse HTTP are cut, soon and cheaply: resets, floods, oversize and
 * slow heads, answers that nobody reads. Frames are made by hand; each test is one connection. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "wire/http.h"

enum { DATA = 0, HEADERS = 1, PRIORITY = 2, RST = 3, SETTINGS = 4, PING = 6, UPDATE = 8, CONT = 9 };
enum { END_STREAM = 1, END_HEADERS = 4 };

struct world {
    struct loop *loop;
    struct http_server_options options;
    char address[64];
    struct buf got;
    int requests, aborts;
    bool closed, cut; /* the server ended it */
    struct timer timer;
};

static ssize_t endless_read(struct http_body *body, char *out, size_t cap)
{
    memset(out, 'x', cap);
    return (ssize_t)cap;
}
static void endless_free(struct http_body *body)
{
    free(body);
}

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct world *world = ctx;
    world->requests++;
    if (str_eq(http_request(exchange)->path, STR("/endless"))) {
        struct http_body *body = mem_new(struct http_body);
        *body = (struct http_body){.read = endless_read, .free = endless_free, .length = -1};
        http_respond(exchange, 200, NULL, 0, body);
    } else if (!str_eq(http_request(exchange)->path, STR("/hold"))) {
        http_respond(exchange, 200, NULL, 0, http_body_copy(STR("fine")));
    }
}
static void on_abort(void *ctx, struct http_exchange *exchange)
{
    ((struct world *)ctx)->aborts++;
}
static const struct http_server_ops server_ops = {.on_request = on_request, .on_abort = on_abort};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct world *world = ctx;
    http_serve(stream, &world->options, &server_ops, world);
}
static const struct listener_ops listener_ops = {.on_accept = on_accept};

static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct world *world = ctx;
    buf_add(&world->got, bytes, size);
}
static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct world *world = ctx;
    world->closed = true;
    loop_stop(world->loop);
}
static const struct stream_ops client_ops = {.on_read = on_read, .on_close = on_close};

static void give_up(struct timer *timer)
{
    loop_stop(container_of(timer, struct world, timer)->loop);
}

/* Sends `bytes` and waits until the server closes, or for `wait_ns`. */
static void attack(struct world *world, const struct buf *bytes, int64_t wait_ns, bool reads)
{
    int fd;
    struct err err = ERR_INIT;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    world->loop = loop_new();
    assert_int_equal(net_bind(STR("127.0.0.1:0"), &fd, &err), 0);
    getsockname(fd, (void *)&bound, &size);
    unsigned char *port = (unsigned char *)&bound + 2;
    snprintf(world->address, sizeof world->address, "127.0.0.1:%d", port[0] << 8 | port[1]);
    struct listener *listener = listener_new(world->loop, fd, NULL, &listener_ops, world);
    struct dial_options dial = {.address = str_of(world->address)};
    struct stream *stream = stream_dial(world->loop, &dial, &client_ops, world);
    stream_write(stream, bytes->p, bytes->n);
    if (!reads) {
        stream_pause(stream);
    }
    timer_start(world->loop, &world->timer, wait_ns, give_up);
    loop_run(world->loop);
    world->cut = world->closed;
    timer_stop(&world->timer);
    listener_free(listener);
    loop_free(world->loop);
    buf_done(&world->got);
}

static void frame(struct buf *out, int type, int flags, uint32_t stream, const void *bytes,
                  size_t size)
{
    const unsigned char head[9] = {
        (unsigned char)(size >> 16),   (unsigned char)(size >> 8),   (unsigned char)size,
        (unsigned char)type,           (unsigned char)flags,         (unsigned char)(stream >> 24),
        (unsigned char)(stream >> 16), (unsigned char)(stream >> 8), (unsigned char)stream};
    buf_add(out, head, 9);
    buf_add(out, bytes, size);
}

/* HPACK, all static or literal: GET https://a + path. */
static void request(struct buf *out, uint32_t stream, int flags, const char *path)
{
    struct buf block BUF_CLEANUP = BUF_INIT;
    buf_addz(&block, "\x82\x87\x41\x01"
                     "a\x44");
    buf_char(&block, (char)strlen(path));
    buf_addz(&block, path);
    frame(out, HEADERS, flags, stream, block.p, block.n);
}

static struct buf begin(void)
{
    struct buf out = BUF_INIT;
    buf_addz(&out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    frame(&out, SETTINGS, 0, 0, NULL, 0);
    return out;
}

static void expect_cut(struct buf *bytes, int most_requests)
{
    struct world world = {0};
    attack(&world, bytes, 10 * NS_PER_S, true);
    if (!world.cut) {
        fail_msg("still served after %zu bytes", bytes->n);
    }
    if (world.requests > most_requests) {
        fail_msg("%d requests came through", world.requests);
    }
    buf_done(bytes);
}

static void expect_served(struct buf *bytes, int requests)
{
    struct world world = {0};
    attack(&world, bytes, 300 * NS_PER_MS, true);
    assert_false(world.cut);
    assert_int_equal(world.requests, requests);
    buf_done(bytes);
}

static void test_good(void **state)
{
    struct buf out = begin();
    for (uint32_t i = 0; i < 50; i++) {
        request(&out, 2 * i + 1, END_STREAM | END_HEADERS, "/");
        frame(&out, PING, 0, 0, "12345678", 8);
    }
    expect_served(&out, 50);
}

/* CONNECT has no path; such requests are answered here. */
static void test_connect(void **state)
{
    struct buf out = begin();
    frame(&out, HEADERS, END_HEADERS, 1,
          "\x42\x07"
          "CONNECT\x41\x01"
          "a",
          12);
    request(&out, 3, END_STREAM | END_HEADERS, "/");
    expect_served(&out, 1);
}

static void test_rapid_reset(void **state)
{
    struct buf out = begin();
    for (uint32_t i = 0; i < 20000; i++) {
        request(&out, 2 * i + 1, END_STREAM | END_HEADERS, "/hold");
        frame(&out, RST, 0, 2 * i + 1, "\0\0\0\x8", 4);
    }
    expect_cut(&out, 2500);
}

/* The peer makes us send the resets (CVE-2025-8671). */
static void test_made_you_reset(void **state)
{
    struct buf out = begin();
    for (uint32_t i = 0; i < 5000; i++) {
        request(&out, 2 * i + 1, END_STREAM | END_HEADERS, "/hold");
        frame(&out, UPDATE, 0, 2 * i + 1, "\0\0\0\0", 4);
    }
    expect_cut(&out, 1000);
}

static void test_floods(void **state)
{
    static const struct {
        int type;
        uint32_t stream;
        const char *bytes;
        size_t size;
    } floods[] = {{PING, 0, "12345678", 8},
                  {SETTINGS, 0, "\0\4\0\1\0\0", 6},
                  {PRIORITY, 1, "\0\0\0\0\1", 5},
                  {DATA, 1, "", 0}};
    for (size_t i = 0; i < sizeof floods / sizeof floods[0]; i++) {
        struct buf out = begin();
        request(&out, 1, END_HEADERS, "/");
        for (int k = 0; k < 20000; k++) {
            frame(&out, floods[i].type, 0, floods[i].stream, floods[i].bytes, floods[i].size);
        }
        expect_cut(&out, 1);
    }
}

static void test_continuations(void **state)
{
    struct buf out = begin();
    request(&out, 1, END_STREAM, "/");
    for (int i = 0; i < 100; i++) {
        frame(&out, CONT, 0, 1, "\x40\x01x\x01y", 5);
    }
    frame(&out, CONT, END_HEADERS, 1, "", 0);
    expect_cut(&out, 0);
}

/* One long field named again and again by a one-byte index. */
static void test_hpack_bomb(void **state)
{
    struct world world = {0};
    struct buf out = begin(), block = BUF_INIT;
    buf_addz(&block, "\x82\x87\x41\x01"
                     "a\x44\x01/");
    buf_addz(&block, "\x40\x01x\x7f\x81\x1e"); /* a value of 4,000 bytes */
    memset(buf_room(&block, 4000), 'v', 4000);
    block.n += 4000;
    for (int i = 0; i < 10000; i++) {
        buf_char(&block, (char)(0x80 | 62));
    }
    frame(&out, HEADERS, END_STREAM | END_HEADERS, 1, block.p, block.n);
    attack(&world, &out, 300 * NS_PER_MS, true);
    assert_int_equal(world.requests, 0);
    buf_done(&out);
    buf_done(&block);
}

static void test_streams_at_once(void **state)
{
    struct world world = {0};
    struct buf out = begin();
    for (uint32_t i = 0; i < 150; i++) {
        request(&out, 2 * i + 1, END_STREAM | END_HEADERS, "/hold");
    }
    attack(&world, &out, 300 * NS_PER_MS, true);
    assert_int_equal(world.requests, 100);
    assert_int_equal(world.aborts, 100);
    buf_done(&out);
}

static void test_slow_heads(void **state)
{
    static const char *const heads[] = {"GET / HTT", "GET / HTTP/1.1\r\nHost: a\r\nX: y"};
    for (size_t i = 0; i < 3; i++) {
        struct world world = {.options = {.header_ns = 100 * NS_PER_MS}};
        struct buf out = BUF_INIT;
        if (i < 2) {
            buf_addz(&out, heads[i]);
        } else {
            out = begin();
            request(&out, 1, END_STREAM, "/"); /* its CONTINUATION never comes */
        }
        attack(&world, &out, 10 * NS_PER_S, true);
        assert_true(world.cut);
        assert_int_equal(world.requests, 0);
        buf_done(&out);
    }
}

static void test_idle_and_stalled(void **state)
{
    static const char *const requests[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                           "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct world world = {.options = {.idle_ns = 200 * NS_PER_MS}};
        struct buf out = BUF_INIT;
        buf_addz(&out, requests[i]);
        attack(&world, &out, i == 0 ? 10 * NS_PER_S : NS_PER_S, i == 0);
        assert_int_equal(world.requests, 1);
        assert_true(i == 0 ? world.cut : world.aborts == 1);
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_rapid_reset), cmocka_unit_test(test_made_you_reset),
        cmocka_unit_test(test_floods),      cmocka_unit_test(test_continuations),
        cmocka_unit_test(test_hpack_bomb),  cmocka_unit_test(test_streams_at_once),
        cmocka_unit_test(test_slow_heads),  cmocka_unit_test(test_idle_and_stalled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
