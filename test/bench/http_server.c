/* http_server.c: the smallest HTTPS server on our io and wire: it answers every GET with a body of
 * N bytes from memory. For h2load, to see what the layers below the API server cost.
 *
 *   bench-http-server ADDRESS CERT.pem KEY.pem BYTES
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/tls.h"
#include "wire/http.h"

struct bench {
    char *bytes;
    size_t size;
};

struct slice { /* a body that borrows */
    struct http_body body;
    const struct bench *bench;
    size_t done;
};

static ssize_t slice_read(struct http_body *body, char *out, size_t cap)
{
    struct slice *slice = container_of(body, struct slice, body);
    size_t left = slice->bench->size - slice->done;
    size_t size = left < cap ? left : cap;
    memcpy(out, slice->bench->bytes + slice->done, size);
    slice->done += size;
    return (ssize_t)size;
}

static void slice_free(struct http_body *body)
{
    free(container_of(body, struct slice, body));
}

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct bench *bench = ctx;
    static const struct http_header headers[] = {{STR("content-type"), STR("application/json")},
                                                 {STR("cache-control"), STR("no-cache, private")}};
    struct slice *slice = mem_new(struct slice);
    slice->body = (struct http_body){slice_read, slice_free, (int64_t)bench->size, NULL};
    slice->bench = bench;
    http_respond(exchange, 200, headers, 2, &slice->body);
}

static void on_abort(void *ctx, struct http_exchange *exchange)
{
}

static const struct http_server_ops server_ops = {.on_request = on_request, .on_abort = on_abort};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    http_serve(stream, NULL, &server_ops, ctx);
}
static const struct listener_ops listener_ops = {.on_accept = on_accept};

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct buf certificate = BUF_INIT, key = BUF_INIT;
    uint64_t size;
    int fd;
    if (argc != 5 || !str_u64(str_of(argv[4]), &size)) {
        fprintf(stderr, "usage: %s ADDRESS CERT.pem KEY.pem BYTES\n", argv[0]);
        return 2;
    }
    struct tls_context *tls = NULL;
    if (file_read(argv[2], 1 << 20, &certificate, &err) == 0 &&
        file_read(argv[3], 1 << 20, &key, &err) == 0) {
        struct tls_options options = {.certificate_pem = buf_view(&certificate),
                                      .key_pem = buf_view(&key),
                                      .alpn = STR("h2,http/1.1")};
        tls = tls_server_new(&options, &err);
    }
    if (tls == NULL || net_bind(str_of(argv[1]), &fd, &err) != 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    struct bench bench = {.bytes = mem_alloc(size + 1), .size = size};
    memset(bench.bytes, 'x', size);
    struct loop *loop = loop_new();
    listener_new(loop, fd, tls, &listener_ops, &bench);
    printf("listening on %s\n", argv[1]);
    fflush(stdout);
    loop_run(loop);
    return 0;
}
