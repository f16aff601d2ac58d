/* http2.c: HTTP/2 (RFC 9113) by nghttp2, both sides, under the interface of http_int.h.
 *
 * Input goes through nghttp2_session_mem_recv; output is pumped at the end of the turn straight
 * into the stream's write buffer. Bodies are read by nghttp2's "no copy" way: the body writes its
 * bytes where the frame will lie in that buffer, and the 9 bytes of frame head are put in front.
 *
 * Windows are given back by us: for whole bodies as they are buffered, up to HELD_MAX a connection
 * (beyond that only for the oldest request, so that one always makes progress); for paused
 * exchanges when they resume.
 *
 * Abuse: nghttp2 limits resets that the peer makes, CONTINUATION frames and queued acknowledgements
 * (CVE-2023-44487, 2024-28182, 2019-9512); here we count frames that do nothing, and resets that
 * the peer makes us send (CVE-2025-8671).
 */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "wire/http2_memory.h"
#include "wire/http_int.h"

enum {
    SERVER_WINDOW = 262144,
    CLIENT_WINDOW = 1 << 20,
    SERVER_CONNECTION_WINDOW = 1 << 20,
    CLIENT_CONNECTION_WINDOW = 8 << 20,
    HELD_MAX = 8 << 20, /* buffered request bodies, a connection */
    FRAME_HEAD = 9,
    FRAME_MAX = 16384,
    GLITCH_BURST = 2000, /* frames that do nothing ... */
    GLITCH_RATE = 200,   /* ... and how many a second are forgiven */
    FIELDS_MAX = 64,
    TRAILERS_MAX = 8
};

struct http2 {
    nghttp2_session *session;
    struct buf *out; /* while pumping */
    size_t out_start;
    struct http_exchange *receiving; /* whose header block comes in */
    size_t held;                     /* window withheld, all exchanges */
    bool early_answers;              /* some were given before their request was whole */
    int64_t glitches, glitch_second;
    struct http2_memory memory;
};

static struct http_exchange *exchange_of(struct http2 *h2, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(h2->session, stream_id);
}

/* ---- abuse ---- */

/* Counts a frame that does nothing for anybody. False: too many, the connection ends. */
static bool glitch(struct http_connection *connection, int64_t weight)
{
    struct http2 *h2 = connection->h2;
    int64_t second = loop_mono(connection->loop) / NS_PER_S;
    int64_t forgiven = (second - h2->glitch_second) * GLITCH_RATE;
    h2->glitches = h2->glitches > forgiven ? h2->glitches - forgiven : 0;
    h2->glitch_second = second;
    h2->glitches += weight;
    if (h2->glitches > GLITCH_BURST) {
        nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
        return false;
    }
    return true;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *user_data)
{
    struct http_connection *connection = user_data;
    bool useful = head->type == NGHTTP2_HEADERS || head->type == NGHTTP2_CONTINUATION ||
                  head->type == NGHTTP2_WINDOW_UPDATE || /* many for a large answer */
                  (head->type == NGHTTP2_DATA &&
                   (head->length > 0 || (head->flags & NGHTTP2_FLAG_END_STREAM) != 0));
    if (!useful && connection->ops != NULL) {
        glitch(connection, 1);
    }
    return 0;
}

/* ---- incoming ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http_connection *connection = user_data;
    struct http2 *h2 = connection->h2;
    if (connection->ops != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        struct http_exchange *exchange = http_exchange_new(connection);
        exchange->stream_id = frame->hd.stream_id;
        exchange->request.version = 2;
        http_server_begin(exchange);
        nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, exchange);
        h2->receiving = exchange;
        return 0;
    }
    h2->receiving = exchange_of(h2, frame->hd.stream_id);
    if (h2->receiving != NULL && connection->ops == NULL) {
        http_exchange_clear_headers(h2->receiving);
    }
    return 0;
}

static void request_pseudo(struct http_exchange *exchange, struct str name, struct str value)
{
    struct http_request *request = &exchange->request;
    struct str copy = str_copy_in(&exchange->arena, value);
    if (str_eq(name, STR(":method"))) {
        request->method = copy;
    } else if (str_eq(name, STR(":path"))) {
        http_split_target(copy, request);
    } else if (str_eq(name, STR(":authority"))) {
        request->authority = copy;
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user_data)
{
    struct http_connection *connection = user_data;
    struct http_exchange *exchange = connection->h2->receiving;
    struct str name_text = str_at((const char *)name, name_size);
    struct str value_text = str_at((const char *)value, value_size);
    if (exchange == NULL || exchange->refused) {
        return 0;
    }
    if (connection->ops != NULL && exchange->head_done) {
        return 0; /* trailers of a request: nobody asks for them */
    }
    if (name_size > 0 && name[0] == ':') {
        exchange->header_bytes += name_size + value_size + 32;
        if (connection->ops == NULL) {
            uint64_t status;
            if (str_u64(value_text, &status)) {
                exchange->status = (int)status;
            }
        } else if (exchange->header_bytes <= HTTP_HEADERS_MAX) {
            request_pseudo(exchange, name_text, value_text);
        }
        return 0;
    }
    if (!http_exchange_add_header(exchange, name_text, value_text)) {
        if (connection->ops == NULL) {
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
        exchange->refused = true; /* answered when the block ends */
    }
    return 0;
}

