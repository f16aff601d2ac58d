/* digest.h: SHA-256, HMAC-SHA-256, constant-time compare, random tokens.
 *
 * None of these can fail on valid arguments (OpenSSL without memory aborts the process). Secrets
 * are compared with digest_equal only, never with memcmp.
 */
#pragma once
#include <stdbool.h>

#include "base/random.h"
#include "base/str.h"

enum { DIGEST_SIZE = 32, DIGEST_HEX_SIZE = 65, TOKEN_TEXT_SIZE = 44 };

void digest_sha256(struct str bytes, unsigned char ret_digest[DIGEST_SIZE]);
void digest_sha256_hex(struct str bytes, char ret_text[DIGEST_HEX_SIZE]); /* lower case, NUL */
void digest_hmac(struct str key, struct str bytes, unsigned char ret_digest[DIGEST_SIZE]);
/* Time depends on the lengths only. */
bool digest_equal(struct str a, struct str b);

/* 256 random bits as base64url text (43 letters and a NUL). `random` must be the real one outside
 * tests. */
void token_random(struct random *random, char ret_text[TOKEN_TEXT_SIZE]);
/* What is kept of a token instead of itself: SHA-256, so that a leak of the table is no leak of
 * tokens. Tokens have 128 random bits or more, so no salt is needed. */
void token_hash(struct str token, unsigned char ret_digest[DIGEST_SIZE]);
