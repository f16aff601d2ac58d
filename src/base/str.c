/* str.c: views, buffers, checked numbers and the two base encodings. See str.h for the contracts.
 */
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/random.h>

#include "base/mem.h"

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

bool str_contains(struct str s, struct str part)
{
    return part.n == 0 || (s.n > 0 && memmem(s.p, s.n, part.p, part.n) != NULL);
}

struct str str_from(struct str s, size_t offset)
{
    return offset >= s.n ? str_at(s.p != NULL ? s.p + s.n : NULL, 0)
                         : str_at(s.p + offset, s.n - offset);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_space(s.p[0])) {
        s = str_from(s, 1);
    }
    while (s.n > 0 && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

static struct str cut_at(struct str s, const char *at, struct str *ret_rest)
{
    if (at == NULL) {
        *ret_rest = STR_NONE;
        return s;
    }
    struct str before = str_at(s.p, (size_t)(at - s.p));
    *ret_rest = str_at(at + 1, s.n - before.n - 1);
    return before;
}

struct str str_cut(struct str s, char sep, struct str *ret_rest)
{
    return cut_at(s, s.n > 0 ? memchr(s.p, sep, s.n) : NULL, ret_rest);
}

struct str str_cut_last(struct str s, char sep, struct str *ret_rest)
{
    return cut_at(s, s.n > 0 ? memrchr(s.p, sep, s.n) : NULL, ret_rest);
}

char *str_dup(struct str s)
{
    return mem_dup(s.p, s.n);
}

char *str_dup_in(struct arena *arena, struct str s)
{
    return arena_dup(arena, s.p, s.n);
}

struct str str_copy_in(struct arena *arena, struct str s)
{
    return str_at(arena_dup(arena, s.p, s.n), s.n);
}

static uint64_t hash_seed;

__attribute__((constructor)) static void hash_seed_draw(void)
{
    if (getrandom(&hash_seed, sizeof hash_seed, 0) != (ssize_t)sizeof hash_seed) {
        hash_seed = 0x9e3779b97f4a7c15ULL;
    }
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const char *p, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, p, n);
    return word;
}

uint64_t str_hash(struct str s)
{
    const uint64_t k = 0xa0761d6478bd642fULL;
    uint64_t state = hash_seed ^ mix(s.n ^ k, 0xe7037ed1a0b428dbULL);
    const char *p = s.p;
    size_t n = s.n;
    for (; n >= 8; n -= 8, p += 8) {
        state = mix(state ^ load(p, 8), k);
    }
    if (n > 0) {
        state = mix(state ^ load(p, n), k ^ 0x8ebc6af09c88c6e3ULL);
    }
    return mix(state, 0x589965cc75374cc3ULL);
}

bool str_u64(struct str s, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (s.n == 0) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

bool str_i64(struct str s, int64_t *ret_value)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    uint64_t size = 0;
    if (!str_u64(negative ? str_from(s, 1) : s, &size) ||
        size > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *ret_value = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

bool str_bool(struct str s, bool *ret_value)
{
    static const char *const yes[] = {"1", "t", "T", "true", "True", "TRUE"};
    static const char *const no[] = {"0", "f", "F", "false", "False", "FALSE"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (str_is(s, yes[i]) || str_is(s, no[i])) {
            *ret_value = str_is(s, yes[i]);
            return true;
        }
    }
    return false;
}

void buf_done(struct buf *buf)
{
    free(buf->p);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->n = 0;
    if (buf->p != NULL) {
        buf->p[0] = '\0';
    }
}

char *buf_room(struct buf *buf, size_t more)
{
    if (buf->cap - buf->n <= more) {
        size_t cap = buf->cap < 64 ? 64 : buf->cap;
        while (cap - buf->n <= more) {
            cap *= 2;
        }
        buf->p = mem_realloc(buf->p, cap);
        buf->cap = cap;
    }
    return buf->p + buf->n;
}

void buf_add(struct buf *buf, const void *bytes, size_t size)
{
    char *at = buf_room(buf, size);
    if (size > 0) {
        memcpy(at, bytes, size);
    }
    buf->n += size;
    buf->p[buf->n] = '\0';
}

void buf_addz(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_str(struct buf *buf, struct str s)
{
    buf_add(buf, s.p, s.n);
}

void buf_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_add(buf, digits + at, sizeof digits - at);
}

void buf_i64(struct buf *buf, int64_t value)
{
    if (value < 0) {
        buf_char(buf, '-');
    }
    buf_u64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_vprintf(struct buf *buf, const char *format, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int size = vsnprintf(NULL, 0, format, ap);
    if (size > 0) {
        vsnprintf(buf_room(buf, (size_t)size + 1), (size_t)size + 1, format, again);
        buf->n += (size_t)size;
    }
    va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    buf_vprintf(buf, format, ap);
    va_end(ap);
}

char *buf_take(struct buf *buf, size_t *ret_size)
{
    if (buf->p == NULL) {
        buf_add(buf, "", 0);
    }
    char *bytes = buf->p;
    if (ret_size != NULL) {
        *ret_size = buf->n;
    }
    *buf = (struct buf){0};
    return bytes;
}

void buf_drop_front(struct buf *buf, size_t size)
{
    if (size == 0) {
        return;
    }
    if (size > buf->n) {
        size = buf->n;
    }
    memmove(buf->p, buf->p + size, buf->n - size);
    buf->n -= size;
    buf->p[buf->n] = '\0';
}
