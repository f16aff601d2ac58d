/* spdy.c: SPDY/3.1 frames and streams over any byte pipe; no sockets.
 *
 * Input is a state machine: eight bytes of head, then either a control frame's payload, which is
 * gathered whole (at most CONTROL_MAX), or data, which goes through in the pieces it comes in.
 * Header blocks are compressed with zlib and the dictionary of the SPDY/3 draft, one context for
 * each direction and session; what they inflate to is bounded.
 *
 * Invariants: a stream is freed after on_stream_close, or by spdy_reset() without it; callbacks may
 * reset any stream. After spdy_feed() has failed only spdy_free() may follow.
 */
#include "wire/spdy.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/vec.h"
#include "wire/spdy_dictionary.h"

enum {
    TYPE_SYN_STREAM = 1,
    TYPE_SYN_REPLY = 2,
    TYPE_RST_STREAM = 3,
    TYPE_SETTINGS = 4,
    TYPE_PING = 6,
    TYPE_GOAWAY = 7,
    TYPE_HEADERS = 8,
    TYPE_WINDOW_UPDATE = 9
};
enum { FLAG_FIN = 1, FLAG_UNIDIRECTIONAL = 2 };
enum { STATUS_PROTOCOL_ERROR = 1, STATUS_REFUSED = 3, STATUS_CANCEL = 5 };
enum {
    VERSION = 3,
    HEAD_SIZE = 8,
    CONTROL_MAX = 65536,
    HEADERS_MAX = 65536, /* inflated */
    FIELDS_MAX = 128,
    STREAMS_MAX = 256,
    DATA_MAX = 16384, /* of the frames that we make */
    WINDOW = 262144,  /* ours, announced */
    DRAIN_MARK = 65536,
    SETTING_INITIAL_WINDOW = 7,
    WINDOW_BITS = 11, /* of our compressor: the dictionary fits */
    MEMORY_LEVEL = 3
};

struct spdy_stream {
    struct spdy *spdy;
    uint32_t id;
    void *user;
    bool in_done, out_done; /* fin was received, sent */
    bool fin_wanted, above;
    int64_t window;    /* what the peer lets us send */
    size_t received;   /* since our last WINDOW_UPDATE */
    struct buf queued; /* beyond the window */
};

struct spdy {
    bool server, announced, limited; /* limited: the peer does flow control */
    const struct spdy_ops *ops;
    void *ctx;
    z_stream deflate, inflate;
    struct {
        VEC_OF(struct spdy_stream *);
    } streams;
    uint32_t next_id, last_peer_id;
    int64_t peer_window;
    char head[HEAD_SIZE];
    size_t head_size;
    size_t payload_left; /* of the frame in work */
    struct buf payload;  /* control */
};

