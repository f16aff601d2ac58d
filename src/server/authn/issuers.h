/* issuers.h: tokens of other issuers (OpenID Connect), and who may be anonymous: the structured
 * AuthenticationConfiguration (apiserver.config.k8s.io/v1, v1beta1).
 *
 * Keys of an issuer are fetched over HTTPS by the home loop (issuer_keys.c), at start, each hour,
 * and when a token names a key that is not known (at most every 10 s); verifying never waits for
 * them: until they are there, its tokens are refused. Any thread may verify.
 */
#pragma once
#include "server/request.h"

struct issuers;
/* `config` n 0: no issuers, and anonymous requests as without a configuration. ERR_INVALID names
 * the field; expressions (CEL) are refused. */
int issuers_new(struct server *server, struct str config, struct issuers **ret_issuers,
                struct err *err);
void issuers_free(struct issuers *issuers);
void issuers_start(struct issuers *issuers); /* home loop */

/* Whether the token's `iss` is one of ours; then *ret_code is 0 with an identity, or why not.
 * `audiences` (count 0: the issuer's own) must also be met. */
bool issuers_verify(struct issuers *issuers, struct str token, const struct str *audiences,
                    size_t count, int64_t now_wall_ns, struct identity **ret_identity,
                    int *ret_code, struct err *err);

enum anonymous { ANONYMOUS_OPEN_PATHS, ANONYMOUS_NOWHERE, ANONYMOUS_ANYWHERE };
/* What a request without credentials may try at this path. */
enum anonymous issuers_anonymous(const struct issuers *issuers, struct str path);
/* Keys that an issuer has now; for tests and the state dump. */
size_t issuers_key_count(struct issuers *issuers, size_t i);
