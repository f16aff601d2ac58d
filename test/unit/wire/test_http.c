/* test_http.c: round trips of both protocols, with and without TLS: whole and streamed bodies,
 * back-pressure, aborts, refusals, upgrades, raw and malformed HTTP/1.1. */
#include "../cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../io/certificate.h"
#include "base/mem.h"
#include "io/tls.h"
#include "wire/http.h"

/* ---- a server that answers by path ---- */

struct world {
    struct loop *loop;
    struct listener *listener;
    struct tls_context *server_tls, *client_tls;
    int version; /* of the client */
    char address[64];
    struct http_server_options options;
    struct http_connection *connection; /* the newest */
    int requests, aborts, bodies_freed;
    size_t streamed;
    struct http_exchange *held; /* of /hold */
    struct http_body *later;    /* of /later */
    struct timer timer;
};

/* A body of `size` pattern bytes in pieces of at most `piece`; with `pause` it says LATER between
 * pieces until the timer resumes it. */
struct pattern_body {
    struct http_body body;
    struct world *world;
    struct http_exchange *exchange;
    size_t size, done, piece;
    bool pause, ready, fail;
    struct timer timer;
};

static void pattern_wake(struct timer *timer)
{
    struct pattern_body *pattern = container_of(timer, struct pattern_body, timer);
    pattern->ready = true;
    http_resume(pattern->exchange);
}

static ssize_t pattern_read(struct http_body *body, char *out, size_t cap)
{
    struct pattern_body *pattern = container_of(body, struct pattern_body, body);
    size_t left = pattern->size - pattern->done;
    if (pattern->pause && !pattern->ready) {
        timer_start(pattern->world->loop, &pattern->timer, NS_PER_MS, pattern_wake);
        return HTTP_BODY_LATER;
    }
    if (pattern->fail && pattern->done > pattern->size / 2) {
        return HTTP_BODY_FAILED;
    }
    pattern->ready = false;
    cap = cap < pattern->piece ? cap : pattern->piece;
    cap = cap < left ? cap : left;
    for (size_t i = 0; i < cap; i++) {
        out[i] = (char)('a' + (pattern->done + i) % 23);
    }
    pattern->done += cap;
    return (ssize_t)cap;
}

static void pattern_free(struct http_body *body)
{
    struct pattern_body *pattern = container_of(body, struct pattern_body, body);
    timer_stop(&pattern->timer);
    pattern->world->bodies_freed++;
    free(pattern);
}

static struct pattern_body *pattern_new(struct world *world, struct http_exchange *exchange,
                                        size_t size, size_t piece)
{
    struct pattern_body *pattern = mem_new(struct pattern_body);
    pattern->body = (struct http_body){.read = pattern_read, .free = pattern_free, .length = -1};
    pattern->world = world;
    pattern->exchange = exchange;
    pattern->size = size;
    pattern->piece = piece;
    return pattern;
}

static void raw_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    stream_write(stream, bytes, size); /* the upgraded protocol: an echo */
}
static void raw_close(void *ctx, struct stream *stream, const struct err *err)
{
}
static const struct stream_ops raw_ops = {.on_read = raw_read, .on_close = raw_close};

