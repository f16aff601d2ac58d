/* grpc_server.c: the server side of gRPC on wire/http.
 *
 * Invariants: a call lives until the callee has finished it and HTTP has let go of its body; what
 * is sent after the client went is dropped. An answer without a message is one HEADERS frame with
 * the status in it ("Trailers-Only"); otherwise the status follows in trailers.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "wire/grpc.h"
#include "wire/grpc_int.h"
#include "wire/http.h"

#define IDLE_NS (365LL * 86400 * NS_PER_S) /* gRPC clients keep idle connections */

struct grpc_server {
    struct loop *loop;
    struct listener *listener;
    const struct grpc_method *methods;
    size_t count;
    void *ctx;
    struct list connections;
};
struct connection {
    struct list link;
    struct grpc_server *server; /* NULL: it was freed */
    struct stream *stream;
    struct list calls;
};
struct grpc_call {
    struct http_body body; /* first: HTTP's view of it */
    struct list link;
    struct http_exchange *exchange; /* NULL: the client is gone */
    struct buf out;
    bool responded, finished, body_given, released;
    char status[12];
    struct buf message;
    void (*on_cancel)(void *arg, struct grpc_call *call);
    void *cancel_arg;
};

static void free_when_over(struct grpc_call *call)
{
    if (call->finished && (!call->body_given || call->released)) {
        list_remove(&call->link);
        buf_done(&call->out);
        buf_done(&call->message);
        free(call);
    }
}

/* ---- the body ---- */

static ssize_t read_body(struct http_body *body, char *out, size_t cap)
{
    struct grpc_call *call = (struct grpc_call *)body;
    size_t n = call->out.n < cap ? call->out.n : cap;
    if (n == 0) {
        return call->finished ? 0 : HTTP_BODY_LATER;
    }
    memcpy(out, call->out.p, n);
    buf_drop_front(&call->out, n);
    return (ssize_t)n;
}

static size_t write_trailers(struct http_body *body, struct http_header *ret_fields, size_t cap)
{
    struct grpc_call *call = (struct grpc_call *)body;
    size_t n = 0;
    ret_fields[n++] = (struct http_header){STR("grpc-status"), str_of(call->status)};
    if (call->message.n > 0 && cap > 1) {
        ret_fields[n++] = (struct http_header){STR("grpc-message"), buf_view(&call->message)};
    }
    call->exchange = NULL; /* complete */
    return n;
}

static void free_body(struct http_body *body)
{
    struct grpc_call *call = (struct grpc_call *)body;
    call->released = true;
    call->exchange = NULL;
    free_when_over(call);
}

static void give_body(struct grpc_call *call)
{
    static const struct http_header type = {{"content-type", 12}, {"application/grpc", 16}};
    call->body = (struct http_body){
        .read = read_body, .free = free_body, .length = -1, .trailers = write_trailers};
    call->responded = call->body_given = true;
    http_respond(call->exchange, 200, &type, 1, &call->body);
}

void grpc_send(struct grpc_call *call, const void *message, size_t size)
{
    if (call->exchange == NULL || call->finished) {
        return;
    }
    grpc_frame_put(&call->out, message, size);
    if (call->responded) {
        http_resume(call->exchange);
    } else {
        give_body(call);
    }
}

void grpc_finish(struct grpc_call *call, int status, const char *message)
{
    call->finished = true;
    call->on_cancel = NULL;
    snprintf(call->status, sizeof call->status, "%d", status);
    grpc_message_encode(&call->message, message);
    if (call->exchange == NULL) {
        free_when_over(call);
        return;
    }
    if (call->responded) {
        http_resume(call->exchange);
        return;
    }
    struct http_header headers[] = {{STR("content-type"), STR("application/grpc")},
                                    {STR("grpc-status"), str_of(call->status)},
                                    {STR("grpc-message"), buf_view(&call->message)}};
    http_respond(call->exchange, 200, headers, call->message.n > 0 ? 3 : 2, NULL);
    free_when_over(call);
}

void grpc_call_on_cancel(struct grpc_call *call,
                         void (*on_cancel)(void *arg, struct grpc_call *call), void *arg)
{
    call->on_cancel = on_cancel;
    call->cancel_arg = arg;
}

/* ---- requests ---- */

