/* key.c: EC P-256 keys over OpenSSL's EVP interface.
 *
 * Invariants: every struct key is on P-256; its id is computed once, at birth. No globals: the
 * default library context of OpenSSL is all that is shared.
 * Left to others: certificates (certificate.c), tokens (jwt.c), where files live (role/).
 */
#include "pki/key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "pki/key_int.h"

struct key {
    _Atomic uint32_t refs;
    EVP_PKEY *evp;
    bool is_private;
    char *id;
};

int openssl_err(struct err *err, enum err_code code, const char *what)
{
    unsigned long number = ERR_peek_last_error();
    const char *reason = number != 0 ? ERR_reason_error_string(number) : NULL;
    err_set(err, code, "%s: %s", what, reason != NULL ? reason : "refused");
    ERR_clear_error();
    return code;
}

static bool evp_is_p256(EVP_PKEY *evp)
{
    char group[64] = "";
    size_t size = 0;
    if (!EVP_PKEY_is_a(evp, "EC")) {
        return false;
    }
    return EVP_PKEY_get_group_name(evp, group, sizeof group, &size) == 1 &&
           strcmp(group, SN_X9_62_prime256v1) == 0;
}

static int public_der(EVP_PKEY *evp, struct buf *out, struct err *err)
{
    unsigned char *der = NULL;
    int size = i2d_PUBKEY(evp, &der);
    if (size <= 0) {
        return openssl_err(err, ERR_INTERNAL, "public key");
    }
    buf_add(out, der, (size_t)size);
    OPENSSL_free(der);
    return 0;
}

int key_from_evp(EVP_PKEY *evp, bool is_private, struct key **ret_key, struct err *err)
{
    if (!evp_is_p256(evp)) {
        return err_set(err, ERR_PARSE, "the key is not an EC key on P-256");
    }
    struct buf der BUF_CLEANUP = BUF_INIT;
    if (public_der(evp, &der, err) < 0) {
        return ERR_INTERNAL;
    }
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)der.p, der.n, digest);
    struct buf id = BUF_INIT;
    base64url_encode(&id, digest, sizeof digest);

    struct key *key = mem_new(struct key);
    atomic_init(&key->refs, 1);
    EVP_PKEY_up_ref(evp);
    key->evp = evp;
    key->is_private = is_private;
    size_t size = 0;
    key->id = buf_take(&id, &size);
    *ret_key = key;
    return 0;
}

int key_generate(struct key **ret_key, struct err *err)
{
    EVP_PKEY *evp = EVP_PKEY_Q_keygen(NULL, NULL, "EC", SN_X9_62_prime256v1);
    if (evp == NULL) {
        return openssl_err(err, ERR_INTERNAL, "make an EC key");
    }
    int code = key_from_evp(evp, true, ret_key, err);
    EVP_PKEY_free(evp);
    return code;
}

/* Encrypted keys are refused: without this, OpenSSL would ask for a passphrase on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *ctx)
{
    return -1;
}

int key_parse_pem(struct str pem, struct key **ret_key, struct err *err)
{
    if (pem.n == 0 || pem.n > 64 * 1024) {
        return err_set(err, ERR_PARSE, "no PEM key of a sane size");
    }
    bool is_private = true;
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *evp = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    if (evp == NULL) {
        BIO_free(bio);
        ERR_clear_error();
        is_private = false;
        bio = BIO_new_mem_buf(pem.p, (int)pem.n);
        evp = PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    }
    BIO_free(bio);
    if (evp == NULL) {
        return openssl_err(err, ERR_PARSE, "read a PEM key");
    }
    int code = key_from_evp(evp, is_private, ret_key, err);
    EVP_PKEY_free(evp);
    return code;
}

struct key *key_ref(struct key *key)
{
    atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
    return key;
}

void key_unref(struct key *key)
{
    if (key == NULL || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    EVP_PKEY_free(key->evp);
    free(key->id);
    free(key);
}

bool key_is_private(const struct key *key)
{
    return key->is_private;
}

EVP_PKEY *key_evp(const struct key *key)
{
    return key->evp;
}

struct str key_id(const struct key *key)
{
    return str_of(key->id);
}

static int write_bio(BIO *bio, int written, const char *what, struct buf *out, struct err *err)
{
    int code = 0;
    if (written == 1) {
        char *bytes = NULL;
        long size = BIO_get_mem_data(bio, &bytes);
        buf_add(out, bytes, (size_t)size);
    } else {
        code = openssl_err(err, ERR_INTERNAL, what);
    }
    BIO_free(bio);
    return code;
}

int key_write_pem(const struct key *key, struct buf *out, struct err *err)
{
    if (!key->is_private) {
        return err_set(err, ERR_INTERNAL, "a public key has no private part to write");
    }
    BIO *bio = BIO_new(BIO_s_secmem());
    int written = PEM_write_bio_PKCS8PrivateKey(bio, key->evp, NULL, NULL, 0, NULL, NULL);
    return write_bio(bio, written, "write a private key", out, err);
}

int key_write_public_pem(const struct key *key, struct buf *out, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return write_bio(bio, PEM_write_bio_PUBKEY(bio, key->evp), "write a public key", out, err);
}

int key_write_public_der(const struct key *key, struct buf *out, struct err *err)
{
    return public_der(key->evp, out, err);
}

int key_public_point(const struct key *key, unsigned char ret_x[32], unsigned char ret_y[32],
                     struct err *err)
{
    unsigned char point[65];
    size_t size = 0;
    if (EVP_PKEY_get_octet_string_param(key->evp, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point,
                                        sizeof point, &size) != 1 ||
        size != sizeof point || point[0] != 4) {
        return openssl_err(err, ERR_INTERNAL, "public point");
    }
    memcpy(ret_x, point + 1, 32);
    memcpy(ret_y, point + 33, 32);
    return 0;
}

/* DER SEQUENCE of two INTEGERs <-> r || s. */
static bool signature_to_raw(const unsigned char *der, size_t size, unsigned char ret_raw[64])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)size);
    bool good = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_raw, 32) == 32 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_raw + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return good;
}

int key_sign(const struct key *key, struct str message, unsigned char ret_signature[64],
             struct err *err)
{
    if (!key->is_private) {
        return err_set(err, ERR_INTERNAL, "a public key cannot sign");
    }
    unsigned char der[80];
    unsigned char raw[64];
    size_t size = sizeof der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->evp) == 1 &&
                EVP_DigestSign(ctx, der, &size, (const unsigned char *)message.p, message.n) == 1 &&
                signature_to_raw(der, size, raw);
    EVP_MD_CTX_free(ctx);
    if (!good) {
        return openssl_err(err, ERR_INTERNAL, "sign");
    }
    memcpy(ret_signature, raw, sizeof raw);
    return 0;
}

bool key_verify(const struct key *key, struct str message, const unsigned char signature[64])
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, 32, NULL);
    BIGNUM *s = BN_bin2bn(signature + 32, 32, NULL);
    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return false;
    }
    unsigned char *der = NULL;
    int size = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good =
        size > 0 && ctx != NULL &&
        EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->evp) == 1 &&
        EVP_DigestVerify(ctx, der, (size_t)size, (const unsigned char *)message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}
