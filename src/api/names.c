/* names.c: shapes of names and the sentences about them. See names.h.
 *
 * One function a shape, each a walk over the bytes; a table joins them to their rules. The texts
 * are the documented wire format and must stay as they are.
 */
#include "api/names.h"

#include <arpa/inet.h>

#define LABEL_RE     "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_RE LABEL_RE "(\\." LABEL_RE ")*"
#define KEY_RE       "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

#define MSG_SUBDOMAIN                                                                              \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "  \
    "for validation is '" SUBDOMAIN_RE "')"
#define MSG_KEY                                                                                    \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "    \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "         \
    "validation is '" KEY_RE "')"

static const char msg_search_domain[] =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' "
    "or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
static const char msg_label[] =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '" LABEL_RE "')";
static const char msg_label_1035[] =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
static const char msg_label_value[] =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(" KEY_RE ")?')";
static const char msg_env[] = "a valid environment variable name must consist only of printable "
                              "ASCII characters other than '='";
static const char msg_config_key[] =
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
static const char msg_header[] =
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', "
    "regex used for validation is '[-A-Za-z0-9]+')";
static const char msg_percent[] =
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
    "'93%', regex used for validation is '[0-9]+%')";

enum { LOWER = 1, UPPER = 2, DIGIT = 4, ALNUM = 7, ALNUM_LOWER = 5 };

static int class_of(char c)
{
    if (c >= 'a' && c <= 'z') {
        return LOWER;
    }
    if (c >= 'A' && c <= 'Z') {
        return UPPER;
    }
    return c >= '0' && c <= '9' ? DIGIT : 0;
}

static bool complain(struct name_complaints *ret, const char *text)
{
    if (ret != NULL && ret->count < NAME_COMPLAINTS_MAX) {
        ret->items[ret->count++] = text;
    }
    return false;
}

