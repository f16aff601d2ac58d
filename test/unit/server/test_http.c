/* test_http.c: the server behind real sockets: TLS with client certificates, tokens, watches, peers
 * that leave, and nodes reached over connections that they turned round. */
#include "../cmocka_all.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "api/codec.h"
#include "io/tls.h"
#include "pki/certificate.h"
#include "server/server.h"
#include "store/store.h"
#include "wire/http.h"
#include "wire/websocket.h"

struct fixture {
    struct loop *loop;
    struct store *store;
    struct cache *cache;
    struct sequencer *sequencer;
    struct server *server;
    struct key *key, *ca_key;
    struct certificate *ca;
    struct buf ca_pem;
    struct listener *listener;
    struct tls_context *tls;
    char address[32];
    bool ready;
    /* a second loop on a thread of its own, with its own port */
    struct loop *other;
    pthread_t thread;
    struct listener *other_listener;
    char other_address[32];
};

static bool spin(struct fixture *f, const bool *flag);

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    server_serve_connection(((struct fixture *)ctx)->server, stream);
}
static const struct listener_ops listener_ops = {.on_accept = on_accept};

static void on_ready(void *ctx, const struct err *err)
{
    if (err->code != 0) {
        fail_msg("%s", err->message);
    }
    ((struct fixture *)ctx)->ready = true;
}

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static struct listener *listen_on(struct fixture *f, struct loop *loop, char address[32])
{
    struct err err = ERR_INIT;
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    int fd = -1;
    assert_int_equal(net_bind(STR("127.0.0.1:0"), &fd, &err), 0);
    getsockname(fd, (struct sockaddr *)&at, &size);
    snprintf(address, 32, "127.0.0.1:%d", ntohs(at.sin_port));
    return listener_new(loop, fd, f->tls, &listener_ops, f);
}

static struct tls_context *tls_for(struct fixture *f, const char *name, const char *group,
                                   bool server)
{
    struct key *key = NULL;
    struct certificate *certificate = NULL;
    struct buf pem BUF_CLEANUP = BUF_INIT, key_pem BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct str groups[] = {str_of(group)}, addresses[] = {STR("127.0.0.1")};
    int64_t now = clock_wall(clock_real());
    struct certificate_options options = {
        .common_name = str_of(name),
        .organizations = groups,
        .organization_count = group != NULL,
        .addresses = addresses,
        .address_count = 1,
        .usage = server ? CERTIFICATE_SERVER : CERTIFICATE_CLIENT,
        .not_before_ns = now - 60 * NS_PER_S,
        .not_after_ns = now + 3600 * NS_PER_S,
    };
    assert_int_equal(key_generate(&key, &err), 0);
    assert_int_equal(
        certificate_issue(f->ca, f->ca_key, key, &options, random_real(), &certificate, &err), 0);
    certificate_write_pem(certificate, &pem, &err);
    key_write_pem(key, &key_pem, &err);
    struct tls_options tls = {.certificate_pem = buf_view(&pem),
                              .key_pem = buf_view(&key_pem),
                              .ca_pem = buf_view(&f->ca_pem),
                              .alpn = STR("h2,http/1.1")};
    struct tls_context *context = server ? tls_server_new(&tls, &err) : tls_client_new(&tls, &err);
    if (context == NULL) {
        fail_msg("%s", err.message);
    }
    key_unref(key);
    certificate_unref(certificate);
    return context;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    struct err err = ERR_INIT;
    int64_t now = clock_wall(clock_real());
    f->loop = loop_new();
    f->other = loop_new();
    struct loop *loops[] = {f->loop, f->other};
    struct store_options store = {.path = "m", .history_ns = NS_PER_S * 60, .clock = clock_real()};
    assert_int_equal(store_memory.open(&store, &f->store, &err), 0);
    f->cache = cache_new(0);
    assert_int_equal(sequencer_new(f->loop, f->store, f->cache, &f->sequencer, &err), 0);
    assert_int_equal(key_generate(&f->key, &err), 0);
    assert_int_equal(key_generate(&f->ca_key, &err), 0);
    assert_int_equal(certificate_new_ca(f->ca_key, STR("ca"), now - NS_PER_S * 60,
                                        now + NS_PER_S * 7200, random_real(), &f->ca, &err),
                     0);
    certificate_write_pem(f->ca, &f->ca_pem, &err);
    struct server_options options = {.loops = loops,
                                     .loop_count = 2,
                                     .cache = f->cache,
                                     .sequencer = f->sequencer,
                                     .token_keys = &f->key,
                                     .token_key_count = 1};
    assert_int_equal(server_new(&options, &f->server, &err), 0);
    f->tls = tls_for(f, "server", NULL, true);
    f->listener = listen_on(f, f->loop, f->address);
    f->other_listener = listen_on(f, f->other, f->other_address);
    pthread_create(&f->thread, NULL, run_loop, f->other);
    server_start(f->server, on_ready, f);
    assert_true(spin(f, &f->ready));
    *state = f;
    return 0;
}

