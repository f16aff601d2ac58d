/* row_sum.h: the checksum of a row of the SQLite store. */
#pragma once
#include <stdint.h>

#include "base/str.h"

struct row_identity {
    struct str resource, ns, name;
    uint64_t revision, previous;
    int64_t at; /* wall time of the commit, ms */
    uint32_t flags;
};

/* 64 bits, fixed for ever (it is on disk). Any flipped bit in any part changes it. */
uint64_t row_sum(const struct row_identity *identity, struct str value);
uint64_t row_sum_bytes(uint64_t seed, struct str bytes);
