/* json_scan.c: the lexical half of JSON: strings with escapes and UTF-8, numbers, string writing.
 *
 * The plain case, text without escapes, is scanned eight bytes at a time and borrowed from the
 * input. Rules: RFC 8259; UTF-8 as in RFC 3629 (no overlong forms, no surrogates).
 */
#include "api/json_int.h"

#define ONES  0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

/* Bytes that end the plain run: quote, backslash, control characters and all of non-ASCII. The
 * tricks can mark a byte too much only after a marked one, so the first mark is exact. */
static inline uint64_t special_bytes(uint64_t word)
{
    uint64_t quote = word ^ (ONES * '"');
    uint64_t slash = word ^ (ONES * '\\');
    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | (word - ONES * 0x20) | word) &
           HIGHS;
}

static inline const char *plain_run(const char *p, const char *end)
{
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        uint64_t marks = special_bytes(word);
        if (marks != 0) {
            return p + (__builtin_ctzll(marks) >> 3);
        }
        p += 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\' && (*p & 0x80) == 0) {
        p++;
    }
    return p;
}

/* The length of the well-formed UTF-8 sequence at p, or 0. */
static size_t utf8_sequence(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t n = u[0] >= 0xc2 && u[0] <= 0xdf   ? 2
               : (u[0] & 0xf0) == 0xe0        ? 3
               : u[0] >= 0xf0 && u[0] <= 0xf4 ? 4
                                              : 0;
    if (n == 0 || (size_t)(end - p) < n) {
        return 0;
    }
    unsigned char low = 0x80, high = 0xbf; /* of the second byte */
    if (u[0] == 0xe0) {
        low = 0xa0;
    } else if (u[0] == 0xed) {
        high = 0x9f;
    } else if (u[0] == 0xf0) {
        low = 0x90;
    } else if (u[0] == 0xf4) {
        high = 0x8f;
    }
    if (u[1] < low || u[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if ((u[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

bool json_text_good(struct str text)
{
    for (size_t i = 0, n = 1; i < text.n; i += n) {
        const char *p = text.p + i;
        n = (*p & 0x80) == 0 ? 1 : utf8_sequence(p, text.p + text.n);
        if (n == 0) {
            return false;
        }
    }
    return true;
}

/* From p to the closing quote, escapes only skipped; *ret_escaped says whether there were any. */
static const char *string_end(const char *p, const char *end, bool *ret_escaped,
                              const char **ret_why)
{
    for (;;) {
        p = plain_run(p, end);
        if (p >= end) {
            *ret_why = "unexpected end of input in a string";
            return NULL;
        }
        if (*p == '"') {
            return p;
        }
        if (*p == '\\') {
            *ret_escaped = true;
            p += end - p >= 2 ? 2 : 1;
        } else if ((unsigned char)*p < 0x20) {
            *ret_why = "control character in a string must be escaped";
            return NULL;
        } else {
            size_t n = utf8_sequence(p, end);
            if (n == 0) {
                *ret_why = "invalid UTF-8 in a string";
                return NULL;
            }
            p += n;
        }
    }
}

static int hex4(const char *p, const char *end)
{
    int value = 0;
    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *to, uint32_t rune)
{
    if (rune < 0x80) {
        *to++ = (char)rune;
    } else if (rune < 0x800) {
        *to++ = (char)(0xc0 | (rune >> 6));
        *to++ = (char)(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
        *to++ = (char)(0xe0 | (rune >> 12));
        *to++ = (char)(0x80 | ((rune >> 6) & 0x3f));
        *to++ = (char)(0x80 | (rune & 0x3f));
    } else {
        *to++ = (char)(0xf0 | (rune >> 18));
        *to++ = (char)(0x80 | ((rune >> 12) & 0x3f));
        *to++ = (char)(0x80 | ((rune >> 6) & 0x3f));
        *to++ = (char)(0x80 | (rune & 0x3f));
    }
    return to;
}

/* `p` is after "\u". Surrogate pairs are joined. */
static const char *unescape_rune(const char *p, const char *end, char **to)
{
    int unit = hex4(p, end);
    if (unit < 0) {
        return NULL;
    }
    p += 4;
    uint32_t rune = (uint32_t)unit;
    if (unit >= 0xd800 && unit <= 0xdfff) {
        rune = 0xfffd;
        int second =
            unit < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? hex4(p + 2, end) : -1;
        if (second >= 0xdc00 && second <= 0xdfff) {
            rune = 0x10000 + (((uint32_t)unit - 0xd800) << 10) + ((uint32_t)second - 0xdc00);
            p += 6;
        }
    }
    *to = put_utf8(*to, rune);
    return p;
}

/* Unescapes [p, end) (end is the closing quote) to `to`, which is large enough: no escape grows. */
static const char *unescape(const char *p, const char *end, char **to)
{
    static const char from_letter[] = "\"\\/bfnrt", to_char[] = "\"\\/\b\f\n\r\t";
    while (p < end) {
        const char *slash = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((slash != NULL ? slash : end) - p);
        memcpy(*to, p, run);
        *to += run;
        p += run;
        if (slash == NULL) {
            break;
        }
        p++;
        if (p >= end) {
            return NULL;
        }
        if (*p == 'u') {
            p = unescape_rune(p + 1, end, to);
            if (p == NULL) {
                return NULL;
            }
            continue;
        }
        const char *letter = memchr(from_letter, *p, sizeof from_letter - 1);
        if (letter == NULL) {
            return NULL;
        }
        *(*to)++ = to_char[letter - from_letter];
        p++;
    }
    return end;
}

const char *json_scan_string(struct arena *arena, const char *p, const char *end,
                             struct str *ret_text, const char **ret_why)
{
    bool escaped = false;
    const char *close = string_end(p, end, &escaped, ret_why);
    if (close == NULL) {
        return NULL;
    }
    if (!escaped) {
        *ret_text = str_at(p, (size_t)(close - p));
        return close + 1;
    }
    if (!arena_room(arena, (size_t)(close - p) + 1)) {
        *ret_why = "the document needs too much memory";
        return NULL;
    }
    char *text = arena_alloc(arena, (size_t)(close - p) + 1), *to = text;
    if (unescape(p, close, &to) == NULL) {
        *ret_why = "invalid escape in a string";
        return NULL;
    }
    *ret_text = str_at(text, (size_t)(to - text));
    return close + 1;
}

static inline const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return p;
}

const char *json_scan_number(const char *p, const char *end, struct str *ret_text,
                             const char **ret_why)
{
    const char *start = p;
    *ret_why = "invalid number";
    p += *p == '-';
    const char *digits = p;
    p = skip_digits(p, end);
    if (p == digits || (*digits == '0' && p - digits > 1)) {
        return NULL;
    }
    if (p < end && *p == '.') {
        const char *fraction = ++p;
        p = skip_digits(p, end);
        if (p == fraction) {
            return NULL;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        const char *exponent = p;
        p = skip_digits(p, end);
        if (p == exponent) {
            return NULL;
        }
    }
    *ret_text = str_at(start, (size_t)(p - start));
    return p;
}

/* ---- writing ---- */

/* Like plain_run, but non-ASCII is plain too, except E2 80 A8 and A9 (line separators), which
 * encoding/json always escapes. */
static size_t writable_run(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        i = (size_t)(plain_run(p + i, p + n) - p);
        if (i >= n) {
            return n;
        }
        unsigned char c = (unsigned char)p[i];
        bool separator = c == 0xe2 && n - i >= 3 && (unsigned char)p[i + 1] == 0x80 &&
                         ((unsigned char)p[i + 2] | 1) == 0xa9;
        if (c < 0x20 || c == '"' || c == '\\' || separator) {
            return i;
        }
    }
    return n;
}

static void write_escape(unsigned char c, unsigned char third, struct buf *out)
{
    switch (c) {
    case '\n':
        buf_add(out, "\\n", 2);
        return;
    case '\r':
        buf_add(out, "\\r", 2);
        return;
    case '\t':
        buf_add(out, "\\t", 2);
        return;
    case '\b':
        buf_add(out, "\\b", 2);
        return;
    case '\f':
        buf_add(out, "\\f", 2);
        return;
    case '"':
    case '\\':
        buf_add(out, (char[]){'\\', (char)c}, 2);
        return;
    case 0xe2:
        buf_add(out, third == 0xa8 ? "\\u2028" : "\\u2029", 6);
        return;
    default:
        buf_add(
            out,
            (char[]){'\\', 'u', '0', '0', "0123456789abcdef"[c >> 4], "0123456789abcdef"[c & 15]},
            6);
    }
}

void json_write_string(struct str text, struct buf *out)
{
    char *to = buf_room(out, text.n + 3);
    if (writable_run(text.p, text.n) == text.n) { /* nearly always */
        *to++ = '"';
        memcpy(to, text.n > 0 ? text.p : "", text.n);
        to[text.n] = '"';
        to[text.n + 1] = '\0';
        out->n += text.n + 2;
        return;
    }
    buf_char(out, '"');
    for (size_t i = 0; i < text.n;) {
        size_t run = writable_run(text.p + i, text.n - i);
        buf_add(out, text.p + i, run);
        i += run;
        if (i < text.n) {
            unsigned char c = (unsigned char)text.p[i];
            write_escape(c, c == 0xe2 ? (unsigned char)text.p[i + 2] : 0, out);
            i += c == 0xe2 ? 3 : 1;
        }
    }
    buf_char(out, '"');
}