/* ---- running the loop until something is true ---- */

struct spinner {
    struct timer timer;
    struct fixture *f;
    const bool *flag;
    int left;
};

static void tick(struct timer *timer)
{
    struct spinner *s = container_of(timer, struct spinner, timer);
    if (*s->flag || s->left-- == 0) {
        loop_stop(s->f->loop);
        return;
    }
    timer_start(s->f->loop, timer, NS_PER_MS, tick);
}

static bool spin(struct fixture *f, const bool *flag)
{
    struct spinner s = {.f = f, .flag = flag, .left = 8000};
    timer_start(f->loop, &s.timer, 0, tick);
    loop_run(f->loop);
    timer_stop(&s.timer);
    return *flag;
}

static void settle(struct fixture *f, int ms)
{
    bool never = false;
    struct spinner s = {.f = f, .flag = &never, .left = ms};
    timer_start(f->loop, &s.timer, 0, tick);
    loop_run(f->loop);
    timer_stop(&s.timer);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    listener_free(f->listener);
    server_drain(f->server);
    settle(f, 50);
    loop_stop(f->other);
    pthread_join(f->thread, NULL);
    listener_free(f->other_listener);
    server_free(f->server);
    sequencer_free(f->sequencer);
    cache_free(f->cache);
    f->store->ops->close(f->store);
    tls_unref(f->tls);
    certificate_unref(f->ca);
    key_unref(f->ca_key);
    key_unref(f->key);
    buf_done(&f->ca_pem);
    loop_free(f->loop);
    loop_free(f->other);
    free(f);
    return 0;
}

/* ---- a client ---- */

struct peer {
    struct fixture *f;
    struct tls_context *tls;
    struct http_client *client;
};
struct exchange {
    struct http_exchange *http;
    int status;
    struct buf body;
    bool ended, some;
    enum err_code code;
};

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    ((struct exchange *)ctx)->status = status;
}
static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct exchange *x = ctx;
    buf_add(&x->body, bytes, size);
    x->some = true;
}
static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct exchange *x = ctx;
    x->ended = true;
    x->code = err != NULL ? err->code : 0;
}
static const struct http_client_ops client_ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end};

static void on_peer_close(void *ctx, const struct err *err)
{
}

static struct stream *dial_to(struct fixture *f, const char *address, struct tls_context *tls,
                              const char *alpn)
{
    static const struct stream_ops nothing = {0};
    struct dial_options options = {.address = str_of(address), .tls = tls, .alpn = str_of(alpn)};
    return stream_dial(f->loop, &options, &nothing, NULL);
}

static struct stream *dial(struct fixture *f, struct tls_context *tls, const char *alpn)
{
    return dial_to(f, f->address, tls, alpn);
}

static struct peer peer_new(struct fixture *f, const char *name, const char *group, int version)
{
    struct peer peer = {.f = f};
    peer.tls = tls_for(f, name, group, false);
    peer.client = http_client_new(dial(f, peer.tls, version == 2 ? "h2" : "http/1.1"), version,
                                  on_peer_close, NULL);
    return peer;
}

static void peer_done(struct peer *peer)
{
    http_client_free(peer->client);
    tls_unref(peer->tls);
}

