/* request.c: the rules of the signers for kubelets (certificates.k8s.io, "Kubernetes signers"). */
#include "controllers/certificates/request.h"

bool signing_read(struct arena *arena, const struct val *csr, struct signing *ret)
{
    struct buf pem BUF_CLEANUP = BUF_INIT;
    struct pem_block block;
    *ret = (struct signing){0};
    if (!base64_decode(&pem, val_text(val_path(csr, "spec.request")))) {
        return false;
    }
    ret->pem = str_copy_in(arena, buf_view(&pem));
    struct str rest = ret->pem;
    return pem_next(arena, &rest, &block) && str_is(block.type, "CERTIFICATE REQUEST") &&
           foreign_request_parse(arena, block.der, &ret->request, NULL) == 0;
}

bool signing_has(const struct val *csr, const char *condition)
{
    VAL_EACH (it, val_path(csr, "status.conditions")) {
        if (str_is(val_text(val_get(it, "type")), condition) &&
            !str_is(val_text(val_get(it, "status")), "False")) {
            return true;
        }
    }
    return false;
}

bool signing_is_issued(const struct val *csr)
{
    return val_text(val_path(csr, "status.certificate")).n > 0;
}

static bool usages_are(const struct val *csr, const char *purpose)
{
    bool signature = false, wanted = false;
    VAL_EACH (it, val_path(csr, "spec.usages")) {
        if (str_is(val_text(it), "digital signature")) {
            signature = true;
        } else if (str_is(val_text(it), purpose)) {
            wanted = true;
        } else if (!str_is(val_text(it), "key encipherment")) {
            return false;
        }
    }
    return signature && wanted;
}

const char *signing_kubelet_fault(const struct val *csr, const struct signing *signing,
                                  bool serving)
{
    const struct foreign_request *r = &signing->request;
    if (r->organization_count != 1 || !str_is(r->organizations[0], "system:nodes")) {
        return "subject organization is not system:nodes";
    }
    if (serving && r->dns_count == 0 && r->address_count == 0) {
        return "DNS or IP subjectAltName is required";
    }
    if (!serving && r->dns_count > 0) {
        return "DNS subjectAltNames are not allowed";
    }
    if (r->email_count > 0) {
        return "Email subjectAltNames are not allowed";
    }
    if (!serving && r->address_count > 0) {
        return "IP subjectAltNames are not allowed";
    }
    if (r->uri_count > 0) {
        return "URI subjectAltNames are not allowed";
    }
    if (!usages_are(csr, serving ? "server auth" : "client auth")) {
        return serving ? "usages did not match [digital signature key encipherment server auth]"
                       : "usages did not match [client auth digital signature key encipherment]";
    }
    return str_starts(r->common_name, STR("system:node:"))
               ? NULL
               : "subject common name does not begin with system:node:";
}
