/* accept.h: content negotiation (RFC 9110, 12.5.1) over the formats that we write. */
#pragma once
#include "server/request.h"

/* Reads the header for the request's route: which format, and in what form. Clauses are tried by
 * quality, then the exact before the general, then in order; one whose format or form the route
 * does not have is passed over. `request->accept.bad` when none is left. */
void accept_read(struct request *request, struct str header);
/* Whether the form that was asked for is one of a list (or of one object). 0 or 406. */
int accept_check_form(struct request *request, bool list, struct failure *failure);
/* The media types that the route answers in, for the message of a 406. */
const char *accept_types(const struct request *request);
