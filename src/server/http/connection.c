/* connection.c: requests that come over HTTP: from an exchange to a struct request, and the answer
 * back. See request.h for the life of a request.
 *
 * Invariants: before authentication only headers are looked at; a peer that goes away before the
 * answer leaves the request running to its end, whose answer is then dropped; a streaming body owns
 * its request.
 */
#include "server/authn/authn.h"
#include "server/authn/impersonation.h"
#include "server/http/encode.h"
#include "server/info/info.h"
#include "server/render.h"
#include "server/server_int.h"
#include "server/write/version.h"

enum { BODY_LIMIT = 3 * 1024 * 1024, WARNINGS_MAX = 32 };

static const struct transport http_transport;

/* ---- answers ---- */

struct header_list {
    struct http_header items[WARNINGS_MAX + 8];
    size_t count;
};

static void add_header(struct header_list *list, const char *name, struct str value)
{
    if (list->count < sizeof list->items / sizeof *list->items) {
        list->items[list->count++] = (struct http_header){str_of(name), value};
    }
}

/* Warning: 299 - "text" (RFC 7234, 5.5); control bytes and quotes are escaped or dropped. */
static void add_warnings(struct request *request, struct header_list *list)
{
    for (size_t i = 0; i < request->warnings.count && i < WARNINGS_MAX; i++) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        struct str w = request->warnings.items[i];
        buf_addz(&text, "299 - \"");
        for (size_t k = 0; k < w.n && k < 1000; k++) {
            if (w.p[k] == '"' || w.p[k] == '\\') {
                buf_char(&text, '\\');
            }
            if ((unsigned char)w.p[k] >= 0x20 && w.p[k] != 0x7f) {
                buf_char(&text, w.p[k]);
            }
        }
        buf_char(&text, '"');
        add_header(list, "warning", str_copy_in(&request->arena, buf_view(&text)));
    }
}

static void respond(struct request *request, int status, const char *content_type,
                    struct http_body *body, struct header_list *list)
{
    add_header(list, "content-type", str_of(content_type));
    add_header(list, "cache-control", STR("no-cache, private"));
    add_warnings(request, list);
    http_exchange_set(request->exchange, NULL); /* on_abort has nothing to do any more */
    http_respond(request->exchange, status, list->items, list->count, body);
}

static void drop(struct request *request, struct http_body *body)
{
    if (body != NULL) {
        body->free(body);
    }
}

static void answer_bytes(struct request *request, int status, const char *content_type,
                         struct buf *bytes)
{
    struct header_list list = {0};
    if (request->exchange != NULL) {
        if (request->accept.yaml && str_is(str_of(content_type), "application/json")) {
            content_type = encode_yaml(&request->arena, bytes);
        } else if (request->accept.pretty && str_is(str_of(content_type), "application/json")) {
            encode_pretty(&request->arena, bytes);
        }
        size_t size = 0;
        char *taken = buf_take(bytes, &size);
        struct http_body *body = http_body_bytes(taken, size);
        body = encode_gzip(body, request->accept.gzip, size, &list.items[0], &list.count);
        if (request->route.method == METHOD_HEAD) {
            body->free(body);
            body = NULL;
        }
        respond(request, status, content_type, body, &list);
    }
    buf_done(bytes);
    request_free(request);
}

static void answer_object(struct request *request, int status, struct object *object)
{
    struct buf bytes = BUF_INIT;
    struct render render;
    if (request->exchange != NULL) {
        render_init(&render, request);
        if (request->route.subresource != NULL || object->resource != render.resource->storage) {
            render.form = render.form == ACCEPT_TABLE ? ACCEPT_OBJECT : render.form;
        }
        render_object(&render, object, &bytes);
        render_done(&render);
        buf_char(&bytes, '\n');
    }
    object_unref(object);
    answer_bytes(request, status, "application/json", &bytes);
}

static void answer_failure(struct request *request, const struct failure *failure)
{
    struct buf bytes = BUF_INIT;
    struct header_list list = {0};
    if (request->exchange == NULL) {
        request_free(request);
        return;
    }
    failure_write(failure, &bytes);
    if (request->accept.pretty) {
        encode_pretty(&request->arena, &bytes);
    }
    buf_char(&bytes, '\n');
    int status = failure_status(failure);
    if (failure->retry_after_s > 0) {
        add_header(&list, "retry-after",
                   str_of(arena_printf(&request->arena, "%d", failure->retry_after_s)));
    }
    if (status == 401) {
        add_header(&list, "www-authenticate", STR("Bearer realm=\"cox\""));
    }
    size_t size = 0;
    char *taken = buf_take(&bytes, &size);
    struct http_body *body = NULL;
    if (request->route.method != METHOD_HEAD) {
        body = http_body_bytes(taken, size);
    } else {
        free(taken);
    }
    respond(request, status, "application/json", body, &list);
    request_free(request);
}

static void answer_stream(struct request *request, int status, const char *content_type,
                          struct http_body *body)
{
    struct header_list list = {0};
    if (request->exchange == NULL || request->route.method == METHOD_HEAD) {
        if (request->exchange != NULL) {
            respond(request, status, content_type, NULL, &list);
        }
        drop(request, body);
        return;
    }
    bool watch = request->route.verb == VERB_WATCH && request->route.subresource == NULL;
    if (!watch && (request->accept.yaml || request->accept.pretty)) {
        content_type = encode_whole(request, &body);
    }
    if (!watch) {
        body = encode_gzip(body, request->accept.gzip, SIZE_MAX, &list.items[0], &list.count);
    }
    respond(request, status, content_type, body, &list);
}

