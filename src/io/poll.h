/* poll.h: readiness of a descriptor on a real loop, for sockets that are no byte streams (UDP,
 * netlink). The descriptor stays the caller's, who closes it after poll_stop(). Level-triggered.
 */
#pragma once
#include "io/loop.h"

struct poll_watch;
/* Calls `ready` whenever `fd` can be read (non-blocking), until poll_stop. */
struct poll_watch *poll_readable(struct loop *loop, int fd, void (*ready)(void *ctx, int fd),
                                 void *ctx);
void poll_stop(struct poll_watch *watch); /* frees it; no call of `ready` afterwards */
