/* http_client.c: the client side above the protocols: requests before the connection is open,
 * ends, cancelling.
 *
 * Invariants: on_end is the last call for an exchange and comes once, never from inside
 * http_send(); after http_cancel() nothing comes. After http_client_free() no on_close comes.
 * http_client_free() may be called from any callback of the client: the memory goes when the stream
 * is closed and no callback of ours is on the stack.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "wire/http_int.h"

struct http_client {
    struct http_connection *connection;
    void (*on_close)(void *ctx, const struct err *err);
    void *ctx;
    int version;
    unsigned busy; /* callbacks on the stack */
    bool freed;
    bool failing; /* `fail` is queued */
    struct task fail;
};

static void release(struct http_client *client)
{
    if (client->freed && client->busy == 0 && client->connection->stream == NULL) {
        if (client->failing) {
            list_remove(&client->fail.link);
        }
        http_connection_free(client->connection);
        free(client);
    }
}

/* ---- what the protocols tell ---- */

void http_client_headers(struct http_exchange *exchange)
{
    if (!exchange->ended && exchange->client_ops->on_headers != NULL) {
        exchange->client_ops->on_headers(exchange->client_ctx, exchange, exchange->status,
                                         exchange->headers, exchange->header_count);
    }
}

void http_client_data(struct http_exchange *exchange, const char *bytes, size_t size)
{
    if (!exchange->ended && size > 0 && exchange->client_ops->on_data != NULL) {
        exchange->client_ops->on_data(exchange->client_ctx, exchange, bytes, size);
    }
}

void http_client_end(struct http_exchange *exchange, const struct err *err)
{
    struct http_client *client = exchange->connection->client;
    list_remove(&exchange->link); /* the callback may end all that are left */
    http_exchange_free_body(exchange);
    client->busy++;
    if (!exchange->ended) {
        struct err closed = ERR_INIT;
        exchange->ended = true;
        if (err->code == 0 && !exchange->in_done) {
            err_set(&closed, ERR_CLOSED, "connection closed");
            err = &closed;
        }
        exchange->client_ops->on_end(exchange->client_ctx, exchange, err);
    }
    client->busy--;
    http_exchange_free(exchange);
}

/* ---- sending ---- */

static void run_fail(struct task *task)
{
    struct http_client *client = container_of(task, struct http_client, fail);
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNAVAILABLE, "the HTTP connection is closed or going away");
    client->failing = false;
    client->busy++;
    LIST_EACH_SAFE (it, &client->connection->exchanges) {
        struct http_exchange *exchange = container_of(it, struct http_exchange, link);
        if (exchange->doomed) {
            http_client_end(exchange, &err);
            it_next = client->connection->exchanges.next; /* the callback may have changed it */
        }
    }
    client->busy--;
    release(client);
}

void http_client_doom(struct http_exchange *exchange)
{
    struct http_client *client = exchange->connection->client;
    exchange->doomed = true;
    if (!client->failing) {
        client->failing = true;
        client->fail.run = run_fail;
        loop_defer(exchange->connection->loop, &client->fail);
    }
}

static void keep_request(struct http_exchange *exchange, const struct http_client_request *request)
{
    struct arena *arena = &exchange->arena;
    struct http_request *kept = &exchange->request;
    struct http_header *headers = arena_array(arena, struct http_header, request->header_count + 1);
    for (size_t i = 0; i < request->header_count; i++) {
        headers[i].name = str_copy_in(arena, request->headers[i].name);
        headers[i].value = str_copy_in(arena, request->headers[i].value);
    }
    kept->method = str_copy_in(arena, request->method);
    kept->path = str_copy_in(arena, request->path);
    kept->authority = str_copy_in(arena, request->authority);
    kept->headers = headers;
    kept->header_count = request->header_count;
}

