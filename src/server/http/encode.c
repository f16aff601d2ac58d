/* encode.c: rewriting of answers.
 *
 * gzip (RFC 1952, zlib at its fastest level) is used for bodies above 128 KiB only: below that it
 * costs more than it saves on any link a cluster has. A body of unknown length is read up to that
 * mark first.
 */
#include "server/http/encode.h"

#include <stdlib.h>
#include <zlib.h>

#include "api/protobuf.h"
#include "api/val.h"
#include "base/mem.h"

enum { GZIP_MIN = 128 * 1024, CHUNK = 64 * 1024, WHOLE_MAX = 16 * 1024 * 1024 };

void encode_pretty(struct arena *arena, struct buf *bytes)
{
    struct val *value = NULL;
    struct buf out = BUF_INIT;
    if (val_parse_json(arena, str_trim(buf_view(bytes)), &value, NULL) < 0) {
        return;
    }
    val_write_json_pretty(value, &out);
    buf_done(bytes);
    *bytes = out;
}

const char *encode_yaml(struct arena *arena, struct buf *bytes)
{
    struct val *value = NULL;
    struct buf out = BUF_INIT;
    if (val_parse_json(arena, str_trim(buf_view(bytes)), &value, NULL) < 0) {
        return "application/json";
    }
    val_write_yaml(value, &out);
    buf_done(bytes);
    *bytes = out;
    return "application/yaml";
}

const char *encode_protobuf(struct buf *bytes)
{
    struct protobuf_writer writer = {0};
    struct buf out = BUF_INIT;
    bool known = protobuf_write_document(&writer, str_trim(buf_view(bytes)), &out);
    protobuf_writer_done(&writer);
    if (!known) {
        buf_done(&out);
        return "application/json";
    }
    buf_done(bytes);
    *bytes = out;
    return PROTOBUF_TYPE;
}

/* ---- a whole body, rewritten ---- */

struct whole {
    struct http_body body;
    struct http_body *inner; /* drained; owns the request */
    struct buf bytes;
    size_t at;
    bool inner_ended;
};

static ssize_t whole_read(struct http_body *base, char *out, size_t cap)
{
    struct whole *whole = container_of(base, struct whole, body);
    size_t left = whole->bytes.n - whole->at;
    size_t n = left < cap ? left : cap;
    if (n == 0) {
        return whole->inner_ended ? 0 : whole->inner->read(whole->inner, out, cap);
    }
    memcpy(out, whole->bytes.p + whole->at, n);
    whole->at += n;
    return (ssize_t)n;
}

static void whole_free(struct http_body *base)
{
    struct whole *whole = container_of(base, struct whole, body);
    whole->inner->free(whole->inner);
    buf_done(&whole->bytes);
    free(whole);
}

const char *encode_whole(struct request *request, struct http_body **body)
{
    struct whole *whole = mem_new(struct whole);
    const char *type = "application/json";
    ssize_t n = 1;
    whole->inner = *body;
    while (n > 0 && whole->bytes.n < WHOLE_MAX) {
        n = (*body)->read(*body, buf_room(&whole->bytes, CHUNK), CHUNK);
        whole->bytes.n += n > 0 ? (size_t)n : 0;
    }
    whole->inner_ended = n == 0;
    whole->body = (struct http_body){.read = whole_read, .free = whole_free, .length = -1};
    *body = &whole->body;
    if (!whole->inner_ended) {
        return type; /* too long to rewrite in memory: compact JSON */
    }
    if (request->accept.format == FORMAT_YAML) {
        type = encode_yaml(&request->arena, &whole->bytes);
    } else {
        encode_pretty(&request->arena, &whole->bytes);
        buf_char(&whole->bytes, '\n');
    }
    whole->body.length = (int64_t)whole->bytes.n;
    return type;
}

/* ---- gzip ---- */

