/* http.h: HTTP/1.1 (llhttp) and HTTP/2 (nghttp2) behind one interface, server and client side.
 *
 * An exchange is one request and its answer; it lives on its connection's loop. Bodies are pulled:
 * the sender has a struct http_body that is asked for bytes when the peer's window and the socket
 * have room, so a 400 MB list or a watch costs one buffer. A body that has nothing yet returns
 * HTTP_BODY_LATER and calls http_resume() when it has.
 *
 * Limits on the server (bad peers are cut): headers 64 KiB, request body `body_limit` (default 3
 * MiB: 413), 100 streams a connection, header deadline 10 s, nghttp2's reset and glitch limits.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "io/net.h"

struct http_exchange;

struct http_header {
    struct str name; /* lower case */
    struct str value;
};

enum { HTTP_BODY_LATER = -1, HTTP_BODY_FAILED = -2 /* resets the stream */ };
struct http_body {
    /* Up to `cap` bytes into `out`; 0: the end; HTTP_BODY_LATER; HTTP_BODY_FAILED. */
    ssize_t (*read)(struct http_body *body, char *out, size_t cap);
    void (*free)(struct http_body *body); /* exactly once */
    int64_t length;                       /* -1 unknown (chunked in HTTP/1.1) */
    /* HTTP/2 answers only, may be NULL: asked once after read() returned 0; up to `cap` trailer
     * fields, views valid until free(). gRPC's status travels there. */
    size_t (*trailers)(struct http_body *body, struct http_header *ret_fields, size_t cap);
};
struct http_body *http_body_bytes(char *heap_bytes, size_t size); /* takes the bytes */
struct http_body *http_body_copy(struct str bytes);

struct http_request {  /* views are valid until the exchange ends */
    struct str method; /* "GET" */
    struct str path;   /* raw, before '?' */
    struct str query;  /* raw, after '?'; p NULL when there is none */
    struct str authority;
    const struct http_header *headers;
    size_t header_count;
    struct str body; /* whole, when on_request is called; empty while streaming */
    int version;     /* 1 or 2 */
};
struct str http_header_get(const struct http_header *headers, size_t count,
                           struct str name); /* STR_NONE when absent */

/* ---- server ---- */
struct http_server_ops {
    /* The request is whole (headers and body), or headers only when `streams_body` said so or it
     * asks for an upgrade. Answer now or later, exactly once. */
    void (*on_request)(void *ctx, struct http_exchange *exchange);
    /* The peer went away (reset, closed) before the answer was complete: forget the exchange. Not
     * called after it was. A body that was already given is freed right after. */
    void (*on_abort)(void *ctx, struct http_exchange *exchange);
    /* The connection is gone, or was upgraded away: the last call with this ctx. May be NULL. */
    void (*on_end)(void *ctx);
    /* Optional: the body of an answer that is given here to a request that breaks a limit (413,
     * 431, 400), and its content type; else a sentence of plain text. */
    struct http_body *(*refusal)(void *ctx, int status, const char **ret_content_type);
    /* Optional: asked when the headers are there; true: on_request comes now, and the body in
     * pieces through on_body (`end` with the last one, which may be empty). */
    bool (*streams_body)(void *ctx, struct http_exchange *exchange);
    void (*on_body)(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size,
                    bool end);
};
struct http_server_options {
    size_t body_limit; /* 0: 3 MiB */
    int64_t idle_ns;   /* connection without exchanges, or whose peer takes nothing; 0: 180 s */
    int64_t header_ns; /* from the first byte of a head to its last; 0: 10 s */
};
/* Serves HTTP on an accepted stream (ALPN picks the version; without TLS: prior knowledge of h2 by
 * its preface). */
struct http_connection;
struct http_connection *http_serve(struct stream *stream, const struct http_server_options *options,
                                   const struct http_server_ops *ops, void *ctx);
void http_connection_drain(
    struct http_connection *connection); /* GOAWAY / Connection: close, ends when idle */
size_t http_connection_count(void); /* open now, this process; for the signal that prints state */