static void server_headers(struct http_exchange *exchange, bool end_stream)
{
    if (exchange->head_done) { /* trailers */
        if (end_stream) {
            http_server_body_end(exchange);
            http_server_deliver(exchange);
        }
        return;
    }
    if (exchange->refused) {
        exchange->head_done = true;
        http_server_refuse(exchange, 431);
    } else if (exchange->request.path.n == 0 ||
               (exchange->request.path.p[0] != '/' && !str_is(exchange->request.path, "*"))) {
        exchange->head_done = true;
        http_server_refuse(exchange, 400); /* CONNECT, too: nobody is a proxy here */
    } else {
        if (exchange->request.authority.p == NULL) {
            exchange->request.authority =
                http_header_get(exchange->headers, exchange->header_count, STR("host"));
        }
        http_server_head(exchange);
    }
    if (end_stream) {
        if (exchange->streaming) {
            http_server_deliver(exchange);
        }
        http_server_body_end(exchange);
        http_server_deliver(exchange);
    } else if (exchange->streaming) {
        http_server_deliver(exchange);
    } else if (str_is(http_header_get(exchange->headers, exchange->header_count, STR("expect")),
                      "100-continue") &&
               !exchange->refused) {
        nghttp2_nv go_on = {(uint8_t *)":status", (uint8_t *)"100", 7, 3, 0};
        nghttp2_submit_headers(exchange->connection->h2->session, NGHTTP2_FLAG_NONE,
                               exchange->stream_id, NULL, &go_on, 1, NULL);
    }
}

static void client_headers(struct http_exchange *exchange)
{
    if (!exchange->head_done) {
        if (exchange->status >= 200) {
            exchange->head_done = true;
            http_client_headers(exchange);
        }
    } else if (exchange->client_ops->on_trailers != NULL && !exchange->ended) {
        exchange->client_ops->on_trailers(exchange->client_ctx, exchange, exchange->headers,
                                          exchange->header_count);
    }
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http_connection *connection = user_data;
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct http_exchange *exchange;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        exchange = exchange_of(connection->h2, frame->hd.stream_id);
        connection->h2->receiving = NULL;
        if (exchange == NULL) {
            break;
        }
        if (connection->ops != NULL) {
            server_headers(exchange, end_stream);
        } else {
            exchange->in_done |= end_stream;
            client_headers(exchange); /* may cancel it */
        }
        break;
    case NGHTTP2_DATA:
        exchange = end_stream ? exchange_of(connection->h2, frame->hd.stream_id) : NULL;
        if (exchange != NULL && connection->ops != NULL) {
            http_server_body_end(exchange);
            http_server_deliver(exchange);
        } else if (exchange != NULL) {
            exchange->in_done = true;
        }
        break;
    case NGHTTP2_GOAWAY:
        connection->draining = true;
        break;
    default:
        break;
    }
    return 0;
}

/* ---- windows ---- */

static void withhold(struct http_exchange *exchange, size_t size)
{
    exchange->unconsumed += size;
    exchange->connection->h2->held += size;
}

static void give_back(struct http_exchange *exchange)
{
    struct http2 *h2 = exchange->connection->h2;
    size_t size = exchange->unconsumed;
    exchange->unconsumed = 0;
    h2->held -= size;
    if (size > 0) {
        nghttp2_session_consume_stream(h2->session, exchange->stream_id, size);
        http_pump_later(exchange->connection);
    }
}

static size_t buffered_bodies(const struct http_connection *connection)
{
    size_t total = 0;
    LIST_EACH (it, &connection->exchanges) {
        total += container_of(it, struct http_exchange, link)->body.n;
    }
    return total;
}

