/* grpc_client.c: the client side of gRPC on wire/http.
 *
 * Invariants: a request ends once, by its status, its timeout, the end of the connection or
 * grpc_cancel(); it is freed then. A stream that ends without a status has status UNKNOWN, as
 * grpc-go says.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"
#include "wire/grpc.h"
#include "wire/grpc_int.h"
#include "wire/http.h"

struct grpc_client {
    struct loop *loop;
    struct http_client *http;
    void (*on_close)(void *ctx, const struct err *err);
    void *ctx;
};
struct grpc_request {
    struct grpc_client *client;
    struct http_exchange *exchange;
    const struct grpc_reply_ops *ops;
    void *ctx;
    struct buf in;
    struct buf message; /* grpc-message */
    int status;         /* -1: none yet */
    int http_status;
    bool broken, busy, over;
    struct timer timer;
};

static void free_request(struct grpc_request *request)
{
    timer_stop(&request->timer);
    request->over = true;
    if (!request->busy) {
        buf_done(&request->in);
        buf_done(&request->message);
        free(request);
    }
}

static void finish(struct grpc_request *request, int status, struct str message)
{
    const struct grpc_reply_ops *ops = request->ops;
    void *ctx = request->ctx;
    struct buf text BUF_CLEANUP = BUF_INIT;
    buf_str(&text, message);
    free_request(request);
    ops->on_end(ctx, status, buf_view(&text));
}

static void read_status(struct grpc_request *request, const struct http_header *fields,
                        size_t count)
{
    uint64_t status;
    if (str_u64(http_header_get(fields, count, STR("grpc-status")), &status) && status <= 16) {
        request->status = (int)status;
        buf_clear(&request->message);
        grpc_message_decode(&request->message, http_header_get(fields, count, STR("grpc-message")));
    }
}

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    struct grpc_request *request = ctx;
    request->http_status = status;
    read_status(request, headers, count);
}

static void on_trailers(void *ctx, struct http_exchange *exchange, const struct http_header *fields,
                        size_t count)
{
    read_status(ctx, fields, count);
}

static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct grpc_request *request = ctx;
    struct str message;
    enum grpc_frame frame = GRPC_FRAME_NONE;
    if (request->broken || request->http_status != 200) {
        return;
    }
    buf_add(&request->in, bytes, size);
    request->busy = true;
    while (!request->over &&
           (frame = grpc_frame_get(buf_view(&request->in), &message)) == GRPC_FRAME_WHOLE) {
        if (request->ops->on_message != NULL) {
            request->ops->on_message(request->ctx, message.p, message.n);
        }
        buf_drop_front(&request->in, message.n + GRPC_PREFIX);
    }
    request->busy = false;
    if (request->over) {
        free_request(request);
        return;
    }
    request->broken = frame != GRPC_FRAME_NONE;
}

static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct grpc_request *request = ctx;
    char text[64];
    if (request->status >= 0) {
        finish(request, request->status, buf_view(&request->message));
    } else if (request->broken) {
        finish(request, GRPC_INTERNAL, STR("a message cannot be read"));
    } else if (err->code != 0) {
        finish(request, GRPC_UNAVAILABLE, str_of(err->message));
    } else {
        snprintf(text, sizeof text, "no gRPC status, HTTP status %d", request->http_status);
        finish(request, GRPC_UNKNOWN, str_of(text));
    }
}

static void on_timeout(struct timer *timer)
{
    struct grpc_request *request = container_of(timer, struct grpc_request, timer);
    http_cancel(request->exchange);
    finish(request, GRPC_DEADLINE_EXCEEDED, STR("timed out"));
}

struct grpc_request *grpc_request(struct grpc_client *client, const char *path, const void *message,
                                  size_t size, int64_t timeout_ns, const struct grpc_reply_ops *ops,
                                  void *ctx)
{
    static const struct http_client_ops http_ops = {
        .on_headers = on_headers, .on_data = on_data, .on_trailers = on_trailers, .on_end = on_end};
    struct grpc_request *request = mem_new(struct grpc_request);
    struct buf body = BUF_INIT;
    char timeout[24];
    request->client = client;
    request->ops = ops;
    request->ctx = ctx;
    request->status = -1;
    grpc_frame_put(&body, message, size);
    snprintf(timeout, sizeof timeout, "%lldm", (long long)(timeout_ns / NS_PER_MS));
    struct http_header headers[] = {{STR("content-type"), STR("application/grpc")},
                                    {STR("te"), STR("trailers")},
                                    {STR("user-agent"), STR("cox-grpc/1")},
                                    {STR("grpc-timeout"), str_of(timeout)}};
    size_t body_size;
    char *bytes = buf_take(&body, &body_size);
    struct http_client_request http = {.method = STR("POST"),
                                       .path = str_of(path),
                                       .authority = STR("localhost"),
                                       .headers = headers,
                                       .header_count = timeout_ns > 0 ? 4 : 3,
                                       .body = http_body_bytes(bytes, body_size)};
    request->exchange = http_send(client->http, &http, &http_ops, request);
    if (timeout_ns > 0) {
        timer_start(client->loop, &request->timer, timeout_ns, on_timeout);
    }
    return request;
}

void grpc_cancel(struct grpc_request *request)
{
    if (request != NULL) {
        http_cancel(request->exchange);
        free_request(request);
    }
}

static void closed(void *ctx, const struct err *err)
{
    struct grpc_client *client = ctx;
    if (client->on_close != NULL) {
        client->on_close(client->ctx, err);
    }
}

struct grpc_client *grpc_dial(struct loop *loop, const char *unix_path,
                              void (*on_close)(void *ctx, const struct err *err), void *ctx)
{
    static const struct stream_ops nobody = {0};
    struct grpc_client *client = mem_new(struct grpc_client);
    char *address MEM_CLEANUP = mem_printf("unix:%s", unix_path);
    struct dial_options options = {.address = str_of(address)};
    client->loop = loop;
    client->on_close = on_close;
    client->ctx = ctx;
    client->http = http_client_new(stream_dial(loop, &options, &nobody, NULL), 2, closed, client);
    return client;
}

void grpc_client_free(struct grpc_client *client)
{
    if (client != NULL) {
        http_client_free(client->http);
        free(client);
    }
}
