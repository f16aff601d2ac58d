/* The HTTP transport of a client (client/client.h): one HTTP/2 connection to the API server.
 *
 * Invariants: at most one connection takes new requests (one that the server drains keeps its old
 * ones); every request is answered exactly once, also when
 * the connection dies (ERR_UNAVAILABLE: whether a write was done is then unknown) and when the
 * client is freed (ERR_CANCELED). Requests made while no connection stands wait for the next dial,
 * and fail with it. A dial that fails is repeated after 100 ms doubling to 5 s, with jitter. A
 * connection from which nothing came for PULSE is asked for /version; no answer in time ends it, so
 * that a partition is noticed without the kernel's patience.
 *
 * Left to others: lists and watches (http_watch.c), retries of failed requests (their senders).
 */
#include "client/http_int.h"
#include "client/path.h"

#include <stdlib.h>

#include "api/codec.h"
#include "base/failpoint.h"
#include "base/mem.h"
#include "io/tls.h"

#define REDIAL_FIRST (100 * NS_PER_MS)
#define REDIAL_MAX   (5 * NS_PER_S)
#define TIMEOUT      (34 * NS_PER_S) /* as long as a server lets one write take, and a little */
#define PULSE        (20 * NS_PER_S)
#define PULSE_ANSWER (10 * NS_PER_S)
enum { BODY_MAX = 256 << 20 };

struct http_link { /* one connection, from its dial to its end */
    struct list link;
    struct client_http *http;
    struct http_client *connection;
    bool answered; /* it has carried an answer */
};

struct http_call {
    struct list link; /* in calls or waiting */
    struct client_http *http;
    struct http_link *on; /* NULL: waiting */
    bool again;           /* it was refused unsent once, and waits for a new connection */
    char *method, *path, *content_type, *body;
    size_t body_size;
    const struct http_call_ops *ops;
    void *ctx;
    struct http_exchange *exchange; /* NULL: waiting */
    struct timer timer;
    int64_t timeout_ns;
    int status;
    struct buf answer;
};

static void connect(struct client_http *http);
static void call_start(struct http_call *call);

/* ---- calls ---- */

static void call_free(struct http_call *call)
{
    list_remove(&call->link);
    timer_stop(&call->timer);
    buf_done(&call->answer);
    free(call->method);
    free(call->path);
    free(call->content_type);
    free(call->body);
    free(call);
}

static void call_end(struct http_call *call, const struct err *err)
{
    call->exchange = NULL;
    timer_stop(&call->timer);
    list_remove(&call->link);
    call->ops->on_end(call->ctx, err->code == 0 ? call->status : 0, buf_view(&call->answer), err);
    call_free(call);
}

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    struct http_call *call = ctx;
    call->status = status;
    call->on->answered = true;
    call->http->failures = 0;
    call->http->heard_ns = loop_mono(call->http->client.loop);
}

static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct http_call *call = ctx;
    call->http->heard_ns = loop_mono(call->http->client.loop);
    if (call->ops->on_data != NULL && call->status / 100 == 2) {
        call->ops->on_data(call->ctx, bytes, size);
    } else if (call->answer.n + size <= BODY_MAX) {
        buf_add(&call->answer, bytes, size);
    } else {
        struct err err = ERR_INIT;
        err_set(&err, ERR_TOO_LARGE, "the server's answer is too large");
        http_cancel(exchange);
        call_end(call, &err);
    }
}

/* The connection takes no more: the next request dials anew. */
static void leave(struct http_link *link)
{
    struct client_http *http = link->http;
    if (http->link == link) {
        http->link = NULL;
        http->probing = false;
        timer_stop(&http->pulse);
    }
}

static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct http_call *call = ctx;
    struct err ours = ERR_INIT;
    if (err->code == ERR_UNAVAILABLE && !call->again &&
        call->on->answered) { /* never sent: the server drains */
        call->again = true;
        call->exchange = NULL;
        leave(call->on);
        list_remove(&call->link);
        call_start(call);
        return;
    }
    if (err->code != 0) {
        err_set(&ours, ERR_UNAVAILABLE, "%s", err->message);
    }
    call_end(ctx, &ours);
}

