/* join_server.c: the server's side of joining: the signature and a pod range for the node, and
 * renewal of its certificate. See join.h.
 *
 * Endpoints run on any I/O loop: ranges handed out are behind a mutex. A pod range is free when no
 * Node has it and it was not handed out in this process to another name; the same name gets the
 * same one again.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/names.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "role/credentials.h"
#include "role/join.h"
#include "role/join_tokens.h"
#include "server/identity.h"
#include "server/server.h"

struct join_server {
    pthread_mutex_t lock;
    struct cache *cache;
    const struct certificate *ca;
    const struct key *ca_key;
    const struct options *options;
    struct join_tokens *tokens;
    struct map ranges; /* node name -> (index + 1) of its /24 */
};

struct join_call { /* one that waits for the store; in the call's arena */
    struct join_server *join;
    struct endpoint_call *call;
    struct str node, request;
    char range[32];
};

static void answer_error(struct endpoint_call *call, enum err_code code, const char *message)
{
    struct val *status = val_new(call->arena, VAL_OBJECT);
    struct buf out BUF_CLEANUP = BUF_INIT;
    val_set_text(call->arena, status, STR("kind"), STR("Status"));
    val_set_text(call->arena, status, STR("apiVersion"), STR("v1"));
    val_set_text(call->arena, status, STR("status"), STR("Failure"));
    val_set_text(call->arena, status, STR("message"), str_of(message));
    val_set_text(call->arena, status, STR("reason"), str_of(err_reason(code)));
    val_set_int(call->arena, status, STR("code"), err_http_status(code));
    val_write_json(status, &out);
    endpoint_answer(call, err_http_status(code), "application/json", buf_view(&out));
}

static void on_ca(void *ctx, struct endpoint_call *call)
{
    struct join_server *join = ctx;
    struct buf pem BUF_CLEANUP = BUF_INIT;
    if (certificate_write_pem(join->ca, &pem, NULL) != 0) {
        answer_error(call, ERR_INTERNAL, "the CA cannot be written");
        return;
    }
    endpoint_answer(call, 200, "application/x-pem-file", buf_view(&pem));
}

static void on_token_made(void *ctx, const char *token, const struct err *err)
{
    struct join_call *made = ctx;
    struct join_server *join = made->join;
    struct endpoint_call *call = made->call;
    struct buf out BUF_CLEANUP = BUF_INIT;
    if (token == NULL) {
        answer_error(call, err->code, err->message);
        return;
    }
    const char *host = join->options->node_ip[0] != '\0' ? join->options->node_ip : "127.0.0.1";
    struct str hash = certificate_key_hash(join->ca);
    struct val *body = val_new(call->arena, VAL_OBJECT);
    val_set_text(call->arena, body, STR("token"),
                 str_of(arena_printf(call->arena, "https://%s:%lld#%s.%.*s", host,
                                     (long long)join->options->api_port, token, STR_ARG(hash))));
    val_set_int(call->arena, body, STR("expiresInSeconds"), JOIN_TOKEN_SECONDS);
    val_write_json(body, &out);
    endpoint_answer(call, 201, "application/json", buf_view(&out));
}

static struct join_call *join_call_new(struct join_server *join, struct endpoint_call *call)
{
    struct join_call *made = arena_new(call->arena, struct join_call);
    *made = (struct join_call){.join = join, .call = call};
    return made;
}

static void on_tokens(void *ctx, struct endpoint_call *call)
{
    struct join_server *join = ctx;
    if (!str_is(call->method, "POST")) {
        answer_error(call, ERR_METHOD, "POST makes a token; tokens cannot be read");
        return;
    }
    join_token_make(join->tokens, call->loop, on_token_made, join_call_new(join, call));
}

/* The /24 number `index` of the cluster's pod range; false past its end. */
static bool range_text(const struct options *options, uint32_t index, char *ret_text, size_t size)
{
    struct str bits;
    char *address MEM_CLEANUP = str_dup(str_cut(str_of(options->pod_cidr), '/', &bits));
    struct in_addr base;
    uint64_t n = 0;
    if (inet_pton(AF_INET, address, &base) != 1 || !str_u64(bits, &n) || n > 24 ||
        index >= 1U << (24 - n)) {
        return false;
    }
    base.s_addr = htonl(ntohl(base.s_addr) + (index << 8));
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &base, text, sizeof text);
    snprintf(ret_text, size, "%s/24", text);
    return true;
}

