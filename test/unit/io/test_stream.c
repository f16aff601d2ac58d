/* test_stream.c: streams: bytes both ways, back-pressure, ends; TLS and whom it refuses. */
#include "../cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "certificate.h"
#include "io/net.h"
#include "io/tls.h"

/* A pair: a server that echoes, and a client that sends `want` bytes and expects them back. */
struct pair {
    struct loop *loop;
    struct listener *listener;
    struct stream *server, *client;
    struct tls_context *server_tls, *client_tls;
    size_t want, sent, echoed, got;
    bool slow;         /* the client pauses after each read */
    bool server_ended; /* on_close came */
    struct err server_err, client_err;
    struct timer timer;
    char alpn[16], peer_name[32], peer_group[32], server_name[32];
    bool resumed;
    int opens, ends;
};

static void maybe_stop(struct pair *pair)
{
    if (pair->ends == 2 || (pair->ends == 1 && pair->server == NULL)) {
        loop_stop(pair->loop);
    }
}

static void server_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct pair *pair = ctx;
    pair->echoed += size;
    if (size >= 8192) {
        char *copy = mem_dup(bytes, size);
        stream_write_shared(stream, copy, size, free, copy);
    } else {
        stream_write(stream, bytes, size);
    }
    if (stream_queued(stream) > 1 << 20) {
        stream_pause(stream);
    }
}
static void server_drain(void *ctx, struct stream *stream)
{
    stream_resume(stream);
}
static void server_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct pair *pair = ctx;
    pair->server_err = *err;
    pair->server = NULL;
    pair->server_ended = true;
    pair->ends++;
    maybe_stop(pair);
}
static const struct stream_ops server_ops = {
    .on_read = server_read, .on_drain = server_drain, .on_close = server_close};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct pair *pair = ctx;
    pair->server = stream;
    const struct peer_certificate *peer = stream_peer_certificate(stream);
    if (peer != NULL) {
        snprintf(pair->peer_name, sizeof pair->peer_name, "%.*s", STR_ARG(peer->common_name));
        snprintf(pair->peer_group, sizeof pair->peer_group, "%.*s",
                 peer->organization_count > 0 ? (int)peer->organizations[0].n : 0,
                 peer->organization_count > 0 ? peer->organizations[0].p : "");
        assert_int_equal(peer->fingerprint.n, 64);
    }
    stream_set_ops(stream, &server_ops, pair);
}
static const struct listener_ops listener_ops = {.on_accept = on_accept};

static void client_send(struct pair *pair)
{
    char bytes[10000];
    while (pair->sent < pair->want && stream_queued(pair->client) < 200000) {
        size_t size =
            pair->want - pair->sent < sizeof bytes ? pair->want - pair->sent : sizeof bytes;
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (char)((pair->sent + i) * 7 >> 3);
        }
        stream_write(pair->client, bytes, size);
        pair->sent += size;
    }
}
static void client_open(void *ctx, struct stream *stream)
{
    struct pair *pair = ctx;
    pair->opens++;
    struct str alpn = stream_alpn(stream);
    snprintf(pair->alpn, sizeof pair->alpn, "%.*s", STR_ARG(alpn));
    const struct peer_certificate *peer = stream_peer_certificate(stream);
    pair->resumed = stream_resumed(stream);
    if (peer != NULL) {
        snprintf(pair->server_name, sizeof pair->server_name, "%.*s", STR_ARG(peer->common_name));
    }
    client_send(pair);
}
static void client_drain(void *ctx, struct stream *stream)
{
    client_send(ctx);
}
static void wake_client(struct timer *timer)
{
    struct pair *pair = container_of(timer, struct pair, timer);
    if (pair->client != NULL) {
        stream_resume(pair->client);
    }
}
static void client_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct pair *pair = ctx;
    for (size_t i = 0; i < size; i++) {
        assert_true(bytes[i] == (char)((pair->got + i) * 7 >> 3));
    }
    pair->got += size;
    if (pair->got == pair->want) {
        stream_close(stream);
    } else if (pair->slow) {
        stream_pause(stream);
        timer_start(pair->loop, &pair->timer, NS_PER_MS, wake_client);
    }
}
static void client_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct pair *pair = ctx;
    pair->client_err = *err;
    pair->client = NULL;
    pair->ends++;
    timer_stop(&pair->timer);
    maybe_stop(pair);
}
static const struct stream_ops client_ops = {.on_read = client_read,
                                             .on_drain = client_drain,
                                             .on_close = client_close,
                                             .on_open = client_open};

