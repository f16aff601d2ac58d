/* tunnel.h: bytes both ways between two streams of one loop, with back-pressure; ends when both do.
 */
#pragma once
#include "io/net.h"

/* Takes both streams. ended() (may be NULL) runs once, when both are closed. */
void tunnel_join(struct stream *a, struct stream *b, void (*ended)(void *ctx), void *ctx);