static const struct http_client_ops exchange_ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end};

static void on_timeout(struct timer *timer)
{
    struct http_call *call = container_of(timer, struct http_call, timer);
    struct err err = ERR_INIT;
    err_set(&err, ERR_TIMEOUT, "no answer from %s in time", call->http->address);
    if (call->exchange != NULL) {
        http_cancel(call->exchange);
    }
    call_end(call, &err);
}

static void call_send(struct http_call *call)
{
    struct client_http *http = call->http;
    struct http_header headers[4] = {
        {STR("accept"), STR("application/json")},
        {STR("user-agent"), str_of(http->client.name)},
    };
    size_t count = 2;
    if (call->content_type != NULL) {
        headers[count++] = (struct http_header){STR("content-type"), str_of(call->content_type)};
    }
    struct buf token BUF_CLEANUP = BUF_INIT;
    if (http->token[0] != '\0') {
        buf_addz(&token, "Bearer ");
        buf_addz(&token, http->token);
        headers[count++] = (struct http_header){STR("authorization"), buf_view(&token)};
    }
    list_append(&http->calls, &call->link);
    FAILPOINT("client.http.send");
    call->on = http->link;
    call->exchange = http_send(http->link->connection,
                               &(struct http_client_request){
                                   .method = str_of(call->method),
                                   .path = str_of(call->path),
                                   .authority = str_of(http->address),
                                   .headers = headers,
                                   .header_count = count,
                                   .body = call->body != NULL
                                               ? http_body_copy(str_at(call->body, call->body_size))
                                               : NULL},
                               &exchange_ops, call);
}

static void call_start(struct http_call *call)
{
    struct client_http *http = call->http;
    if (http->link != NULL) {
        call_send(call);
        return;
    }
    list_append(&http->waiting, &call->link);
    if (!timer_armed(&http->redial)) {
        connect(http);
    }
}

struct http_call *wire_call_start(struct client_http *http, const char *method, struct str path,
                                  const char *content_type, char *body, size_t body_size,
                                  int64_t timeout_ns, const struct http_call_ops *ops, void *ctx)
{
    struct http_call *call = mem_new(struct http_call);
    call->http = http;
    call->method = mem_dupz(method);
    call->path = str_dup(path);
    call->content_type = mem_dupz(content_type);
    call->body = body;
    call->body_size = body_size;
    call->ops = ops;
    call->ctx = ctx;
    list_init(&call->link);
    if (timeout_ns > 0) {
        timer_start(http->client.loop, &call->timer, timeout_ns, on_timeout);
    }
    call_start(call);
    return call;
}

void http_call_cancel(struct http_call *call)
{
    if (call->exchange != NULL) {
        http_cancel(call->exchange);
    }
    call_free(call);
}

/* ---- the connection ---- */

static void fail_all(struct list *calls, enum err_code code, const char *why)
{
    struct err err = ERR_INIT;
    err_set(&err, code, "%s", why);
    struct list *link;
    struct list ours;
    list_init(&ours);
    while ((link = list_pop(calls)) != NULL) { /* what their callbacks start is not among them */
        list_append(&ours, link);
    }
    while ((link = list_pop(&ours)) != NULL) {
        call_end(container_of(link, struct http_call, link), &err);
    }
}

static void redial(struct timer *timer)
{
    struct client_http *http = container_of(timer, struct client_http, redial);
    if (!list_empty(&http->waiting)) {
        connect(http);
    }
}

static int64_t redial_delay(struct client_http *http)
{
    int64_t delay = REDIAL_FIRST;
    for (unsigned i = 1; i < http->failures && delay < REDIAL_MAX; i++) {
        delay *= 2;
    }
    delay = delay < REDIAL_MAX ? delay : REDIAL_MAX;
    uint64_t jitter = random_below(loop_random(http->client.loop), (uint64_t)delay / 2 + 1);
    return delay - (int64_t)jitter;
}

