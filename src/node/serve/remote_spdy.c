/* remote_spdy.c: channels as SPDY/3.1 streams, told apart by their "streamtype" header. The session
 * is ready when every stream that the query asked for has been opened; a peer that does not open
 * them within 30 s is cut. */
#include <stdlib.h>

#include "base/mem.h"
#include "node/serve/remote.h"
#include "wire/spdy.h"

struct remote_spdy {
    struct remote remote;
    struct stream *stream;
    struct spdy *spdy;
    struct spdy_stream *channels[REMOTE_CHANNELS];
};

static const char *const names[REMOTE_CHANNELS] = {"stdin", "stdout", "stderr", "error", "resize"};

static void on_late(struct timer *timer)
{
    struct remote *remote = container_of(timer, struct remote, ready_timer);
    struct remote_spdy *s = container_of(remote, struct remote_spdy, remote);
    stream_abort(s->stream, ERR_TIMEOUT, "the streams were not opened in time");
}

static void on_ready(struct timer *timer)
{
    struct remote *remote = container_of(timer, struct remote, ready_timer);
    remote->ops.on_ready(remote->ctx);
}

static bool complete(const struct remote_spdy *s)
{
    const struct remote_wants *w = &s->remote.wants;
    return s->channels[REMOTE_ERROR] != NULL && (!w->in || s->channels[REMOTE_STDIN] != NULL) &&
           (!w->out || s->channels[REMOTE_STDOUT] != NULL) &&
           (!w->err || w->tty || s->channels[REMOTE_STDERR] != NULL);
}

static void on_stream(void *ctx, struct spdy *spdy, struct spdy_stream *stream,
                      const struct http_header *headers, size_t count)
{
    struct remote_spdy *s = ctx;
    struct str type = http_header_get(headers, count, STR("streamtype"));
    for (int i = 0; i < REMOTE_CHANNELS; i++) {
        if (str_is(type, names[i]) && s->channels[i] == NULL) {
            s->channels[i] = stream;
            spdy_stream_set(stream, &s->channels[i]);
        }
    }
    if (!s->remote.ready && complete(s)) {
        s->remote.ready = true;
        timer_start(s->remote.loop, &s->remote.ready_timer, 0, on_ready);
    }
}

static enum remote_channel channel_of(struct remote_spdy *s, struct spdy_stream *stream)
{
    for (int i = 0; i < REMOTE_CHANNELS; i++) {
        if (s->channels[i] == stream) {
            return (enum remote_channel)i;
        }
    }
    return REMOTE_CHANNELS;
}

static void on_data(void *ctx, struct spdy_stream *stream, const char *bytes, size_t size, bool fin)
{
    struct remote_spdy *s = ctx;
    enum remote_channel channel = channel_of(s, stream);
    if (s->remote.finished || (channel != REMOTE_STDIN && channel != REMOTE_RESIZE)) {
        return;
    }
    if (size > 0) {
        s->remote.ops.on_data(s->remote.ctx, channel, bytes, size);
    }
    if (fin && channel == REMOTE_STDIN) {
        s->remote.ops.on_eof(s->remote.ctx, channel);
    }
}

static void on_stream_close(void *ctx, struct spdy_stream *stream)
{
    struct remote_spdy *s = ctx;
    enum remote_channel channel = channel_of(s, stream);
    if (channel != REMOTE_CHANNELS) {
        s->channels[channel] = NULL;
    }
}

static void on_spdy_drain(void *ctx, struct spdy_stream *stream)
{
    struct remote_spdy *s = ctx;
    if (s->remote.ops.on_drain != NULL && !s->remote.finished) {
        s->remote.ops.on_drain(s->remote.ctx);
    }
}

static void on_send(void *ctx, struct spdy *spdy, const char *bytes, size_t size)
{
    struct remote_spdy *s = ctx;
    if (s->stream != NULL) {
        stream_write(s->stream, bytes, size);
    }
}

static const struct spdy_ops spdy_callbacks = {.on_stream = on_stream,
                                               .on_data = on_data,
                                               .on_stream_close = on_stream_close,
                                               .on_drain = on_spdy_drain,
                                               .send = on_send};

