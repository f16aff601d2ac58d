/* json_int.h: JSON tokens (RFC 8259) shared by the schemaless parser and the codec. Inside api/
 * only.
 *
 * Scanners never read at or past `end`, so the input need not end in NUL. They return the position
 * after the token, or NULL with *ret_why set to a static sentence.
 */
#pragma once
#include "api/val.h"

/* `p` is just after the opening quote. Without escapes the text points into the input, with escapes
 * it is unescaped into the arena. Escaped lone surrogates become U+FFFD, as Kubernetes reads them;
 * raw bytes must be strict UTF-8. */
const char *json_scan_string(struct arena *arena, const char *p, const char *end,
                             struct str *ret_text, const char **ret_why);
/* `p` is at '-' or a digit. */
const char *json_scan_number(const char *p, const char *end, struct str *ret_text,
                             const char **ret_why);

/* Strict UTF-8. */
bool json_text_good(struct str text);

static inline const char *json_skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    return p;
}

/* The first quote or backslash, eight bytes at a time. */
static inline const char *json_to_mark(const char *p, const char *end)
{
    const uint64_t ones = 0x0101010101010101ULL, highs = 0x8080808080808080ULL;
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
        uint64_t marks = (((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs;
        if (marks != 0) { /* those after the first may be wrong */
            return p + (__builtin_ctzll(marks) >> 3);
        }
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\') {
        p++;
    }
    return p;
}

/* Nodes are taken from blocks so that neighbours in the document are neighbours in memory. */
enum { JSON_NODES_A_BLOCK = 28 };
struct json_nodes {
    struct arena *arena;
    struct val *at, *end;
};
bool json_nodes_refill(struct json_nodes *nodes); /* false: the arena's limit is reached */
static inline struct val *json_node(struct json_nodes *nodes)
{
    if (__builtin_expect(nodes->at == nodes->end, 0) && !json_nodes_refill(nodes)) {
        return NULL;
    }
    return nodes->at++;
}
static inline void json_link(struct val *parent, struct val *member)
{
    if (parent->last != NULL) {
        parent->last->next = member;
    } else {
        parent->child = member;
    }
    parent->last = member;
    parent->count++;
}

/* The second member with a name that came before, or NULL. Linear in the members. */
const struct val *json_duplicate(const struct val *object);

/* Drops all but the last of members with one name. */
void json_drop_twins(struct val *object, struct val_twins *twins);

/* A parse error: "<why> at byte N", with the byte that stands there. Returns ERR_BAD_REQUEST. */
int json_error(struct err *err, struct str text, const char *at, const char *why);

void json_write_string(struct str text, struct buf *out);
