/* jwk.c: see jwk.h. */
#include "pki/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, TOKEN_MAX = 64 * 1024 };

struct jwk {
    _Atomic uint32_t refs;
    EVP_PKEY *key;
    char *id, *alg; /* alg "": any that fits */
    bool rsa;
    size_t half; /* EC: bytes of a coordinate */
};

static const struct algorithm {
    const char *name;
    bool rsa, pss;
    const char *digest;
    size_t half; /* EC: bytes of r and of s */
} algorithms[] = {
    {"RS256", true, false, "SHA256", 0},   {"RS384", true, false, "SHA384", 0},
    {"RS512", true, false, "SHA512", 0},   {"PS256", true, true, "SHA256", 0},
    {"PS384", true, true, "SHA384", 0},    {"PS512", true, true, "SHA512", 0},
    {"ES256", false, false, "SHA256", 32}, {"ES384", false, false, "SHA384", 48},
    {"ES512", false, false, "SHA512", 66},
};

static const struct curve {
    const char *name, *group;
    size_t half;
} curves[] = {{"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}};

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *rsa_key(const struct jwk_members *m)
{
    struct buf n BUF_CLEANUP = BUF_INIT, e BUF_CLEANUP = BUF_INIT;
    EVP_PKEY *key = NULL;
    if (!base64url_decode(&n, m->n) || !base64url_decode(&e, m->e) || n.n == 0 || e.n == 0 ||
        n.n > RSA_BITS_MAX / 8 || e.n > 8) {
        return NULL;
    }
    BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
    BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (BN_num_bits(modulus) >= RSA_BITS_MIN && BN_is_odd(exponent) && !BN_is_one(exponent) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent)) {
        key = key_from("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *ec_key(const struct jwk_members *m, size_t *ret_half)
{
    struct buf x BUF_CLEANUP = BUF_INIT, y BUF_CLEANUP = BUF_INIT;
    EVP_PKEY *key = NULL;
    const struct curve *curve = NULL;
    unsigned char point[1 + 2 * 66] = {POINT_CONVERSION_UNCOMPRESSED};
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        curve = str_is(m->crv, curves[i].name) ? &curves[i] : curve;
    }
    if (curve == NULL || !base64url_decode(&x, m->x) || !base64url_decode(&y, m->y) ||
        x.n != curve->half || y.n != curve->half) {
        return NULL;
    }
    memcpy(point + 1, x.p, x.n);
    memcpy(point + 1 + x.n, y.p, y.n);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * x.n)) {
        key = key_from("EC", build); /* refuses a point that is not on the curve */
    }
    OSSL_PARAM_BLD_free(build);
    *ret_half = curve->half;
    return key;
}

int jwk_new(const struct jwk_members *m, struct jwk **ret_jwk, struct err *err)
{
    bool rsa = str_is(m->kty, "RSA");
    size_t half = 0;
    if ((!rsa && !str_is(m->kty, "EC")) || (m->use.n > 0 && !str_is(m->use, "sig"))) {
        return err_set(err, ERR_UNSUPPORTED, "a key of type \"%.*s\" for \"%.*s\" signs no tokens",
                       STR_ARG(m->kty), STR_ARG(m->use));
    }
    EVP_PKEY *key = rsa ? rsa_key(m) : ec_key(m, &half);
    if (key == NULL) {
        return err_set(err, ERR_PARSE, "the key \"%.*s\" is broken, or smaller than %d bits",
                       STR_ARG(m->kid), rsa ? RSA_BITS_MIN : 256);
    }
    struct jwk *jwk = mem_new(struct jwk);
    atomic_init(&jwk->refs, 1);
    jwk->key = key;
    jwk->id = str_dup(m->kid);
    jwk->alg = str_dup(m->alg);
    jwk->rsa = rsa;
    jwk->half = half;
    *ret_jwk = jwk;
    return 0;
}

struct jwk *jwk_ref(struct jwk *jwk)
{
    atomic_fetch_add_explicit(&jwk->refs, 1, memory_order_relaxed);
    return jwk;
}

void jwk_unref(struct jwk *jwk)
{
    if (jwk == NULL || atomic_fetch_sub_explicit(&jwk->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    EVP_PKEY_free(jwk->key);
    free(jwk->id);
    free(jwk->alg);
    free(jwk);
}

struct str jwk_id(const struct jwk *jwk)
{
    return str_of(jwk->id);
}

/* r || s as OpenSSL wants it: DER. */
static int der_of(struct str raw, size_t half, unsigned char **ret_der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn((const unsigned char *)raw.p, (int)half, NULL);
    BIGNUM *s = BN_bin2bn((const unsigned char *)raw.p + half, (int)half, NULL);
    int size = -1;
    if (sig != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        size = i2d_ECDSA_SIG(sig, ret_der);
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return size;
}

static bool check(const struct jwk *jwk, const struct algorithm *a, struct str message,
                  const unsigned char *signature, size_t size)
{
    EVP_PKEY_CTX *pkey = NULL; /* the digest context's */
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL &&
                EVP_DigestVerifyInit_ex(ctx, &pkey, a->digest, NULL, NULL, jwk->key, NULL) == 1;
    if (good && a->pss) {
        good = EVP_PKEY_CTX_set_rsa_padding(pkey, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) > 0;
    }
    good = good &&
           EVP_DigestVerify(ctx, signature, size, (const unsigned char *)message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return good;
}

bool jwk_verify(const struct jwk *jwk, struct str alg, struct str message, struct str signature)
{
    const struct algorithm *a = NULL;
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
        a = str_is(alg, algorithms[i].name) ? &algorithms[i] : a;
    }
    if (a == NULL || a->rsa != jwk->rsa || a->half != jwk->half ||
        (jwk->alg[0] != '\0' && !str_is(alg, jwk->alg))) {
        return false;
    }
    if (a->rsa) {
        return check(jwk, a, message, (const unsigned char *)signature.p, signature.n);
    }
    unsigned char *der = NULL;
    int size = signature.n == 2 * a->half ? der_of(signature, a->half, &der) : -1;
    bool good = size > 0 && check(jwk, a, message, der, (size_t)size);
    OPENSSL_free(der);
    return good;
}

bool jws_split(struct str token, struct jws *ret)
{
    struct str rest = STR_NONE, tail = STR_NONE, more = STR_NONE;
    struct str header = str_cut(token, '.', &rest);
    struct str claims = str_cut(rest, '.', &tail);
    struct str signature = str_cut(tail, '.', &more);
    *ret = (struct jws){.message = str_at(token.p, header.n + 1 + claims.n)};
    if (token.n > TOKEN_MAX || rest.p == NULL || tail.p == NULL || more.p != NULL ||
        !base64url_decode(&ret->header, header) || !base64url_decode(&ret->claims, claims) ||
        !base64url_decode(&ret->signature, signature)) {
        jws_done(ret);
        return false;
    }
    return true;
}

void jws_done(struct jws *jws)
{
    buf_done(&jws->header);
    buf_done(&jws->claims);
    buf_done(&jws->signature);
}
