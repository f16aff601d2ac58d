/* websocket.c: RFC 6455 by wslay over a stream that was upgraded: handshakes of both sides, whole
 * messages, the closing handshake.
 *
 * Invariants: on_close is the last call and comes once, from the stream's on_close. A message is at
 * most MESSAGE_MAX bytes; a longer one ends the connection with 1009. After a close frame was sent
 * the peer has the stream's closing second to answer.
 */
#include "wire/websocket.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>
#include <wslay/wslay.h>

#include "base/mem.h"
#include "base/random.h"

enum { MESSAGE_MAX = 1 << 20, KEY_SIZE = 24, ABNORMAL = 1006 };
#define GUID    "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define VERSION "13"

struct websocket {
    struct stream *stream;
    wslay_event_context_ptr wslay;
    const struct websocket_ops *ops;
    void *ctx;
    char *protocol;
    const char *in;
    size_t in_size;
    int close_code;
    bool closing, in_recv;
};

/* ---- wslay's side ---- */

static ssize_t recv_bytes(wslay_event_context_ptr wslay, uint8_t *out, size_t cap, int flags,
                          void *user_data)
{
    struct websocket *socket = user_data;
    size_t size = socket->in_size < cap ? socket->in_size : cap;
    if (size == 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(out, socket->in, size);
    socket->in += size;
    socket->in_size -= size;
    return (ssize_t)size;
}

static ssize_t send_bytes(wslay_event_context_ptr wslay, const uint8_t *bytes, size_t size,
                          int flags, void *user_data)
{
    stream_write(((struct websocket *)user_data)->stream, bytes, size);
    return (ssize_t)size;
}

static int make_mask(wslay_event_context_ptr wslay, uint8_t *out, size_t size, void *user_data)
{
    random_fill(random_real(), out, size);
    return 0;
}

static void on_message(wslay_event_context_ptr wslay,
                       const struct wslay_event_on_msg_recv_arg *message, void *user_data)
{
    struct websocket *socket = user_data;
    if (message->opcode == WSLAY_CONNECTION_CLOSE) {
        socket->close_code = message->status_code != 0 ? message->status_code : 1005;
    } else if (message->opcode == WSLAY_TEXT_FRAME || message->opcode == WSLAY_BINARY_FRAME) {
        if (!socket->closing) {
            socket->ops->on_message(socket->ctx, socket, message->opcode == WSLAY_BINARY_FRAME,
                                    (const char *)message->msg, message->msg_length);
        }
    }
}

static void flush(struct websocket *socket)
{
    if (wslay_event_send(socket->wslay) != 0) {
        stream_abort(socket->stream, ERR_INTERNAL, "WebSocket output failed");
    } else if (wslay_event_get_close_sent(socket->wslay) &&
               (wslay_event_get_close_received(socket->wslay) ||
                !wslay_event_get_read_enabled(socket->wslay))) {
        socket->closing = true;
        stream_close(socket->stream);
    }
}

/* ---- the stream ---- */

static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct websocket *socket = ctx;
    socket->in = bytes;
    socket->in_size = size;
    socket->in_recv = true;
    int rc = wslay_event_recv(socket->wslay);
    socket->in_recv = false;
    socket->in_size = 0;
    if (rc != 0) {
        stream_abort(stream, ERR_PARSE, "malformed WebSocket frames");
    } else {
        flush(socket);
    }
}

static void on_drain(void *ctx, struct stream *stream)
{
    struct websocket *socket = ctx;
    if (socket->ops->on_drain != NULL) {
        socket->ops->on_drain(socket->ctx, socket);
    }
}

static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct websocket *socket = ctx;
    struct err cut = *err;
    if (cut.code == 0 && socket->close_code == ABNORMAL && !socket->closing) {
        err_set(&cut, ERR_CLOSED, "WebSocket closed without a close frame");
    }
    socket->ops->on_close(socket->ctx, socket, socket->close_code, &cut);
    wslay_event_context_free(socket->wslay);
    free(socket->protocol);
    free(socket);
}

