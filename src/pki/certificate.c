/* certificate.c: making, reading and checking X.509 certificates and PKCS#10 requests.
 *
 * Invariants: what is read is copied into an arena once, so views need no OpenSSL call afterwards.
 * A certificate that we issue is never a CA, names its usages, and carries key identifiers.
 * Left to others: TLS (io/tls), policy of who may get which name (server/, role/).
 */
#include "pki/certificate.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "pki/digest.h"
#include "pki/key_int.h"

struct names { /* parts of a subject and its alternative names, in an arena */
    struct str common_name;
    struct str *organizations, *dns, *addresses;
    size_t organization_count, dns_count, address_count;
};

struct certificate {
    _Atomic uint32_t refs;
    X509 *x509;
    struct arena arena;
    struct certificate_subject subject;
    struct str key_hash;
};

struct signing_request {
    struct arena arena;
    struct names names;
    struct key *key;
};

/* ---- reading ---- */

static struct str asn1_text(struct arena *arena, const ASN1_STRING *string)
{
    unsigned char *utf8 = NULL;
    int size = ASN1_STRING_to_UTF8(&utf8, string);
    struct str text = STR_NONE;
    if (size >= 0 && memchr(utf8, '\0', (size_t)size) == NULL) {
        text = str_copy_in(arena, str_at((const char *)utf8, (size_t)size));
    }
    OPENSSL_free(utf8);
    return text;
}

static void read_subject(struct arena *arena, const X509_NAME *name, struct names *ret_names)
{
    int count = X509_NAME_entry_count(name);
    ret_names->organizations = arena_array(arena, struct str, count > 0 ? count : 1);
    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        struct str text = asn1_text(arena, X509_NAME_ENTRY_get_data(entry));
        if (nid == NID_commonName) {
            ret_names->common_name = text;
        } else if (nid == NID_organizationName && text.n > 0) {
            ret_names->organizations[ret_names->organization_count++] = text;
        }
    }
}

static void read_alternatives(struct arena *arena, const GENERAL_NAMES *list,
                              struct names *ret_names)
{
    int count = sk_GENERAL_NAME_num(list);
    ret_names->dns = arena_array(arena, struct str, count > 0 ? count : 1);
    ret_names->addresses = arena_array(arena, struct str, count > 0 ? count : 1);
    for (int i = 0; i < count; i++) {
        int type = 0;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list, i), &type);
        if (type == GEN_DNS) {
            ret_names->dns[ret_names->dns_count++] = asn1_text(arena, value);
        } else if (type == GEN_IPADD) {
            char text[INET6_ADDRSTRLEN];
            int family = ASN1_STRING_length(value) == 4 ? AF_INET : AF_INET6;
            if ((ASN1_STRING_length(value) == 4 || ASN1_STRING_length(value) == 16) &&
                inet_ntop(family, ASN1_STRING_get0_data(value), text, sizeof text) != NULL) {
                ret_names->addresses[ret_names->address_count++] = str_copy_in(arena, str_of(text));
            }
        }
    }
}

static int64_t asn1_wall_ns(const ASN1_TIME *time)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return 0;
    }
    int64_t seconds = (int64_t)timegm(&tm);
    int64_t limit = INT64_MAX / NS_PER_S;
    return seconds > limit ? INT64_MAX : seconds * NS_PER_S;
}

static void fill_fingerprints(struct certificate *certificate)
{
    char hex[DIGEST_HEX_SIZE];
    unsigned char *der = NULL;
    int size = i2d_X509(certificate->x509, &der);
    digest_sha256_hex(str_at((const char *)der, size > 0 ? (size_t)size : 0), hex);
    certificate->subject.fingerprint = str_copy_in(&certificate->arena, str_of(hex));
    OPENSSL_free(der);
    der = NULL;
    size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate->x509), &der);
    digest_sha256_hex(str_at((const char *)der, size > 0 ? (size_t)size : 0), hex);
    certificate->key_hash = str_copy_in(&certificate->arena, str_of(hex));
    OPENSSL_free(der);
}