static void begin(struct peer *peer, struct exchange *x, const char *method, const char *path,
                  const char *body, const char *token)
{
    struct http_header headers[1];
    char *bearer MEM_CLEANUP = mem_printf("Bearer %s", token != NULL ? token : "");
    struct http_client_request request = {.method = str_of(method),
                                          .path = str_of(path),
                                          .authority = str_of(peer->f->address),
                                          .headers = headers,
                                          .header_count = token != NULL};
    headers[0] = (struct http_header){STR("authorization"), str_of(bearer)};
    if (body != NULL) {
        request.body = http_body_copy(str_of(body));
    }
    *x = (struct exchange){0};
    x->http = http_send(peer->client, &request, &client_ops, x);
}

/* Sends, waits, checks the status and that the body has `part`. */
static void ask(struct peer *peer, const char *method, const char *path, const char *body,
                int status, const char *part)
{
    struct exchange x;
    begin(peer, &x, method, path, body, NULL);
    assert_true(spin(peer->f, &x.ended));
    if (x.status != status || !str_contains(buf_view(&x.body), str_of(part))) {
        fail_msg("%s %s: %d %.*s", method, path, x.status, (int)x.body.n,
                 x.body.p != NULL ? x.body.p : "");
    }
    buf_done(&x.body);
}

/* ---- tests ---- */

static void test_identities(void **state)
{
    struct fixture *f = *state;
    for (int version = 1; version <= 2; version++) {
        struct peer admin = peer_new(f, "admin", "system:masters", version);
        struct peer jane = peer_new(f, "jane", "dev", version);
        ask(&admin, "GET", "/api/v1/namespaces", NULL, 200, "NamespaceList");
        ask(&jane, "GET", "/api/v1/namespaces", NULL, 403, "User \\\"jane\\\"");
        ask(&jane, "GET", "/livez", NULL, 200, "ok");
        ask(&admin, "GET", "/api/v1/namespaces/default", NULL, 200, "\"name\":\"default\"");
        peer_done(&jane);
        peer_done(&admin);
    }
}

/* What is too large is refused before it is read, as a Status. */
static void test_large_body(void **state)
{
    struct fixture *f = *state;
    size_t size = 3 * 1024 * 1024 + 1;
    char *body MEM_CLEANUP = mem_alloc(size + 1);
    memset(body, ' ', size);
    body[size] = '\0';
    for (int version = 1; version <= 2; version++) {
        struct peer admin = peer_new(f, "admin", "system:masters", version);
        ask(&admin, "POST", "/api/v1/namespaces/default/configmaps", body, 413,
            "\"reason\":\"RequestEntityTooLarge\",\"code\":413}");
        peer_done(&admin);
    }
}

static void test_tokens(void **state)
{
    struct fixture *f = *state;
    struct peer admin = peer_new(f, "admin", "system:masters", 2);
    struct exchange x;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = NULL;
    ask(&admin, "POST", "/api/v1/namespaces/default/serviceaccounts",
        "{\"metadata\":{\"name\":\"robot\"}}", 201, "robot");
    begin(&admin, &x, "POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", "{}", NULL);
    assert_true(spin(f, &x.ended));
    assert_int_equal(x.status, 201);
    assert_int_equal(val_parse_json(&arena, buf_view(&x.body), &value, NULL), 0);
    char *token = str_dup_in(&arena, val_text(val_path(value, "status.token")));
    buf_done(&x.body);

    struct tls_options none = {.ca_pem = buf_view(&f->ca_pem), .alpn = STR("h2")};
    struct peer robot = {.f = f, .tls = tls_client_new(&none, NULL)};
    robot.client = http_client_new(dial(f, robot.tls, "h2"), 2, on_peer_close, NULL);
    ask(&robot, "GET", "/api/v1/pods", NULL, 401, "Unauthorized");
    ask(&robot, "GET", "/version", NULL, 200, "gitVersion");
    begin(&robot, &x, "GET", "/api/v1/pods", NULL, token);
    assert_true(spin(f, &x.ended));
    assert_int_equal(x.status, 403);
    assert_true(str_contains(buf_view(&x.body), STR("system:serviceaccount:default:robot")));
    buf_done(&x.body);
    token[strlen(token) - 3] ^= 1;
    begin(&robot, &x, "GET", "/version", NULL, token);
    assert_true(spin(f, &x.ended));
    assert_int_equal(x.status, 401);
    buf_done(&x.body);
    token[strlen(token) - 3] ^= 1;
    ask(&admin, "DELETE", "/api/v1/namespaces/default/serviceaccounts/robot", NULL, 200, "robot");
    begin(&robot, &x, "GET", "/api/v1/pods", NULL, token); /* dies with its account */
    assert_true(spin(f, &x.ended));
    assert_int_equal(x.status, 401);
    buf_done(&x.body);
    peer_done(&robot);
    peer_done(&admin);
}

