/* client/http.c and http_watch.c against a small server on loopback. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../cmocka_all.h"
#include "base/mem.h"
#include "client/client.h"
#include "io/net.h"
#include "wire/http.h"

/* ---- a server of config maps whose every answer the test decides ---- */

struct stream_body { /* of a watch */
    struct http_body body;
    struct http_exchange *exchange;
    struct buf bytes;
    bool over;
    struct server *server;
};
struct server {
    struct loop *loop;
    struct listener *listener;
    int port;
    int lists, watches, connections;
    bool absent; /* lists answer 404 */
    bool gone;   /* the next watch answers 410 */
    bool expire; /* the next second page answers 410 */
    char last_query[512], last_path[256], last_body[512], last_auth[128], last_type[64];
    struct stream_body *watch;
    struct http_connection *connection;
};

static ssize_t read_stream(struct http_body *body, char *out, size_t cap)
{
    struct stream_body *stream = container_of(body, struct stream_body, body);
    size_t n = stream->bytes.n < cap ? stream->bytes.n : cap;
    if (n == 0) {
        return stream->over ? 0 : HTTP_BODY_LATER;
    }
    memcpy(out, stream->bytes.p, n);
    buf_drop_front(&stream->bytes, n);
    return (ssize_t)n;
}

static void free_stream(struct http_body *body)
{
    struct stream_body *stream = container_of(body, struct stream_body, body);
    if (stream->server->watch == stream) {
        stream->server->watch = NULL;
    }
    buf_done(&stream->bytes);
    free(stream);
}

static void answer(struct http_exchange *exchange, int status, const char *json)
{
    struct http_header type = {STR("content-type"), STR("application/json")};
    http_respond(exchange, status, &type, 1, http_body_copy(str_of(json)));
}

static void gone(struct http_exchange *exchange)
{
    answer(exchange, 410,
           "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"reason\":\"Expired\",\"code\":410}");
}

#define ITEM(name, revision)                                                                       \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"default\",\"uid\":\"u-" name             \
    "\",\"resourceVersion\":\"" revision "\"}}"
#define LIST(revision, more, items)                                                                \
    "{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"         \
    "\"" revision "\"" more "},\"items\":[" items "]}"

static void on_list(struct server *server, struct http_exchange *exchange, struct str query)
{
    server->lists++;
    if (server->absent) {
        answer(exchange, 404, "404 page not found");
        return;
    }
    if (!str_contains(query, STR("continue="))) {
        answer(exchange, 200,
               LIST("10", ",\"continue\":\"next page\"", ITEM("a", "4") "," ITEM("b", "5")));
    } else if (server->expire) {
        server->expire = false;
        gone(exchange);
    } else {
        answer(exchange, 200, LIST("10", "", ITEM("c", "6")));
    }
}

static void on_watch(struct server *server, struct http_exchange *exchange)
{
    server->watches++;
    if (server->gone) {
        server->gone = false;
        gone(exchange);
        return;
    }
    struct stream_body *stream = mem_new(struct stream_body);
    stream->body = (struct http_body){read_stream, free_stream, -1};
    stream->exchange = exchange;
    stream->server = server;
    server->watch = stream;
    struct http_header type = {STR("content-type"), STR("application/json")};
    http_respond(exchange, 200, &type, 1, &stream->body);
}

