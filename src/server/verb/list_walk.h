/* list_walk.h: the objects of a listing in order, from a snapshot or a state of the past. */
#pragma once
#include "server/server_int.h"
#include "server/verb/list.h"

struct list_walk {
    const struct listing *listing;
    struct snapshot_iter iter;
    size_t at;
};
void list_walk_init(struct list_walk *walk, const struct listing *listing);
const struct object *list_walk_next(struct list_walk *walk); /* NULL: the end */

/* The list's metadata as JSON. *ret_more: there is another page, so the state is to be kept. */
void list_metadata_write(const struct listing *listing, struct buf *out, bool *ret_more);
/* The end of an answer: keeps the state for the next page, frees the listing. */
void list_walk_done(struct listing *listing, bool more);