/* Ranges that Nodes have, whoever gave them. Range 0 is the first node's, also while it is not
 * registered. */
static bool range_taken(struct join_server *join, struct snapshot *nodes, struct str range,
                        struct str name)
{
    struct snapshot_iter iter;
    const struct object *node;
    snapshot_iter_init(&iter, nodes, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    while ((node = snapshot_next(&iter)) != NULL) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        const struct val *object = object_decode(node, &arena);
        if (!str_eq(node->name, name) &&
            str_eq(val_text(val_path(object, "spec.podCIDR")), range)) {
            return true;
        }
    }
    return false;
}

static bool range_for(struct join_server *join, struct str name, char *ret_text, size_t size)
{
    uintptr_t kept = (uintptr_t)map_get(&join->ranges, name);
    if (kept != 0) {
        return range_text(join->options, (uint32_t)kept - 1, ret_text, size);
    }
    struct snapshot *nodes =
        snapshot_take(join->cache, schema_kind(STR(""), STR("v1"), STR("Node")));
    bool found = false;
    for (uint32_t index = 1; !found && range_text(join->options, index, ret_text, size); index++) {
        bool given = false;
        MAP_EACH (entry, &join->ranges) {
            given = given || (uintptr_t)entry->value == (uintptr_t)index + 1;
        }
        found = !given && !range_taken(join, nodes, str_of(ret_text), name);
        if (found) {
            map_set(&join->ranges, name, (void *)((uintptr_t)index + 1));
        }
    }
    snapshot_release(nodes);
    return found;
}

static int sign(struct join_server *join, struct str node, struct str request_pem,
                struct buf *ret_pem, struct err *err)
{
    struct signing_request *request = NULL;
    struct certificate *certificate = NULL;
    char *name MEM_CLEANUP = mem_printf("system:node:%.*s", STR_ARG(node));
    struct str group = STR("system:nodes");
    int rc = signing_request_parse(request_pem, &request, err);
    if (rc != 0) {
        return rc;
    }
    struct certificate_options options = signing_request_options(request);
    if (!str_is(options.common_name, name) || options.dns_count > 1 ||
        (options.dns_count == 1 && !str_eq(options.dns_names[0], node))) {
        signing_request_free(request);
        return err_set(err, ERR_FORBIDDEN, "the signing request must name %s and nothing else",
                       name);
    }
    options.organizations = &group;
    options.organization_count = 1;
    options.usage = CERTIFICATE_CLIENT | CERTIFICATE_SERVER;
    options.not_before_ns = clock_wall(clock_real()) - CERTIFICATE_SKEW_S * NS_PER_S;
    options.not_after_ns =
        clock_wall(clock_real()) + join->options->node_certificate_seconds * NS_PER_S;
    rc = certificate_issue(join->ca, join->ca_key, signing_request_key(request), &options,
                           random_real(), &certificate, err);
    rc = rc != 0 ? rc : certificate_write_pem(certificate, ret_pem, err);
    certificate_unref(certificate);
    signing_request_free(request);
    return rc;
}

static void answer_signed(struct join_server *join, struct endpoint_call *call, struct str node,
                          struct str request, const char *range)
{
    struct buf pem BUF_CLEANUP = BUF_INIT, json BUF_CLEANUP = BUF_INIT;
    struct val *out = val_new(call->arena, VAL_OBJECT);
    struct err err = ERR_INIT;
    if (sign(join, node, request, &pem, &err) != 0) {
        answer_error(call, err.code, err.message);
        return;
    }
    val_set_text(call->arena, out, STR("certificate"), buf_view(&pem));
    if (range != NULL) {
        val_set_text(call->arena, out, STR("podCIDR"), str_of(range));
    }
    val_write_json(out, &json);
    endpoint_answer(call, 201, "application/json", buf_view(&json));
}

