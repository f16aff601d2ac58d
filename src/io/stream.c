/* stream.c: the life and the reading side of a stream.
 *
 * Invariants: on_close is called exactly once, from the handle's close callback, so never from
 * inside another call on the stream; after stream_close() or a failure nothing but on_close
 * follows. A stream that was closed by its owner flushes for as long as the peer takes bytes,
 * says its end, and discards input until the peer's end, at most a second (so that no reset
 * destroys what was just sent). Input is
 * delivered from buffers that the loop's streams share. Writing is left to stream_write.c,
 * connecting to dial.c, accepting to listener.c, records to tls_session.c.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/stream_int.h"

enum { NAME_SIZE = 80 };
#define LINGER_NS    NS_PER_S        /* for the peer's end, once everything is out */
#define LAST_BYTE_NS (10 * NS_PER_S) /* for the peer to take the next bytes of what is queued */

struct stream_names {
    char peer[NAME_SIZE], local[NAME_SIZE];
};

static void shared_free(void *value)
{
    struct stream_shared *shared = value;
    buf_done(&shared->cipher);
    free(shared->spare);
    free(shared);
}

static struct stream_shared *shared_of(struct loop *loop)
{
    static const char key;
    void **place = loop_local(loop, &key, shared_free);
    if (*place == NULL) {
        *place = mem_new(struct stream_shared);
    }
    return *place;
}

/* ---- the end ---- */

static void free_stream(struct stream *stream)
{
    stream_write_drop(stream);
    tls_session_free(stream->tls);
    stream_dial_free(stream->dial);
    buf_done(&stream->cipher);
    buf_done(&stream->control);
    buf_done(&stream->stash);
    buf_done(&stream->unread);
    free(stream->names);
    free(stream);
}

void stream_handle_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    if (stream->accepted && stream->listener != NULL) {
        listener_stream_failed(stream);
    } else if (!stream->dropped && stream->ops != NULL && stream->ops->on_close != NULL) {
        stream->ops->on_close(stream->ctx, stream, &stream->err);
    }
    free_stream(stream);
}

void stream_finish(struct stream *stream)
{
    if (stream->state == STREAM_CLOSED) {
        return;
    }
    stream->state = STREAM_CLOSED;
    timer_stop(&stream->timer);
    timer_stop(&stream->drain);
    if (stream->flush_queued) {
        list_remove(&stream->flush.link);
    }
    if (stream->input_queued) {
        list_remove(&stream->input.link);
    }
    list_remove(&stream->closer.link);
    if (stream->retrying) {
        return; /* dial.c's close callback goes on to ours */
    }
    if (!stream->handle_open) { /* an address is being looked up: close something all the same */
        uv_pipe_init(loop_uv(stream->loop), &stream->uv.pipe, 0);
        stream->uv.handle.data = stream;
    }
    stream->handle_open = false;
    if (!uv_is_closing(&stream->uv.handle)) {
        uv_close(&stream->uv.handle, stream_handle_closed);
    }
}

void stream_fail(struct stream *stream, enum err_code code, int os_errno, const char *what)
{
    if (stream->state == STREAM_CLOSED) {
        return;
    }
    if (stream->state != STREAM_CLOSING) { /* a close that the owner asked for stays clean */
        if (os_errno != 0) {
            err_os(&stream->err, os_errno, "%s", what);
        } else {
            err_set(&stream->err, code, "%s", what);
        }
        stream->err.code = code;
    }
    stream_finish(stream);
}

static void loop_gone(struct loop_closer *closer)
{
    struct stream *stream = container_of(closer, struct stream, closer);
    stream_fail(stream, ERR_CANCELED, 0, "the event loop ended");
}

static void on_close_timeout(struct timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, timer);
    if (stream_queued(stream) > 0 && stream->sent != stream->close_sent) {
        stream->close_sent = stream->sent;
        timer_start(stream->loop, timer, LAST_BYTE_NS, on_close_timeout);
    } else {
        stream_finish(stream);
    }
}

void stream_linger(struct stream *stream)
{
    timer_start(stream->loop, &stream->timer, LINGER_NS, on_close_timeout);
}

void stream_close(struct stream *stream)
{
    if (stream->state >= STREAM_CLOSING) {
        return;
    }
    bool never_open = stream->state != STREAM_OPEN;
    stream->state = STREAM_CLOSING;
    if (never_open) {
        stream_finish(stream);
        return;
    }
    buf_done(&stream->stash);
    buf_done(&stream->unread);
    timer_stop(&stream->drain);
    stream->close_sent = stream->sent;
    timer_start(stream->loop, &stream->timer, stream_queued(stream) > 0 ? LAST_BYTE_NS : LINGER_NS,
                on_close_timeout);
    stream->shut = true;
    stream->paused = false;
    stream_start_reading(stream);
    stream_queue_flush(stream);
    if (stream->shut_sent && stream->eof && !stream->request_busy) {
        stream_finish(stream);
    }
}

