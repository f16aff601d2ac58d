/* list_walk.c: which objects a list has, and what stands in its metadata.
 *
 * With a limit the walk is done twice: first to find the last key of the page and how much remains,
 * since both stand before the items; then to write. Walking costs little beside writing.
 */
#include "server/verb/list_walk.h"

#include "server/verb/pages.h"
#include "server/verb/token.h"

void list_walk_init(struct list_walk *walk, const struct listing *listing)
{
    *walk = (struct list_walk){.listing = listing};
    if (listing->snapshot != NULL) {
        snapshot_iter_init(&walk->iter, listing->snapshot, listing->request->route.ns,
                           listing->labels, listing->fields, listing->start_ns,
                           listing->start_name);
    }
}

static bool past_wanted(const struct listing *listing, const struct object *object)
{
    struct str ns = listing->request->route.ns;
    if (ns.n > 0 && !str_eq(ns, object->ns)) {
        return false;
    }
    if (listing->start_name.n > 0) {
        int order = str_cmp(object->ns, listing->start_ns);
        if (order < 0 || (order == 0 && str_cmp(object->name, listing->start_name) <= 0)) {
            return false;
        }
    }
    return (listing->labels == NULL || selector_matches(listing->labels, object)) &&
           (listing->fields == NULL || field_selector_matches(listing->fields, object));
}

const struct object *list_walk_next(struct list_walk *walk)
{
    const struct listing *listing = walk->listing;
    if (listing->snapshot != NULL) {
        return snapshot_next(&walk->iter);
    }
    while (walk->at < listing->past->events.count) {
        const struct object *object = listing->past->events.items[walk->at++].object;
        if (past_wanted(listing, object)) {
            return object;
        }
    }
    return NULL;
}

/* The last object of the page, and how many follow it (only whether any do when there are
 * selectors). */
static const struct object *page_end(const struct listing *listing, int64_t *ret_remaining)
{
    struct list_walk walk;
    list_walk_init(&walk, listing);
    const struct object *last = NULL, *object = NULL;
    int64_t seen = 0;
    bool count_all = listing->labels == NULL && listing->fields == NULL;
    while ((object = list_walk_next(&walk)) != NULL) {
        if (seen < listing->limit) {
            last = object;
        } else if (!count_all) {
            *ret_remaining = 1;
            return last;
        }
        seen++;
    }
    *ret_remaining = seen > listing->limit ? seen - listing->limit : 0;
    return last;
}

void list_metadata_write(const struct listing *listing, struct buf *out, bool *ret_more)
{
    buf_printf(out, "{\"resourceVersion\":\"%llu\"", (unsigned long long)listing->revision);
    if (listing->limit > 0) {
        int64_t remaining = 0;
        const struct object *last = page_end(listing, &remaining);
        if (remaining > 0) {
            struct list_token token = {listing->revision, last->ns, last->name};
            buf_addz(out, ",\"continue\":\"");
            list_token_write(out, &token);
            buf_char(out, '"');
            *ret_more = true;
            if (listing->labels == NULL && listing->fields == NULL) {
                buf_printf(out, ",\"remainingItemCount\":%lld", (long long)remaining);
            }
        }
    }
    buf_char(out, '}');
}

void list_walk_done(struct listing *listing, bool more)
{
    struct request *request = listing->request;
    if (listing->snapshot != NULL && more) {
        pages_put(request->server->pages, request->route.resource->storage, listing->snapshot,
                  loop_mono(request->loop));
        listing->snapshot = NULL;
    }
    listing_free(listing);
}