static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    struct remote_spdy *s = ctx;
    struct err err = ERR_INIT;
    if (spdy_feed(s->spdy, bytes, size, &err) != 0 && s->stream != NULL) {
        stream_abort(s->stream, err.code, err.message);
    }
}

static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct remote_spdy *s = ctx;
    s->stream = NULL;
    remote_closed(&s->remote);
    spdy_free(s->spdy);
    free(s);
}

static const struct stream_ops stream_callbacks = {.on_read = on_read, .on_close = on_close};

static void spdy_send(struct remote *remote, enum remote_channel channel, const char *bytes,
                      size_t size)
{
    struct remote_spdy *s = container_of(remote, struct remote_spdy, remote);
    if (s->channels[channel] != NULL) {
        spdy_write(s->channels[channel], bytes, size, false);
    }
}

static size_t queued(const struct remote *remote)
{
    const struct remote_spdy *s = container_of(remote, struct remote_spdy, remote);
    size_t sum = s->stream != NULL ? stream_queued(s->stream) : 0;
    for (int i = REMOTE_STDOUT; i <= REMOTE_STDERR; i++) {
        sum += s->channels[i] != NULL ? spdy_queued(s->channels[i]) : 0;
    }
    return sum;
}

static void set_pause(struct remote *remote, bool paused)
{
    struct remote_spdy *s = container_of(remote, struct remote_spdy, remote);
    if (s->stream != NULL) {
        (paused ? stream_pause : stream_resume)(s->stream);
    }
}

static void finish(struct remote *remote)
{
    struct remote_spdy *s = container_of(remote, struct remote_spdy, remote);
    for (int i = REMOTE_STDOUT; i <= REMOTE_ERROR; i++) {
        if (s->channels[i] != NULL) {
            spdy_write(s->channels[i], "", 0, true);
        }
    }
    if (s->stream != NULL) {
        stream_close(s->stream);
    }
}

static void spdy_abort(struct remote *remote)
{
    struct remote_spdy *s = container_of(remote, struct remote_spdy, remote);
    remote->finished = true;
    remote->ops = (struct remote_ops){0};
    if (s->stream != NULL) {
        stream_abort(s->stream, ERR_CANCELED, "the agent stops");
    }
}

static const struct remote_carrier carrier = {
    .send = spdy_send, .queued = queued, .pause = set_pause, .finish = finish, .abort = spdy_abort};

static struct str choose_version(const struct http_request *http)
{
    static const char *const known[] = {"v5.channel.k8s.io", "v4.channel.k8s.io",
                                        "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        for (size_t i = 0; i < http->header_count; i++) {
            struct str rest = http->headers[i].value;
            while (str_is(http->headers[i].name, "x-stream-protocol-version") && rest.p != NULL) {
                if (str_is(str_trim(str_cut(rest, ',', &rest)), known[k])) {
                    return str_of(known[k]);
                }
            }
        }
    }
    return STR_NONE;
}

struct remote *remote_spdy_accept(struct serve_request *request, const struct remote_wants *wants)
{
    struct str version = choose_version(http_request(request->exchange));
    if (version.n == 0) {
        serve_error(request->exchange, 403, "no supported X-Stream-Protocol-Version");
        return NULL;
    }
    struct remote_spdy *s = mem_new(struct remote_spdy);
    struct http_header header = {STR("x-stream-protocol-version"), version};
    s->remote.carrier = &carrier;
    s->remote.wants = *wants;
    s->remote.loop = request->agent->loop;
    s->spdy = spdy_new(true, &spdy_callbacks, s);
    s->stream = http_upgrade(request->exchange, STR("SPDY/3.1"), &header, 1, &stream_callbacks, s);
    if (s->stream == NULL) {
        serve_error(request->exchange, 400, "SPDY needs HTTP/1.1");
        spdy_free(s->spdy);
        free(s);
        return NULL;
    }
    timer_start(s->remote.loop, &s->remote.ready_timer, 30 * NS_PER_S, on_late);
    return &s->remote;
}
