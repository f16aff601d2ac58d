/* stream_write.c: the writing side of a stream: a queue of chunks, flushed once a turn.
 *
 * Small writes gather in one buffer of ours; large borrowed ones stay where they are. At the end of
 * the turn everything goes out in one system call: plain as a vector, with TLS encrypted as full
 * records into a buffer that the loop's streams share. What the kernel does not take waits in
 * libuv, one write at a time; more plaintext is encrypted only when it is gone, so a slow reader
 * costs at most STREAM_FLUSH_MAX of ciphertext.
 *
 * Invariants: each release callback is called once; on_drain comes in a turn of its own, so one
 * busy stream cannot starve the others of its loop.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "io/stream_int.h"

enum { VECTOR_MAX = 32, SPARE_MAX = 524288 };

static struct str chunk_left(const struct write_chunk *chunk)
{
    return chunk->release != NULL ? str_at(chunk->borrowed + chunk->done, chunk->size - chunk->done)
                                  : str_at(chunk->own.p + chunk->done, chunk->own.n - chunk->done);
}

static void chunk_free(struct stream *stream, struct write_chunk *chunk)
{
    if (chunk->release != NULL) {
        chunk->release(chunk->arg);
    } else {
        struct stream_shared *shared = stream->shared;
        if (shared->spare == NULL && chunk->own.cap <= SPARE_MAX) {
            shared->spare = chunk->own.p;
            shared->spare_cap = chunk->own.cap;
        } else {
            buf_done(&chunk->own);
        }
    }
    free(chunk);
}

static void pop_chunk(struct stream *stream)
{
    struct write_chunk *chunk = stream->first;
    stream->first = chunk->next;
    if (stream->first == NULL) {
        stream->last = NULL;
    }
    chunk_free(stream, chunk);
}

void stream_write_drop(struct stream *stream)
{
    while (stream->first != NULL) {
        pop_chunk(stream);
    }
    stream->queued = 0;
}

static struct write_chunk *push_chunk(struct stream *stream)
{
    struct write_chunk *chunk = mem_new(struct write_chunk);
    if (stream->last != NULL) {
        stream->last->next = chunk;
    } else {
        stream->first = chunk;
    }
    stream->last = chunk;
    return chunk;
}

/* Consumes bytes from the front of the queue. */
static void consume(struct stream *stream, size_t size)
{
    stream->queued -= size;
    while (stream->first != NULL) {
        size_t left = chunk_left(stream->first).n;
        if (left > size) {
            stream->first->done += size;
            return;
        }
        size -= left;
        pop_chunk(stream);
    }
}

size_t stream_queued(const struct stream *stream)
{
    return stream->queued + stream->cipher.n - stream->cipher_done;
}

uint64_t stream_sent(const struct stream *stream)
{
    return stream->sent;
}

static void wrote(struct stream *stream, size_t size)
{
    stream->queued += size;
    if (stream_queued(stream) >= STREAM_DRAIN_MARK) {
        stream->above = true;
    }
    stream_queue_flush(stream);
}

struct buf *stream_write_begin(struct stream *stream)
{
    struct write_chunk *chunk = stream->last;
    if (chunk == NULL || chunk->release != NULL || chunk == stream->pinned ||
        chunk->own.n > STREAM_FLUSH_MAX) { /* what was sent is freed chunk by chunk */
        struct stream_shared *shared = stream->shared;
        chunk = push_chunk(stream);
        if (shared->spare != NULL) {
            chunk->own = (struct buf){.p = shared->spare, .cap = shared->spare_cap};
            shared->spare = NULL;
        }
    }
    stream->begin_size = chunk->own.n;
    return &chunk->own;
}

void stream_write_end(struct stream *stream)
{
    struct buf *own = &stream->last->own;
    if (stream->state >= STREAM_CLOSING || stream->shut) {
        own->n = stream->begin_size;
        return;
    }
    wrote(stream, own->n - stream->begin_size);
}

