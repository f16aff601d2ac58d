/* http1.c: HTTP/1.1 (RFC 9112) read by llhttp, both sides, under the interface of http_int.h.
 *
 * A connection carries one exchange at a time. After each message the parser is paused: what
 * follows waits in `pending` (and beyond PENDING_MAX in the socket) until the answer is complete.
 * The owner is called outside of llhttp, because an upgrade takes the parser away.
 *
 * Strictness: llhttp without its lenient flags refuses what smuggling needs (both lengths, bad
 * chunk sizes, spaces before colons); here a request has exactly one Host and a target in origin or
 * absolute form. Writing is left to http1_write.c.
 */
#include "wire/http1_int.h"

#include <llhttp.h>
#include <stdlib.h>

#include "base/mem.h"

enum { PENDING_MAX = 65536 };

/* ---- collecting the head ---- */

static bool head_room(struct http1 *h1, size_t size)
{
    h1->head_size += size;
    if (h1->head_size > HTTP_HEADERS_MAX) {
        h1->too_large = true;
        return false;
    }
    return true;
}

static int add_part(llhttp_t *parser, const char *at, size_t size, enum http1_part part)
{
    struct http1 *h1 = parser->data;
    if (h1->exchange == NULL) {
        return -1; /* cancelled */
    }
    if (h1->exchange->head_done) {
        return 0; /* trailers: nobody asks for them */
    }
    if (part == HTTP1_NAME && h1->part != HTTP1_NAME) {
        if (h1->field_count == HTTP1_FIELDS_MAX || !head_room(h1, 32)) {
            h1->too_large = true;
            return -1;
        }
        if (h1->field_count == h1->field_cap) {
            h1->field_cap = h1->field_cap != 0 ? 2 * h1->field_cap : 16;
            h1->fields = mem_realloc(h1->fields, h1->field_cap * sizeof *h1->fields);
        }
        h1->fields[h1->field_count++] = (struct http1_field){(uint32_t)h1->head.n, 0, 0, 0};
    }
    if (!head_room(h1, size)) {
        return -1;
    }
    if (part == HTTP1_TARGET) {
        h1->target_size += size;
    } else if (part == HTTP1_NAME) {
        h1->fields[h1->field_count - 1].name_size += (uint32_t)size;
    } else if (h1->field_count > 0) {
        struct http1_field *field = &h1->fields[h1->field_count - 1];
        field->value = h1->part == HTTP1_VALUE ? field->value : (uint32_t)h1->head.n;
        field->value_size += (uint32_t)size;
    }
    h1->part = part;
    buf_add(&h1->head, at, size);
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    return add_part(parser, at, size, HTTP1_TARGET);
}

static int on_name(llhttp_t *parser, const char *at, size_t size)
{
    return add_part(parser, at, size, HTTP1_NAME);
}

static int on_value(llhttp_t *parser, const char *at, size_t size)
{
    return add_part(parser, at, size, HTTP1_VALUE);
}

static void lower(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z') {
            text[i] |= 0x20;
        }
    }
}

static bool take_headers(struct http1 *h1)
{
    struct http_exchange *exchange = h1->exchange;
    for (size_t i = 0; i < h1->field_count; i++) {
        struct http1_field *field = &h1->fields[i];
        lower(h1->head.p + field->name, field->name_size);
        struct str value = str_trim(str_at(h1->head.p + field->value, field->value_size));
        if (!http_exchange_add_header(exchange, str_at(h1->head.p + field->name, field->name_size),
                                      value)) {
            return false;
        }
    }
    return true;
}

static void reset_head(struct http1 *h1)
{
    buf_done(&h1->head);
    free(h1->fields);
    h1->fields = NULL;
    h1->field_count = h1->field_cap = h1->head_size = h1->target_size = 0;
    h1->part = HTTP1_TARGET;
    h1->too_large = false;
}

/* ---- a message ---- */

static int on_begin(llhttp_t *parser)
{
    struct http1 *h1 = parser->data;
    struct http_connection *connection = h1->connection;
    reset_head(h1);
    if (connection->ops != NULL) {
        h1->exchange = http_exchange_new(connection);
        h1->exchange->request.version = 1;
        http_server_begin(h1->exchange);
    } else if (h1->exchange == NULL) {
        return -1; /* an answer that nobody asked for */
    } else {
        http_exchange_clear_headers(h1->exchange);
    }
    return 0;
}

/* RFC 9112 3.2: origin form, absolute form, or the asterisk of OPTIONS. */
static bool take_target(struct http_exchange *exchange, struct str target)
{
    if (str_starts(target, STR("http://")) || str_starts(target, STR("https://"))) {
        struct str rest = str_from(target, target.p[4] == 's' ? 8 : 7);
        const char *slash = memchr(rest.p, '/', rest.n);
        target = slash != NULL ? str_from(rest, (size_t)(slash - rest.p)) : STR("/");
    }
    if (target.n == 0 || (target.p[0] != '/' && !str_is(target, "*"))) {
        return false;
    }
    http_split_target(str_copy_in(&exchange->arena, target), &exchange->request);
    return true;
}