static struct str bound_address(int fd, char text[64])
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    getsockname(fd, (void *)&address, &size);
    unsigned char *port = (unsigned char *)&address + 2;
    snprintf(text, 64, "127.0.0.1:%u", (unsigned)port[0] << 8 | port[1]);
    return str_of(text);
}

static void give_up(struct timer *timer)
{
    fail_msg("the pair did not end");
}

static void pair_run(struct pair *pair, struct dial_options options)
{
    struct err err = ERR_INIT;
    struct timer deadline = {0};
    char text[64];
    int fd;
    bool is_unix = str_starts(options.address, STR("unix:"));
    pair->loop = loop_new();
    assert_int_equal(net_bind(is_unix ? options.address : STR("127.0.0.1:0"), &fd, &err), 0);
    struct str address = is_unix ? options.address : bound_address(fd, text);
    if (str_is(options.address, "localhost")) {
        char *colon = memchr(text, ':', sizeof text), named[64];
        snprintf(named, sizeof named, "localhost%s", colon);
        memcpy(text, named, sizeof text);
        address = str_of(text);
    }
    pair->listener = listener_new(pair->loop, fd, pair->server_tls, &listener_ops, pair);
    options.address = address;
    options.tls = pair->client_tls;
    pair->client = stream_dial(pair->loop, &options, &client_ops, pair);
    timer_start(pair->loop, &deadline, 20 * NS_PER_S, give_up);
    loop_run(pair->loop);
    listener_free(pair->listener);
    loop_free(pair->loop);
}

static void test_plain(void **state)
{
    struct pair pair = {.want = 5000000};
    pair_run(&pair, (struct dial_options){0});
    assert_int_equal(pair.got, 5000000);
    assert_int_equal(pair.client_err.code, 0);
    assert_int_equal(pair.server_err.code, 0);
    assert_int_equal(pair.opens, 1);
}

static void test_unix_and_slow(void **state)
{
    char path[] = "unix:/tmp/cox-test-stream-XXXXXX";
    int fd = mkstemp(path + 5);
    close(fd);
    struct pair pair = {.want = 3000000, .slow = true};
    pair_run(&pair, (struct dial_options){.address = str_of(path)});
    unlink(path + 5);
    assert_int_equal(pair.got, 3000000);
}

static void test_name(void **state)
{
    struct pair pair = {.want = 10};
    pair_run(&pair, (struct dial_options){.address = STR("localhost")});
    assert_int_equal(pair.got, 10);
}

static void test_refused(void **state)
{
    struct pair pair = {.loop = loop_new()};
    struct dial_options options = {.address = STR("127.0.0.1:1")};
    pair.client = stream_dial(pair.loop, &options, &client_ops, &pair);
    loop_run(pair.loop);
    assert_int_equal(pair.client_err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(pair.client_err.message, "127.0.0.1:1"));
    options.address = STR("no port");
    pair.ends = 0;
    pair.client = stream_dial(pair.loop, &options, &client_ops, &pair);
    loop_run(pair.loop);
    assert_int_equal(pair.client_err.code, ERR_INVALID);
    loop_free(pair.loop);
}

