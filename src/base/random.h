/* random.h: the random seam. Real: getrandom(2). Seeded: a reproducible stream for tests and the
 * simulator. A struct random belongs to one thread, except random_real(), which is safe everywhere.
 * Keys and tokens need the real one. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct random {
    void (*fill)(struct random *random, void *bytes, size_t size);
    uint64_t state[4]; /* seeded only */
};

struct random *random_real(void); /* shared, never freed */
void random_seeded_init(struct random *random, uint64_t seed);

void random_fill(struct random *random, void *bytes, size_t size);
uint64_t random_u64(struct random *random);
uint64_t random_below(struct random *random, uint64_t bound); /* [0, bound), even; bound > 0 */

enum { UUID_TEXT_SIZE = 37 };
void random_uuid(struct random *random, char ret_text[UUID_TEXT_SIZE]); /* RFC 9562 version 4 */
/* `count` letters as Kubernetes appends them to generateName: bcdfghjklmnpqrstvwxz2456789. NUL
 * ended. */
void random_suffix(struct random *random, size_t count, char *ret_text);