static bool has_token(struct str list, const char *token)
{
    while (list.p != NULL) {
        struct str item = str_trim(str_cut(list, ',', &list));
        size_t size = strlen(token);
        bool same = item.n == size;
        for (size_t i = 0; same && i < size; i++) {
            same = (item.p[i] | 0x20) == token[i];
        }
        if (same) {
            return true;
        }
    }
    return false;
}

static bool take_request(struct http1 *h1)
{
    struct http_exchange *exchange = h1->exchange;
    size_t hosts = 0;
    for (size_t i = 0; i < exchange->header_count; i++) {
        const struct http_header *header = &exchange->headers[i];
        if (str_eq(header->name, STR("host"))) {
            exchange->request.authority = header->value;
            hosts++;
        }
    }
    exchange->request.method =
        str_of(llhttp_method_name((llhttp_method_t)llhttp_get_method(h1->parser)));
    h1->version_minor = h1->parser->http_minor;
    if (h1->parser->http_major != 1 || hosts > 1 || (hosts == 0 && h1->version_minor >= 1) ||
        !take_target(exchange, str_at(h1->head.p, h1->target_size))) {
        return false;
    }
    const struct http_header *headers = exchange->headers;
    size_t count = exchange->header_count;
    exchange->upgrade = h1->version_minor >= 1 &&
                        http_header_get(headers, count, STR("upgrade")).n > 0 &&
                        has_token(http_header_get(headers, count, STR("connection")), "upgrade");
    exchange->wants_continue =
        has_token(http_header_get(headers, count, STR("expect")), "100-continue");
    return true;
}