static const struct stream_ops stream_ops_ = {
    .on_read = on_read, .on_drain = on_drain, .on_close = on_close};

static struct websocket *socket_new(bool server, const struct websocket_ops *ops, void *ctx)
{
    static const struct wslay_event_callbacks callbacks = {.recv_callback = recv_bytes,
                                                           .send_callback = send_bytes,
                                                           .genmask_callback = make_mask,
                                                           .on_msg_recv_callback = on_message};
    struct websocket *socket = mem_new(struct websocket);
    int rc = server ? wslay_event_context_server_init(&socket->wslay, &callbacks, socket)
                    : wslay_event_context_client_init(&socket->wslay, &callbacks, socket);
    if (rc != 0) {
        abort(); /* no memory */
    }
    wslay_event_config_set_max_recv_msg_length(socket->wslay, MESSAGE_MAX);
    socket->ops = ops;
    socket->ctx = ctx;
    socket->close_code = ABNORMAL;
    return socket;
}

/* ---- handshakes ---- */

static void accept_key(struct str key, struct buf *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    struct buf text BUF_CLEANUP = BUF_INIT;
    buf_str(&text, key);
    buf_addz(&text, GUID);
    EVP_Digest(text.p, text.n, digest, &size, EVP_sha1(), NULL);
    base64_encode(out, digest, size);
}

static bool offers(struct str offered, const char *protocol)
{
    while (offered.p != NULL) {
        if (str_is(str_trim(str_cut(offered, ',', &offered)), protocol)) {
            return true;
        }
    }
    return false;
}

/* All Sec-WebSocket-Protocol fields of the request as one list. */
static void offered_protocols(const struct http_request *request, struct buf *out)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (str_eq(request->headers[i].name, STR("sec-websocket-protocol"))) {
            buf_addz(out, out->n > 0 ? "," : "");
            buf_str(out, request->headers[i].value);
        }
    }
}

static const char *choose(const char *const *protocols, struct str offered)
{
    for (size_t i = 0; protocols != NULL && protocols[i] != NULL; i++) {
        if (*protocols[i] == 0 ? offered.n == 0 : offers(offered, protocols[i])) {
            return protocols[i];
        }
    }
    return NULL;
}

static struct websocket *refuse(struct http_exchange *exchange, const char *why)
{
    struct http_header headers[2] = {{STR("content-type"), STR("text/plain")},
                                     {STR("sec-websocket-version"), STR(VERSION)}};
    http_respond(exchange, 400, headers, 2, http_body_copy(str_of(why)));
    return NULL;
}

struct websocket *websocket_accept(struct http_exchange *exchange, const char *const *protocols,
                                   const struct websocket_ops *ops, void *ctx)
{
    const struct http_request *request = http_request(exchange);
    struct str key =
        http_header_get(request->headers, request->header_count, STR("sec-websocket-key"));
    struct str version =
        http_header_get(request->headers, request->header_count, STR("sec-websocket-version"));
    struct buf offered BUF_CLEANUP = BUF_INIT, accepted BUF_CLEANUP = BUF_INIT;
    struct str wanted = http_upgrade_wanted(exchange);
    if (wanted.n != 9 || strncasecmp(wanted.p, "websocket", 9) != 0 || key.n != KEY_SIZE ||
        !str_is(version, VERSION) || !str_is(request->method, "GET")) {
        return refuse(exchange, "This is not a WebSocket handshake of RFC 6455.\n");
    }
    offered_protocols(request, &offered);
    const char *protocol = choose(protocols, buf_view(&offered));
    if (protocol == NULL) {
        return refuse(exchange, "None of the offered WebSocket protocols is served here.\n");
    }
    accept_key(key, &accepted);
    struct http_header headers[2] = {{STR("sec-websocket-accept"), buf_view(&accepted)},
                                     {STR("sec-websocket-protocol"), str_of(protocol)}};
    struct websocket *socket = socket_new(true, ops, ctx);
    socket->protocol = mem_dupz(protocol);
    socket->stream = http_upgrade(exchange, STR("websocket"), headers, *protocol != 0 ? 2 : 1,
                                  &stream_ops_, socket);
    if (socket->stream == NULL) {
        wslay_event_context_free(socket->wslay);
        free(socket->protocol);
        free(socket);
        return NULL;
    }
    return socket;
}

