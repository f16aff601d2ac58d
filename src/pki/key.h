/* key.h: EC P-256 key pairs, private or public only.
 *
 * A struct key is immutable and counted; it may be used by any thread that holds a reference.
 * Errors: ERR_PARSE for text that is no P-256 key, ERR_INTERNAL when OpenSSL refuses. Private keys
 * leave this file only as PKCS#8 PEM through key_write_pem (callers write it with mode 0600).
 */
#pragma once
#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct key;

int key_generate(struct key **ret_key, struct err *err);
/* PKCS#8 or SEC1 private key, or SubjectPublicKeyInfo ("PUBLIC KEY") PEM. P-256 only. */
int key_parse_pem(struct str pem, struct key **ret_key, struct err *err);
struct key *key_ref(struct key *key);
void key_unref(struct key *key); /* NULL is harmless */
bool key_is_private(const struct key *key);

int key_write_pem(const struct key *key, struct buf *out, struct err *err); /* private, PKCS#8 */
int key_write_public_pem(const struct key *key, struct buf *out, struct err *err);
/* SubjectPublicKeyInfo, DER. */
int key_write_public_der(const struct key *key, struct buf *out, struct err *err);
/* RFC 7517 "kid" as Kubernetes makes it: base64url of the SHA-256 of the SubjectPublicKeyInfo.
 * Lives as long as the key. */
struct str key_id(const struct key *key);
/* The public point, 32 bytes each, big endian. */
int key_public_point(const struct key *key, unsigned char ret_x[32], unsigned char ret_y[32],
                     struct err *err);

/* ECDSA with SHA-256, raw r || s as JOSE wants it (RFC 7518, 3.4). */
int key_sign(const struct key *key, struct str message, unsigned char ret_signature[64],
             struct err *err);
bool key_verify(const struct key *key, struct str message, const unsigned char signature[64]);
