/* jwk.h: public keys of other issuers (RFC 7517, 7518), and signatures by them.
 *
 * RSA of 2048 bits or more, and EC on P-256, P-384 and P-521. A struct jwk is immutable and
 * counted; any thread may verify with it. "alg" of a token is compared with what the key can do,
 * never obeyed: no HMAC, no "none".
 */
#pragma once
#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct jwk;
struct jwk_members { /* texts as in the JSON; n 0: absent */
    struct str kty, kid, alg, use, n, e, crv, x, y;
};
/* ERR_UNSUPPORTED for a key that cannot sign tokens here (another type or use), ERR_PARSE for one
 * that is broken or too small. */
int jwk_new(const struct jwk_members *members, struct jwk **ret_jwk, struct err *err);
struct jwk *jwk_ref(struct jwk *jwk);
void jwk_unref(struct jwk *jwk);
struct str jwk_id(const struct jwk *jwk);
/* Whether `signature` (raw, as in a JWS) over `message` is this key's, by `alg`: RS256, RS384,
 * RS512, PS256, PS384, PS512, ES256, ES384, ES512. */
bool jwk_verify(const struct jwk *jwk, struct str alg, struct str message, struct str signature);

/* The parts of a compact JWS; texts of `header` and `claims` are decoded into the buffers. False:
 * not three parts of base64url. */
struct jws {
    struct buf header, claims, signature;
    struct str message; /* into the token */
};
bool jws_split(struct str token, struct jws *ret_jws);
void jws_done(struct jws *jws);