static void test_loop_freed_first(void **state)
{
    struct pair pair = {.loop = loop_new()};
    int fds[2], fd;
    struct err err = ERR_INIT;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    pair.client = stream_from_fd(pair.loop, fds[0], &client_ops, &pair);
    stream_write(pair.client, "x", 1);
    assert_int_equal(net_bind(STR("127.0.0.1:0"), &fd, &err), 0);
    listener_new(pair.loop, fd, NULL, &listener_ops, &pair);
    loop_free(pair.loop);
    assert_int_equal(pair.ends, 1);
    assert_int_equal(pair.client_err.code, ERR_CANCELED);
    close(fds[1]);
}

/* A terminal and a pipe: ends that are no sockets. */
static void test_terminal_and_pipe(void **state)
{
    for (int i = 0; i < 2; i++) {
        struct pair pair = {.loop = loop_new(), .want = 1000};
        int fds[2];
        if (i == 0) {
            fds[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
            assert_int_equal(grantpt(fds[0]) | unlockpt(fds[0]), 0);
            fds[1] = open(ptsname(fds[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
        } else {
            assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        }
        assert_true(fds[1] >= 0);
        pair.client = stream_from_fd(pair.loop, fds[0], &client_ops, &pair);
        assert_int_equal(write(fds[1], "\0\0\1", 3), 3);
        close(fds[1]);
        loop_run(pair.loop);
        assert_int_equal(pair.got, 3);
        assert_int_equal(pair.client_err.code, 0);
        loop_free(pair.loop);
    }
}

/* What is queued when a stream is closed reaches a slow reader whole. */
static void resume_slow(struct timer *timer)
{
    stream_resume(container_of(timer, struct pair, timer)->client);
}

static void test_close_flushes(void **state)
{
    struct pair pair = {.loop = loop_new(), .want = 3000001};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    pair.server = stream_from_fd(pair.loop, fds[0], &server_ops, &pair);
    pair.client = stream_from_fd(pair.loop, fds[1], &client_ops, &pair);
    char *bytes = mem_alloc(3000000);
    for (size_t i = 0; i < 3000000; i++) {
        bytes[i] = (char)(i * 7 >> 3);
    }
    stream_write_shared(pair.server, bytes, 3000000, free, bytes);
    stream_close(pair.server);
    stream_pause(pair.client);
    timer_start(pair.loop, &pair.timer, 1200 * NS_PER_MS, resume_slow);
    loop_run(pair.loop);
    assert_int_equal(pair.got, 3000000);
    loop_free(pair.loop);
}

/* Every call to the outside fails once, with and without TLS: both sides end, once, and what came
 * through is a prefix (client_read checks the bytes). */
static int calls_left;

static bool fails_now(void)
{
    return calls_left-- == 0;
}
static int faulty_accept(int fd)
{
    return fails_now() ? -EMFILE : net_ops_real()->accept(fd); /* tried again after a pause */
}
static int faulty_connect(void)
{
    return fails_now() ? -ENETUNREACH : 0;
}
static ssize_t faulty_received(size_t size)
{
    return fails_now() ? -ECONNRESET : (ssize_t)size;
}
static ssize_t faulty_may_send(size_t size)
{
    return fails_now() ? -EPIPE : calls_left % 3 == 0 ? (ssize_t)size / 2 : (ssize_t)size;
}
static const struct net_ops faulty_ops = {faulty_accept, faulty_connect, faulty_received,
                                          faulty_may_send};

static void fail_each_call(struct tls_context *server, struct tls_context *client)
{
    bool whole = false;
    for (int k = 0; !whole; k++) {
        struct pair pair = {.want = 300000, .server_tls = server, .client_tls = client};
        calls_left = k;
        net_set_ops(&faulty_ops);
        pair_run(&pair, (struct dial_options){0});
        net_set_ops(NULL);
        assert_null(pair.client);
        assert_null(pair.server);
        assert_true(pair.ends == (pair.server_ended ? 2 : 1));
        whole = calls_left >= 0;
        assert_true(!whole || pair.got == pair.want);
        assert_true(k < 1000);
    }
}

static void test_each_call_fails(void **state)
{
    fail_each_call(NULL, NULL);
}

/* ---- TLS ---- */

static struct test_certificate authority, other_authority, server, client;

static struct tls_context *server_tls(const struct test_certificate *own,
                                      const struct test_certificate *ca, bool require)
{
    struct err err = ERR_INIT;
    struct tls_options options = {.certificate_pem = str_of(own->pem),
                                  .key_pem = str_of(own->key_pem),
                                  .ca_pem = str_of(ca != NULL ? ca->pem : NULL),
                                  .require_peer = require,
                                  .alpn = STR("h2,http/1.1")};
    struct tls_context *tls = tls_server_new(&options, &err);
    assert_non_null(tls);
    return tls;
}

static struct tls_context *client_tls(const struct test_certificate *own,
                                      const struct test_certificate *ca)
{
    struct err err = ERR_INIT;
    struct tls_options options = {.certificate_pem = str_of(own != NULL ? own->pem : NULL),
                                  .key_pem = str_of(own != NULL ? own->key_pem : NULL),
                                  .ca_pem = str_of(ca->pem)};
    struct tls_context *tls = tls_client_new(&options, &err);
    assert_non_null(tls);
    return tls;
}

static void pair_done(struct pair *pair)
{
    tls_unref(pair->server_tls);
    tls_unref(pair->client_tls);
}

static void test_tls(void **state)
{
    struct pair pair = {.want = 5000000};
    pair.server_tls = server_tls(&server, &authority, true);
    pair.client_tls = client_tls(&client, &authority);
    pair_run(&pair, (struct dial_options){.alpn = STR("http/1.1,h2")});
    assert_int_equal(pair.got, 5000000);
    assert_int_equal(pair.client_err.code, 0);
    assert_int_equal(pair.server_err.code, 0);
    assert_string_equal(pair.alpn, "h2");
    assert_string_equal(pair.peer_name, "alice");
    assert_string_equal(pair.peer_group, "system:masters");
    assert_string_equal(pair.server_name, "server");
    pair_done(&pair);
}

static void test_tls_slow_and_anonymous(void **state)
{
    struct pair pair = {.want = 3000000, .slow = true};
    pair.server_tls = server_tls(&server, &authority, false);
    pair.client_tls = client_tls(NULL, &authority);
    pair_run(&pair,
             (struct dial_options){.alpn = STR("http/1.1"), .server_name = STR("localhost")});
    assert_int_equal(pair.got, 3000000);
    assert_string_equal(pair.alpn, "http/1.1");
    assert_string_equal(pair.peer_name, "");
    pair_done(&pair);
}

static void test_each_call_fails_tls(void **state)
{
    struct tls_context *server_side = server_tls(&server, &authority, true);
    struct tls_context *client_side = client_tls(&client, &authority);
    fail_each_call(server_side, client_side);
    tls_unref(server_side);
    tls_unref(client_side);
}

/* ---- what was given back comes before the peer's end, also when one read brought both ---- */

struct given_back {
    struct loop *loop;
    struct buf text;
    bool gave, ended, closed;
};

static void again_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct given_back *g = ctx;
    if (!g->gave) { /* as an upgrade does that read too far */
        g->gave = true;
        stream_unread(stream, bytes, size);
        return;
    }
    buf_add(&g->text, bytes, size);
}

static void again_eof(void *ctx, struct stream *stream)
{
    struct given_back *g = ctx;
    g->ended = true;
    assert_true(str_is(buf_view(&g->text), "all of it"));
    stream_close(stream);
}

static void again_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct given_back *g = ctx;
    g->closed = true;
    loop_stop(g->loop);
}

static void again_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    static const struct stream_ops ops = {
        .on_read = again_read, .on_eof = again_eof, .on_close = again_close};
    stream_set_ops(stream, &ops, ctx);
}

static void say_all(void *ctx, struct stream *stream)
{
    stream_write(stream, "all of it", 9);
    stream_shutdown(stream);
}

static void no_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
}
static void no_close(void *ctx, struct stream *stream, const struct err *err)
{
}

