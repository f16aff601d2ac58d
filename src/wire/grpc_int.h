/* grpc_int.h: message framing, shared by grpc_server.c and grpc_client.c. */
#pragma once
#include "base/str.h"

enum { GRPC_PREFIX = 5, GRPC_MESSAGE_MAX = 4 << 20 };
void grpc_frame_put(struct buf *out, const void *message, size_t size);
enum grpc_frame { GRPC_FRAME_NONE, GRPC_FRAME_WHOLE, GRPC_FRAME_BAD, GRPC_FRAME_COMPRESSED };
/* Looks for a message at the front of `bytes`; ret_message points into it. */
enum grpc_frame grpc_frame_get(struct str bytes, struct str *ret_message);
/* Percent-encodes what may not stand in a grpc-message, and back. */
void grpc_message_encode(struct buf *out, const char *text);
void grpc_message_decode(struct buf *out, struct str text);
