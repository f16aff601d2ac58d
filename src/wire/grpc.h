/* grpc.h: gRPC over HTTP/2 on Unix sockets: enough for kubelet's plug-in APIs: unary and
 * server-streaming, both sides. Messages are bytes; wire/protobuf.h reads and writes them.
 *
 * Rules: gRPC over HTTP2 (grpc/grpc, doc/PROTOCOL-HTTP2.md), status codes of doc/statuscodes.md. No
 * compression (never offered, refused with UNIMPLEMENTED), messages up to 4 MiB, no metadata of our
 * own. Everything on the loop.
 */
#pragma once
#include "io/net.h"

enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14
};

struct grpc_server;
struct grpc_call;
struct grpc_method {
    const char *path; /* "/v1beta1.Registration/Register" */
    /* The call is the callee's until it calls grpc_finish, now or later, exactly once, also after
     * a cancellation. */
    void (*on_call)(void *ctx, struct grpc_call *call, const char *message, size_t size);
};
/* Takes the listening descriptor. `methods` must live as long as the server. */
struct grpc_server *grpc_serve(struct loop *loop, int listen_fd, const struct grpc_method *methods,
                               size_t count, void *ctx);
/* Closes the listener and every connection; calls that are still open stay valid until finished,
 * no on_cancel comes. */
void grpc_server_free(struct grpc_server *server);
void grpc_send(struct grpc_call *call, const void *message,
               size_t size); /* one message (more for a stream) */
void grpc_finish(struct grpc_call *call, int status, const char *message); /* gRPC status code */
/* The client went away (or cancelled): what is sent from now on is dropped. */
void grpc_call_on_cancel(struct grpc_call *call,
                         void (*on_cancel)(void *arg, struct grpc_call *call), void *arg);

struct grpc_client;
struct grpc_request;
/* on_close: the connection is gone (or was never made); open requests have ended before with
 * GRPC_UNAVAILABLE. The client must still be freed, from inside it or later. */
struct grpc_client *grpc_dial(struct loop *loop, const char *unix_path,
                              void (*on_close)(void *ctx, const struct err *err), void *ctx);
/* Open requests end with GRPC_UNAVAILABLE before it returns; no on_close. */
void grpc_client_free(struct grpc_client *client);
struct grpc_reply_ops {
    void (*on_message)(void *ctx, const char *message, size_t size); /* may be NULL */
    void (*on_end)(void *ctx, int status, struct str message);       /* once */
};
/* `timeout_ns` 0: none. Callbacks never come from inside this call. */
struct grpc_request *grpc_request(struct grpc_client *client, const char *path, const void *message,
                                  size_t size, int64_t timeout_ns, const struct grpc_reply_ops *ops,
                                  void *ctx);
void grpc_cancel(struct grpc_request *request); /* no callbacks afterwards */
