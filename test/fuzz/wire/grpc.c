/* grpc.c: message frames and status texts as a peer may send them. */
#include <stdlib.h>

#include "wire/grpc_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_at((const char *)data, size), message;
    struct buf text BUF_CLEANUP = BUF_INIT, again BUF_CLEANUP = BUF_INIT,
                    encoded BUF_CLEANUP = BUF_INIT;
    while (grpc_frame_get(rest, &message) == GRPC_FRAME_WHOLE) {
        str_hash(message);
        rest = str_from(rest, message.n + GRPC_PREFIX);
    }
    grpc_message_decode(&text, str_at((const char *)data, size));
    buf_char(&text, 0);
    grpc_message_encode(&encoded, text.p);
    grpc_message_decode(&again, buf_view(&encoded));
    if (!str_is(buf_view(&again), text.p)) {
        abort();
    }
    return 0;
}
