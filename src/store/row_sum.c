/* row_sum.c: a 64-bit checksum against rot on the disk, not against an attacker: eight bytes at a
 * time are folded with a 64x64 to 128 bit product, which carries every input bit into both halves.
 *
 * Invariant: the result depends on the bytes only, never on the machine (words are little-endian),
 * so that a database moves between machines.
 */
#include "store/row_sum.h"

#include <endian.h>

static const uint64_t odd_a = 0x9e3779b97f4a7c15ULL, odd_b = 0xd1342543de82ef95ULL;

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const char *p, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, p, n);
    return le64toh(word);
}

static uint64_t mix(uint64_t state, uint64_t word)
{
    /* Both factors hold the state, so that a zero factor cannot hide what comes after it. */
    return fold(state ^ word ^ odd_a, odd_b) + (state << 31 | state >> 33);
}

uint64_t row_sum_bytes(uint64_t seed, struct str bytes)
{
    uint64_t a = mix(seed, bytes.n), b = a ^ odd_b;
    size_t at = 0;
    for (; at + 16 <= bytes.n; at += 16) { /* two chains hide the latency of the product */
        a = mix(a, word_at(bytes.p + at, 8));
        b = mix(b, word_at(bytes.p + at + 8, 8));
    }
    if (at + 8 <= bytes.n) {
        a = mix(a, word_at(bytes.p + at, 8));
        at += 8;
    }
    if (at < bytes.n) {
        b = mix(b, word_at(bytes.p + at, bytes.n - at));
    }
    return mix(a, b);
}

uint64_t row_sum(const struct row_identity *identity, struct str value)
{
    uint64_t sum = mix(odd_a, identity->revision);
    sum = mix(sum, identity->previous);
    sum = mix(sum, (uint64_t)identity->at);
    sum = mix(sum, identity->flags);
    sum = row_sum_bytes(sum, identity->resource);
    sum = row_sum_bytes(sum, identity->ns);
    sum = row_sum_bytes(sum, identity->name);
    return row_sum_bytes(sum, value);
}