static bool may_consume(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    if (exchange->receive_paused) {
        return false;
    }
    return connection->ops == NULL || exchange->streaming ||
           connection->exchanges.next == &exchange->link ||
           (exchange->body.n < SERVER_WINDOW / 2) || buffered_bodies(connection) < HELD_MAX;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *bytes, size_t size, void *user_data)
{
    struct http_connection *connection = user_data;
    struct http_exchange *exchange = exchange_of(connection->h2, stream_id);
    nghttp2_session_consume_connection(session, size);
    if (exchange == NULL) {
        return 0;
    }
    if (connection->ops != NULL) {
        http_server_body(exchange, (const char *)bytes, size);
    } else {
        http_client_data(exchange, (const char *)bytes, size);
        exchange = exchange_of(connection->h2, stream_id); /* it may have been cancelled */
        if (exchange == NULL) {
            return 0;
        }
    }
    if (may_consume(exchange)) {
        nghttp2_session_consume_stream(session, stream_id, size);
    } else {
        withhold(exchange, size);
    }
    return 0;
}

static void h2_consumed(struct http_exchange *exchange)
{
    give_back(exchange);
}

/* A request is over: others may go on with their bodies. */
static void release_held(struct http_connection *connection)
{
    LIST_EACH (it, &connection->exchanges) {
        struct http_exchange *exchange = container_of(it, struct http_exchange, link);
        if (exchange->unconsumed > 0 && may_consume(exchange)) {
            give_back(exchange);
        }
    }
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user_data)
{
    struct http_connection *connection = user_data;
    struct http_exchange *exchange = exchange_of(connection->h2, stream_id);
    if (exchange == NULL) {
        return 0;
    }
    nghttp2_session_set_stream_user_data(session, stream_id, NULL);
    if (connection->h2->receiving == exchange) {
        connection->h2->receiving = NULL;
    }
    connection->h2->held -= exchange->unconsumed;
    exchange->unconsumed = 0;
    if (connection->ops != NULL) {
        http_server_end(exchange);
    } else {
        struct err err = ERR_INIT;
        if (error_code == NGHTTP2_REFUSED_STREAM) {
            err_set(&err, ERR_UNAVAILABLE, "HTTP/2 stream refused");
        } else if (error_code != NGHTTP2_NO_ERROR || !exchange->in_done) {
            err_set(&err, ERR_CLOSED, "HTTP/2 stream reset: %s",
                    nghttp2_http2_strerror(error_code));
        }
        http_client_end(exchange, &err);
    }
    if (connection->h2->held > 0) {
        release_held(connection);
    }
    return 0;
}

/* ---- outgoing ---- */

static ssize_t on_read_body(nghttp2_session *session, int32_t stream_id, uint8_t *ignored,
                            size_t length, uint32_t *flags, nghttp2_data_source *source,
                            void *user_data)
{
    struct http_connection *connection = user_data;
    struct http2 *h2 = connection->h2;
    struct http_exchange *exchange = exchange_of(h2, stream_id);
    if (exchange == NULL || exchange->out == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* cancelled meanwhile */
    }
    size_t size = length < FRAME_MAX ? length : FRAME_MAX;
    char *room = buf_room(h2->out, size + FRAME_HEAD) + FRAME_HEAD;
    ssize_t got = http_exchange_read(exchange, room, size);
    if (got == HTTP_BODY_LATER) {
        exchange->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (got < 0) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    struct http_body *body = exchange->out;
    if (got == 0 || exchange->out_sent == body->length) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        struct http_header fields[TRAILERS_MAX];
        size_t count = body->trailers != NULL ? body->trailers(body, fields, TRAILERS_MAX) : 0;
        nghttp2_nv trailer[TRAILERS_MAX];
        for (size_t i = 0; i < count; i++) {
            trailer[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)fields[i].name.p,
                                      (uint8_t *)(uintptr_t)fields[i].value.p, fields[i].name.n,
                                      fields[i].value.n, NGHTTP2_NV_FLAG_NONE};
        }
        if (count > 0 && nghttp2_submit_trailer(session, stream_id, trailer, count) == 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        }
        if (connection->ops != NULL) {
            exchange->out_done = true;
        }
        http_exchange_free_body(exchange);
    }
    return got;
}