static void respond_trailers(struct world *world, struct http_exchange *exchange);

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct world *world = ctx;
    const struct http_request *request = http_request(exchange);
    struct http_header type = {STR("content-type"), STR("text/plain")};
    world->requests++;
    if (str_eq(request->path, STR("/echo"))) {
        struct http_header headers[2] = {type, {STR("x-query"), request->query}};
        http_respond(exchange, 200, headers, 2, http_body_copy(request->body));
    } else if (str_eq(request->path, STR("/big")) || str_eq(request->path, STR("/known"))) {
        struct pattern_body *pattern = pattern_new(world, exchange, 3000000, 100000);
        pattern->body.length = request->path.p[1] == 'k' ? 3000000 : -1;
        http_respond(exchange, 200, &type, 1, &pattern->body);
    } else if (str_eq(request->path, STR("/slow")) || str_eq(request->path, STR("/fail"))) {
        struct pattern_body *pattern = pattern_new(world, exchange, 200, 10);
        pattern->pause = true;
        pattern->fail = request->path.p[1] == 'f';
        http_respond(exchange, 200, &type, 1, &pattern->body);
    } else if (str_eq(request->path, STR("/hold"))) {
        world->held = exchange;
    } else if (str_eq(request->path, STR("/trailers"))) {
        respond_trailers(world, exchange);
    } else if (str_eq(request->path, STR("/upload"))) {
        http_exchange_set(exchange, world);
    } else if (str_eq(request->path, STR("/upgrade"))) {
        if (str_eq(http_upgrade_wanted(exchange), STR("echo"))) {
            assert_non_null(http_upgrade(exchange, STR("echo"), &type, 1, &raw_ops, NULL));
        } else {
            http_respond(exchange, 403, &type, 1, http_body_copy(STR("no")));
        }
    } else if (str_eq(request->path, STR("/empty"))) {
        http_respond(exchange, 204, NULL, 0, NULL);
    } else {
        http_respond(exchange, 404, NULL, 0, NULL);
    }
}

static void on_abort(void *ctx, struct http_exchange *exchange)
{
    struct world *world = ctx;
    world->aborts++;
    world->held = world->held == exchange ? NULL : world->held;
}

static bool streams_body(void *ctx, struct http_exchange *exchange)
{
    return str_eq(http_request(exchange)->path, STR("/upload"));
}

static void on_body(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size,
                    bool end)
{
    struct world *world = ctx;
    world->streamed += size;
    if (end) {
        char text[32];
        snprintf(text, sizeof text, "%zu", world->streamed);
        http_respond(exchange, 200, NULL, 0, http_body_copy(str_of(text)));
    }
}

static const struct http_server_ops server_ops = {.on_request = on_request,
                                                  .on_abort = on_abort,
                                                  .streams_body = streams_body,
                                                  .on_body = on_body};

static size_t pattern_trailers(struct http_body *body, struct http_header *fields, size_t cap)
{
    fields[0] = (struct http_header){STR("grpc-status"), STR("0")};
    fields[1] = (struct http_header){STR("grpc-message"), STR("fine")};
    return 2;
}

static void respond_trailers(struct world *world, struct http_exchange *exchange)
{
    struct pattern_body *pattern = pattern_new(world, exchange, 30, 10);
    pattern->body.trailers = pattern_trailers;
    http_respond(exchange, 200, NULL, 0, &pattern->body);
}

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct world *world = ctx;
    world->connection = http_serve(stream, &world->options, &server_ops, world);
}
static const struct listener_ops listener_ops = {.on_accept = on_accept};

/* ---- a client ---- */

struct reply {
    struct world *world;
    struct http_exchange *exchange;
    int status, ended;
    struct err err;
    struct buf body;
    char type[32], query[64], trailer[32];
    int *left; /* stops the loop when it reaches 0 */
    size_t cancel_at;
    bool slow;
    struct timer timer;
};

static void reply_headers(void *ctx, struct http_exchange *exchange, int status,
                          const struct http_header *headers, size_t count)
{
    struct reply *reply = ctx;
    reply->status = status;
    snprintf(reply->type, sizeof reply->type, "%.*s",
             STR_ARG(http_header_get(headers, count, STR("content-type"))));
    snprintf(reply->query, sizeof reply->query, "%.*s",
             STR_ARG(http_header_get(headers, count, STR("x-query"))));
    assert_int_equal(http_header_get(headers, count, STR("date")).n, 29);
}

static void reply_wake(struct timer *timer)
{
    http_receive_resume(container_of(timer, struct reply, timer)->exchange);
}

static void reply_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct reply *reply = ctx;
    buf_add(&reply->body, bytes, size);
    if (reply->cancel_at != 0 && reply->body.n >= reply->cancel_at) {
        http_cancel(exchange);
        reply->exchange = NULL;
        (*reply->left)--;
    } else if (reply->slow && !timer_armed(&reply->timer)) {
        http_receive_pause(exchange);
        timer_start(reply->world->loop, &reply->timer, NS_PER_MS, reply_wake);
    }
}

