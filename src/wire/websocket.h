/* websocket.h: RFC 6455 over an upgraded stream (wslay), server and client side. */
#pragma once
#include "io/net.h"
#include "wire/http.h"

struct websocket;
struct websocket_ops {
    void (*on_message)(void *ctx, struct websocket *socket, bool binary, const char *bytes,
                       size_t size); /* whole, at most 1 MiB */
    void (*on_drain)(void *ctx, struct websocket *socket);
    void (*on_close)(void *ctx, struct websocket *socket, int code,
                     const struct err *err); /* last */
};
/* Server: answers the upgrade of `exchange`, choosing the first of `protocols` (NULL ended, in
 * order of preference) that the client offered; NULL and a 400 answer when none fits or the request
 * is no WebSocket handshake. */
struct websocket *websocket_accept(struct http_exchange *exchange, const char *const *protocols,
                                   const struct websocket_ops *ops, void *ctx);
struct str websocket_protocol(const struct websocket *socket);
/* Client: over a stream that http_client_upgrade gave after a 101. websocket_client_headers fills
 * the handshake's headers. */
size_t websocket_client_headers(struct arena *arena, struct str protocols,
                                struct http_header ret_headers[4]);
/* Whether the 101 answer fits the headers that were sent (RFC 6455 4.1), and the protocol that the
 * server chose (a view into `headers`). */
int websocket_client_verify(const struct http_header *sent, size_t sent_count,
                            const struct http_header *headers, size_t count,
                            struct str *ret_protocol, struct err *err);
struct websocket *websocket_from_stream(struct stream *stream, const struct websocket_ops *ops,
                                        void *ctx);
void websocket_send(struct websocket *socket, bool binary, const void *bytes, size_t size);
size_t websocket_queued(const struct websocket *socket);
void websocket_pause(struct websocket *socket);
void websocket_resume(struct websocket *socket);
void websocket_close(struct websocket *socket, int code);