static void test_given_back_before_the_end(void **state)
{
    static const struct listener_ops accepts = {.on_accept = again_accept};
    static const struct stream_ops says = {
        .on_open = say_all, .on_read = no_read, .on_close = no_close};
    struct given_back g = {.loop = loop_new()};
    struct err err = ERR_INIT;
    struct timer deadline = {0};
    char text[64];
    int fd;
    struct pair pair = {0};
    pair.server_tls = server_tls(&server, &authority, false);
    pair.client_tls = client_tls(NULL, &authority);
    assert_int_equal(net_bind(STR("127.0.0.1:0"), &fd, &err), 0);
    struct dial_options options = {.address = bound_address(fd, text), .tls = pair.client_tls};
    struct listener *listener = listener_new(g.loop, fd, pair.server_tls, &accepts, &g);
    stream_dial(g.loop, &options, &says, NULL);
    timer_start(g.loop, &deadline, 20 * NS_PER_S, give_up);
    loop_run(g.loop);
    assert_true(g.gave && g.ended && g.closed);
    listener_free(listener);
    loop_free(g.loop);
    buf_done(&g.text);
    pair_done(&pair);
}

static void test_tls_resumes(void **state)
{
    struct tls_context *server_side = server_tls(&server, &authority, true);
    struct tls_context *client_side = client_tls(&client, &authority);
    for (int i = 0; i < 3; i++) {
        struct pair pair = {.want = 100, .server_tls = server_side, .client_tls = client_side};
        struct err err = ERR_INIT;
        pair_run(&pair, (struct dial_options){0});
        assert_int_equal(pair.got, 100);
        assert_string_equal(pair.peer_name, "alice");
        assert_true(pair.resumed == (i > 0));
        if (i == 1) { /* renewed meanwhile: tickets go on, new handshakes see the new one */
            assert_int_equal(
                tls_set_certificate(server_side, str_of(server.pem), str_of(server.key_pem), &err),
                0);
        }
    }
    struct err err = ERR_INIT;
    assert_int_equal(
        tls_set_certificate(server_side, str_of(server.pem), str_of(client.key_pem), &err),
        ERR_INVALID);
    tls_unref(server_side);
    tls_unref(client_side);
}

