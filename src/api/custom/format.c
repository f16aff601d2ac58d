/* format.c: the formats of strings that the API checks; any other name has no rule. One row a
 * format. The shapes are those of kube-openapi's strfmt package.
 */
#include <ctype.h>

#include "api/custom/structural.h"
#include "base/clock.h"
#include "wire/http.h"

static bool all_of(struct str text, int (*is)(int))
{
    for (size_t i = 0; i < text.n; i++) {
        if (!is((unsigned char)text.p[i])) {
            return false;
        }
    }
    return text.n > 0;
}

static bool is_date(struct str text)
{
    char whole[TIME_TEXT_SIZE];
    int64_t ns = 0;
    if (text.n != 10) {
        return false;
    }
    memcpy(whole, text.p, 10);
    memcpy(whole + 10, "T00:00:00Z", 10);
    return time_parse(str_at(whole, 20), &ns);
}

/* RFC 3339; years that do not fit 64 bits of nanoseconds are taken by their shape. */
static bool is_date_time(struct str text)
{
    int64_t ns = 0;
    char near[64];
    if (time_parse(text, &ns)) {
        return true;
    }
    if (text.n < 20 || text.n >= sizeof near || !all_of(str_at(text.p, 4), isdigit)) {
        return false;
    }
    memcpy(near, text.p, text.n);
    memcpy(near, "2000", 4);
    return time_parse(str_at(near, text.n), &ns);
}

/* Go's duration, or "3 days" and the like. */
static bool is_duration(struct str text)
{
    static const char *const units[] = {
        "ns", "us",  "µs", "ms", "s",    "sec",    "m",      "min",   "h",     "hr",  "hour",
        "d",  "day", "w",  "wk", "week", "second", "minute", "milli", "micro", "nano"};
    int64_t ns = 0;
    if (duration_parse(text, &ns)) {
        return true;
    }
    size_t digits = 0;
    while (digits < text.n && isdigit((unsigned char)text.p[digits])) {
        digits++;
    }
    struct str unit = str_trim(str_from(text, digits));
    if (unit.n > 1 && unit.p[unit.n - 1] == 's') {
        unit.n--;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units && digits > 0; i++) {
        if (str_is(unit, units[i])) {
            return true;
        }
    }
    return false;
}

static bool is_uri(struct str text)
{
    struct str rest;
    struct str scheme = str_cut(text, ':', &rest);
    if (text.n == 0 || memchr(text.p, ' ', text.n) != NULL) {
        return false;
    }
    bool path = text.p[0] == '/';
    return path ||
           (rest.p != NULL && scheme.n > 0 && isalpha((unsigned char)scheme.p[0]) && rest.n > 0);
}

static bool is_host_char(unsigned char c)
{
    return isalnum(c) || c >= 0x80 || (c != '\0' && strchr("$+<=>^`|~", c) != NULL);
}

/* One name: at most one dash, after its first character; several: labels, then letters only. */
static bool is_hostname(struct str text)
{
    struct str rest = text;
    if (text.n == 0 || text.n > 255) {
        return false;
    }
    bool single = memchr(text.p, '.', text.n) == NULL;
    while (rest.p != NULL) {
        struct str label = str_cut(rest, '.', &rest);
        bool last = rest.p == NULL && !single;
        if (label.n == 0 || label.n > 63 || (last && label.n < 2) ||
            !is_host_char((unsigned char)label.p[0]) ||
            !is_host_char((unsigned char)label.p[label.n - 1])) {
            return false;
        }
        for (size_t i = 0; i < label.n; i++) {
            unsigned char c = (unsigned char)label.p[i];
            bool dash = c == '-' && !last && (!single || i == 1);
            bool good = last ? isalpha(c) || c >= 0x80 : is_host_char(c);
            if (!good && !dash) {
                return false;
            }
        }
    }
    return true;
}

static bool is_email(struct str text)
{
    struct str domain;
    struct str user = str_cut_last(text, '@', &domain);
    if (domain.p != NULL && domain.n > 0 && domain.p[domain.n - 1] == '>') {
        struct str inner;
        str_cut(user, '<', &inner);
        user = inner;
        domain.n--;
    }
    return user.n > 0 && user.n <= 64 && domain.n > 0 && memchr(user.p, ' ', user.n) == NULL &&
           memchr(domain.p, ' ', domain.n) == NULL;
}

static bool is_ipv4(struct str text)
{
    uint8_t bytes[16];
    return name_ip_parse(text, bytes) == 4;
}

static bool is_ipv6(struct str text)
{
    uint8_t bytes[16];
    return name_ip_parse(text, bytes) == 6;
}

static bool is_cidr(struct str text)
{
    uint8_t bytes[16];
    int bits = 0;
    return name_cidr_parse(text, bytes, &bits) != 0;
}

static bool is_mac(struct str text)
{
    if (text.n != 17 && text.n != 23 && text.n != 59) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (i % 3 == 2 ? c != text.p[2] || (c != ':' && c != '-') : !isxdigit((unsigned char)c)) {
            return false;
        }
    }
    return true;
}

