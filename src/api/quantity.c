/* quantity.c: resource.Quantity: text to an exact decimal and back.
 *
 * A value is held in nano units in 128 bits, which covers all that the API's own limits let
 * through: finer digits are rounded away from zero, larger values saturate. The text form is the
 * canonical one: the largest suffix that leaves an integer, so equal values have equal text.
 *
 * Left to others: which resources exist, and what a quantity means.
 */
#include "api/quantity.h"

#include <stdio.h>

#define QUANTITY_NANO  ((__int128)1000000000)
#define QUANTITY_LIMIT (((__int128)1 << 126))

enum { FORMAT_DECIMAL = 0, FORMAT_BINARY = 1, FORMAT_EXPONENT = 2 };
enum { DIGITS_MAX = 512 }; /* longer text is no quantity that anybody means */

static __int128 times(__int128 value, __int128 factor)
{
    __int128 product;
    return __builtin_mul_overflow(value, factor, &product) || product > QUANTITY_LIMIT
               ? QUANTITY_LIMIT
               : product;
}

struct suffix {
    uint8_t format;
    int base;     /* 10 or 2 */
    int exponent; /* of the base */
};

static bool suffix_exponent(struct str text, struct suffix *ret)
{
    struct str digits = str_from(text, 1);
    bool negative = digits.n > 0 && digits.p[0] == '-';
    if (digits.n > 0 && (digits.p[0] == '-' || digits.p[0] == '+')) {
        digits = str_from(digits, 1);
    }
    uint64_t value = 0;
    if (!str_u64(digits, &value) || value > 1000) {
        return false;
    }
    *ret = (struct suffix){FORMAT_EXPONENT, 10, negative ? -(int)value : (int)value};
    return true;
}

static bool suffix_parse(struct str text, struct suffix *ret)
{
    static const char decimal[] = "num kMGTPE";
    static const char binary[] = "KMGTPE";
    if (text.n == 0) {
        *ret = (struct suffix){FORMAT_DECIMAL, 10, 0};
        return true;
    }
    const char *at = text.p[0] != ' ' ? memchr(decimal, text.p[0], sizeof decimal - 1) : NULL;
    if (text.n == 1 && at != NULL) {
        *ret = (struct suffix){FORMAT_DECIMAL, 10, (int)(at - decimal) * 3 - 9};
        return true;
    }
    at = memchr(binary, text.p[0], sizeof binary - 1);
    if (text.n == 2 && text.p[1] == 'i' && at != NULL) {
        *ret = (struct suffix){FORMAT_BINARY, 2, (int)(at - binary) * 10 + 10};
        return true;
    }
    return (text.p[0] == 'e' || text.p[0] == 'E') && suffix_exponent(text, ret);
}

/* value * 10^power in nano units, away from zero; value >= 0. */
static __int128 scale_decimal(__int128 value, int power)
{
    for (; power > 0 && value > 0 && value < QUANTITY_LIMIT; power--) {
        value = times(value, 10);
    }
    bool inexact = false;
    for (; power < 0 && value > 0; power++) {
        inexact = inexact || value % 10 != 0;
        value /= 10;
    }
    return value + (inexact ? 1 : 0);
}

/* Reads "digits[.digits]"; `ret_point` is how many of the digits follow the point. Digits beyond
 * what fits are counted, not kept: they are below a nano or above the limit anyway. */
static bool number_parse(struct str text, __int128 *ret_value, int *ret_point, int *ret_digits,
                         size_t *ret_n)
{
    __int128 value = 0;
    int point = 0, digits = 0;
    bool seen_point = false, sticky = false, any = false;
    size_t i = 0;
    for (; i < text.n; i++) {
        char c = text.p[i];
        if (c == '.' && !seen_point) {
            seen_point = true;
            continue;
        }
        if (c < '0' || c > '9') {
            break;
        }
        any = true;
        digits += value > 0 || c != '0' || seen_point;
        if (value < QUANTITY_LIMIT / 100) {
            value = value * 10 + (c - '0');
            point += seen_point;
        } else if (!seen_point) {
            value = QUANTITY_LIMIT;
        } else {
            sticky = sticky || c != '0';
        }
    }
    *ret_value = value + (sticky && value < QUANTITY_LIMIT ? 1 : 0);
    *ret_point = point;
    *ret_digits = digits;
    *ret_n = i;
    return any;
}

