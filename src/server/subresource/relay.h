/* relay.h: passing one request on to a node or a pod, and its answer back. */
#pragma once
#include "server/request.h"

/* `path` with its query; copied. Both end the request. */
void relay_to_node(struct request *request, struct str node, struct str path);

/* Where a proxy leads to. The node's agent makes the connection; the server itself does only when
 * no node is named or the named one has no connection to us. */
struct relay_target {
    struct str node; /* n 0: none */
    struct str ip;
    int64_t port;
    bool tls; /* not verified */
};
void relay_to_target(struct request *request, const struct relay_target *target, struct str path);
