/* labels.h: labels and requirements on them, hashed once so that matching compares numbers first.
 */
#pragma once
#include "api/val.h"

struct label {
    struct str key, value;
    uint64_t key_hash, value_hash;
};
struct labels {
    struct label *items;
    uint32_t count;
};
/* From a map of strings (may be NULL). Everything lives in the arena. */
struct labels labels_read(struct arena *arena, const struct val *map);
const struct label *labels_find(const struct labels *labels, struct str key, uint64_t key_hash);

enum requirement_op {
    REQUIREMENT_IN,
    REQUIREMENT_NOT_IN,
    REQUIREMENT_EXISTS,
    REQUIREMENT_NOT_EXISTS,
    REQUIREMENT_GT,
    REQUIREMENT_LT
};
struct requirement {
    enum requirement_op op;
    struct str key;
    uint64_t key_hash;
    struct label *values; /* value and value_hash */
    uint32_t value_count;
    int64_t bound;  /* Gt, Lt */
    bool never;     /* Gt, Lt without a number: matches nothing */
    bool nodes_own; /* a node's field (metadata.name), not a label */
};
struct requirements { /* all must hold */
    struct requirement *items;
    uint32_t count;
    bool nothing; /* matches nothing (an absent selector) */
};
struct requirements requirements_from_selector(struct arena *arena, const struct val *selector);
struct requirements requirements_from_map(struct arena *arena, const struct val *map);
/* matchExpressions and matchFields of a node selector term; an empty term matches nothing. */
struct requirements requirements_from_term(struct arena *arena, const struct val *term);
/* `a` and one more: key in (value) or key not in (value). */
struct requirements requirements_with(struct arena *arena, struct requirements a,
                                      enum requirement_op op, struct str key, struct str value);
struct requirements requirements_join(struct arena *arena, struct requirements a,
                                      struct requirements b);
/* `own_name`: what metadata.name is (nodes); STR_NONE for pods. */
bool requirements_match(const struct requirements *requirements, const struct labels *labels,
                        struct str own_name);