/* Neither side may believe in the connection; with TLS 1.3 a client learns of its refusal late. */
static void refused(const struct test_certificate *server_own,
                    const struct test_certificate *server_ca, bool require,
                    const struct test_certificate *client_own,
                    const struct test_certificate *client_ca, struct str name, const char *message)
{
    struct pair pair = {.want = 100};
    pair.server_tls = server_tls(server_own, server_ca, require);
    pair.client_tls = client_tls(client_own, client_ca);
    pair_run(&pair, (struct dial_options){.server_name = name});
    assert_int_equal(pair.got, 0);
    assert_int_equal(pair.echoed, 0);
    assert_int_not_equal(pair.client_err.code, 0);
    if (strstr(pair.client_err.message, message) == NULL) {
        fail_msg("'%s' does not say '%s'", pair.client_err.message, message);
    }
    pair_done(&pair);
}

static struct test_certificate leaf(struct test_certificate_options options)
{
    return test_certificate_new(&options);
}

static void test_tls_refuses_servers(void **state)
{
    struct test_certificate old =
        leaf((struct test_certificate_options){.name = "old",
                                               .alt_names = "IP:127.0.0.1",
                                               .valid_from = -7200,
                                               .valid_to = -60,
                                               .issuer = &authority});
    struct test_certificate future =
        leaf((struct test_certificate_options){.name = "new",
                                               .alt_names = "IP:127.0.0.1",
                                               .valid_from = 60,
                                               .valid_to = 7200,
                                               .issuer = &authority});
    struct test_certificate fake = leaf((struct test_certificate_options){
        .name = "fake", .alt_names = "IP:127.0.0.1", .issuer = &client}); /* no authority */
    refused(&server, NULL, false, NULL, &other_authority, STR_NONE, "local issuer");
    refused(&server, NULL, false, NULL, &authority, STR("other.example"), "ostname mismatch");
    refused(&server, NULL, false, NULL, &authority, STR("127.0.0.2"), "IP address mismatch");
    refused(&old, NULL, false, NULL, &authority, STR_NONE, "expired");
    refused(&future, NULL, false, NULL, &authority, STR_NONE, "not yet valid");
    refused(&client, NULL, false, NULL, &authority, STR_NONE, "purpose"); /* clientAuth only */
    refused(&fake, NULL, false, NULL, &client, STR_NONE, "CA certificate");
    test_certificate_done(&old);
    test_certificate_done(&future);
    test_certificate_done(&fake);
}

