/* encoding.c: hexadecimal, base64 (RFC 4648) and base64url without padding (RFC 7515). Declared in
 * str.h. */
#include "base/str.h"

void hex_encode(const void *bytes, size_t size, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *from = bytes;
    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = digits[from[i] >> 4];
        ret_text[2 * i + 1] = digits[from[i] & 15];
    }
    ret_text[2 * size] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(struct str text, void *ret_bytes)
{
    unsigned char *to = ret_bytes;
    if (text.n % 2 != 0) {
        return false;
    }
    for (size_t i = 0; i < text.n; i += 2) {
        int high = hex_value(text.p[i]), low = hex_value(text.p[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        to[i / 2] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct buf *out, const void *bytes, size_t size, const char *letters, bool pad)
{
    const unsigned char *from = bytes;
    char *to = buf_room(out, size / 3 * 4 + 5);
    size_t n = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t have = size - i < 3 ? size - i : 3;
        uint32_t word = (uint32_t)from[i] << 16 | (have > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                        (have > 2 ? (uint32_t)from[i + 2] : 0);
        for (size_t k = 0; k < 4; k++) {
            if (k <= have) {
                to[n++] = letters[word >> (18 - 6 * k) & 63];
            } else if (pad) {
                to[n++] = '=';
            }
        }
    }
    out->n += n;
    to[n] = '\0';
}

void base64_encode(struct buf *out, const void *bytes, size_t size)
{
    encode(out, bytes, size, alphabet, true);
}

void base64url_encode(struct buf *out, const void *bytes, size_t size)
{
    encode(out, bytes, size, alphabet_url, false);
}

static int letter_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == (url ? '-' : '+')) {
        return 62;
    }
    return c == (url ? '_' : '/') ? 63 : -1;
}

static bool decode(struct buf *out, struct str text, bool url)
{
    size_t before = out->n;
    uint32_t word = 0;
    unsigned bits = 0;
    buf_room(out, text.n / 4 * 3 + 4);
    for (size_t i = 0; i < text.n; i++) {
        int value = letter_value(text.p[i], url);
        if (value < 0) {
            out->n = before;
            return false;
        }
        word = word << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_char(out, (char)(word >> bits & 255));
        }
    }
    bool exact = text.n % 4 != 1 && (word & ((1U << bits) - 1)) == 0;
    if (!exact) {
        out->n = before;
    }
    return exact;
}

bool base64_decode(struct buf *out, struct str text)
{
    if (text.n % 4 != 0) {
        return false;
    }
    for (int pads = 0; pads < 2 && text.n > 0 && text.p[text.n - 1] == '='; pads++) {
        text.n--;
    }
    return decode(out, text, false);
}

bool base64url_decode(struct buf *out, struct str text)
{
    return decode(out, text, true);
}