static void copy(char *to, size_t size, struct str from)
{
    snprintf(to, size, "%.*s", STR_ARG(from));
}

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct server *server = ctx;
    const struct http_request *request = http_request(exchange);
    copy(server->last_path, sizeof server->last_path, request->path);
    copy(server->last_query, sizeof server->last_query, request->query);
    copy(server->last_body, sizeof server->last_body, request->body);
    copy(server->last_auth, sizeof server->last_auth,
         http_header_get(request->headers, request->header_count, STR("authorization")));
    copy(server->last_type, sizeof server->last_type,
         http_header_get(request->headers, request->header_count, STR("content-type")));
    if (str_contains(request->query, STR("watch=1"))) {
        on_watch(server, exchange);
    } else if (str_is(request->method, "GET") && str_ends(request->path, STR("/configmaps"))) {
        on_list(server, exchange, request->query);
    } else if (str_ends(request->path, STR("/missing"))) {
        answer(exchange, 404,
               "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":"
               "\"configmaps \\\"missing\\\" not found\",\"reason\":\"NotFound\",\"code\":404}");
    } else {
        answer(exchange, 200,
               "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\","
               "\"namespace\":\"default\",\"uid\":\"u-a\",\"resourceVersion\":\"44\"}}");
    }
}

static void on_abort(void *ctx, struct http_exchange *exchange)
{
}

static const struct http_server_ops server_ops = {.on_request = on_request, .on_abort = on_abort};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    struct server *server = ctx;
    server->connections++;
    server->connection = http_serve(stream, &(struct http_server_options){0}, &server_ops, server);
}

static const struct listener_ops listener_ops = {.on_accept = on_accept};

