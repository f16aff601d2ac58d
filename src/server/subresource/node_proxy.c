/* node_proxy.c: requests that end at a node or a pod: log, exec, attach, portforward, proxy.
 *
 * The server authorizes, finds the node, and passes bytes: an upgraded stream (WebSocket, SPDY) is
 * a tunnel to the kubelet surface of the node, which speaks these protocols itself; anything else
 * is one HTTP/1.1 exchange whose answer is streamed back. Redirects are never followed; one from a
 * node is an error, one from a pod loses a Location that leads elsewhere. Credentials never leave:
 * Authorization, Cookie and Impersonate-* headers are dropped. Only 101 makes a tunnel.
 */
#include <stdlib.h>

#include "api/names.h"
#include "server/server_int.h"
#include "server/subresource/relay.h"
#include "server/subresource/subresource.h"

static void fail(struct request *request, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct request *request, enum err_code code, const char *format, ...)
{
    struct failure failure;
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(&request->arena, format, ap);
    va_end(ap);
    failure_set(&failure, &request->arena, code, "%s", text);
    request_fail(request, &failure);
}

/* ---- containers ---- */

static bool has_container(const struct val *spec, struct str name)
{
    static const char *const lists[] = {"containers", "initContainers", "ephemeralContainers"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (val_find(val_get_n(spec, lists[i], strlen(lists[i])), "name", name) != NULL) {
            return true;
        }
    }
    return false;
}

static void choices(const struct val *list, struct buf *out)
{
    buf_char(out, '[');
    VAL_EACH (it, list) {
        buf_addz(out, it == list->child ? "" : " ");
        buf_str(out, val_text(val_get(it, "name")));
    }
    buf_char(out, ']');
}

/* The container that is meant; false: the request was answered. */
static bool container_of_request(struct request *request, const struct val *pod,
                                 struct str *ret_name)
{
    const struct val *spec = val_get(pod, "spec");
    const struct val *list = val_get(spec, "containers");
    struct str name = query_get(&request->options, "container");
    struct str pod_name = request->route.name;
    if (name.n == 0) {
        name = val_text(val_get(val_path(pod, "metadata.annotations"),
                                "kubectl.kubernetes.io/default-container"));
    }
    if (name.n == 0 && val_count(list) == 1) {
        name = val_text(val_get(val_at(list, 0), "name"));
    }
    if (name.n == 0) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        choices(list, &text);
        fail(request, ERR_BAD_REQUEST,
             "a container name must be specified for pod %.*s, choose one of: %.*s",
             STR_ARG(pod_name), STR_ARG(buf_view(&text)));
        return false;
    }
    if (!has_container(spec, name)) {
        fail(request, ERR_BAD_REQUEST, "container %.*s is not valid for pod %.*s", STR_ARG(name),
             STR_ARG(pod_name));
        return false;
    }
    *ret_name = name;
    return true;
}

/* ---- kubelet's URLs ---- */

struct url {
    struct buf text;
    bool has_query;
};

static void add_segment(struct url *url, struct str segment)
{
    buf_char(&url->text, '/');
    url_encode(&url->text, segment);
}

static void add_query(struct url *url, const char *key, struct str value)
{
    buf_char(&url->text, url->has_query ? '&' : '?');
    url->has_query = true;
    buf_addz(&url->text, key);
    buf_char(&url->text, '=');
    url_encode(&url->text, value);
}

static void log_query(struct url *url, const struct query_options *o)
{
    static const char *const keys[] = {"follow",     "previous",  "sinceSeconds", "sinceTime",
                                       "timestamps", "tailLines", "limitBytes",   "stream"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct str value = query_get(o, keys[i]);
        if (value.n > 0) {
            add_query(url, keys[i], value);
        }
    }
}

