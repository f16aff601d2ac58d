/* url.c: percent-encoding and queries (RFC 3986 2.1; application/x-www-form-urlencoded for
 * queries). NUL never comes out of a decode, so that no path ends early in a C string. */
#include "wire/http.h"

enum { PAIRS_MAX = 1000 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_decode(struct arena *arena, struct str text, bool query, struct str *ret_text)
{
    char *out = arena_alloc(arena, text.n + 1);
    size_t size = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            int high = i + 1 < text.n ? hex_digit(text.p[i + 1]) : -1;
            int low = i + 2 < text.n ? hex_digit(text.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && query) {
            c = ' ';
        }
        if (c == 0) {
            return false;
        }
        out[size++] = c;
    }
    *ret_text = str_at(out, size);
    return true;
}

void url_encode(struct buf *out, struct str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~') {
            buf_char(out, (char)c);
        } else {
            buf_char(out, '%');
            buf_char(out, digits[c >> 4]);
            buf_char(out, digits[c & 15]);
        }
    }
}

bool url_query_parse(struct arena *arena, struct str query, struct url_query **ret_pairs,
                     size_t *ret_count)
{
    size_t most = 1, count = 0;
    for (size_t i = 0; i < query.n; i++) {
        most += query.p[i] == '&';
    }
    if (most > PAIRS_MAX) {
        return false;
    }
    struct url_query *pairs = arena_array(arena, struct url_query, most);
    struct str rest = query;
    while (rest.p != NULL) {
        struct str value, pair = str_cut(rest, '&', &rest);
        if (pair.n == 0) {
            continue;
        }
        struct str key = str_cut(pair, '=', &value);
        if (!url_decode(arena, key, true, &pairs[count].key) ||
            !url_decode(arena, value, true, &pairs[count].value)) {
            return false;
        }
        count++;
    }
    *ret_pairs = pairs;
    *ret_count = count;
    return true;
}
