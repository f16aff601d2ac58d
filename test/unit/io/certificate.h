/* certificate.h: certificates for tests, good ones and bad ones. */
#pragma once
#include <openssl/x509.h>
#include <stdbool.h>

struct test_certificate {
    X509 *x509;
    EVP_PKEY *key;
    char *pem, *key_pem;
};
struct test_certificate_options {
    const char *name;                      /* common name */
    const char *organization;              /* or NULL */
    const char *alt_names;                 /* "DNS:localhost,IP:127.0.0.1" or NULL */
    const char *usage;                     /* "serverAuth", "clientAuth" or NULL */
    bool authority;                        /* CA:true */
    int rsa_bits;                          /* 0: P-256 */
    long valid_from, valid_to;             /* seconds from now; both 0: an hour around it */
    const struct test_certificate *issuer; /* NULL: itself */
};
struct test_certificate test_certificate_new(const struct test_certificate_options *options);
void test_certificate_done(struct test_certificate *certificate);
