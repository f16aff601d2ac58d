/* pipe.h: feeds bytes to one end of a socket pair whose other end is a stream on a real loop. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "io/net.h"

/* Calls `start` with the stream, writes the bytes (the first chooses how they are cut), says the
 * end, and runs the loop until `done` is set or nothing moves for a while. */
void pipe_feed(const uint8_t *data, size_t size, void (*start)(void *ctx, struct stream *stream),
               void *ctx, const bool *done);
