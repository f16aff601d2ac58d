/* access.h: who may use the agent's port. Callers show a client certificate of the cluster's CA or
 * a bearer token, which the API server reviews (TokenReview); what they may do it decides as well
 * (SubjectAccessReview on nodes/SUBRESOURCE of this node), whichever of the two they showed. */
#pragma once
#include "node/agent_int.h"
#include "wire/http.h"

struct access;
struct access *access_new(struct agent *agent);
void access_free(struct access *access); /* NULL is harmless */

struct access_question {
    const char *verb;
    const char *subresource; /* any of the two is enough */
    bool or_proxy;
    void (*allowed)(struct agent *agent, struct http_exchange *exchange);
};
/* Calls allowed(), now or later, or answers 401, 403 or 500. */
void access_check(struct access *access, struct http_exchange *exchange,
                  const struct access_question *question);
