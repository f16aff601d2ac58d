/* join_tokens.c: see join_tokens.h. Calls come from any I/O loop; each has a client of its own. */
#include "role/join_tokens.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "client/client.h"
#include "pki/digest.h"
#include "server/identity.h"
#include "server/server.h"

enum { TOKENS_MAX = 256, ID_SIZE = 8, LOOPS_MAX = 16 };
#define NAME_PREFIX "join-token-"
#define SECRET_TYPE "cox/join-token"

struct join_tokens {
    struct server *server;
    struct cache *cache;
    pthread_mutex_t lock;
    struct {
        struct loop *loop;
        struct client *client;
    } clients[LOOPS_MAX];
    size_t client_count;
};

struct join_tokens *join_tokens_new(struct server *server, struct cache *cache)
{
    struct join_tokens *tokens = mem_new(struct join_tokens);
    *tokens =
        (struct join_tokens){.server = server, .cache = cache, .lock = PTHREAD_MUTEX_INITIALIZER};
    return tokens;
}

static struct client *client_of(struct join_tokens *tokens, struct loop *loop)
{
    struct client *found = NULL;
    pthread_mutex_lock(&tokens->lock);
    for (size_t i = 0; i < tokens->client_count && found == NULL; i++) {
        found = tokens->clients[i].loop == loop ? tokens->clients[i].client : NULL;
    }
    if (found == NULL && tokens->client_count < LOOPS_MAX) {
        struct str group = STR("system:masters");
        struct identity *identity = identity_new(STR("cox-join"), STR(""), &group, 1);
        found = server_client_new(tokens->server, loop, identity, "cox-join");
        identity_unref(identity);
        tokens->clients[tokens->client_count].loop = loop;
        tokens->clients[tokens->client_count++].client = found;
    }
    pthread_mutex_unlock(&tokens->lock);
    return found;
}

static const struct api_resource *secrets(void)
{
    return schema_resource(STR(""), STR("v1"), STR("secrets"));
}

/* A member of a Secret's data as text. */
static struct str data_text(struct arena *arena, const struct val *secret, const char *key)
{
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    struct str text = val_text(val_get_str(val_get(secret, "data"), str_of(key)));
    return base64_decode(&bytes, text) ? str_copy_in(arena, buf_view(&bytes)) : STR_NONE;
}

static bool has_ended(struct arena *arena, const struct val *secret)
{
    int64_t ends;
    return !time_parse(data_text(arena, secret, "expiration"), &ends) ||
           ends <= clock_wall(clock_real());
}

static void on_dropped(void *ctx, const struct client_result *result)
{
}

/* Deletes tokens that are too old; how many remain. */
static size_t drop_old(struct join_tokens *tokens, struct client *client)
{
    struct snapshot *snapshot = snapshot_take(tokens->cache, secrets());
    struct snapshot_iter iter;
    const struct object *object;
    size_t left = 0;
    snapshot_iter_init(&iter, snapshot, STR("kube-system"), NULL, NULL, STR_NONE, STR_NONE);
    while ((object = snapshot_next(&iter)) != NULL) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        const struct val *secret =
            str_starts(object->name, STR(NAME_PREFIX)) ? object_decode(object, &arena) : NULL;
        if (secret == NULL || !str_is(val_text(val_get(secret, "type")), SECRET_TYPE)) {
            continue;
        }
        left++;
        if (has_ended(&arena, secret)) {
            struct client_request request = {.verb = CLIENT_DELETE,
                                             .resource = secrets(),
                                             .ns = STR("kube-system"),
                                             .name = object->name,
                                             .subresource = ""};
            client_send(client, &request, on_dropped, NULL);
            left--;
        }
    }
    snapshot_release(snapshot);
    return left;
}

/* ---- making one ---- */

struct making {
    join_token_made_fn *done;
    void *ctx;
    char *token;
};

static void on_made(void *ctx, const struct client_result *result)
{
    struct making *making = ctx;
    making->done(making->ctx, result->code == 0 ? making->token : NULL, &result->error);
    explicit_bzero(making->token, strlen(making->token));
    free(making->token);
    free(making);
}

static void set_data(struct arena *a, struct val *data, const char *key, struct str text)
{
    struct buf encoded BUF_CLEANUP = BUF_INIT;
    base64_encode(&encoded, text.p, text.n);
    val_set_text(a, data, str_of(key), str_copy_in(a, buf_view(&encoded)));
}

