/* claims.h: the claims of service-account tokens (KEP-1205, KEP-4193). */
#pragma once
#include "server/authn/authn.h"

/* Signature, issuer, audience, shape; not time and not what it is bound to. The identity has a
 * binding. */
int claims_verify(struct server *server, struct str token, const struct str *audiences,
                  size_t count, struct identity **ret_identity, struct err *err);
/* Expiry, and that account, pod, secret or node still are what they were. NULL binding: 0. */
int claims_check(struct server *server, const struct identity_binding *binding, int64_t now_wall_ns,
                 struct err *err);
