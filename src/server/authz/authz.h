/* authz.h: may this identity do this? RBAC from the cache, the node authorizer, system:masters.
 *
 * Rules are compiled from Role, ClusterRole and binding objects and kept up to date on the home
 * loop by cursors; requests use the newest compiled set through a counted pointer. Any thread.
 */
#pragma once
#include "server/request.h"

struct attributes {
    const struct identity *identity;
    struct str verb;                               /* "get"; "*" only from rule checks */
    struct str group, resource, subresource, name; /* of a resource request */
    struct str ns;
    struct str selector; /* field selector of a list or watch, as sent */
    struct str path;     /* of a non-resource request; resource.n is 0 then */
};

struct authz;
struct authz *authz_new(struct server *server);
void authz_free(struct authz *authz);
/* Opens the cursors; home loop, after the cache is loaded. */
int authz_start(struct authz *authz, struct err *err);
/* Compiles at once what the cache holds now; home loop. For start and tests. */
void authz_refresh(struct authz *authz);

bool authz_allows(struct server *server, const struct attributes *attributes,
                  struct arena *reason_arena, struct str *ret_reason);
/* The request as routed, with the answer "is forbidden: User ... cannot ..." in failure. */
int authz_check_request(struct request *request, struct failure *failure);
/* The same for another verb on the same object. */
int authz_check_verb(struct request *request, enum request_verb verb, struct failure *failure);
int authz_check(struct request *request, const struct attributes *attributes,
                struct failure *failure);

/* The name that a field selector ("metadata.name=x" alone) asks for, or empty. */
struct str authz_selected_name(struct str field_selector);

/* The rules that hold for an identity in a namespace, as SelfSubjectRulesReview lists them. */
void authz_rules(struct server *server, const struct identity *identity, struct str ns,
                 struct arena *arena, struct val *resource_rules, struct val *path_rules);
/* Whether the identity holds everything that `rules` (a list of PolicyRule) grants in `ns`
 * (n 0: in the cluster): the check against escalation. */
bool authz_covers(struct server *server, const struct identity *identity, struct str ns,
                  const struct val *rules);
