/* access.c: authentication and authorization of callers of the agent's port, as upstream's kubelet
 * does it in webhook mode: reviews of the API server, remembered as long as kubelet remembers them
 * by default. A user is kept as the JSON that both reviews understand ({"username","groups",
 * "uid","extra"}), so that nothing of it is lost between them.
 *
 * While a review is under way the exchange's user pointer is our stream_item: agent_abort() finds
 * it. The check itself lives until the API has answered.
 */
#include "node/serve/access.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/serve/streams.h"
#include "pki/digest.h"

/* authentication.webhook.cacheTTL, authorization.webhook.cache{Una,A}uthorizedTTL */
static const int64_t TOKEN_TTL = 120 * NS_PER_S, ALLOW_TTL = 300 * NS_PER_S,
                     DENY_TTL = 30 * NS_PER_S;
enum { REMEMBERED_MAX = 1024 };

struct remembered {
    int64_t until; /* monotonic */
    bool yes;
    char *user; /* of a token: JSON */
};

struct access {
    struct agent *agent;
    struct map tokens;    /* SHA-256 of a token -> remembered */
    struct map decisions; /* verb, subresource, user -> remembered */
};

struct check {
    struct stream_item item;
    struct agent *agent;
    struct access *access;
    struct http_exchange *exchange; /* NULL: gone */
    struct access_question question;
    bool asking_proxy;
    char token_key[DIGEST_HEX_SIZE];
    char *user;
    char *name; /* of the user, for messages */
};

/* ---- what is remembered ---- */

static void remembered_free(struct remembered *r)
{
    free(r->user);
    free(r);
}

static void forget(struct map *map, int64_t older_than)
{
    MAP_EACH (it, map) {
        struct remembered *r = it->value;
        if (r->until <= older_than) {
            map_remove(map, it->key);
            remembered_free(r);
        }
    }
}

static const struct remembered *recall(struct access *access, struct map *map, struct str key)
{
    const struct remembered *r = map_get(map, key);
    return r != NULL && r->until > loop_mono(access->agent->loop) ? r : NULL;
}

static void remember(struct access *access, struct map *map, struct str key, bool yes,
                     const char *user, int64_t ttl)
{
    int64_t now = loop_mono(access->agent->loop);
    if (map->count >= REMEMBERED_MAX) {
        forget(map, now);
    }
    if (map->count >= REMEMBERED_MAX) {
        forget(map, INT64_MAX); /* somebody makes tokens up: everyone is asked about again */
    }
    struct remembered *r = mem_new(struct remembered);
    *r = (struct remembered){.until = now + ttl, .yes = yes, .user = mem_dupz(user)};
    struct remembered *old = map_set(map, key, r);
    if (old != NULL) {
        remembered_free(old);
    }
}

struct access *access_new(struct agent *agent)
{
    struct access *access = mem_new(struct access);
    access->agent = agent;
    return access;
}

void access_free(struct access *access)
{
    if (access == NULL) {
        return;
    }
    forget(&access->tokens, INT64_MAX);
    forget(&access->decisions, INT64_MAX);
    map_done(&access->tokens);
    map_done(&access->decisions);
    free(access);
}

/* ---- a check ---- */

static void check_gone(struct stream_item *item)
{
    struct check *check = container_of(item, struct check, item);
    check->exchange = NULL;
    list_remove(&item->link);
}

static void check_free(struct check *check)
{
    struct agent *agent = check->agent;
    list_remove(&check->item.link);
    free(check->user);
    free(check->name);
    free(check);
    agent_release(agent);
}

/* The exchange is the caller's again; NULL: nobody waits. Frees the check. */
static struct http_exchange *check_over(struct check *check)
{
    struct http_exchange *exchange = check->exchange;
    if (exchange != NULL) {
        http_exchange_set(exchange, NULL);
    }
    check_free(check);
    return exchange;
}

static void refuse(struct check *check, int status, const char *what)
{
    char text[512];
    const struct access_question *q = &check->question;
    bool both = q->or_proxy && strcmp(q->subresource, "proxy") != 0;
    snprintf(text, sizeof text, "%s (user=%s, verb=%s, resource=nodes, subresource(s)=[%s%s])",
             what, check->name != NULL ? check->name : "", q->verb, q->subresource,
             both ? " proxy" : "");
    struct http_exchange *exchange = check_over(check);
    if (exchange != NULL) {
        serve_error(exchange, status, "%s", text);
    }
}

