/* relay.c: one exchange with a node or a pod. See node_proxy.c for what is passed on.
 *
 * A relay is owned by its request until the answer begins, and by the answer's body afterwards. The
 * peer's reading paces us: at QUEUE_MAX bytes the other side is not read any more.
 */
#include "server/subresource/relay.h"

#include <stdlib.h>

#include "base/failpoint.h"
#include "io/tls.h"
#include "io/tunnel.h"
#include "server/server_int.h"
#include "server/subresource/reverse.h"

enum { QUEUE_MAX = 256 * 1024, HEADERS_MAX = 64 };

struct relay {
    struct http_body body; /* of the answer */
    struct request *request;
    struct str path, authority;
    struct str hop; /* path of the agent's dialler */
    bool tls;
    struct http_client *client;
    struct http_exchange *up;
    struct buf queue;
    size_t queue_at;
    struct task task;
    struct failure failure; /* for the task */
    bool to_node, opening, answering, ended, failed, paused, closing;
};

static bool is_hop_header(struct str name)
{
    static const char *const names[] = {"connection",
                                        "keep-alive",
                                        "proxy-authenticate",
                                        "proxy-authorization",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "content-length",
                                        "host"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_secret_header(struct str name)
{
    return str_is(name, "authorization") || str_is(name, "cookie") ||
           str_starts(name, STR("impersonate-")) || str_starts(name, STR(":"));
}

static size_t pass_headers(const struct http_header *from, size_t count, bool to_peer,
                           struct http_header to[HEADERS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < count && n < HEADERS_MAX; i++) {
        bool elsewhere =
            !to_peer && str_is(from[i].name, "location") &&
            (str_contains(from[i].value, STR("://")) || str_starts(from[i].value, STR("//")));
        if (!is_hop_header(from[i].name) && !elsewhere &&
            !(to_peer && is_secret_header(from[i].name))) {
            to[n++] = from[i];
        }
    }
    return n;
}

/* ---- ending without an answer ---- */

static void relay_free(struct relay *relay)
{
    relay->closing = true;
    if (relay->client != NULL) {
        http_client_free(relay->client);
    }
    buf_done(&relay->queue);
    free(relay);
}

static void fail_task(struct task *task)
{
    struct relay *relay = container_of(task, struct relay, task);
    struct request *request = relay->request;
    struct failure failure = relay->failure;
    relay_free(relay);
    request->gone = NULL;
    request_fail(request, &failure);
}

/* In the next turn: we may be inside a callback of the client that is to be freed. */
static void fail_later(struct relay *relay, enum err_code code, const char *message)
{
    failure_set(&relay->failure, &relay->request->arena, code, "%s", message);
    relay->closing = true;
    relay->task.run = fail_task;
    loop_post(relay->request->loop, &relay->task);
}

static void on_gone(struct request *request)
{
    struct relay *relay = request->state;
    if (relay->opening || relay->closing) {
        return; /* whoever comes back sees that nobody waits */
    }
    relay_free(relay);
    request->answered = true;
    request_free(request);
}

/* ---- the answer's body ---- */

static ssize_t body_read(struct http_body *base, char *out, size_t cap)
{
    struct relay *relay = container_of(base, struct relay, body);
    size_t left = relay->queue.n - relay->queue_at;
    size_t n = left < cap ? left : cap;
    if (n == 0) {
        return relay->failed ? HTTP_BODY_FAILED : relay->ended ? 0 : HTTP_BODY_LATER;
    }
    memcpy(out, relay->queue.p + relay->queue_at, n);
    relay->queue_at += n;
    if (relay->queue_at == relay->queue.n) {
        buf_clear(&relay->queue);
        relay->queue_at = 0;
        if (relay->paused && !relay->ended) {
            relay->paused = false;
            http_receive_resume(relay->up);
        }
    }
    return (ssize_t)n;
}

static void body_free(struct http_body *base)
{
    struct relay *relay = container_of(base, struct relay, body);
    struct request *request = relay->request;
    relay_free(relay);
    request_free(request);
}

/* ---- the other side ---- */

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    struct relay *relay = ctx;
    struct request *request = relay->request;
    struct http_header passed[HEADERS_MAX];
    if (relay->closing || relay->answering || (status >= 100 && status < 200)) {
        return;
    }
    if (relay->to_node && status >= 300 && status < 400) {
        fail_later(relay, ERR_INTERNAL, "the node answered with a redirect");
        return;
    }
    size_t n = pass_headers(headers, count, false, passed);
    struct http_exchange *down = request->exchange;
    relay->answering = true;
    request->answered = true;
    request->gone = NULL;
    relay->body = (struct http_body){.read = body_read, .free = body_free, .length = -1};
    http_exchange_set(down, NULL);
    http_respond(down, status, passed, n, &relay->body);
}

static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct relay *relay = ctx;
    if (relay->closing || !relay->answering) {
        return;
    }
    buf_add(&relay->queue, bytes, size);
    if (relay->queue.n - relay->queue_at > QUEUE_MAX && !relay->paused) {
        relay->paused = true;
        http_receive_pause(exchange);
    }
    http_resume(relay->request->exchange);
}

