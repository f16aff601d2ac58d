/* connection.c: requests that come over HTTP: from an exchange to a struct request, and the answer
 * back. See request.h for the life of a request.
 *
 * Invariants: before authentication only headers are looked at; a peer that goes away before the
 * answer leaves the request running to its end, whose answer is then dropped; a streaming body owns
 * its request.
 */
#include <stdlib.h>

#include "base/failpoint.h"
#include "server/authn/authn.h"
#include "server/authn/impersonation.h"
#include "server/authn/issuers.h"
#include "server/http/accept.h"
#include "server/http/answer.h"
#include "server/http/call.h"
#include "server/http/connection.h"
#include "server/info/info.h"
#include "server/server_int.h"

enum { BODY_LIMIT = 3 * 1024 * 1024 };

struct connection {
    struct list link; /* in its lane */
    struct server *server;
    struct http_connection *http;
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
        {"application/vnd.kubernetes.protobuf", BODY_PROTOBUF},
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
    accept_read(request, str_copy_in(&request->arena, header(http, "accept")));
    request->accept.gzip = wants_gzip(header(http, "accept-encoding"));
    request->accept.pretty_asked |= request->options.pretty;
    request->accept.pretty =
        request->accept.pretty_asked || (query_get(&request->options, "pretty").p == NULL &&
                                         (str_starts(request->user_agent, STR("curl")) ||
                                          str_starts(request->user_agent, STR("Wget")) ||
                                          str_starts(request->user_agent, STR("Mozilla/5.0"))));
    struct str include = query_get(&request->options, "includeObject");
    request->accept.include = str_is(include, "None")     ? INCLUDE_NONE
                              : str_is(include, "Object") ? INCLUDE_OBJECT
                                                          : INCLUDE_METADATA;
}

static bool may_be_anonymous(const struct request *request, bool open)
{
    enum anonymous policy = issuers_anonymous(request->server->issuers, request->route.path);
    return policy == ANONYMOUS_ANYWHERE || (policy == ANONYMOUS_OPEN_PATHS && open);
}

/* Everything that can be wrong before the handler; 0 or the failure's code. */
static int prepare(struct request *request, const struct http_request *http,
                   struct failure *failure)
{
    struct err err = ERR_INIT;
    struct arena *arena = &request->arena;
    struct str query = str_copy_in(arena, http->query);
    int routed = route_parse(arena, cache_registry(request->server->cache), http->method,
                             str_copy_in(arena, http->path), query, &request->route, &err);
    bool open = routed == 0 && request->route.resource == NULL && info_needs_nobody(request);
    if (!request->identity->authenticated && !may_be_anonymous(request, open)) {
        return failure_set(failure, &request->arena, ERR_UNAUTHORIZED, "Unauthorized");
    }
    if (routed < 0) {
        return failure_from_err(failure, &request->arena, &err);
    }
    if (request->route.resource != NULL && request->route.resource->deprecated != NULL) {
        request_warn(request, "%s",
                     request->route.resource->deprecated); /* whatever becomes of it */
    }
    int code =
        query_options_parse(&request->arena, &request->route, query, &request->options, failure);
    read_accept(request, http);
    if (request->route.resource == NULL) {
        request->if_none_match = str_copy_in(arena, header(http, "if-none-match"));
    }
    if (code == 0) {
        code = impersonate(request, http, failure);
    }
    if (code == 0 && request->accept.bad && request->route.resource != NULL) {
        code =
            failure_set(failure, &request->arena, ERR_NOT_ACCEPTABLE,
                        "only the following media types are accepted: %s", accept_types(request));
        failure->detailed = !request->accept.known;
    }
    return code;
}

/* Copies what tapes and routes will point into: a write outlives a peer that leaves. */
static void read_request(struct request *request, const struct http_request *http)
{
    struct arena *arena = &request->arena;
    request->body = str_copy_in(arena, http->body);
    request->body_format = format_of(header(http, "content-type"));
    request->user_agent = str_copy_in(arena, header(http, "user-agent"));
}