static void reply_trailers(void *ctx, struct http_exchange *exchange,
                           const struct http_header *fields, size_t count)
{
    struct reply *reply = ctx;
    snprintf(reply->trailer, sizeof reply->trailer, "%.*s",
             STR_ARG(http_header_get(fields, count, STR("grpc-message"))));
}

static void reply_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct reply *reply = ctx;
    timer_stop(&reply->timer);
    reply->ended++;
    reply->err = *err;
    if (--*reply->left == 0) {
        loop_stop(reply->world->loop);
    }
}

static const struct http_client_ops client_ops = {.on_headers = reply_headers,
                                                  .on_data = reply_data,
                                                  .on_trailers = reply_trailers,
                                                  .on_end = reply_end};

static void give_up(struct timer *timer)
{
    struct world *world = container_of(timer, struct world, timer);
    fail_msg("not done in time: version %d, %d requests, %d bodies freed", world->version,
             world->requests, world->bodies_freed);
}

static struct test_certificate authority, server_certificate;

static void world_address(struct world *world, int fd)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof bound;
    getsockname(fd, (void *)&bound, &size);
    unsigned char *port = (unsigned char *)&bound + 2;
    snprintf(world->address, sizeof world->address, "127.0.0.1:%d", port[0] << 8 | port[1]);
}

static void world_start(struct world *world, int version, bool tls)
{
    int fd;
    struct err err = ERR_INIT;
    world->loop = loop_new();
    world->version = version;
    assert_int_equal(net_bind(STR("127.0.0.1:0"), &fd, &err), 0);
    world_address(world, fd);
    if (tls) {
        struct tls_options server = {.certificate_pem = str_of(server_certificate.pem),
                                     .key_pem = str_of(server_certificate.key_pem),
                                     .alpn = STR("h2,http/1.1")};
        struct tls_options client = {.ca_pem = str_of(authority.pem)};
        world->server_tls = tls_server_new(&server, &err);
        world->client_tls = tls_client_new(&client, &err);
    }
    world->listener = listener_new(world->loop, fd, world->server_tls, &listener_ops, world);
    timer_start(world->loop, &world->timer, 20 * NS_PER_S, give_up);
}

static struct stream *world_dial(struct world *world, const struct stream_ops *ops, void *ctx)
{
    struct dial_options dial = {.address = str_of(world->address),
                                .tls = world->client_tls,
                                .alpn = world->version == 2 ? STR("h2") : STR("http/1.1")};
    return stream_dial(world->loop, &dial, ops, ctx);
}

static struct http_client *world_client(struct world *world)
{
    return http_client_new(world_dial(world, NULL, NULL),
                           world->server_tls != NULL ? 0 : world->version, NULL, NULL);
}

static void world_stop(struct world *world)
{
    timer_stop(&world->timer);
    listener_free(world->listener);
    loop_free(world->loop);
    tls_unref(world->server_tls);
    tls_unref(world->client_tls);
}

static void ask(struct http_client *client, struct reply *reply, const char *method,
                const char *path, struct http_body *body)
{
    struct http_client_request request = {
        .method = str_of(method), .path = str_of(path), .authority = STR("host"), .body = body};
    reply->exchange = http_send(client, &request, &client_ops, reply);
}

static void assert_pattern(const struct buf *body, size_t size)
{
    assert_int_equal(body->n, size);
    for (size_t i = 0; i < size; i++) {
        assert_true(body->p[i] == (char)('a' + i % 23));
    }
}

/* ---- round trips, run for each way ---- */

struct way {
    int version;
    bool tls;
};
static const struct way ways[] = {{1, false}, {1, true}, {2, false}, {2, true}};

