/* protobuf.h: protobuf wire format, reader and writer, no descriptors. */
#pragma once
#include "base/str.h"

struct protobuf_reader {
    const uint8_t *at, *end;
    bool failed;
};
struct protobuf_field {
    uint32_t number;
    uint8_t type;     /* 0 varint, 1 fixed64, 2 bytes, 5 fixed32 */
    uint64_t value;   /* 0, 1, 5 */
    struct str bytes; /* 2 */
};
void protobuf_reader_init(struct protobuf_reader *reader, struct str message);
bool protobuf_next(struct protobuf_reader *reader,
                   struct protobuf_field *ret_field); /* false: the end, or reader->failed */
void protobuf_varint(struct buf *out, uint32_t number, uint64_t value);
void protobuf_bytes(struct buf *out, uint32_t number, struct str bytes);
void protobuf_bool(struct buf *out, uint32_t number, bool value);
/* Nested message: begin, write its fields, end. */
size_t protobuf_begin(struct buf *out, uint32_t number);
void protobuf_end(struct buf *out, size_t mark);