void stream_write(struct stream *stream, const void *bytes, size_t size)
{
    if (size > 0 && stream->state < STREAM_CLOSING && !stream->shut) {
        buf_add(stream_write_begin(stream), bytes, size);
        wrote(stream, size);
    }
}

void stream_write_shared(struct stream *stream, const void *bytes, size_t size,
                         void (*release)(void *arg), void *arg)
{
    if (size < STREAM_BORROW_MIN || stream->state >= STREAM_CLOSING || stream->shut) {
        stream_write(stream, bytes, size);
        release(arg);
        return;
    }
    struct write_chunk *chunk = push_chunk(stream);
    chunk->borrowed = bytes;
    chunk->size = size;
    chunk->release = release;
    chunk->arg = arg;
    wrote(stream, size);
}

/* ---- out ---- */

static void run_flush(struct task *task)
{
    struct stream *stream = container_of(task, struct stream, flush);
    stream->flush_queued = false;
    stream_flush(stream);
}

void stream_queue_flush(struct stream *stream)
{
    if (!stream->flush_queued && stream->state != STREAM_CLOSED) {
        stream->flush_queued = true;
        stream->flush.run = run_flush;
        loop_defer(stream->loop, &stream->flush);
    }
}

static void run_drain(struct timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, drain);
    if (stream->state == STREAM_OPEN && stream_queued(stream) < STREAM_DRAIN_MARK &&
        stream->ops->on_drain != NULL) {
        stream->ops->on_drain(stream->ctx, stream);
    }
}