/* 8-4-4-4-12 hexadecimal digits, dashes may be left out; `version` 0: any. */
static bool is_uuid_of(struct str text, char version)
{
    static const uint8_t dashes[] = {8, 12, 16, 20};
    size_t digits = 0, dash = 0;
    char third = 0, fourth = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '-') {
            if (dash >= 4 || digits != dashes[dash]) {
                return false;
            }
            dash++;
            continue;
        }
        if (!isxdigit((unsigned char)c)) {
            return false;
        }
        while (dash < 4 && digits == dashes[dash]) {
            dash++; /* left out */
        }
        third = digits == 12 ? c : third;
        fourth = digits == 16 ? (char)tolower((unsigned char)c) : fourth;
        digits++;
    }
    bool variant = version == 0 || version == '3' || strchr("89ab", fourth) != NULL;
    return digits == 32 && (version == 0 || third == version) && variant;
}

static bool is_uuid(struct str text)
{
    return is_uuid_of(text, 0);
}
static bool is_uuid3(struct str text)
{
    return is_uuid_of(text, '3');
}
static bool is_uuid4(struct str text)
{
    return is_uuid_of(text, '4');
}
static bool is_uuid5(struct str text)
{
    return is_uuid_of(text, '5');
}

static bool is_byte(struct str text)
{
    struct buf raw BUF_CLEANUP = BUF_INIT;
    return base64_decode(&raw, text);
}

static bool is_object_id(struct str text)
{
    return text.n == 24 && all_of(text, isxdigit);
}

/* The digits of a text without dashes and spaces; at most `cap`. */
static size_t bare_digits(struct str text, char *ret, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '-' || text.p[i] == ' ') {
            continue;
        }
        if (n == cap) {
            return 0;
        }
        ret[n++] = text.p[i];
    }
    return n;
}

static bool is_isbn10(struct str text)
{
    char d[10];
    int sum = 0;
    if (bare_digits(text, d, 10) != 10) {
        return false;
    }
    for (int i = 0; i < 10; i++) {
        bool ten = i == 9 && d[i] == 'X';
        if (!ten && !isdigit((unsigned char)d[i])) {
            return false;
        }
        sum += (i + 1) * (ten ? 10 : d[i] - '0');
    }
    return sum % 11 == 0;
}

static bool is_isbn13(struct str text)
{
    char d[13];
    int sum = 0;
    if (bare_digits(text, d, 13) != 13) {
        return false;
    }
    for (int i = 0; i < 13; i++) {
        if (!isdigit((unsigned char)d[i])) {
            return false;
        }
        sum += (d[i] - '0') * (i % 2 == 0 ? 1 : 3);
    }
    return sum % 10 == 0;
}

static bool is_isbn(struct str text)
{
    return is_isbn10(text) || is_isbn13(text);
}

static bool is_credit_card(struct str text)
{
    char d[19];
    size_t n = bare_digits(text, d, sizeof d);
    int sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)d[n - 1 - i])) {
            return false;
        }
        int digit = (d[n - 1 - i] - '0') * (i % 2 == 0 ? 1 : 2);
        sum += digit > 9 ? digit - 9 : digit;
    }
    return n >= 13 && sum % 10 == 0;
}

static bool is_ssn(struct str text)
{
    bool dashed = text.n == 11;
    if (!dashed && text.n != 9) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        bool separator = dashed && (i == 3 || i == 6);
        bool good = separator ? text.p[i] == '-' || text.p[i] == ' '
                              : isdigit((unsigned char)text.p[i]) != 0;
        if (!good) {
            return false;
        }
    }
    return true;
}

static bool is_hex_color(struct str text)
{
    struct str digits = text.n > 0 && text.p[0] == '#' ? str_from(text, 1) : text;
    return (digits.n == 3 || digits.n == 6) && all_of(digits, isxdigit);
}

static bool is_rgb_color(struct str text)
{
    if (!str_starts(text, STR("rgb(")) || !str_ends(text, STR(")"))) {
        return false;
    }
    struct str rest = str_at(text.p + 4, text.n - 5);
    int parts = 0;
    while (rest.p != NULL) {
        uint64_t number = 0;
        if (!str_u64(str_trim(str_cut(rest, ',', &rest)), &number) || number > 255) {
            return false;
        }
        parts++;
    }
    return parts == 3;
}

static bool is_short_name(struct str text)
{
    return name_is(NAME_LABEL, text);
}

static bool is_long_name(struct str text)
{
    return name_is(NAME_SUBDOMAIN, text);
}

static const struct {
    const char *name;
    bool (*matches)(struct str text);
} formats[] = {
    {"bsonobjectid", is_object_id},
    {"byte", is_byte},
    {"cidr", is_cidr},
    {"creditcard", is_credit_card},
    {"date", is_date},
    {"date-time", is_date_time},
    {"datetime", is_date_time},
    {"duration", is_duration},
    {"email", is_email},
    {"hexcolor", is_hex_color},
    {"hostname", is_hostname},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"isbn", is_isbn},
    {"isbn10", is_isbn10},
    {"isbn13", is_isbn13},
    {"k8s-long-name", is_long_name},
    {"k8s-short-name", is_short_name},
    {"mac", is_mac},
    {"rgbcolor", is_rgb_color},
    {"ssn", is_ssn},
    {"uri", is_uri},
    {"uuid", is_uuid},
    {"uuid3", is_uuid3},
    {"uuid4", is_uuid4},
    {"uuid5", is_uuid5},
};

bool format_matches(const char *format, struct str text)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, format) == 0) {
            return formats[i].matches(text);
        }
    }
    return true;
}
