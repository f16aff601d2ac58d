/* impersonation.h: Impersonate-User and its company (kubectl --as). */
#pragma once
#include "server/request.h"

/* Replaces request->identity when the headers ask for it and the user may. 0 or failure->code. */
int impersonate(struct request *request, const struct http_request *http, struct failure *failure);