static void stream_query(struct url *url, const struct query_options *o, bool exec)
{
    static const struct {
        const char *ours, *kubelets;
    } flags[] = {{"stdin", "input"}, {"stdout", "output"}, {"stderr", "error"}, {"tty", "tty"}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (query_bool(o, flags[i].ours)) {
            add_query(url, flags[i].kubelets, STR("1"));
        }
    }
    for (size_t i = 0; exec && i < o->pair_count; i++) {
        if (str_is(o->pairs[i].key, "command")) {
            add_query(url, "command", o->pairs[i].value);
        }
    }
}

static void port_query(struct url *url, const struct query_options *o)
{
    for (size_t i = 0; i < o->pair_count; i++) {
        if (str_is(o->pairs[i].key, "ports")) {
            add_query(url, "port", o->pairs[i].value);
        }
    }
}

static bool pod_url(struct request *request, const struct val *pod, struct url *url)
{
    struct str sub = route_subresource(&request->route);
    static const struct {
        const char *sub, *path;
    } paths[] = {{"log", "/containerLogs"},
                 {"exec", "/exec"},
                 {"attach", "/attach"},
                 {"portforward", "/portForward"}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        buf_addz(&url->text, str_is(sub, paths[i].sub) ? paths[i].path : "");
    }
    add_segment(url, request->route.ns);
    add_segment(url, request->route.name);
    if (str_is(sub, "portforward")) {
        port_query(url, &request->options);
        return true;
    }
    struct str container = STR_NONE;
    if (!container_of_request(request, pod, &container)) {
        return false;
    }
    add_segment(url, container);
    if (str_is(sub, "log")) {
        log_query(url, &request->options);
    } else {
        stream_query(url, &request->options, str_is(sub, "exec"));
    }
    return true;
}

/* ---- targets ---- */

static void not_found(struct request *request, const struct api_resource *resource, struct str name)
{
    struct failure failure;
    failure_not_found(&failure, &request->arena, resource, name);
    request_fail(request, &failure);
}

static void to_pod_surface(struct request *request)
{
    const struct api_resource *pods = request->server->known.pods;
    struct object *object =
        cache_get(request->server->cache, pods, request->route.ns, request->route.name);
    if (object == NULL) {
        not_found(request, pods, request->route.name);
        return;
    }
    struct val *pod = val_copy(&request->arena, object_decode(object, &request->arena));
    object_unref(object);
    struct str node = val_text(val_path(pod, "spec.nodeName"));
    bool log = str_is(route_subresource(&request->route), "log");
    struct url url = {0};
    if (node.n == 0 && log) {
        struct buf nothing = BUF_INIT; /* not scheduled: no log yet, and no error */
        request_answer_bytes(request, 204, "text/plain", &nothing);
        buf_done(&nothing);
        return;
    }
    if (node.n == 0) {
        fail(request, ERR_BAD_REQUEST, "pod %.*s does not have a host assigned",
             STR_ARG(request->route.name));
        return;
    }
    if (!log && request->exchange != NULL && http_upgrade_wanted(request->exchange).n == 0) {
        fail(request, ERR_BAD_REQUEST, "Upgrade request required");
        return;
    }
    if (pod_url(request, pod, &url)) {
        relay_to_node(request, node, buf_view(&url.text));
    }
    buf_done(&url.text);
}

/* "[scheme:]name[:port]" of the proxy subresources. */
static bool split_name(struct str text, struct str *ret_scheme, struct str *ret_name,
                       struct str *ret_port)
{
    struct str rest = STR_NONE, more = STR_NONE;
    struct str first = str_cut(text, ':', &rest);
    *ret_scheme = *ret_port = STR_NONE;
    *ret_name = first;
    if (rest.p == NULL) {
        return first.n > 0;
    }
    struct str second = str_cut(rest, ':', &more);
    if (more.p == NULL) {
        *ret_port = second;
        return first.n > 0;
    }
    *ret_scheme = first;
    *ret_name = second;
    *ret_port = more;
    return second.n > 0 && (first.n == 0 || str_is(first, "http") || str_is(first, "https"));
}

