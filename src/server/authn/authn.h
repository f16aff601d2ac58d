/* authn.h: who is it? Client certificates (subject CN and O) and service-account tokens.
 *
 * A certificate was verified by TLS against the cluster's CA; here it only becomes a name. Tokens
 * are ES256 JWTs of our issuer; a verified token is kept by its hash until it expires, and on every
 * use the objects that it is bound to must still exist with the same uid. Any thread.
 */
#pragma once
#include "server/request.h"

struct authn;
struct authn *authn_new(struct server *server);
void authn_free(struct authn *authn);

/* By certificate, else by "Authorization: Bearer"; nobody: the anonymous identity. A new reference.
 * ERR_UNAUTHORIZED when a token is bad. */
int authn_identify(struct server *server, const struct peer_certificate *certificate,
                   struct str authorization, int64_t now_wall_ns, struct identity **ret_identity,
                   struct err *err);
/* A token on its own, for one of `audiences` (count 0: the issuer). */
int authn_token(struct server *server, struct str token, const struct str *audiences, size_t count,
                int64_t now_wall_ns, struct identity **ret_identity, struct err *err);

struct token_request {
    struct str account_ns, account_name, account_uid;
    const struct str *audiences; /* count 0: the issuer */
    size_t audience_count;
    int64_t now_wall_ns, seconds;
    struct str pod_name, pod_uid, secret_name, secret_uid, node_name, node_uid;
    struct str id; /* jti */
};
int authn_issue(struct server *server, const struct token_request *request, struct buf *ret_token,
                struct err *err);
