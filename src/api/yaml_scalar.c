/* yaml_scalar.c: what a plain YAML scalar means to Kubernetes, and which strings need quotes.
 *
 * Kubernetes turns YAML into JSON with YAML 1.1's reading: y, yes, on and true in their spellings
 * are booleans, ~ is null, 0x, 0o, 0b and a leading zero choose a base, _ may part digits, and
 * integers beyond 64 bits become floating. Numbers come out as JSON has them.
 */
#include "api/yaml_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_one_of(struct str text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (str_is(text, *words)) {
            return true;
        }
    }
    return false;
}

static bool word_value(struct str text, enum val_type *ret_type)
{
    static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                      "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const no[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                     "False", "FALSE", "off", "Off", "OFF", NULL};
    static const char *const none[] = {"", "~", "null", "Null", "NULL", NULL};
    if (text.n > 5) {
        return false;
    }
    if (is_one_of(text, yes)) {
        *ret_type = VAL_TRUE;
    } else if (is_one_of(text, no)) {
        *ret_type = VAL_FALSE;
    } else if (is_one_of(text, none)) {
        *ret_type = VAL_NULL;
    } else {
        return false;
    }
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 99;
}

/* Digits of a base, nothing else; false also on overflow of 64 bits. */
static bool digits_value(struct str digits, unsigned base, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (digits.n == 0) {
        return false;
    }
    for (size_t i = 0; i < digits.n; i++) {
        unsigned digit = (unsigned)digit_of(digits.p[i]);
        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

static bool int_value(struct str text, char ret_text[YAML_NUMBER_SIZE])
{
    bool negative = text.p[0] == '-';
    uint64_t value = 0;
    if (text.p[0] == '-' || text.p[0] == '+') {
        text = str_from(text, 1);
    }
    unsigned base = 10;
    if (text.n > 1 && text.p[0] == '0') {
        char mark = (char)(text.p[1] | 0x20);
        base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
        text = base != 10 ? str_from(text, 2) : text;
        base = base == 10 ? 8 : base;
    }
    if (!digits_value(text, base, &value) || (negative && value > (uint64_t)INT64_MAX + 1)) {
        return false;
    }
    snprintf(ret_text, YAML_NUMBER_SIZE, "%s%llu", negative && value != 0 ? "-" : "",
             (unsigned long long)value);
    return true;
}

/* [-+]? (.digits | digits (. digits?)?) ([eE][-+]?digits)? */
static bool looks_floating(const char *p)
{
    p += *p == '-' || *p == '+';
    size_t before = strspn(p, "0123456789");
    p += before;
    if (*p == '.') {
        size_t after = strspn(p + 1, "0123456789");
        if (before == 0 && after == 0) {
            return false;
        }
        p += 1 + after;
    } else if (before == 0) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        size_t exponent = strspn(p, "0123456789");
        if (exponent == 0) {
            return false;
        }
        p += exponent;
    }
    return *p == '\0';
}

/* Digits without a point, "-" apart, as a plain decimal: 12 and exponent 3 give 1200. */
static void place_point(bool negative, const char *digits, int count, int exponent,
                        char ret_text[YAML_NUMBER_SIZE])
{
    char *to = ret_text;
    if (negative) {
        *to++ = '-';
    }
    if (exponent < 0) {
        *to++ = '0';
        *to++ = '.';
        for (int i = -1; i > exponent; i--) {
            *to++ = '0';
        }
    }
    for (int i = 0; i < count || i <= exponent; i++) {
        if (exponent >= 0 && i == exponent + 1) {
            *to++ = '.';
        }
        *to++ = i < count ? digits[i] : '0';
    }
    *to = '\0';
}

/* Shortest decimal that reads back the same; plain between 1e-6 and 1e21, as JSON encoders have it.
 */
static void format_floating(double value, char ret_text[YAML_NUMBER_SIZE])
{
    char shortest[40], digits[20];
    int precision = 0, count = 0;
    do {
        snprintf(shortest, sizeof shortest, "%.*e", precision, value);
    } while (strtod(shortest, NULL) != value && ++precision < 17);
    char *mark = strchr(shortest, 'e');
    bool minus = mark[1] == '-';
    uint64_t size = 0;
    str_u64(str_of(mark + 2), &size);
    int exponent = minus ? -(int)size : (int)size;
    for (const char *at = shortest; at < mark; at++) {
        if (*at >= '0' && *at <= '9' && count < 18) {
            digits[count++] = *at;
        }
    }
    if (value == 0) {
        snprintf(ret_text, YAML_NUMBER_SIZE, "0");
    } else if (exponent >= -6 && exponent < 21) {
        place_point(value < 0, digits, count, exponent, ret_text);
    } else {
        snprintf(ret_text, YAML_NUMBER_SIZE, "%.*se%c%d", (int)(mark - shortest), shortest,
                 minus ? '-' : '+', (int)size);
    }
}

enum yaml_scalar yaml_scalar_resolve(struct str text, enum val_type *ret_type,
                                     char ret_number[YAML_NUMBER_SIZE])
{
    if (word_value(text, ret_type)) {
        return YAML_SCALAR_VALUE;
    }
    if (text.n >= 64 || memchr("+-.0123456789", text.p[0], 13) == NULL) {
        return str_is(text, "<<") ? YAML_SCALAR_MERGE : YAML_SCALAR_STRING;
    }
    char tidy[64];
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\0') {
            return YAML_SCALAR_STRING;
        }
        if (text.p[i] != '_') {
            tidy[n++] = text.p[i];
        }
    }
    tidy[n] = '\0';
    *ret_type = VAL_NUMBER;
    if (int_value(str_at(tidy, n), ret_number)) {
        return YAML_SCALAR_VALUE;
    }
    static const char *const endless[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                          "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                          ".NaN",  ".NAN",  NULL};
    if (is_one_of(text, endless)) {
        return YAML_SCALAR_ENDLESS;
    }
    if (!looks_floating(tidy)) {
        return YAML_SCALAR_STRING;
    }
    double value = strtod(tidy, NULL);
    if (!isfinite(value)) {
        return YAML_SCALAR_STRING;
    }
    format_floating(value, ret_number);
    return YAML_SCALAR_VALUE;
}