/* The path behind the proxy, with the query as it came. */
static struct str tail_with_query(struct request *request)
{
    struct url url = {0};
    buf_str(&url.text, request->route.tail.n > 0 ? request->route.tail : STR("/"));
    for (size_t i = 0; i < request->options.pair_count; i++) {
        buf_char(&url.text, i == 0 ? '?' : '&');
        url_encode(&url.text, request->options.pairs[i].key);
        buf_char(&url.text, '=');
        url_encode(&url.text, request->options.pairs[i].value);
    }
    struct str text = str_copy_in(&request->arena, buf_view(&url.text));
    buf_done(&url.text);
    return text;
}

/* Addresses that no pod has, but that something on this machine or its cloud answers: whoever
 * writes a pod's status or an EndpointSlice must not get the server to ask there (security.md,
 * SSRF). */
static bool is_forbidden_address(struct str ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t b[16];
    int family = name_ip_parse(ip, b);
    if (family == 6 && memcmp(b, mapped, sizeof mapped) == 0) {
        memmove(b, b + 12, 4);
        family = 4;
    }
    if (family == 4) {
        return b[0] == 0 || b[0] == 127 || (b[0] == 169 && b[1] == 254) || b[0] >= 224;
    }
    if (family == 6) {
        bool zero = true;
        for (int i = 0; i < 15; i++) {
            zero = zero && b[i] == 0;
        }
        return zero || b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
    }
    return true;
}

static void reach_or_refuse(struct request *request, const struct relay_target *target)
{
    if (target->ip.n == 0 || target->port <= 0 || target->port > 65535) {
        fail(request, ERR_UNAVAILABLE, "no endpoints available for \"%.*s\"",
             STR_ARG(request->route.name));
        return;
    }
    if (is_forbidden_address(target->ip)) {
        fail(request, ERR_FORBIDDEN, "address not allowed");
        return;
    }
    relay_to_target(request, target, tail_with_query(request));
}

static int64_t first_port(const struct val *pod)
{
    VAL_EACH (container, val_path(pod, "spec.containers")) {
        const struct val *port = val_at(val_get(container, "ports"), 0);
        if (port != NULL) {
            return val_int(val_get(port, "containerPort"), 0);
        }
    }
    return 80;
}

/* The agent's own surface, or another port of the node. */
static void to_node(struct request *request)
{
    struct str scheme, name, port;
    const struct api_resource *nodes = request->server->known.nodes;
    struct object *object = NULL;
    int64_t number = 0;
    if (split_name(request->route.name, &scheme, &name, &port)) {
        object = cache_get(request->server->cache, nodes, STR_NONE, name);
    }
    if (object == NULL) {
        not_found(request, nodes, request->route.name);
        return;
    }
    struct val *node = val_copy(&request->arena, object_decode(object, &request->arena));
    object_unref(object);
    if (port.n > 0 && !str_i64(port, &number)) {
        fail(request, ERR_BAD_REQUEST, "invalid port \"%.*s\"", STR_ARG(port));
        return;
    }
    int64_t own = val_int(val_path(node, "status.daemonEndpoints.kubeletEndpoint.Port"), 10250);
    if (port.n == 0 || number == own) {
        relay_to_node(request, name, tail_with_query(request));
        return;
    }
    const struct val *addresses = val_path(node, "status.addresses");
    struct relay_target target = {
        .node = name,
        .ip = val_text(val_get(val_find(addresses, "type", STR("InternalIP")), "address")),
        .port = number,
        .tls = str_is(scheme, "https")};
    reach_or_refuse(request, &target);
}

static void to_pod(struct request *request)
{
    struct str scheme, name, port;
    const struct api_resource *pods = request->server->known.pods;
    struct object *object = NULL;
    if (split_name(request->route.name, &scheme, &name, &port)) {
        object = cache_get(request->server->cache, pods, request->route.ns, name);
    }
    if (object == NULL) {
        not_found(request, pods, request->route.name);
        return;
    }
    struct val *pod = val_copy(&request->arena, object_decode(object, &request->arena));
    object_unref(object);
    int64_t number = port.n > 0 ? 0 : first_port(pod);
    if (port.n > 0 && !str_i64(port, &number)) {
        fail(request, ERR_BAD_REQUEST, "invalid port \"%.*s\"", STR_ARG(port));
        return;
    }
    struct relay_target target = {.node = val_text(val_path(pod, "spec.nodeName")),
                                  .ip = val_text(val_path(pod, "status.podIP")),
                                  .port = number,
                                  .tls = str_is(scheme, "https")};
    reach_or_refuse(request, &target);
}

