/* remote_ws.c: channels as WebSocket messages: the first byte is the channel; in v5 a message of
 * 255 and a channel closes that channel (KEP-4006). */
#include <stdlib.h>

#include "base/mem.h"
#include "node/serve/remote.h"
#include "wire/websocket.h"

struct remote_ws {
    struct remote remote;
    struct websocket *socket;
    bool v5;
};

static void on_ready_timer(struct timer *timer)
{
    struct remote *remote = container_of(timer, struct remote, ready_timer);
    remote->ready = true;
    remote->ops.on_ready(remote->ctx);
}

static void on_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                       size_t size)
{
    struct remote_ws *ws = ctx;
    if (size == 0 || ws->remote.finished) {
        return;
    }
    unsigned char channel = (unsigned char)bytes[0];
    if (ws->v5 && channel == 255 && size == 2) {
        if (bytes[1] == REMOTE_STDIN) {
            ws->remote.ops.on_eof(ws->remote.ctx, REMOTE_STDIN);
        }
    } else if (channel == REMOTE_STDIN || channel == REMOTE_RESIZE) {
        ws->remote.ops.on_data(ws->remote.ctx, (enum remote_channel)channel, bytes + 1, size - 1);
    }
}

static void on_drain(void *ctx, struct websocket *socket)
{
    struct remote_ws *ws = ctx;
    if (ws->remote.ops.on_drain != NULL && !ws->remote.finished) {
        ws->remote.ops.on_drain(ws->remote.ctx);
    }
}

static void on_close(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    struct remote_ws *ws = ctx;
    remote_closed(&ws->remote);
    free(ws);
}

static const struct websocket_ops socket_ops = {
    .on_message = on_message, .on_drain = on_drain, .on_close = on_close};

static void ws_send(struct remote *remote, enum remote_channel channel, const char *bytes,
                    size_t size)
{
    struct remote_ws *ws = container_of(remote, struct remote_ws, remote);
    struct buf message BUF_CLEANUP = BUF_INIT;
    buf_char(&message, (char)channel);
    buf_add(&message, bytes, size);
    websocket_send(ws->socket, true, message.p, message.n);
}

static size_t ws_queued(const struct remote *remote)
{
    return websocket_queued(container_of(remote, struct remote_ws, remote)->socket);
}

static void ws_pause(struct remote *remote, bool paused)
{
    struct remote_ws *ws = container_of(remote, struct remote_ws, remote);
    (paused ? websocket_pause : websocket_resume)(ws->socket);
}

static void ws_finish(struct remote *remote)
{
    websocket_close(container_of(remote, struct remote_ws, remote)->socket, 1000);
}

static void ws_abort(struct remote *remote)
{
    struct remote_ws *ws = container_of(remote, struct remote_ws, remote);
    timer_stop(&remote->ready_timer);
    remote->finished = true;
    remote->ops = (struct remote_ops){0};
    websocket_close(ws->socket, 1001);
}

static const struct remote_carrier carrier = {.send = ws_send,
                                              .queued = ws_queued,
                                              .pause = ws_pause,
                                              .finish = ws_finish,
                                              .abort = ws_abort};

struct remote *remote_ws_accept(struct serve_request *request, const struct remote_wants *wants)
{
    static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};
    struct remote_ws *ws = mem_new(struct remote_ws);
    ws->remote.carrier = &carrier;
    ws->remote.wants = *wants;
    ws->remote.loop = request->agent->loop;
    ws->socket = websocket_accept(request->exchange, protocols, &socket_ops, ws);
    if (ws->socket == NULL) {
        free(ws);
        return NULL;
    }
    ws->v5 = str_is(websocket_protocol(ws->socket), "v5.channel.k8s.io");
    timer_start(ws->remote.loop, &ws->remote.ready_timer, 0, on_ready_timer);
    return &ws->remote;
}
