/* watch_socket.c: a watch over a WebSocket: one message an event, JSON as text, protobuf as bytes.
 *
 * The events are those of the streamed answer (watch.c), cut where they end; protobuf loses the
 * length before it, which the message has. As long as the peer has not taken what was sent, nothing
 * more is asked for, so the watcher waits as any other that does not read. What a client sends is
 * ignored. A client may ask for one subprotocol, whatever its name, and gets it.
 */
#include <stdlib.h>
#include <strings.h>

#include "server/server_int.h"
#include "server/verb/watch.h"
#include "wire/websocket.h"

enum { QUEUED_MAX = 64 * 1024, CHUNK = 16 * 1024, NORMAL = 1000, FAILED = 1011 };

struct watch_socket {
    struct websocket *socket;
    struct http_body *body; /* owns the request */
    struct buf pending;     /* the beginning of an event */
    bool protobuf, pumping, ended;
};

/* The first event in `text` and its message; 0: it is not whole yet. */
static size_t cut_event(const struct watch_socket *ws, struct str text, struct str *ret_message)
{
    if (!ws->protobuf) {
        const char *end = text.n > 0 ? memchr(text.p, '\n', text.n) : NULL;
        *ret_message = end != NULL ? str_at(text.p, (size_t)(end - text.p) + 1) : STR_NONE;
        return ret_message->n;
    }
    const unsigned char *u = (const unsigned char *)text.p;
    if (text.n < 4) {
        return 0;
    }
    size_t size = (size_t)u[0] << 24 | (size_t)u[1] << 16 | (size_t)u[2] << 8 | u[3];
    if (text.n - 4 < size) {
        return 0;
    }
    *ret_message = str_at(text.p + 4, size);
    return 4 + size;
}

static void send_events(struct watch_socket *ws)
{
    size_t at = 0, n = 0;
    struct str message;
    while ((n = cut_event(ws, str_from(buf_view(&ws->pending), at), &message)) > 0) {
        websocket_send(ws->socket, ws->protobuf, message.p, message.n);
        at += n;
    }
    buf_drop_front(&ws->pending, at);
    if (ws->pending.n == 0) {
        buf_done(&ws->pending); /* an idle watcher keeps no buffer */
    }
}

static void pump(struct watch_socket *ws)
{
    if (ws->pumping) {
        return; /* the socket drained while we were sending: the loop below sees it */
    }
    ws->pumping = true;
    while (!ws->ended && websocket_queued(ws->socket) < QUEUED_MAX) {
        ssize_t n = ws->body->read(ws->body, buf_room(&ws->pending, CHUNK), CHUNK);
        if (n > 0) {
            ws->pending.n += (size_t)n;
            send_events(ws);
        } else if (n == HTTP_BODY_LATER) {
            break;
        } else {
            ws->ended = true;
            websocket_close(ws->socket, n == 0 ? NORMAL : FAILED);
        }
    }
    if (ws->pending.n == 0) {
        buf_done(&ws->pending);
    }
    ws->pumping = false;
}

static void on_resume(struct request *request)
{
    pump(request->state);
}

static void on_drain(void *ctx, struct websocket *socket)
{
    pump(ctx);
}

static void on_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                       size_t size)
{
}

static void on_close(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    struct watch_socket *ws = ctx;
    ws->body->free(ws->body);
    buf_done(&ws->pending);
    free(ws);
}

static const struct websocket_ops socket_ops = {
    .on_message = on_message, .on_drain = on_drain, .on_close = on_close};

bool watch_socket_wanted(const struct request *request)
{
    struct str wanted =
        request->exchange != NULL ? http_upgrade_wanted(request->exchange) : STR_NONE;
    return wanted.n == 9 && strncasecmp(wanted.p, "websocket", 9) == 0;
}

void watch_socket_serve(struct request *request, struct http_body *body)
{
    struct http_exchange *exchange = request->exchange;
    const struct http_request *http = http_request(exchange);
    struct str asked =
        http_header_get(http->headers, http->header_count, STR("sec-websocket-protocol"));
    const char *protocols[] = {asked.n > 0 ? str_dup_in(&request->arena, str_trim(asked)) : "",
                               NULL};
    struct watch_socket *ws = mem_new(struct watch_socket);
    ws->body = body;
    ws->protobuf = request->accept.format == FORMAT_PROTOBUF;
    http_exchange_set(exchange, NULL);
    request->exchange = NULL;
    request->answered = true;
    request->state = ws;
    request->resume = on_resume;
    ws->socket = websocket_accept(exchange, protocols, &socket_ops, ws);
    if (ws->socket == NULL) { /* it was told why */
        free(ws);
        body->free(body);
        return;
    }
    pump(ws);
}
