/* signing.c: see signing.h. Only the names of the request are taken over: of the extensions it asks
 * for, the alternative names alone. */
#include "pki/signing.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "pki/key_int.h"

static const struct {
    const char *name, *bit, *extended; /* as OpenSSL names them */
} usages[] = {
    {"signing", "digitalSignature", NULL},
    {"digital signature", "digitalSignature", NULL},
    {"content commitment", "nonRepudiation", NULL},
    {"key encipherment", "keyEncipherment", NULL},
    {"key agreement", "keyAgreement", NULL},
    {"data encipherment", "dataEncipherment", NULL},
    {"cert sign", "keyCertSign", NULL},
    {"crl sign", "cRLSign", NULL},
    {"encipher only", "encipherOnly", NULL},
    {"decipher only", "decipherOnly", NULL},
    {"any", NULL, "anyExtendedKeyUsage"},
    {"server auth", NULL, "serverAuth"},
    {"client auth", NULL, "clientAuth"},
    {"code signing", NULL, "codeSigning"},
    {"email protection", NULL, "emailProtection"},
    {"s/mime", NULL, "emailProtection"},
    {"ipsec end system", NULL, "1.3.6.1.5.5.7.3.5"},
    {"ipsec tunnel", NULL, "1.3.6.1.5.5.7.3.6"},
    {"ipsec user", NULL, "1.3.6.1.5.5.7.3.7"},
    {"timestamping", NULL, "timeStamping"},
    {"ocsp signing", NULL, "OCSPSigning"},
    {"microsoft sgc", NULL, "msSGC"},
    {"netscape sgc", NULL, "nsSGC"},
};

static X509_REQ *read_request(struct str pem, struct err *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (request == NULL) {
        openssl_err(err, ERR_PARSE, "unable to parse certificate request");
    } else if (X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) != 1) {
        openssl_err(err, ERR_PARSE, "unable to verify certificate request signature");
        X509_REQ_free(request);
        request = NULL;
    }
    return request;
}

static X509 *read_ca(const struct certificate *ca, struct err *err)
{
    struct buf pem BUF_CLEANUP = BUF_INIT;
    if (certificate_write_pem(ca, &pem, err) < 0) {
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return x509;
}

static void add_word(struct buf *out, const char *word)
{
    if (word != NULL && !str_contains(buf_view(out), str_of(word))) {
        buf_printf(out, "%s%s", out->n > 0 ? "," : "", word);
    }
}

static int gather_usages(const struct signing_options *o, struct buf *bits, struct buf *extended,
                         struct err *err)
{
    for (size_t i = 0; i < o->usage_count; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof usages / sizeof *usages; k++) {
            if (str_is(o->usages[i], usages[k].name)) {
                known = true;
                add_word(bits, usages[k].bit);
                add_word(extended, usages[k].extended);
            }
        }
        if (!known) {
            return err_set(err, ERR_INVALID, "unrecognized usage values: [\"%.*s\"]",
                           STR_ARG(o->usages[i]));
        }
    }
    return 0;
}

static bool add_extension(X509 *x509, X509 *ca, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, ca, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = extension != NULL && X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool add_names(X509 *x509, X509_REQ *request)
{
    STACK_OF(X509_EXTENSION) *asked = X509_REQ_get_extensions(request);
    int at = X509v3_get_ext_by_NID(asked, NID_subject_alt_name, -1);
    bool good = at < 0 || X509_add_ext(x509, X509v3_get_ext(asked, at), -1) == 1;
    sk_X509_EXTENSION_pop_free(asked, X509_EXTENSION_free);
    return good;
}

static bool set_serial(X509 *x509, struct random *random)
{
    unsigned char bytes[16];
    random_fill(random, bytes, sizeof bytes);
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and of full length */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool good = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != NULL;
    BN_free(number);
    return good;
}

static bool fill(X509 *x509, X509_REQ *request, X509 *ca, const struct signing_options *o,
                 int64_t not_after_ns, struct random *random)
{
    return X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509, random) &&
           X509_set_subject_name(x509, X509_REQ_get_subject_name(request)) == 1 &&
           X509_set_issuer_name(x509, X509_get_subject_name(ca)) == 1 &&
           X509_set_pubkey(x509, X509_REQ_get0_pubkey(request)) == 1 &&
           ASN1_TIME_set(X509_getm_notBefore(x509), o->not_before_ns / NS_PER_S) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(x509), not_after_ns / NS_PER_S) != NULL;
}

static bool extend(X509 *x509, X509_REQ *request, X509 *ca, const struct buf *bits,
                   const struct buf *extended)
{
    char *critical = NULL;
    struct buf text BUF_CLEANUP = BUF_INIT;
    buf_printf(&text, "critical,%.*s", STR_ARG(buf_view(bits)));
    critical = text.p;
    return (bits->n == 0 || add_extension(x509, ca, NID_key_usage, critical)) &&
           (extended->n == 0 || add_extension(x509, ca, NID_ext_key_usage, extended->p)) &&
           add_extension(x509, ca, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(x509, ca, NID_authority_key_identifier, "keyid") &&
           add_names(x509, request);
}

int signing_request_sign(struct str request_pem, const struct certificate *ca,
                         const struct key *ca_key, const struct signing_options *o,
                         struct random *random, struct buf *ret_pem, struct err *err)
{
    struct buf bits BUF_CLEANUP = BUF_INIT, extended BUF_CLEANUP = BUF_INIT;
    const struct certificate_subject *signer = certificate_subject(ca);
    int64_t end = o->not_after_ns < signer->not_after_ns ? o->not_after_ns : signer->not_after_ns;
    int code = gather_usages(o, &bits, &extended, err);
    if (code != 0) {
        return code;
    }
    if (o->not_before_ns >= end) {
        return err_set(err, ERR_INVALID, "the signer has expired");
    }
    X509_REQ *request = read_request(request_pem, err);
    X509 *authority = request != NULL ? read_ca(ca, err) : NULL;
    X509 *x509 = X509_new();
    code = request == NULL ? ERR_PARSE : 0;
    if (code == 0 && (authority == NULL || !fill(x509, request, authority, o, end, random) ||
                      !extend(x509, request, authority, &bits, &extended) ||
                      X509_sign(x509, key_evp(ca_key), EVP_sha256()) == 0)) {
        code = openssl_err(err, ERR_INTERNAL, "failed to sign certificate");
    }
    if (code == 0) {
        BIO *out = BIO_new(BIO_s_mem());
        char *bytes = NULL;
        PEM_write_bio_X509(out, x509);
        long size = BIO_get_mem_data(out, &bytes);
        buf_add(ret_pem, bytes, (size_t)size);
        BIO_free(out);
    }
    X509_free(x509);
    X509_free(authority);
    X509_REQ_free(request);
    return code;
}