/* The body's bytes lie behind `out` already: see on_read_body, which ran just before. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t length, nghttp2_data_source *source, void *user_data)
{
    struct http_connection *connection = user_data;
    struct buf *out = connection->h2->out;
    memcpy(out->p + out->n, head, FRAME_HEAD);
    out->n += FRAME_HEAD + length;
    out->p[out->n] = 0;
    bool full = out->n - connection->h2->out_start >= HTTP_SEND_MARK;
    return full ? NGHTTP2_ERR_PAUSE : 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user_data)
{
    struct http_connection *connection = user_data;
    if (frame->hd.type == NGHTTP2_RST_STREAM && connection->ops != NULL &&
        frame->rst_stream.error_code != NGHTTP2_NO_ERROR) {
        glitch(connection, 10);
    }
    if (connection->h2->early_answers && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
        (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS)) {
        struct http_exchange *exchange = exchange_of(connection->h2, frame->hd.stream_id);
        if (exchange != NULL && connection->ops != NULL && !exchange->in_done) {
            /* Answered; what the peer still sends is of no use (RFC 9113 8.1). */
            nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                      NGHTTP2_NO_ERROR);
        }
    }
    return 0;
}

static void h2_pump(struct http_connection *connection)
{
    struct http2 *h2 = connection->h2;
    size_t queued = stream_queued(connection->stream);
    if (queued >= HTTP_SEND_MARK / 2 || connection->closing) {
        return; /* on_drain comes */
    }
    h2->out = stream_write_begin(connection->stream);
    h2->out_start = h2->out->n - queued;
    ssize_t size = 0;
    const uint8_t *bytes;
    while (h2->out->n - h2->out_start < HTTP_SEND_MARK &&
           (size = nghttp2_session_mem_send(h2->session, &bytes)) > 0) {
        buf_add(h2->out, bytes, (size_t)size);
    }
    bool full = h2->out->n - h2->out_start >= HTTP_SEND_MARK;
    h2->out = NULL;
    stream_write_end(connection->stream);
    if (size < 0 && size != NGHTTP2_ERR_PAUSE) {
        http_connection_abort(connection, ERR_INTERNAL, nghttp2_strerror((int)size));
    } else if (!full &&
               (!nghttp2_session_want_read(h2->session) ||
                (connection->draining && connection->exchange_count == 0)) &&
               !nghttp2_session_want_write(h2->session)) {
        http_connection_close(connection);
    }
}

static nghttp2_nv field_nv(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
                        value.n, NGHTTP2_NV_FLAG_NONE};
}

static bool is_hop_by_hop(struct str name)
{
    return str_eq(name, STR("connection")) || str_eq(name, STR("transfer-encoding")) ||
           str_eq(name, STR("keep-alive")) || str_eq(name, STR("upgrade")) ||
           str_eq(name, STR("proxy-connection")) || str_eq(name, STR("content-length")) ||
           str_eq(name, STR("host"));
}

/* Fields and, for a known length, content-length after the pseudo fields that are there. */
static size_t add_fields(nghttp2_nv *fields, size_t at, const struct http_header *headers,
                         size_t count, const struct http_body *body, char length_text[24])
{
    for (size_t i = 0; i < count && at < FIELDS_MAX - 2; i++) {
        if (!is_hop_by_hop(headers[i].name)) {
            fields[at++] = field_nv(headers[i].name, headers[i].value);
        }
    }
    if (body != NULL && body->length >= 0) {
        int size = snprintf(length_text, 24, "%lld", (long long)body->length);
        fields[at++] = field_nv(STR("content-length"), str_at(length_text, (size_t)size));
    }
    return at;
}

static void h2_respond(struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    struct http_connection *connection = exchange->connection;
    char status_text[12], length_text[24];
    nghttp2_nv fields[FIELDS_MAX];
    int size = snprintf(status_text, sizeof status_text, "%d", status);
    fields[0] = field_nv(STR(":status"), str_at(status_text, (size_t)size));
    fields[1] = field_nv(STR("date"), http_date(connection));
    bool bare = status == 204 || status == 304;
    size_t total = add_fields(fields, 2, headers, count, bare ? NULL : exchange->out, length_text);
    if (exchange->head_only || bare) {
        http_exchange_free_body(exchange);
    }
    if (exchange->out == NULL) {
        exchange->out_done = true;
    }
    nghttp2_data_provider provider = {.read_callback = on_read_body};
    nghttp2_submit_response(connection->h2->session, exchange->stream_id, fields, total,
                            exchange->out != NULL ? &provider : NULL);
    connection->h2->early_answers |= !exchange->in_done;
}

