/* action.h: one asynchronous check or hook of a container: exec, httpGet, tcpSocket, grpc, sleep.
 * The same handlers serve probes and lifecycle hooks. */
#pragma once
#include "node/agent_int.h"

struct action;
/* ok: exit status 0, HTTP 200..399, connected, SERVING. `output` says why not (or the first 10 KiB
 * of what it wrote). Called once, never during action_start, not after action_free. */
typedef void action_done_fn(void *ctx, bool ok, struct str output);
struct action *action_start(struct run *run, const struct val *handler, int64_t timeout_ns,
                            action_done_fn *done, void *ctx);
void action_free(struct action *action); /* NULL is harmless; what runs is ended */

/* Inside probe/: an action is one of these; each calls action_finish() once. */
struct action_kind {
    const char *field; /* of the handler */
    int (*start)(struct action *action, const struct val *spec, struct err *err);
    void (*stop)(struct action *action);
};
extern const struct action_kind action_exec, action_http, action_tcp, action_grpc, action_sleep;
struct action {
    struct run *run;
    const struct action_kind *kind;
    action_done_fn *done;
    void *ctx;
    struct loop *loop;
    struct timer timer, failed;
    int64_t timeout_ns;
    char failure[512];
    void *state; /* of the kind */
};
void action_finish(struct action *action, bool ok, struct str output);
/* Port number or the name of one of the container's ports; 0: none. */
uint16_t action_port(const struct action *action, const struct val *port);
struct str action_host(const struct action *action, const struct val *spec); /* host or pod's IP */
