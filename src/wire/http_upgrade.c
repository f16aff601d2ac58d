/* http_upgrade.c: HTTP/1.1 Upgrade (RFC 9110 7.8), both sides: the stream changes hands.
 *
 * Invariant: bytes that were read behind the head come first through the new owner's on_read, in a
 * later turn; the connection and the exchange are gone when the stream has a new owner.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "wire/http1_int.h"

enum { REFUSAL_MAX = 4096 };

struct stream *http1_detach(struct http_connection *connection)
{
    struct stream *stream = connection->stream;
    struct http1 *h1 = connection->h1;
    connection->stream = NULL;
    stream_unread(stream, h1->pending.p, h1->pending.n);
    buf_done(&h1->pending);
    stream_resume(stream);
    return stream;
}

/* ---- server ---- */

struct str http_upgrade_wanted(const struct http_exchange *exchange)
{
    return exchange->upgrade
               ? http_header_get(exchange->headers, exchange->header_count, STR("upgrade"))
               : STR_NONE;
}

struct stream *http_upgrade(struct http_exchange *exchange, struct str protocol,
                            const struct http_header *headers, size_t count,
                            const struct stream_ops *ops, void *ctx)
{
    struct http_connection *connection = exchange->connection;
    if (!exchange->upgrade || exchange->responded || !exchange->in_done ||
        connection->stream == NULL || connection->closing) {
        return NULL;
    }
    struct buf *out = stream_write_begin(connection->stream);
    buf_addz(out, "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n");
    http1_add_field(out, STR("upgrade"), protocol);
    for (size_t i = 0; i < count; i++) {
        if (!http1_is_framing(headers[i].name)) {
            http1_add_field(out, headers[i].name, headers[i].value);
        }
    }
    buf_addz(out, "\r\n");
    stream_write_end(connection->stream);
    struct stream *stream = http1_detach(connection);
    stream_set_ops(stream, ops, ctx);
    http_server_detached(connection);
    return stream;
}

/* ---- client ---- */

struct upgrade {
    struct http_client *client;
    void (*on_done)(void *ctx, struct stream *stream, int status, const struct http_header *headers,
                    size_t count, const struct err *err);
    void *ctx;
    int status;
    const struct http_header *headers;
    size_t count;
    struct buf refusal; /* the beginning of the answer's body */
};

static void upgrade_headers(void *ctx, struct http_exchange *exchange, int status,
                            const struct http_header *headers, size_t count)
{
    struct upgrade *upgrade = ctx;
    upgrade->status = status;
    upgrade->headers = headers;
    upgrade->count = count;
}

static void upgrade_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct upgrade *upgrade = ctx;
    size_t room = REFUSAL_MAX - upgrade->refusal.n;
    buf_add(&upgrade->refusal, bytes, size < room ? size : room);
}

static void upgrade_end(void *ctx, struct http_exchange *exchange, const struct err *end_err)
{
    struct upgrade *upgrade = ctx;
    struct http_connection *connection = exchange->connection;
    struct stream *stream = NULL;
    struct err err = *end_err;
    if (err.code == 0 && upgrade->status == 101) {
        stream = http1_detach(connection);
    } else if (err.code == 0) {
        err_set(&err, err_from_reason(NULL, upgrade->status), "upgrade refused: HTTP %d: %.*s",
                upgrade->status, STR_ARG(buf_view(&upgrade->refusal)));
    }
    upgrade->on_done(upgrade->ctx, stream, upgrade->status, upgrade->headers, upgrade->count, &err);
    http_client_free(upgrade->client);
    buf_done(&upgrade->refusal);
    free(upgrade);
}

static const struct http_client_ops upgrade_ops = {
    .on_headers = upgrade_headers, .on_data = upgrade_data, .on_end = upgrade_end};

void http_client_upgrade(struct stream *stream, const struct http_client_request *request,
                         struct str protocol,
                         void (*on_done)(void *ctx, struct stream *stream, int status,
                                         const struct http_header *headers, size_t count,
                                         const struct err *err),
                         void *ctx)
{
    struct upgrade *upgrade = mem_new(struct upgrade);
    struct http_client_request with_upgrade = *request;
    struct http_header *headers = mem_array(struct http_header, request->header_count + 1);
    for (size_t i = 0; i < request->header_count; i++) {
        headers[i] = request->headers[i];
    }
    headers[request->header_count] = (struct http_header){STR("upgrade"), protocol};
    with_upgrade.headers = headers;
    with_upgrade.header_count++;
    upgrade->on_done = on_done;
    upgrade->ctx = ctx;
    upgrade->client = http_client_new(stream, 1, NULL, NULL);
    http_send_upgrade(upgrade->client, &with_upgrade, &upgrade_ops, upgrade);
    free(headers);
}
