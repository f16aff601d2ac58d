/* yaml_scalar.c: what a plain YAML scalar means to Kubernetes, and which strings need quotes.
 *
 * Kubernetes turns YAML into JSON with YAML 1.1's reading: y, yes, on and true in their spellings
 * are booleans, ~ is null, 0x, 0o, 0b and a leading zero choose a base, _ may part digits, and
 * numbers come out as JSON has them, with all their digits.
 */
#include "api/yaml_int.h"

#include <stdio.h>

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

enum { DIGITS_MAX = 40 };

/* A floating number in the form JSON encoders give it: no needless zeros, plain between 1e-6 and
 * 1e21. More digits stay than the 17 of a double, but not so many that the number would be too long
 * to be read again as one. False when it is beyond a double. */
static bool format_floating(const char *text, char ret_text[YAML_NUMBER_SIZE])
{
    char digits[64];
    int count = 0, exponent = -1; /* of the first digit: 12.5 is "125" and 1 */
    bool negative = *text == '-', point = false;
    int64_t shift = 0;
    for (text += *text == '-' || *text == '+'; *text == '.' || (*text >= '0' && *text <= '9');
         text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        bool leading = count == 0 && *text == '0';
        if (!leading && count < DIGITS_MAX) {
            digits[count++] = *text;
        }
        exponent += point ? (leading ? -1 : 0) : (leading ? 0 : 1);
    }
    while (count > 0 && digits[count - 1] == '0') {
        count--;
    }
    if (count == 0) {
        snprintf(ret_text, YAML_NUMBER_SIZE, "0");
        return true;
    }
    if (*text != '\0' && !str_i64(str_of(text + 1 + (text[1] == '+')), &shift)) {
        return false;
    }
    shift += exponent;
    if (shift > 308) {
        return false;
    }
    if (shift < -324) {
        snprintf(ret_text, YAML_NUMBER_SIZE, "0");
    } else if (shift >= -6 && shift < 21) {
        place_point(negative, digits, count, (int)shift, ret_text);
    } else {
        snprintf(ret_text, YAML_NUMBER_SIZE, "%s%c%s%.*se%+d", negative ? "-" : "", digits[0],
                 count > 1 ? "." : "", count - 1, digits + 1, (int)shift);
    }
    return true;
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
    return looks_floating(tidy) && format_floating(tidy, ret_number) ? YAML_SCALAR_VALUE
                                                                     : YAML_SCALAR_STRING;
}
