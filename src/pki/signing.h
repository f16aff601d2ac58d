/* signing.h: certificates for signing requests of others: any kind of key, the subject and
 * alternative names that were asked for, the usages that the signer grants. Whether a name may be
 * had is the caller's to decide. */
#pragma once
#include "pki/certificate.h"

struct signing_options {
    const struct str *usages; /* as the API names them: "client auth", "digital signature" ... */
    size_t usage_count;
    int64_t not_before_ns, not_after_ns; /* cut at the end of the CA's own life */
};
/* Appends the certificate as PEM. Never a CA. ERR_PARSE for a request that is broken or not signed
 * with its own key, ERR_INVALID for an unknown usage or a CA that has expired. */
int signing_request_sign(struct str request_pem, const struct certificate *ca,
                         const struct key *ca_key, const struct signing_options *options,
                         struct random *random, struct buf *ret_pem, struct err *err);