static void round_trips(const struct way *way)
{
    struct world world = {0};
    world_start(&world, way->version, way->tls);
    struct http_client *client = world_client(&world);
    enum { COUNT = 9 };
    static const struct {
        const char *method, *path, *send;
    } asked[COUNT] = {
        {"POST", "/echo?a=b&c", "hello"}, {"GET", "/big", NULL},        {"GET", "/known", NULL},
        {"GET", "/slow", NULL},           {"HEAD", "/known", NULL},     {"DELETE", "/empty", NULL},
        {"GET", "/none", NULL},           {"POST", "/upload", "12345"}, {"PUT", "/echo", ""}};
    struct reply replies[COUNT] = {0};
    int left = COUNT;
    for (int i = 0; i < COUNT; i++) {
        replies[i].world = &world;
        replies[i].left = &left;
        replies[i].slow = i == 1;
        ask(client, &replies[i], asked[i].method, asked[i].path,
            asked[i].send != NULL ? http_body_copy(str_of(asked[i].send)) : NULL);
    }
    loop_run(world.loop);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(replies[i].ended, 1);
        if (replies[i].err.code != 0) {
            fail_msg("%s: %s", asked[i].path, replies[i].err.message);
        }
    }
    assert_int_equal(replies[0].status, 200);
    assert_string_equal(replies[0].body.p, "hello");
    assert_string_equal(replies[0].query, "a=b&c");
    assert_string_equal(replies[0].type, "text/plain");
    assert_pattern(&replies[1].body, 3000000);
    assert_pattern(&replies[2].body, 3000000);
    assert_pattern(&replies[3].body, 200);
    assert_int_equal(replies[4].status, 200);
    assert_int_equal(replies[4].body.n, 0);
    assert_int_equal(replies[5].status, 204);
    assert_int_equal(replies[6].status, 404);
    assert_string_equal(replies[7].body.p, "5");
    assert_int_equal(replies[8].body.n, 0);
    assert_int_equal(world.requests, COUNT);
    assert_int_equal(world.bodies_freed, 4);
    assert_int_equal(world.aborts, 0);
    assert_int_equal(http_connection_count(), 1);
    http_client_free(client);
    for (int i = 0; i < COUNT; i++) {
        buf_done(&replies[i].body);
    }
    world_stop(&world);
}

static void test_round_trips(void **state)
{
    for (size_t i = 0; i < 4; i++) {
        round_trips(&ways[i]);
    }
}

static void test_many(void **state)
{
    for (size_t w = 0; w < 4; w++) {
        struct world world = {0};
        enum { COUNT = 2000 };
        world_start(&world, ways[w].version, ways[w].tls);
        struct http_client *client = world_client(&world);
        struct reply *replies = mem_array(struct reply, COUNT);
        int left = COUNT;
        for (int i = 0; i < COUNT; i++) {
            char text[16];
            snprintf(text, sizeof text, "body %d", i);
            replies[i].world = &world;
            replies[i].left = &left;
            ask(client, &replies[i], "POST", "/echo", http_body_copy(str_of(text)));
        }
        loop_run(world.loop);
        for (int i = 0; i < COUNT; i++) {
            char text[16];
            snprintf(text, sizeof text, "body %d", i);
            assert_string_equal(replies[i].body.p, text);
            buf_done(&replies[i].body);
        }
        free(replies);
        http_client_free(client);
        world_stop(&world);
    }
}

static void test_failed_body(void **state)
{
    for (size_t w = 0; w < 4; w++) {
        struct world world = {0};
        struct reply reply = {.world = &world, .left = (int[]){1}};
        world_start(&world, ways[w].version, ways[w].tls);
        struct http_client *client = world_client(&world);
        ask(client, &reply, "GET", "/fail", NULL);
        loop_run(world.loop);
        assert_int_equal(reply.status, 200);
        assert_int_equal(reply.err.code, ERR_CLOSED);
        assert_int_equal(world.bodies_freed, 1);
        buf_done(&reply.body);
        http_client_free(client);
        world_stop(&world);
    }
}

static void test_trailers(void **state)
{
    struct world world = {0};
    struct reply reply = {.world = &world, .left = (int[]){1}};
    world_start(&world, 2, false);
    struct http_client *client = world_client(&world);
    ask(client, &reply, "GET", "/trailers", NULL);
    loop_run(world.loop);
    assert_int_equal(reply.err.code, 0);
    assert_int_equal(reply.body.n, 30);
    assert_string_equal(reply.trailer, "fine");
    buf_done(&reply.body);
    http_client_free(client);
    world_stop(&world);
}

