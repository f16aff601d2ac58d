/* join_server.c: the server's side of joining: tokens, the signature, a pod range for the node. See
 * join.h.
 *
 * Endpoints run on any I/O loop: tokens and ranges handed out are behind one mutex. A pod range is
 * free when no Node has it and it was not handed out in this process to another name; the same name
 * gets the same one again.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include "pki/digest.h"
#include "role/credentials.h"
#include "role/join.h"
#include "server/server.h"

enum { TOKENS_MAX = 256, TOKEN_LIFE_S = 3600, TOKEN_ID_SIZE = 9 };

struct join_token {
    char id[TOKEN_ID_SIZE];
    unsigned char hash[DIGEST_SIZE];
    int64_t ends_mono_ns;
};

struct join_server {
    pthread_mutex_t lock;
    struct cache *cache;
    const struct certificate *ca;
    const struct key *ca_key;
    const struct options *options;
    struct {
        VEC_OF(struct join_token);
    } tokens;
    struct map ranges; /* node name -> (index + 1) of its /24 */
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

static void drop_old(struct join_server *join, int64_t now)
{
    for (size_t i = 0; i < join->tokens.count;) {
        if (join->tokens.items[i].ends_mono_ns <= now) {
            vec_remove_swap(&join->tokens, i);
        } else {
            i++;
        }
    }
}

static void on_tokens(void *ctx, struct endpoint_call *call)
{
    struct join_server *join = ctx;
    char secret[TOKEN_TEXT_SIZE];
    struct join_token token = {0};
    if (!str_is(call->method, "POST")) {
        answer_error(call, ERR_METHOD, "POST makes a token; tokens cannot be read");
        return;
    }
    int64_t now = clock_mono(loop_clock(call->loop));
    random_suffix(random_real(), TOKEN_ID_SIZE - 1, token.id);
    token_random(random_real(), secret);
    token_hash(str_of(secret), token.hash);
    token.ends_mono_ns = now + TOKEN_LIFE_S * NS_PER_S;
    pthread_mutex_lock(&join->lock);
    drop_old(join, now);
    bool room = join->tokens.count < TOKENS_MAX;
    if (room) {
        *vec_push(&join->tokens) = token;
    }
    pthread_mutex_unlock(&join->lock);
    if (!room) {
        answer_error(call, ERR_TOO_MANY,
                     "256 tokens are waiting to be used: use them, or wait until they end (1 h)");
        return;
    }
    const char *host = join->options->node_ip[0] != '\0' ? join->options->node_ip : "127.0.0.1";
    struct str hash = certificate_key_hash(join->ca);
    struct val *body = val_new(call->arena, VAL_OBJECT);
    struct buf out BUF_CLEANUP = BUF_INIT;
    val_set_text(
        call->arena, body, STR("token"),
        str_of(arena_printf(call->arena, "https://%s:%lld#%s.%s.%.*s", host,
                            (long long)join->options->api_port, token.id, secret, STR_ARG(hash))));
    val_set_int(call->arena, body, STR("expiresInSeconds"), TOKEN_LIFE_S);
    val_write_json(body, &out);
    endpoint_answer(call, 201, "application/json", buf_view(&out));
}

/* Takes the token out when it is right: it works once. */
static bool token_use(struct join_server *join, struct str id, struct str secret, int64_t now)
{
    unsigned char hash[DIGEST_SIZE];
    bool right = false;
    token_hash(secret, hash);
    drop_old(join, now);
    for (size_t i = 0; i < join->tokens.count && !right; i++) {
        struct join_token *token = &join->tokens.items[i];
        if (str_is(id, token->id) &&
            digest_equal(str_at((char *)hash, sizeof hash),
                         str_at((char *)token->hash, sizeof token->hash))) {
            vec_remove_swap(&join->tokens, i);
            right = true;
        }
    }
    return right;
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
    options.not_before_ns = clock_wall(clock_real()) - 300 * NS_PER_S;
    options.not_after_ns = clock_wall(clock_real()) + (int64_t)NODE_DAYS * 86400 * NS_PER_S;
    rc = certificate_issue(join->ca, join->ca_key, signing_request_key(request), &options,
                           random_real(), &certificate, err);
    rc = rc != 0 ? rc : certificate_write_pem(certificate, ret_pem, err);
    certificate_unref(certificate);
    signing_request_free(request);
    return rc;
}

static void on_join(void *ctx, struct endpoint_call *call)
{
    struct join_server *join = ctx;
    struct val *body = NULL, *out = val_new(call->arena, VAL_OBJECT);
    struct buf pem BUF_CLEANUP = BUF_INIT, json BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    char range[32] = "";
    if (!str_is(call->method, "POST") ||
        val_parse_json(call->arena, call->body, &body, NULL) != 0) {
        answer_error(call, ERR_BAD_REQUEST, "POST a JSON object with id, secret, node and request");
        return;
    }
    struct str node = val_text(val_get(body, "node"));
    pthread_mutex_lock(&join->lock);
    bool right = token_use(join, val_text(val_get(body, "id")), val_text(val_get(body, "secret")),
                           clock_mono(loop_clock(call->loop)));
    bool room = right && node.n > 0 && range_for(join, node, range, sizeof range);
    pthread_mutex_unlock(&join->lock);
    if (!right) {
        answer_error(call, ERR_UNAUTHORIZED,
                     "the token is wrong, used or too old: make a new one with `cox token create`");
        return;
    }
    if (!room) {
        answer_error(call, ERR_INVALID,
                     "no pod range is left for this node: the cluster's --pod-cidr is used up");
        return;
    }
    if (sign(join, node, val_text(val_get(body, "request")), &pem, &err) != 0) {
        answer_error(call, err.code, err.message);
        return;
    }
    val_set_text(call->arena, out, STR("certificate"), buf_view(&pem));
    val_set_text(call->arena, out, STR("podCIDR"), str_of(range));
    val_write_json(out, &json);
    endpoint_answer(call, 201, "application/json", buf_view(&json));
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
                                 .options = options};
    server_add_endpoint(server, "/cox/v1/ca", true, on_ca, join);
    server_add_endpoint(server, "/cox/v1/join", true, on_join, join);
    server_add_endpoint(server, "/cox/v1/tokens", false, on_tokens, join);
    return join;
}
