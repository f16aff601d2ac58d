/* request.h: what the three controllers of CertificateSigningRequests read of one. */
#pragma once
#include "api/val.h"
#include "pki/foreign.h"

struct signing {
    struct foreign_request request;
    struct str pem;
};
/* False: spec.request holds no readable request. All in the arena. */
bool signing_read(struct arena *arena, const struct val *csr, struct signing *ret_signing);
/* Whether a condition of this type is True. */
bool signing_has(const struct val *csr, const char *condition);
bool signing_is_issued(const struct val *csr);
/* Why the request is none of a kubelet for its client (serving) certificate; NULL: it is one. */
const char *signing_kubelet_fault(const struct val *csr, const struct signing *signing,
                                  bool serving);