/* ---- ends ---- */

static void stop_loop(struct timer *timer)
{
    loop_stop(timer->loop != NULL ? timer->loop : container_of(timer, struct world, timer)->loop);
}

static void run_a_while(struct world *world, int64_t ns)
{
    timer_start(world->loop, &world->timer, ns, stop_loop);
    loop_run(world->loop);
}

static void test_cancel(void **state)
{
    for (size_t w = 0; w < 4; w++) {
        struct world world = {0};
        int left = 2;
        struct reply big = {.world = &world, .left = &left, .cancel_at = 100000};
        struct reply held = {.world = &world, .left = &left};
        world_start(&world, ways[w].version, ways[w].tls);
        struct http_client *client = world_client(&world), *other = world_client(&world);
        ask(client, &big, "GET", "/big", NULL);
        ask(other, &held, "GET", "/hold", NULL);
        run_a_while(&world, 100 * NS_PER_MS);
        assert_int_equal(big.ended, 0);
        assert_null(big.exchange);
        assert_non_null(world.held);
        http_cancel(held.exchange);
        run_a_while(&world, 50 * NS_PER_MS);
        assert_int_equal(world.aborts, 2);
        assert_int_equal(world.bodies_freed, 1);
        assert_null(world.held);
        assert_int_equal(held.ended, 0);
        buf_done(&big.body);
        http_client_free(client);
        http_client_free(other);
        world_stop(&world);
    }
}

static void test_server_drains(void **state)
{
    for (size_t w = 0; w < 4; w++) {
        struct world world = {0};
        struct reply held = {.world = &world, .left = (int[]){1}};
        struct reply after = {.world = &world, .left = (int[]){1}};
        world_start(&world, ways[w].version, ways[w].tls);
        struct http_client *client = world_client(&world);
        ask(client, &held, "GET", "/hold", NULL);
        run_a_while(&world, 50 * NS_PER_MS);
        assert_non_null(world.held);
        http_connection_drain(world.connection);
        run_a_while(&world, 20 * NS_PER_MS);
        http_respond(world.held, 200, NULL, 0, http_body_copy(STR("late")));
        loop_run(world.loop);
        assert_int_equal(held.err.code, 0);
        assert_string_equal(held.body.p, "late");
        run_a_while(&world, 20 * NS_PER_MS);
        assert_int_equal(http_connection_count(), 0);
        ask(client, &after, "GET", "/echo", NULL);
        assert_int_equal(after.ended, 0);
        loop_run(world.loop);
        assert_int_equal(after.err.code, ERR_UNAVAILABLE);
        buf_done(&held.body);
        http_client_free(client);
        world_stop(&world);
    }
}

static void test_client_freed_with_exchanges(void **state)
{
    for (size_t w = 0; w < 4; w++) {
        struct world world = {0};
        int left = 3; /* the loop is not stopped by them */
        struct reply held = {.world = &world, .left = &left}, slow = held;
        world_start(&world, ways[w].version, ways[w].tls);
        struct http_client *client = world_client(&world);
        ask(client, &slow, "GET", "/slow", NULL);
        ask(client, &held, "GET", "/hold", NULL);
        run_a_while(&world, 5 * NS_PER_MS);
        http_client_free(client);
        assert_int_equal(slow.ended + held.ended, 2);
        assert_int_equal(held.err.code, ERR_CLOSED);
        run_a_while(&world, 50 * NS_PER_MS);
        assert_int_equal(http_connection_count(), 0);
        buf_done(&slow.body);
        world_stop(&world);
    }
}

