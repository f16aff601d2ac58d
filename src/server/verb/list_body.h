/* list_body.h: the pulled body of a list. */
#pragma once
#include "server/verb/list.h"

/* Takes the listing; frees it and the request when the body is freed. */
struct http_body *list_body_new(struct listing *listing);