static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct relay *relay = ctx;
    relay->up = NULL;
    if (relay->closing) {
        return;
    }
    relay->ended = true;
    relay->failed = err != NULL && err->code != 0;
    if (relay->answering) {
        http_resume(relay->request->exchange);
        return;
    }
    fail_later(relay, ERR_UNAVAILABLE,
               arena_printf(&relay->request->arena, "error trying to reach %.*s: %s",
                            STR_ARG(relay->authority), err != NULL ? err->message : "no answer"));
}

static const struct http_client_ops client_ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end};

static void on_client_close(void *ctx, const struct err *err)
{
}

/* ---- upgrades ---- */

static void upgraded(void *ctx, struct stream *stream, int status,
                     const struct http_header *headers, size_t count, const struct err *err)
{
    static const struct stream_ops nothing = {0};
    struct relay *relay = ctx;
    struct request *request = relay->request;
    struct http_header passed[HEADERS_MAX];
    struct failure failure;
    relay->opening = false;
    request->gone = NULL;
    if (request->exchange == NULL || stream == NULL || status != 101) {
        if (stream != NULL) {
            stream_close(stream);
        }
        failure_set(&failure, &request->arena, ERR_INTERNAL, "error upgrading the connection: %s",
                    err != NULL && err->message[0] != '\0' ? err->message : "refused");
        failure.status = status >= 400 && status < 600 ? status : 0;
        relay_free(relay);
        request_fail(request, &failure);
        return;
    }
    struct str protocol = str_copy_in(&request->arena, http_upgrade_wanted(request->exchange));
    size_t n = pass_headers(headers, count, false, passed);
    struct http_exchange *down = request->exchange;
    http_exchange_set(down, NULL);
    struct stream *near = http_upgrade(down, protocol, passed, n, &nothing, NULL);
    request->answered = true;
    if (near != NULL) {
        tunnel_join(near, stream, NULL, NULL);
    } else {
        stream_close(stream);
    }
    relay_free(relay);
    request_free(request);
}

/* ---- beginning ---- */

static void start(struct relay *relay, struct stream *stream)
{
    struct request *request = relay->request;
    const struct http_request *http = http_request(request->exchange);
    struct http_header passed[HEADERS_MAX];
    struct str protocol = http_upgrade_wanted(request->exchange);
    struct http_client_request send = {
        .method = http->method,
        .path = relay->path,
        .authority = relay->authority,
        .headers = passed,
        .header_count = pass_headers(http->headers, http->header_count, true, passed),
    };
    request->state = relay;
    request->gone = on_gone;
    if (protocol.n > 0) {
        relay->opening = true;
        http_client_upgrade(stream, &send, protocol, upgraded, relay);
        return;
    }
    if (request->body.n > 0) {
        send.body = http_body_copy(request->body);
    }
    relay->client = http_client_new(stream, 1, on_client_close, relay);
    relay->up = http_send(relay->client, &send, &client_ops, relay);
}

static void opening_failed(struct relay *relay, const char *what, const char *why)
{
    struct request *request = relay->request;
    struct failure failure;
    failure_set(&failure, &request->arena, ERR_UNAVAILABLE, "%s%s", what, why);
    request->gone = NULL;
    relay_free(relay);
    request_fail(request, &failure);
}