static void test_tls_refuses_clients(void **state)
{
    struct test_certificate old = leaf((struct test_certificate_options){.name = "old",
                                                                         .usage = "clientAuth",
                                                                         .valid_from = -7200,
                                                                         .valid_to = -60,
                                                                         .issuer = &authority});
    struct test_certificate foreign = leaf((struct test_certificate_options){
        .name = "alice", .usage = "clientAuth", .issuer = &other_authority});
    refused(&server, &authority, true, NULL, &authority, STR_NONE, "certificate required");
    refused(&server, &authority, false, &old, &authority, STR_NONE, "expired");
    refused(&server, &authority, false, &foreign, &authority, STR_NONE, "alert");
    refused(&server, &authority, false, &server, &authority, STR_NONE, "alert"); /* serverAuth */
    test_certificate_done(&old);
    test_certificate_done(&foreign);
}

static void test_tls_options(void **state)
{
    struct err err = ERR_INIT;
    struct tls_options none = {0}, weak = {0};
    assert_null(tls_client_new(&none, &err)); /* nobody to trust */
    assert_null(tls_server_new(&none, &err)); /* no certificate */
    struct test_certificate small = leaf(
        (struct test_certificate_options){.name = "small", .rsa_bits = 1024, .issuer = &authority});
    weak.certificate_pem = str_of(small.pem);
    weak.key_pem = str_of(small.key_pem);
    assert_null(tls_server_new(&weak, &err));
    assert_non_null(strstr(err.message, "key too small"));
    weak.certificate_pem = STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert_null(tls_server_new(&weak, &err));
    test_certificate_done(&small);
}

static int setup(void **state)
{
    authority = leaf((struct test_certificate_options){.name = "ca", .authority = true});
    other_authority = leaf((struct test_certificate_options){.name = "ca2", .authority = true});
    server = leaf((struct test_certificate_options){.name = "server",
                                                    .alt_names = "DNS:localhost,IP:127.0.0.1",
                                                    .usage = "serverAuth",
                                                    .issuer = &authority});
    client = leaf((struct test_certificate_options){.name = "alice",
                                                    .organization = "system:masters",
                                                    .usage = "clientAuth",
                                                    .issuer = &authority});
    return 0;
}
static int teardown(void **state)
{
    test_certificate_done(&authority);
    test_certificate_done(&other_authority);
    test_certificate_done(&server);
    test_certificate_done(&client);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_unix_and_slow),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_loop_freed_first),
        cmocka_unit_test(test_terminal_and_pipe),
        cmocka_unit_test(test_close_flushes),
        cmocka_unit_test(test_each_call_fails),
        cmocka_unit_test(test_each_call_fails_tls),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_tls_slow_and_anonymous),
        cmocka_unit_test(test_given_back_before_the_end),
        cmocka_unit_test(test_tls_resumes),
        cmocka_unit_test(test_tls_refuses_servers),
        cmocka_unit_test(test_tls_refuses_clients),
        cmocka_unit_test(test_tls_options),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