static struct certificate *certificate_wrap(X509 *x509) /* takes x509 */
{
    struct certificate *certificate = mem_new(struct certificate);
    atomic_init(&certificate->refs, 1);
    certificate->x509 = x509;
    struct names names = {0};
    read_subject(&certificate->arena, X509_get_subject_name(x509), &names);
    GENERAL_NAMES *list = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    read_alternatives(&certificate->arena, list, &names);
    GENERAL_NAMES_free(list);
    uint32_t usage = X509_get_extended_key_usage(x509);
    int bits = 0;
    if (usage != UINT32_MAX) {
        bits = ((usage & XKU_SSL_CLIENT) != 0 ? CERTIFICATE_CLIENT : 0) |
               ((usage & XKU_SSL_SERVER) != 0 ? CERTIFICATE_SERVER : 0);
    }
    certificate->subject = (struct certificate_subject){
        .common_name = names.common_name,
        .organizations = names.organizations,
        .organization_count = names.organization_count,
        .dns_names = names.dns,
        .dns_count = names.dns_count,
        .addresses = names.addresses,
        .address_count = names.address_count,
        .not_before_ns = asn1_wall_ns(X509_get0_notBefore(x509)),
        .not_after_ns = asn1_wall_ns(X509_get0_notAfter(x509)),
        .usage = bits,
        .is_ca = X509_check_ca(x509) == 1,
    };
    fill_fingerprints(certificate);
    ERR_clear_error();
    return certificate;
}

struct certificate *certificate_ref(struct certificate *certificate)
{
    atomic_fetch_add_explicit(&certificate->refs, 1, memory_order_relaxed);
    return certificate;
}

void certificate_unref(struct certificate *certificate)
{
    if (certificate == NULL ||
        atomic_fetch_sub_explicit(&certificate->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    X509_free(certificate->x509);
    arena_done(&certificate->arena);
    free(certificate);
}

int certificate_parse_pem(struct str pem, struct certificate **ret_certificate, struct err *err)
{
    if (pem.n == 0 || pem.n > 256 * 1024) {
        return err_set(err, ERR_PARSE, "no PEM certificate of a sane size");
    }
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (x509 == NULL) {
        return openssl_err(err, ERR_PARSE, "read a PEM certificate");
    }
    *ret_certificate = certificate_wrap(x509);
    return 0;
}

int certificate_parse_der(struct str der, struct certificate **ret_certificate, struct err *err)
{
    const unsigned char *at = (const unsigned char *)der.p;
    X509 *x509 = der.n > 0 && der.n <= 256 * 1024 ? d2i_X509(NULL, &at, (long)der.n) : NULL;
    if (x509 == NULL) {
        return openssl_err(err, ERR_PARSE, "read a DER certificate");
    }
    *ret_certificate = certificate_wrap(x509);
    return 0;
}

int certificate_write_pem(const struct certificate *certificate, struct buf *out, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int code = 0;
    if (PEM_write_bio_X509(bio, certificate->x509) == 1) {
        char *bytes = NULL;
        long size = BIO_get_mem_data(bio, &bytes);
        buf_add(out, bytes, (size_t)size);
    } else {
        code = openssl_err(err, ERR_INTERNAL, "write a certificate");
    }
    BIO_free(bio);
    return code;
}

const struct certificate_subject *certificate_subject(const struct certificate *certificate)
{
    return &certificate->subject;
}

struct str certificate_key_hash(const struct certificate *certificate)
{
    return certificate->key_hash;
}

bool certificate_verify(const struct certificate *certificate, const struct certificate *ca,
                        int64_t now_wall_ns, int usage)
{
    const struct certificate_subject *s = &certificate->subject;
    bool good = ca->subject.is_ca && now_wall_ns >= s->not_before_ns &&
                now_wall_ns <= s->not_after_ns && now_wall_ns <= ca->subject.not_after_ns &&
                (s->usage & usage) == usage &&
                X509_check_issued(ca->x509, certificate->x509) == X509_V_OK &&
                X509_verify(certificate->x509, X509_get0_pubkey(ca->x509)) == 1;
    ERR_clear_error();
    return good;
}

/* ---- making ---- */

static bool add_entry(X509_NAME *name, int nid, struct str text)
{
    return text.n > 0 && text.n < 4096 &&
           X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *)text.p,
                                      (int)text.n, -1, 0) == 1;
}