static void test_watch_and_leave(void **state)
{
    struct fixture *f = *state;
    struct peer admin = peer_new(f, "admin", "system:masters", 2);
    struct exchange watch;
    begin(&admin, &watch, "GET", "/api/v1/namespaces/default/configmaps?watch=1", NULL, NULL);
    settle(f, 20);
    ask(&admin, "POST", "/api/v1/namespaces/default/configmaps",
        "{\"metadata\":{\"name\":\"seen\"}}", 201, "seen");
    assert_true(spin(f, &watch.some));
    assert_true(str_contains(buf_view(&watch.body), STR("\"ADDED\"")));
    http_cancel(watch.http);
    settle(f, 20);
    struct buf text BUF_CLEANUP = BUF_INIT;
    server_describe(f->server, &text);
    assert_true(str_contains(buf_view(&text), STR("watches 0")));
    buf_done(&watch.body);
    /* A peer that asks and goes: the write happens or not, nothing breaks. */
    for (int i = 0; i < 20; i++) {
        struct peer gone = peer_new(f, "admin", "system:masters", i % 2 + 1);
        struct exchange x, y;
        begin(&gone, &x, "GET", "/version", NULL, NULL);
        spin(f, &x.ended);
        begin(&gone, &y, "POST", "/api/v1/namespaces/default/configmaps",
              "{\"metadata\":{\"generateName\":\"gone-\"}}", NULL);
        settle(f, i % 3);
        peer_done(&gone);
        buf_done(&x.body);
        buf_done(&y.body);
    }
    ask(&admin, "GET", "/api/v1/namespaces/default/configmaps/seen", NULL, 200, "seen");
    peer_done(&admin);
}

/* ---- a watch over a WebSocket ---- */

struct messages {
    struct stream *stream;
    int status, count, close_code;
    bool answered, some, closed, binary;
    char protocol[32];
    struct buf text;
};

static void on_upgraded(void *ctx, struct stream *stream, int status,
                        const struct http_header *headers, size_t count, const struct err *err)
{
    struct messages *m = ctx;
    struct str protocol = http_header_get(headers, count, STR("sec-websocket-protocol"));
    snprintf(m->protocol, sizeof m->protocol, "%.*s", STR_ARG(protocol));
    m->stream = stream;
    m->status = status;
    m->answered = true;
}

static void on_socket_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                              size_t size)
{
    struct messages *m = ctx;
    buf_add(&m->text, bytes, size);
    m->binary = binary;
    m->some = true;
    m->count++;
}

static void on_socket_close(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    struct messages *m = ctx;
    m->close_code = code;
    m->closed = true;
}

static const struct websocket_ops message_ops = {.on_message = on_socket_message,
                                                 .on_close = on_socket_close};

static void upgrade(struct fixture *f, struct tls_context *tls, const char *path,
                    const char *accept, const char *protocols, struct messages *m)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct http_header headers[5];
    size_t n = websocket_client_headers(&arena, str_of(protocols), headers);
    headers[n++] = (struct http_header){STR("accept"), str_of(accept)};
    struct http_client_request request = {.method = STR("GET"),
                                          .path = str_of(path),
                                          .authority = str_of(f->address),
                                          .headers = headers,
                                          .header_count = n};
    *m = (struct messages){0};
    http_client_upgrade(dial(f, tls, "http/1.1"), &request, STR("websocket"), on_upgraded, m);
    assert_true(spin(f, &m->answered));
}