static uint32_t get_u32(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put_u32(struct buf *out, uint32_t value)
{
    const char bytes[4] = {(char)(value >> 24), (char)(value >> 16), (char)(value >> 8),
                           (char)value};
    buf_add(out, bytes, 4);
}

/* ---- streams ---- */

static struct spdy_stream *find_stream(struct spdy *spdy, uint32_t id)
{
    VEC_EACH (it, &spdy->streams) {
        if ((*it)->id == id) {
            return *it;
        }
    }
    return NULL;
}

static struct spdy_stream *add_stream(struct spdy *spdy, uint32_t id)
{
    struct spdy_stream *stream = mem_new(struct spdy_stream);
    stream->spdy = spdy;
    stream->id = id;
    stream->window = spdy->peer_window;
    *vec_push(&spdy->streams) = stream;
    return stream;
}

static void free_stream(struct spdy_stream *stream)
{
    struct spdy *spdy = stream->spdy;
    for (size_t i = 0; i < spdy->streams.count; i++) {
        if (spdy->streams.items[i] == stream) {
            vec_remove_swap(&spdy->streams, i);
            break;
        }
    }
    buf_done(&stream->queued);
    free(stream);
}

static void close_stream(struct spdy_stream *stream)
{
    uint32_t id = stream->id;
    struct spdy *spdy = stream->spdy;
    spdy->ops->on_stream_close(spdy->ctx, stream);
    if (find_stream(spdy, id) == stream) { /* not reset meanwhile */
        free_stream(stream);
    }
}

/* ---- out ---- */

static void send_frame(struct spdy *spdy, struct buf *frame)
{
    if (!spdy->announced) {
        struct buf first BUF_CLEANUP = BUF_INIT;
        spdy->announced = true;
        put_u32(&first, 0x80000000U | VERSION << 16 | TYPE_SETTINGS);
        put_u32(&first, 12);
        put_u32(&first, 1);
        put_u32(&first, SETTING_INITIAL_WINDOW);
        put_u32(&first, WINDOW);
        spdy->ops->send(spdy->ctx, spdy, first.p, first.n);
    }
    spdy->ops->send(spdy->ctx, spdy, frame->p, frame->n);
}

static void send_control(struct spdy *spdy, int type, int flags, struct str payload)
{
    struct buf frame BUF_CLEANUP = BUF_INIT;
    put_u32(&frame, 0x80000000U | VERSION << 16 | (uint32_t)type);
    put_u32(&frame, (uint32_t)flags << 24 | (uint32_t)payload.n);
    buf_str(&frame, payload);
    send_frame(spdy, &frame);
}

static void send_two(struct spdy *spdy, int type, uint32_t first, uint32_t second)
{
    struct buf payload BUF_CLEANUP = BUF_INIT;
    put_u32(&payload, first);
    put_u32(&payload, second);
    send_control(spdy, type, 0, buf_view(&payload));
}

/* Appends the compressed block. */
static void deflate_headers(struct spdy *spdy, const struct http_header *headers, size_t count,
                            struct buf *out)
{
    struct buf plain BUF_CLEANUP = BUF_INIT;
    put_u32(&plain, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_u32(&plain, (uint32_t)headers[i].name.n);
        buf_str(&plain, headers[i].name);
        put_u32(&plain, (uint32_t)headers[i].value.n);
        buf_str(&plain, headers[i].value);
    }
    z_stream *z = &spdy->deflate;
    z->next_in = (Bytef *)plain.p;
    z->avail_in = (uInt)plain.n;
    do {
        z->next_out = (Bytef *)buf_room(out, 1024);
        z->avail_out = 1024;
        deflate(z, Z_SYNC_FLUSH);
        out->n += 1024 - z->avail_out;
    } while (z->avail_out == 0);
}

static void send_data(struct spdy_stream *stream, const char *bytes, size_t size, bool fin)
{
    struct spdy *spdy = stream->spdy;
    struct buf frame BUF_CLEANUP = BUF_INIT;
    do {
        size_t piece = size < DATA_MAX ? size : DATA_MAX;
        bool last = fin && piece == size;
        buf_clear(&frame);
        put_u32(&frame, stream->id);
        put_u32(&frame, (last ? (uint32_t)FLAG_FIN << 24 : 0) | (uint32_t)piece);
        buf_add(&frame, bytes, piece);
        stream->window -= (int64_t)piece;
        send_frame(spdy, &frame);
        bytes = size > piece ? bytes + piece : NULL;
        size -= piece;
    } while (size > 0);
    stream->out_done |= fin;
}

/* Sends of the queue what the window allows; true: the stream is over and was closed. */
static bool flush_stream(struct spdy_stream *stream)
{
    struct spdy *spdy = stream->spdy;
    size_t size = stream->queued.n;
    if (spdy->limited && stream->window < (int64_t)size) {
        size = stream->window > 0 ? (size_t)stream->window : 0;
    }
    bool fin = stream->fin_wanted && size == stream->queued.n && !stream->out_done;
    if (size > 0 || fin) {
        send_data(stream, stream->queued.p, size, fin);
        buf_drop_front(&stream->queued, size);
    }
    if (stream->out_done && stream->in_done) {
        close_stream(stream);
        return true;
    }
    if (stream->above && stream->queued.n < DRAIN_MARK) {
        stream->above = false;
        if (spdy->ops->on_drain != NULL) {
            spdy->ops->on_drain(spdy->ctx, stream);
            return true; /* it may be gone */
        }
    }
    return false;
}

void spdy_write(struct spdy_stream *stream, const void *bytes, size_t size, bool fin)
{
    if (stream->fin_wanted || stream->out_done) {
        return;
    }
    stream->fin_wanted = fin;
    bool room = !stream->spdy->limited || stream->window >= (int64_t)size;
    if (stream->queued.n == 0 && room) {
        if (size > 0 || fin) {
            send_data(stream, bytes, size, fin);
        }
    } else {
        buf_add(&stream->queued, bytes, size);
        stream->above |= stream->queued.n >= DRAIN_MARK;
    }
    flush_stream(stream);
}

struct spdy_stream *spdy_open(struct spdy *spdy, const struct http_header *headers, size_t count)
{
    struct spdy_stream *stream = add_stream(spdy, spdy->next_id);
    struct buf payload BUF_CLEANUP = BUF_INIT;
    spdy->next_id += 2;
    put_u32(&payload, stream->id);
    put_u32(&payload, 0);
    buf_add(&payload, "\0\0", 2); /* priority, slot */
    deflate_headers(spdy, headers, count, &payload);
    send_control(spdy, TYPE_SYN_STREAM, 0, buf_view(&payload));
    return stream;
}

void spdy_reset(struct spdy_stream *stream)
{
    send_two(stream->spdy, TYPE_RST_STREAM, stream->id, STATUS_CANCEL);
    free_stream(stream);
}

/* ---- in ---- */

static int inflate_headers(struct spdy *spdy, struct str block, struct buf *out, struct err *err)
{
    z_stream *z = &spdy->inflate;
    z->next_in = (Bytef *)(uintptr_t)block.p;
    z->avail_in = (uInt)block.n;
    int rc = Z_OK;
    do {
        z->next_out = (Bytef *)buf_room(out, 4096);
        z->avail_out = 4096;
        rc = inflate(z, Z_SYNC_FLUSH);
        if (rc == Z_NEED_DICT) {
            rc = inflateSetDictionary(z, (const Bytef *)spdy_dictionary, SPDY_DICTIONARY_SIZE);
            continue;
        }
        out->n += 4096 - z->avail_out;
        if (out->n > HEADERS_MAX) {
            return err_set(err, ERR_LIMIT, "SPDY header block inflates too far");
        }
    } while (rc == Z_OK && (z->avail_in > 0 || z->avail_out == 0));
    if (rc != Z_OK && rc != Z_BUF_ERROR) {
        return err_set(err, ERR_PARSE, "SPDY header block is no zlib stream");
    }
    return 0;
}

static bool take_text(struct str *rest, struct str *ret_text)
{
    if (rest->n < 4 || get_u32(rest->p) > rest->n - 4) {
        return false;
    }
    *ret_text = str_at(rest->p + 4, get_u32(rest->p));
    *rest = str_from(*rest, 4 + ret_text->n);
    return true;
}

static int parse_headers(struct str plain, struct http_header *fields, size_t *ret_count,
                         struct err *err)
{
    uint32_t count = plain.n >= 4 ? get_u32(plain.p) : UINT32_MAX;
    struct str rest = str_from(plain, 4);
    if (count > FIELDS_MAX) {
        return err_set(err, ERR_PARSE, "SPDY header block is malformed");
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!take_text(&rest, &fields[i].name) || !take_text(&rest, &fields[i].value)) {
            return err_set(err, ERR_PARSE, "SPDY header block is malformed");
        }
    }
    *ret_count = count;
    return 0;
}