static bool fill_subject(X509_NAME *name, const struct certificate_options *options)
{
    for (size_t i = 0; i < options->organization_count; i++) {
        if (!add_entry(name, NID_organizationName, options->organizations[i])) {
            return false;
        }
    }
    return add_entry(name, NID_commonName, options->common_name);
}

static bool push_name(GENERAL_NAMES *list, int type, const void *bytes, size_t size)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *value = type == GEN_DNS ? ASN1_IA5STRING_new() : ASN1_OCTET_STRING_new();
    ASN1_STRING_set(value, bytes, (int)size);
    GENERAL_NAME_set0_value(name, type, value);
    return sk_GENERAL_NAME_push(list, name) > 0;
}

static GENERAL_NAMES *alternatives(const struct certificate_options *options, bool *ret_good)
{
    GENERAL_NAMES *list = sk_GENERAL_NAME_new_null();
    *ret_good = true;
    for (size_t i = 0; i < options->dns_count; i++) {
        push_name(list, GEN_DNS, options->dns_names[i].p, options->dns_names[i].n);
    }
    for (size_t i = 0; i < options->address_count; i++) {
        unsigned char bytes[16];
        char *text MEM_CLEANUP = str_dup(options->addresses[i]);
        if (inet_pton(AF_INET, text, bytes) == 1) {
            push_name(list, GEN_IPADD, bytes, 4);
        } else if (inet_pton(AF_INET6, text, bytes) == 1) {
            push_name(list, GEN_IPADD, bytes, 16);
        } else {
            *ret_good = false;
        }
    }
    return list;
}

static bool set_serial(X509 *x509, struct random *random)
{
    unsigned char bytes[16];
    random_fill(random, bytes, sizeof bytes);
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, never zero */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != NULL;
    BN_free(number);
    return good;
}

static bool set_times(X509 *x509, int64_t not_before_ns, int64_t not_after_ns)
{
    return ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)(not_before_ns / NS_PER_S)) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)(not_after_ns / NS_PER_S)) != NULL;
}

static bool add_text_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool good = extension != NULL && X509_add_ext(x509, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static X509 *x509_start(const struct key *key, struct random *random, int64_t not_before_ns,
                        int64_t not_after_ns)
{
    X509 *x509 = X509_new();
    if (x509 != NULL && X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509, random) &&
        set_times(x509, not_before_ns, not_after_ns) && X509_set_pubkey(x509, key_evp(key)) == 1) {
        return x509;
    }
    X509_free(x509);
    return NULL;
}

static int x509_finish(X509 *x509, bool good, const struct key *signer, const char *what,
                       struct certificate **ret_certificate, struct err *err)
{
    if (!good || X509_sign(x509, key_evp(signer), EVP_sha256()) <= 0) {
        X509_free(x509);
        return openssl_err(err, ERR_INTERNAL, what);
    }
    *ret_certificate = certificate_wrap(x509);
    return 0;
}

int certificate_new_ca(const struct key *key, struct str common_name, int64_t not_before_ns,
                       int64_t not_after_ns, struct random *random,
                       struct certificate **ret_certificate, struct err *err)
{
    X509 *x509 = x509_start(key, random, not_before_ns, not_after_ns);
    bool good =
        x509 != NULL && add_entry(X509_get_subject_name(x509), NID_commonName, common_name) &&
        X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1 &&
        add_text_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_text_extension(x509, x509, NID_key_usage,
                           "critical,digitalSignature,keyCertSign,cRLSign") &&
        add_text_extension(x509, x509, NID_subject_key_identifier, "hash");
    return x509_finish(x509, good, key, "make a CA", ret_certificate, err);
}

static const char *usage_text(int usage)
{
    switch (usage) {
    case CERTIFICATE_CLIENT:
        return "clientAuth";
    case CERTIFICATE_SERVER:
        return "serverAuth";
    default:
        return "serverAuth,clientAuth";
    }
}