void stream_abort(struct stream *stream, enum err_code code, const char *why)
{
    stream_fail(stream, code, 0, why);
}

void stream_shutdown(struct stream *stream)
{
    if (stream->state == STREAM_OPEN && !stream->shut) {
        stream->shut = true;
        stream_queue_flush(stream);
    }
}

/* ---- reading ---- */

static void tell_eof(struct stream *stream)
{
    stream->eof_waits = false;
    if (stream->ops != NULL && stream->ops->on_eof != NULL) {
        stream->ops->on_eof(stream->ctx, stream);
    } else {
        stream_close(stream);
    }
}

static void queue_input(struct stream *stream);

void stream_peer_ended(struct stream *stream)
{
    if (stream->eof || stream->state == STREAM_CLOSED) {
        return;
    }
    stream->eof = true;
    if (stream->state == STREAM_CLOSING) {
        if (stream->shut_sent) {
            stream_finish(stream);
        }
    } else if (stream->state != STREAM_OPEN) {
        stream_fail(stream, ERR_CLOSED, 0, "closed by the peer during the TLS handshake");
    } else if (stream->unread.n > 0) { /* told when what was given back was read */
        stream->eof_waits = true;
        queue_input(stream);
    } else {
        tell_eof(stream);
    }
}

void stream_deliver(struct stream *stream, const char *bytes, size_t size)
{
    if (stream->unread.n > 0) { /* behind what was given back */
        buf_add(&stream->unread, bytes, size);
    } else if (stream->state == STREAM_OPEN && size > 0) {
        stream->ops->on_read(stream->ctx, stream, bytes, size);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct stream *stream = handle->data;
    *ret = uv_buf_init(stream->shared->read, STREAM_READ_SIZE);
}

static void on_uv_read(uv_stream_t *uv, ssize_t got, const uv_buf_t *buf)
{
    struct stream *stream = uv->data;
    if (got == 0) {
        return;
    }
    got = got > 0 ? net_ops->received((size_t)got) : got;
    if (got < 0) {
        uv_read_stop(uv);
        stream->reading = false;
        if (got != UV_EOF && got != UV_EIO) { /* EIO: the other end of a terminal is gone */
            stream_fail(stream, ERR_CLOSED, (int)-got, "read");
        } else if (stream->tls != NULL && !stream->eof && stream->state != STREAM_CLOSING) {
            stream_fail(stream, ERR_CLOSED, 0, "connection cut without TLS close_notify");
        } else if (stream->eof && stream->state == STREAM_CLOSING && stream->shut_sent) {
            stream_finish(stream);
        } else {
            stream_peer_ended(stream);
        }
        return;
    }
    if (stream->state == STREAM_CLOSING) {
        return; /* discarded */
    }
    if (stream->tls != NULL) {
        stream_tls_input(stream, buf->base, (size_t)got);
    } else {
        stream_deliver(stream, buf->base, (size_t)got);
    }
}

void stream_start_reading(struct stream *stream)
{
    if (!stream->reading && !stream->paused && stream->handle_open) {
        int rc = uv_read_start(&stream->uv.stream, on_alloc, on_uv_read);
        stream->reading = rc == 0; /* a pipe's writing end cannot be read: fine */
    }
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    if (stream->reading) {
        uv_read_stop(&stream->uv.stream);
        stream->reading = false;
    }
}

/* Delivers what a pause or an upgrade left behind, then goes on reading. */
static void run_input(struct task *task)
{
    struct stream *stream = container_of(task, struct stream, input);
    stream->input_queued = false;
    if (stream->paused || stream->state != STREAM_OPEN) {
        return;
    }
    if (stream->unread.n > 0) {
        struct buf unread = stream->unread;
        stream->unread = (struct buf)BUF_INIT;
        stream_deliver(stream, unread.p, unread.n);
        buf_done(&unread);
    }
    if (stream->tls != NULL && !stream->paused && stream->state == STREAM_OPEN) {
        struct buf stash = stream->stash;
        stream->stash = (struct buf)BUF_INIT;
        stream_tls_input(stream, stash.p, stash.n);
        buf_done(&stash);
    }
    if (stream->eof_waits && stream->unread.n == 0 && !stream->paused &&
        stream->state == STREAM_OPEN) {
        tell_eof(stream);
    }
    if (stream->state == STREAM_OPEN && !stream->eof) {
        stream_start_reading(stream);
    }
}

static void queue_input(struct stream *stream)
{
    if (!stream->input_queued) {
        stream->input_queued = true;
        stream->input.run = run_input;
        loop_defer(stream->loop, &stream->input);
    }
}

void stream_resume(struct stream *stream)
{
    if (stream->paused) {
        stream->paused = false;
        if (stream->state == STREAM_OPEN) {
            queue_input(stream);
        }
    }
}

void stream_unread(struct stream *stream, const void *bytes, size_t size)
{
    if (size > 0) {
        struct buf all = BUF_INIT;
        buf_add(&all, bytes, size);
        buf_add(&all, stream->unread.p, stream->unread.n);
        buf_done(&stream->unread);
        stream->unread = all;
        queue_input(stream);
    }
}

/* ---- making one ---- */

/* A dead peer is noticed within a minute, idle or not; a lost node is not a stuck watch. */
void stream_tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, 30}, {IPPROTO_TCP, TCP_KEEPINTVL, 10},
                   {IPPROTO_TCP, TCP_KEEPCNT, 3},   {IPPROTO_TCP, TCP_USER_TIMEOUT, 60000}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
    }
}

