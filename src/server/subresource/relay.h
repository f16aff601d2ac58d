/* relay.h: passing one request on to a node or a pod, and its answer back. */
#pragma once
#include "server/request.h"

/* `path` with its query; copied. Both end the request. */
void relay_to_node(struct request *request, struct str node, struct str path);
void relay_to_address(struct request *request, struct str address, struct str path);