static void peer_done(struct spdy_stream *stream)
{
    stream->in_done = true;
    if (stream->out_done) {
        close_stream(stream);
    }
}

static int on_syn_stream(struct spdy *spdy, int flags, struct str payload, struct err *err)
{
    if (payload.n < 10) {
        return err_set(err, ERR_PARSE, "SPDY SYN_STREAM is too short");
    }
    uint32_t id = get_u32(payload.p) & 0x7fffffff;
    struct buf plain BUF_CLEANUP = BUF_INIT;
    struct http_header fields[FIELDS_MAX];
    size_t count = 0;
    int rc = inflate_headers(spdy, str_from(payload, 10), &plain, err);
    rc = rc == 0 ? parse_headers(buf_view(&plain), fields, &count, err) : rc;
    if (rc != 0) {
        return rc;
    }
    if (id == 0 || (id & 1) != (spdy->server ? 1U : 0U) || id <= spdy->last_peer_id) {
        return err_set(err, ERR_PARSE, "SPDY stream id %u out of order", (unsigned)id);
    }
    spdy->last_peer_id = id;
    if (spdy->streams.count >= STREAMS_MAX) {
        send_two(spdy, TYPE_RST_STREAM, id, STATUS_REFUSED);
        return 0;
    }
    struct spdy_stream *stream = add_stream(spdy, id);
    struct buf reply BUF_CLEANUP = BUF_INIT;
    put_u32(&reply, id);
    deflate_headers(spdy, NULL, 0, &reply);
    send_control(spdy, TYPE_SYN_REPLY, 0, buf_view(&reply));
    stream->in_done = (flags & FLAG_FIN) != 0;
    stream->out_done = (flags & FLAG_UNIDIRECTIONAL) != 0;
    spdy->ops->on_stream(spdy->ctx, spdy, stream, fields, count);
    stream = find_stream(spdy, id);
    if (stream != NULL && stream->in_done) {
        spdy->ops->on_data(spdy->ctx, stream, NULL, 0, true);
        stream = find_stream(spdy, id);
        if (stream != NULL && stream->out_done) {
            close_stream(stream);
        }
    }
    return 0;
}

