/* tunnel.c: a tunnel is two ends that know each other. A half that is closed shuts down the other
 * one's sending; an error closes both. */
#include "io/tunnel.h"

#include <stdlib.h>

#include "base/mem.h"

enum { QUEUE_MAX = 256 * 1024 };

struct tunnel;
struct end {
    struct tunnel *tunnel;
    struct stream *stream; /* NULL: closed */
    struct end *other;
};
struct tunnel {
    struct end ends[2];
    void (*ended)(void *ctx);
    void *ctx;
};

static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct end *end = ctx;
    struct stream *to = end->other->stream;
    if (to == NULL) {
        return;
    }
    stream_write(to, bytes, size);
    if (stream_queued(to) > QUEUE_MAX) {
        stream_pause(stream);
    }
}

static void on_drain(void *ctx, struct stream *stream)
{
    struct end *end = ctx;
    if (end->other->stream != NULL) {
        stream_resume(end->other->stream);
    }
}

static void on_eof(void *ctx, struct stream *stream)
{
    struct end *end = ctx;
    if (end->other->stream != NULL) {
        stream_shutdown(end->other->stream);
    } else {
        stream_close(stream);
    }
}

static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct end *end = ctx;
    struct tunnel *tunnel = end->tunnel;
    end->stream = NULL;
    if (end->other->stream != NULL) {
        stream_close(end->other->stream);
        return;
    }
    if (tunnel->ended != NULL) {
        tunnel->ended(tunnel->ctx);
    }
    free(tunnel);
}

static const struct stream_ops ops = {
    .on_read = on_read, .on_eof = on_eof, .on_drain = on_drain, .on_close = on_close};

void tunnel_join(struct stream *a, struct stream *b, void (*ended)(void *ctx), void *ctx)
{
    struct tunnel *tunnel = mem_new(struct tunnel);
    tunnel->ended = ended;
    tunnel->ctx = ctx;
    tunnel->ends[0] = (struct end){tunnel, a, &tunnel->ends[1]};
    tunnel->ends[1] = (struct end){tunnel, b, &tunnel->ends[0]};
    stream_set_ops(a, &ops, &tunnel->ends[0]);
    stream_set_ops(b, &ops, &tunnel->ends[1]);
    stream_resume(a);
    stream_resume(b);
}
