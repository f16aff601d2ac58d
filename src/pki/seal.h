/* seal.h: AES-256-GCM sealing with associated data, for Secrets at rest (store/store.h,
 * store_seal).
 *
 * Sealed bytes: version (1 byte, 1), nonce (12), ciphertext, tag (16). The nonce is random; one key
 * may seal 2^32 values (NIST SP 800-38D), far beyond what a cluster writes. The associated data is
 * the storage key, so a row cannot be swapped with another one. Thread-safe: a struct seal is
 * immutable.
 */
#pragma once
#include "base/err.h"
#include "base/random.h"
#include "base/str.h"

enum { SEAL_KEY_SIZE = 32, SEAL_ID_SIZE = 17 };

struct seal;
/* `key` is SEAL_KEY_SIZE bytes (copied). `random` makes nonces: random_real() outside tests. */
int seal_new(struct str key, struct random *random, struct seal **ret_seal, struct err *err);
void seal_free(struct seal *seal); /* wipes the key */
/* Names the key without telling it: the first 8 bytes of a SHA-256 over a label and the key, hex.
 */
struct str seal_id(const struct seal *seal);
int seal_close(struct seal *seal, struct str associated, struct str plain, struct buf *out,
               struct err *err);
/* ERR_PARSE when the bytes are no sealed value, ERR_INTERNAL when they were changed or belong to
 * another key or row. */
int seal_open(struct seal *seal, struct str associated, struct str sealed, struct buf *out,
              struct err *err);