static void unauthenticated(struct check *check)
{
    struct http_exchange *exchange = check_over(check);
    if (exchange != NULL) {
        serve_error(exchange, 401, "Unauthorized");
    }
}

static void allow(struct check *check)
{
    struct agent *agent = check->agent;
    void (*allowed)(struct agent *, struct http_exchange *) = check->question.allowed;
    struct http_exchange *exchange = check_over(check);
    if (exchange != NULL && !agent->stopping) {
        allowed(agent, exchange);
    }
}

static const struct val *parse_answer(struct arena *arena, const struct client_result *result)
{
    struct val *root = NULL;
    if (result->code != 0) {
        return NULL;
    }
    if (result->object != NULL) {
        return object_decode(result->object, arena);
    }
    return val_parse_json(arena, result->body, &root, NULL) == 0 ? root : NULL;
}

/* ---- may they? ---- */

static void authorize(struct check *check);

static const char *asked_subresource(const struct check *check)
{
    return check->asking_proxy ? "proxy" : check->question.subresource;
}

static char *decision_key(const struct check *check)
{
    return mem_printf("%s %s %s", check->question.verb, asked_subresource(check), check->user);
}

static void decided(struct check *check, bool yes)
{
    const struct access_question *q = &check->question;
    if (yes) {
        allow(check);
    } else if (q->or_proxy && !check->asking_proxy && strcmp(q->subresource, "proxy") != 0) {
        check->asking_proxy = true;
        authorize(check);
    } else {
        refuse(check, 403, "Forbidden");
    }
}

static void on_access_review(void *ctx, const struct client_result *result)
{
    struct check *check = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *answer = parse_answer(&arena, result);
    if (check->exchange == NULL) {
        check_free(check);
        return;
    }
    if (answer == NULL) {
        LOG_WARN("node", "reviewing access to the agent's port failed", LOG_ERR(&result->error));
        refuse(check, 500, "Authorization error");
        return;
    }
    bool yes = val_bool(val_path(answer, "status.allowed"), false);
    char *key MEM_CLEANUP = decision_key(check);
    remember(check->access, &check->access->decisions, str_of(key), yes, NULL,
             yes ? ALLOW_TTL : DENY_TTL);
    decided(check, yes);
}

static void authorize(struct check *check)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct arena *a = &arena;
    char *key MEM_CLEANUP = decision_key(check);
    const struct remembered *known = recall(check->access, &check->access->decisions, str_of(key));
    struct val *user = NULL;
    if (known != NULL) {
        decided(check, known->yes);
        return;
    }
    if (val_parse_json(a, str_of(check->user), &user, NULL) != 0) {
        refuse(check, 500, "Authorization error");
        return;
    }
    struct val *body = val_new(a, VAL_OBJECT);
    val_set_text(a, body, STR("kind"), STR("SubjectAccessReview"));
    val_set_text(a, body, STR("apiVersion"), STR("authorization.k8s.io/v1"));
    struct val *spec = val_make_object(a, body, STR("spec"));
    val_set_text(a, spec, STR("user"), val_text(val_get(user, "username")));
    static const char *const rest[] = {"groups", "uid", "extra"};
    for (size_t i = 0; i < 3; i++) {
        const struct val *value = val_get_str(user, str_of(rest[i]));
        if (!val_absent(value)) {
            val_set(spec, str_of(rest[i]), val_copy(a, value));
        }
    }
    struct val *wanted = val_make_object(a, spec, STR("resourceAttributes"));
    val_set_text(a, wanted, STR("verb"), str_of(check->question.verb));
    val_set_text(a, wanted, STR("version"), STR("v1"));
    val_set_text(a, wanted, STR("resource"), STR("nodes"));
    val_set_text(a, wanted, STR("subresource"), str_of(asked_subresource(check)));
    val_set_text(a, wanted, STR("name"), str_of(check->agent->node_name));
    struct client_request request = {
        .verb = CLIENT_CREATE,
        .resource =
            schema_resource(STR("authorization.k8s.io"), STR("v1"), STR("subjectaccessreviews")),
        .subresource = "",
        .body = body};
    client_send(check->agent->client, &request, on_access_review, check);
}