static void after_progress(struct stream *stream)
{
    if (stream->above && stream_queued(stream) < STREAM_DRAIN_MARK) {
        stream->above = false;
        timer_start(stream->loop, &stream->drain, 0, run_drain);
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct stream *stream = request->data;
    stream->request_busy = false;
    if (stream->state == STREAM_CLOSED) {
        return;
    }
    if (status != 0) {
        stream_fail(stream, ERR_CLOSED, -status, "write");
        return;
    }
    stream->sent += stream->write_size;
    if (stream->tls != NULL) {
        buf_done(&stream->cipher);
        stream->cipher_done = 0;
    } else {
        stream->pinned = NULL;
        consume(stream, stream->write_size);
    }
    stream_flush(stream);
}

/* Hands `vector` to libuv, which keeps it until on_written. */
static void write_later(struct stream *stream, const uv_buf_t *vector, unsigned count, size_t size)
{
    stream->request.write = (uv_write_t){.data = stream};
    int rc = uv_write(&stream->request.write, &stream->uv.stream, vector, count, on_written);
    if (rc != 0) {
        stream_fail(stream, ERR_CLOSED, -rc, "write");
        return;
    }
    stream->write_size = size;
    stream->pinned = stream->last;
    stream->request_busy = true;
}

/* What the kernel takes at once; negative: failed (and the stream with it). */
static ssize_t write_now(struct stream *stream, const uv_buf_t *vector, unsigned count)
{
    size_t size = 0;
    for (unsigned i = 0; i < count; i++) {
        size += vector[i].len;
    }
    ssize_t room = net_ops->may_send(size);
    int rc = room < 0              ? (int)room
             : (size_t)room < size ? UV_EAGAIN /* libuv takes it from here */
                                   : uv_try_write(&stream->uv.stream, vector, count);
    if (rc == UV_EAGAIN) {
        return 0;
    }
    if (rc < 0) {
        stream_fail(stream, ERR_CLOSED, -rc, "write");
    } else {
        stream->sent += (uint64_t)rc;
    }
    return rc;
}

static bool flush_plain(struct stream *stream)
{
    while (stream->queued > 0) {
        uv_buf_t vector[VECTOR_MAX];
        unsigned count = 0;
        size_t total = 0;
        for (struct write_chunk *chunk = stream->first; chunk != NULL && count < VECTOR_MAX;
             chunk = chunk->next) {
            struct str left = chunk_left(chunk);
            if (left.n > 0) {
                vector[count++] = uv_buf_init((char *)(uintptr_t)left.p, (unsigned)left.n);
                total += left.n;
            }
        }
        ssize_t put = write_now(stream, vector, count);
        if (put < 0) {
            return false;
        }
        if ((size_t)put == total) {
            consume(stream, total);
            continue;
        }
        unsigned first = 0;
        size_t skip = (size_t)put;
        while (skip >= vector[first].len) {
            skip -= vector[first++].len;
        }
        vector[first].base += skip;
        vector[first].len -= skip;
        consume(stream, (size_t)put);
        write_later(stream, vector + first, count - first, total - (size_t)put);
        return false;
    }
    return true;
}

static bool encrypt(struct stream *stream, struct buf *cipher)
{
    size_t budget = STREAM_FLUSH_MAX;
    tls_session_output(stream->tls, cipher);
    while (stream->queued > 0 && budget > 0) {
        struct str left = chunk_left(stream->first);
        if (left.n == 0) {
            pop_chunk(stream);
            continue;
        }
        size_t size = left.n < budget ? left.n : budget;
        if (!tls_session_write(stream->tls, left.p, size)) {
            stream_fail(stream, ERR_IO, 0, "TLS write failed");
            return false;
        }
        budget -= size;
        consume(stream, size);
    }
    return true;
}

/* Ciphertext in `cipher` (the loop's) to the kernel; the rest moves into the stream. */
static bool send_cipher(struct stream *stream, struct buf *cipher)
{
    uv_buf_t vector = uv_buf_init(cipher->p, (unsigned)cipher->n);
    ssize_t put = cipher->n > 0 ? write_now(stream, &vector, 1) : 0;
    if (put >= 0 && (size_t)put < cipher->n) {
        buf_add(&stream->cipher, cipher->p + put, cipher->n - (size_t)put);
        vector = uv_buf_init(stream->cipher.p, (unsigned)stream->cipher.n);
        write_later(stream, &vector, 1, stream->cipher.n);
        stream->pinned = NULL;
        put = -1;
    }
    buf_clear(cipher);
    return put >= 0;
}

static bool flush_tls(struct stream *stream)
{
    struct buf *cipher = &stream->shared->cipher;
    buf_add(cipher, stream->control.p, stream->control.n);
    buf_done(&stream->control);
    do {
        if (stream->state != STREAM_HANDSHAKE && !encrypt(stream, cipher)) {
            buf_clear(cipher);
            return false;
        }
        if (stream->shut && !stream->shut_sent && stream->queued == 0) {
            tls_session_output(stream->tls, cipher);
            tls_session_shutdown(stream->tls);
        }
        if (!send_cipher(stream, cipher)) {
            return false;
        }
    } while (stream->queued > 0 && stream->state != STREAM_HANDSHAKE);
    return true;
}

static void on_shut(uv_shutdown_t *request, int status)
{
    struct stream *stream = request->data;
    stream->request_busy = false;
    if (stream->state == STREAM_CLOSING && (stream->eof || !stream->reading)) {
        stream_finish(stream);
    }
}

static void send_end(struct stream *stream)
{
    stream->shut_sent = true;
    if (stream->state == STREAM_CLOSING) {
        stream_linger(stream);
    }
    stream->request.shutdown = (uv_shutdown_t){.data = stream};
    int rc = uv_shutdown(&stream->request.shutdown, &stream->uv.stream, on_shut);
    if (rc == 0) {
        stream->request_busy = true;
    } else if (stream->state == STREAM_CLOSING) {
        stream_finish(stream);
    }
}

void stream_flush(struct stream *stream)
{
    if (stream->request_busy || stream->state == STREAM_CLOSED || stream->state == STREAM_DIALING) {
        return;
    }
    bool all = stream->tls != NULL ? flush_tls(stream) : flush_plain(stream);
    if (stream->state == STREAM_CLOSED) {
        return;
    }
    after_progress(stream);
    if (all && stream->shut && !stream->shut_sent && stream->state != STREAM_HANDSHAKE) {
        send_end(stream);
    }
}
