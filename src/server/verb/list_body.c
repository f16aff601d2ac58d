/* list_body.c: writing a list of any size with a buffer of one object.
 *
 * With a limit the walk is done twice: first to find the last key of the page and how much remains,
 * since both stand before the items; then to write. Walking costs little beside writing.
 */
#include "server/verb/list_body.h"

#include <stdlib.h>

#include "base/failpoint.h"
#include "server/render.h"
#include "server/server_int.h"
#include "server/verb/pages.h"
#include "server/verb/token.h"

struct walk { /* over a snapshot, or a state rebuilt from history */
    const struct listing *listing;
    struct snapshot_iter iter;
    size_t at;
};

struct list_body {
    struct http_body body;
    struct listing *listing;
    struct walk walk;
    struct render render;
    struct buf pending; /* bytes that did not fit */
    size_t pending_at;
    int64_t left; /* items that may follow; -1: no limit */
    bool first, ended, more;
};

static void walk_init(struct walk *walk, const struct listing *listing)
{
    *walk = (struct walk){.listing = listing};
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

static const struct object *walk_next(struct walk *walk)
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

/* The last object of the page, and how many follow it. */
static const struct object *find_page_end(const struct listing *listing, int64_t *ret_remaining)
{
    struct walk walk;
    walk_init(&walk, listing);
    const struct object *last = NULL, *object = NULL;
    int64_t seen = 0;
    bool count_all = listing->labels == NULL && listing->fields == NULL;
    while ((object = walk_next(&walk)) != NULL) {
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

static void write_head(struct list_body *body)
{
    const struct listing *listing = body->listing;
    struct buf *out = &body->pending;
    render_list_head(&body->render, out);
    buf_printf(out, "{\"resourceVersion\":\"%llu\"", (unsigned long long)listing->revision);
    if (listing->limit > 0) {
        int64_t remaining = 0;
        const struct object *last = find_page_end(listing, &remaining);
        if (remaining > 0) {
            struct list_token token = {listing->revision, last->ns, last->name};
            buf_addz(out, ",\"continue\":\"");
            list_token_write(out, &token);
            buf_char(out, '"');
            body->more = true;
            if (listing->labels == NULL && listing->fields == NULL) {
                buf_printf(out, ",\"remainingItemCount\":%lld", (long long)remaining);
            }
        }
    }
    buf_char(out, '}');
    render_list_open(&body->render, out);
}

/* Copies the item straight into the sender's buffer when it fits there whole. */
static bool write_direct(struct list_body *body, const struct object *object, char *out, size_t cap,
                         size_t *at)
{
    size_t size = render_item_size(&body->render, object);
    if (size == 0 || size + 64 > cap - *at) {
        return false;
    }
    struct buf alias = {.p = out + *at, .n = 0, .cap = cap - *at};
    if (!body->first) {
        buf_char(&alias, ',');
    }
    object_write(object, false, &alias);
    *at += alias.n;
    body->first = false;
    return true;
}

static bool produce(struct list_body *body, char *out, size_t cap, size_t *at)
{
    const struct object *object = body->left == 0 ? NULL : walk_next(&body->walk);
    if (object == NULL) {
        buf_addz(&body->pending, "]}\n");
        body->ended = true;
        return false;
    }
    if (body->left > 0) {
        body->left--;
    }
    if (write_direct(body, object, out, cap, at)) {
        return true;
    }
    if (!body->first) {
        buf_char(&body->pending, ',');
    }
    render_item(&body->render, object, &body->pending);
    body->first = false;
    return false;
}

static ssize_t body_read(struct http_body *base, char *out, size_t cap)
{
    struct list_body *body = container_of(base, struct list_body, body);
    size_t at = 0;
    for (;;) {
        size_t ready = body->pending.n - body->pending_at;
        size_t n = ready < cap - at ? ready : cap - at;
        if (n > 0) {
            memcpy(out + at, body->pending.p + body->pending_at, n);
            at += n;
            body->pending_at += n;
        }
        if (body->pending_at < body->pending.n || at == cap) {
            return (ssize_t)at;
        }
        buf_clear(&body->pending);
        body->pending_at = 0;
        if (body->ended) {
            return (ssize_t)at;
        }
        while (produce(body, out, cap, &at)) {
        }
    }
}

static void body_free(struct http_body *base)
{
    struct list_body *body = container_of(base, struct list_body, body);
    struct listing *listing = body->listing;
    struct request *request = listing->request;
    if (listing->snapshot != NULL && body->more) {
        pages_put(request->server->pages, request->route.resource->storage, listing->snapshot,
                  loop_mono(request->loop));
        listing->snapshot = NULL;
    }
    listing_free(listing);
    render_done(&body->render);
    buf_done(&body->pending);
    free(body);
    request_free(request);
}

struct http_body *list_body_new(struct listing *listing)
{
    struct list_body *body = mem_new(struct list_body);
    body->body = (struct http_body){.read = body_read, .free = body_free, .length = -1};
    body->listing = listing;
    body->left = listing->limit > 0 ? listing->limit : -1;
    body->first = true;
    render_init(&body->render, listing->request);
    walk_init(&body->walk, listing);
    FAILPOINT("server.list-page");
    write_head(body);
    return &body->body;
}
