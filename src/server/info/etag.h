/* etag.h: documents that a client may keep: RFC 9110, 8.8.3 and 13.1.2. */
#pragma once
#include "server/request.h"

/* Sets the header ETag and, for documents that are asked for by their hash (?hash=), how long they
 * may be kept. True: the request was answered already, with 304 (the client has it) or 301 (it
 * asked for another hash). */
bool etag_answer(struct request *request, struct str hash, bool hashed_path);