static void test_watch_over_websocket(void **state)
{
    struct fixture *f = *state;
    struct peer admin = peer_new(f, "admin", "system:masters", 2);
    struct messages text, bytes;
    const char *path = "/api/v1/namespaces/kube-system/configmaps?watch=1&timeoutSeconds=1";
    upgrade(f, admin.tls, path, "application/json", "v4.channel.k8s.io", &text);
    assert_int_equal(text.status, 101);
    assert_string_equal(text.protocol, "v4.channel.k8s.io");
    websocket_from_stream(text.stream, &message_ops, &text);
    upgrade(f, admin.tls, path, "application/vnd.kubernetes.protobuf", "", &bytes);
    assert_int_equal(bytes.status, 101);
    struct websocket *left = websocket_from_stream(bytes.stream, &message_ops, &bytes);
    ask(&admin, "POST", "/api/v1/namespaces/kube-system/configmaps",
        "{\"metadata\":{\"name\":\"socket\"}}", 201, "socket");
    assert_true(spin(f, &text.some));
    assert_true(spin(f, &bytes.some));
    assert_false(text.binary);
    assert_int_equal(text.count, 1);
    assert_true(str_starts(buf_view(&text.text), STR("{\"type\":\"ADDED\",\"object\":{\"kind\"")));
    assert_true(str_ends(buf_view(&text.text), STR("}\n")));
    assert_true(bytes.binary);
    assert_memory_equal(bytes.text.p,
                        "\x0a\x05"
                        "ADDED\x12",
                        8);      /* no length before it */
    websocket_close(left, 1000); /* one goes, the other one's time ends */
    assert_true(spin(f, &bytes.closed));
    assert_true(spin(f, &text.closed));
    assert_int_equal(text.close_code, 1000);
    settle(f, 20);
    struct buf described BUF_CLEANUP = BUF_INIT;
    server_describe(f->server, &described);
    assert_true(str_contains(buf_view(&described), STR("watches 0")));
    buf_done(&text.text);
    buf_done(&bytes.text);
    /* Two protocols at once are refused, as upstream does; and so is whoever may not watch. */
    upgrade(f, admin.tls, path, "application/json", "a.k8s.io, b.k8s.io", &text);
    assert_int_equal(text.status, 400);
    upgrade(f, admin.tls, "/api/v1/configmaps?watch=1&fieldSelector=x%3Dy", "application/json", "",
            &text);
    assert_int_equal(text.status, 400);
    peer_done(&admin);
}

/* ---- a reader that stalls ---- */

enum { MANY = 3000 };

static void on_made(void *ctx, const struct client_result *result)
{
    assert_int_equal(result->code, 0);
    ++*(int *)ctx;
}

static void make_many(struct fixture *f, struct client *client, int *made)
{
    for (int i = 0; i < MANY; i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct val *body = NULL;
        char *pad = arena_alloc(&arena, 2001);
        memset(pad, 'x', 2000);
        char *text = arena_printf(
            &arena, "{\"metadata\":{\"name\":\"m-%04d\"},\"data\":{\"k\":\"%s\"}}", i, pad);
        val_parse_json(&arena, str_of(text), &body, NULL);
        struct client_request request = {.verb = CLIENT_CREATE,
                                         .resource =
                                             schema_resource(STR(""), STR("v1"), STR("configmaps")),
                                         .ns = STR("kube-public"),
                                         .body = body};
        client_send(client, &request, on_made, made);
        if (i % 100 == 99) {
            settle(f, 1);
        }
    }
}

/* Every event once and in order, after the reader slept through 6 MB of them. */
/* Long enough that jobs measure it; the second time its sizes are known. */
static void list_as_protobuf(struct peer *admin, const char *path, uint32_t wanted)
{
    for (int round = 0; round < 2; round++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct http_header headers[] = {{STR("accept"), STR("application/vnd.kubernetes.protobuf")},
                                        {STR("accept-encoding"), STR("identity")}};
        struct http_client_request request = {.method = STR("GET"),
                                              .path = str_of(path),
                                              .authority = str_of(admin->f->address),
                                              .headers = headers,
                                              .header_count = 2};
        struct exchange x = {0};
        struct val *list = NULL;
        struct err err = ERR_INIT;
        x.http = http_send(admin->client, &request, &client_ops, &x);
        assert_true(spin(admin->f, &x.ended));
        assert_int_equal(x.code, 0); /* not fewer and not more bytes than were announced */
        assert_int_equal(x.status, 200);
        if (codec_decode(&arena, schema_object_type(STR(""), STR("v1"), STR("ConfigMapList")),
                         CODEC_PROTOBUF, buf_view(&x.body), CODEC_STRICT, NULL, &list, &err) != 0) {
            fail_msg("%s", err.message);
        }
        const struct val *items = val_get(list, "items");
        uint32_t i = 0;
        VAL_EACH (it, items) {
            char name[16];
            snprintf(name, sizeof name, "m-%04u", i++);
            assert_true(str_is(val_name(it), name));
        }
        assert_int_equal(val_count(items), wanted);
        buf_done(&x.body);
    }
}

