/* json_skip.c: skipping values without looking into them.
 *
 * A step takes 64 bytes as bit sets: quotes, backslashes, opening and closing brackets. Which bytes
 * are inside strings follows from the quotes by a running exclusive or (the technique of Langdale
 * and Lemire, "Parsing gigabytes of JSON per second", 2019); brackets outside are counted, and only
 * the step in which the depth can reach zero is looked at bit by bit.
 */
#include "api/json_skip.h"

enum { STEP = 64 };

struct sets {
    uint64_t quotes, slashes, opening, closing;
};

#if defined(__SSE2__)
#include <emmintrin.h>

static inline uint64_t equal(const __m128i v[4], char c)
{
    __m128i all = _mm_set1_epi8(c);
    uint64_t a = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[0], all));
    uint64_t b = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[1], all));
    uint64_t x = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[2], all));
    uint64_t y = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[3], all));
    return a | b << 16 | x << 32 | y << 48;
}

static inline void sets_make(const char *p, struct sets *sets)
{
    __m128i v[4], lower[4];
    for (int i = 0; i < 4; i++) {
        v[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
        lower[i] = _mm_or_si128(v[i], _mm_set1_epi8(0x20)); /* '[' and '{' differ in this bit */
    }
    *sets = (struct sets){equal(v, '"'), equal(v, '\\'), equal(lower, '{'), equal(lower, '}')};
}
#else
static inline void sets_make(const char *p, struct sets *sets)
{
    *sets = (struct sets){0};
    for (int i = 0; i < STEP; i++) {
        uint64_t bit = 1ULL << i;
        sets->quotes |= p[i] == '"' ? bit : 0;
        sets->slashes |= p[i] == '\\' ? bit : 0;
        sets->opening |= (p[i] | 0x20) == '{' ? bit : 0;
        sets->closing |= (p[i] | 0x20) == '}' ? bit : 0;
    }
}
#endif

/* The bytes that a backslash before them escapes; *carry: the first byte of the next step is one.
 */
static inline uint64_t escaped(uint64_t slashes, bool *carry)
{
    uint64_t out = *carry ? 1 : 0;
    slashes &= ~out;
    *carry = false;
    while (slashes != 0) {
        unsigned at = (unsigned)__builtin_ctzll(slashes);
        slashes &= slashes - 1;
        if (at == STEP - 1) {
            *carry = true;
        } else {
            out |= 2ULL << at;
            slashes &= ~(2ULL << at);
        }
    }
    return out;
}

/* Bit i: the number of bits up to and with i is odd. */
static inline uint64_t odd_prefix(uint64_t bits)
{
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    return bits ^ bits << 32;
}

/* Without an instruction for it __builtin_popcountll is a call. */
static inline size_t count_bits(uint64_t bits)
{
    bits -= bits >> 1 & 0x5555555555555555ULL;
    bits = (bits & 0x3333333333333333ULL) + (bits >> 2 & 0x3333333333333333ULL);
    bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
    return (size_t)(bits * 0x0101010101010101ULL >> 56);
}

static const char *skip_container(const char *p, const char *end)
{
    char last[STEP];
    size_t depth = 0;
    bool carry = false;
    uint64_t inside = 0; /* all ones: the step begins in a string */
    for (; p < end; p += STEP) {
        const char *from = p;
        struct sets sets;
        if (end - p < STEP) {
            memset(last, ' ', STEP);
            memcpy(last, p, (size_t)(end - p));
            from = last;
        }
        sets_make(from, &sets);
        uint64_t quotes =
            sets.quotes & ~(carry || sets.slashes != 0 ? escaped(sets.slashes, &carry) : 0);
        uint64_t strings = odd_prefix(quotes) ^ inside;
        inside = (uint64_t)((int64_t)strings >> 63);
        uint64_t opening = sets.opening & ~strings, closing = sets.closing & ~strings;
        size_t closed = count_bits(closing);
        if (closed < depth) {
            depth += count_bits(opening) - closed;
            continue;
        }
        for (uint64_t both = opening | closing; both != 0; both &= both - 1) {
            depth += (opening & (both & -both)) != 0 ? 1 : (size_t)-1;
            if (depth == 0) {
                return p + __builtin_ctzll(both) + 1;
            }
        }
    }
    return NULL;
}

static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"') {
            return p + 1;
        }
        p += *p == '\\';
    }
    return NULL;
}

const char *json_skip_value(const char *p, const char *end)
{
    if (p >= end) {
        return NULL;
    }
    if (*p == '{' || *p == '[') {
        return skip_container(p, end);
    }
    if (*p == '"') {
        return skip_string(p, end);
    }
    while (p < end && *p != ',' && *p != '}' && *p != ']') {
        p++;
    }
    return p;
}
