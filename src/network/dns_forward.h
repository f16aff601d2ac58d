/* dns_forward.h: questions outside the zone to the upstream servers: UDP, then TCP when the
 * answer was cut and `tcp` says that the client can take it whole; two rounds, a small cache.
 * Internal to network/.
 *
 * Sockets are opened in the agent's own network namespace, one a question, so the source port is
 * the kernel's random choice; the id is random as well, and the question must come back. */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "io/loop.h"

struct dns_forwarder;
/* Answer as the upstream gave it (its id is not the client's), or n 0: nobody answered. Called
 * once, possibly before dns_forward returns. */
typedef void dns_forward_fn(void *ctx, struct str answer);
int dns_forwarder_new(struct loop *loop, struct str upstream, struct dns_forwarder **ret_forwarder,
                      struct err *err);
void dns_forwarder_free(struct dns_forwarder *forwarder); /* open questions are not answered */
void dns_forward(struct dns_forwarder *forwarder, struct str query, bool tcp, dns_forward_fn *done,
                 void *ctx);
