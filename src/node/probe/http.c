/* http.c: httpGet and grpc checks of the pod, over connections of their own (no reuse between
 * probes). HTTP: 200 to 399 is success, certificates are not verified, redirects are not followed
 * (one counts as success, as upstream's to another host does). gRPC: grpc.health.v1.Health/Check
 * must answer SERVING. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/tls.h"
#include "node/probe/action.h"
#include "wire/http.h"
#include "wire/protobuf.h"

enum { BODY_MAX = 10 * 1024, HEADERS_MAX = 32 };

struct call {
    struct action *action; /* NULL: given up */
    struct http_client *client;
    struct http_exchange *exchange;
    struct arena arena;
    struct buf body;
    int status;
    bool grpc, over;
    struct timer end_timer; /* the client is freed outside of its own callbacks */
};

static void on_end_timer(struct timer *timer)
{
    struct call *call = container_of(timer, struct call, end_timer);
    if (call->client != NULL) {
        http_client_free(call->client);
    }
    arena_done(&call->arena);
    buf_done(&call->body);
    free(call);
}

static void call_end(struct call *call, struct loop *loop)
{
    if (!call->over) {
        call->over = true;
        timer_start(loop, &call->end_timer, 0, on_end_timer);
    }
}

static void finish(struct call *call, bool ok, struct str output)
{
    struct action *action = call->action;
    call->action = NULL;
    if (action != NULL) {
        action->state = NULL;
        call_end(call, action->loop);
        action_finish(action, ok, output);
    }
}

static bool grpc_serving(struct str body)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    uint64_t status = 0;
    if (body.n < 5 || body.p[0] != 0) {
        return false;
    }
    protobuf_reader_init(&reader, str_from(body, 5));
    while (protobuf_next(&reader, &field)) {
        if (field.number == 1 && field.type == 0) {
            status = field.value;
        }
    }
    return status == 1;
}

static void judge(struct call *call)
{
    char text[BODY_MAX + 128];
    if (call->grpc) {
        bool ok = call->status == 200 && grpc_serving(buf_view(&call->body));
        finish(call, ok, ok ? STR_NONE : STR("service unhealthy"));
        return;
    }
    bool ok = call->status >= 200 && call->status < 400;
    snprintf(text, sizeof text, "HTTP probe failed with statuscode: %d", call->status);
    finish(call, ok, ok ? buf_view(&call->body) : str_of(text));
}

static void on_headers(void *ctx, struct http_exchange *exchange, int status,
                       const struct http_header *headers, size_t count)
{
    ((struct call *)ctx)->status = status;
}

static void on_data(void *ctx, struct http_exchange *exchange, const char *bytes, size_t size)
{
    struct call *call = ctx;
    size_t room = BODY_MAX - call->body.n;
    buf_add(&call->body, bytes, size < room ? size : room);
}

static void on_end(void *ctx, struct http_exchange *exchange, const struct err *err)
{
    struct call *call = ctx;
    call->exchange = NULL;
    if (err != NULL && err->code != 0 && call->status == 0) {
        finish(call, false, str_of(err->message));
    } else {
        judge(call);
    }
}

static void on_client_close(void *ctx, const struct err *err)
{
    struct call *call = ctx;
    finish(call, false, str_of(err != NULL && err->message[0] != '\0' ? err->message : "closed"));
}

static const struct http_client_ops client_ops = {
    .on_headers = on_headers, .on_data = on_data, .on_end = on_end};

/* The stream belongs to the HTTP client, which sets its own callbacks. */
static void ignore_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
}
static void ignore_close(void *ctx, struct stream *stream, const struct err *err)
{
}
static const struct stream_ops opening_ops = {.on_read = ignore_read, .on_close = ignore_close};

static int dial(struct action *action, struct call *call, struct str host, uint16_t port, bool tls,
                struct err *err)
{
    char address[300];
    struct tls_context *context = NULL;
    snprintf(address, sizeof address, str_contains(host, STR(":")) ? "[%.*s]:%u" : "%.*s:%u",
             STR_ARG(host), port);
    if (tls) {
        struct tls_options options = {.insecure = true};
        context = tls_client_new(&options, err);
        if (context == NULL) {
            return err->code;
        }
    }
    struct dial_options options = {.address = str_of(address),
                                   .tls = context,
                                   .server_name = host,
                                   .alpn = call->grpc ? STR("h2") : STR("http/1.1"),
                                   .timeout_ns = action->timeout_ns};
    struct stream *stream = stream_dial(action->loop, &options, &opening_ops, NULL);
    if (context != NULL) {
        tls_unref(context);
    }
    call->client = http_client_new(stream, call->grpc ? 2 : 1, on_client_close, call);
    return 0;
}

