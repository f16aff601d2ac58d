/* handler.c: the table of the agent's HTTP surface: path, method, what the caller must be allowed
 * (subresources of nodes, KEP-2862), and who answers. What the table does not name needs
 * nodes/proxy, as upstream, and is not found then. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "node/serve/access.h"
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

static void serve_metrics(struct serve_request *request)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    metrics_write(&out);
    serve_text(request->exchange, 200, "text/plain; version=0.0.4", buf_view(&out));
}

static const struct route {
    const char *path;        /* a whole path, or a prefix that ends in '/' */
    const char *subresource; /* of nodes */
    bool or_proxy;           /* a fine one: who has nodes/proxy may as well */
    bool connects; /* asked for with verb create, whatever the method (GET over WebSocket) */
    const char *methods;
    void (*serve)(struct serve_request *request);
} routes[] = {
    {"/healthz", "healthz", true, false, "GET", serve_health},
    {"/pods", "pods", true, false, "GET", serve_pods},
    {"/runningpods", "pods", true, false, "GET", serve_running_pods},
    {"/configz", "configz", true, false, "GET", serve_configz},
    {"/metrics", "metrics", false, false, "GET", serve_metrics},
    {"/metrics/resource", "metrics", false, false, "GET", serve_metrics_resource},
    {"/metrics/cadvisor", "metrics", false, false, "GET", serve_metrics_cadvisor},
    {"/metrics/probes", "metrics", false, false, "GET", serve_metrics_probes},
    {"/stats/summary", "stats", false, false, "GET", serve_summary},
    {"/logs/", "log", false, false, "GET", serve_system_logs},
    {"/checkpoint/", "checkpoint", false, false, "POST", serve_checkpoint},
    {"/containerLogs/", "proxy", false, false, "GET", serve_logs},
    {"/run/", "proxy", false, true, "POST", serve_run},
    {"/exec/", "proxy", false, true, "GET POST", serve_exec},
    {"/attach/", "proxy", false, true, "GET POST", serve_attach},
    {"/portForward/", "proxy", false, true, "GET POST", serve_port_forward},
    {"/cox/v1/dial", AGENT_DIAL, false, true, "GET", serve_dial},
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
static bool split_path(struct serve_request *request, struct str rest)
{
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
    static const struct {
        const char *method, *verb;
    } verbs[] = {{"POST", "create"}, {"PUT", "update"}, {"PATCH", "patch"}, {"DELETE", "delete"}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (str_is(method, verbs[i].method)) {
            return verbs[i].verb;
        }
    }
    return route != NULL && route->connects ? "create" : "get";
}

static bool takes_method(const struct route *route, struct str method)
{
    struct str rest = str_of(route->methods);
    while (rest.p != NULL) {
        if (str_eq(str_cut(rest, ' ', &rest), method)) {
            return true;
        }
    }
    return false;
}

static void serve_allowed(struct agent *agent, struct http_exchange *exchange)
{
    const struct http_request *http = http_request(exchange);
    const struct route *route = find_route(http->path);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct serve_request request = {.agent = agent, .exchange = exchange, .arena = &arena};
    if (route == NULL) {
        serve_error(exchange, 404, "404 page not found");
        return;
    }
    if (!takes_method(route, http->method)) {
        serve_error(exchange, 405, "405: Method Not Allowed");
        return;
    }
    request.tail = str_from(http->path, strlen(route->path));
    if (!url_query_parse(&arena, http->query, &request.query, &request.query_count) ||
        (strcmp(route->path, "/logs/") != 0 && !split_path(&request, request.tail))) {
        serve_error(exchange, 400, "bad path or query");
        return;
    }
    route->serve(&request);
}

void agent_handle(struct agent *agent, struct http_exchange *exchange, bool trusted)
{
    const struct http_request *http = http_request(exchange);
    const struct route *route = find_route(http->path);
    if (trusted) {
        serve_allowed(agent, exchange);
        return;
    }
    struct access_question question = {.verb = verb_of(route, http->method),
                                       .subresource = route != NULL ? route->subresource : "proxy",
                                       .or_proxy = route != NULL && route->or_proxy,
                                       .allowed = serve_allowed};
    access_check(agent->access, exchange, &question);
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
