/* http_server.c: the server side above the protocols: choice of protocol, limits, deadlines, and
 * the calls to the owner.
 *
 * Invariants: on_request once a request, then either the answer completes or on_abort comes, never
 * both. A request that breaks a limit is answered here (413, 431) and never seen by the owner.
 * Deadlines: 10 s for a head; 60 s plus a second each 16 KiB for a whole body; `idle_ns` for a
 * connection without requests. One timer a connection, which ticks rarely unless a request is
 * incomplete.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "wire/http_int.h"

#define TICK_NS (5 * NS_PER_S)
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

METRIC(connections_open, METRIC_KIND_GAUGE, "cox_http_connections_open", NULL,
       "HTTP connections that this process serves.");
METRIC(requests_refused, METRIC_KIND_COUNTER, "cox_http_requests_refused_total", NULL,
       "Requests that broke a limit of size or time.");

size_t http_connection_count(void)
{
    return (size_t)atomic_load(&connections_open.value);
}

/* ---- deadlines ---- */

static bool request_is_late(const struct http_exchange *exchange, int64_t now_ns)
{
    if (exchange->in_done || exchange->refused || exchange->streaming) {
        return false;
    }
    int64_t allowed_ns = exchange->head_done
                             ? HTTP_BODY_TIMEOUT_NS + (int64_t)(exchange->body.n >> 14) * NS_PER_S
                             : exchange->connection->options.header_ns;
    return now_ns - exchange->since_ns >= allowed_ns;
}

/* The peer takes nothing of what it asked for. */
static bool is_stalled(struct http_connection *connection, int64_t now_ns)
{
    uint64_t sent = stream_sent(connection->stream);
    if (stream_queued(connection->stream) == 0 || sent != connection->seen_sent) {
        connection->seen_sent = sent;
        connection->seen_ns = now_ns;
    }
    return now_ns - connection->seen_ns >= connection->options.idle_ns;
}

static int64_t tick_ns(const struct http_connection *connection)
{
    int64_t half_ns = connection->options.header_ns / 2;
    return half_ns < TICK_NS ? half_ns : TICK_NS;
}

static void on_tick(struct timer *timer)
{
    struct http_connection *connection = container_of(timer, struct http_connection, timer);
    int64_t now_ns = loop_mono(connection->loop);
    int64_t idle_ns = connection->options.idle_ns;
    LIST_EACH (it, &connection->exchanges) {
        if (request_is_late(container_of(it, struct http_exchange, link), now_ns)) {
            metric_add(&requests_refused, 1);
            http_connection_abort(connection, ERR_TIMEOUT, "request not complete in time");
            return;
        }
    }
    if (is_stalled(connection, now_ns)) {
        http_connection_abort(connection, ERR_TIMEOUT, "the peer does not read its answers");
        return;
    }
    if (connection->exchange_count == 0) {
        int64_t left_ns = connection->active_ns + idle_ns - now_ns;
        if (left_ns <= 0) {
            http_connection_drain(connection);
            return;
        }
        idle_ns = left_ns;
    }
    timer_start(connection->loop, timer, connection->incomplete > 0 ? tick_ns(connection) : idle_ns,
                on_tick);
}

void http_server_watch(struct http_connection *connection)
{
    if (connection->incomplete > 0 && connection->stream != NULL &&
        connection->timer.due_ns > loop_mono(connection->loop) + 2 * tick_ns(connection)) {
        timer_start(connection->loop, &connection->timer, tick_ns(connection), on_tick);
    }
}

/* ---- requests ---- */

void http_server_begin(struct http_exchange *exchange)
{
    exchange->since_ns = loop_mono(exchange->connection->loop);
    exchange->connection->incomplete++;
}

static void request_complete(struct http_exchange *exchange)
{
    if (!exchange->in_done) {
        exchange->in_done = true;
        exchange->connection->incomplete--;
    }
}

void http_server_refuse(struct http_exchange *exchange, int status)
{
    const char *text = status == 400   ? "The request is malformed.\n"
                       : status == 413 ? "The request's body is too large.\n"
                                       : "The request's header is too large.\n";
    metric_add(&requests_refused, 1);
    exchange->refused = true;
    buf_done(&exchange->body);
    const struct http_connection *connection = exchange->connection;
    const char *type = "text/plain";
    struct http_body *body = connection->ops->refusal != NULL
                                 ? connection->ops->refusal(connection->ctx, status, &type)
                                 : NULL;
    struct http_header header = {STR("content-type"), str_of(type)};
    http_respond(exchange, status, &header, 1, body != NULL ? body : http_body_copy(str_of(text)));
}

void http_server_head(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct http_request *request = &exchange->request;
    uint64_t length;
    exchange->head_done = true;
    exchange->since_ns = loop_mono(connection->loop);
    request->headers = exchange->headers;
    request->header_count = exchange->header_count;
    exchange->head_only = str_eq(request->method, STR("HEAD"));
    struct str text =
        http_header_get(exchange->headers, exchange->header_count, STR("content-length"));
    if (connection->ops->streams_body != NULL && connection->ops->on_body != NULL &&
        connection->ops->streams_body(connection->ctx, exchange)) {
        exchange->streaming = true;
    } else if (text.n > 0 && (!str_u64(text, &length) || length > connection->options.body_limit)) {
        http_server_refuse(exchange, 413);
    }
}

