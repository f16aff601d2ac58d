/* node.h: the node authorizer: what an agent may do, by what runs on its node. */
#pragma once
#include "server/authz/authz.h"

/* identity->node is set. Denial leaves a reason when the object exists in principle. */
bool node_authorizer_allows(struct server *server, const struct attributes *attributes,
                            struct arena *reason_arena, struct str *ret_reason);
/* Whether a pod bound to `node` in `ns` refers to this object ("secrets", "configmaps",
 * "serviceaccounts", "persistentvolumeclaims"). */
bool node_refers(struct server *server, struct str node, struct str ns, struct str resource,
                 struct str name);