const struct http_request *http_request(const struct http_exchange *exchange);
struct stream *
http_exchange_stream(const struct http_exchange *exchange); /* peer certificate, addresses */
struct http_connection *http_exchange_connection(const struct http_exchange *exchange);
struct loop *http_exchange_loop(const struct http_exchange *exchange);
void http_exchange_set(struct http_exchange *exchange, void *user);
void *http_exchange_get(const struct http_exchange *exchange);
/* Headers may be freed after the call. content-length is set from body->length; body NULL: none. */
void http_respond(struct http_exchange *exchange, int status, const struct http_header *headers,
                  size_t count, struct http_body *body);
void http_resume(
    struct http_exchange *exchange); /* its body has bytes again; exchange's loop only */
/* Back-pressure on what comes in (streamed request bodies, a client's answers): what is in flight
 * may still come. */
void http_receive_pause(struct http_exchange *exchange);
void http_receive_resume(struct http_exchange *exchange);

/* HTTP/1.1 Upgrade (SPDY, WebSocket, cox-reverse) and HTTP/2 extended CONNECT: whether the request
 * asks for one, e.g. "websocket"; then http_upgrade() answers 101 with `headers` (Upgrade and
 * Connection are added) and hands over the raw stream: bytes already read come first through its
 * on_read. The exchange is gone afterwards. HTTP/1.1 only: returns NULL for h2. */
struct str http_upgrade_wanted(const struct http_exchange *exchange);
struct stream *http_upgrade(struct http_exchange *exchange, struct str protocol,
                            const struct http_header *headers, size_t count,
                            const struct stream_ops *ops, void *ctx);

/* ---- client ---- */
struct http_client; /* one connection, HTTP/2 with many exchanges or HTTP/1.1 with one at a time
                       (more are queued) */
struct http_client_ops {
    void (*on_headers)(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count);
    void (*on_data)(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size);
    /* HTTP/2 trailers, before on_end; NULL: ignored. */
    void (*on_trailers)(void *ctx, struct http_exchange *exchange, const struct http_header *fields,
                        size_t count);
    /* The end, exactly once: err->code 0 when the answer was complete. */
    void (*on_end)(void *ctx, struct http_exchange *exchange, const struct err *err);
};
/* Over an open (or opening) stream; takes the stream's ops. `version` 0: by ALPN, 1, or 2 (prior
 * knowledge). */
struct http_client *http_client_new(struct stream *stream, int version,
                                    void (*on_close)(void *ctx, const struct err *err), void *ctx);
/* Closes; open exchanges end with ERR_CLOSED before it returns, and no on_close comes. Also needed
 * after on_close (from inside it, or later): until then http_send() ends with ERR_UNAVAILABLE. */
void http_client_free(struct http_client *client);
struct http_client_request {
    struct str method, path /* with query */, authority;
    const struct http_header *headers;
    size_t header_count;
    struct http_body *body; /* NULL: none */
};
struct http_exchange *http_send(struct http_client *client,
                                const struct http_client_request *request,
                                const struct http_client_ops *ops, void *ctx);
void http_cancel(struct http_exchange *exchange); /* client side; no callbacks afterwards */
/* Sends an Upgrade request on a fresh HTTP/1.1 stream; on_done gets the raw stream (still to be
 * given ops), or err. */
void http_client_upgrade(struct stream *stream, const struct http_client_request *request,
                         struct str protocol,
                         void (*on_done)(void *ctx, struct stream *stream, int status,
                                         const struct http_header *headers, size_t count,
                                         const struct err *err),
                         void *ctx);

/* ---- URLs ---- */
/* Decodes %XX (and '+' in queries) into the arena. False: bad escape or NUL. */
bool url_decode(struct arena *arena, struct str text, bool query, struct str *ret_text);
void url_encode(struct buf *out, struct str text); /* everything but unreserved */
struct url_query {
    struct str key, value;
};
/* All pairs in order, decoded. False: bad escape. */
bool url_query_parse(struct arena *arena, struct str query, struct url_query **ret_pairs,
                     size_t *ret_count);
