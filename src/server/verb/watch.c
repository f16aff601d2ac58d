/* watch.c: WATCH: the state first when asked for, then a cursor in the ring of events.
 *
 * Invariants: events leave in revision order, each once; the cursor is opened at the revision of
 * the initial state, before it is sent, so there is no gap; a watcher that does not read costs its
 * cursor, and when the ring has passed it the stream ends with an ERROR event (410), never with a
 * silent hole. Bytes are produced when the sender has room, so there is no queue.
 */
#include "server/verb/watch.h"

#include <stdlib.h>

#include "base/failpoint.h"
#include "server/render.h"
#include "server/server_int.h"
#include "server/verb/list.h"
#include "server/verb/verb.h"

enum { TIMEOUT_MIN_S = 1800, BOOKMARK_S = 60, PENDING_KEPT = 16 * 1024 };

struct watch {
    struct http_body body;
    struct request *request;
    struct watch_filter filter;
    struct render render;
    struct cursor *cursor;     /* NULL: failed before it began */
    struct snapshot *snapshot; /* initial events; NULL when they are out */
    struct snapshot_iter iter;
    uint64_t initial_revision;
    struct buf pending, document;
    size_t pending_at;
    struct timer timeout, bookmark;
    bool bookmark_due, initial_mark, ended, timed_out, columns_sent;
};

bool watch_matches(const struct watch_filter *filter, const struct object *object)
{
    return (filter->ns.n == 0 || str_eq(filter->ns, object->ns)) &&
           (filter->labels == NULL || selector_matches(filter->labels, object)) &&
           (filter->fields == NULL || field_selector_matches(filter->fields, object));
}

bool watch_translate(const struct watch_filter *filter, const struct cache_event *event,
                     enum event_type *ret_type, struct object **ret_object)
{
    const struct object *last = event->previous != NULL ? event->previous : event->object;
    if (event->type == EVENT_DELETED) {
        if (!watch_matches(filter, last)) {
            return false;
        }
        *ret_type = EVENT_DELETED;
        *ret_object = object_ref(event->object);
        return true;
    }
    bool now = watch_matches(filter, event->object);
    bool before = event->previous != NULL && watch_matches(filter, event->previous);
    if (!now && !before) {
        return false;
    }
    if (!now) {
        *ret_type = EVENT_DELETED;
        *ret_object = object_with_revision(object_ref(event->previous), event->revision);
        return true;
    }
    *ret_type = before ? EVENT_MODIFIED : EVENT_ADDED;
    *ret_object = object_ref(event->object);
    return true;
}

/* ---- writing ---- */

/* Protobuf: WatchEvent {1 type, 2 object {1 document}} behind its length, four bytes, big end
 * first. */
static void write_frame(struct watch *watch, const char *type, struct str document)
{
    struct buf *out = &watch->pending;
    size_t n = strlen(type), inner = protobuf_head_size(1, document.n) + document.n;
    size_t size = protobuf_head_size(1, n) + n + protobuf_head_size(2, inner) + inner;
    for (int shift = 24; shift >= 0; shift -= 8) {
        buf_char(out, (char)(size >> shift));
    }
    protobuf_head(out, 1, n);
    buf_addz(out, type);
    protobuf_head(out, 2, inner);
    protobuf_head(out, 1, document.n);
    buf_str(out, document);
}

/* The same of an object that is JSON. */
static void write_json_frame(struct watch *watch, const char *type, const struct buf *json)
{
    struct buf document BUF_CLEANUP = BUF_INIT;
    protobuf_write_document(&watch->render.writer, buf_view(json), &document);
    write_frame(watch, type, buf_view(&document));
}

static void write_event(struct watch *watch, const char *type, const struct object *object)
{
    struct buf *out = &watch->pending;
    if (watch->render.protobuf) {
        buf_clear(&watch->document);
        render_object(&watch->render, object, &watch->document);
        write_frame(watch, type, buf_view(&watch->document));
        return;
    }
    buf_printf(out, "{\"type\":\"%s\",\"object\":", type);
    if (watch->render.form == ACCEPT_TABLE && watch->columns_sent) {
        render_list_head(&watch->render, out);
        buf_printf(out, "{\"resourceVersion\":\"%llu\"},\"columnDefinitions\":null,\"rows\":[",
                   (unsigned long long)object->revision);
        render_item(&watch->render, object, out);
        buf_addz(out, "]}");
    } else {
        render_object(&watch->render, object, out);
        watch->columns_sent = true;
    }
    buf_addz(out, "}\n");
}

