/* websocket.c: frames of a client into a WebSocket server (behind a good handshake). */
#include <stdlib.h>
#include <string.h>

#include "pipe.h"
#include "wire/websocket.h"

static void on_message(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                       size_t size)
{
    if (size > 0 && bytes[0] == 'q') {
        websocket_close(socket, 1000);
    } else {
        websocket_send(socket, binary, bytes, size);
    }
}
static void on_close(void *ctx, struct websocket *socket, int code, const struct err *err)
{
    *(bool *)ctx = true;
}
static const struct websocket_ops ops = {.on_message = on_message, .on_close = on_close};

static void on_request(void *ctx, struct http_exchange *exchange)
{
    static const char *const protocols[] = {"", NULL};
    websocket_accept(exchange, protocols, &ops, ctx);
}
static void on_abort(void *ctx, struct http_exchange *exchange)
{
}
static const struct http_server_ops server_ops = {.on_request = on_request, .on_abort = on_abort};

static void start(void *ctx, struct stream *stream)
{
    http_serve(stream, NULL, &server_ops, ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char handshake[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    bool done = false;
    if (size == 0) {
        return 0;
    }
    uint8_t *bytes = malloc(size + sizeof handshake);
    bytes[0] = data[0];
    memcpy(bytes + 1, handshake, sizeof handshake - 1);
    memcpy(bytes + sizeof handshake, data + 1, size - 1);
    pipe_feed(bytes, size + sizeof handshake - 1, start, &done, &done);
    free(bytes);
    return 0;
}