static void run(struct request *request, const struct http_request *http)
{
    struct failure failure;
    read_request(request, http);
    if (prepare(request, http, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    request_start(request);
}

static void on_request(void *ctx, struct http_exchange *exchange)
{
    struct server *server = ((struct connection *)ctx)->server;
    const struct http_request *http = http_request(exchange);
    struct loop *loop = http_exchange_loop(exchange);
    struct identity *identity = NULL;
    struct err err = ERR_INIT;
    struct failure failure;
    int code = authn_identify(server, stream_peer_certificate(http_exchange_stream(exchange)),
                              header(http, "authorization"), clock_wall(loop_clock(loop)),
                              &identity, &err);
    FAILPOINT("server.authenticated");
    if (code < 0) {
        identity = identity_new_anonymous();
    }
    struct request *request = request_new(server, loop, identity, &http_transport);
    identity_unref(identity);
    request->exchange = exchange;
    request->source =
        str_copy_in(&request->arena, stream_peer_address(http_exchange_stream(exchange)));
    http_exchange_set(exchange, request);
    if (code < 0) {
        failure_set(&failure, &request->arena, ERR_UNAUTHORIZED, "Unauthorized");
        request_fail(request, &failure);
        return;
    }
    run(request, http);
}

void http_call_start(struct server *server, struct loop *loop, struct identity *identity,
                     const struct http_request *http, http_capture_fn *capture, void *ctx)
{
    struct request *request = request_new(server, loop, identity, &http_transport);
    request->capture = capture;
    request->capture_ctx = ctx;
    run(request, http);
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

/* ---- connections ---- */

static void on_connection_end(void *ctx)
{
    struct connection *connection = ctx;
    list_remove(&connection->link);
    free(connection);
}

/* Upstream's answer; a head that is too large it answers in plain text, as we do. */
static struct http_body *refusal(void *ctx, int status, const char **ret_content_type)
{
    static const char too_large[] =
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
        "\"message\":\"Request entity too large: limit is 3145728\","
        "\"reason\":\"RequestEntityTooLarge\",\"code\":413}\n";
    _Static_assert(BODY_LIMIT == 3145728, "the text says so");
    if (status != 413) {
        return NULL;
    }
    *ret_content_type = "application/json";
    return http_body_copy(str_of(too_large));
}

static const struct http_server_ops server_ops = {.refusal = refusal,
                                                  .on_request = on_request,
                                                  .on_abort = on_abort,
                                                  .on_end = on_connection_end};

void server_serve_connection(struct server *server, struct stream *stream)
{
    const struct http_server_options options = {.body_limit = BODY_LIMIT};
    struct connection *connection = mem_new(struct connection);
    struct loop *loop = stream_loop(stream);
    connection->server = server;
    list_init(&connection->link);
    for (size_t i = 0; i < server->options.loop_count; i++) {
        if (server->lanes[i].loop == loop) {
            list_append(&server->lanes[i].connections, &connection->link);
        }
    }
    connection->http = http_serve(stream, &options, &server_ops, connection);
    if (atomic_load(&server->draining)) {
        http_connection_drain(connection->http);
    }
}

static void drain_lane(struct task *task)
{
    struct lane *lane = container_of(task, struct lane, drain);
    LIST_EACH_SAFE (it, &lane->connections) {
        http_connection_drain(container_of(it, struct connection, link)->http);
    }
}

struct lane *connection_lanes_new(struct server *server)
{
    struct lane *lanes = mem_array(struct lane, server->options.loop_count);
    for (size_t i = 0; i < server->options.loop_count; i++) {
        lanes[i].loop = server->options.loops[i];
        lanes[i].drain.run = drain_lane;
        list_init(&lanes[i].connections);
    }
    return lanes;
}

void server_drain(struct server *server)
{
    if (atomic_exchange(&server->draining, true)) {
        return;
    }
    for (size_t i = 0; i < server->options.loop_count; i++) {
        loop_post(server->lanes[i].loop, &server->lanes[i].drain);
    }
}
