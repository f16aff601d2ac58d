/* remote.h: the channels of exec and attach, whatever carries them: WebSocket (v5.channel.k8s.io,
 * v4.channel.k8s.io) or SPDY/3.1 (v4.channel.k8s.io ... in X-Stream-Protocol-Version). */
#pragma once
#include "node/serve/streams.h"

enum remote_channel {
    REMOTE_STDIN,
    REMOTE_STDOUT,
    REMOTE_STDERR,
    REMOTE_ERROR,
    REMOTE_RESIZE,
    REMOTE_CHANNELS
};
struct remote_wants {
    bool in, out, err, tty;
};
struct remote;
struct remote_ops {
    void (*on_ready)(void *ctx); /* all channels are there */
    void (*on_data)(void *ctx, enum remote_channel channel, const char *bytes, size_t size);
    void (*on_eof)(void *ctx, enum remote_channel channel);
    void (*on_drain)(void *ctx);
    void (*on_close)(void *ctx); /* the peer is gone, or finish is through; last, once */
};
/* Answers the upgrade. NULL: an error was answered, no callback comes. */
struct remote *remote_accept(struct serve_request *request, const struct remote_wants *wants,
                             const struct remote_ops *ops, void *ctx);
void remote_send(struct remote *remote, enum remote_channel channel, const char *bytes,
                 size_t size);
size_t remote_queued(const struct remote *remote);
void remote_pause(struct remote *remote, bool paused); /* input */
/* The outcome: exit status (0 fine), or a failure text (exit_status < 0). Then closes. */
void remote_finish(struct remote *remote, int exit_status, const char *failure);
void remote_abort(struct remote *remote); /* no further callbacks */

/* Inside: a carrier. */
struct remote_carrier {
    void (*send)(struct remote *remote, enum remote_channel channel, const char *bytes,
                 size_t size);
    size_t (*queued)(const struct remote *remote);
    void (*pause)(struct remote *remote, bool paused);
    void (*finish)(struct remote *remote); /* flush and close */
    void (*abort)(struct remote *remote);
};
struct remote {
    const struct remote_carrier *carrier;
    struct remote_ops ops;
    void *ctx;
    struct remote_wants wants;
    bool ready, finished;
    struct loop *loop;
    struct timer ready_timer; /* on_ready never comes during remote_accept */
};
struct remote *remote_ws_accept(struct serve_request *request, const struct remote_wants *wants);
struct remote *remote_spdy_accept(struct serve_request *request, const struct remote_wants *wants);
void remote_closed(struct remote *remote); /* the carrier is gone: tells and frees nothing else */
