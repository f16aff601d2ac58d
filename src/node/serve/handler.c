/* handler.c: the table of the agent's HTTP surface: path, method, what the caller must be allowed
 * (subresources of nodes, KEP-2862), and who answers. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "node/serve/streams.h"

struct stream_set *stream_set_new(void)
{
    struct stream_set *set = mem_new(struct stream_set);
    list_init(&set->items);
    return set;
}

void stream_set_free(struct stream_set *set)
{
    if (set == NULL) {
        return;
    }
    for (struct list *it = list_pop(&set->items); it != NULL; it = list_pop(&set->items)) {
        struct stream_item *item = container_of(it, struct stream_item, link);
        item->end(item);
    }
    free(set);
}

void stream_set_add(struct agent *agent, struct stream_item *item)
{
    list_init(&item->link);
    list_append(&agent->streams->items, &item->link);
}

struct str serve_query(const struct serve_request *request, const char *key)
{
    for (size_t i = 0; i < request->query_count; i++) {
        if (str_is(request->query[i].key, key)) {
            return request->query[i].value;
        }
    }
    return STR_NONE;
}

bool serve_query_bool(const struct serve_request *request, const char *key)
{
    bool value = false;
    str_bool(serve_query(request, key), &value);
    return value;
}

void serve_text(struct http_exchange *exchange, int status, const char *type, struct str body)
{
    struct http_header header = {STR("content-type"), str_of(type)};
    http_respond(exchange, status, &header, 1, http_body_copy(body));
}

void serve_error(struct http_exchange *exchange, int status, const char *format, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof text - 1, format, ap);
    va_end(ap);
    n = n < (int)sizeof text - 1 ? n : (int)sizeof text - 2;
    text[n++] = '\n';
    serve_text(exchange, status, "text/plain; charset=utf-8", str_at(text, (size_t)n));
}

static void serve_health(struct serve_request *request)
{
    serve_text(request->exchange, 200, "text/plain; charset=utf-8", STR("ok"));
}

static void serve_pods(struct serve_request *request)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
    bool first = true;
    MAP_EACH (it, &request->agent->pod_entries) {
        const struct pod_entry *entry = it->value;
        if (entry->worker->view->object == NULL) {
            continue;
        }
        if (!first) {
            buf_char(&out, ',');
        }
        object_write(entry->worker->view->object, false, &out);
        first = false;
    }
    buf_addz(&out, "]}\n");
    serve_text(request->exchange, 200, "application/json", buf_view(&out));
}

static void serve_metrics(struct serve_request *request)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    metrics_write(&out);
    serve_text(request->exchange, 200, "text/plain; version=0.0.4", buf_view(&out));
}

static const struct route {
    const char *path;        /* a whole path, or a prefix that ends in '/' */
    const char *subresource; /* of nodes */
    bool connects; /* asked for with verb create, whatever the method (GET over WebSocket) */
    void (*serve)(struct serve_request *request);
} routes[] = {
    {"/healthz", "healthz", false, serve_health},
    {"/pods", "pods", false, serve_pods},
    {"/metrics", "metrics", false, serve_metrics},
    {"/metrics/resource", "metrics", false, serve_metrics_resource},
    {"/stats/summary", "stats", false, serve_summary},
    {"/containerLogs/", "proxy", false, serve_logs},
    {"/exec/", "proxy", true, serve_exec},
    {"/attach/", "proxy", true, serve_attach},
    {"/portForward/", "proxy", true, serve_port_forward},
    {"/cox/v1/dial", AGENT_DIAL, true, serve_dial},
};

static const struct route *find_route(struct str path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        struct str pattern = str_of(routes[i].path);
        bool prefix = pattern.n > 1 && pattern.p[pattern.n - 1] == '/';
        bool same =
            str_eq(path, pattern) || (!prefix && path.n == pattern.n + 1 &&
                                      str_starts(path, pattern) && path.p[path.n - 1] == '/');
        if (same || (prefix && str_starts(path, pattern))) {
            return &routes[i];
        }
    }
    return NULL;
}

/* NS/POD[/UID]/CONTAINER after the route's prefix. */
static bool split_path(struct serve_request *request, const struct route *route, struct str path)
{
    struct str rest = str_from(path, strlen(route->path));
    while (rest.p != NULL && rest.n > 0) {
        struct str part, raw = str_cut(rest, '/', &rest);
        if (request->part_count == 4 || !url_decode(request->arena, raw, false, &part)) {
            return false;
        }
        request->parts[request->part_count++] = part;
    }
    if (request->part_count == 4) { /* with the uid between */
        request->parts[2] = request->parts[3];
        request->part_count = 3;
    }
    if (request->part_count >= 2) {
        request->entry = agent_entry_named(request->agent, request->parts[0], request->parts[1]);
    }
    if (request->entry != NULL && request->part_count >= 3) {
        struct container *container =
            pod_worker_container(request->entry->worker, request->parts[2]);
        request->run = container != NULL ? container->user : NULL;
    }
    return true;
}

static const char *verb_of(const struct route *route, struct str method)
{
    return route->connects || str_is(method, "POST") ? "create" : "get";
}

void agent_handle(struct agent *agent, struct http_exchange *exchange,
                  agent_authorize_fn *authorize, void *ctx)
{
    const struct http_request *http = http_request(exchange);
    const struct route *route = find_route(http->path);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct serve_request request = {.agent = agent, .exchange = exchange, .arena = &arena};
    if (route == NULL) {
        serve_error(exchange, 404, "404 page not found");
        return;
    }
    if (authorize != NULL && authorize(ctx, exchange, verb_of(route, http->method),
                                       route->subresource) != AGENT_ACCESS_ALLOWED) {
        serve_error(exchange, 403, "Forbidden (verb=%s, resource=nodes, subresource=%s)",
                    verb_of(route, http->method), route->subresource);
        return;
    }
    if (!str_is(http->method, "GET") && !(route->connects && str_is(http->method, "POST"))) {
        serve_error(exchange, 405, "405: Method Not Allowed");
        return;
    }
    if (!split_path(&request, route, http->path) ||
        !url_query_parse(&arena, http->query, &request.query, &request.query_count)) {
        serve_error(exchange, 400, "bad path or query");
        return;
    }
    route->serve(&request);
}

void agent_abort(struct agent *agent, struct http_exchange *exchange)
{
    /* Bodies are freed by the connection, upgraded streams have their own callbacks: only what is
     * still being prepared refers to an exchange, and says so. */
    struct stream_item *item = http_exchange_get(exchange);
    if (item != NULL) {
        item->end(item);
    }
}