static void test_stalled_watch(void **state)
{
    struct fixture *f = *state;
    struct peer admin = peer_new(f, "admin", "system:masters", 2);
    struct str masters = STR("system:masters");
    struct identity *identity = identity_new(STR("admin"), STR_NONE, &masters, 1);
    struct client *client = server_client_new(f->server, f->loop, identity, "many");
    struct exchange watch;
    int made = 0, next = 0;
    begin(&admin, &watch, "GET", "/api/v1/namespaces/kube-public/configmaps?watch=1", NULL, NULL);
    settle(f, 20);
    http_receive_pause(watch.http);
    make_many(f, client, &made);
    for (int i = 0; i < 3000 && made < MANY; i++) {
        settle(f, 10);
    }
    assert_int_equal(made, MANY);
    assert_true(watch.body.n < 4 * 1024 * 1024);
    http_receive_resume(watch.http);
    struct str end = STR_NONE;
    for (int i = 0; i < 3000 && !str_contains(end, STR("\"name\":\"m-2999\"")); i++) {
        settle(f, 10);
        end = buf_view(&watch.body);
        end = str_from(end, end.n > 5000 ? end.n - 5000 : 0);
    }
    settle(f, 20);
    struct str rest = buf_view(&watch.body);
    while (rest.p != NULL && rest.n > 0) {
        struct str line = str_cut(rest, '\n', &rest);
        char wanted[32];
        snprintf(wanted, sizeof wanted, "\"name\":\"m-%04d\"", next);
        assert_true(str_contains(line, STR("\"ADDED\"")));
        assert_true(str_contains(line, str_of(wanted)));
        next++;
    }
    assert_int_equal(next, MANY);
    buf_done(&watch.body);
    list_as_protobuf(&admin, "/api/v1/namespaces/kube-public/configmaps", MANY);
    list_as_protobuf(&admin, "/api/v1/namespaces/kube-public/configmaps?limit=2000", 2000);
    client->ops->free(client);
    identity_unref(identity);
    peer_done(&admin);
    settle(f, 20);
}

/* ---- a node ---- */

struct node {
    struct fixture *f;
    bool other; /* its connections live on the second loop */
    struct tls_context *tls;
    bool turned;
    bool echo_closed;
    struct stream *echo;
};

static void echo_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    stream_write(stream, bytes, size);
}
static void echo_close(void *ctx, struct stream *stream, const struct err *err)
{
    ((struct node *)ctx)->echo_closed = true;
}
static const struct stream_ops echo_ops = {.on_read = echo_read, .on_close = echo_close};

/* What the node's dialler leads to. */
static void pod_request(void *ctx, struct http_exchange *exchange)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    const struct http_request *http = http_request(exchange);
    buf_printf(&text, "pod %.*s %.*s?%.*s", STR_ARG(http->method), STR_ARG(http->path),
               STR_ARG(http->query));
    http_respond(exchange, 200, NULL, 0, http_body_copy(buf_view(&text)));
}
static void pod_abort(void *ctx, struct http_exchange *exchange)
{
}
static const struct http_server_ops pod_ops = {.on_request = pod_request, .on_abort = pod_abort};

static void node_dial(struct http_exchange *exchange, struct str query)
{
    static const struct http_server_options options = {0};
    static const struct stream_ops nothing = {0};
    if (str_is(query, "ip=10.9.9.9&port=81")) {
        struct http_header header = {STR("cox-error"), STR("nobody listens")};
        http_respond(exchange, 502, &header, 1, NULL);
        return;
    }
    assert_true(str_is(query, "ip=10.9.9.9&port=80") ||
                str_is(query, "ip=10.9.9.9&port=443&tls=1"));
    http_serve(http_upgrade(exchange, STR("cox-dial"), NULL, 0, &nothing, NULL), &options, &pod_ops,
               NULL);
}