static void h2_request(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    const struct http_request *request = &exchange->request;
    char length_text[24];
    nghttp2_nv fields[FIELDS_MAX];
    fields[0] = field_nv(STR(":method"), request->method);
    fields[1] = field_nv(STR(":scheme"),
                         stream_alpn(connection->stream).n > 0 ? STR("https") : STR("http"));
    fields[2] = field_nv(STR(":authority"), request->authority);
    fields[3] = field_nv(STR(":path"), request->path);
    size_t total =
        add_fields(fields, 4, request->headers, request->header_count, exchange->out, length_text);
    nghttp2_data_provider provider = {.read_callback = on_read_body};
    exchange->stream_id =
        nghttp2_submit_request(connection->h2->session, NULL, fields, total,
                               exchange->out != NULL ? &provider : NULL, exchange);
    if (exchange->stream_id < 0) {
        exchange->stream_id = 0;
        http_client_doom(exchange); /* no more stream ids, or going away */
    }
    http_pump_later(connection);
}

static void h2_resume(struct http_exchange *exchange)
{
    nghttp2_session_resume_data(exchange->connection->h2->session, exchange->stream_id);
}

static void h2_cancel(struct http_exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct http2 *h2 = connection->h2;
    if (exchange->stream_id > 0) {
        nghttp2_session_set_stream_user_data(h2->session, exchange->stream_id, NULL);
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, exchange->stream_id,
                                  NGHTTP2_CANCEL);
        http_pump_later(connection);
    }
    if (h2->receiving == exchange) {
        h2->receiving = NULL;
    }
    h2->held -= exchange->unconsumed;
    http_exchange_free(exchange);
}

static void h2_forget(struct http_exchange *exchange)
{
    struct http2 *h2 = exchange->connection->h2;
    nghttp2_session_set_stream_user_data(h2->session, exchange->stream_id, NULL);
    if (h2->receiving == exchange) {
        h2->receiving = NULL;
    }
}

/* ---- the connection ---- */

static void h2_input(struct http_connection *connection, const char *bytes, size_t size)
{
    struct http2 *h2 = connection->h2;
    if (connection->closing) {
        return;
    }
    ssize_t used = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes, size);
    if (used < 0) {
        if (used != NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
            nghttp2_session_terminate_session(h2->session, NGHTTP2_PROTOCOL_ERROR);
            h2_pump(connection);
        }
        http_connection_close(connection);
        return;
    }
    if (connection->ops != NULL) {
        http_server_watch(connection);
    }
    http_pump_later(connection);
}

static void h2_eof(struct http_connection *connection)
{
    http_connection_close(connection); /* nothing can be answered without window updates */
}

static void h2_drain(struct http_connection *connection)
{
    nghttp2_session *session = connection->h2->session;
    nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR, NULL,
                          0);
}

static void h2_free(struct http_connection *connection)
{
    nghttp2_session_del(connection->h2->session);
    free(connection->h2);
    connection->h2 = NULL;
}

const struct http_protocol_ops http2_ops = {
    .input = h2_input,
    .eof = h2_eof,
    .respond = h2_respond,
    .request = h2_request,
    .pump = h2_pump,
    .resume = h2_resume,
    .consumed = h2_consumed,
    .cancel = h2_cancel,
    .forget = h2_forget,
    .drain = h2_drain,
    .free = h2_free,
};

static nghttp2_session_callbacks *make_callbacks(void)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        abort(); /* no memory */
    }
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    return callbacks;
}

static void make_session(struct http_connection *connection)
{
    nghttp2_option *option;
    nghttp2_mem memory = http2_memory(&connection->h2->memory);
    nghttp2_session_callbacks *callbacks = make_callbacks();
    if (nghttp2_option_new(&option) != 0) {
        abort();
    }
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    int rc = connection->ops != NULL
                 ? nghttp2_session_server_new3(&connection->h2->session, callbacks, connection,
                                               option, &memory)
                 : nghttp2_session_client_new3(&connection->h2->session, callbacks, connection,
                                               option, &memory);
    if (rc != 0) {
        abort();
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
}

void http2_start(struct http_connection *connection)
{
    bool server = connection->ops != NULL;
    connection->protocol = &http2_ops;
    connection->h2 = mem_new(struct http2);
    make_session(connection);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, server ? SERVER_WINDOW : CLIENT_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADERS_MAX},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH,
         server ? HTTP_STREAMS_MAX : 0},
    };
    nghttp2_submit_settings(connection->h2->session, NGHTTP2_FLAG_NONE, settings, 4);
    nghttp2_session_set_local_window_size(connection->h2->session, NGHTTP2_FLAG_NONE, 0,
                                          server ? SERVER_CONNECTION_WINDOW
                                                 : CLIENT_CONNECTION_WINDOW);
    http_pump_later(connection);
}
