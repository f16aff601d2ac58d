/* bootstrap_token.h: tokens ID.SECRET that are kept in Secrets bootstrap-token-ID of kube-system.
 */
#pragma once
#include "server/request.h"

bool bootstrap_token_is(struct str token); /* six and sixteen of [a-z0-9], a dot between */
/* system:bootstrap:ID in system:bootstrappers and the Secret's auth-extra-groups.
 * ERR_UNAUTHORIZED. */
int bootstrap_token_verify(struct server *server, struct str token, int64_t now_wall_ns,
                           struct identity **ret_identity, struct err *err);
