/* spdy.h: SPDY/3.1 framing, as kubectl's exec, attach and port-forward use it, bare or tunnelled in
 * a WebSocket. A codec with sessions and streams, over any byte pipe. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "wire/http.h"

struct spdy;
struct spdy_stream;
struct spdy_ops {
    /* The peer opened a stream; headers by name ("streamtype", "port", "requestid"). The session
     * has already answered SYN_REPLY. */
    void (*on_stream)(void *ctx, struct spdy *spdy, struct spdy_stream *stream,
                      const struct http_header *headers, size_t count);
    void (*on_data)(void *ctx, struct spdy_stream *stream, const char *bytes, size_t size,
                    bool fin);
    void (*on_stream_close)(
        void *ctx, struct spdy_stream *stream); /* reset or both sides done; last for the stream */
    void (*on_drain)(void *ctx, struct spdy_stream *stream);
    void (*send)(void *ctx, struct spdy *spdy, const char *bytes,
                 size_t size); /* outgoing frames */
};
/* Flow control: Go's spdystream, which kubectl and client-go use, does none, so a peer's window
 * counts only once the peer has announced one (SETTINGS). Ours is announced with our first frame.
 */
struct spdy *spdy_new(bool server, const struct spdy_ops *ops, void *ctx);
void spdy_free(struct spdy *spdy); /* and its streams, without callbacks; not from inside one */
int spdy_feed(struct spdy *spdy, const char *bytes, size_t size,
              struct err *err); /* incoming bytes; an error ends the session */
struct spdy_stream *spdy_open(struct spdy *spdy, const struct http_header *headers, size_t count);
void spdy_write(struct spdy_stream *stream, const void *bytes, size_t size,
                bool fin); /* respects the peer's window; queues */
size_t spdy_queued(const struct spdy_stream *stream);
void spdy_reset(struct spdy_stream *stream); /* frees it; no callback follows for it */
struct spdy *spdy_stream_session(const struct spdy_stream *stream);
void spdy_stream_set(struct spdy_stream *stream, void *user);
void *spdy_stream_get(const struct spdy_stream *stream);