static void refuse(struct http_exchange *exchange, const char *status, const char *why)
{
    struct http_header headers[] = {{STR("content-type"), STR("application/grpc")},
                                    {STR("grpc-status"), str_of(status)},
                                    {STR("grpc-message"), str_of(why)}};
    http_exchange_set(exchange, NULL);
    http_respond(exchange, 200, headers, 3, NULL);
}

static const struct grpc_method *find_method(const struct grpc_server *server, struct str path)
{
    for (size_t i = 0; i < server->count; i++) {
        if (str_is(path, server->methods[i].path)) {
            return &server->methods[i];
        }
    }
    return NULL;
}

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct connection *connection = ctx;
    const struct http_request *request = http_request(exchange);
    struct str type = http_header_get(request->headers, request->header_count, STR("content-type"));
    struct str message = STR_NONE;
    if (!str_is(request->method, "POST") || !str_starts(type, STR("application/grpc"))) {
        http_exchange_set(exchange, NULL);
        http_respond(exchange, 415, NULL, 0, NULL);
        return;
    }
    const struct grpc_method *method =
        connection->server != NULL ? find_method(connection->server, request->path) : NULL;
    if (method == NULL) {
        refuse(exchange, "12", "unknown method");
        return;
    }
    enum grpc_frame frame = grpc_frame_get(request->body, &message);
    if (frame == GRPC_FRAME_COMPRESSED) {
        refuse(exchange, "12", "compressed messages are not supported");
        return;
    }
    if (frame != GRPC_FRAME_WHOLE || message.n + GRPC_PREFIX != request->body.n) {
        refuse(exchange, "13", "one whole message was expected");
        return;
    }
    struct grpc_call *call = mem_new(struct grpc_call);
    call->exchange = exchange;
    list_append(&connection->calls, &call->link);
    http_exchange_set(exchange, call);
    method->on_call(connection->server->ctx, call, message.p, message.n);
}

static void on_abort(void *ctx, struct http_exchange *exchange)
{
    struct grpc_call *call = http_exchange_get(exchange);
    if (call == NULL) {
        return;
    }
    call->exchange = NULL;
    if (call->on_cancel != NULL) {
        void (*on_cancel)(void *, struct grpc_call *) = call->on_cancel;
        call->on_cancel = NULL;
        on_cancel(call->cancel_arg, call);
    }
}

static void on_end(void *ctx)
{
    struct connection *connection = ctx;
    LIST_EACH_SAFE (it, &connection->calls) {
        struct grpc_call *call = container_of(it, struct grpc_call, link);
        call->exchange = NULL;
        list_remove(&call->link); /* the callee still has it */
    }
    list_remove(&connection->link);
    free(connection);
}

static const struct http_server_ops http_ops = {
    .on_request = on_request, .on_abort = on_abort, .on_end = on_end};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    static const struct http_server_options options = {.body_limit = GRPC_MESSAGE_MAX + GRPC_PREFIX,
                                                       .idle_ns = IDLE_NS};
    struct grpc_server *server = ctx;
    struct connection *connection = mem_new(struct connection);
    connection->server = server;
    connection->stream = stream;
    list_init(&connection->calls);
    list_append(&server->connections, &connection->link);
    http_serve(stream, &options, &http_ops, connection);
}

struct grpc_server *grpc_serve(struct loop *loop, int listen_fd, const struct grpc_method *methods,
                               size_t count, void *ctx)
{
    static const struct listener_ops listener_ops = {.on_accept = on_accept};
    struct grpc_server *server = mem_new(struct grpc_server);
    server->loop = loop;
    server->methods = methods;
    server->count = count;
    server->ctx = ctx;
    list_init(&server->connections);
    server->listener = listener_new(loop, listen_fd, NULL, &listener_ops, server);
    return server;
}

void grpc_server_free(struct grpc_server *server)
{
    if (server == NULL) {
        return;
    }
    listener_free(server->listener);
    LIST_EACH_SAFE (it, &server->connections) {
        struct connection *connection = container_of(it, struct connection, link);
        connection->server = NULL;
        LIST_EACH (call_link, &connection->calls) {
            container_of(call_link, struct grpc_call, link)->on_cancel = NULL;
        }
        list_remove(&connection->link); /* goes by itself, in on_end */
        stream_close(connection->stream);
    }
    free(server);
}
