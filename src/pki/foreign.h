/* foreign.h: what PEM texts, certificates and signing requests of others hold: any key type, any
 * content, read for checking and never used for signing (certificate.h has our own).
 *
 * Results live in the caller's arena. Errors: ERR_PARSE with a sentence for people.
 */
#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct pem_block {
    struct str type; /* "CERTIFICATE" */
    struct str der;
    bool has_headers;
};
/* The next block of *rest, which moves behind it; text between blocks is skipped. False at the end,
 * and at what looks like a block and is none. */
bool pem_next(struct arena *arena, struct str *rest, struct pem_block *ret_block);

enum foreign_key { FOREIGN_KEY_OTHER, FOREIGN_KEY_ED25519, FOREIGN_KEY_EC, FOREIGN_KEY_RSA };
struct foreign_certificate {
    bool is_ca;
    int64_t not_before_ns, not_after_ns;
    const struct str *dns_names, *emails;
    size_t dns_count, email_count;
    struct str key_hash; /* SHA-256 of the SubjectPublicKeyInfo, lower-case hex */
};
struct foreign_request {
    enum foreign_key key;
    int key_bits;   /* RSA: size of the modulus; EC: of the field */
    bool signature; /* the request is signed with its own key */
    struct str common_name;
    const struct str *organizations, *dns_names, *addresses, *emails, *uris;
    size_t organization_count, dns_count, address_count, email_count, uri_count;
    struct str key_hash;
};
int foreign_certificate_parse(struct arena *arena, struct str der,
                              struct foreign_certificate *ret_certificate, struct err *err);
int foreign_request_parse(struct arena *arena, struct str der, struct foreign_request *ret_request,
                          struct err *err);
