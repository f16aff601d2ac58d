/* stream_tls.c: input of a stream with TLS: handshake, records to plaintext, ends.
 *
 * Plaintext of all records that one read brought is gathered, so that the owner sees few, large
 * pieces. Input that a pause leaves undecrypted waits in the stream's stash.
 */
#include "io/stream_int.h"

static void tls_failed(struct stream *stream, struct err *err)
{
    if (stream->control.n > 0 && !stream->request_busy) { /* the alert, if it can go now */
        uv_buf_t vector = uv_buf_init(stream->control.p, (unsigned)stream->control.n);
        uv_try_write(&stream->uv.stream, &vector, 1);
    }
    stream_fail(stream, err->code, 0, err->message);
}

/* False: not done yet, or failed. */
static bool handshake(struct stream *stream)
{
    struct err err = ERR_INIT;
    enum tls_step step = tls_session_handshake(stream->tls, &err);
    if (step == TLS_FAILED) {
        tls_failed(stream, &err);
    }
    if (stream->control.n > 0) {
        stream_queue_flush(stream);
    }
    if (step == TLS_DONE) {
        stream_opened(stream);
    }
    return step == TLS_DONE;
}

static void read_records(struct stream *stream)
{
    char *plain = stream->shared->plain;
    struct err err = ERR_INIT;
    enum tls_step step = TLS_DONE;
    while (step == TLS_DONE && stream->state == STREAM_OPEN && !stream->paused) {
        size_t fill = 0, got;
        while (step == TLS_DONE && fill < STREAM_PLAIN_SIZE) {
            step =
                tls_session_read(stream->tls, plain + fill, STREAM_PLAIN_SIZE - fill, &got, &err);
            fill += step == TLS_DONE ? got : 0;
        }
        stream_deliver(stream, plain, fill);
    }
    if (step == TLS_EOF) {
        stream_peer_ended(stream);
    } else if (step == TLS_FAILED) {
        tls_failed(stream, &err);
    }
}

void stream_tls_input(struct stream *stream, const char *bytes, size_t size)
{
    if (stream->stash.n > 0) {
        buf_add(&stream->stash, bytes, size);
        return;
    }
    tls_session_input(stream->tls, bytes, size);
    tls_session_output(stream->tls, &stream->control);
    if (stream->state != STREAM_HANDSHAKE || handshake(stream)) {
        read_records(stream);
    }
    const char *left;
    size_t left_size = tls_session_input_left(stream->tls, &left);
    if (left_size > 0 && stream->state == STREAM_OPEN) {
        buf_add(&stream->stash, left, left_size);
    }
    tls_session_input(stream->tls, NULL, 0);
    if (stream->control.n > 0) {
        stream_queue_flush(stream);
    }
}
