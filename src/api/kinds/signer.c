/* signer.c: names of signers and of trust bundles. See signer.h. */
#include "api/kinds/signer.h"

/* Each part between dots; only the first wrong one is told. */
static void parts_check(struct field_errors *errors, const struct path *path, struct str text,
                        enum name_rule rule, int *ret_count)
{
    struct str rest = text;
    *ret_count = 0;
    while (rest.p != NULL) {
        struct str part = str_cut(rest, '.', &rest);
        struct name_complaints complaints;
        ++*ret_count;
        if (name_check(rule, part, &complaints)) {
            continue;
        }
        for (int i = 0; i < complaints.count; i++) {
            field_invalid(errors, path, text, "validating label \"%.*s\": %s", STR_ARG(part),
                          complaints.items[i]);
        }
        while (rest.p != NULL) {
            str_cut(rest, '.', &rest);
            ++*ret_count;
        }
    }
}

void signer_name_check(struct field_errors *errors, const struct path *path, struct str name)
{
    enum { DOMAIN_MAX = 253, NAME_MAX_BYTES = DOMAIN_MAX + 1 + 253 + 63 + 1 };
    struct str id, more, domain = str_cut(name, '/', &id);
    int labels, parts;
    if (name.n == 0) {
        field_required(errors, path, "");
        return;
    }
    str_cut(id, '/', &more);
    if (id.p == NULL || more.p != NULL) {
        field_invalid(errors, path, name,
                      "must be a domain and a path of the form 'example.com/signer-name'");
        return;
    }
    if (domain.n > DOMAIN_MAX) {
        field_too_long(errors, path, DOMAIN_MAX);
    }
    parts_check(errors, path, domain, NAME_LABEL, &labels);
    if (labels < 2) {
        field_invalid(errors, path, domain,
                      "should be a domain with at least two segments separated by dots");
    }
    parts_check(errors, path, id, NAME_SUBDOMAIN, &parts);
    if (name.n > NAME_MAX_BYTES) {
        field_too_long(errors, path, NAME_MAX_BYTES);
    }
}

void trust_bundle_name_check(struct field_errors *errors, const struct path *path, struct str name)
{
    struct str last, before = str_cut_last(name, ':', &last);
    (void)before; /* whatever the signer is called, this name begins with it */
    struct name_complaints complaints;
    if (name_check(NAME_SUBDOMAIN, last.p != NULL ? last : name, &complaints)) {
        return;
    }
    for (int i = 0; i < complaints.count; i++) {
        field_invalid(errors, path, name, "not a valid clustertrustbundlename: %s",
                      complaints.items[i]);
    }
}

bool signer_is_built_in(struct str name)
{
    struct str rest, domain = str_cut(name, '/', &rest);
    return str_is(domain, "kubernetes.io") || str_ends(domain, STR(".kubernetes.io"));
}

void signer_annotations_check(struct field_errors *errors, const struct path *path,
                              const struct val *annotations)
{
    enum { SIZE_MAX_BYTES = 256 * 1024 };
    size_t size = 0;
    VAL_EACH (it, annotations) {
        char *lower = str_dup_in(errors->arena, it->key);
        for (char *c = lower; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        }
        struct str key = str_of(lower);
        if (key.n == 0) {
            field_required(errors, path, "");
        } else if (check_name(errors, path, NAME_LABEL_KEY, key) && !str_contains(key, STR("/"))) {
            field_invalid(errors, path, key,
                          "must be a domain-prefixed key (such as \"acme.io/foo\")");
        }
        size += it->key.n + val_text(it).n;
    }
    if (size > SIZE_MAX_BYTES) {
        field_too_long(errors, path, SIZE_MAX_BYTES);
    }
}