static struct http_exchange *send_request(struct http_client *client,
                                          const struct http_client_request *request, bool upgrade,
                                          const struct http_client_ops *ops, void *ctx)
{
    struct http_connection *connection = client->connection;
    struct http_exchange *exchange = http_exchange_new(connection);
    exchange->client_ops = ops;
    exchange->client_ctx = ctx;
    exchange->out = request->body;
    exchange->head_only = str_eq(request->method, STR("HEAD"));
    exchange->upgrade = upgrade;
    keep_request(exchange, request);
    if (connection->stream == NULL || connection->closing || connection->draining) {
        http_client_doom(exchange);
    } else if (connection->protocol != NULL) {
        exchange->responded = true;
        connection->protocol->request(exchange);
    }
    return exchange;
}

struct http_exchange *http_send(struct http_client *client,
                                const struct http_client_request *request,
                                const struct http_client_ops *ops, void *ctx)
{
    return send_request(client, request, false, ops, ctx);
}

void http_send_upgrade(struct http_client *client, const struct http_client_request *request,
                       const struct http_client_ops *ops, void *ctx)
{
    send_request(client, request, true, ops, ctx);
}

void http_cancel(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (exchange->ended) {
        return; /* from inside its on_end */
    }
    exchange->ended = true;
    if (connection->protocol != NULL && exchange->responded && connection->stream != NULL) {
        connection->protocol->cancel(exchange);
    } else {
        http_exchange_free(exchange);
    }
}

/* ---- the stream ---- */

static void start(struct http_connection *connection)
{
    int version = connection->client->version;
    if (version == 0) {
        version = str_eq(stream_alpn(connection->stream), STR("h2")) ? 2 : 1;
    }
    if (version == 2) {
        http2_start(connection);
    } else {
        http1_start(connection);
    }
    LIST_EACH (it, &connection->exchanges) {
        struct http_exchange *exchange = container_of(it, struct http_exchange, link);
        if (!exchange->responded && !exchange->doomed) {
            exchange->responded = true;
            connection->protocol->request(exchange);
        }
    }
}

static void on_open(void *ctx, struct stream *stream)
{
    start(((struct http_client *)ctx)->connection);
}

static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct http_client *client = ctx;
    client->busy++;
    if (client->connection->protocol != NULL) {
        client->connection->protocol->input(client->connection, bytes, size);
    }
    client->busy--;
    release(client);
}

static void on_eof(void *ctx, struct stream *stream)
{
    struct http_client *client = ctx;
    client->busy++;
    if (client->connection->protocol != NULL) {
        client->connection->protocol->eof(client->connection);
    } else {
        http_connection_close(client->connection);
    }
    client->busy--;
    release(client);
}

static void on_drain(void *ctx, struct stream *stream)
{
    http_pump_later(((struct http_client *)ctx)->connection);
}

static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct http_client *client = ctx;
    struct http_connection *connection = client->connection;
    client->busy++;
    connection->closing = true;
    http_connection_end_all(connection, err);
    if (connection->pump_queued) {
        connection->pump_queued = false;
        list_remove(&connection->pump.link);
    }
    connection->stream = NULL;
    if (!client->freed && client->on_close != NULL) {
        client->on_close(client->ctx, err);
    }
    client->busy--;
    release(client);
}

static const struct stream_ops client_stream_ops = {.on_read = on_read,
                                                    .on_eof = on_eof,
                                                    .on_drain = on_drain,
                                                    .on_close = on_close,
                                                    .on_open = on_open};

struct http_client *http_client_new(struct stream *stream, int version,
                                    void (*on_closed)(void *ctx, const struct err *err), void *ctx)
{
    struct http_client *client = mem_new(struct http_client);
    client->connection = http_connection_new(stream);
    client->connection->client = client;
    client->on_close = on_closed;
    client->ctx = ctx;
    client->version = version;
    stream_set_ops(stream, &client_stream_ops, client);
    if (stream_is_open(stream)) {
        start(client->connection);
    }
    return client;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL || client->freed) {
        return;
    }
    struct http_connection *connection = client->connection;
    struct err err = ERR_INIT;
    err_set(&err, ERR_CLOSED, "the HTTP client was closed");
    client->freed = true;
    client->busy++;
    http_connection_close(connection);
    http_connection_end_all(connection, &err);
    client->busy--;
    release(client);
}