struct stream *stream_new(struct loop *loop, const struct stream_ops *ops, void *ctx)
{
    struct stream *stream = mem_new(struct stream);
    stream->loop = loop;
    stream->shared = shared_of(loop);
    stream->ops = ops;
    stream->ctx = ctx;
    stream->closer.close = loop_gone;
    list_init(&stream->handshaking);
    list_append(&loop->closers, &stream->closer.link);
    return stream;
}

void stream_connected(struct stream *stream)
{
    stream->state = stream->tls != NULL ? STREAM_HANDSHAKE : STREAM_OPEN;
    stream_start_reading(stream);
    if (stream->tls != NULL) {
        stream_tls_input(stream, NULL, 0);
    } else {
        stream_opened(stream);
    }
}

void stream_opened(struct stream *stream)
{
    stream->state = STREAM_OPEN;
    timer_stop(&stream->timer);
    if (stream->listener != NULL) {
        listener_stream_ready(stream);
    } else if (stream->dial != NULL && stream->ops->on_open != NULL) {
        stream->ops->on_open(stream->ctx, stream);
    }
    stream_dial_free(stream->dial);
    stream->dial = NULL;
    if (stream->queued > 0 || stream->shut) {
        stream_queue_flush(stream);
    }
}

struct stream *stream_from_fd(struct loop *loop, int fd, const struct stream_ops *ops, void *ctx)
{
    struct stream *stream = stream_new(loop, ops, ctx);
    int domain = 0;
    socklen_t size = sizeof domain;
    int rc;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain != AF_UNIX) {
        uv_tcp_init(loop_uv(loop), &stream->uv.tcp);
        rc = uv_tcp_open(&stream->uv.tcp, fd);
        stream_tune(fd);
    } else {
        uv_pipe_init(loop_uv(loop), &stream->uv.pipe, 0);
        rc = uv_pipe_open(&stream->uv.pipe, fd);
    }
    stream->uv.handle.data = stream;
    stream->handle_open = true;
    if (rc != 0) {
        close(fd);
        stream_fail(stream, ERR_IO, -rc, "open stream");
        return stream;
    }
    stream->state = STREAM_OPEN;
    stream_start_reading(stream);
    return stream;
}

void stream_set_ops(struct stream *stream, const struct stream_ops *ops, void *ctx)
{
    stream->ops = ops;
    stream->ctx = ctx;
}

/* ---- asking ---- */

bool stream_is_open(const struct stream *stream)
{
    return stream->state == STREAM_OPEN;
}

struct loop *stream_loop(const struct stream *stream)
{
    return stream->loop;
}

struct str stream_alpn(const struct stream *stream)
{
    return stream->tls != NULL ? tls_session_alpn(stream->tls) : STR_NONE;
}

bool stream_resumed(const struct stream *stream)
{
    return stream->tls != NULL && tls_session_resumed(stream->tls);
}

const struct peer_certificate *stream_peer_certificate(const struct stream *stream)
{
    return stream->tls != NULL ? tls_session_peer(stream->tls) : NULL;
}

static void write_name(const struct sockaddr_storage *address, char ret_name[NAME_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)address;
        uv_ip4_name(in, host, sizeof host);
        snprintf(ret_name, NAME_SIZE, "%s:%u", host, (unsigned)ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)address;
        uv_ip6_name(in, host, sizeof host);
        snprintf(ret_name, NAME_SIZE, "[%s]:%u", host, (unsigned)ntohs(in->sin6_port));
    }
}

static const struct stream_names *names_of(const struct stream *stream)
{
    if (stream->names == NULL) { /* a cache: asking does not change the stream */
        struct stream_names *names = mem_new(struct stream_names);
        struct sockaddr_storage address = {0};
        int size = sizeof address;
        ((struct stream *)(uintptr_t)stream)->names = names;
        if (stream->handle_open && stream->uv.handle.type == UV_TCP) {
            if (uv_tcp_getpeername(&stream->uv.tcp, (struct sockaddr *)&address, &size) == 0) {
                write_name(&address, names->peer);
            }
            size = sizeof address;
            if (uv_tcp_getsockname(&stream->uv.tcp, (struct sockaddr *)&address, &size) == 0) {
                write_name(&address, names->local);
            }
        }
    }
    return stream->names;
}

struct str stream_peer_address(const struct stream *stream)
{
    return str_of(names_of(stream)->peer);
}

struct str stream_local_address(const struct stream *stream)
{
    return str_of(names_of(stream)->local);
}
