/* connection.h: the command line's way to a server: a kubeconfig and blocking requests over one
 * HTTP/2 connection.
 *
 * A command is short-lived and single-threaded: every call runs the loop until it is answered.
 * Errors are those of the transport, or the server's Status turned into struct err (code from
 * reason, message as the server wrote it).
 */
#pragma once
#include "api/val.h"
#include "io/loop.h"
#include "wire/http.h"
#include "wire/websocket.h"

struct connection;

struct connection_options {
    const char
        *kubeconfig; /* NULL: $KUBECONFIG, else ~/.kube/config, else /etc/cox/admin.kubeconfig */
    const char *context; /* NULL: current-context */
};
int connection_open(const struct connection_options *options, struct connection **ret_connection,
                    struct err *err);
/* Without a kubeconfig: "HOST:PORT" and a TLS context (reference taken). */
struct tls_context;
struct connection *connection_open_to(struct str address, struct tls_context *tls);
void connection_close(struct connection *connection);
struct loop *connection_loop(struct connection *connection);
/* For callers with many requests at once: the HTTP client (opened when needed) and the authority
 * its requests name. */
struct http_client *connection_client(struct connection *connection);
/* One more connection to the same server; lives until the process ends. */
struct http_client *connection_another(struct connection *connection);
struct str connection_authority(const struct connection *connection);
struct str connection_token(const struct connection *connection); /* bearer token, or empty */
struct str
connection_namespace(const struct connection *connection); /* of the context; "default" when none */
const char *connection_kubeconfig(const struct connection *connection); /* the path that was read */

struct connection_request {
    const char *method;
    struct str path;                   /* with query */
    const char *accept, *content_type; /* NULL: JSON */
    struct str body;
    int64_t timeout_ns; /* 0: 60 s; -1: none */
};
/* The whole answer into ret_body. 2xx gives 0. */
int connection_send(struct connection *connection, const struct connection_request *request,
                    struct buf *ret_body, struct err *err);
/* Same, parsed. */
int connection_send_json(struct connection *connection, const struct connection_request *request,
                         struct arena *arena, struct val **ret_value, struct err *err);
/* Streams the answer: on_data is called as bytes come; returning false ends it (then 0). */
int connection_stream(struct connection *connection, const struct connection_request *request,
                      bool (*on_data)(void *ctx, struct str bytes), void *ctx, struct err *err);
/* A WebSocket to `path` with one of the comma-separated protocols. */
int connection_websocket(struct connection *connection, struct str path, const char *protocols,
                         const struct websocket_ops *ops, void *ctx, struct websocket **ret_socket,
                         struct err *err);
/* Lets the loop run for a while. */
void connection_pause(struct connection *connection, int64_t ns);
