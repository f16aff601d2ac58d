/* jwt.h: JSON Web Tokens signed with ES256 (RFC 7515, 7518, 7519), as service accounts carry them.
 *
 * The claims are JSON text that the caller writes and reads: this file knows the envelope only
 * (header, signature, kid). Verification accepts ES256 and nothing else: "alg" is compared, never
 * obeyed.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "pki/key.h"

/* header {"alg":"ES256","kid":...} . claims . signature */
int jwt_sign(const struct key *key, struct str claims_json, struct buf *out, struct err *err);
/* Checks the signature against the key whose id is the token's kid (a token without a kid is tried
 * against all). Appends the claims' JSON to `ret_claims`. ERR_UNAUTHORIZED for anything wrong.
 * Times and audiences are the caller's to check. */
int jwt_verify(struct key *const *keys, size_t key_count, struct str token, struct buf *ret_claims,
               struct err *err);
/* RFC 7517 key set of the public keys: {"keys":[{"use":"sig","kty":"EC","kid":...}]}. */
int jwt_write_keys(struct key *const *keys, size_t key_count, struct buf *out, struct err *err);
