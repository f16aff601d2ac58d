/* http_client.c: bytes of a server into the client glue; the second byte chooses the version. */
#include "pipe.h"
#include "wire/http.h"

struct run {
    struct http_client *client;
    int version, ended;
    bool done;
};

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    if (status == 299) {
        http_cancel(exchange);
    }
}
static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    ((struct run *)ctx)->ended++;
}
static const struct http_client_ops ops = {.on_headers = on_headers, .on_end = on_end};

static void on_close(void *ctx, const struct err *err)
{
    ((struct run *)ctx)->done = true;
}

static void start(void *ctx, struct stream *stream)
{
    struct run *run = ctx;
    struct http_client_request request = {
        .method = STR("GET"), .path = STR("/"), .authority = STR("a")};
    run->client = http_client_new(stream, run->version, on_close, run);
    http_send(run->client, &request, &ops, run);
    request.method = STR("POST");
    request.body = http_body_copy(STR("body"));
    http_send(run->client, &request, &ops, run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct run run = {.version = data[0] % 2 + 1};
    pipe_feed(data + 1, size - 1, start, &run, &run.done);
    http_client_free(run.client);
    return 0;
}