void http_server_deliver(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (!exchange->delivered && !exchange->refused) {
        exchange->delivered = true;
        connection->ops->on_request(connection->ctx, exchange);
    }
}

bool http_server_body(struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct http_connection *connection = exchange->connection;
    if (exchange->refused) {
        return false;
    }
    if (exchange->streaming) {
        connection->ops->on_body(connection->ctx, exchange, bytes, size, false);
        return true;
    }
    if (exchange->body.n + size > connection->options.body_limit) {
        http_server_refuse(exchange, 413);
        return false;
    }
    buf_add(&exchange->body, bytes, size);
    return true;
}

void http_server_body_end(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    request_complete(exchange);
    exchange->request.body = buf_view(&exchange->body);
    if (exchange->streaming && !exchange->refused) {
        connection->ops->on_body(connection->ctx, exchange, NULL, 0, true);
    }
}

void http_server_end(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    request_complete(exchange);
    if (exchange->delivered && !exchange->out_done) {
        exchange->out_done = true;
        connection->ops->on_abort(connection->ctx, exchange);
    }
    http_exchange_free(exchange);
}

void http_respond(struct http_exchange *exchange, int status, const struct http_header *headers,
                  size_t count, struct http_body *body)
{
    struct http_connection *connection = exchange->connection;
    if (exchange->responded || connection->stream == NULL) {
        if (body != NULL) {
            body->free(body);
        }
        return;
    }
    exchange->responded = true;
    exchange->status = status;
    exchange->out = body;
    connection->protocol->respond(exchange, status, headers, count);
    http_pump_later(connection);
}

/* ---- the stream ---- */

static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct http_connection *connection = ctx;
    if (connection->protocol != NULL) {
        connection->protocol->input(connection, bytes, size);
        return;
    }
    buf_add(&connection->early, bytes, size);
    struct str seen = buf_view(&connection->early), preface = STR(PREFACE);
    size_t common = seen.n < preface.n ? seen.n : preface.n;
    bool is_h2 = memcmp(seen.p, preface.p, common) == 0;
    if (is_h2 && seen.n < preface.n) {
        return;
    }
    struct buf early = connection->early;
    connection->early = (struct buf)BUF_INIT;
    if (is_h2) {
        http2_start(connection);
    } else {
        http1_start(connection);
    }
    connection->protocol->input(connection, early.p, early.n);
    buf_done(&early);
}

static void on_eof(void *ctx, struct stream *stream)
{
    struct http_connection *connection = ctx;
    if (connection->protocol != NULL) {
        connection->protocol->eof(connection);
    } else {
        http_connection_close(connection);
    }
}

static void on_drain(void *ctx, struct stream *stream)
{
    http_pump_later(ctx);
}

static void connection_gone(struct http_connection *connection)
{
    metric_add(&connections_open, -1);
    if (connection->ops->on_end != NULL) {
        connection->ops->on_end(connection->ctx);
    }
    http_connection_free(connection);
}

static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct http_connection *connection = ctx;
    connection->closing = true;
    http_connection_end_all(connection, err);
    connection->stream = NULL;
    connection_gone(connection);
}

static const struct stream_ops server_stream_ops = {
    .on_read = on_read, .on_eof = on_eof, .on_drain = on_drain, .on_close = on_close};

struct http_connection *http_serve(struct stream *stream, const struct http_server_options *options,
                                   const struct http_server_ops *ops, void *ctx)
{
    struct http_connection *connection = http_connection_new(stream);
    connection->ops = ops;
    connection->ctx = ctx;
    connection->options = options != NULL ? *options : (struct http_server_options){0};
    if (connection->options.body_limit == 0) {
        connection->options.body_limit = HTTP_BODY_LIMIT;
    }
    if (connection->options.idle_ns == 0) {
        connection->options.idle_ns = HTTP_IDLE_NS;
    }
    if (connection->options.header_ns == 0) {
        connection->options.header_ns = HTTP_HEADER_TIMEOUT_NS;
    }
    connection->seen_ns = connection->active_ns;
    metric_add(&connections_open, 1);
    stream_set_ops(stream, &server_stream_ops, connection);
    struct str alpn = stream_alpn(stream);
    if (str_eq(alpn, STR("h2"))) {
        http2_start(connection);
    } else if (str_eq(alpn, STR("http/1.1"))) {
        http1_start(connection);
    }
    timer_start(connection->loop, &connection->timer, connection->options.idle_ns, on_tick);
    return connection;
}

void http_server_detached(struct http_connection *connection)
{
    while (!list_empty(&connection->exchanges)) {
        http_exchange_free(container_of(connection->exchanges.next, struct http_exchange, link));
    }
    connection_gone(connection);
}

void http_connection_drain(struct http_connection *connection)
{
    connection->draining = true;
    if (connection->protocol != NULL) {
        connection->protocol->drain(connection);
    } else {
        http_connection_close(connection);
    }
    http_pump_later(connection);
}