static const struct transport http_transport = {
    .object = answer_object,
    .bytes = answer_bytes,
    .fail = answer_failure,
    .stream = answer_stream,
};

/* ---- requests ---- */

static enum body_format format_of(struct str content_type)
{
    static const struct {
        const char *name;
        enum body_format format;
    } table[] = {
        {"", BODY_JSON},
        {"application/json", BODY_JSON},
        {"application/yaml", BODY_YAML},
        {"application/json-patch+json", BODY_JSON_PATCH},
        {"application/merge-patch+json", BODY_MERGE_PATCH},
        {"application/strategic-merge-patch+json", BODY_STRATEGIC_PATCH},
        {"application/apply-patch+yaml", BODY_APPLY_PATCH},
    };
    struct str rest;
    struct str media = str_trim(str_cut(content_type, ';', &rest));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (str_is(media, table[i].name)) {
            return table[i].format;
        }
    }
    return BODY_OTHER;
}

static struct str header(const struct http_request *http, const char *name)
{
    return http_header_get(http->headers, http->header_count, str_of(name));
}

static bool wants_gzip(struct str accept_encoding)
{
    struct str rest = accept_encoding;
    while (rest.p != NULL) {
        struct str quality = STR_NONE;
        struct str name = str_trim(str_cut(str_cut(rest, ',', &rest), ';', &quality));
        if (str_is(name, "gzip")) {
            return !str_is(str_trim(quality), "q=0");
        }
    }
    return false;
}

static void read_accept(struct request *request, const struct http_request *http)
{
    accept_parse(&request->arena, header(http, "accept"), &request->accept);
    request->accept.gzip = wants_gzip(header(http, "accept-encoding"));
    request->accept.pretty =
        request->options.pretty || (query_get(&request->options, "pretty").p == NULL &&
                                    (str_starts(request->user_agent, STR("curl")) ||
                                     str_starts(request->user_agent, STR("Wget")) ||
                                     str_starts(request->user_agent, STR("Mozilla/5.0"))));
    struct str include = query_get(&request->options, "includeObject");
    request->accept.include = str_is(include, "None")     ? INCLUDE_NONE
                              : str_is(include, "Object") ? INCLUDE_OBJECT
                                                          : INCLUDE_METADATA;
}

/* Everything that can be wrong before the handler; 0 or the failure's code. */
static int prepare(struct request *request, const struct http_request *http,
                   struct failure *failure)
{
    struct err err = ERR_INIT;
    struct arena *arena = &request->arena;
    struct str query = str_copy_in(arena, http->query);
    int routed = route_parse(arena, http->method, str_copy_in(arena, http->path), query,
                             &request->route, &err);
    bool open = routed == 0 && request->route.resource == NULL &&
                (info_is_public(request->route.path) ||
                 (info_endpoint_of(request->server, request->route.path) != NULL &&
                  info_endpoint_of(request->server, request->route.path)->anonymous));
    if (!request->identity->authenticated && !open) {
        return failure_set(failure, &request->arena, ERR_UNAUTHORIZED, "Unauthorized");
    }
    if (routed < 0) {
        return failure_from_err(failure, &request->arena, &err);
    }
    int code =
        query_options_parse(&request->arena, &request->route, query, &request->options, failure);
    if (code == 0) {
        read_accept(request, http);
        code = impersonate(request, http, failure);
    }
    if (code == 0 && request->accept.bad && request->route.resource != NULL) {
        code = failure_set(failure, &request->arena, ERR_NOT_ACCEPTABLE,
                           "only the following media types are accepted: application/json, "
                           "application/yaml");
    }
    return code;
}

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct server *server = ctx;
    const struct http_request *http = http_request(exchange);
    struct loop *loop = http_exchange_loop(exchange);
    struct identity *identity = NULL;
    struct err err = ERR_INIT;
    struct failure failure;
    int code = authn_identify(server, stream_peer_certificate(http_exchange_stream(exchange)),
                              header(http, "authorization"), clock_wall(loop_clock(loop)),
                              &identity, &err);
    if (code < 0) {
        identity = identity_new_anonymous();
    }
    struct request *request = request_new(server, loop, identity, &http_transport);
    identity_unref(identity);
    request->exchange = exchange;
    /* Copies: tapes and routes point into them, and a write outlives a peer that leaves. */
    struct arena *arena = &request->arena;
    request->body = str_copy_in(arena, http->body);
    request->body_format = format_of(header(http, "content-type"));
    request->user_agent = str_copy_in(arena, header(http, "user-agent"));
    request->source = str_copy_in(arena, stream_peer_address(http_exchange_stream(exchange)));
    http_exchange_set(exchange, request);
    if (code < 0) {
        failure_set(&failure, &request->arena, ERR_UNAUTHORIZED, "Unauthorized");
        request_fail(request, &failure);
        return;
    }
    if (prepare(request, http, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    request_start(request);
}

static void on_abort(void *ctx, struct http_exchange *exchange)
{
    struct request *request = http_exchange_get(exchange);
    if (request == NULL) {
        return; /* answered already; its body is freed by itself */
    }
    request->exchange = NULL;
    if (request->gone != NULL) {
        request->gone(request);
    }
}

static const struct http_server_ops server_ops = {.on_request = on_request, .on_abort = on_abort};

void server_serve_connection(struct server *server, struct stream *stream)
{
    const struct http_server_options options = {.body_limit = BODY_LIMIT};
    struct http_connection *connection = http_serve(stream, &options, &server_ops, server);
    if (atomic_load(&server->draining)) {
        http_connection_drain(connection);
    }
}
