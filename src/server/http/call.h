/* call.h: an HTTP request without a connection: the whole path from route to encoded answer, for
 * data driven tests, benchmarks and the simulator. */
#pragma once
#include "server/request.h"

/* Runs on `loop`'s thread. capture() gets the answer once, at once or later, and owns the body (may
 * be NULL). A streaming body that said HTTP_BODY_LATER calls request->resume, when that is set. */
void http_call_start(struct server *server, struct loop *loop, struct identity *identity,
                     const struct http_request *http, http_capture_fn *capture, void *ctx);