static void opened(void *ctx, struct stream *stream, const struct err *err)
{
    struct relay *relay = ctx;
    struct request *request = relay->request;
    relay->opening = false;
    FAILPOINT("server.relay-opened");
    if (stream != NULL && request->exchange != NULL) {
        start(relay, stream);
        return;
    }
    if (stream != NULL) {
        stream_close(stream);
    }
    opening_failed(relay, "", err != NULL ? err->message : "the client went away");
}

static struct relay *relay_new(struct request *request, struct str path, struct str authority)
{
    struct relay *relay = mem_new(struct relay);
    relay->request = request;
    relay->path = str_copy_in(&request->arena, path);
    relay->authority = str_copy_in(&request->arena, authority);
    return relay;
}

/* What only we may ask a node for: whatever path a client makes up, it cannot ask for this. */
static bool asks_for_internals(struct request *request)
{
    struct failure failure;
    if (!str_contains(http_upgrade_wanted(request->exchange), STR("cox-"))) {
        return false;
    }
    failure_set(&failure, &request->arena, ERR_FORBIDDEN, "this protocol is the server's own");
    request_fail(request, &failure);
    return true;
}

void relay_to_node(struct request *request, struct str node, struct str path)
{
    if (asks_for_internals(request)) {
        return;
    }
    struct relay *relay = relay_new(request, path, node);
    relay->to_node = true;
    relay->opening = true;
    reverse_open(request->server, request->loop, node, opened, relay);
}

/* ---- by way of the node to a pod ---- */

static void dial_from_here(struct relay *relay)
{
    static const struct stream_ops nothing = {0};
    struct request *request = relay->request;
    struct err err = ERR_INIT;
    struct tls_options insecure = {.insecure = true};
    struct tls_context *tls = relay->tls ? tls_client_new(&insecure, &err) : NULL;
    relay->opening = false;
    if (relay->tls && tls == NULL) {
        opening_failed(relay, "", err.message);
        return;
    }
    struct dial_options options = {.address = relay->authority,
                                   .tls = tls,
                                   .alpn = STR("http/1.1"),
                                   .timeout_ns = 10 * NS_PER_S};
    start(relay, stream_dial(request->loop, &options, &nothing, NULL));
    tls_unref(tls);
}

static void hop_done(void *ctx, struct stream *stream, int status,
                     const struct http_header *headers, size_t count, const struct err *err)
{
    struct relay *relay = ctx;
    struct str why = http_header_get(headers, count, STR("cox-error"));
    if (stream != NULL) {
        stream_resume(stream);
        opened(relay, stream, NULL);
        return;
    }
    relay->opening = false;
    opening_failed(relay, "error trying to reach service: ",
                   why.n > 0     ? str_dup_in(&relay->request->arena, why)
                   : err != NULL ? err->message
                                 : "refused");
}

static void hop_opened(void *ctx, struct stream *stream, const struct err *err)
{
    struct relay *relay = ctx;
    if (relay->request->exchange == NULL) {
        opened(relay, stream, err);
    } else if (stream == NULL) {
        dial_from_here(relay);
    } else {
        struct http_client_request hop = {
            .method = STR("GET"), .path = relay->hop, .authority = STR("node")};
        http_client_upgrade(stream, &hop, STR("cox-dial"), hop_done, relay);
    }
}

void relay_to_target(struct request *request, const struct relay_target *target, struct str path)
{
    bool v6 = memchr(target->ip.p, ':', target->ip.n) != NULL;
    char *authority = arena_printf(&request->arena, v6 ? "[%.*s]:%lld" : "%.*s:%lld",
                                   STR_ARG(target->ip), (long long)target->port);
    if (asks_for_internals(request)) {
        return;
    }
    struct relay *relay = relay_new(request, path, str_of(authority));
    relay->tls = target->tls;
    if (target->node.n == 0) {
        dial_from_here(relay);
        return;
    }
    relay->opening = true;
    relay->hop = str_of(arena_printf(&request->arena, "/cox/v1/dial?ip=%.*s&port=%lld%s",
                                     STR_ARG(target->ip), (long long)target->port,
                                     target->tls ? "&tls=1" : ""));
    reverse_open(request->server, request->loop, target->node, hop_opened, relay);
}