static void test_too_large(void **state)
{
    for (size_t w = 0; w < 4; w++) {
        struct world world = {.options = {.body_limit = 100000}};
        struct reply reply = {.world = &world, .left = (int[]){1}};
        world_start(&world, ways[w].version, ways[w].tls);
        struct http_client *client = world_client(&world);
        struct pattern_body *sent = pattern_new(&world, NULL, 3000000, 10000);
        ask(client, &reply, "POST", "/echo", &sent->body); /* no length given */
        loop_run(world.loop);
        assert_int_equal(reply.status, 413);
        assert_int_equal(world.requests, 0);
        http_client_free(client);
        buf_done(&reply.body);
        run_a_while(&world, 10 * NS_PER_MS);
        assert_int_equal(world.bodies_freed, 1);
        world_stop(&world);
    }
}

/* ---- upgrades ---- */

struct upgraded {
    struct world *world;
    struct stream *stream;
    int status;
    struct err err;
    struct buf got;
};

static void upgraded_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct upgraded *upgraded = ctx;
    buf_add(&upgraded->got, bytes, size);
    if (upgraded->got.n == 4) {
        loop_stop(upgraded->world->loop);
    }
}
static void upgraded_close(void *ctx, struct stream *stream, const struct err *err)
{
}
static const struct stream_ops upgraded_ops = {.on_read = upgraded_read,
                                               .on_close = upgraded_close};

static void upgrade_done(void *ctx, struct stream *stream, int status,
                         const struct http_header *headers, size_t count, const struct err *err)
{
    struct upgraded *upgraded = ctx;
    upgraded->status = status;
    upgraded->err = *err;
    if (stream != NULL) {
        assert_true(str_is(http_header_get(headers, count, STR("content-type")), "text/plain"));
        stream_set_ops(stream, &upgraded_ops, upgraded);
        stream_write(stream, "ping", 4);
    } else {
        loop_stop(upgraded->world->loop);
    }
}

static void test_upgrade(void **state)
{
    struct http_client_request request = {
        .method = STR("POST"), .path = STR("/upgrade"), .authority = STR("host")};
    for (size_t w = 0; w < 2; w++) {
        struct world world = {0};
        struct upgraded good = {.world = &world}, refused = {.world = &world};
        world_start(&world, 1, ways[w].tls);
        http_client_upgrade(world_dial(&world, NULL, NULL), &request, STR("echo"), upgrade_done,
                            &good);
        loop_run(world.loop);
        assert_int_equal(good.status, 101);
        assert_string_equal(good.got.p, "ping");
        http_client_upgrade(world_dial(&world, NULL, NULL), &request, STR("other"), upgrade_done,
                            &refused);
        loop_run(world.loop);
        assert_int_equal(refused.status, 403);
        assert_int_equal(refused.err.code, ERR_FORBIDDEN);
        assert_non_null(strstr(refused.err.message, "no"));
        assert_int_equal(world.requests, 2);
        buf_done(&good.got);
        world_stop(&world);
    }
}

/* ---- several loops ---- */

struct server_thread {
    struct world world;
    pthread_t thread;
};

static void *serve(void *arg)
{
    loop_run(((struct server_thread *)arg)->world.loop);
    return NULL;
}

/* Two loops accept from one socket with one TLS context, whose certificate changes meanwhile. */
static void test_threads(void **state)
{
    struct world client_side = {0};
    struct server_thread servers[2] = {0};
    enum { COUNT = 100 };
    struct reply replies[COUNT] = {0};
    struct http_client *clients[COUNT];
    struct err err = ERR_INIT;
    int fd, left = COUNT;
    world_start(&client_side, 2, true);
    listener_free(client_side.listener);
    assert_int_equal(net_bind(STR("127.0.0.1:0"), &fd, &err), 0);
    world_address(&client_side, fd);
    for (int i = 0; i < 2; i++) {
        struct world *world = &servers[i].world;
        world->loop = loop_new();
        world->listener = listener_new(world->loop, i == 0 ? fd : dup(fd), client_side.server_tls,
                                       &listener_ops, world);
        pthread_create(&servers[i].thread, NULL, serve, &servers[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        clients[i] = world_client(&client_side);
        replies[i] = (struct reply){.world = &client_side, .left = &left};
        ask(clients[i], &replies[i], "GET", "/known", NULL);
        assert_int_equal(tls_set_certificate(client_side.server_tls, str_of(server_certificate.pem),
                                             str_of(server_certificate.key_pem), &err),
                         0);
    }
    loop_run(client_side.loop);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(replies[i].err.code, 0);
        assert_int_equal(replies[i].body.n, 3000000);
        buf_done(&replies[i].body);
        http_client_free(clients[i]);
    }
    for (int i = 0; i < 2; i++) {
        loop_stop(servers[i].world.loop);
        pthread_join(servers[i].thread, NULL);
        loop_free(servers[i].world.loop);
    }
    client_side.listener = NULL;
    world_stop(&client_side);
}

/* ---- raw HTTP/1.1 ---- */

struct raw {
    struct world *world;
    struct buf got;
    bool closed;
};
static void raw_client_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    buf_add(&((struct raw *)ctx)->got, bytes, size);
}
static void raw_client_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct raw *raw = ctx;
    raw->closed = true;
    loop_stop(raw->world->loop);
}
static const struct stream_ops raw_client_ops = {.on_read = raw_client_read,
                                                 .on_close = raw_client_close};

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        count++;
    }
    return count;
}