static void node_request(void *ctx, struct http_exchange *exchange)
{
    struct node *node = ctx;
    const struct http_request *http = http_request(exchange);
    struct str auth = http_header_get(http->headers, http->header_count, STR("authorization"));
    assert_int_equal(auth.n, 0);
    if (str_is(http_upgrade_wanted(exchange), "cox-dial")) {
        node_dial(exchange, http->query);
        return;
    }
    if (http_upgrade_wanted(exchange).n > 0) {
        struct http_header header = {STR("x-path"), http->path};
        http_upgrade(exchange, STR("websocket"), &header, 1, &echo_ops, node);
        return;
    }
    struct buf text BUF_CLEANUP = BUF_INIT;
    buf_printf(&text, "%.*s %.*s?%.*s", STR_ARG(http->method), STR_ARG(http->path),
               STR_ARG(http->query));
    http_respond(exchange, 200, NULL, 0, http_body_copy(buf_view(&text)));
}
static void node_abort(void *ctx, struct http_exchange *exchange)
{
}
static const struct http_server_ops node_ops = {.on_request = node_request, .on_abort = node_abort};

static void node_turned(void *ctx, struct stream *stream, int status,
                        const struct http_header *headers, size_t count, const struct err *err)
{
    static const struct http_server_options options = {0};
    struct node *node = ctx;
    if (stream == NULL) {
        fail_msg("reverse: %d %s", status, err != NULL ? err->message : "");
    }
    http_serve(stream, &options, &node_ops, node);
    node->turned = true;
}

static void node_turn(struct node *node)
{
    struct http_client_request request = {.method = STR("GET"),
                                          .path = STR("/cox/v1/reverse"),
                                          .authority = str_of(node->f->address)};
    node->turned = false;
    const char *address = node->other ? node->f->other_address : node->f->address;
    http_client_upgrade(dial_to(node->f, address, node->tls, "http/1.1"), &request,
                        STR("cox-reverse"), node_turned, node);
    assert_true(spin(node->f, &node->turned));
}

struct tunnelled {
    struct fixture *f;
    struct stream *stream;
    struct buf bytes;
    bool done, some, closed;
};

static void tunnel_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct tunnelled *t = ctx;
    buf_add(&t->bytes, bytes, size);
    t->some = true;
}
static void tunnel_close(void *ctx, struct stream *stream, const struct err *err)
{
    ((struct tunnelled *)ctx)->closed = true;
}
static const struct stream_ops tunnel_ops = {.on_read = tunnel_read, .on_close = tunnel_close};

static void tunnel_open(void *ctx, struct stream *stream, int status,
                        const struct http_header *headers, size_t count, const struct err *err)
{
    struct tunnelled *t = ctx;
    if (stream == NULL) {
        fail_msg("exec: %d %s", status, err != NULL ? err->message : "");
    }
    assert_true(
        str_starts(http_header_get(headers, count, STR("x-path")), STR("/exec/default/p/c")));
    t->stream = stream;
    t->done = true;
    stream_set_ops(stream, &tunnel_ops, t);
    stream_write(stream, "ping", 4);
}

/* Proxies to pods go through the node that runs them. */
static void run_proxies(struct peer *admin, struct node *node)
{
    ask(admin, "PUT", "/api/v1/namespaces/default/pods/p/status",
        "{\"metadata\":{\"name\":\"p\"},\"status\":{\"podIP\":\"10.9.9.9\",\"podIPs\":[{\"ip\":"
        "\"10.9.9.9\"}]}}",
        200, "10.9.9.9");
    static const struct {
        const char *name, *answer;
        int status;
    } cases[] = {{"p", "pod GET /a?b=c", 200},
                 {"p:80", "pod GET /a?b=c", 200},
                 {"http:p:80", "pod GET /a?b=c", 200},
                 {"https:p:443", "pod GET /a?b=c", 200},
                 {"p:81", "error trying to reach service: nobody listens", 503}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[128];
        node_turn(node);
        snprintf(path, sizeof path, "/api/v1/namespaces/default/pods/%s/proxy/a?b=c",
                 cases[i].name);
        ask(admin, "GET", path, NULL, cases[i].status, cases[i].answer);
    }
    ask(admin, "GET", "/api/v1/namespaces/default/pods/p:x/proxy/", NULL, 400, "invalid port");
    ask(admin, "GET", "/api/v1/namespaces/default/pods/proxy/status", NULL, 404,
        "pods \\\"proxy\\\" not found");
    ask(admin, "GET", "/api/v1/namespaces/default/pods/ftp:p:1/proxy/", NULL, 404, "not found");
}