static void write_bookmark(struct watch *watch, uint64_t revision, bool initial)
{
    FAILPOINT("server.watch-bookmark");
    const struct api_resource *r = watch->render.resource;
    struct buf *out = &watch->pending, json BUF_CLEANUP = BUF_INIT;
    bool protobuf = watch->render.protobuf;
    if (!protobuf) {
        buf_addz(out, "{\"type\":\"BOOKMARK\",\"object\":");
    }
    if (watch->render.form == ACCEPT_TABLE) {
        render_list_head(&watch->render, out);
        buf_printf(out, "{\"resourceVersion\":\"%llu\"},\"columnDefinitions\":null,\"rows\":[]}}\n",
                   (unsigned long long)revision);
        return;
    }
    out = protobuf ? &json : out;
    if (watch->render.form == ACCEPT_PARTIAL) {
        buf_addz(out, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\"");
    } else {
        buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s%s%s\"", r->kind, r->group,
                   r->group[0] != '\0' ? "/" : "", r->version);
    }
    buf_printf(out, ",\"metadata\":{\"resourceVersion\":\"%llu\",\"creationTimestamp\":null%s}}",
               (unsigned long long)revision,
               initial ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
    if (protobuf) {
        write_json_frame(watch, "BOOKMARK", &json);
    } else {
        buf_addz(out, "}\n");
    }
}

static void write_error(struct watch *watch, const struct err *err)
{
    struct failure failure;
    failure_from_err(&failure, &watch->request->arena, err);
    if (err->code == ERR_EXPIRED) {
        failure.message = str_copy_in(
            &watch->request->arena,
            str_of(err->message[0] != '\0' ? err->message : "too old resource version"));
    }
    watch->ended = true;
    if (watch->render.protobuf) {
        struct buf json BUF_CLEANUP = BUF_INIT;
        failure_write(&failure, &json);
        write_json_frame(watch, "ERROR", &json);
        return;
    }
    buf_addz(&watch->pending, "{\"type\":\"ERROR\",\"object\":");
    failure_write(&failure, &watch->pending);
    buf_addz(&watch->pending, "}\n");
}

static void produce_initial(struct watch *watch)
{
    const struct object *object = snapshot_next(&watch->iter);
    if (object != NULL) {
        write_event(watch, "ADDED", object);
        return;
    }
    snapshot_release(watch->snapshot);
    watch->snapshot = NULL;
    if (watch->initial_mark) {
        write_bookmark(watch, watch->initial_revision, true);
    }
}

/* False: nothing now. */
static bool produce_live(struct watch *watch)
{
    static const char *const names[] = {
        [EVENT_ADDED] = "ADDED", [EVENT_MODIFIED] = "MODIFIED", [EVENT_DELETED] = "DELETED"};
    struct cache_event event;
    struct err err = ERR_INIT;
    enum event_type type;
    struct object *object = NULL;
    int got = cursor_next(watch->cursor, &event, &err);
    if (got < 0) {
        write_error(watch, &err);
        return true;
    }
    if (got > 0) {
        FAILPOINT("server.watch-event");
        if (watch_translate(&watch->filter, &event, &type, &object)) {
            write_event(watch, names[type], object);
            object_unref(object);
        }
        return true;
    }
    if (watch->bookmark_due || (watch->timed_out && watch->request->options.bookmarks)) {
        watch->bookmark_due = false;
        write_bookmark(watch, cursor_revision(watch->cursor), false);
        watch->ended = watch->timed_out;
        return true;
    }
    watch->ended = watch->timed_out;
    return false;
}

/* An idle watcher keeps no big buffer. */
static void reset_pending(struct watch *watch)
{
    if (watch->pending.cap > PENDING_KEPT) {
        buf_done(&watch->pending);
    }
    buf_clear(&watch->pending);
    watch->pending_at = 0;
}

/* Nor the scratch of the protobuf writer. */
static void forget_scratch(struct watch *watch)
{
    if (watch->render.protobuf) {
        buf_done(&watch->document);
        buf_done(&watch->render.message);
        protobuf_writer_done(&watch->render.writer);
    }
}

static ssize_t body_read(struct http_body *base, char *out, size_t cap)
{
    struct watch *watch = container_of(base, struct watch, body);
    size_t at = 0;
    for (;;) {
        size_t ready = watch->pending.n - watch->pending_at;
        size_t n = ready < cap - at ? ready : cap - at;
        if (n > 0) {
            memcpy(out + at, watch->pending.p + watch->pending_at, n);
            at += n;
            watch->pending_at += n;
        }
        if (watch->pending_at < watch->pending.n || at == cap) {
            if (watch->cursor != NULL) {
                cursor_park(watch->cursor); /* the reader may stall here: hold no events for it */
            }
            return (ssize_t)at;
        }
        reset_pending(watch);
        if (watch->ended) {
            return (ssize_t)at;
        }
        if (watch->snapshot != NULL) {
            produce_initial(watch);
        } else if (!produce_live(watch)) {
            forget_scratch(watch);
            return at > 0 ? (ssize_t)at : watch->ended ? 0 : HTTP_BODY_LATER;
        }
    }
}

