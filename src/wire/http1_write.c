/* http1_write.c: HTTP/1.1 heads and bodies out (RFC 9112 6, 7).
 *
 * A body of unknown length is chunked; to an HTTP/1.0 peer it ends with the connection. Field
 * values come from the owner and sometimes carry text of a user: control characters in them become
 * spaces, so that no field or body can be smuggled into an answer.
 */
#include "wire/http1_int.h"

#include <stdio.h>

enum { PIECE = 32768, CHUNK_HEAD = 8 /* "00xxxx\r\n" */ };

static const struct {
    int status;
    const char *text;
} reasons[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {507, "Insufficient Storage"},
};

static const char *reason_of(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "";
}

static void add_clean(struct buf *out, struct str text)
{
    size_t from = out->n;
    buf_str(out, text);
    for (size_t i = from; i < out->n; i++) {
        unsigned char c = (unsigned char)out->p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            out->p[i] = ' ';
        }
    }
}

void http1_add_field(struct buf *out, struct str name, struct str value)
{
    add_clean(out, name);
    buf_addz(out, ": ");
    add_clean(out, value);
    buf_addz(out, "\r\n");
}

bool http1_is_framing(struct str name)
{
    return str_eq(name, STR("content-length")) || str_eq(name, STR("transfer-encoding")) ||
           str_eq(name, STR("connection")) || str_eq(name, STR("keep-alive"));
}

static void add_fields(struct buf *out, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!http1_is_framing(headers[i].name)) {
            http1_add_field(out, headers[i].name, headers[i].value);
        }
    }
}

static void add_framing(struct http1 *h1, struct buf *out, const struct http_body *body,
                        bool empty_says_so)
{
    h1->chunked = false;
    if (body == NULL) {
        if (empty_says_so) {
            buf_addz(out, "content-length: 0\r\n");
        }
    } else if (body->length >= 0) {
        buf_printf(out, "content-length: %lld\r\n", (long long)body->length);
    } else if (h1->version_minor >= 1) {
        h1->chunked = true;
        buf_addz(out, "transfer-encoding: chunked\r\n");
    } else {
        h1->keep_alive = false;
    }
}

void http1_respond(struct http_exchange *exchange, int status, const struct http_header *headers,
                   size_t count)
{
    struct http_connection *connection = exchange->connection;
    struct http1 *h1 = connection->h1;
    bool bare = status == 204 || status == 304;
    struct buf *out = stream_write_begin(connection->stream);
    buf_printf(out, "HTTP/1.1 %d %s\r\ndate: ", status, reason_of(status));
    buf_str(out, http_date(connection));
    buf_addz(out, "\r\n");
    add_fields(out, headers, count);
    if (!bare) {
        add_framing(h1, out, exchange->out, !exchange->head_only);
    }
    if (!exchange->in_done || connection->draining) {
        h1->keep_alive = false; /* answered too early: what still comes is not worth reading */
    }
    if (!h1->keep_alive) {
        buf_addz(out, "connection: close\r\n");
    } else if (h1->version_minor == 0) {
        buf_addz(out, "connection: keep-alive\r\n");
    }
    buf_addz(out, "\r\n");
    stream_write_end(connection->stream);
    if (exchange->head_only || bare) {
        http_exchange_free_body(exchange);
    }
    if (exchange->out == NULL) {
        exchange->out_done = true; /* the pump finishes it */
    }
}

void http1_request(struct http_exchange *exchange)
{
    http1_send_next(exchange->connection);
}

void http1_send_next(struct http_connection *connection)
{
    struct http1 *h1 = connection->h1;
    if (h1->exchange != NULL || list_empty(&connection->exchanges) || connection->draining ||
        connection->closing || h1->complete) {
        return;
    }
    struct http_exchange *exchange =
        container_of(connection->exchanges.next, struct http_exchange, link);
    const struct http_request *request = &exchange->request;
    h1->exchange = exchange;
    h1->version_minor = 1;
    struct buf *out = stream_write_begin(connection->stream);
    add_clean(out, request->method);
    buf_char(out, ' ');
    add_clean(out, request->path);
    buf_addz(out, " HTTP/1.1\r\n");
    http1_add_field(out, STR("host"), request->authority);
    for (size_t i = 0; i < request->header_count; i++) {
        if (!http1_is_framing(request->headers[i].name) &&
            !str_eq(request->headers[i].name, STR("host"))) {
            http1_add_field(out, request->headers[i].name, request->headers[i].value);
        }
    }
    if (exchange->upgrade) {
        buf_addz(out, "connection: Upgrade\r\n");
    }
    bool sends_body = str_eq(request->method, STR("POST")) || str_eq(request->method, STR("PUT")) ||
                      str_eq(request->method, STR("PATCH"));
    add_framing(h1, out, exchange->out, sends_body);
    buf_addz(out, "\r\n");
    stream_write_end(connection->stream);
    http_pump_later(connection);
}

/* ---- bodies ---- */

/* One piece into the stream. Returns what the body's read returned. */
static ssize_t write_piece(struct http_connection *connection, struct http_exchange *exchange)
{
    struct http1 *h1 = connection->h1;
    struct buf *out = stream_write_begin(connection->stream);
    size_t head = h1->chunked ? CHUNK_HEAD : 0;
    char *room = buf_room(out, PIECE + CHUNK_HEAD + 2);
    ssize_t got = http_exchange_read(exchange, room + head, PIECE);
    if (got > 0) {
        if (h1->chunked) {
            char text[CHUNK_HEAD + 1];
            snprintf(text, sizeof text, "%06zx\r\n", (size_t)got & 0xffffff);
            memcpy(room, text, CHUNK_HEAD);
        }
        out->n += head + (size_t)got;
        buf_addz(out, h1->chunked ? "\r\n" : "");
    } else if (got == 0 && h1->chunked) {
        buf_addz(out, "0\r\n\r\n");
    }
    stream_write_end(connection->stream);
    return got;
}

static void body_done(struct http_exchange *exchange)
{
    if (exchange->connection->ops != NULL) {
        exchange->out_done = true;
    }
    http_exchange_free_body(exchange);
}

void http1_pump(struct http_connection *connection)
{
    struct http_exchange *exchange = connection->h1->exchange;
    if (exchange == NULL || (connection->ops != NULL && !exchange->responded)) {
        return;
    }
    while (exchange->out != NULL && !exchange->deferred && !connection->closing &&
           stream_queued(connection->stream) < HTTP_SEND_MARK) {
        ssize_t got = write_piece(connection, exchange);
        if (got == HTTP_BODY_LATER) {
            exchange->deferred = true;
        } else if (got == HTTP_BODY_FAILED) {
            http_connection_abort(connection, ERR_CANCELED, "body failed");
        } else if (got == 0 || (exchange->out_sent == exchange->out->length)) {
            body_done(exchange);
        }
    }
    if (exchange->out_done && !connection->closing) {
        http1_finish(exchange);
    }
}

void http1_resume(struct http_exchange *exchange)
{
    (void)exchange; /* the pump looks at `deferred` */
}

void http1_finish(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct http1 *h1 = connection->h1;
    if (!exchange->in_done) { /* refused: the rest of the request is not read */
        http_connection_close(connection);
        return;
    }
    h1->exchange = NULL;
    http_server_end(exchange);
    http1_next(connection);
}
