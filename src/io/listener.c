/* listener.c: accepts connections on an open descriptor and brings them through their handshake.
 *
 * Several loops may listen on duplicates of one socket: a loop that finds nothing to accept goes
 * back to sleep. Without descriptors left (EMFILE) accepting pauses for 100 ms instead of spinning.
 * A handshake that takes longer than 10 s is cut, and at most HANDSHAKES_MAX run at once: what
 * comes then waits in the kernel's queue.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/stream_int.h"

enum { ACCEPT_BATCH = 64, HANDSHAKES_MAX = 1024 };
#define HANDSHAKE_TIMEOUT_NS (10 * NS_PER_S)
#define PAUSE_NS             (100 * NS_PER_MS)

struct listener {
    struct loop *loop;
    uv_poll_t poll;
    int fd;
    struct tls_context *tls;
    const struct listener_ops *ops;
    void *ctx;
    struct loop_closer closer;
    struct list handshaking;
    size_t handshake_count;
    struct timer pause;
    bool polling, closing;
};

static void on_listen_event(uv_poll_t *poll, int status, int events);

static void set_polling(struct listener *listener, bool on)
{
    if (on != listener->polling && !listener->closing) {
        listener->polling = on;
        if (on) {
            uv_poll_start(&listener->poll, UV_READABLE, on_listen_event);
        } else {
            uv_poll_stop(&listener->poll);
        }
    }
}

static void after_pause(struct timer *timer)
{
    set_polling(container_of(timer, struct listener, pause), true);
}

static void handshake_timeout(struct timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, timer);
    stream_fail(stream, ERR_TIMEOUT, 0, "TLS handshake not done in time");
}

static void leave_handshake(struct stream *stream)
{
    struct listener *listener = stream->listener;
    list_remove(&stream->handshaking);
    stream->listener = NULL;
    if (listener->handshake_count-- == HANDSHAKES_MAX && !timer_armed(&listener->pause)) {
        set_polling(listener, true);
    }
}

void listener_stream_ready(struct stream *stream)
{
    struct listener *listener = stream->listener;
    leave_handshake(stream);
    listener->ops->on_accept(listener->ctx, listener, stream);
}

void listener_stream_failed(struct stream *stream)
{
    leave_handshake(stream);
}

static void accept_stream(struct listener *listener, int fd)
{
    struct stream *stream = stream_new(listener->loop, NULL, NULL);
    int domain = 0;
    socklen_t size = sizeof domain;
    int rc;
    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
    if (domain == AF_UNIX) {
        uv_pipe_init(loop_uv(listener->loop), &stream->uv.pipe, 0);
        rc = uv_pipe_open(&stream->uv.pipe, fd);
    } else {
        uv_tcp_init(loop_uv(listener->loop), &stream->uv.tcp);
        rc = uv_tcp_open(&stream->uv.tcp, fd);
        stream_tune(fd);
    }
    stream->uv.handle.data = stream;
    stream->handle_open = true;
    stream->accepted = true;
    stream->listener = listener;
    list_append(&listener->handshaking, &stream->handshaking);
    listener->handshake_count++;
    if (rc != 0) {
        close(fd);
        stream_fail(stream, ERR_IO, -rc, "open stream");
        return;
    }
    if (listener->tls != NULL) {
        stream->tls = tls_session_new(listener->tls, STR_NONE, STR_NONE, &stream->err);
        if (stream->tls == NULL) {
            stream_finish(stream);
            return;
        }
        timer_start(listener->loop, &stream->timer, HANDSHAKE_TIMEOUT_NS, handshake_timeout);
    }
    stream_connected(stream);
}

static void on_listen_event(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    for (int i = 0; i < ACCEPT_BATCH && listener->polling; i++) {
        int fd = net_ops->accept(listener->fd);
        int os_errno = -fd;
        if (fd >= 0) {
            accept_stream(listener, fd);
            if (listener->handshake_count >= HANDSHAKES_MAX) {
                set_polling(listener, false);
            }
        } else if (os_errno == EMFILE || os_errno == ENFILE || os_errno == ENOBUFS ||
                   os_errno == ENOMEM) {
            set_polling(listener, false);
            timer_start(listener->loop, &listener->pause, PAUSE_NS, after_pause);
        } else if (os_errno != ECONNABORTED && os_errno != EINTR && os_errno != EPROTO) {
            return; /* nothing more to accept */
        }
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    close(listener->fd);
    tls_unref(listener->tls);
    free(listener);
}

void listener_free(struct listener *listener)
{
    if (listener == NULL || listener->closing) {
        return;
    }
    set_polling(listener, false);
    listener->closing = true;
    timer_stop(&listener->pause);
    list_remove(&listener->closer.link);
    LIST_EACH_SAFE (it, &listener->handshaking) {
        struct stream *stream = container_of(it, struct stream, handshaking);
        list_remove(&stream->handshaking);
        stream->listener = NULL;
        stream->dropped = true;
        stream_finish(stream);
    }
    uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
}

static void loop_gone(struct loop_closer *closer)
{
    listener_free(container_of(closer, struct listener, closer));
}

struct listener *listener_new(struct loop *loop, int fd, struct tls_context *tls,
                              const struct listener_ops *ops, void *ctx)
{
    struct listener *listener = mem_new(struct listener);
    listener->loop = loop;
    listener->fd = fd;
    listener->tls = tls != NULL ? tls_ref(tls) : NULL;
    listener->ops = ops;
    listener->ctx = ctx;
    listener->closer.close = loop_gone;
    list_init(&listener->handshaking);
    list_append(&loop->closers, &listener->closer.link);
    if (uv_poll_init(loop_uv(loop), &listener->poll, fd) != 0) {
        abort(); /* not a socket: a bug of the caller */
    }
    listener->poll.data = listener;
    set_polling(listener, true);
    return listener;
}