struct gzip {
    struct http_body body;
    struct http_body *inner;
    z_stream z;
    struct buf in; /* read ahead of the compressor */
    size_t in_at;
    bool inner_ended, ended, plain;
};

static ssize_t pull(struct gzip *gzip)
{
    buf_clear(&gzip->in);
    gzip->in_at = 0;
    ssize_t n = gzip->inner->read(gzip->inner, buf_room(&gzip->in, CHUNK), CHUNK);
    if (n > 0) {
        gzip->in.n = (size_t)n;
    }
    gzip->inner_ended = n == 0;
    return n;
}

static ssize_t read_plain(struct gzip *gzip, char *out, size_t cap)
{
    size_t left = gzip->in.n - gzip->in_at;
    if (left == 0) {
        return gzip->inner_ended ? 0 : gzip->inner->read(gzip->inner, out, cap);
    }
    size_t n = left < cap ? left : cap;
    memcpy(out, gzip->in.p + gzip->in_at, n);
    gzip->in_at += n;
    return (ssize_t)n;
}

static ssize_t gzip_read(struct http_body *base, char *out, size_t cap)
{
    struct gzip *gzip = container_of(base, struct gzip, body);
    if (gzip->plain) {
        return read_plain(gzip, out, cap);
    }
    gzip->z.next_out = (Bytef *)out;
    gzip->z.avail_out = cap > UINT32_MAX ? UINT32_MAX : (uInt)cap;
    uInt room = gzip->z.avail_out;
    while (!gzip->ended && gzip->z.avail_out > 0) {
        if (gzip->in_at == gzip->in.n && !gzip->inner_ended) {
            ssize_t n = pull(gzip);
            if (n < 0) {
                uInt made = room - gzip->z.avail_out;
                return made > 0 ? (ssize_t)made : n;
            }
        }
        gzip->z.next_in = (Bytef *)gzip->in.p + gzip->in_at;
        gzip->z.avail_in = (uInt)(gzip->in.n - gzip->in_at);
        int rc = deflate(&gzip->z, gzip->inner_ended ? Z_FINISH : Z_NO_FLUSH);
        gzip->in_at = gzip->in.n - gzip->z.avail_in;
        gzip->ended = rc == Z_STREAM_END;
        if (rc == Z_STREAM_ERROR) {
            return HTTP_BODY_FAILED;
        }
    }
    return (ssize_t)(room - gzip->z.avail_out);
}

static void gzip_free(struct http_body *base)
{
    struct gzip *gzip = container_of(base, struct gzip, body);
    if (!gzip->plain) {
        deflateEnd(&gzip->z);
    }
    gzip->inner->free(gzip->inner);
    buf_done(&gzip->in);
    free(gzip);
}

static void read_ahead(struct gzip *gzip)
{
    while (!gzip->inner_ended && gzip->in.n < GZIP_MIN) {
        ssize_t n = gzip->inner->read(gzip->inner, buf_room(&gzip->in, CHUNK), CHUNK);
        if (n < 0) {
            break;
        }
        gzip->in.n += (size_t)n;
        gzip->inner_ended = n == 0;
    }
    gzip->plain = gzip->in.n < GZIP_MIN;
}

struct http_body *encode_gzip(struct http_body *body, bool wanted, size_t size,
                              struct http_header *ret_header, size_t *header_count)
{
    if (!wanted || size < GZIP_MIN) {
        return body;
    }
    struct gzip *gzip = mem_new(struct gzip);
    gzip->inner = body;
    gzip->body = (struct http_body){.read = gzip_read, .free = gzip_free, .length = -1};
    read_ahead(gzip);
    if (gzip->plain) {
        gzip->body.length = gzip->inner_ended ? (int64_t)gzip->in.n : -1;
        return &gzip->body;
    }
    if (deflateInit2(&gzip->z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        gzip->plain = true;
        return &gzip->body;
    }
    *ret_header = (struct http_header){STR("content-encoding"), STR("gzip")};
    *header_count += 1;
    return &gzip->body;
}