/* First and last byte of `edge` classes, others also one of `inner`. */
static bool shaped(struct str s, int first, int edge, const char *inner)
{
    if (s.n == 0 || !(class_of(s.p[0]) & first) || !(class_of(s.p[s.n - 1]) & edge)) {
        return false;
    }
    for (size_t i = 1; i + 1 < s.n; i++) {
        if (!(class_of(s.p[i]) & edge) && (s.p[i] == '\0' || strchr(inner, s.p[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

static bool is_subdomain(struct str s)
{
    if (s.p == NULL) {
        return false;
    }
    struct str rest = s;
    while (rest.p != NULL) {
        if (!shaped(str_cut(rest, '.', &rest), ALNUM_LOWER, ALNUM_LOWER, "-")) {
            return false;
        }
    }
    return true;
}

static bool check_subdomain(struct str s, struct name_complaints *ret)
{
    bool ok = s.n <= 253 || complain(ret, "must be no more than 253 characters");
    return (is_subdomain(s) || complain(ret, MSG_SUBDOMAIN)) && ok;
}

static bool check_label(struct str s, struct name_complaints *ret)
{
    bool ok = s.n <= 63 || complain(ret, "must be no more than 63 characters");
    if (shaped(s, ALNUM_LOWER, ALNUM_LOWER, "-")) {
        return ok;
    }
    return complain(ret, is_subdomain(s) ? "must not contain dots" : msg_label);
}

static bool check_label_1035(struct str s, struct name_complaints *ret)
{
    bool ok = s.n <= 63 || complain(ret, "must be no more than 63 characters");
    return (shaped(s, LOWER, ALNUM_LOWER, "-") || complain(ret, msg_label_1035)) && ok;
}

static bool check_path(struct str s, struct name_complaints *ret)
{
    if (str_is(s, ".")) {
        return complain(ret, "may not be '.'");
    }
    if (str_is(s, "..")) {
        return complain(ret, "may not be '..'");
    }
    bool ok = !str_contains(s, STR("/")) || complain(ret, "may not contain '/'");
    return (!str_contains(s, STR("%")) || complain(ret, "may not contain '%'")) && ok;
}

static bool check_key_prefix(struct str prefix, struct name_complaints *ret)
{
    if (prefix.n == 0) {
        return complain(ret, "prefix part must be non-empty");
    }
    bool ok = prefix.n <= 253 || complain(ret, "prefix part must be no more than 253 bytes");
    return (is_subdomain(prefix) || complain(ret, "prefix part " MSG_SUBDOMAIN)) && ok;
}

static bool check_key(struct str s, struct name_complaints *ret)
{
    struct str rest, name = str_cut(s, '/', &rest);
    bool ok = true;
    if (rest.p != NULL) {
        if (rest.n > 0 && memchr(rest.p, '/', rest.n) != NULL) {
            return complain(ret, "a valid label key " MSG_KEY
                                 " with an optional DNS subdomain prefix and '/' (e.g. "
                                 "'example.com/MyName')");
        }
        ok = check_key_prefix(name, ret);
        name = rest;
    }
    if (name.n == 0) {
        complain(ret, "name part must be non-empty");
    } else if (name.n > 63) {
        ok = complain(ret, "name part must be no more than 63 bytes");
    }
    return (shaped(name, ALNUM, ALNUM, "-_.") || complain(ret, "name part " MSG_KEY)) && ok;
}

static bool check_label_value(struct str s, struct name_complaints *ret)
{
    bool ok = s.n <= 63 || complain(ret, "must be no more than 63 bytes");
    return (s.n == 0 || shaped(s, ALNUM, ALNUM, "-_.") || complain(ret, msg_label_value)) && ok;
}

static bool check_env(struct str s, struct name_complaints *ret)
{
    if (s.n == 0) {
        return complain(ret, "environment variable name must be non-empty");
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '=') {
            return complain(ret, msg_env);
        }
    }
    return true;
}

static bool check_config_key(struct str s, struct name_complaints *ret)
{
    bool ok = s.n <= 253 || complain(ret, "must be no more than 253 characters");
    bool shape = s.n > 0;
    for (size_t i = 0; i < s.n; i++) {
        shape = shape && (class_of(s.p[i]) != 0 || s.p[i] == '-' || s.p[i] == '_' || s.p[i] == '.');
    }
    ok = (shape || complain(ret, msg_config_key)) && ok;
    if (str_is(s, ".")) {
        return complain(ret, "must not be '.'");
    }
    if (str_is(s, "..")) {
        return complain(ret, "must not be '..'");
    }
    return (!str_starts(s, STR("..")) || complain(ret, "must not start with '..'")) && ok;
}

static bool check_port(struct str s, struct name_complaints *ret)
{
    bool shape = s.n > 0, letter = false, doubled = false;
    for (size_t i = 0; i < s.n; i++) {
        int kind = class_of(s.p[i]);
        shape = shape && (kind == LOWER || kind == DIGIT || s.p[i] == '-');
        letter = letter || kind == LOWER;
        doubled = doubled || (i > 0 && s.p[i] == '-' && s.p[i - 1] == '-');
    }
    bool ok = s.n <= 15 || complain(ret, "must be no more than 15 characters");
    ok = (shape || complain(ret, "must contain only alpha-numeric characters (a-z, 0-9), and "
                                 "hyphens (-)")) &&
         ok;
    ok = (letter || complain(ret, "must contain at least one letter (a-z)")) && ok;
    ok = (!doubled || complain(ret, "must not contain consecutive hyphens")) && ok;
    bool edges = s.n == 0 || s.p[0] == '-' || s.p[s.n - 1] == '-';
    return (!edges || s.n == 0 || complain(ret, "must not begin or end with a hyphen")) && ok;
}

static bool check_header(struct str s, struct name_complaints *ret)
{
    bool shape = s.n > 0;
    for (size_t i = 0; i < s.n; i++) {
        shape = shape && (class_of(s.p[i]) != 0 || s.p[i] == '-');
    }
    return shape || complain(ret, msg_header);
}

static bool check_percent(struct str s, struct name_complaints *ret)
{
    bool shape = s.n > 1 && s.p[s.n - 1] == '%';
    for (size_t i = 0; i + 1 < s.n; i++) {
        shape = shape && class_of(s.p[i]) == DIGIT;
    }
    return shape || complain(ret, msg_percent);
}

static bool check_ip(struct str s, struct name_complaints *ret)
{
    uint8_t bytes[16];
    return name_ip_parse(s, bytes) != 0 ||
           complain(ret, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
}

static bool check_address(struct str s, struct name_complaints *ret)
{
    uint8_t bytes[16];
    char text[INET6_ADDRSTRLEN];
    int family = name_ip_parse(s, bytes);
    if (family == 0) {
        return check_ip(s, ret);
    }
    if (family == 6 && bytes[10] == 0xff && bytes[11] == 0xff &&
        memcmp(bytes, (const uint8_t[10]){0}, 10) == 0) {
        return complain(ret, "must not be an IPv4-mapped IPv6 address");
    }
    inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes, text, sizeof text);
    return str_is(s, text) || complain(ret, "must be in canonical form");
}

static bool check_search_domain(struct str s, struct name_complaints *ret)
{
    bool ok = s.n <= 253 || complain(ret, "must be no more than 253 characters");
    struct str rest = s;
    while (rest.p != NULL) {
        struct str label = str_cut(rest, '.', &rest);
        if (str_starts(label, STR("_"))) {
            label = str_from(label, 1);
        }
        if (!shaped(label, ALNUM_LOWER, ALNUM_LOWER, "-_")) {
            return complain(ret, msg_search_domain);
        }
    }
    return ok;
}

static bool check_prefixed(struct str s, struct name_complaints *ret)
{
    struct str rest;
    str_cut(s, '/', &rest);
    return rest.p != NULL && check_key(s, NULL) ? true
                                                : complain(ret, "must be a domain-prefixed path "
                                                                "(such as \"acme.io/foo\")");
}

bool name_check(enum name_rule rule, struct str value, struct name_complaints *ret)
{
    static bool (*const checks[NAME_RULES])(struct str, struct name_complaints *) = {
        [NAME_SUBDOMAIN] = check_subdomain,
        [NAME_LABEL] = check_label,
        [NAME_LABEL_1035] = check_label_1035,
        [NAME_PATH] = check_path,
        [NAME_LABEL_KEY] = check_key,
        [NAME_LABEL_VALUE] = check_label_value,
        [NAME_ENV] = check_env,
        [NAME_CONFIG_KEY] = check_config_key,
        [NAME_PORT] = check_port,
        [NAME_HTTP_HEADER] = check_header,
        [NAME_PERCENT] = check_percent,
        [NAME_IP] = check_ip,
        [NAME_ADDRESS] = check_address,
        [NAME_SEARCH_DOMAIN] = check_search_domain,
        [NAME_PREFIXED_KEY] = check_prefixed,
    };
    if (ret != NULL) {
        ret->count = 0;
    }
    return checks[rule](value, ret);
}

enum name_rule name_rule_of(const char *text)
{
    static const struct {
        const char *text;
        enum name_rule rule;
    } rules[] = {{"label", NAME_LABEL},
                 {"label-1035", NAME_LABEL_1035},
                 {"path", NAME_PATH},
                 {"address", NAME_ADDRESS}};
    for (size_t i = 0; text != NULL && i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(text, rules[i].text) == 0) {
            return rules[i].rule;
        }
    }
    return NAME_SUBDOMAIN;
}

int name_ip_parse(struct str text, uint8_t ret_bytes[16])
{
    char copy[INET6_ADDRSTRLEN + 1];
    if (text.n == 0 || text.n >= sizeof copy || memchr(text.p, '\0', text.n) != NULL) {
        return 0;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (inet_pton(AF_INET, copy, ret_bytes) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, copy, ret_bytes) == 1 ? 6 : 0;
}

int name_cidr_parse(struct str text, uint8_t ret_bytes[16], int *ret_bits)
{
    struct str rest;
    uint64_t bits = 0;
    int family = name_ip_parse(str_cut(text, '/', &rest), ret_bytes);
    if (family == 0 || !str_u64(rest, &bits) || bits > (family == 4 ? 32U : 128U)) {
        return 0;
    }
    *ret_bits = (int)bits;
    return family;
}
