/* list_body.c: writing a list of any size with a buffer of one object: JSON. */
#include "server/verb/list_body.h"

#include <stdlib.h>

#include "base/failpoint.h"
#include "server/render.h"
#include "server/verb/list_walk.h"

struct list_body {
    struct http_body body;
    struct listing *listing;
    struct list_walk walk;
    struct render render;
    struct buf pending; /* bytes that did not fit */
    size_t pending_at;
    int64_t left; /* items that may follow; -1: no limit */
    bool first, ended, more;
};

static void write_head(struct list_body *body)
{
    struct buf *out = &body->pending;
    render_list_head(&body->render, out);
    list_metadata_write(body->listing, out, &body->more);
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
    const struct object *object = body->left == 0 ? NULL : list_walk_next(&body->walk);
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
    struct request *request = body->listing->request;
    list_walk_done(body->listing, body->more);
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
    list_walk_init(&body->walk, listing);
    FAILPOINT("server.list-page");
    write_head(body);
    return &body->body;
}
