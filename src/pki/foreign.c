/* foreign.c: see foreign.h. Everything is copied into the arena at once; no OpenSSL object outlives
 * a call, and its error queue is left empty. */
#include "pki/foreign.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "pki/digest.h"
#include "pki/key_int.h"

enum { DER_MAX = 1024 * 1024 };

bool pem_next(struct arena *arena, struct str *rest, struct pem_block *ret_block)
{
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long size = 0;
    if (rest->n == 0 || rest->n > INT32_MAX) {
        return false;
    }
    BIO *bio = BIO_new_mem_buf(rest->p, (int)rest->n);
    bool good = PEM_read_bio(bio, &name, &header, &der, &size) == 1;
    if (good) {
        *ret_block = (struct pem_block){
            .type = str_copy_in(arena, str_of(name)),
            .der = str_copy_in(arena, str_at((const char *)der, (size_t)size)),
            .has_headers = header[0] != '\0',
        };
        *rest = str_from(*rest, rest->n - BIO_ctrl_pending(bio));
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(bio);
    ERR_clear_error();
    return good;
}

struct texts {
    struct str *items;
    size_t count;
};

static void texts_add(struct arena *arena, struct texts *texts, const ASN1_STRING *value)
{
    unsigned char *utf8 = NULL;
    int size = ASN1_STRING_to_UTF8(&utf8, value);
    texts->items[texts->count++] =
        size >= 0 ? str_copy_in(arena, str_at((const char *)utf8, (size_t)size)) : STR("");
    OPENSSL_free(utf8);
}

static void texts_add_address(struct arena *arena, struct texts *texts, const ASN1_STRING *value)
{
    char text[INET6_ADDRSTRLEN] = "";
    int size = ASN1_STRING_length(value);
    if (size == 4 || size == 16) {
        inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), text, sizeof text);
    }
    texts->items[texts->count++] = str_copy_in(arena, str_of(text));
}

struct alternatives {
    struct texts dns, emails, uris, addresses;
};

static struct alternatives read_alternatives(struct arena *arena, const GENERAL_NAMES *list)
{
    int count = list != NULL ? sk_GENERAL_NAME_num(list) : 0;
    size_t room = count > 0 ? (size_t)count : 1;
    struct alternatives names = {{arena_array(arena, struct str, room), 0},
                                 {arena_array(arena, struct str, room), 0},
                                 {arena_array(arena, struct str, room), 0},
                                 {arena_array(arena, struct str, room), 0}};
    for (int i = 0; i < count; i++) {
        int type = 0;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(list, i), &type);
        if (type == GEN_DNS) {
            texts_add(arena, &names.dns, value);
        } else if (type == GEN_EMAIL) {
            texts_add(arena, &names.emails, value);
        } else if (type == GEN_URI) {
            texts_add(arena, &names.uris, value);
        } else if (type == GEN_IPADD) {
            texts_add_address(arena, &names.addresses, value);
        }
    }
    return names;
}

static struct str key_hash(struct arena *arena, X509_PUBKEY *key)
{
    char hex[DIGEST_HEX_SIZE];
    unsigned char *der = NULL;
    int size = i2d_X509_PUBKEY(key, &der);
    digest_sha256_hex(str_at((const char *)der, size > 0 ? (size_t)size : 0), hex);
    OPENSSL_free(der);
    return str_copy_in(arena, str_of(hex));
}

static int64_t wall_ns(const ASN1_TIME *time)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return 0;
    }
    int64_t seconds = (int64_t)timegm(&tm);
    return seconds > INT64_MAX / NS_PER_S ? INT64_MAX : seconds * NS_PER_S;
}

int foreign_certificate_parse(struct arena *arena, struct str der,
                              struct foreign_certificate *ret_certificate, struct err *err)
{
    const unsigned char *at = (const unsigned char *)der.p;
    X509 *x509 = der.n > 0 && der.n <= DER_MAX ? d2i_X509(NULL, &at, (long)der.n) : NULL;
    if (x509 == NULL || at != (const unsigned char *)der.p + der.n) {
        X509_free(x509);
        return openssl_err(err, ERR_PARSE, "read a certificate");
    }
    GENERAL_NAMES *list = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    struct alternatives names = read_alternatives(arena, list);
    GENERAL_NAMES_free(list);
    *ret_certificate = (struct foreign_certificate){
        .is_ca = X509_check_ca(x509) == 1,
        .not_before_ns = wall_ns(X509_get0_notBefore(x509)),
        .not_after_ns = wall_ns(X509_get0_notAfter(x509)),
        .dns_names = names.dns.items,
        .dns_count = names.dns.count,
        .emails = names.emails.items,
        .email_count = names.emails.count,
        .key_hash = key_hash(arena, X509_get_X509_PUBKEY(x509)),
    };
    X509_free(x509);
    ERR_clear_error();
    return 0;
}

static enum foreign_key key_kind(const EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_ED25519:
        return FOREIGN_KEY_ED25519;
    case EVP_PKEY_EC:
        return FOREIGN_KEY_EC;
    case EVP_PKEY_RSA:
        return FOREIGN_KEY_RSA;
    default:
        return FOREIGN_KEY_OTHER;
    }
}

static void read_subject(struct arena *arena, const X509_NAME *name,
                         struct foreign_request *request)
{
    int count = X509_NAME_entry_count(name);
    struct texts organizations = {arena_array(arena, struct str, count > 0 ? (size_t)count : 1), 0};
    struct str one[1] = {STR_NONE};
    for (int i = 0; i < count; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        if (nid == NID_commonName) {
            texts_add(arena, &(struct texts){one, 0}, X509_NAME_ENTRY_get_data(entry));
        } else if (nid == NID_organizationName) {
            texts_add(arena, &organizations, X509_NAME_ENTRY_get_data(entry));
        }
    }
    request->common_name = one[0];
    request->organizations = organizations.items;
    request->organization_count = organizations.count;
}

int foreign_request_parse(struct arena *arena, struct str der, struct foreign_request *ret_request,
                          struct err *err)
{
    const unsigned char *at = (const unsigned char *)der.p;
    X509_REQ *x509 = der.n > 0 && der.n <= DER_MAX ? d2i_X509_REQ(NULL, &at, (long)der.n) : NULL;
    EVP_PKEY *key = x509 != NULL ? X509_REQ_get0_pubkey(x509) : NULL;
    if (key == NULL || at != (const unsigned char *)der.p + der.n) {
        X509_REQ_free(x509);
        return openssl_err(err, ERR_PARSE, "read a signing request");
    }
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(x509);
    GENERAL_NAMES *list = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    struct alternatives names = read_alternatives(arena, list);
    GENERAL_NAMES_free(list);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    *ret_request = (struct foreign_request){
        .key = key_kind(key),
        .key_bits = EVP_PKEY_get_bits(key),
        .signature = X509_REQ_verify(x509, key) == 1,
        .dns_names = names.dns.items,
        .dns_count = names.dns.count,
        .addresses = names.addresses.items,
        .address_count = names.addresses.count,
        .emails = names.emails.items,
        .email_count = names.emails.count,
        .uris = names.uris.items,
        .uri_count = names.uris.count,
        .key_hash = key_hash(arena, X509_REQ_get_X509_PUBKEY(x509)),
    };
    read_subject(arena, X509_REQ_get_subject_name(x509), ret_request);
    X509_REQ_free(x509);
    ERR_clear_error();
    return 0;
}
