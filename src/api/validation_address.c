/* validation_address.c: addresses, ranges and domain names that are more than a name rule.
 *
 * Two programs that read one address differently are a hole in somebody's wall: what has more than
 * one reading (leading zeros, IPv4 inside IPv6, host bits in a range) is refused.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "api/validation.h"
#include "api/warning.h"

enum { ADDRESS_TEXT_MAX = INET6_ADDRSTRLEN + 8 };

static bool is_mapped(int family, const uint8_t bytes[16])
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return family == 6 && memcmp(bytes, prefix, sizeof prefix) == 0;
}

/* The canonical text; bits < 0: without a prefix length. */
static struct str canonical_text(int family, const uint8_t bytes[16], int bits,
                                 char text[ADDRESS_TEXT_MAX])
{
    inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes, text, INET6_ADDRSTRLEN);
    size_t n = strlen(text);
    if (bits >= 0) {
        n += (size_t)snprintf(text + n, ADDRESS_TEXT_MAX - n, "/%d", bits);
    }
    return str_at(text, n);
}

static bool has_host_bits(int family, const uint8_t bytes[16], int bits)
{
    int total = family == 4 ? 32 : 128;
    for (int i = bits; i < total; i++) {
        if ((bytes[i / 8] >> (7 - i % 8) & 1) != 0) {
            return true;
        }
    }
    return false;
}

/* "010.1.2.3" is an address to some programs: then it is worth another sentence. */
static bool has_leading_zero(struct str value)
{
    char copy[ADDRESS_TEXT_MAX];
    size_t n = 0;
    bool start = true, dropped = false;
    for (size_t i = 0; i < value.n && n + 1 < sizeof copy; i++) {
        bool digit_follows = i + 1 < value.n && value.p[i + 1] >= '0' && value.p[i + 1] <= '9';
        if (start && value.p[i] == '0' && digit_follows) {
            dropped = true;
            continue;
        }
        start = value.p[i] == '.' || value.p[i] == '/';
        copy[n++] = value.p[i];
    }
    uint8_t bytes[16];
    int bits;
    return dropped && (name_ip_parse(str_at(copy, n), bytes) == 4 ||
                       name_cidr_parse(str_at(copy, n), bytes, &bits) == 4);
}

static bool check_canonical(struct field_errors *errors, const struct path *path, struct str value,
                            struct str canonical)
{
    if (str_eq(value, canonical)) {
        return true;
    }
    field_invalid(errors, path, value, "must be in canonical form (\"%.*s\")", STR_ARG(canonical));
    return false;
}

bool check_address(struct field_errors *errors, const struct path *path, struct str value,
                   bool canonical)
{
    uint8_t bytes[16];
    char text[ADDRESS_TEXT_MAX];
    int family = name_ip_parse(value, bytes);
    if (family == 0) {
        field_invalid(errors, path, value, "%s",
                      has_leading_zero(value)
                          ? "must not have leading 0s"
                          : "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return false;
    }
    if (is_mapped(family, bytes)) {
        field_invalid(errors, path, value, "must not be an IPv4-mapped IPv6 address");
        return false;
    }
    return !canonical ||
           check_canonical(errors, path, value, canonical_text(family, bytes, -1, text));
}

static bool has_zero_prefix_digit(struct str value)
{
    struct str rest;
    str_cut(value, '/', &rest);
    return rest.n > 1 && rest.p[0] == '0';
}

bool check_range(struct field_errors *errors, const struct path *path, struct str value,
                 bool canonical)
{
    uint8_t bytes[16];
    char text[ADDRESS_TEXT_MAX];
    int bits = 0;
    int family = name_cidr_parse(value, bytes, &bits);
    const char *wrong = NULL;
    if (has_leading_zero(value) || (family != 0 && has_zero_prefix_digit(value))) {
        wrong = "must not have leading 0s in IP or prefix length";
    } else if (family == 0) {
        wrong = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    } else if (is_mapped(family, bytes)) {
        wrong = "must not have an IPv4-mapped IPv6 address";
    } else if (has_host_bits(family, bytes, bits)) {
        wrong = "must not have bits set beyond the prefix length";
    }
    if (wrong != NULL) {
        field_invalid(errors, path, value, "%s", wrong);
        return false;
    }
    return !canonical ||
           check_canonical(errors, path, value, canonical_text(family, bytes, bits, text));
}

bool check_interface_address(struct field_errors *errors, const struct path *path, struct str value)
{
    uint8_t bytes[16];
    char text[ADDRESS_TEXT_MAX];
    int bits = 0;
    int family = name_cidr_parse(value, bytes, &bits);
    if (family == 0) {
        field_invalid(errors, path, value,
                      "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
        return false;
    }
    if (is_mapped(family, bytes)) {
        memmove(bytes, bytes + 12, 4);
        family = 4;
        bits -= bits > 32 ? 96 : 0;
    }
    return check_canonical(errors, path, value, canonical_text(family, bytes, bits, text));
}

void warn_address(struct api_context *ctx, const struct path *path, struct str value)
{
    uint8_t bytes[16];
    char text[ADDRESS_TEXT_MAX];
    if (name_ip_parse(value, bytes) != 6 || is_mapped(6, bytes)) {
        return;
    }
    struct str canonical = canonical_text(6, bytes, -1, text);
    if (!str_eq(canonical, value)) {
        api_warn(ctx, path,
                 "IPv6 address \"%.*s\" should be in RFC 5952 canonical format (\"%.*s\")",
                 STR_ARG(value), STR_ARG(canonical));
    }
}

void warn_range(struct api_context *ctx, const struct path *path, struct str value)
{
    uint8_t bytes[16];
    char text[ADDRESS_TEXT_MAX];
    int bits;
    if (name_cidr_parse(value, bytes, &bits) != 6 || is_mapped(6, bytes) ||
        has_host_bits(6, bytes, bits)) {
        return;
    }
    struct str canonical = canonical_text(6, bytes, bits, text);
    if (!str_eq(canonical, value)) {
        api_warn(ctx, path,
                 "IPv6 CIDR value \"%.*s\" should be in RFC 5952 canonical format (\"%.*s\")",
                 STR_ARG(value), STR_ARG(canonical));
    }
}

bool check_wildcard_domain(struct field_errors *errors, const struct path *path, struct str value)
{
    if (str_starts(value, STR("*.")) && name_is(NAME_SUBDOMAIN, str_from(value, 2)) &&
        value.n <= 253) {
        return true;
    }
    field_invalid(errors, path, value,
                  "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS "
                  "subdomain, which must consist of lower case alphanumeric characters, '-' or '.' "
                  "and end with an alphanumeric character (e.g. '*.example.com')");
    return false;
}

/* What may stand in a path of a URL (RFC 3986). */
static bool is_path_text(struct str text)
{
    static const char marks[] = "/-._~%!$&'()*+,;=:";
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && memchr(marks, c, sizeof marks - 1) == NULL) {
            return false;
        }
    }
    return true;
}

bool check_domain_path(struct field_errors *errors, const struct path *path, struct str value)
{
    struct str rest;
    struct str host = str_cut(value, '/', &rest);
    if (value.n == 0) {
        field_required(errors, path, "");
        return false;
    }
    if (host.n == 0 || rest.n == 0) {
        field_invalid(errors, path, value,
                      "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return false;
    }
    size_t before = errors->count;
    check_name(errors, path, NAME_SUBDOMAIN, host);
    if (!is_path_text(rest)) {
        field_invalid(errors, path, rest, "may only have characters that a path of a URL has");
    }
    return errors->count == before;
}
