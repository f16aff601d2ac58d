/* list.c: which state a list shows, by the table of resourceVersion rules (reliability.md):
 *
 *   resourceVersion unset, "0", or NotOlderThan: the newest state (the cache is never behind);
 *   Exact, or a limit (or a deletion) with a version, or a continue token: that very state, from a
 * kept snapshot, from the cache when nothing was written since, or rebuilt from history; 410 when
 * it is gone; a version ahead of us: 504.
 *
 * The body itself is list_body.c.
 */
#include "server/verb/list.h"

#include <stdlib.h>

#include "server/http/accept.h"
#include "server/server_int.h"
#include "server/verb/list_body.h"
#include "server/verb/pages.h"
#include "server/verb/token.h"
#include "server/verb/verb.h"

int listing_selectors(struct request *request, const struct selector **ret_labels,
                      const struct field_selector **ret_fields, struct failure *failure)
{
    struct arena *arena = &request->arena;
    struct err err = ERR_INIT;
    *ret_labels = NULL;
    *ret_fields = NULL;
    if (request->options.label_selector.n > 0) {
        struct selector *labels = arena_new(arena, struct selector);
        if (selector_parse(arena, request->options.label_selector, labels, &err) < 0) {
            return failure_from_err(failure, arena, &err);
        }
        *ret_labels = labels;
    }
    if (request->options.field_selector.n > 0) {
        struct field_selector *fields = arena_new(arena, struct field_selector);
        if (field_selector_parse(arena, request->route.resource, request->options.field_selector,
                                 fields, &err) < 0) {
            return failure_from_err(failure, arena, &err);
        }
        *ret_fields = fields;
    }
    return 0;
}

static void past_done(struct history_read *read)
{
    struct listing *listing = *(struct listing **)(void *)(read + 1);
    struct request *request = listing->request;
    if (read->code == 0) {
        listing->ready(listing, NULL);
        return;
    }
    struct failure failure;
    if (read->code == ERR_EXPIRED && request->options.token.n > 0) {
        failure_set(&failure, &request->arena, ERR_EXPIRED,
                    "The provided continue parameter is too old to display a consistent list "
                    "result. Start a new list without the continue parameter.");
    } else if (read->code == ERR_EXPIRED) {
        failure_set(&failure, &request->arena, ERR_EXPIRED,
                    "The resourceVersion for the provided "
                    "list is too old.");
    } else {
        failure_from_err(&failure, &request->arena, &read->error);
        failure.code = read->code;
    }
    listing->ready(listing, &failure);
}

/* The read and a pointer back to its listing, in one block. */
static void read_past(struct listing *listing)
{
    struct request *request = listing->request;
    struct history_read *read = mem_zalloc(sizeof *read + sizeof listing);
    *(struct listing **)(void *)(read + 1) = listing;
    read->resource = request->route.resource->storage;
    read->upto = listing->revision;
    read->state = true;
    read->loop = request->loop;
    read->done = past_done;
    listing->past = read;
    sequencer_read_history(request->server->sequencer, read);
}

static void open_exact(struct listing *listing, uint64_t revision)
{
    struct request *request = listing->request;
    const struct api_resource *storage = request->route.resource->storage;
    listing->revision = revision;
    listing->snapshot = pages_take(request->server->pages, storage, revision);
    if (listing->snapshot == NULL) {
        struct snapshot *now = snapshot_take(request->server->cache, storage);
        if (snapshot_revision(now) == revision) {
            listing->snapshot = now;
        } else {
            snapshot_release(now);
            read_past(listing);
            return;
        }
    }
    listing->ready(listing, NULL);
}

static void open_newest(struct listing *listing)
{
    struct request *request = listing->request;
    listing->snapshot = snapshot_take(request->server->cache, request->route.resource->storage);
    listing->revision = snapshot_revision(listing->snapshot);
    listing->ready(listing, NULL);
}

static int check_version(struct listing *listing, uint64_t version, struct failure *failure)
{
    uint64_t now = cache_revision(listing->request->server->cache);
    if (version <= now) {
        return 0;
    }
    struct err err = ERR_INIT;
    err_set(&err, ERR_TOO_LARGE_REVISION, "Too large resource version: %llu, current: %llu",
            (unsigned long long)version, (unsigned long long)now);
    return failure_from_err(failure, &listing->request->arena, &err);
}

static void fail(struct listing *listing, struct failure *failure)
{
    listing->ready(listing, failure);
}

static void open_token(struct listing *listing)
{
    struct request *request = listing->request;
    struct failure failure;
    struct list_token token;
    if (!list_token_parse(&request->arena, request->options.token, &token)) {
        failure_set(&failure, &request->arena, ERR_BAD_REQUEST, "continue key is not valid");
        fail(listing, &failure);
        return;
    }
    if (check_version(listing, token.revision, &failure) < 0) {
        fail(listing, &failure);
        return;
    }
    listing->start_ns = token.ns;
    listing->start_name = token.name;
    open_exact(listing, token.revision);
}

void listing_open(struct request *request,
                  void (*ready)(struct listing *listing, const struct failure *failure), void *ctx,
                  struct listing **ret_listing)
{
    struct listing *listing = mem_new(struct listing);
    const struct query_options *o = &request->options;
    struct failure failure;
    listing->request = request;
    listing->ready = ready;
    listing->ctx = ctx;
    listing->limit = o->limit > 0 ? o->limit : 0;
    if (ret_listing != NULL) {
        *ret_listing = listing;
    }
    if (listing_selectors(request, &listing->labels, &listing->fields, &failure) < 0 ||
        check_version(listing, o->version, &failure) < 0) {
        fail(listing, &failure);
        return;
    }
    bool pages = o->limit > 0 || request->route.verb == VERB_DELETE_COLLECTION;
    bool exact = o->match == MATCH_EXACT || (o->match == MATCH_NONE && pages && o->version > 0);
    if (o->token.n > 0) {
        open_token(listing);
    } else if (exact) {
        open_exact(listing, o->version);
    } else {
        open_newest(listing);
    }
}

void listing_free(struct listing *listing)
{
    if (listing->snapshot != NULL) {
        snapshot_release(listing->snapshot);
    }
    if (listing->past != NULL) {
        history_read_done(listing->past);
        free(listing->past);
    }
    free(listing);
}

void listing_answer(struct listing *listing)
{
    struct request *request = listing->request;
    struct failure failure;
    if (accept_check_form(request, true, &failure) < 0) {
        listing_free(listing);
        request_fail(request, &failure);
        return;
    }
    if (request->accept.format == FORMAT_PROTOBUF && request->accept.form != ACCEPT_TABLE) {
        list_protobuf_answer(listing);
        return;
    }
    request_answer_stream(request, 200, "application/json", list_body_new(listing));
}

static void ready(struct listing *listing, const struct failure *failure)
{
    if (failure != NULL) {
        request_fail(listing->request, failure);
        listing_free(listing);
        return;
    }
    listing_answer(listing);
}

void verb_list(struct request *request)
{
    listing_open(request, ready, NULL, NULL);
}