/* SYN_REPLY and HEADERS: the block must pass the inflater; its fields are of no use to anybody. */
static int on_more_headers(struct spdy *spdy, int flags, struct str payload, struct err *err)
{
    if (payload.n < 4) {
        return err_set(err, ERR_PARSE, "SPDY frame is too short");
    }
    struct buf plain BUF_CLEANUP = BUF_INIT;
    int rc = inflate_headers(spdy, str_from(payload, 4), &plain, err);
    if (rc != 0) {
        return rc;
    }
    uint32_t id = get_u32(payload.p) & 0x7fffffff;
    struct spdy_stream *stream = find_stream(spdy, id);
    if (stream != NULL && (flags & FLAG_FIN) != 0 && !stream->in_done) {
        spdy->ops->on_data(spdy->ctx, stream, NULL, 0, true);
        stream = find_stream(spdy, id);
        if (stream != NULL) {
            peer_done(stream);
        }
    }
    return 0;
}

static void peer_window(struct spdy *spdy, int64_t window)
{
    int64_t change = window - spdy->peer_window;
    spdy->peer_window = window;
    if (!spdy->limited) {
        spdy->limited = true;
    }
    for (size_t i = spdy->streams.count; i-- > 0 && i < spdy->streams.count;) {
        spdy->streams.items[i]->window += change;
        flush_stream(spdy->streams.items[i]);
    }
}

static int on_settings(struct spdy *spdy, struct str payload, struct err *err)
{
    uint32_t count = payload.n >= 4 ? get_u32(payload.p) : UINT32_MAX;
    if (payload.n < 4 || count > (payload.n - 4) / 8) {
        return err_set(err, ERR_PARSE, "SPDY SETTINGS is too short");
    }
    for (uint32_t i = 0; i < count; i++) {
        const char *at = payload.p + 4 + 8 * (size_t)i;
        if ((get_u32(at) & 0xffffff) == SETTING_INITIAL_WINDOW) {
            peer_window(spdy, get_u32(at + 4) & 0x7fffffff);
        }
    }
    return 0;
}

static int on_window_update(struct spdy *spdy, struct str payload, struct err *err)
{
    if (payload.n < 8) {
        return err_set(err, ERR_PARSE, "SPDY WINDOW_UPDATE is too short");
    }
    struct spdy_stream *stream = find_stream(spdy, get_u32(payload.p) & 0x7fffffff);
    if (stream != NULL) {
        stream->window += get_u32(payload.p + 4) & 0x7fffffff;
        if (stream->window > INT32_MAX) {
            return err_set(err, ERR_PARSE, "SPDY window overflows");
        }
        flush_stream(stream);
    }
    return 0;
}

static int on_control(struct spdy *spdy, int type, int flags, struct str payload, struct err *err)
{
    struct spdy_stream *stream;
    switch (type) {
    case TYPE_SYN_STREAM:
        return on_syn_stream(spdy, flags, payload, err);
    case TYPE_SYN_REPLY:
    case TYPE_HEADERS:
        return on_more_headers(spdy, flags, payload, err);
    case TYPE_RST_STREAM:
        stream = payload.n >= 4 ? find_stream(spdy, get_u32(payload.p) & 0x7fffffff) : NULL;
        if (stream != NULL) {
            close_stream(stream);
        }
        return 0;
    case TYPE_SETTINGS:
        return on_settings(spdy, payload, err);
    case TYPE_PING: /* the parity tells whose it is */
        if (payload.n >= 4 && (get_u32(payload.p) & 1) == (spdy->server ? 1U : 0U)) {
            send_control(spdy, TYPE_PING, 0, str_at(payload.p, 4));
        }
        return 0;
    case TYPE_WINDOW_UPDATE:
        return on_window_update(spdy, payload, err);
    default:
        return 0; /* GOAWAY: streams that are open go on; others: ignored, as the draft says */
    }
}

