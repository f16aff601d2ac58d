/* certificate.c: makes certificates for tests; aborts when it cannot. */
#include "certificate.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/mem.h"

static char *bio_text(BIO *bio)
{
    char *bytes;
    long size = BIO_get_mem_data(bio, &bytes);
    char *text = mem_dup(bytes, (size_t)size);
    BIO_free(bio);
    return text;
}

static void add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (extension == NULL) {
        abort();
    }
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

static void add_name(X509_NAME *name, const char *field, const char *value)
{
    X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
}

struct test_certificate test_certificate_new(const struct test_certificate_options *options)
{
    static long serial = 1;
    struct test_certificate made = {.x509 = X509_new()};
    made.key =
        options->rsa_bits != 0 ? EVP_RSA_gen((unsigned)options->rsa_bits) : EVP_EC_gen("P-256");
    bool always = options->valid_from == 0 && options->valid_to == 0;
    const struct test_certificate *issuer = options->issuer != NULL ? options->issuer : &made;
    X509_set_version(made.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.x509), serial++);
    X509_gmtime_adj(X509_getm_notBefore(made.x509), always ? -3600 : options->valid_from);
    X509_gmtime_adj(X509_getm_notAfter(made.x509), always ? 3600 : options->valid_to);
    add_name(X509_get_subject_name(made.x509), "CN", options->name);
    if (options->organization != NULL) {
        add_name(X509_get_subject_name(made.x509), "O", options->organization);
    }
    X509_set_issuer_name(made.x509, X509_get_subject_name(issuer->x509));
    X509_set_pubkey(made.x509, made.key);
    add_extension(made.x509, issuer->x509, NID_basic_constraints,
                  options->authority ? "critical,CA:true" : "critical,CA:false");
    if (options->alt_names != NULL) {
        add_extension(made.x509, issuer->x509, NID_subject_alt_name, options->alt_names);
    }
    if (options->usage != NULL) {
        add_extension(made.x509, issuer->x509, NID_ext_key_usage, options->usage);
    }
    X509_sign(made.x509, issuer->key, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, made.x509);
    made.pem = bio_text(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, made.key, NULL, NULL, 0, NULL, NULL);
    made.key_pem = bio_text(bio);
    return made;
}

void test_certificate_done(struct test_certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
    free(certificate->pem);
    free(certificate->key_pem);
}
