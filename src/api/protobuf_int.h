/* protobuf_int.h: what the parts of the protobuf writer share. Inside api/ only.
 *
 * wire_* write to a buffer; those that read JSON return where they stopped, or NULL when it is not
 * what the field wants. */
#pragma once
#include "api/protobuf.h"

static inline void wire_varint(struct buf *out, uint64_t value)
{
    if (out->cap - out->n < 16) {
        buf_room(out, 4096);
    }
    uint8_t *to = (uint8_t *)out->p + out->n;
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    out->n = (size_t)((char *)to - out->p);
}

static inline size_t wire_varint_size(uint64_t value)
{
    size_t n = 1;
    while (value >= 0x80) {
        value >>= 7;
        n++;
    }
    return n;
}

static inline void wire_add(struct buf *out, const char *p, size_t n)
{
    if (out->cap - out->n < n + 16) {
        buf_room(out, n + 4096);
    }
    memcpy(out->p + out->n, p, n);
    out->n += n;
}

static inline void wire_text(struct buf *out, const char *p, size_t n)
{
    wire_varint(out, n);
    wire_add(out, p, n);
}

/* A message: open after its tag, close when its fields are written. One byte is kept for the
 * length; a long message moves. */
static inline size_t wire_open(struct buf *out)
{
    if (out->cap - out->n < 16) {
        buf_room(out, 4096);
    }
    return ++out->n;
}
void wire_close_long(struct buf *out, size_t mark);
static inline void wire_close(struct buf *out, size_t mark)
{
    size_t n = out->n - mark;
    if (n < 0x80) {
        out->p[mark - 1] = (char)n;
    } else {
        wire_close_long(out, mark);
    }
}

/* The wire type of one value of the field. */
static inline uint32_t wire_type(const struct api_field *field)
{
    return field->type == API_TYPE_BOOL || field->type == API_TYPE_INT32 ||
                   field->type == API_TYPE_INT64
               ? 0
           : field->type == API_TYPE_DOUBLE ? 1
                                            : 2;
}

/* The closing quote of a name or text without escapes; NULL: there is an escape, or no end. */
const char *wire_quote(const char *p, const char *end);
/* A value that is no struct, after its tag. */
const char *wire_scalar(struct protobuf_writer *w, const struct api_field *field, const char *p);

const char *protobuf_write_struct(struct protobuf_writer *w, const struct api_struct *type,
                                  const char *p, unsigned depth);
/* A value with field->wire: a schema is `around`. */
const char *protobuf_write_form(struct protobuf_writer *w, const struct api_struct *around,
                                const struct api_field *field, const char *p, unsigned depth);
