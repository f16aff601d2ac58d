/* test_websocket.c: handshake, protocols, messages both ways, closing, refusals. */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "wire/websocket.h"

struct world {
    struct loop *loop;
    char address[64];
    struct listener *listener;
    struct websocket *server, *client;
    char protocol[64];
    struct http_header sent[4];
    size_t sent_count;
    struct arena arena;
    size_t messages, bytes;
    int server_code, client_code, status;
    bool server_closes;
    struct err err;
    int ends;
    struct timer timer;
};

static void end(struct world *world)
{
    if (++world->ends == 2) {
        loop_stop(world->loop);
    }
}

static void server_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                           size_t size)
{
    struct world *world = ctx;
    if (world->server_closes) {
        websocket_close(socket, 1001);
    } else {
        websocket_send(socket, binary, bytes, size);
    }
}
static void server_close(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    ((struct world *)ctx)->server_code = code;
    end(ctx);
}
static const struct websocket_ops server_ops = {.on_message = server_message,
                                                .on_close = server_close};

static void on_request(void *ctx, struct http_exchange *exchange)
{
    static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};
    struct world *world = ctx;
    world->server = websocket_accept(exchange, protocols, &server_ops, world);
    if (world->server != NULL) {
        struct str protocol = websocket_protocol(world->server);
        snprintf(world->protocol, sizeof world->protocol, "%.*s", STR_ARG(protocol));
    }
}
static void on_abort(void *ctx, struct http_exchange *exchange)
{
}
static const struct http_server_ops http_ops = {.on_request = on_request, .on_abort = on_abort};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    http_serve(stream, NULL, &http_ops, ctx);
}
static const struct listener_ops listener_ops = {.on_accept = on_accept};

static void client_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                           size_t size)
{
    struct world *world = ctx;
    world->messages++;
    world->bytes += size;
    assert_true(size == 0 || bytes[size - 1] == 'x');
    if (world->messages == 4) {
        websocket_close(socket, 1000);
    }
}
static void client_close(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    ((struct world *)ctx)->client_code = code;
    end(ctx);
}
static const struct websocket_ops client_ops = {.on_message = client_message,
                                                .on_close = client_close};

static void on_upgraded(void *ctx, struct stream *stream, int status,
                        const struct http_header *headers, size_t count, const struct err *err)
{
    struct world *world = ctx;
    struct str protocol;
    world->status = status;
    if (stream == NULL) {
        world->err = *err;
        loop_stop(world->loop);
        return;
    }
    assert_int_equal(websocket_client_verify(world->sent, world->sent_count, headers, count,
                                             &protocol, &world->err),
                     0);
    assert_true(str_is(protocol, world->protocol));
    world->client = websocket_from_stream(stream, &client_ops, world);
    struct buf large BUF_CLEANUP = BUF_INIT;
    memset(buf_room(&large, 1 << 20), 'x', 1 << 20);
    websocket_send(world->client, true, "abcx", 4);
    websocket_send(world->client, false, "textx", 5);
    websocket_send(world->client, true, "", 0);
    websocket_send(world->client, true, large.p, world->messages == 100 ? 2 << 20 : 1 << 20);
}

static void give_up(struct timer *timer)
{
    fail_msg("not done in time");
}

static void world_run(struct world *world, const char *protocols)
{
    int fd;
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    struct err err;
    world->loop = loop_new();
    assert_int_equal(net_bind(STR("127.0.0.1:0"), &fd, &err), 0);
    getsockname(fd, (void *)&bound, &size);
    unsigned char *port = (unsigned char *)&bound + 2;
    snprintf(world->address, sizeof world->address, "127.0.0.1:%d", port[0] << 8 | port[1]);
    world->listener = listener_new(world->loop, fd, NULL, &listener_ops, world);
    world->sent_count = websocket_client_headers(&world->arena, str_of(protocols), world->sent);
    struct http_client_request request = {.method = STR("GET"),
                                          .path = STR("/exec"),
                                          .authority = STR("host"),
                                          .headers = world->sent,
                                          .header_count = world->sent_count};
    struct dial_options dial = {.address = str_of(world->address)};
    http_client_upgrade(stream_dial(world->loop, &dial, NULL, NULL), &request, STR("websocket"),
                        on_upgraded, world);
    timer_start(world->loop, &world->timer, 20 * NS_PER_S, give_up);
    loop_run(world->loop);
    listener_free(world->listener);
    loop_free(world->loop);
    arena_done(&world->arena);
}

static void test_messages(void **state)
{
    struct world world = {0};
    world_run(&world, "v3.x,v4.channel.k8s.io, v5.channel.k8s.io");
    assert_string_equal(world.protocol, "v5.channel.k8s.io");
    assert_int_equal(world.messages, 4);
    assert_int_equal(world.bytes, 9 + (1 << 20));
    assert_int_equal(world.client_code, 1000);
    assert_int_equal(world.server_code, 1000);
}

static void test_server_closes(void **state)
{
    struct world world = {.server_closes = true};
    world_run(&world, "v4.channel.k8s.io");
    assert_string_equal(world.protocol, "v4.channel.k8s.io");
    assert_int_equal(world.client_code, 1001);
    assert_int_equal(world.server_code, 1001);
}

static void test_refused(void **state)
{
    struct world world = {0};
    world_run(&world, "v1.other");
    assert_int_equal(world.status, 400);
    assert_int_equal(world.err.code, ERR_BAD_REQUEST);
    assert_null(world.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_server_closes),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
