/* digest.c: hashes, compare and random tokens over OpenSSL. No state. */
#include "pki/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>

void digest_sha256(struct str bytes, unsigned char ret_digest[DIGEST_SIZE])
{
    SHA256((const unsigned char *)(bytes.p != NULL ? bytes.p : ""), bytes.n, ret_digest);
}

void digest_sha256_hex(struct str bytes, char ret_text[DIGEST_HEX_SIZE])
{
    unsigned char digest[DIGEST_SIZE];
    digest_sha256(bytes, digest);
    hex_encode(digest, sizeof digest, ret_text);
}

void digest_hmac(struct str key, struct str bytes, unsigned char ret_digest[DIGEST_SIZE])
{
    unsigned int size = DIGEST_SIZE;
    const unsigned char *in = (const unsigned char *)(bytes.p != NULL ? bytes.p : "");
    if (HMAC(EVP_sha256(), key.p != NULL ? key.p : "", (int)key.n, in, bytes.n, ret_digest,
             &size) == NULL) {
        abort();
    }
}

bool digest_equal(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void token_random(struct random *random, char ret_text[TOKEN_TEXT_SIZE])
{
    unsigned char bytes[32];
    random_fill(random, bytes, sizeof bytes);
    struct buf text BUF_CLEANUP = BUF_INIT;
    base64url_encode(&text, bytes, sizeof bytes);
    memcpy(ret_text, text.p, TOKEN_TEXT_SIZE - 1);
    ret_text[TOKEN_TEXT_SIZE - 1] = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
}

void token_hash(struct str token, unsigned char ret_digest[DIGEST_SIZE])
{
    digest_sha256(token, ret_digest);
}
