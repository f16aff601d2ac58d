/* reverse.h: ways to a node: connections that its agent opened and turned round, or a dialled one.
 */
#pragma once
#include "server/request.h"

struct reverse;
struct reverse *reverse_new(struct server *server);
void reverse_free(struct reverse *reverse);
/* Handler of GET /cox/v1/reverse. */
void reverse_accept(struct request *request);
/* A stream to the node's HTTP/1.1 surface, on `loop`; done() runs later, once. */
void reverse_open(struct server *server, struct loop *loop, struct str node,
                  node_dial_done_fn *done, void *ctx);