static size_t add_headers(struct call *call, const struct val *spec, struct http_header *headers,
                          struct str *authority)
{
    size_t count = 0;
    bool agent = false, accept = false;
    VAL_EACH (it, val_get(spec, "httpHeaders")) {
        char *name = str_dup_in(&call->arena, val_text(val_get(it, "name")));
        struct str value = str_copy_in(&call->arena, val_text(val_get(it, "value")));
        for (char *c = name; *c != '\0'; c++) {
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        }
        if (strcmp(name, "host") == 0) {
            *authority = value;
        } else if (count < HEADERS_MAX - 2) {
            agent |= strcmp(name, "user-agent") == 0;
            accept |= strcmp(name, "accept") == 0;
            headers[count++] = (struct http_header){str_of(name), value};
        }
    }
    if (!agent) {
        headers[count++] = (struct http_header){STR("user-agent"), STR("kube-probe/1.37")};
    }
    if (!accept) {
        headers[count++] = (struct http_header){STR("accept"), STR("*/*")};
    }
    return count;
}

static int http_start(struct action *action, const struct val *spec, struct err *err)
{
    uint16_t port = action_port(action, val_get(spec, "port"));
    struct str host = action_host(action, spec), path = val_text(val_get(spec, "path"));
    if (port == 0) {
        return err_set(err, ERR_INVALID, "couldn't find port: %.*s",
                       STR_ARG(val_text(val_get(spec, "port"))));
    }
    struct call *call = mem_new(struct call);
    call->action = action;
    int rc =
        dial(action, call, host, port, str_is(val_text(val_get(spec, "scheme")), "HTTPS"), err);
    if (rc != 0) {
        free(call);
        return rc;
    }
    struct http_header headers[HEADERS_MAX];
    struct str authority = str_of(arena_printf(&call->arena, "%.*s:%u", STR_ARG(host), port));
    size_t count = add_headers(call, spec, headers, &authority);
    if (path.n == 0 || path.p[0] != '/') {
        path = str_of(arena_printf(&call->arena, "/%.*s", STR_ARG(path)));
    }
    struct http_client_request request = {.method = STR("GET"),
                                          .path = str_copy_in(&call->arena, path),
                                          .authority = authority,
                                          .headers = headers,
                                          .header_count = count};
    action->state = call;
    call->exchange = http_send(call->client, &request, &client_ops, call);
    return 0;
}

static void call_stop(struct action *action)
{
    struct call *call = action->state;
    call->action = NULL;
    call_end(call, action->loop);
}
const struct action_kind action_http = {.field = "httpGet", .start = http_start, .stop = call_stop};

static int grpc_start(struct action *action, const struct val *spec, struct err *err)
{
    uint16_t port = action_port(action, val_get(spec, "port"));
    struct buf message BUF_CLEANUP = BUF_INIT, frame BUF_CLEANUP = BUF_INIT;
    struct str service = val_text(val_get(spec, "service"));
    struct call *call = mem_new(struct call);
    call->action = action;
    call->grpc = true;
    int rc = dial(action, call, action_host(action, spec), port, false, err);
    if (rc != 0) {
        free(call);
        return rc;
    }
    if (service.n > 0) {
        protobuf_bytes(&message, 1, service);
    }
    char head[5] = {0, (char)(message.n >> 24), (char)(message.n >> 16), (char)(message.n >> 8),
                    (char)message.n};
    buf_add(&frame, head, sizeof head);
    buf_str(&frame, buf_view(&message));
    struct http_header headers[] = {{STR("content-type"), STR("application/grpc")},
                                    {STR("te"), STR("trailers")},
                                    {STR("user-agent"), STR("kube-probe/1.37")}};
    struct http_client_request request = {
        .method = STR("POST"),
        .path = STR("/grpc.health.v1.Health/Check"),
        .authority =
            str_of(arena_printf(&call->arena, "%.*s:%u", STR_ARG(action_host(action, spec)), port)),
        .headers = headers,
        .header_count = 3,
        .body = http_body_copy(buf_view(&frame))};
    action->state = call;
    call->exchange = http_send(call->client, &request, &client_ops, call);
    return 0;
}
const struct action_kind action_grpc = {.field = "grpc", .start = grpc_start, .stop = call_stop};