static int server_head(struct http1 *h1)
{
    struct http_exchange *exchange = h1->exchange;
    if (!take_headers(h1)) {
        h1->too_large = true;
        return -1;
    }
    if (!take_request(h1)) {
        return -1;
    }
    h1->keep_alive = llhttp_should_keep_alive(h1->parser) != 0;
    http_server_head(exchange);
    reset_head(h1);
    if (exchange->wants_continue && h1->version_minor >= 1 && !exchange->refused) {
        stream_write(h1->connection->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    if (exchange->streaming) {
        http_server_deliver(exchange);
    }
    return 0;
}

static int client_head(struct http1 *h1)
{
    struct http_exchange *exchange = h1->exchange;
    exchange->status = llhttp_get_status_code(h1->parser);
    if (exchange->status < 200 && exchange->status != 101) {
        reset_head(h1);
        return 0;
    }
    if (!take_headers(h1)) {
        return -1;
    }
    reset_head(h1);
    exchange->head_done = true;
    bool no_body = exchange->head_only;
    http_client_headers(exchange);
    return h1->exchange == NULL ? -1 : no_body ? 1 : 0;
}

static int on_head(llhttp_t *parser)
{
    struct http1 *h1 = parser->data;
    return h1->connection->ops != NULL ? server_head(h1) : client_head(h1);
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct http1 *h1 = parser->data;
    if (h1->exchange == NULL) {
        return -1;
    }
    if (h1->connection->ops == NULL) {
        http_client_data(h1->exchange, at, size);
        return h1->exchange == NULL ? -1 : 0;
    }
    http_server_body(h1->exchange, at, size);
    return 0;
}

static int on_complete(llhttp_t *parser)
{
    struct http1 *h1 = parser->data;
    if (h1->exchange == NULL) {
        return -1;
    }
    if (h1->connection->ops != NULL) {
        http_server_body_end(h1->exchange);
    } else if (!h1->exchange->head_done) {
        return 0; /* 100 Continue and its kin */
    } else {
        h1->exchange->in_done = true;
        h1->keep_alive = llhttp_should_keep_alive(parser) != 0;
    }
    h1->complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* ---- input ---- */

static void bad_message(struct http1 *h1)
{
    struct http_connection *connection = h1->connection;
    if (connection->ops == NULL) {
        http_connection_abort(connection, ERR_PARSE, "malformed HTTP/1.1 answer");
        return;
    }
    if (h1->exchange == NULL || (!h1->exchange->responded && !h1->exchange->delivered)) {
        const char *text = h1->too_large ? "HTTP/1.1 431 Request Header Fields Too Large\r\n"
                                           "connection: close\r\ncontent-length: 0\r\n\r\n"
                                         : "HTTP/1.1 400 Bad Request\r\n"
                                           "connection: close\r\ncontent-length: 0\r\n\r\n";
        stream_write(connection->stream, text, strlen(text));
    }
    http_connection_close(connection);
}

/* A message is complete, we are outside of llhttp. The connection may be gone afterwards. */
static void message_done(struct http1 *h1)
{
    struct http_exchange *exchange = h1->exchange;
    if (h1->connection->ops == NULL) {
        struct err none = ERR_INIT;
        h1->exchange = NULL;
        http_client_end(exchange, &none);
        http1_next(h1->connection);
        return;
    }
    if (exchange->out_done) {
        http1_finish(exchange);
    } else {
        http_server_deliver(exchange);
    }
}

/* Parses up to the end of a message; the rest goes to `pending`. */
static void parse(struct http1 *h1, const char *bytes, size_t size)
{
    struct http_connection *connection = h1->connection;
    const char *end = bytes + size;
    while (bytes < end) {
        llhttp_errno_t rc = llhttp_execute(h1->parser, bytes, (size_t)(end - bytes));
        if (rc == HPE_OK) {
            break;
        }
        if (rc != HPE_PAUSED && rc != HPE_PAUSED_UPGRADE) {
            bad_message(h1);
            return;
        }
        bytes = llhttp_get_error_pos(h1->parser);
        if (h1->complete) {
            buf_add(&h1->pending, bytes, (size_t)(end - bytes));
            message_done(h1);
            return;
        }
        llhttp_resume_after_upgrade(h1->parser); /* an upgrade that was not taken */
    }
    if (connection->ops != NULL) {
        http_server_watch(connection);
    }
}

static void h1_input(struct http_connection *connection, const char *bytes, size_t size)
{
    struct http1 *h1 = connection->h1;
    if (connection->closing) {
        return;
    }
    if (!h1->complete && h1->pending.n == 0) {
        parse(h1, bytes, size);
        return;
    }
    buf_add(&h1->pending, bytes, size);
    if (h1->pending.n > PENDING_MAX) {
        h1->input_paused = true;
        stream_pause(connection->stream);
    }
}

static void run_pending(struct task *task)
{
    struct http1 *h1 = container_of(task, struct http1, rerun);
    struct http_connection *connection = h1->connection;
    h1->rerun_queued = false;
    if (connection->closing || connection->stream == NULL) {
        return;
    }
    if (h1->input_paused) {
        h1->input_paused = false;
        stream_resume(connection->stream);
    }
    struct buf pending = h1->pending;
    h1->pending = (struct buf)BUF_INIT;
    parse(h1, pending.p, pending.n);
    buf_done(&pending);
}

void http1_next(struct http_connection *connection)
{
    struct http1 *h1 = connection->h1;
    if (connection->stream == NULL || connection->closing) {
        return;
    }
    if (!h1->keep_alive || connection->draining) {
        http_connection_close(connection);
        return;
    }
    h1->complete = false;
    llhttp_resume(h1->parser);
    if (!h1->input_paused) {
        stream_resume(connection->stream); /* the exchange may have ended while paused */
    }
    if (connection->ops == NULL) {
        http1_send_next(connection);
    }
    if (h1->pending.n > 0 || h1->input_paused) {
        h1->rerun.run = run_pending;
        h1->rerun_queued = true;
        loop_defer(connection->loop, &h1->rerun);
    }
}

static void h1_eof(struct http_connection *connection)
{
    struct http1 *h1 = connection->h1;
    if (connection->ops == NULL && h1->exchange != NULL && h1->exchange->head_done &&
        llhttp_message_needs_eof(h1->parser) && llhttp_finish(h1->parser) != HPE_OK &&
        h1->complete) {
        h1->keep_alive = false;
        message_done(h1);
        return;
    }
    http_connection_close(connection);
}

static void h1_consumed(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (!connection->h1->input_paused && connection->stream != NULL) {
        stream_resume(connection->stream);
    }
}

static void h1_cancel(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    bool in_flight = connection->h1->exchange == exchange;
    if (in_flight) {
        connection->h1->exchange = NULL;
    }
    http_exchange_free(exchange);
    if (in_flight) {
        http_connection_abort(connection, ERR_CANCELED, "request cancelled");
    }
}

static void h1_forget(struct http_exchange *exchange)
{
    struct http1 *h1 = exchange->connection->h1;
    if (h1->exchange == exchange) {
        h1->exchange = NULL;
    }
}

static void h1_drain(struct http_connection *connection)
{
    if (connection->h1->exchange == NULL) {
        http_connection_close(connection);
    }
}

static void h1_free(struct http_connection *connection)
{
    struct http1 *h1 = connection->h1;
    if (h1->rerun_queued) {
        list_remove(&h1->rerun.link);
    }
    reset_head(h1);
    buf_done(&h1->pending);
    free(h1->parser);
    free(h1);
    connection->h1 = NULL;
}

const struct http_protocol_ops http1_ops = {
    .input = h1_input,
    .eof = h1_eof,
    .respond = http1_respond,
    .request = http1_request,
    .pump = http1_pump,
    .resume = http1_resume,
    .consumed = h1_consumed,
    .cancel = h1_cancel,
    .forget = h1_forget,
    .drain = h1_drain,
    .free = h1_free,
};

void http1_start(struct http_connection *connection)
{
    connection->protocol = &http1_ops;
    connection->h1 = mem_new(struct http1);
    connection->h1->parser = mem_new(llhttp_t);
    connection->h1->connection = connection;
    connection->h1->part = HTTP1_TARGET;
    connection->h1->keep_alive = true;
    llhttp_init(connection->h1->parser, connection->ops != NULL ? HTTP_REQUEST : HTTP_RESPONSE,
                &settings);
    connection->h1->parser->data = connection->h1;
}