static void server_start(struct server *server, int port)
{
    char address[32];
    int fd;
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    assert_int_equal(net_bind(str_of(address), &fd, NULL), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
    server->port = ntohs(name.sin_port);
    server->listener = listener_new(server->loop, fd, NULL, &listener_ops, server);
}

static void push(struct server *server, const char *line)
{
    assert_non_null(server->watch);
    buf_addz(&server->watch->bytes, line);
    buf_char(&server->watch->bytes, '\n');
    http_resume(server->watch->exchange);
}

/* ---- the client's side ---- */

struct seen {
    struct loop *loop;
    char text[1024];
    uint64_t revision;
    int want; /* stops the loop when this many things were seen */
    int count;
    int code;
    uint64_t object_revision;
    char message[128];
};

__attribute__((format(printf, 2, 3))) static void note(struct seen *seen, const char *format, ...)
{
    size_t n = strlen(seen->text);
    va_list ap;
    va_start(ap, format);
    vsnprintf(seen->text + n, sizeof seen->text - n, format, ap);
    va_end(ap);
    if (++seen->count == seen->want) {
        loop_stop(seen->loop);
    }
}

static void sync_begin(void *ctx)
{
    note(ctx, "[");
}
static void sync_end(void *ctx, uint64_t revision)
{
    ((struct seen *)ctx)->revision = revision;
    note(ctx, "]");
}
static void event(void *ctx, int type, struct object *object)
{
    note(ctx, "%c%.*s%d ", "+~-"[type], STR_ARG(object->name), (int)object -> revision);
}
static void bookmark(void *ctx, uint64_t revision)
{
    note(ctx, "b%d ", (int)revision);
}

static const struct client_watch_ops watch_ops = {sync_begin, event, sync_end, bookmark};

static void on_done(void *ctx, const struct client_result *result)
{
    struct seen *seen = ctx;
    seen->code = result->code;
    seen->object_revision = result->object != NULL ? result->object->revision : 0;
    snprintf(seen->message, sizeof seen->message, "%s", result->error.message);
    loop_stop(seen->loop);
}

struct rig {
    struct server server;
    struct client *client;
    struct seen seen;
    struct timer guard;
    struct loop *loop;
    bool timed_out;
};

static void on_guard(struct timer *timer)
{
    struct rig *rig = container_of(timer, struct rig, guard);
    rig->timed_out = true;
    loop_stop(rig->loop);
}

static void run(struct rig *rig, int more)
{
    rig->seen.want = rig->seen.count + more;
    rig->timed_out = false;
    timer_start(rig->loop, &rig->guard, 20 * NS_PER_S, on_guard);
    loop_run(rig->loop);
    timer_stop(&rig->guard);
    assert_false(rig->timed_out);
}

static void on_nap(struct timer *timer)
{
    struct rig *rig = container_of(timer, struct rig, guard);
    loop_stop(rig->loop);
}

static void nap(struct rig *rig, int64_t ns)
{
    rig->seen.want = -1;
    timer_start(rig->loop, &rig->guard, ns, on_nap);
    loop_run(rig->loop);
}

static void begin(struct rig *rig)
{
    char address[32];
    *rig = (struct rig){0};
    rig->loop = rig->server.loop = rig->seen.loop = loop_new();
    server_start(&rig->server, 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", rig->server.port);
    rig->client = client_http_new(
        rig->loop, &(struct client_http_options){
                       .address = str_of(address), .token = STR("secret"), .name = "tester"});
}

static void end(struct rig *rig)
{
    client_free(rig->client);
    nap(rig, 50 * NS_PER_MS);
    if (rig->server.listener != NULL) {
        listener_free(rig->server.listener);
    }
    nap(rig, 50 * NS_PER_MS);
    loop_free(rig->loop);
}

static const struct api_resource *configmaps(void)
{
    return schema_resource(STR(""), STR("v1"), STR("configmaps"));
}

static void ask(struct rig *rig, enum client_verb verb, const char *name, struct val *body)
{
    client_send(rig->client,
                &(struct client_request){.verb = verb,
                                         .resource = configmaps(),
                                         .ns = STR("default"),
                                         .name = str_of(name),
                                         .subresource = "",
                                         .patch = CLIENT_PATCH_MERGE,
                                         .body = body},
                on_done, &rig->seen);
    run(rig, 1000);
}

static void requests_and_errors(void **state)
{
    struct rig rig;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    begin(&rig);
    ask(&rig, CLIENT_GET, "a", NULL);
    assert_int_equal(rig.seen.code, 0);
    assert_int_equal(rig.seen.object_revision, 44);
    assert_string_equal(rig.server.last_path, "/api/v1/namespaces/default/configmaps/a");
    assert_string_equal(rig.server.last_auth, "Bearer secret");
    struct val *body = val_new(&arena, VAL_OBJECT);
    val_set_text(&arena, body, STR("kind"), STR("ConfigMap"));
    ask(&rig, CLIENT_CREATE, "a", body);
    assert_int_equal(rig.seen.code, 0);
    assert_string_equal(rig.server.last_path, "/api/v1/namespaces/default/configmaps");
    assert_string_equal(rig.server.last_query, "fieldManager=tester");
    assert_string_equal(rig.server.last_body, "{\"kind\":\"ConfigMap\"}");
    ask(&rig, CLIENT_PATCH, "a", body);
    assert_string_equal(rig.server.last_type, "application/merge-patch+json");
    ask(&rig, CLIENT_GET, "missing", NULL);
    assert_int_equal(rig.seen.code, ERR_NOT_FOUND);
    assert_string_equal(rig.seen.message, "configmaps \"missing\" not found");
    assert_int_equal(rig.server.connections, 1);
    end(&rig);
}

#define EVENT(type, name, revision)                                                                \
    "{\"type\":\"" type "\",\"object\":{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\","             \
    "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"default\",\"uid\":\"u-" name              \
    "\",\"resourceVersion\":\"" revision "\"}}}"

static void wait_for_watch(struct rig *rig)
{
    for (int i = 0; i < 500 && rig->server.watch == NULL; i++) {
        nap(rig, 10 * NS_PER_MS);
    }
    assert_non_null(rig->server.watch);
}

static void lists_in_pages_then_watches(void **state)
{
    struct rig rig;
    begin(&rig);
    rig.server.expire = true; /* the first second page: from the start again */
    client_watch(
        rig.client,
        &(struct client_watch_options){.resource = configmaps(), .label_selector = STR("a=b")},
        &watch_ops, &rig.seen);
    run(&rig, 8);
    assert_string_equal(rig.seen.text, "[+a4 +b5 [+a4 +b5 +c6 ]");
    assert_int_equal(rig.seen.revision, 10);
    wait_for_watch(&rig);
    assert_non_null(strstr(rig.server.last_query, "labelSelector=a%3Db"));
    assert_non_null(strstr(rig.server.last_query, "resourceVersion=10"));
    rig.seen.text[0] = '\0';
    push(&rig.server, EVENT("ADDED", "d", "11"));
    push(&rig.server, EVENT("MODIFIED", "a", "12"));
    push(&rig.server, EVENT("DELETED", "b", "13"));
    push(&rig.server, "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"ConfigMap\",\"apiVersion\":"
                      "\"v1\",\"metadata\":{\"resourceVersion\":\"99\"}}}");
    run(&rig, 4);
    assert_string_equal(rig.seen.text, "+d11 ~a12 -b13 b99 ");
    rig.server.watch->over = true; /* ends in order: resumed from the bookmark */
    http_resume(rig.server.watch->exchange);
    while (rig.server.watches < 2) {
        nap(&rig, 10 * NS_PER_MS);
    }
    assert_non_null(strstr(rig.server.last_query, "resourceVersion=99"));
    assert_int_equal(rig.server.lists, 4);
    end(&rig);
}

static void gone_leads_to_a_new_list(void **state)
{
    struct rig rig;
    begin(&rig);
    rig.server.gone = true;
    client_watch(rig.client, &(struct client_watch_options){.resource = configmaps()}, &watch_ops,
                 &rig.seen);
    run(&rig, 10);
    assert_string_equal(rig.seen.text, "[+a4 +b5 +c6 ][+a4 +b5 +c6 ]");
    wait_for_watch(&rig);
    rig.seen.text[0] = '\0'; /* the same inside a watch that stands */
    push(&rig.server, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}");
    rig.server.watch->over = true;
    run(&rig, 5);
    assert_string_equal(rig.seen.text, "[+a4 +b5 +c6 ]");
    end(&rig);
}

static void what_is_not_served_is_empty(void **state)
{
    struct rig rig;
    begin(&rig);
    rig.server.absent = true;
    client_watch(rig.client, &(struct client_watch_options){.resource = configmaps()}, &watch_ops,
                 &rig.seen);
    run(&rig, 2);
    assert_string_equal(rig.seen.text, "[]");
    nap(&rig, 300 * NS_PER_MS);
    assert_int_equal(rig.server.lists, 1);
    end(&rig);
}

static void a_server_that_comes_back_is_resumed(void **state)
{
    struct rig rig;
    begin(&rig);
    client_watch(rig.client, &(struct client_watch_options){.resource = configmaps()}, &watch_ops,
                 &rig.seen);
    run(&rig, 5);
    wait_for_watch(&rig);
    push(&rig.server, EVENT("ADDED", "d", "20"));
    run(&rig, 1);
    listener_free(rig.server.listener); /* the server dies */
    rig.server.listener = NULL;
    rig.server.watch->over = true;
    http_resume(rig.server.watch->exchange);
    http_connection_drain(rig.server.connection);
    nap(&rig, 300 * NS_PER_MS);
    ask(&rig, CLIENT_GET, "a", NULL);
    assert_int_equal(rig.seen.code, ERR_UNAVAILABLE);
    int port = rig.server.port;
    rig.server.watches = 0;
    server_start(&rig.server, port);
    for (int i = 0; i < 800 && rig.server.watches == 0; i++) {
        nap(&rig, 10 * NS_PER_MS);
    }
    assert_non_null(strstr(rig.server.last_query, "resourceVersion=20"));
    ask(&rig, CLIENT_GET, "a", NULL);
    assert_int_equal(rig.seen.code, 0);
    end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_errors),
        cmocka_unit_test(lists_in_pages_then_watches),
        cmocka_unit_test(gone_leads_to_a_new_list),
        cmocka_unit_test(what_is_not_served_is_empty),
        cmocka_unit_test(a_server_that_comes_back_is_resumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