static struct val *secret_of(struct arena *a, const char *id, struct str secret)
{
    char hex[DIGEST_HEX_SIZE], ends[TIME_TEXT_SIZE];
    digest_sha256_hex(secret, hex);
    size_t n = time_format(clock_wall(clock_real()) + JOIN_TOKEN_SECONDS * NS_PER_S, ends);
    struct val *root = val_new(a, VAL_OBJECT);
    val_set_text(a, root, STR("kind"), STR("Secret"));
    val_set_text(a, root, STR("apiVersion"), STR("v1"));
    val_set_text(a, root, STR("type"), STR(SECRET_TYPE));
    struct val *meta = val_make_object(a, root, STR("metadata"));
    val_set_text(a, meta, STR("name"), str_of(arena_printf(a, NAME_PREFIX "%s", id)));
    val_set_text(a, meta, STR("namespace"), STR("kube-system"));
    struct val *data = val_make_object(a, root, STR("data"));
    set_data(a, data, "sha256", str_of(hex));
    set_data(a, data, "expiration", str_at(ends, n));
    return root;
}

void join_token_make(struct join_tokens *tokens, struct loop *loop, join_token_made_fn *done,
                     void *ctx)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct client *client = client_of(tokens, loop);
    char id[ID_SIZE + 1], secret[TOKEN_TEXT_SIZE];
    struct err err = ERR_INIT;
    if (drop_old(tokens, client) >= TOKENS_MAX) {
        err_set(&err, ERR_TOO_MANY,
                "%d tokens are waiting to be used: use them, or wait until they end (1 h)",
                TOKENS_MAX);
        done(ctx, NULL, &err);
        return;
    }
    random_suffix(random_real(), ID_SIZE, id);
    token_random(random_real(), secret);
    struct making *making = mem_new(struct making);
    *making = (struct making){.done = done, .ctx = ctx, .token = mem_printf("%s.%s", id, secret)};
    struct val *body = secret_of(&arena, id, str_of(secret));
    struct client_request request = {.verb = CLIENT_CREATE,
                                     .resource = secrets(),
                                     .ns = STR("kube-system"),
                                     .name = val_text(val_path(body, "metadata.name")),
                                     .subresource = "",
                                     .body = body};
    client_send(client, &request, on_made, making);
}

/* ---- using one ---- */

static int refused(struct err *err)
{
    return err_set(err, ERR_UNAUTHORIZED,
                   "the token is wrong, used or too old: make a new one with `cox token create`");
}

int join_token_check(struct join_tokens *tokens, struct str id, struct str secret,
                     struct join_token *ret_token, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    char hex[DIGEST_HEX_SIZE], name[64];
    int n = snprintf(name, sizeof name, NAME_PREFIX "%.*s", (int)(id.n < 32 ? id.n : 32), id.p);
    struct object *object = id.n == ID_SIZE ? cache_get(tokens->cache, secrets(),
                                                        STR("kube-system"), str_at(name, (size_t)n))
                                            : NULL;
    if (object == NULL) {
        return refused(err);
    }
    digest_sha256_hex(secret, hex);
    const struct val *stored = object_decode(object, &arena);
    bool right = str_is(val_text(val_get(stored, "type")), SECRET_TYPE) &&
                 digest_equal(data_text(&arena, stored, "sha256"), str_of(hex)) &&
                 !has_ended(&arena, stored);
    if (right) {
        struct str uid = val_text(val_path(stored, "metadata.uid"));
        struct str version = val_text(val_path(stored, "metadata.resourceVersion"));
        snprintf(ret_token->id, sizeof ret_token->id, "%.*s", STR_ARG(id));
        snprintf(ret_token->uid, sizeof ret_token->uid, "%.*s", STR_ARG(uid));
        snprintf(ret_token->version, sizeof ret_token->version, "%.*s", STR_ARG(version));
    }
    object_unref(object);
    return right ? 0 : refused(err);
}

struct using
{
    join_token_used_fn *done;
    void *ctx;
};

static void on_used(void *ctx, const struct client_result *result)
{
    struct using *using = ctx;
    struct err err = ERR_INIT;
    if (result->code == ERR_NOT_FOUND || result->code == ERR_CONFLICT) {
        refused(&err); /* another one was quicker */
    } else if (result->code != 0) {
        err = result->error;
    }
    using->done(using->ctx, &err);
    free(using);
}

void join_token_use(struct join_tokens *tokens, struct loop *loop, const struct join_token *token,
                    join_token_used_fn *done, void *ctx)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct arena *a = &arena;
    struct client *client = client_of(tokens, loop);
    struct val *body = val_new(a, VAL_OBJECT);
    val_set_text(a, body, STR("kind"), STR("DeleteOptions"));
    val_set_text(a, body, STR("apiVersion"), STR("v1"));
    struct val *preconditions = val_make_object(a, body, STR("preconditions"));
    val_set_text(a, preconditions, STR("uid"), str_of(token->uid));
    val_set_text(a, preconditions, STR("resourceVersion"), str_of(token->version));
    struct using *using = mem_new(struct using);
    *using = (struct using){.done = done, .ctx = ctx};
    struct client_request request = {.verb = CLIENT_DELETE,
                                     .resource = secrets(),
                                     .ns = STR("kube-system"),
                                     .name = str_of(arena_printf(a, NAME_PREFIX "%s", token->id)),
                                     .subresource = "",
                                     .body = body};
    client_send(client, &request, on_used, using);
}
