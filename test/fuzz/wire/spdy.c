/* spdy.c: bytes of a peer into a SPDY session, cut in two; each stream echoes, some are reset. */
#include <stdint.h>

#include "wire/spdy.h"

static void on_stream(void *ctx, struct spdy *spdy, struct spdy_stream *stream,
                      const struct http_header *headers, size_t count)
{
    if (count == 3) {
        spdy_reset(stream);
    }
}
static void on_data(void *ctx, struct spdy_stream *stream, const char *bytes, size_t size, bool fin)
{
    if (size > 0 && bytes[0] == 'r') {
        spdy_reset(stream);
    } else {
        spdy_write(stream, bytes, size, fin);
    }
}
static void on_stream_close(void *ctx, struct spdy_stream *stream)
{
}
static void on_send(void *ctx, struct spdy *spdy, const char *bytes, size_t size)
{
}
static const struct spdy_ops ops = {.on_stream = on_stream,
                                    .on_data = on_data,
                                    .on_stream_close = on_stream_close,
                                    .send = on_send};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct spdy *spdy = spdy_new(true, &ops, NULL);
    size_t cut = data[0] < size - 1 ? data[0] : size - 1;
    struct err err;
    if (spdy_feed(spdy, (const char *)data + 1, cut, &err) == 0) {
        spdy_feed(spdy, (const char *)data + 1 + cut, size - 1 - cut, &err);
    }
    spdy_free(spdy);
    return 0;
}
