/* signer.c: names of signers. Their length leaves room for DOMAIN/NAMESPACE.NAME. */
#include "api/kinds/certificates/signer.h"

enum { DOMAIN_MAX = 253, LABEL_MAX = 63, SIGNER_MAX = DOMAIN_MAX + 1 + DOMAIN_MAX + 1 + LABEL_MAX };

/* Every part between dots must keep the rule; the first that does not is told. */
static void parts_check(struct field_errors *errors, const struct path *path, struct str text,
                        enum name_rule rule)
{
    struct str rest = text;
    while (rest.p != NULL) {
        struct str part = str_cut(rest, '.', &rest);
        struct name_complaints complaints;
        if (!name_check(rule, part, &complaints)) {
            for (int i = 0; i < complaints.count; i++) {
                field_invalid(errors, path, text, "validating label \"%.*s\": %s", STR_ARG(part),
                              complaints.items[i]);
            }
            return;
        }
    }
}

void signer_name_check(struct field_errors *errors, const struct path *path, struct str name)
{
    struct str rest;
    struct str domain = str_cut(name, '/', &rest);
    if (name.n == 0) {
        field_required(errors, path, "");
        return;
    }
    if (rest.p == NULL || str_contains(rest, STR("/"))) {
        field_invalid(errors, path, name,
                      "must be a fully qualified domain and path of the form "
                      "'example.com/signer-name'");
        return;
    }
    if (domain.n > DOMAIN_MAX) {
        field_too_long(errors, path, DOMAIN_MAX);
    }
    parts_check(errors, path, domain, NAME_LABEL);
    if (!str_contains(domain, STR("."))) {
        field_invalid(errors, path, domain,
                      "should be a domain with at least two segments separated by dots");
    }
    parts_check(errors, path, rest, NAME_SUBDOMAIN);
    if (name.n > SIGNER_MAX) {
        field_too_long(errors, path, SIGNER_MAX);
    }
}

bool signer_is_kubernetes(struct str name)
{
    struct str rest;
    struct str domain = str_cut(name, '/', &rest);
    return str_is(domain, "kubernetes.io") || str_ends(domain, STR(".kubernetes.io"));
}