/* A ready endpoint of the Service, and its port by name or number. */
struct endpoint_choice {
    struct relay_target target;
    size_t seen;
};

static const struct val *service_port(const struct val *service, struct str wanted)
{
    const struct val *ports = val_path(service, "spec.ports");
    int64_t number = 0;
    bool numeric = str_i64(wanted, &number);
    VAL_EACH (it, ports) {
        if (wanted.n == 0 || str_eq(val_text(val_get(it, "name")), wanted) ||
            (numeric && val_int(val_get(it, "port"), 0) == number)) {
            return it;
        }
    }
    return NULL;
}

static void choose(struct request *request, const struct val *slice, struct str port_name,
                   struct endpoint_choice *choice)
{
    const struct val *port = NULL;
    VAL_EACH (it, val_get(slice, "ports")) {
        if (str_eq(val_text(val_get(it, "name")), port_name)) {
            port = it;
        }
    }
    VAL_EACH (it, port != NULL ? val_get(slice, "endpoints") : NULL) {
        bool ready = val_bool(val_path(it, "conditions.ready"), true);
        struct str ip = val_text(val_at(val_get(it, "addresses"), 0));
        if (ready && ip.n > 0 && random_below(loop_random(request->loop), ++choice->seen) == 0) {
            bool pod = str_is(val_text(val_path(it, "targetRef.kind")), "Pod");
            choice->target.ip = str_copy_in(&request->arena, ip);
            choice->target.port = val_int(val_get(port, "port"), 0);
            choice->target.node = /* an address that is no pod's is nobody's to dial but ours */
                pod ? str_copy_in(&request->arena, val_text(val_get(it, "nodeName"))) : STR_NONE;
        }
    }
}

static void to_service(struct request *request)
{
    struct server *server = request->server;
    struct str scheme, name, port;
    struct object *object = NULL;
    if (split_name(request->route.name, &scheme, &name, &port)) {
        object = cache_get(server->cache, server->known.services, request->route.ns, name);
    }
    if (object == NULL) {
        not_found(request, server->known.services, request->route.name);
        return;
    }
    struct val *service = val_copy(&request->arena, object_decode(object, &request->arena));
    object_unref(object);
    const struct val *wanted = service_port(service, port);
    if (wanted == NULL) {
        fail(request, ERR_UNAVAILABLE, "no service port \"%.*s\" found for service \"%.*s\"",
             STR_ARG(port), STR_ARG(name));
        return;
    }
    struct endpoint_choice choice = {.target.tls = str_is(scheme, "https")};
    struct snapshot *snapshot = snapshot_take(server->cache, server->known.slices);
    struct snapshot_iter iter;
    const struct object *slice;
    snapshot_iter_init(&iter, snapshot, request->route.ns, NULL, NULL, STR_NONE, STR_NONE);
    while ((slice = snapshot_next(&iter)) != NULL) {
        if (str_eq(object_label_get(slice, STR("kubernetes.io/service-name")), name)) {
            choose(request, object_decode(slice, &request->arena),
                   val_text(val_get(wanted, "name")), &choice);
        }
    }
    snapshot_release(snapshot);
    reach_or_refuse(request, &choice.target);
}

void subresource_node_proxy(struct request *request)
{
    const struct known_resources *known = &request->server->known;
    bool proxy = str_is(route_subresource(&request->route), "proxy");
    if (request->exchange == NULL) {
        fail(request, ERR_METHOD, "streams need a connection of their own");
    } else if (!proxy) {
        to_pod_surface(request);
    } else if (request->route.resource == known->nodes) {
        to_node(request);
    } else if (request->route.resource == known->pods) {
        to_pod(request);
    } else {
        to_service(request);
    }
}
