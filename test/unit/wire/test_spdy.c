/* test_spdy.c: two sessions back to back, whole and byte by byte; windows, ends, malformed bytes,
 * and the dictionary. */
#include "../cmocka_all.h"

#include <stdlib.h>
#include <zlib.h>

#include "wire/spdy.h"
#include "wire/spdy_dictionary.h"

/* What one side sends waits in the other's inbox. */
struct side {
    struct spdy *spdy;
    struct side *other;
    struct buf inbox, got, names;
    int opened, closed, fins, drains;
    bool echo, reset_on_data;
    struct spdy_stream *stream;
};

static void on_stream(void *ctx, struct spdy *spdy, struct spdy_stream *stream,
                      const struct http_header *headers, size_t count)
{
    struct side *side = ctx;
    side->opened++;
    side->stream = stream;
    for (size_t i = 0; i < count; i++) {
        buf_printf(&side->names, "%.*s=%.*s;", STR_ARG(headers[i].name), STR_ARG(headers[i].value));
    }
}
static void on_data(void *ctx, struct spdy_stream *stream, const char *bytes, size_t size, bool fin)
{
    struct side *side = ctx;
    buf_add(&side->got, bytes, size);
    side->fins += fin;
    if (side->reset_on_data) {
        spdy_reset(stream);
    } else if (side->echo) {
        spdy_write(stream, bytes, size, fin);
    }
}
static void on_stream_close(void *ctx, struct spdy_stream *stream)
{
    ((struct side *)ctx)->closed++;
}
static void on_drain(void *ctx, struct spdy_stream *stream)
{
    ((struct side *)ctx)->drains++;
}
static void on_send(void *ctx, struct spdy *spdy, const char *bytes, size_t size)
{
    buf_add(&((struct side *)ctx)->other->inbox, bytes, size);
}
static const struct spdy_ops ops = {.on_stream = on_stream,
                                    .on_data = on_data,
                                    .on_stream_close = on_stream_close,
                                    .on_drain = on_drain,
                                    .send = on_send};

static void pair_init(struct side *server, struct side *client)
{
    *server = (struct side){.spdy = spdy_new(true, &ops, server), .other = client};
    *client = (struct side){.spdy = spdy_new(false, &ops, client), .other = server};
}

static void pair_done(struct side *server, struct side *client)
{
    struct side *sides[2] = {server, client};
    for (int i = 0; i < 2; i++) {
        spdy_free(sides[i]->spdy);
        buf_done(&sides[i]->inbox);
        buf_done(&sides[i]->got);
        buf_done(&sides[i]->names);
    }
}

static bool deliver(struct side *side, size_t piece)
{
    struct err err = ERR_INIT;
    struct buf inbox = side->inbox;
    side->inbox = (struct buf)BUF_INIT;
    for (size_t at = 0; at < inbox.n; at += piece) {
        size_t size = inbox.n - at < piece ? inbox.n - at : piece;
        assert_int_equal(spdy_feed(side->spdy, inbox.p + at, size, &err), 0);
    }
    bool any = inbox.n > 0;
    buf_done(&inbox);
    return any;
}

static void settle(struct side *a, struct side *b, size_t piece)
{
    while (deliver(a, piece) || deliver(b, piece)) {
    }
}

static const struct http_header error_headers[] = {
    {STR("streamtype"), STR("error")}, {STR("port"), STR("8080")}, {STR("requestid"), STR("0")}};

static void test_round_trip(void **state)
{
    for (size_t piece = 1; piece <= 100000; piece += 33333) {
        struct side server, client;
        pair_init(&server, &client);
        server.echo = true;
        struct spdy_stream *stream = spdy_open(client.spdy, error_headers, 3);
        spdy_write(stream, "hello ", 6, false);
        settle(&server, &client, piece);
        assert_string_equal(server.names.p, "streamtype=error;port=8080;requestid=0;");
        assert_string_equal(client.got.p, "hello ");
        spdy_write(stream, "world", 5, true);
        settle(&server, &client, piece);
        assert_string_equal(client.got.p, "hello world");
        assert_int_equal(server.closed, 1);
        assert_int_equal(client.closed, 1);
        assert_int_equal(client.fins, 1);
        for (int i = 0; i < 300; i++) { /* the compression goes on over all streams */
            spdy_write(spdy_open(client.spdy, error_headers, 3), NULL, 0, true);
            settle(&server, &client, piece);
        }
        assert_int_equal(server.opened, 301);
        assert_int_equal(client.closed, 301);
        pair_done(&server, &client);
    }
}

static void test_windows(void **state)
{
    struct side server, client;
    pair_init(&server, &client);
    struct spdy_stream *stream = spdy_open(client.spdy, error_headers, 1);
    settle(&server, &client, 1000); /* the server's SETTINGS have come */
    struct buf large BUF_CLEANUP = BUF_INIT;
    memset(buf_room(&large, 1000000), 'y', 1000000);
    spdy_write(stream, large.p, 1000000, true);
    assert_true(spdy_queued(stream) >= 700000);
    settle(&server, &client, 5000);
    assert_int_equal(server.got.n, 1000000);
    assert_int_equal(server.fins, 1);
    assert_true(client.drains > 0);
    pair_done(&server, &client);
}

static void test_resets(void **state)
{
    struct side server, client;
    pair_init(&server, &client);
    server.reset_on_data = true;
    struct spdy_stream *stream = spdy_open(client.spdy, error_headers, 1);
    spdy_write(stream, "x", 1, false);
    spdy_write(stream, "y", 1, true);
    settle(&server, &client, 1000);
    assert_int_equal(client.closed, 1);
    assert_int_equal(server.closed, 0); /* reset by itself */
    assert_int_equal(server.got.n, 1);
    struct spdy_stream *many[300];
    for (int i = 0; i < 300; i++) {
        many[i] = spdy_open(client.spdy, error_headers, 1);
    }
    settle(&server, &client, 100000);
    assert_non_null(many[0]);
    assert_int_equal(server.opened, 1 + 256);
    assert_int_equal(client.closed, 1 + 300 - 256);
    pair_done(&server, &client);
}

static void refuse(const char *bytes, size_t size, enum err_code code)
{
    struct side server, client;
    struct err err = ERR_INIT;
    pair_init(&server, &client);
    assert_int_equal(spdy_feed(server.spdy, bytes, size, &err), code);
    assert_int_equal(err.code, code);
    pair_done(&server, &client);
}

static void test_malformed(void **state)
{
    refuse("GET / HT", 8, 0);                                             /* data, never complete */
    refuse("\x80\x02\0\1\0\0\0\0", 8, ERR_PARSE);                         /* SPDY/2 */
    refuse("\x80\x03\0\1\0\xff\0\0", 8, ERR_LIMIT);                       /* too large */
    refuse("\x80\x03\0\1\0\0\0\3abc", 11, ERR_PARSE);                     /* SYN_STREAM too short */
    refuse("\x80\x03\0\1\0\0\0\14\0\0\0\1\0\0\0\0\0\0zz", 20, ERR_PARSE); /* no zlib */
    refuse("\x80\x03\0\4\0\0\0\4\0\0\0\1", 12, ERR_PARSE);                /* SETTINGS cut */
}

static void test_dictionary(void **state)
{
    assert_int_equal(SPDY_DICTIONARY_SIZE, 1423);
    assert_int_equal(adler32(adler32(0, NULL, 0), spdy_dictionary, SPDY_DICTIONARY_SIZE),
                     0xe3c6a7c2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_windows),
        cmocka_unit_test(test_resets),     cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_dictionary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
