/* token.h: continue tokens of paged lists: the revision of all pages, and the last key sent. Opaque
 * to clients, not secret: a forged one reads what its owner may read anyway. */
#pragma once
#include "base/arena.h"
#include "base/str.h"

struct list_token {
    uint64_t revision;
    struct str ns, name; /* the last object sent */
};
void list_token_write(struct buf *out, const struct list_token *token);
bool list_token_parse(struct arena *arena, struct str text, struct list_token *ret_token);