static void link_free(struct http_link *link)
{
    leave(link);
    list_remove(&link->link);
    http_client_free(link->connection);
    free(link);
}

/* All its exchanges have ended before. */
static void on_close(void *ctx, const struct err *err)
{
    struct http_link *link = ctx;
    struct client_http *http = link->http;
    bool current = http->link == link, answered = link->answered;
    link_free(link);
    if (current) {
        http->failures += !answered;
        timer_start(http->client.loop, &http->redial, redial_delay(http), redial);
    }
}

static void probe_end(void *ctx, int status, struct str body, const struct err *err)
{
    struct client_http *http = ctx;
    http->probing = false;
    if (err->code == ERR_TIMEOUT && http->link != NULL) {
        link_free(http->link); /* ends every exchange on it */
    }
}

static const struct http_call_ops probe_ops = {.on_end = probe_end};

static void pulse(struct timer *timer)
{
    struct client_http *http = container_of(timer, struct client_http, pulse);
    timer_start(http->client.loop, &http->pulse, PULSE, pulse);
    if (http->probing || list_empty(&http->calls) ||
        loop_mono(http->client.loop) - http->heard_ns < PULSE) {
        return;
    }
    http->probing = true;
    wire_call_start(http, "GET", STR("/version"), NULL, NULL, 0, PULSE_ANSWER, &probe_ops, http);
}

static const struct stream_ops no_stream_ops = {0};

static void connect(struct client_http *http)
{
    struct loop *loop = http->client.loop;
    struct http_link *link = mem_new(struct http_link);
    struct stream *stream =
        stream_dial(loop,
                    &(struct dial_options){
                        .address = str_of(http->address), .tls = http->tls, .alpn = STR("h2")},
                    &no_stream_ops, NULL);
    http->heard_ns = loop_mono(loop);
    link->http = http;
    link->connection = http_client_new(stream, http->tls != NULL ? 0 : 2, on_close, link);
    list_append(&http->links, &link->link);
    http->link = link;
    timer_start(loop, &http->pulse, PULSE, pulse);
    struct list waiting;
    list_init(&waiting);
    struct list *it;
    while ((it = list_pop(&http->waiting)) != NULL) {
        list_append(&waiting, it);
    }
    while ((it = list_pop(&waiting)) != NULL) {
        call_send(container_of(it, struct http_call, link));
    }
}

/* ---- requests ---- */

void http_query(struct buf *out, const char *key, struct str value)
{
    if (value.n > 0) {
        path_query(out, key, value);
    }
}

struct object *http_object(struct arena *arena, const struct api_resource *resource,
                           struct val *value)
{
    uint64_t revision;
    if (!str_is(val_text(val_get(value, "kind")), resource->kind) || val_name(value).n == 0 ||
        !str_u64(val_text(val_path(value, "metadata.resourceVersion")), &revision) ||
        codec_apply_schema(arena, resource->type, value, CODEC_IGNORE, NULL, NULL) != 0) {
        return NULL;
    }
    return object_new(resource, value, revision);
}

void http_status_error(int status, struct str body, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = NULL;
    if (val_parse_json(&arena, body, &value, NULL) == 0 &&
        str_is(val_text(val_get(value, "kind")), "Status")) {
        const char *reason = str_dup_in(&arena, val_text(val_get(value, "reason")));
        err_set(err, err_from_reason(reason, status), "%.*s",
                STR_ARG(val_text(val_get(value, "message"))));
    } else {
        body.n = body.n > 200 ? 200 : body.n;
        err_set(err, err_from_reason("", status), "HTTP %d: %.*s", status, STR_ARG(body));
    }
}

struct request { /* of client_send */
    const struct api_resource *resource;
    client_done_fn *done;
    void *ctx;
};

