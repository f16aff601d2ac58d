/* Lists and watches over HTTP (client/client.h, struct client_watch_ops).
 *
 * A watch is a machine of three states. LIST: pages of 500 between sync_begin and sync_end. WATCH:
 * one long answer of one JSON event a line, resumed from the last revision seen (bookmarks
 * included) when it ends. WAIT: a pause after a failure. 410, in whatever form, leads back to LIST,
 * as does a page whose continue token has expired (sync_begin is then called again).
 *
 * The pause doubles from 50 ms to 5 s as long as nothing is received, and starts over with the
 * first event or page; a watch that ended in order goes on at once, at most every 50 ms.
 */
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/http_int.h"
#include "client/path.h"

#define PAUSE_FIRST  (50 * NS_PER_MS)
#define PAUSE_MAX    (5 * NS_PER_S)
#define PAUSE_ABSENT (30 * NS_PER_S)
#define LIST_TIMEOUT (60 * NS_PER_S)
enum { LINE_MAX = 64 << 20 };
#define PAGE STR("500")

struct client_watch {
    struct list link;
    struct client_http *http;
    const struct api_resource *resource;
    char *ns, *labels, *fields;
    const struct client_watch_ops *ops;
    void *ctx;
    struct http_call *call;
    struct timer pause;
    unsigned failures;
    bool must_list;
    char *token; /* continue of the next page, or NULL */
    uint64_t revision;
    struct buf line;
    bool *stopped; /* set when the watch is stopped inside one of its callbacks */
};

static void proceed(struct client_watch *watch);

static void on_pause(struct timer *timer)
{
    proceed(container_of(timer, struct client_watch, pause));
}

static void wait(struct client_watch *watch)
{
    int64_t delay = PAUSE_FIRST;
    for (unsigned i = 0; i < watch->failures && delay < PAUSE_MAX; i++) {
        delay *= 2;
    }
    delay = delay < PAUSE_MAX ? delay : PAUSE_MAX;
    watch->failures++;
    timer_start(watch->http->client.loop, &watch->pause,
                delay / 2 + (int64_t)random_below(loop_random(watch->http->client.loop),
                                                  (uint64_t)delay / 2 + 1),
                on_pause);
}

static void start_over(struct client_watch *watch)
{
    watch->must_list = true;
    free(watch->token);
    watch->token = NULL;
}

/* ---- list ---- */

/* False: the watch was stopped by the receiver. */
static bool give(struct client_watch *watch, int type, struct object *object)
{
    bool stopped = false;
    watch->stopped = &stopped;
    watch->ops->event(watch->ctx, type, object);
    if (!stopped) {
        watch->stopped = NULL;
    }
    return !stopped;
}

static bool give_items(struct client_watch *watch, struct arena *arena, struct val *list)
{
    const struct api_resource *resource = watch->resource;
    const char *api_version =
        resource->group[0] == '\0'
            ? resource->version
            : arena_printf(arena, "%s/%s", resource->group, resource->version);
    VAL_EACH (it, val_get(list, "items")) {
        /* lists leave the type of their items out */
        val_set_text(arena, it, STR("kind"), str_of(resource->kind));
        val_set_text(arena, it, STR("apiVersion"), str_of(api_version));
        struct object *object = http_object(arena, resource, it);
        if (object == NULL) {
            continue; /* nothing that this build can read: as if it were not there */
        }
        bool goes_on = give(watch, 0, object);
        object_unref(object);
        if (!goes_on) {
            return false;
        }
    }
    return true;
}

/* Says once a spell of failures why nothing comes. */
static void report(struct client_watch *watch, int status, struct str body, const struct err *err)
{
    struct err why = *err;
    if (watch->failures != 1) {
        return;
    }
    if (err->code == 0) {
        http_status_error(status, body, &why);
    }
    if (why.code == ERR_GONE || why.code == ERR_EXPIRED) {
        return; /* everyday */
    }
    LOG_WARN("client", "watching fails, trying again", LOG_Z("resource", watch->resource->plural),
             LOG_Z("group", watch->resource->group), LOG_ERR(&why));
}

/* The server does not serve it (an older one, or a kind that was removed): it has none of them. */
static void take_absence(struct client_watch *watch)
{
    bool stopped = false;
    watch->stopped = &stopped;
    watch->ops->sync_begin(watch->ctx);
    watch->ops->sync_end(watch->ctx, watch->revision);
    if (stopped) {
        return;
    }
    watch->stopped = NULL;
    start_over(watch);
    timer_start(watch->http->client.loop, &watch->pause, PAUSE_ABSENT, on_pause);
}

static void list_end(void *ctx, int status, struct str body, const struct err *err)
{
    struct client_watch *watch = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *list = NULL;
    uint64_t revision;
    watch->call = NULL;
    if (err->code == 0 && status == 404) {
        take_absence(watch);
        return;
    }
    if (err->code != 0 || status != 200 || val_parse_json(&arena, body, &list, NULL) != 0 ||
        !str_u64(val_text(val_path(list, "metadata.resourceVersion")), &revision)) {
        if (err->code == 0) {
            start_over(watch); /* 410: the token has expired; others: from the first page as well */
        }
        wait(watch);
        report(watch, status, body, err);
        return;
    }
    if (watch->token == NULL) {
        watch->ops->sync_begin(watch->ctx);
    }
    watch->failures = 0;
    if (!give_items(watch, &arena, list)) {
        return;
    }
    free(watch->token);
    struct str token = val_text(val_path(list, "metadata.continue"));
    watch->token = token.n > 0 ? str_dup(token) : NULL;
    if (watch->token == NULL) {
        watch->must_list = false;
        watch->revision = revision;
        bool stopped = false;
        watch->stopped = &stopped;
        watch->ops->sync_end(watch->ctx, revision);
        if (stopped) {
            return;
        }
        watch->stopped = NULL;
    }
    proceed(watch);
}

