/* grpc_frame.c: the five bytes before a message, and texts in trailers.
 */
#include "wire/grpc_int.h"

void grpc_frame_put(struct buf *out, const void *message, size_t size)
{
    uint8_t prefix[GRPC_PREFIX] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16),
                                   (uint8_t)(size >> 8), (uint8_t)size};
    buf_add(out, prefix, sizeof prefix);
    buf_add(out, message, size);
}

enum grpc_frame grpc_frame_get(struct str bytes, struct str *ret_message)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    if (bytes.n < GRPC_PREFIX) {
        return GRPC_FRAME_NONE;
    }
    size_t size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (size > GRPC_MESSAGE_MAX || p[0] > 1) {
        return GRPC_FRAME_BAD;
    }
    if (p[0] == 1) {
        return GRPC_FRAME_COMPRESSED;
    }
    if (bytes.n - GRPC_PREFIX < size) {
        return GRPC_FRAME_NONE;
    }
    *ret_message = str_at(bytes.p + GRPC_PREFIX, size);
    return GRPC_FRAME_WHOLE;
}

void grpc_message_encode(struct buf *out, const char *text)
{
    for (; text != NULL && *text != 0; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c <= 0x7E && c != '%') {
            buf_char(out, (char)c);
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

void grpc_message_decode(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte;
        if (text.p[i] == '%' && i + 2 < text.n && hex_decode(str_at(text.p + i + 1, 2), &byte)) {
            buf_char(out, (char)byte);
            i += 2;
        } else {
            buf_char(out, text.p[i]);
        }
    }
}
