/* grpc.h: gRPC over HTTP/2 on Unix sockets: enough for kubelet's plug-in APIs: unary and
 * server-streaming, both sides. Messages are bytes; wire/protobuf.h reads and writes them. */
#pragma once
#include "io/net.h"

struct grpc_server;
struct grpc_call;
struct grpc_method {
    const char *path; /* "/v1beta1.Registration/Register" */
    void (*on_call)(void *ctx, struct grpc_call *call, const char *message, size_t size);
};
struct grpc_server *grpc_serve(struct loop *loop, int listen_fd, const struct grpc_method *methods,
                               size_t count, void *ctx);
void grpc_server_free(struct grpc_server *server);
void grpc_send(struct grpc_call *call, const void *message,
               size_t size); /* one message (more for a stream) */
void grpc_finish(struct grpc_call *call, int status, const char *message); /* gRPC status code */
void grpc_call_on_cancel(struct grpc_call *call,
                         void (*on_cancel)(void *arg, struct grpc_call *call), void *arg);

struct grpc_client;
struct grpc_request;
struct grpc_client *grpc_dial(struct loop *loop, const char *unix_path,
                              void (*on_close)(void *ctx, const struct err *err), void *ctx);
void grpc_client_free(struct grpc_client *client);
struct grpc_reply_ops {
    void (*on_message)(void *ctx, const char *message, size_t size);
    void (*on_end)(void *ctx, int status, struct str message); /* once */
};
struct grpc_request *grpc_request(struct grpc_client *client, const char *path, const void *message,
                                  size_t size, int64_t timeout_ns, const struct grpc_reply_ops *ops,
                                  void *ctx);