size_t websocket_client_headers(struct arena *arena, struct str protocols,
                                struct http_header ret_headers[4])
{
    unsigned char bytes[16];
    struct buf key BUF_CLEANUP = BUF_INIT;
    random_fill(random_real(), bytes, sizeof bytes);
    base64_encode(&key, bytes, sizeof bytes);
    ret_headers[0] = (struct http_header){STR("sec-websocket-version"), STR(VERSION)};
    ret_headers[1] =
        (struct http_header){STR("sec-websocket-key"), str_copy_in(arena, buf_view(&key))};
    ret_headers[2] = (struct http_header){STR("sec-websocket-protocol"), protocols};
    return protocols.n > 0 ? 3 : 2;
}

int websocket_client_verify(const struct http_header *sent, size_t sent_count,
                            const struct http_header *headers, size_t count,
                            struct str *ret_protocol, struct err *err)
{
    struct buf wanted BUF_CLEANUP = BUF_INIT;
    accept_key(http_header_get(sent, sent_count, STR("sec-websocket-key")), &wanted);
    if (!str_eq(http_header_get(headers, count, STR("sec-websocket-accept")), buf_view(&wanted))) {
        return err_set(err, ERR_PARSE, "the server's answer is no WebSocket handshake");
    }
    struct str chosen = http_header_get(headers, count, STR("sec-websocket-protocol"));
    struct str offered = http_header_get(sent, sent_count, STR("sec-websocket-protocol"));
    char *name MEM_CLEANUP = str_dup(chosen);
    if (chosen.n > 0 && !offers(offered, name)) {
        return err_set(err, ERR_PARSE, "the server chose a WebSocket protocol not offered");
    }
    *ret_protocol = chosen;
    return 0;
}

struct websocket *websocket_from_stream(struct stream *stream, const struct websocket_ops *ops,
                                        void *ctx)
{
    struct websocket *socket = socket_new(false, ops, ctx);
    socket->stream = stream;
    socket->protocol = mem_dupz("");
    stream_set_ops(stream, &stream_ops_, socket);
    return socket;
}

/* ---- use ---- */

struct str websocket_protocol(const struct websocket *socket)
{
    return str_of(socket->protocol);
}

void websocket_send(struct websocket *socket, bool binary, const void *bytes, size_t size)
{
    struct wslay_event_msg message = {
        .opcode = binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME, .msg = bytes, .msg_length = size};
    if (!socket->closing && wslay_event_queue_msg(socket->wslay, &message) == 0 &&
        !socket->in_recv) {
        flush(socket);
    }
}

size_t websocket_queued(const struct websocket *socket)
{
    return stream_queued(socket->stream) + wslay_event_get_queued_msg_length(socket->wslay);
}

void websocket_pause(struct websocket *socket)
{
    stream_pause(socket->stream);
}

void websocket_resume(struct websocket *socket)
{
    stream_resume(socket->stream);
}

void websocket_close(struct websocket *socket, int code)
{
    if (socket->closing) {
        return;
    }
    socket->closing = true;
    if (socket->close_code == ABNORMAL) {
        socket->close_code = code;
    }
    wslay_event_queue_close(socket->wslay, (uint16_t)code, NULL, 0);
    if (wslay_event_send(socket->wslay) == 0) {
        stream_close(socket->stream);
    } else {
        stream_abort(socket->stream, ERR_INTERNAL, "WebSocket output failed");
    }
}
