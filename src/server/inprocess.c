/* inprocess.c: client.h without sockets: the whole request path (authorization, admission,
 * validation, the sequencer) under a given identity, with objects shared instead of bytes sent.
 *
 * Invariants: callbacks run on the client's loop and never inside the call that asked; a freed
 * client calls nobody back; a watch shows the whole state first and again after every gap.
 */
#include <stdlib.h>

#include "server/authz/authz.h"
#include "server/server_int.h"
#include "server/verb/list.h"
#include "server/verb/watch.h"

struct local_client {
    struct client base;
    struct server *server;
    struct identity *identity;
    char *name;
    struct list calls;   /* struct call */
    struct list watches; /* struct client_watch */
};

/* ---- requests ---- */

struct call {
    struct list link;            /* in calls while the client lives */
    struct local_client *client; /* NULL: freed meanwhile */
    client_done_fn *done;
    void *ctx;
    bool sending; /* inside client_send: the answer waits for the next turn */
    struct task task;
    struct object *object;
    struct buf body;
    struct failure failure;
    char *message;
};

static void call_free(struct call *call)
{
    list_remove(&call->link);
    object_unref(call->object);
    buf_done(&call->body);
    free(call->message);
    free(call);
}

static void deliver(struct call *call)
{
    struct client_result result = {
        .code = call->failure.code, .object = call->object, .body = buf_view(&call->body)};
    if (result.code != 0) {
        err_set(&result.error, result.code, "%s", call->message != NULL ? call->message : "");
    }
    list_remove(&call->link);
    if (call->client != NULL) {
        call->done(call->ctx, &result);
    }
    call_free(call);
}

static void deliver_task(struct task *task)
{
    deliver(container_of(task, struct call, task));
}

/* The answer came: deliver now, or in the next turn when the sender is still on the stack. */
static void finish(struct request *request, struct call *call)
{
    struct loop *loop = request->loop;
    request_free(request);
    if (call->sending) {
        call->task.run = deliver_task;
        loop_post(loop, &call->task);
        return;
    }
    deliver(call);
}

static void answer_object(struct request *request, int status, struct object *object)
{
    struct call *call = request->transport_ctx;
    call->object = object;
    finish(request, call);
}

static void answer_bytes(struct request *request, int status, const char *content_type,
                         struct buf *bytes)
{
    struct call *call = request->transport_ctx;
    call->body = *bytes;
    *bytes = (struct buf)BUF_INIT;
    finish(request, call);
}

static void answer_failure(struct request *request, const struct failure *failure)
{
    struct call *call = request->transport_ctx;
    call->failure = *failure;
    call->message = str_dup(failure->message);
    failure_write(failure, &call->body);
    finish(request, call);
}

static void answer_stream(struct request *request, int status, const char *content_type,
                          struct http_body *body)
{
    struct call *call = request->transport_ctx;
    ssize_t n;
    enum { CHUNK = 64 * 1024 };
    while ((n = body->read(body, buf_room(&call->body, CHUNK), CHUNK)) > 0) {
        call->body.n += (size_t)n;
    }
    struct loop *loop = request->loop;
    body->free(body); /* and the request */
    if (call->sending) {
        call->task.run = deliver_task;
        loop_post(loop, &call->task);
        return;
    }
    deliver(call);
}

static const struct transport local_transport = {
    .object = answer_object,
    .bytes = answer_bytes,
    .fail = answer_failure,
    .stream = answer_stream,
};

static enum request_verb verb_of(enum client_verb verb)
{
    static const enum request_verb verbs[] = {[CLIENT_GET] = VERB_GET,
                                              [CLIENT_CREATE] = VERB_CREATE,
                                              [CLIENT_UPDATE] = VERB_UPDATE,
                                              [CLIENT_PATCH] = VERB_PATCH,
                                              [CLIENT_DELETE] = VERB_DELETE};
    return verbs[verb];
}

static enum body_format format_of(const struct client_request *asked)
{
    static const enum body_format formats[] = {
        [CLIENT_PATCH_JSON] = BODY_JSON_PATCH,
        [CLIENT_PATCH_MERGE] = BODY_MERGE_PATCH,
        [CLIENT_PATCH_STRATEGIC] = BODY_STRATEGIC_PATCH,
        [CLIENT_PATCH_APPLY] = BODY_APPLY_PATCH,
    };
    return asked->verb == CLIENT_PATCH ? formats[asked->patch] : BODY_JSON;
}

static struct str body_namespace(const struct client_request *asked)
{
    return asked->body != NULL ? val_namespace(asked->body) : STR_NONE;
}

/* A reference. Custom kinds as they are now: the caller may know them from an object or an informer
 * of an earlier schema, which must not prune what was added since. */
