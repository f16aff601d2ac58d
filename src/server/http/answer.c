/* answer.c: what an answer looks like on the wire: headers, warnings, encodings.
 *
 * The same for a real exchange and for a call made in the process (http/call.h): both are a sink
 * that takes status, headers and a pulled body. A request whose peer left answers into nothing.
 */
#include "server/http/answer.h"

#include "server/http/accept.h"
#include "server/http/encode.h"
#include "server/render.h"
#include "server/server_int.h"

enum { WARNINGS_MAX = 32 };

static bool is_wanted(const struct request *request)
{
    return request->exchange != NULL || request->capture != NULL;
}

struct header_list {
    struct http_header items[WARNINGS_MAX + 12];
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
    if (status != 304) {
        add_header(list, "content-type", str_of(content_type));
    }
    add_header(list, "cache-control",
               request->cache_control != NULL ? str_of(request->cache_control)
                                              : STR("no-cache, private"));
    for (size_t i = 0; i < request->extra_count; i++) {
        list->items[list->count++] = request->extra[i];
    }
    add_warnings(request, list);
    if (request->capture != NULL) {
        request->capture(request, status, list->items, list->count, body);
        return;
    }
    http_exchange_set(request->exchange, NULL); /* on_abort has nothing to do any more */
    http_respond(request->exchange, status, list->items, list->count, body);
}

static void drop(struct request *request, struct http_body *body)
{
    if (body != NULL) {
        body->free(body);
    }
}

/* JSON in the format that was asked for; returns the content type. */
static const char *reformat(struct request *request, enum accept_format format,
                            const char *content_type, struct buf *bytes)
{
    if (!str_is(str_of(content_type), "application/json")) {
        return content_type;
    }
    if (format == FORMAT_YAML) {
        return encode_yaml(&request->arena, bytes);
    }
    if (format == FORMAT_PROTOBUF) {
        return encode_protobuf(bytes);
    }
    if (request->accept.pretty) {
        encode_pretty(&request->arena, bytes);
    }
    return content_type;
}

static void answer_bytes(struct request *request, int status, const char *content_type,
                         struct buf *bytes)
{
    struct header_list list = {0};
    if (is_wanted(request)) {
        content_type = reformat(request, request->accept.format, content_type, bytes);
        size_t size = 0;
        char *taken = buf_take(bytes, &size);
        struct http_body *body = http_body_bytes(taken, size);
        body = encode_gzip(body, request->accept.gzip, size, &list.items[0], &list.count);
        if (request->route.method == METHOD_HEAD || status == 304) {
            body->free(body);
            body = NULL;
        }
        respond(request, status, content_type, body, &list);
    }
    buf_done(bytes);
    request_free(request);
}

static void answer_failure(struct request *request, const struct failure *failure)
{
    struct buf bytes = BUF_INIT;
    struct header_list list = {0};
    if (!is_wanted(request)) {
        request_free(request);
        return;
    }
    failure_write(failure, &bytes);
    buf_char(&bytes, '\n');
    const char *content_type =
        reformat(request, request->accept.failure_format, "application/json", &bytes);
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
    respond(request, status, content_type, body, &list);
    request_free(request);
}

static void answer_object(struct request *request, int status, struct object *object)
{
    struct buf bytes = BUF_INIT;
    struct render render;
    struct failure failure;
    const char *content_type = "application/json";
    if (accept_check_form(request, false, &failure) < 0) {
        object_unref(object);
        answer_failure(request, &failure);
        return;
    }
    if (is_wanted(request)) {
        render_init(&render, request);
        if (object->resource != render.resource->storage) {
            render.form = render.form == ACCEPT_TABLE ? ACCEPT_OBJECT : render.form;
        }
        render_object(&render, object, &bytes);
        if (render.protobuf) {
            content_type = PROTOBUF_TYPE;
        } else {
            buf_char(&bytes, '\n');
        }
        render_done(&render);
    }
    object_unref(object);
    answer_bytes(request, status, content_type, &bytes);
}

static void answer_stream(struct request *request, int status, const char *content_type,
                          struct http_body *body)
{
    struct header_list list = {0};
    if (!is_wanted(request) || request->route.method == METHOD_HEAD) {
        if (is_wanted(request)) {
            respond(request, status, content_type, NULL, &list);
        }
        drop(request, body);
        return;
    }
    bool watch = request->route.verb == VERB_WATCH && request->route.subresource == NULL;
    bool json = str_is(str_of(content_type), "application/json");
    if (!watch && json && (request->accept.format == FORMAT_YAML || request->accept.pretty_asked)) {
        content_type = encode_whole(request, &body);
    }
    if (!watch) {
        body = encode_gzip(body, request->accept.gzip,
                           body->length >= 0 ? (size_t)body->length : SIZE_MAX, &list.items[0],
                           &list.count);
    }
    respond(request, status, content_type, body, &list);
}

const struct transport http_transport = {
    .object = answer_object,
    .bytes = answer_bytes,
    .fail = answer_failure,
    .stream = answer_stream,
};