/* A piece of a data frame. */
static int on_data(struct spdy *spdy, const char *bytes, size_t size, struct err *err)
{
    uint32_t id = get_u32(spdy->head);
    bool fin = spdy->payload_left == 0 && (spdy->head[4] & FLAG_FIN) != 0;
    struct spdy_stream *stream = find_stream(spdy, id);
    if (stream == NULL) {
        return 0; /* reset a moment ago */
    }
    if (stream->in_done) {
        send_two(spdy, TYPE_RST_STREAM, id, STATUS_PROTOCOL_ERROR);
        close_stream(stream);
        return 0;
    }
    stream->received += size;
    if (stream->received >= WINDOW / 4 && !fin) {
        send_two(spdy, TYPE_WINDOW_UPDATE, id, (uint32_t)stream->received);
        stream->received = 0;
    }
    if (size > 0 || fin) {
        spdy->ops->on_data(spdy->ctx, stream, bytes, size, fin);
    }
    stream = find_stream(spdy, id);
    if (stream != NULL && fin) {
        peer_done(stream);
    }
    return 0;
}

static int start_frame(struct spdy *spdy, struct err *err)
{
    bool control = (spdy->head[0] & 0x80) != 0;
    spdy->payload_left = get_u32(spdy->head + 4) & 0xffffff;
    if (control && (get_u32(spdy->head) >> 16 & 0x7fff) != VERSION) {
        return err_set(err, ERR_PARSE, "this is not SPDY/3");
    }
    if (control && spdy->payload_left > CONTROL_MAX) {
        return err_set(err, ERR_LIMIT, "SPDY control frame is too large");
    }
    return 0;
}

/* Takes bytes of the frame whose head is complete. Returns how many, or an error. */
static ssize_t feed_payload(struct spdy *spdy, const char *bytes, size_t size, struct err *err)
{
    bool control = (spdy->head[0] & 0x80) != 0;
    size_t piece = size < spdy->payload_left ? size : spdy->payload_left;
    int rc = 0;
    spdy->payload_left -= piece;
    if (!control) {
        rc = on_data(spdy, bytes, piece, err);
    } else {
        buf_add(&spdy->payload, bytes, piece);
        if (spdy->payload_left == 0) {
            rc = on_control(spdy, (int)(get_u32(spdy->head) & 0xffff), (unsigned char)spdy->head[4],
                            buf_view(&spdy->payload), err);
            buf_clear(&spdy->payload);
        }
    }
    if (spdy->payload_left == 0) {
        spdy->head_size = 0;
    }
    return rc != 0 ? rc : (ssize_t)piece;
}

int spdy_feed(struct spdy *spdy, const char *bytes, size_t size, struct err *err)
{
    while (size > 0) {
        if (spdy->head_size < HEAD_SIZE) {
            size_t missing = HEAD_SIZE - spdy->head_size;
            size_t piece = size < missing ? size : missing;
            memcpy(spdy->head + spdy->head_size, bytes, piece);
            spdy->head_size += piece;
            bytes += piece;
            size -= piece;
            if (spdy->head_size < HEAD_SIZE) {
                return 0;
            }
            int rc = start_frame(spdy, err);
            if (rc != 0) {
                return rc;
            }
            if (spdy->payload_left > 0) {
                continue;
            }
        }
        ssize_t used = feed_payload(spdy, bytes, size, err);
        if (used < 0) {
            return (int)used;
        }
        bytes += used;
        size -= (size_t)used;
    }
    return 0;
}

/* ---- life ---- */

struct spdy *spdy_new(bool server, const struct spdy_ops *ops, void *ctx)
{
    struct spdy *spdy = mem_new(struct spdy);
    spdy->server = server;
    spdy->ops = ops;
    spdy->ctx = ctx;
    spdy->next_id = server ? 2 : 1;
    spdy->peer_window = 65536;
    if (deflateInit2(&spdy->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK ||
        deflateSetDictionary(&spdy->deflate, (const Bytef *)spdy_dictionary,
                             SPDY_DICTIONARY_SIZE) != Z_OK ||
        inflateInit(&spdy->inflate) != Z_OK) {
        abort(); /* no memory */
    }
    return spdy;
}

void spdy_free(struct spdy *spdy)
{
    if (spdy == NULL) {
        return;
    }
    while (spdy->streams.count > 0) {
        free_stream(spdy->streams.items[0]);
    }
    vec_done(&spdy->streams);
    deflateEnd(&spdy->deflate);
    inflateEnd(&spdy->inflate);
    buf_done(&spdy->payload);
    free(spdy);
}

size_t spdy_queued(const struct spdy_stream *stream)
{
    return stream->queued.n;
}

struct spdy *spdy_stream_session(const struct spdy_stream *stream)
{
    return stream->spdy;
}

void spdy_stream_set(struct spdy_stream *stream, void *user)
{
    stream->user = user;
}

void *spdy_stream_get(const struct spdy_stream *stream)
{
    return stream->user;
}
