/* protobuf.c: any bytes, each nested message read as well; what was read is written and read
 * again. */
#include <stdlib.h>

#include "wire/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct protobuf_reader reader, inner;
    struct protobuf_field field;
    struct buf out BUF_CLEANUP = BUF_INIT;
    size_t fields = 0, again = 0;
    protobuf_reader_init(&reader, str_at((const char *)data, size));
    while (protobuf_next(&reader, &field)) {
        fields++;
        if (field.type == 2) {
            protobuf_bytes(&out, field.number, field.bytes);
            struct protobuf_field nested;
            protobuf_reader_init(&inner, field.bytes);
            while (protobuf_next(&inner, &nested)) {
            }
        } else {
            protobuf_varint(&out, field.number, field.value);
        }
    }
    protobuf_reader_init(&reader, buf_view(&out));
    while (protobuf_next(&reader, &field)) {
        again++;
    }
    if (reader.failed || again != fields) {
        abort();
    }
    return 0;
}
