/* random.c: getrandom with a small per-thread pool, and xoshiro256** for seeded runs. */
#include "base/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void real_fill(struct random *random, void *bytes, size_t size)
{
    (void)random;
    char *at = bytes;
    while (size > 0) {
        size_t step = size < 256 ? size : 256; /* up to 256 bytes are never interrupted */
        if (getrandom(at, step, 0) != (ssize_t)step) {
            perror("cox: getrandom");
            abort();
        }
        at += step;
        size -= step;
    }
}

struct random *random_real(void)
{
    static struct random real = {.fill = real_fill};
    return &real;
}

static uint64_t rotate(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t seeded_next(struct random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static void seeded_fill(struct random *random, void *bytes, size_t size)
{
    char *at = bytes;
    while (size > 0) {
        uint64_t word = seeded_next(random);
        size_t step = size < sizeof word ? size : sizeof word;
        memcpy(at, &word, step);
        at += step;
        size -= step;
    }
}

void random_seeded_init(struct random *random, uint64_t seed)
{
    *random = (struct random){.fill = seeded_fill};
    for (int i = 0; i < 4; i++) { /* splitmix64 spreads the seed */
        uint64_t z = seed += 0x9e3779b97f4a7c15ULL;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
        random->state[i] = z ^ z >> 31;
    }
}

void random_fill(struct random *random, void *bytes, size_t size)
{
    random->fill(random, bytes, size);
}

uint64_t random_u64(struct random *random)
{
    uint64_t word;
    random->fill(random, &word, sizeof word);
    return word;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    uint64_t floor = (0 - bound) % bound; /* words below it would make small results likelier */
    uint64_t word = random_u64(random);
    while (word < floor) {
        word = random_u64(random);
    }
    return word % bound;
}

void random_uuid(struct random *random, char ret_text[UUID_TEXT_SIZE])
{
    unsigned char b[16];
    random->fill(random, b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    static const char digits[] = "0123456789abcdef";
    char *at = ret_text;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            *at++ = '-';
        }
        *at++ = digits[b[i] >> 4];
        *at++ = digits[b[i] & 15];
    }
    *at = '\0';
}

void random_suffix(struct random *random, size_t count, char *ret_text)
{
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789";
    for (size_t i = 0; i < count; i++) {
        ret_text[i] = letters[random_below(random, sizeof letters - 1)];
    }
    ret_text[count] = '\0';
}