static void raw_exchange(const char *sent, size_t piece, const char *wanted, size_t times,
                         int requests)
{
    struct world world = {0};
    struct raw raw = {.world = &world};
    world_start(&world, 1, false);
    struct stream *stream = world_dial(&world, &raw_client_ops, &raw);
    size_t size = strlen(sent);
    for (size_t at = 0; at < size; at += piece) {
        stream_write(stream, sent + at, size - at < piece ? size - at : piece);
        if (piece < size) {
            run_a_while(&world, 0);
        }
    }
    timer_start(world.loop, &world.timer, 20 * NS_PER_S, give_up);
    loop_run(world.loop);
    buf_addz(&raw.got, "");
    if (count_of(raw.got.p, wanted) != times) {
        fail_msg("not %zu times '%s' in the answer to '%s': '%s'", times, wanted, sent, raw.got.p);
    }
    assert_int_equal(world.requests, requests);
    assert_true(raw.closed);
    buf_done(&raw.got);
    world_stop(&world);
}

static void test_raw(void **state)
{
    raw_exchange("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n"
                 "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                 "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
                 "GET http://b/echo?x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                 1000, "HTTP/1.1 ", 4, 4);
    raw_exchange("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                 "Connection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                 3, "\r\n\r\nabcde", 1, 1);
    raw_exchange("GET /big HTTP/1.0\r\n\r\n", 1000, "abcdefghijklmnopqrstuvwa", 3000000 / 23, 1);
    raw_exchange("GET /slow HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 1000, "abcdefghij", 9, 1);
    raw_exchange("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
                 "Connection: close\r\n\r\nab",
                 1000, "100 Continue", 1, 1);
}

static void test_raw_refused(void **state)
{
    static const char *const bad[] = {
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",                       /* no host */
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", /* two */
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",            /* no path */
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",           /* space before the colon */
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", /* cut at NUL: never ends */
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "\x16\x03\x01 hello",
        "GET / HTTP/3.7\r\nHost: a\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (i != 5) {
            raw_exchange(bad[i], 1000, "HTTP/1.1 400", 1, 0);
        }
    }
    struct buf large BUF_CLEANUP = BUF_INIT;
    buf_addz(&large, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(buf_room(&large, 70000), 'x', 70000);
    large.n += 70000;
    buf_addz(&large, "\r\n\r\n");
    raw_exchange(large.p, 100000, "HTTP/1.1 431", 1, 0);
    raw_exchange("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 1000,
                 "HTTP/1.1 413", 1, 0);
}

static int setup(void **state)
{
    authority =
        test_certificate_new(&(struct test_certificate_options){.name = "ca", .authority = true});
    server_certificate = test_certificate_new(&(struct test_certificate_options){
        .name = "server", .alt_names = "IP:127.0.0.1", .issuer = &authority});
    return 0;
}
static int teardown(void **state)
{
    test_certificate_done(&authority);
    test_certificate_done(&server_certificate);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_failed_body),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_server_drains),
        cmocka_unit_test(test_client_freed_with_exchanges),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_upgrade),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_raw_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
