/* reverse.h: the agent's side of connections that are turned round: the agent dials the API (so it
 * works behind NAT), asks for an upgrade to cox-reverse, and then serves its kubelet surface on the
 * stream. A few idle ones are kept; a used one is replaced. The server authorises before it asks,
 * so what comes here is allowed. */
#pragma once
#include "base/str.h"
#include "io/loop.h"

struct agent;
struct tls_context;
struct reverse;
struct reverse *reverse_start(struct loop *loop, struct agent *agent, struct str api_address,
                              struct tls_context *tls);
void reverse_stop(struct reverse *reverse);
