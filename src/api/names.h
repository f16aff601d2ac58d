/* names.h: the shapes of names that the API knows: DNS labels and subdomains, label keys and
 * values, environment variables, ports, addresses; and the well-known sentences that say what is
 * wrong.
 *
 * A check that passes allocates nothing. The sentences are the API's documented ones
 * (k8s.io/apimachinery util/validation), since clients and their tests match on them.
 */
#pragma once
#include "base/str.h"

enum name_rule {
    NAME_SUBDOMAIN,   /* RFC 1123 subdomain, 253 bytes */
    NAME_LABEL,       /* RFC 1123 label, 63 bytes */
    NAME_LABEL_1035,  /* RFC 1035 label, 63 bytes */
    NAME_PATH,        /* one segment of a URL path (RBAC names) */
    NAME_LABEL_KEY,   /* [prefix/]name: label and annotation keys, finalizers, resource names */
    NAME_LABEL_VALUE, /* 63 bytes or empty */
    NAME_ENV,         /* printable ASCII without '=' */
    NAME_CONFIG_KEY,  /* keys of ConfigMap and Secret data */
    NAME_PORT,        /* IANA service name, 15 bytes */
    NAME_HTTP_HEADER,
    NAME_PERCENT,
    NAME_IP,            /* IPv4 or IPv6 text */
    NAME_ADDRESS,       /* the one canonical text of an IPv4 or IPv6 address */
    NAME_SEARCH_DOMAIN, /* a subdomain in which labels may begin with '_' */
    NAME_PREFIXED_KEY,  /* a label key that must have its prefix: "acme.io/foo" */
    NAME_RULES
};

enum { NAME_COMPLAINTS_MAX = 4 };
struct name_complaints {
    const char *items[NAME_COMPLAINTS_MAX]; /* static text */
    int count;
};

/* Whether `value` has the shape; fills `ret` (may be NULL) with what is wrong. */
bool name_check(enum name_rule rule, struct str value, struct name_complaints *ret);
static inline bool name_is(enum name_rule rule, struct str value)
{
    return name_check(rule, value, NULL);
}
/* "subdomain", "label", "label-1035", "path", "address", "bundle" of struct api_ops; NULL is a
 * subdomain. */
enum name_rule name_rule_of(const char *text);

/* Addresses: 4 or 16 bytes in network order. Returns 4, 6, or 0 when it is none. */
int name_ip_parse(struct str text, uint8_t ret_bytes[16]);
/* "10.0.0.0/8": the family as above and the prefix length. */
int name_cidr_parse(struct str text, uint8_t ret_bytes[16], int *ret_bits);
