/* protobuf.c: the wire format of Protocol Buffers (protobuf.dev/programming-guides/encoding),
 * field by field, without descriptors.
 *
 * Invariants: the reader never passes `end`; a broken field sets `failed` for good; varints are at
 * most ten bytes; groups (types 3 and 4) are refused. It does not recurse: a nested message is
 * bytes, which the caller reads with a reader of its own.
 */
#include "wire/protobuf.h"

void protobuf_reader_init(struct protobuf_reader *reader, struct str message)
{
    *reader = (struct protobuf_reader){.at = (const uint8_t *)message.p,
                                       .end = (const uint8_t *)message.p + message.n};
}

static bool fail(struct protobuf_reader *reader)
{
    reader->failed = true;
    reader->at = reader->end;
    return false;
}

static bool read_varint(struct protobuf_reader *reader, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (reader->at == reader->end) {
            return false;
        }
        uint8_t byte = *reader->at++;
        if (shift == 63 && byte > 1) {
            return false; /* more than 64 bits */
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool read_fixed(struct protobuf_reader *reader, unsigned size, uint64_t *ret_value)
{
    if ((size_t)(reader->end - reader->at) < size) {
        return false;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)reader->at[i] << (8 * i);
    }
    reader->at += size;
    *ret_value = value;
    return true;
}

bool protobuf_next(struct protobuf_reader *reader, struct protobuf_field *ret_field)
{
    uint64_t tag = 0;
    if (reader->failed || reader->at == reader->end) {
        return false;
    }
    if (!read_varint(reader, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) {
        return fail(reader);
    }
    struct protobuf_field field = {.number = (uint32_t)(tag >> 3), .type = tag & 7};
    bool whole = false;
    switch (field.type) {
    case 0:
        whole = read_varint(reader, &field.value);
        break;
    case 1:
        whole = read_fixed(reader, 8, &field.value);
        break;
    case 5:
        whole = read_fixed(reader, 4, &field.value);
        break;
    case 2:
        whole = read_varint(reader, &field.value) &&
                field.value <= (uint64_t)(reader->end - reader->at);
        if (whole) {
            field.bytes = str_at((const char *)reader->at, (size_t)field.value);
            reader->at += field.value;
            field.value = 0;
        }
        break;
    default:
        break;
    }
    if (!whole) {
        return fail(reader);
    }
    *ret_field = field;
    return true;
}

static size_t encode_varint(uint64_t value, uint8_t ret_bytes[10])
{
    size_t n = 0;
    while (value >= 0x80) {
        ret_bytes[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    ret_bytes[n++] = (uint8_t)value;
    return n;
}

static void put_varint(struct buf *out, uint64_t value)
{
    uint8_t bytes[10];
    buf_add(out, bytes, encode_varint(value, bytes));
}

void protobuf_varint(struct buf *out, uint32_t number, uint64_t value)
{
    put_varint(out, (uint64_t)number << 3);
    put_varint(out, value);
}

void protobuf_bytes(struct buf *out, uint32_t number, struct str bytes)
{
    put_varint(out, (uint64_t)number << 3 | 2);
    put_varint(out, bytes.n);
    buf_str(out, bytes);
}

void protobuf_bool(struct buf *out, uint32_t number, bool value)
{
    protobuf_varint(out, number, value);
}

size_t protobuf_begin(struct buf *out, uint32_t number)
{
    put_varint(out, (uint64_t)number << 3 | 2);
    return out->n;
}

/* The length is known only now: it goes in before the content, which moves by one to five bytes. */
void protobuf_end(struct buf *out, size_t mark)
{
    uint8_t length[10];
    size_t content = out->n - mark;
    size_t n = encode_varint(content, length);
    buf_room(out, n);
    memmove(out->p + mark + n, out->p + mark, content);
    memcpy(out->p + mark, length, n);
    out->n += n;
    out->p[out->n] = 0;
}