static void body_free(struct http_body *base)
{
    struct watch *watch = container_of(base, struct watch, body);
    struct request *request = watch->request;
    FAILPOINT("server.watch-close");
    if (watch->cursor != NULL) {
        cursor_close(watch->cursor);
    }
    if (watch->snapshot != NULL) {
        snapshot_release(watch->snapshot);
    }
    timer_stop(&watch->timeout);
    timer_stop(&watch->bookmark);
    render_done(&watch->render);
    buf_done(&watch->pending);
    buf_done(&watch->document);
    atomic_fetch_sub_explicit(&request->server->watches, 1, memory_order_relaxed);
    free(watch);
    request_free(request);
}

/* ---- waking ---- */

static void wake(struct watch *watch)
{
    request_resume(watch->request);
}

static void on_ready(void *ctx, struct cursor *cursor)
{
    wake(ctx);
}

static void on_timeout(struct timer *timer)
{
    struct watch *watch = container_of(timer, struct watch, timeout);
    watch->timed_out = true;
    wake(watch);
}

static void on_bookmark(struct timer *timer)
{
    struct watch *watch = container_of(timer, struct watch, bookmark);
    watch->bookmark_due = true;
    timer_start(watch->request->loop, timer, BOOKMARK_S * NS_PER_S, on_bookmark);
    wake(watch);
}

/* ---- starting ---- */

static void open_cursor(struct watch *watch)
{
    struct request *request = watch->request;
    const struct query_options *o = &request->options;
    const struct api_resource *storage = request->route.resource->storage;
    struct cache *cache = request->server->cache;
    struct err err = ERR_INIT;
    bool state = o->initial_events_set ? o->initial_events : o->version == 0;
    uint64_t after = o->version;
    if (state) {
        watch->snapshot = snapshot_take(cache, storage);
        after = watch->initial_revision = snapshot_revision(watch->snapshot);
        snapshot_iter_init(&watch->iter, watch->snapshot, watch->filter.ns, watch->filter.labels,
                           watch->filter.fields, STR_NONE, STR_NONE);
        watch->initial_mark = o->initial_events && o->bookmarks;
    } else if (after == 0) {
        after = cache_revision(cache);
    }
    if (o->version > cache_revision(cache)) {
        err_set(&err, ERR_TOO_LARGE_REVISION, "Too large resource version: %llu, current: %llu",
                (unsigned long long)o->version, (unsigned long long)cache_revision(cache));
    } else {
        cursor_open(cache, storage, after, request->loop, on_ready, watch, &watch->cursor, &err);
    }
    if (watch->cursor == NULL) {
        if (watch->snapshot != NULL) {
            snapshot_release(watch->snapshot);
            watch->snapshot = NULL;
        }
        write_error(watch, &err);
    }
}

void verb_watch(struct request *request)
{
    struct failure failure;
    struct watch *watch = mem_new(struct watch);
    watch->filter.ns = request->route.ns;
    if (listing_selectors(request, &watch->filter.labels, &watch->filter.fields, &failure) < 0) {
        free(watch);
        request_fail(request, &failure);
        return;
    }
    FAILPOINT("server.watch-open");
    watch->body = (struct http_body){.read = body_read, .free = body_free, .length = -1};
    watch->request = request;
    render_init(&watch->render, request);
    atomic_fetch_add_explicit(&request->server->watches, 1, memory_order_relaxed);
    open_cursor(watch);
    int64_t seconds = request->options.timeout_s;
    if (seconds <= 0 || seconds > 24 * 3600) {
        seconds = TIMEOUT_MIN_S + (int64_t)random_below(loop_random(request->loop), TIMEOUT_MIN_S);
    }
    timer_start(request->loop, &watch->timeout, seconds * NS_PER_S, on_timeout);
    if (request->options.bookmarks) {
        timer_start(request->loop, &watch->bookmark, BOOKMARK_S * NS_PER_S, on_bookmark);
    }
    if (watch_socket_wanted(request)) {
        watch_socket_serve(request, &watch->body);
        return;
    }
    request_answer_stream(request, 200,
                          watch->render.protobuf
                              ? "application/vnd.kubernetes.protobuf;stream=watch"
                              : "application/json",
                          &watch->body);
}
