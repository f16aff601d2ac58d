/* conntrack.h: forgets translated flows whose endpoint is gone (UDP has no end of its own).
 * Internal to network/. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct conntrack_flow {
    uint8_t protocol;
    uint32_t address; /* where the client sent to, host byte order */
    uint16_t port;
    uint32_t endpoint_address; /* who answers */
    uint16_t endpoint_port;
    bool translated; /* the two differ */
};
/* Deletes the flows of `protocol` in the namespace that `is_stale` says so of. */
int conntrack_forget(int netns_fd, uint8_t protocol,
                     bool (*is_stale)(void *ctx, const struct conntrack_flow *flow), void *ctx,
                     struct err *err);