static void request_end(void *ctx, int status, struct str body, const struct err *err)
{
    struct request *request = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct client_result result = {.body = body};
    struct val *value = NULL;
    if (err->code != 0) {
        result.error = *err;
    } else if (status / 100 != 2) {
        http_status_error(status, body, &result.error);
    } else if (val_parse_json(&arena, body, &value, &result.error) == 0) {
        result.object = http_object(&arena, request->resource, value);
    }
    result.code = result.error.code;
    if (request->done != NULL) {
        request->done(request->ctx, &result);
    }
    object_unref(result.object);
    free(request);
}

static const struct http_call_ops request_ops = {.on_end = request_end};

static const char *const methods[] = {[CLIENT_GET] = "GET",
                                      [CLIENT_CREATE] = "POST",
                                      [CLIENT_UPDATE] = "PUT",
                                      [CLIENT_PATCH] = "PATCH",
                                      [CLIENT_DELETE] = "DELETE"};
static const char *const patch_types[] = {[CLIENT_PATCH_JSON] = "application/json-patch+json",
                                          [CLIENT_PATCH_MERGE] = "application/merge-patch+json",
                                          [CLIENT_PATCH_STRATEGIC] =
                                              "application/strategic-merge-patch+json",
                                          [CLIENT_PATCH_APPLY] = "application/apply-patch+yaml"};

static void send_request(struct client *client, const struct client_request *request,
                         client_done_fn *done, void *ctx)
{
    struct client_http *http = (struct client_http *)client;
    struct buf path BUF_CLEANUP = BUF_INIT, body = BUF_INIT;
    bool has_subresource = request->subresource != NULL && request->subresource[0] != '\0';
    bool names = request->verb != CLIENT_CREATE || has_subresource;
    path_write(&path, request->resource, request->ns, names ? request->name : STR_NONE,
               request->subresource);
    if (request->verb != CLIENT_GET && request->verb != CLIENT_DELETE) {
        const char *manager =
            request->field_manager != NULL ? request->field_manager : client->name;
        http_query(&path, "fieldManager", str_of(manager));
    }
    const char *type = NULL;
    size_t size = 0;
    char *bytes = NULL;
    if (request->body != NULL) {
        type = request->verb == CLIENT_PATCH ? patch_types[request->patch] : "application/json";
        val_write_json(request->body, &body);
        bytes = buf_take(&body, &size);
    }
    struct request *sent = mem_new(struct request);
    *sent = (struct request){request->resource, done, ctx};
    wire_call_start(http, methods[request->verb], buf_view(&path), type, bytes, size, TIMEOUT,
                    &request_ops, sent);
}

/* ---- life ---- */

static void http_free(struct client *client)
{
    struct client_http *http = (struct client_http *)client;
    http_watch_free_all(http);
    struct list all;
    list_init(&all);
    struct list *link;
    while ((link = list_pop(&http->calls)) != NULL || (link = list_pop(&http->waiting)) != NULL) {
        list_append(&all, link);
        struct http_call *call = container_of(link, struct http_call, link);
        if (call->exchange != NULL) {
            http_cancel(call->exchange);
            call->exchange = NULL;
        }
    }
    while (!list_empty(&http->links)) {
        link_free(container_of(http->links.next, struct http_link, link));
    }
    fail_all(&all, ERR_CANCELED, "the client was closed");
    timer_stop(&http->redial);
    timer_stop(&http->pulse);
    tls_unref(http->tls);
    free(http->address);
    free(http->token);
    free(http);
}

static const struct client_ops ops = {.send = send_request,
                                      .watch = http_watch_start,
                                      .watch_stop = http_watch_stop,
                                      .free = http_free};

struct client *client_http_new(struct loop *loop, const struct client_http_options *options)
{
    struct client_http *http = mem_new(struct client_http);
    http->client = (struct client){.ops = &ops, .loop = loop, .name = options->name};
    http->address = str_dup(options->address);
    http->token = str_dup(options->token);
    http->tls = options->tls != NULL ? tls_ref(options->tls) : NULL;
    list_init(&http->calls);
    list_init(&http->waiting);
    list_init(&http->links);
    list_init(&http->watches);
    return &http->client;
}