/* ---- who are they? ---- */

static void identified(struct check *check, const char *user)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *parsed = NULL;
    check->user = mem_dupz(user);
    if (val_parse_json(&arena, str_of(user), &parsed, NULL) == 0) {
        check->name = str_dup(val_text(val_get(parsed, "username")));
    }
    authorize(check);
}

static void on_token_review(void *ctx, const struct client_result *result)
{
    struct check *check = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf user BUF_CLEANUP = BUF_INIT;
    const struct val *answer = parse_answer(&arena, result);
    if (check->exchange == NULL) {
        check_free(check);
        return;
    }
    if (answer == NULL) {
        LOG_WARN("node", "reviewing a token for the agent's port failed", LOG_ERR(&result->error));
        unauthenticated(check);
        return;
    }
    const struct val *status = val_get(answer, "status");
    bool yes = val_bool(val_get(status, "authenticated"), false);
    if (yes) {
        val_write_json(val_get(status, "user"), &user);
    }
    remember(check->access, &check->access->tokens, str_of(check->token_key), yes, user.p,
             TOKEN_TTL);
    if (yes) {
        identified(check, user.p);
    } else {
        unauthenticated(check);
    }
}

static void review_token(struct check *check, struct str token)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    digest_sha256_hex(token, check->token_key);
    const struct remembered *known =
        recall(check->access, &check->access->tokens, str_of(check->token_key));
    if (known != NULL && known->yes) {
        identified(check, known->user);
        return;
    }
    if (known != NULL) {
        unauthenticated(check);
        return;
    }
    struct val *body = val_new(&arena, VAL_OBJECT);
    val_set_text(&arena, body, STR("kind"), STR("TokenReview"));
    val_set_text(&arena, body, STR("apiVersion"), STR("authentication.k8s.io/v1"));
    struct val *spec = val_make_object(&arena, body, STR("spec"));
    val_set_text(&arena, spec, STR("token"), token);
    struct client_request request = {
        .verb = CLIENT_CREATE,
        .resource = schema_resource(STR("authentication.k8s.io"), STR("v1"), STR("tokenreviews")),
        .subresource = "",
        .body = body};
    client_send(check->agent->client, &request, on_token_review, check);
}

static void use_certificate(struct check *check, const struct peer_certificate *peer)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf user BUF_CLEANUP = BUF_INIT;
    struct val *root = val_new(&arena, VAL_OBJECT);
    val_set_text(&arena, root, STR("username"), peer->common_name);
    struct val *groups = val_make_array(&arena, root, STR("groups"));
    for (size_t i = 0; i < peer->organization_count; i++) {
        val_append(groups, val_new_text(&arena, peer->organizations[i]));
    }
    val_append(groups, val_new_text(&arena, STR("system:authenticated")));
    val_write_json(root, &user);
    identified(check, user.p);
}

static bool is_server(const struct peer_certificate *peer)
{
    return peer != NULL && str_is(peer->common_name, "kube-apiserver-kubelet-client");
}

void access_check(struct access *access, struct http_exchange *exchange,
                  const struct access_question *question)
{
    const struct http_request *http = http_request(exchange);
    const struct peer_certificate *peer = stream_peer_certificate(http_exchange_stream(exchange));
    struct str header = http_header_get(http->headers, http->header_count, STR("authorization"));
    struct str token = STR_NONE, scheme = str_cut(header, ' ', &token);
    bool bearer = scheme.n == 6 && strncasecmp(scheme.p, "bearer", 6) == 0;
    struct check *check = mem_new(struct check);
    *check = (struct check){.item.end = check_gone,
                            .agent = access->agent,
                            .access = access,
                            .exchange = exchange,
                            .question = *question};
    stream_set_add(access->agent, &check->item);
    http_exchange_set(exchange, &check->item);
    agent_hold(access->agent);
    if (is_server(peer)) {
        allow(check);
    } else if (strcmp(question->subresource, AGENT_DIAL) == 0) {
        refuse(check, 403, "Forbidden");
    } else if (peer != NULL) {
        use_certificate(check, peer);
    } else if (bearer && str_trim(token).n > 0) {
        review_token(check, str_trim(token));
    } else {
        unauthenticated(check);
    }
}
