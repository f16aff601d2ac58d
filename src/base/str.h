/* str.h: text with a length (struct str, borrowed) and a growing byte buffer (struct buf, owned).
 *
 * A struct str never owns its bytes and need not end in NUL. {NULL, 0} is the absent string, which
 * equals the empty one. Number parsers are checked: they refuse empty text, signs where none
 * belong, trailing bytes and overflow, and leave the output untouched when they return false.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){("" literal), sizeof(literal) - 1})
#define STR_NONE     ((struct str){NULL, 0})
#define STR_ARG(s)   (int)(s).n, ((s).p != NULL ? (s).p : "") /* for "%.*s" */

static inline struct str str_of(const char *text) /* NULL gives STR_NONE */
{
    return (struct str){text, text != NULL ? strlen(text) : 0};
}
static inline struct str str_at(const char *p, size_t n)
{
    return (struct str){p, n};
}
static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_is(struct str a, const char *b)
{
    return str_eq(a, str_of(b));
}
int str_cmp(struct str a, struct str b); /* bytewise; a prefix sorts first */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_contains(struct str s, struct str part);
struct str str_from(struct str s, size_t offset); /* the rest from offset; empty past the end */
struct str str_trim(struct str s);                /* without ASCII space at both ends */
/* Cuts `s` at the first `sep`: returns what is before it, leaves what is after in *ret_rest.
 * Without a `sep` returns all, and leaves STR_NONE. Loop: while (rest.p != NULL) item =
 * str_cut(rest, ',', &rest). */
struct str str_cut(struct str s, char sep, struct str *ret_rest);
struct str str_cut_last(struct str s, char sep, struct str *ret_rest);
char *str_dup(struct str s);                         /* heap, NUL ended */
char *str_dup_in(struct arena *arena, struct str s); /* arena, NUL ended */
struct str str_copy_in(struct arena *arena, struct str s);
uint64_t str_hash(struct str s); /* 64 bit, seeded once per process against hash flooding */

bool str_u64(struct str s, uint64_t *ret_value);
bool str_i64(struct str s, int64_t *ret_value);
bool str_double(struct str s, double *ret_value); /* decimal, all of it; false: infinite too */
enum { DOUBLE_TEXT_SIZE = 40 };
/* The fewest digits that mean the same number, as encoding/json writes it. Returns the length. */
size_t double_format(double value, char ret_text[DOUBLE_TEXT_SIZE]);
bool str_bool(struct str s, bool *ret_value); /* true false 1 0 t f, any case (strconv.ParseBool) */

struct buf {
    char *p; /* always NUL ended once p != NULL */
    size_t n, cap;
};

#define BUF_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }
#define BUF_CLEANUP __attribute__((cleanup(buf_done)))
void buf_done(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory */
char *buf_room(struct buf *buf,
               size_t more); /* at least `more` writable bytes at the end; buf->n is not moved */
void buf_add(struct buf *buf, const void *bytes, size_t size);
void buf_addz(struct buf *buf, const char *text);
void buf_str(struct buf *buf, struct str s);
void buf_char(struct buf *buf, char c);
void buf_u64(struct buf *buf, uint64_t value);
void buf_i64(struct buf *buf, int64_t value);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list ap)
    __attribute__((format(printf, 2, 0)));
char *buf_take(struct buf *buf,
               size_t *ret_size); /* the bytes are now the caller's, free() them; never NULL */
void buf_drop_front(struct buf *buf, size_t size);
static inline struct str buf_view(const struct buf *buf)
{
    return (struct str){buf->p, buf->n};
}

void hex_encode(const void *bytes, size_t size, char *ret_text); /* 2*size + NUL */
bool hex_decode(struct str text, void *ret_bytes);               /* text.n / 2 bytes */
void base64_encode(struct buf *out, const void *bytes, size_t size);
void base64url_encode(struct buf *out, const void *bytes, size_t size); /* no padding, RFC 7515 */
bool base64_decode(struct buf *out, struct str text);    /* RFC 4648, strict, padding needed */
bool base64url_decode(struct buf *out, struct str text); /* without padding */
