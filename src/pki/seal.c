/* seal.c: authenticated encryption of stored values over OpenSSL's EVP. See seal.h for the layout.
 */
#include "pki/seal.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/mem.h"
#include "pki/digest.h"

enum { NONCE_SIZE = 12, TAG_SIZE = 16, VERSION = 1, OVERHEAD = 1 + NONCE_SIZE + TAG_SIZE };

struct seal {
    unsigned char key[SEAL_KEY_SIZE];
    char id[SEAL_ID_SIZE];
    struct random *random;
};

int seal_new(struct str key, struct random *random, struct seal **ret_seal, struct err *err)
{
    if (key.n != SEAL_KEY_SIZE) {
        return err_set(err, ERR_PARSE, "a sealing key has %d bytes, this one has %zu",
                       SEAL_KEY_SIZE, key.n);
    }
    struct seal *seal = mem_new(struct seal);
    memcpy(seal->key, key.p, SEAL_KEY_SIZE);
    seal->random = random;
    unsigned char digest[DIGEST_SIZE];
    digest_hmac(key, STR("cox seal id"), digest);
    hex_encode(digest, (SEAL_ID_SIZE - 1) / 2, seal->id);
    *ret_seal = seal;
    return 0;
}

void seal_free(struct seal *seal)
{
    if (seal != NULL) {
        OPENSSL_cleanse(seal, sizeof *seal);
        free(seal);
    }
}

struct str seal_id(const struct seal *seal)
{
    return str_of(seal->id);
}

static bool encrypt(EVP_CIPHER_CTX *ctx, const struct seal *seal, struct str associated,
                    struct str plain, unsigned char *at)
{
    unsigned char *nonce = at + 1, *text = nonce + NONCE_SIZE;
    int n = 0;
    return EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, seal->key, nonce) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &n, (const unsigned char *)associated.p,
                             (int)associated.n) == 1 &&
           (plain.n == 0 ||
            EVP_EncryptUpdate(ctx, text, &n, (const unsigned char *)plain.p, (int)plain.n) == 1) &&
           EVP_EncryptFinal_ex(ctx, text + plain.n, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, text + plain.n) == 1;
}

int seal_close(struct seal *seal, struct str associated, struct str plain, struct buf *out,
               struct err *err)
{
    if (plain.n > INT_MAX - OVERHEAD || associated.n > INT_MAX) {
        return err_set(err, ERR_TOO_LARGE, "a value of %zu bytes cannot be sealed", plain.n);
    }
    unsigned char *at = (unsigned char *)buf_room(out, plain.n + OVERHEAD);
    at[0] = VERSION;
    random_fill(seal->random, at + 1, NONCE_SIZE);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx != NULL && encrypt(ctx, seal, associated, plain, at);
    EVP_CIPHER_CTX_free(ctx);
    if (!good) {
        return err_set(err, ERR_INTERNAL, "sealing failed");
    }
    out->n += plain.n + OVERHEAD;
    out->p[out->n] = '\0';
    return 0;
}

static bool decrypt(EVP_CIPHER_CTX *ctx, const struct seal *seal, struct str associated,
                    struct str text, const unsigned char *nonce, unsigned char *at)
{
    unsigned char tag[TAG_SIZE];
    memcpy(tag, text.p + text.n, TAG_SIZE);
    int n = 0;
    return EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, seal->key, nonce) == 1 &&
           EVP_DecryptUpdate(ctx, NULL, &n, (const unsigned char *)associated.p,
                             (int)associated.n) == 1 &&
           (text.n == 0 ||
            EVP_DecryptUpdate(ctx, at, &n, (const unsigned char *)text.p, (int)text.n) == 1) &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
           EVP_DecryptFinal_ex(ctx, at + text.n, &n) == 1;
}

int seal_open(struct seal *seal, struct str associated, struct str sealed, struct buf *out,
              struct err *err)
{
    if (sealed.n < OVERHEAD || sealed.n > INT_MAX || sealed.p[0] != VERSION) {
        return err_set(err, ERR_PARSE, "these bytes are no sealed value");
    }
    const unsigned char *nonce = (const unsigned char *)sealed.p + 1;
    struct str text = {sealed.p + 1 + NONCE_SIZE, sealed.n - OVERHEAD};
    unsigned char *at = (unsigned char *)buf_room(out, text.n + 1);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    bool good = ctx != NULL && decrypt(ctx, seal, associated, text, nonce, at);
    EVP_CIPHER_CTX_free(ctx);
    if (!good) {
        OPENSSL_cleanse(at, text.n);
        return err_set(err, ERR_INTERNAL,
                       "a sealed value does not open: it was changed, or key %s is the wrong one",
                       seal->id);
    }
    out->n += text.n;
    out->p[out->n] = '\0';
    return 0;
}
