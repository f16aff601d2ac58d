/* dial.c: /cox/v1/dial?ip=I&port=P[&tls=1], Upgrade: cox-dial: a connection from this node to one
 * of its pods (or to itself), for the proxies of the API server. TLS ends here and is not verified:
 * nobody signs the certificates of pods, and upstream does not look at them either.
 *
 * Only the API server may ask (handler.c), and only for an address that a pod of this node, or the
 * node, has: who writes EndpointSlices must not reach other machines from here. While the
 * connection is being made the exchange's user pointer is our stream_item, so that agent_abort()
 * finds it; afterwards it is a tunnel and belongs to nobody.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "io/tls.h"
#include "io/tunnel.h"
#include "node/serve/streams.h"

static const int64_t DIAL_TIMEOUT = 10 * NS_PER_S;

struct dial {
    struct stream_item item;
    struct http_exchange *exchange;
    struct stream *stream; /* NULL: closed */
};

static void dial_free(struct dial *dial)
{
    list_remove(&dial->item.link);
    free(dial);
}

static void ignore_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
}
static void ignore_close(void *ctx, struct stream *stream, const struct err *err)
{
}
static const struct stream_ops silent = {.on_read = ignore_read, .on_close = ignore_close};

static void on_open(void *ctx, struct stream *stream)
{
    struct dial *dial = ctx;
    struct http_exchange *exchange = dial->exchange;
    stream_set_ops(stream, &silent, NULL);
    dial_free(dial);
    http_exchange_set(exchange, NULL);
    struct stream *near = http_upgrade(exchange, STR("cox-dial"), NULL, 0, &silent, NULL);
    if (near == NULL) {
        stream_abort(stream, ERR_CLOSED, "nobody waits");
        serve_error(exchange, 500, "no upgrade");
        return;
    }
    tunnel_join(near, stream, NULL, NULL);
}

/* A server that speaks first: its bytes wait until the tunnel is there. */
static void on_read(void *ctx, struct stream *stream, const char *bytes, size_t size)
{
    stream_unread(stream, bytes, size);
}

static void on_close(void *ctx, struct stream *stream, const struct err *err)
{
    struct dial *dial = ctx;
    struct http_exchange *exchange = dial->exchange;
    const char *why = err->message[0] != '\0' ? err->message : "closed";
    struct http_header header = {STR("cox-error"), str_of(why)};
    dial_free(dial);
    http_exchange_set(exchange, NULL);
    http_respond(exchange, 502, &header, 1, http_body_copy(str_of(why)));
}

static const struct stream_ops dial_ops = {
    .on_read = on_read, .on_close = on_close, .on_open = on_open};

/* The one who asked went away, or the agent stops. */
static void dial_end(struct stream_item *item)
{
    struct dial *dial = container_of(item, struct dial, item);
    stream_set_ops(dial->stream, &silent, NULL);
    stream_abort(dial->stream, ERR_CANCELED, "nobody waits");
    dial_free(dial);
}

static bool is_here(const struct agent *agent, struct str ip)
{
    if (str_is(ip, agent->node_ip)) {
        return true;
    }
    MAP_EACH (it, &agent->pod_entries) {
        if (str_is(ip, ((const struct pod_entry *)it->value)->worker->ip)) {
            return true;
        }
    }
    return false;
}

static struct stream *connect_to(struct agent *agent, struct str ip, int64_t port, bool tls,
                                 struct dial *dial, struct err *err)
{
    char address[80];
    bool v6 = memchr(ip.p, ':', ip.n) != NULL;
    snprintf(address, sizeof address, v6 ? "[%.*s]:%d" : "%.*s:%d", STR_ARG(ip), (int)port);
    struct tls_options insecure = {.insecure = true};
    struct tls_context *context = tls ? tls_client_new(&insecure, err) : NULL;
    if (tls && context == NULL) {
        return NULL;
    }
    struct dial_options options = {.address = str_of(address),
                                   .tls = context,
                                   .alpn = STR("http/1.1"),
                                   .timeout_ns = DIAL_TIMEOUT};
    struct stream *stream = stream_dial(agent->loop, &options, &dial_ops, dial);
    tls_unref(context);
    return stream;
}

void serve_dial(struct serve_request *request)
{
    struct http_exchange *exchange = request->exchange;
    struct str ip = serve_query(request, "ip");
    int64_t port = 0;
    struct err err = ERR_INIT;
    if (!str_is(http_upgrade_wanted(exchange), "cox-dial")) {
        serve_error(exchange, 400, "ask for an upgrade to cox-dial");
        return;
    }
    if (!str_i64(serve_query(request, "port"), &port) || port < 1 || port > 65535 || ip.n == 0) {
        serve_error(exchange, 400, "ip and port say where to");
        return;
    }
    if (!is_here(request->agent, ip)) {
        serve_error(exchange, 403, "no pod of this node has the address %.*s", STR_ARG(ip));
        return;
    }
    struct dial *dial = mem_new(struct dial);
    dial->exchange = exchange;
    dial->item.end = dial_end;
    dial->stream =
        connect_to(request->agent, ip, port, serve_query_bool(request, "tls"), dial, &err);
    if (dial->stream == NULL) {
        free(dial);
        serve_error(exchange, 500, "%s", err.message);
        return;
    }
    stream_set_add(request->agent, &dial->item);
    http_exchange_set(exchange, &dial->item);
}
