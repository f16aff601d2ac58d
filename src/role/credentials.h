/* credentials.h: what a cluster's first start makes and every start reads: CA, service-account key,
 * storage key, and the certificates that are made from them.
 *
 * In config_dir (0700, root): ca.crt, ca.key, service-account.key, storage.key (64 hexadecimal
 * digits), admin.kubeconfig; all but ca.crt 0600. The admin's certificate lasts 7 days; the
 * supervisor renews the file. Children get PEM text through their handoff, never paths.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "pki/certificate.h"
#include "pki/key.h"

struct credentials {
    struct key *ca_key, *service_account_key;
    struct certificate *ca;
    char storage_key[65]; /* hexadecimal */
    bool made;            /* this start was the first */
};

enum { ADMIN_DAYS = 7, CA_DAYS = 3650, SERVER_DAYS = 365 };
/* Certificates are valid a little before they are made: clocks differ. */
enum { CERTIFICATE_SKEW_S = 300 };

/* Reads them, making all that is missing when none is there. A set with holes is ERR_INVALID: it
 * says which file is gone. */
int credentials_open(const char *config_dir, struct credentials *ret_credentials, struct err *err);
void credentials_done(struct credentials *credentials);

/* A new key and certificate as PEM, from a CA. `names` and `addresses` are comma-separated
 * subjectAltNames. */
struct issue_request {
    struct str common_name, organization; /* organization n 0: none */
    int usage;                            /* enum certificate_usage bits */
    struct str names, addresses;
    int days;
    int64_t seconds; /* instead of days, when not 0 */
};
int credentials_issue(const struct certificate *ca, const struct key *ca_key,
                      const struct issue_request *request, struct buf *ret_certificate_pem,
                      struct buf *ret_key_pem, struct err *err);
/* A kubeconfig for the admin (certificate of ADMIN_DAYS), server "https://127.0.0.1:6443". */
int credentials_kubeconfig(const struct credentials *credentials, struct str server,
                           struct buf *out, struct err *err);