int certificate_issue(const struct certificate *ca, const struct key *ca_key,
                      const struct key *subject_key, const struct certificate_options *options,
                      struct random *random, struct certificate **ret_certificate, struct err *err)
{
    bool names_good = true;
    GENERAL_NAMES *list = alternatives(options, &names_good);
    X509 *x509 = x509_start(subject_key, random, options->not_before_ns, options->not_after_ns);
    bool good = x509 != NULL && names_good && options->usage != 0 &&
                fill_subject(X509_get_subject_name(x509), options) &&
                X509_set_issuer_name(x509, X509_get_subject_name(ca->x509)) == 1 &&
                add_text_extension(x509, ca->x509, NID_basic_constraints, "critical,CA:FALSE") &&
                add_text_extension(x509, ca->x509, NID_key_usage, "critical,digitalSignature") &&
                add_text_extension(x509, ca->x509, NID_ext_key_usage, usage_text(options->usage)) &&
                add_text_extension(x509, ca->x509, NID_subject_key_identifier, "hash") &&
                add_text_extension(x509, ca->x509, NID_authority_key_identifier, "keyid:always") &&
                (sk_GENERAL_NAME_num(list) == 0 ||
                 X509_add1_ext_i2d(x509, NID_subject_alt_name, list, 0, X509V3_ADD_DEFAULT) == 1);
    GENERAL_NAMES_free(list);
    return x509_finish(x509, good, ca_key, "issue a certificate", ret_certificate, err);
}

/* ---- requests ---- */

static bool request_fill(X509_REQ *request, const struct key *key,
                         const struct certificate_options *options)
{
    bool good = true;
    GENERAL_NAMES *list = alternatives(options, &good);
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    if (sk_GENERAL_NAME_num(list) > 0) {
        good = good && X509V3_add1_i2d(&extensions, NID_subject_alt_name, list, 0, 0) == 1 &&
               X509_REQ_add_extensions(request, extensions) == 1;
    }
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(list);
    return good && fill_subject(X509_REQ_get_subject_name(request), options) &&
           X509_REQ_set_pubkey(request, key_evp(key)) == 1 &&
           X509_REQ_sign(request, key_evp(key), EVP_sha256()) > 0;
}

int signing_request_new(const struct key *key, const struct certificate_options *options,
                        struct buf *ret_pem, struct err *err)
{
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    int code = 0;
    if (request_fill(request, key, options) && PEM_write_bio_X509_REQ(bio, request) == 1) {
        char *bytes = NULL;
        long size = BIO_get_mem_data(bio, &bytes);
        buf_add(ret_pem, bytes, (size_t)size);
    } else {
        code = openssl_err(err, ERR_INTERNAL, "make a signing request");
    }
    BIO_free(bio);
    X509_REQ_free(request);
    return code;
}

static int request_read(X509_REQ *x509, struct signing_request *request, struct err *err)
{
    EVP_PKEY *evp = X509_REQ_get0_pubkey(x509);
    if (evp == NULL || X509_REQ_verify(x509, evp) != 1) {
        return openssl_err(err, ERR_PARSE, "signing request");
    }
    int code = key_from_evp(evp, false, &request->key, err);
    if (code < 0) {
        return code;
    }
    read_subject(&request->arena, X509_REQ_get_subject_name(x509), &request->names);
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(x509);
    GENERAL_NAMES *list = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    read_alternatives(&request->arena, list, &request->names);
    GENERAL_NAMES_free(list);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return 0;
}

int signing_request_parse(struct str pem, struct signing_request **ret_request, struct err *err)
{
    if (pem.n == 0 || pem.n > 64 * 1024) {
        return err_set(err, ERR_PARSE, "no PEM signing request of a sane size");
    }
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_REQ *x509 = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (x509 == NULL) {
        return openssl_err(err, ERR_PARSE, "read a signing request");
    }
    struct signing_request *request = mem_new(struct signing_request);
    int code = request_read(x509, request, err);
    X509_REQ_free(x509);
    if (code < 0) {
        signing_request_free(request);
        return code;
    }
    *ret_request = request;
    return 0;
}

void signing_request_free(struct signing_request *request)
{
    if (request != NULL) {
        key_unref(request->key);
        arena_done(&request->arena);
        free(request);
    }
}

struct certificate_options signing_request_options(const struct signing_request *request)
{
    return (struct certificate_options){
        .common_name = request->names.common_name,
        .organizations = request->names.organizations,
        .organization_count = request->names.organization_count,
        .dns_names = request->names.dns,
        .dns_count = request->names.dns_count,
        .addresses = request->names.addresses,
        .address_count = request->names.address_count,
    };
}

const struct key *signing_request_key(const struct signing_request *request)
{
    return request->key;
}