static const struct api_resource *resource_now(struct server *server,
                                               const struct api_resource *asked)
{
    const struct api_resource *now =
        asked->custom == NULL
            ? asked
            : registry_resource(cache_registry(server->cache), str_of(asked->group),
                                str_of(asked->version), str_of(asked->plural));
    if (now == NULL) {
        schema_ref(asked);
    }
    return now != NULL ? now : asked;
}

static bool set_route(struct request *request, const struct client_request *asked)
{
    struct arena *arena = &request->arena;
    struct route *route = &request->route;
    route->resource = resource_now(request->server, asked->resource);
    route->verb = verb_of(asked->verb);
    route->method = METHOD_UNKNOWN;
    if (asked->resource->namespaced) {
        route->ns = str_copy_in(arena, asked->ns.n > 0 ? asked->ns : body_namespace(asked));
    }
    bool named = asked->verb != CLIENT_CREATE ||
                 (asked->subresource != NULL && asked->subresource[0] != '\0');
    if (named) {
        struct str name = asked->name;
        if (name.n == 0 && asked->body != NULL) {
            name = val_name(asked->body);
        }
        route->name = str_copy_in(arena, name);
    }
    if (asked->subresource != NULL && asked->subresource[0] != '\0') {
        route->subresource = schema_subresource(route->resource, str_of(asked->subresource));
        return route->subresource != NULL;
    }
    return true;
}

static void local_send(struct client *base, const struct client_request *asked,
                       client_done_fn *done, void *ctx)
{
    struct local_client *client = container_of(base, struct local_client, base);
    struct request *request =
        request_new(client->server, base->loop, client->identity, &local_transport);
    struct call *call = mem_new(struct call);
    call->client = client;
    call->done = done;
    call->ctx = ctx;
    call->sending = true;
    list_init(&call->link);
    list_append(&client->calls, &call->link);
    request->transport_ctx = call;
    request->user_agent =
        str_of(asked->field_manager != NULL
                   ? arena_dup(&request->arena, asked->field_manager, strlen(asked->field_manager))
                   : arena_dup(&request->arena, client->name, strlen(client->name)));
    request->options.field_manager = request->user_agent;
    request->body_format = format_of(asked);
    if (asked->body != NULL) {
        request->body_value = val_copy(&request->arena, asked->body);
    }
    if (set_route(request, asked)) {
        request_start(request);
    } else {
        struct failure failure;
        failure_set(&failure, &request->arena, ERR_NOT_FOUND, "no such subresource");
        request_fail(request, &failure);
    }
    call->sending = false;
}

/* ---- watches ---- */

struct client_watch {
    struct list link;
    struct local_client *client;
    const struct api_resource *resource;
    const struct client_watch_ops *ops;
    void *ctx;
    struct arena arena;
    struct watch_filter filter;
    struct str field_selector; /* as asked, for authorization */
    struct cursor *cursor;
    struct timer timer; /* begins, begins again, bookmarks */
    bool stopped, running;
};

enum { BOOKMARK_NS_S = 60, RETRY_S = 1 };

static void begin(struct timer *timer);
static void drain(void *ctx, struct cursor *cursor);

static void watch_free(struct client_watch *watch)
{
    list_remove(&watch->link);
    timer_stop(&watch->timer);
    if (watch->cursor != NULL) {
        cursor_close(watch->cursor);
    }
    arena_done(&watch->arena);
    schema_unref(watch->resource);
    free(watch);
}

static void on_bookmark(struct timer *timer)
{
    struct client_watch *watch = container_of(timer, struct client_watch, timer);
    timer_start(watch->client->base.loop, timer, BOOKMARK_NS_S * NS_PER_S, on_bookmark);
    if (watch->ops->bookmark != NULL && watch->cursor != NULL) {
        watch->ops->bookmark(watch->ctx, cursor_revision(watch->cursor));
    }
}

static void restart(struct client_watch *watch)
{
    if (watch->cursor != NULL) {
        cursor_close(watch->cursor);
        watch->cursor = NULL;
    }
    timer_start(watch->client->base.loop, &watch->timer, 0, begin);
}

static void drain(void *ctx, struct cursor *cursor)
{
    struct client_watch *watch = ctx;
    struct cache_event event;
    struct err err = ERR_INIT;
    int got = 0;
    watch->running = true;
    while (!watch->stopped && (got = cursor_next(watch->cursor, &event, &err)) > 0) {
        enum event_type type;
        struct object *object;
        if (watch_translate(&watch->filter, &event, &type, &object)) {
            watch->ops->event(watch->ctx, (int)type, object);
            object_unref(object);
        }
    }
    watch->running = false;
    if (watch->stopped) {
        watch_free(watch);
    } else if (got < 0) {
        restart(watch);
    }
}