bool quantity_parse(struct str text, struct quantity *ret_quantity)
{
    bool negative = text.n > 0 && text.p[0] == '-';
    if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+')) {
        text = str_from(text, 1);
    }
    __int128 value;
    int point, digits;
    size_t used;
    struct suffix suffix;
    if (text.n > DIGITS_MAX || !number_parse(text, &value, &point, &digits, &used) ||
        !suffix_parse(str_from(text, used), &suffix)) {
        return false;
    }
    bool wide = digits > 18; /* what does not fit 18 digits is capped at int64 */
    __int128 nano;
    if (suffix.base == 2) {
        __int128 binary = times(value, (__int128)1 << suffix.exponent);
        nano = scale_decimal(binary, 9 - point);
        wide = wide || digits + suffix.exponent * 3 / 10 + 1 > 15;
    } else {
        nano = scale_decimal(value, suffix.exponent + 9 - point);
        wide = wide || suffix.exponent - point < -9;
    }
    __int128 cap = (__int128)INT64_MAX * QUANTITY_NANO;
    if (nano > cap && (wide || nano >= QUANTITY_LIMIT)) {
        nano = cap;
    }
    if (suffix.format == FORMAT_BINARY && nano > 0 && nano < QUANTITY_NANO) {
        suffix.format = FORMAT_DECIMAL; /* half a byte is not worth a binary suffix */
    }
    ret_quantity->nano = negative ? -nano : nano;
    ret_quantity->format = suffix.format;
    return true;
}

static int64_t rounded(__int128 nano, __int128 unit)
{
    __int128 value = nano / unit;
    if (nano % unit != 0) {
        value += nano > 0 ? 1 : -1;
    }
    if (value > INT64_MAX) {
        return INT64_MAX;
    }
    return value < INT64_MIN ? INT64_MIN : (int64_t)value;
}

int64_t quantity_value(struct quantity q)
{
    return rounded(q.nano, QUANTITY_NANO);
}

int64_t quantity_milli(struct quantity q)
{
    return rounded(q.nano, QUANTITY_NANO / 1000);
}

/* Writes the digits and the suffix; what is left of the value always fits 39 digits. */
static size_t write_number(unsigned __int128 value, bool negative, const char *suffix,
                           char ret_text[64])
{
    char digits[44];
    size_t n = 0, at = 0;
    do {
        digits[n++] = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value > 0);
    if (negative) {
        ret_text[at++] = '-';
    }
    while (n > 0) {
        ret_text[at++] = digits[--n];
    }
    for (; *suffix != '\0'; suffix++) {
        ret_text[at++] = *suffix;
    }
    ret_text[at] = '\0';
    return at;
}

static size_t format_decimal(unsigned __int128 nano, bool negative, uint8_t format,
                             char ret_text[64])
{
    static const char *const suffixes[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
    int step = 0;
    int last = format == FORMAT_EXPONENT ? 13 : 9;
    while (step < last && nano % 1000 == 0) {
        nano /= 1000;
        step++;
    }
    if (format != FORMAT_EXPONENT || step == 3) {
        return write_number(nano, negative, suffixes[step], ret_text);
    }
    char suffix[16];
    snprintf(suffix, sizeof suffix, "e%d", step * 3 - 9);
    return write_number(nano, negative, suffix, ret_text);
}

size_t quantity_format(struct quantity q, char ret_text[64])
{
    static const char *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    bool negative = q.nano < 0;
    unsigned __int128 nano = negative ? -(unsigned __int128)q.nano : (unsigned __int128)q.nano;
    if (nano == 0) {
        return write_number(0, false, "", ret_text);
    }
    unsigned __int128 unit = (unsigned __int128)QUANTITY_NANO;
    if (q.format != FORMAT_BINARY || nano < 1024 * unit || nano % unit != 0) {
        uint8_t format = q.format == FORMAT_BINARY ? FORMAT_DECIMAL : q.format;
        return format_decimal(nano, negative, format, ret_text);
    }
    unsigned __int128 value = nano / unit;
    int step = 0;
    while (step < 6 && value % 1024 == 0) {
        value /= 1024;
        step++;
    }
    return write_number(value, negative, binary[step], ret_text);
}

static struct quantity saturated(__int128 nano, uint8_t format)
{
    if (nano > QUANTITY_LIMIT) {
        nano = QUANTITY_LIMIT;
    } else if (nano < -QUANTITY_LIMIT) {
        nano = -QUANTITY_LIMIT;
    }
    return (struct quantity){nano, format};
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
    return saturated(a.nano + b.nano, a.nano == 0 ? b.format : a.format);
}

struct quantity quantity_sub(struct quantity a, struct quantity b)
{
    return saturated(a.nano - b.nano, a.nano == 0 ? b.format : a.format);
}

struct quantity quantity_of_value(int64_t value, uint8_t format)
{
    return (struct quantity){value * QUANTITY_NANO, format};
}

struct quantity quantity_of_milli(int64_t milli)
{
    return (struct quantity){milli * (QUANTITY_NANO / 1000), FORMAT_DECIMAL};
}
