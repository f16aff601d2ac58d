/* certificate.h: X.509 certificates: a self-signed CA, certificates it issues, signing requests.
 *
 * A struct certificate is immutable and counted. Times are wall nanoseconds and come from the
 * caller; serial numbers come from `random` (128 bits). Errors: ERR_PARSE for foreign bytes,
 * ERR_INTERNAL when OpenSSL refuses. Everything is ECDSA P-256 with SHA-256.
 *
 *   key_generate(&ca_key); certificate_new_ca(ca_key, "cox-ca", now, random, &ca, err);
 *   key_generate(&key);    certificate_issue(ca, ca_key, key, &options, random, &cert, err);
 */
#pragma once
#include "base/err.h"
#include "base/random.h"
#include "base/str.h"
#include "pki/key.h"

struct certificate;

enum certificate_usage { CERTIFICATE_CLIENT = 1, CERTIFICATE_SERVER = 2 };

struct certificate_options {
    struct str common_name;
    const struct str *organizations; /* O, one RDN each: the groups of a client */
    size_t organization_count;
    const struct str *dns_names; /* subjectAltName */
    size_t dns_count;
    const struct str *addresses; /* subjectAltName, text of IPv4 or IPv6 */
    size_t address_count;
    int usage; /* enum certificate_usage bits */
    int64_t not_before_ns, not_after_ns;
};

int certificate_new_ca(const struct key *key, struct str common_name, int64_t not_before_ns,
                       int64_t not_after_ns, struct random *random,
                       struct certificate **ret_certificate, struct err *err);
/* Signs `subject_key` (public part is enough) with the CA. */
int certificate_issue(const struct certificate *ca, const struct key *ca_key,
                      const struct key *subject_key, const struct certificate_options *options,
                      struct random *random, struct certificate **ret_certificate, struct err *err);

struct certificate *certificate_ref(struct certificate *certificate);
void certificate_unref(struct certificate *certificate);
int certificate_write_pem(const struct certificate *certificate, struct buf *out, struct err *err);
int certificate_parse_pem(struct str pem, struct certificate **ret_certificate, struct err *err);
int certificate_parse_der(struct str der, struct certificate **ret_certificate, struct err *err);

/* Views that live as long as the certificate. */
struct certificate_subject {
    struct str common_name;
    const struct str *organizations;
    size_t organization_count;
    const struct str *dns_names;
    size_t dns_count;
    const struct str *addresses; /* as text */
    size_t address_count;
    int64_t not_before_ns, not_after_ns;
    int usage; /* bits of the extended key usage; 0: none named */
    bool is_ca;
    struct str fingerprint; /* SHA-256 of the DER, lower-case hex */
};
const struct certificate_subject *certificate_subject(const struct certificate *certificate);
/* SHA-256 of the SubjectPublicKeyInfo, lower-case hex: what a join token pins. */
struct str certificate_key_hash(const struct certificate *certificate);
/* Signed by `ca`, valid at `now`, and for `usage` (0: any). */
bool certificate_verify(const struct certificate *certificate, const struct certificate *ca,
                        int64_t now_wall_ns, int usage);

/* ---- PKCS#10 requests ---- */
int signing_request_new(const struct key *key, const struct certificate_options *options,
                        struct buf *ret_pem, struct err *err);
struct signing_request;
/* Checks the request's own signature. */
int signing_request_parse(struct str pem, struct signing_request **ret_request, struct err *err);
void signing_request_free(struct signing_request *request);
/* common_name, organizations, dns_names and addresses that the request asks for; times and usage
 * are the signer's to fill in. Views live as long as the request. */
struct certificate_options signing_request_options(const struct signing_request *request);
const struct key *signing_request_key(const struct signing_request *request);
