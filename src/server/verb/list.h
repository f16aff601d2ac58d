/* list.h: a consistent list: which state, which part of it, how it is written.
 *
 * A listing pins one state (a snapshot of the cache, or for exact reads of the past a state rebuilt
 * from history) and walks it in (namespace, name) order. The body is pulled: each read writes whole
 * objects straight into the sender's buffer, so the memory of a list does not grow with it.
 */
#pragma once
#include "server/request.h"

struct listing {
    struct request *request;
    const struct selector *labels;       /* NULL: all */
    const struct field_selector *fields; /* NULL: all */
    struct snapshot *snapshot;           /* or */
    struct history_read *past;           /* the state at `revision`, ordered */
    uint64_t revision;
    struct str start_ns, start_name; /* continue after this key; name n 0: from the start */
    int64_t limit;                   /* 0: no limit */
    void (*ready)(struct listing *listing, const struct failure *failure);
    void *ctx;
};

/* Works out the state by resourceVersion, resourceVersionMatch, limit and continue. ready() runs
 * once, at once or later; *ret_listing is set before it. */
void listing_open(struct request *request,
                  void (*ready)(struct listing *listing, const struct failure *failure), void *ctx,
                  struct listing **ret_listing);
/* Answers the request with the list; the listing ends with the answer. */
void listing_answer(struct listing *listing);
/* Drops the state; the request is not touched. */
void listing_free(struct listing *listing);
/* Selectors of a list or watch, in the request's arena; NULL when there is none. */
int listing_selectors(struct request *request, const struct selector **ret_labels,
                      const struct field_selector **ret_fields, struct failure *failure);