static void send_state(struct client_watch *watch, struct snapshot *snapshot)
{
    struct snapshot_iter iter;
    const struct object *object;
    snapshot_iter_init(&iter, snapshot, watch->filter.ns, watch->filter.labels,
                       watch->filter.fields, STR_NONE, STR_NONE);
    watch->running = true;
    watch->ops->sync_begin(watch->ctx);
    while (!watch->stopped && (object = snapshot_next(&iter)) != NULL) {
        struct object *shared = object_ref((struct object *)(uintptr_t)object);
        watch->ops->event(watch->ctx, EVENT_ADDED, shared);
        object_unref(shared);
    }
    if (!watch->stopped) {
        watch->ops->sync_end(watch->ctx, snapshot_revision(snapshot));
    }
    watch->running = false;
}

static bool watch_allowed(struct client_watch *watch)
{
    const struct api_resource *r = watch->resource;
    struct attributes a = {.identity = watch->client->identity,
                           .verb = STR("watch"),
                           .group = str_of(r->group),
                           .resource = str_of(r->plural),
                           .ns = watch->filter.ns,
                           .selector = watch->field_selector,
                           .name = authz_selected_name(watch->field_selector)};
    return authz_allows(watch->client->server, &a, NULL, NULL);
}

static void begin(struct timer *timer)
{
    struct client_watch *watch = container_of(timer, struct client_watch, timer);
    struct loop *loop = watch->client->base.loop;
    struct cache *cache = watch->client->server->cache;
    if (!watch_allowed(watch)) {
        timer_start(loop, timer, RETRY_S * NS_PER_S, begin); /* a role may come yet */
        return;
    }
    struct snapshot *snapshot = snapshot_take(cache, watch->resource->storage);
    int code = cursor_open(cache, watch->resource->storage, snapshot_revision(snapshot), loop,
                           drain, watch, &watch->cursor, NULL);
    if (code < 0) {
        snapshot_release(snapshot);
        timer_start(loop, timer, RETRY_S * NS_PER_S, begin);
        return;
    }
    timer_start(loop, timer, BOOKMARK_NS_S * NS_PER_S, on_bookmark);
    send_state(watch, snapshot);
    snapshot_release(snapshot);
    if (watch->stopped) {
        watch_free(watch);
        return;
    }
    drain(watch, watch->cursor);
}

static struct client_watch *local_watch(struct client *base,
                                        const struct client_watch_options *options,
                                        const struct client_watch_ops *ops, void *ctx)
{
    struct local_client *client = container_of(base, struct local_client, base);
    struct client_watch *watch = mem_new(struct client_watch);
    struct err err = ERR_INIT;
    watch->client = client;
    schema_ref(options->resource);
    watch->resource = options->resource;
    watch->ops = ops;
    watch->ctx = ctx;
    watch->filter.ns = str_copy_in(&watch->arena, options->ns);
    if (options->label_selector.n > 0) {
        struct selector *labels = arena_new(&watch->arena, struct selector);
        struct str text = str_copy_in(&watch->arena, options->label_selector);
        if (selector_parse(&watch->arena, text, labels, &err) < 0) {
            labels->nothing = true;
        }
        watch->filter.labels = labels;
    }
    if (options->field_selector.n > 0) {
        struct field_selector *fields = arena_new(&watch->arena, struct field_selector);
        struct str text = str_copy_in(&watch->arena, options->field_selector);
        field_selector_parse(&watch->arena, options->resource, text, fields, &err);
        watch->filter.fields = fields;
        watch->field_selector = text;
    }
    list_init(&watch->link);
    list_append(&client->watches, &watch->link);
    timer_start(base->loop, &watch->timer, 0, begin);
    return watch;
}

static void local_watch_stop(struct client *base, struct client_watch *watch)
{
    watch->stopped = true;
    if (!watch->running) {
        watch_free(watch);
    }
}

static void local_free(struct client *base)
{
    struct local_client *client = container_of(base, struct local_client, base);
    LIST_EACH_SAFE (it, &client->watches) {
        struct client_watch *watch = container_of(it, struct client_watch, link);
        list_remove(&watch->link);
        local_watch_stop(base, watch);
    }
    struct list *it;
    while ((it = list_pop(&client->calls)) != NULL) {
        container_of(it, struct call, link)->client = NULL;
    }
    identity_unref(client->identity);
    free(client->name);
    free(client);
}

static const struct client_ops local_ops = {
    .send = local_send,
    .watch = local_watch,
    .watch_stop = local_watch_stop,
    .free = local_free,
};

struct client *server_client_new(struct server *server, struct loop *loop,
                                 struct identity *identity, const char *name)
{
    struct local_client *client = mem_new(struct local_client);
    client->name = mem_dupz(name);
    client->base = (struct client){.ops = &local_ops, .loop = loop, .name = client->name};
    client->server = server;
    client->identity = identity_ref(identity);
    list_init(&client->calls);
    list_init(&client->watches);
    return &client->base;
}