static void on_token_used(void *ctx, const struct err *err)
{
    struct join_call *joining = ctx;
    if (err->code != 0) {
        answer_error(joining->call, err->code, err->message);
        return;
    }
    answer_signed(joining->join, joining->call, joining->node, joining->request, joining->range);
}

/* A name belongs to the node that is Ready under it. */
static bool is_ready(struct join_server *join, struct str name)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct object *node =
        cache_get(join->cache, schema_kind(STR(""), STR("v1"), STR("Node")), STR_NONE, name);
    if (node == NULL) {
        return false;
    }
    const struct val *conditions = val_path(object_decode(node, &arena), "status.conditions");
    const struct val *ready = val_find(conditions, "type", STR("Ready"));
    bool yes = str_is(val_text(val_get(ready, "status")), "True");
    object_unref(node);
    return yes;
}

/* Everything that can be wrong is found before the token is used up. */
static int check_joining(struct join_server *join, struct join_call *joining,
                         const struct val *body, struct join_token *ret_token, struct err *err)
{
    struct str node = joining->node;
    struct buf pem BUF_CLEANUP = BUF_INIT;
    int rc = join_token_check(join->tokens, val_text(val_get(body, "id")),
                              val_text(val_get(body, "secret")), ret_token, err);
    if (rc != 0) {
        return rc;
    }
    if (!name_is(NAME_SUBDOMAIN, node)) {
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" cannot be a node's name: lower-case letters, digits, '-' and '.'",
                       STR_ARG(node));
    }
    if (is_ready(join, node)) {
        return err_set(err, ERR_EXISTS,
                       "a node named %.*s is in the cluster and Ready: give this one another "
                       "--node-name, or stop that one and wait until it is NotReady",
                       STR_ARG(node));
    }
    pthread_mutex_lock(&join->lock);
    bool room = range_for(join, node, joining->range, sizeof joining->range);
    pthread_mutex_unlock(&join->lock);
    if (!room) {
        return err_set(err, ERR_INVALID,
                       "no pod range is left for this node: the cluster's --pod-cidr is used up");
    }
    return sign(join, node, joining->request, &pem, err);
}

static void on_join(void *ctx, struct endpoint_call *call)
{
    struct join_server *join = ctx;
    struct val *body = NULL;
    struct err err = ERR_INIT;
    struct join_token token;
    if (!str_is(call->method, "POST") ||
        val_parse_json(call->arena, call->body, &body, NULL) != 0) {
        answer_error(call, ERR_BAD_REQUEST, "POST a JSON object with id, secret, node and request");
        return;
    }
    struct join_call *joining = join_call_new(join, call);
    joining->node = val_text(val_get(body, "node"));
    joining->request = val_text(val_get(body, "request"));
    if (check_joining(join, joining, body, &token, &err) != 0) {
        answer_error(call, err.code, err.message);
        return;
    }
    join_token_use(join->tokens, call->loop, &token, on_token_used, joining);
}

/* A node that shows its certificate gets the next one. */
static void on_renew(void *ctx, struct endpoint_call *call)
{
    struct val *body = NULL;
    if (!str_is(call->method, "POST") ||
        val_parse_json(call->arena, call->body, &body, NULL) != 0 || call->identity->node.n == 0) {
        answer_error(call, ERR_BAD_REQUEST, "a node POSTs a JSON object with its request");
        return;
    }
    answer_signed(ctx, call, call->identity->node, val_text(val_get(body, "request")), NULL);
}

struct join_server *join_serve(struct server *server, struct cache *cache,
                               const struct certificate *ca, const struct key *ca_key,
                               const struct options *options)
{
    struct join_server *join = mem_new(struct join_server);
    *join = (struct join_server){.lock = PTHREAD_MUTEX_INITIALIZER,
                                 .cache = cache,
                                 .ca = ca,
                                 .ca_key = ca_key,
                                 .options = options,
                                 .tokens = join_tokens_new(server, cache)};
    server_add_endpoint(server, "/cox/v1/ca", true, on_ca, join);
    server_add_endpoint(server, "/cox/v1/join", true, on_join, join);
    server_add_endpoint(server, "/cox/v1/renew", false, on_renew, join);
    server_add_endpoint(server, "/cox/v1/tokens", false, on_tokens, join);
    return join;
}