static const struct http_call_ops list_ops = {.on_end = list_end};

/* ---- watch ---- */

/* False: no more of this answer is wanted. */
static bool take_object(struct client_watch *watch, struct arena *arena, int type,
                        struct val *value)
{
    struct object *object = http_object(arena, watch->resource, value);
    if (object == NULL) {
        return true;
    }
    if (object->revision > watch->revision) {
        watch->revision = object->revision;
    }
    bool goes_on = give(watch, type, object);
    object_unref(object);
    return goes_on;
}

static bool take_event(struct client_watch *watch, struct str line)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED"};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *event = NULL;
    if (val_parse_json(&arena, line, &event, NULL) != 0) {
        return true; /* a torn line at the end of a lost connection; others are resumed over */
    }
    struct str type = val_text(val_get(event, "type"));
    struct val *object = val_get(event, "object");
    watch->failures = 0;
    for (int i = 0; i < 3; i++) {
        if (str_is(type, types[i])) {
            return take_object(watch, &arena, i, object);
        }
    }
    uint64_t revision;
    if (str_is(type, "BOOKMARK") &&
        str_u64(val_text(val_path(object, "metadata.resourceVersion")), &revision)) {
        watch->revision = revision > watch->revision ? revision : watch->revision;
        if (watch->ops->bookmark != NULL) {
            watch->ops->bookmark(watch->ctx, watch->revision);
        }
    } else if (str_is(type, "ERROR") && val_int(val_get(object, "code"), 0) == 410) {
        start_over(watch);
    }
    return true;
}

static void watch_data(void *ctx, const char *bytes, size_t size)
{
    struct client_watch *watch = ctx;
    FAILPOINT("client.watch.data");
    while (size > 0) {
        const char *end = memchr(bytes, '\n', size);
        size_t n = end != NULL ? (size_t)(end - bytes) : size;
        if (watch->line.n + n > LINE_MAX) {
            http_call_cancel(watch->call);
            watch->call = NULL;
            start_over(watch);
            wait(watch);
            return;
        }
        if (end == NULL) {
            buf_add(&watch->line, bytes, n);
            return;
        }
        struct str line = str_at(bytes, n);
        if (watch->line.n > 0) {
            buf_add(&watch->line, bytes, n);
            line = buf_view(&watch->line);
        }
        if (!take_event(watch, line)) {
            return;
        }
        buf_clear(&watch->line);
        bytes += n + 1;
        size -= n + 1;
    }
}

static void watch_end(void *ctx, int status, struct str body, const struct err *err)
{
    struct client_watch *watch = ctx;
    watch->call = NULL;
    buf_clear(&watch->line);
    if (status != 0 && status != 200) {
        struct err why = ERR_INIT;
        http_status_error(status, body, &why);
        if (why.code == ERR_GONE || why.code == ERR_EXPIRED || why.code == ERR_TOO_LARGE_REVISION) {
            start_over(watch);
        }
    }
    wait(watch);
}

static const struct http_call_ops watch_ops = {.on_data = watch_data, .on_end = watch_end};

static void proceed(struct client_watch *watch)
{
    struct buf path BUF_CLEANUP = BUF_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    path_write(&path, watch->resource, str_of(watch->ns), STR_NONE, NULL);
    http_query(&path, "labelSelector", str_of(watch->labels));
    http_query(&path, "fieldSelector", str_of(watch->fields));
    if (watch->must_list) {
        http_query(&path, "limit", PAGE);
        http_query(&path, "continue", str_of(watch->token));
        watch->call = wire_call_start(watch->http, "GET", buf_view(&path), NULL, NULL, 0,
                                      LIST_TIMEOUT, &list_ops, watch);
        return;
    }
    http_query(&path, "watch", STR("1"));
    http_query(&path, "allowWatchBookmarks", STR("true"));
    buf_u64(&text, watch->revision);
    http_query(&path, "resourceVersion", buf_view(&text));
    buf_clear(&text);
    buf_u64(&text, 300 + random_below(loop_random(watch->http->client.loop), 300));
    http_query(&path, "timeoutSeconds", buf_view(&text));
    watch->call =
        wire_call_start(watch->http, "GET", buf_view(&path), NULL, NULL, 0, 0, &watch_ops, watch);
}

/* ---- life ---- */

struct client_watch *http_watch_start(struct client *client,
                                      const struct client_watch_options *options,
                                      const struct client_watch_ops *ops, void *ctx)
{
    struct client_watch *watch = mem_new(struct client_watch);
    watch->http = (struct client_http *)client;
    watch->resource = options->resource;
    watch->ns = str_dup(options->ns);
    watch->labels = str_dup(options->label_selector);
    watch->fields = str_dup(options->field_selector);
    watch->ops = ops;
    watch->ctx = ctx;
    watch->must_list = true;
    list_append(&watch->http->watches, &watch->link);
    proceed(watch);
    return watch;
}

void http_watch_stop(struct client *client, struct client_watch *watch)
{
    list_remove(&watch->link);
    timer_stop(&watch->pause);
    if (watch->call != NULL) {
        http_call_cancel(watch->call);
    }
    if (watch->stopped != NULL) {
        *watch->stopped = true;
    }
    buf_done(&watch->line);
    free(watch->token);
    free(watch->ns);
    free(watch->labels);
    free(watch->fields);
    free(watch);
}

void http_watch_free_all(struct client_http *http)
{
    while (!list_empty(&http->watches)) {
        http_watch_stop(&http->client, container_of(http->watches.next, struct client_watch, link));
    }
}
