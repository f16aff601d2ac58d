/* http_server.c: bytes of a client into the server glue: HTTP/1.1, or HTTP/2 when they begin with
 * its preface. Whole bodies, streamed ones, upgrades (to an echo) and refusals are all reached. */
#include "pipe.h"
#include "wire/http.h"

static void raw_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    stream_write(stream, bytes, size);
}
static void raw_close(void *ctx, struct stream *stream, const struct err *err)
{
    *(bool *)ctx = true;
}
static const struct stream_ops raw_ops = {.on_read = raw_read, .on_close = raw_close};

static void on_request(void *ctx, struct http_exchange *exchange)
{
    const struct http_request *request = http_request(exchange);
    struct http_header header = {STR("x-echo"), request->path};
    if (http_upgrade_wanted(exchange).n > 0) {
        if (http_upgrade(exchange, STR("echo"), &header, 1, &raw_ops, ctx) != NULL) {
            *(bool *)ctx = false; /* on_end came, the stream lives on */
            return;
        }
    }
    http_respond(exchange, request->path.n % 2 != 0 ? 200 : 404, &header, 1,
                 http_body_copy(request->body));
}
static void on_abort(void *ctx, struct http_exchange *exchange)
{
}
static bool streams_body(void *ctx, struct http_exchange *exchange)
{
    return http_request(exchange)->path.n == 3;
}
static void on_body(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size,
                    bool end)
{
}
static void on_end(void *ctx)
{
    *(bool *)ctx = true;
}
static const struct http_server_ops ops = {.on_request = on_request,
                                           .on_abort = on_abort,
                                           .on_end = on_end,
                                           .streams_body = streams_body,
                                           .on_body = on_body};

static void start(void *ctx, struct stream *stream)
{
    http_serve(stream, NULL, &ops, ctx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool done = false;
    pipe_feed(data, size, start, &done, &done);
    return 0;
}
