/* list_body.h: the pulled bodies of a list. */
#pragma once
#include "server/verb/list.h"

/* Takes the listing; frees it and the request when the body is freed. */
struct http_body *list_body_new(struct listing *listing);
/* Answers with the list as protobuf, once it is measured. Takes the listing and the request. */
void list_protobuf_answer(struct listing *listing);