static void on_forbidden(void *ctx, struct stream *stream, int status,
                         const struct http_header *headers, size_t count, const struct err *err)
{
    assert_null(stream);
    assert_int_equal(status, 403);
    *(bool *)ctx = true;
}

/* Nobody gets at the dialler by naming it. */
static void run_internals(struct fixture *f, struct peer *admin)
{
    static const char *const paths[] = {
        "/api/v1/nodes/n1/proxy/cox/v1/dial?ip=10.9.9.9&port=80",
        "/api/v1/namespaces/default/pods/p/exec?command=ls&stdout=1",
        "/api/v1/namespaces/default/pods/p/proxy/"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        bool done = false;
        struct http_client_request request = {
            .method = STR("GET"), .path = str_of(paths[i]), .authority = str_of(f->address)};
        http_client_upgrade(dial(f, admin->tls, "http/1.1"), &request, STR("cox-dial"),
                            on_forbidden, &done);
        assert_true(spin(f, &done));
    }
}

static void run_node(struct fixture *f, bool other)
{
    struct peer admin = peer_new(f, "admin", "system:masters", 2);
    struct node node = {
        .f = f, .other = other, .tls = tls_for(f, "system:node:n1", "system:nodes", false)};
    struct tunnelled t = {.f = f};
    ask(&admin, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}", 201, "n1");
    ask(&admin, "POST", "/api/v1/namespaces/default/serviceaccounts",
        "{\"metadata\":{\"name\":\"default\"}}", 201, "default");
    ask(&admin, "POST", "/api/v1/namespaces/default/pods",
        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":"
        "\"c\",\"image\":\"i\"}]}}",
        201, "n1");
    ask(&admin, "GET", "/api/v1/namespaces/default/pods/p/log", NULL, 503, "cannot be reached");
    node_turn(&node);
    assert_int_equal(server_reverse_count(f->server, STR("n1")), 1);
    ask(&admin, "GET", "/api/v1/namespaces/default/pods/p/log?tailLines=5&container=c", NULL, 200,
        "GET /containerLogs/default/p/c?tailLines=5");
    ask(&admin, "GET", "/api/v1/namespaces/default/pods/p/log?container=x", NULL, 400,
        "container x is not valid for pod p");
    assert_int_equal(server_reverse_count(f->server, STR("n1")), 0);
    node_turn(&node);
    ask(&admin, "GET", "/api/v1/nodes/n1/proxy/stats/summary?a=b", NULL, 200,
        "GET /stats/summary?a=b");
    node_turn(&node);
    ask(&admin, "GET", "/api/v1/namespaces/default/pods/p/exec?command=ls", NULL, 400,
        "Upgrade request required");
    struct http_client_request request = {
        .method = STR("GET"),
        .path = STR("/api/v1/namespaces/default/pods/p/exec?command=ls&stdin=true"),
        .authority = str_of(f->address)};
    http_client_upgrade(dial(f, admin.tls, "http/1.1"), &request, STR("websocket"), tunnel_open,
                        &t);
    assert_true(spin(f, &t.done));
    assert_true(spin(f, &t.some));
    assert_true(str_is(buf_view(&t.bytes), "ping"));
    stream_close(t.stream);
    assert_true(spin(f, &t.closed));
    assert_true(spin(f, &node.echo_closed));
    buf_done(&t.bytes);
    run_proxies(&admin, &node);
    run_internals(f, &admin);
    tls_unref(node.tls);
    peer_done(&admin);
    settle(f, 20);
}

static void test_node(void **state)
{
    run_node(*state, false);
}

/* The node's connection belongs to another loop than the request: a socket pair joins them. */
static void test_node_of_other_loop(void **state)
{
    run_node(*state, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identities, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_body, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_and_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watch_over_websocket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stalled_watch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_node_of_other_loop, setup, teardown),
    };
    return cmocka_run_group_tests_name("server-http", tests, NULL, NULL);
}
