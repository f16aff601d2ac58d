/* Tokens that are kept in Secrets.
 *
 * tokens-controller: a Secret of type kubernetes.io/service-account-token gets a token of the
 * account that its annotation names (one that does not expire: it lives as long as the Secret), the
 * cluster's certificate and the namespace; it goes with its account. token-cleaner: bootstrap
 * tokens in kube-system go when they have expired.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "controllers/pass.h"
#include "controllers/table_int.h"
#include "pki/jwt.h"

enum { PARALLEL = 5 };

struct tokens {
    struct worker *worker;
    const struct api_resource *resource;
    struct informer *secrets, *accounts;
};

static struct str type_of(const struct object *secret, struct arena *arena)
{
    return val_text(val_get(object_decode(secret, arena), "type"));
}

static bool is_of_type(const struct object *secret, const char *type)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    return str_is(type_of(secret, &arena), type);
}

/* ---- tokens of accounts ---- */

static const char account_type[] = "kubernetes.io/service-account-token";
static const char name_key[] = "kubernetes.io/service-account.name";
static const char uid_key[] = "kubernetes.io/service-account.uid";

static void member(struct buf *out, const char *key, struct str value)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    buf_printf(out, "%s\"%s\":", out->n > 1 ? "," : "", key);
    val_write_json(val_new_text(&arena, value), out);
}

static int make_token(struct pass *pass, const struct object *account, struct buf *ret_token,
                      struct err *err)
{
    struct buf claims BUF_CLEANUP = BUF_INIT;
    const struct object *a = account;
    char *subject = arena_printf(pass->arena, "system:serviceaccount:%.*s:%.*s", STR_ARG(a->ns),
                                 STR_ARG(a->name));
    buf_char(&claims, '{');
    member(&claims, "iss", STR("kubernetes/serviceaccount"));
    member(&claims, "kubernetes.io/serviceaccount/namespace", a->ns);
    member(&claims, "kubernetes.io/serviceaccount/secret.name", pass->name);
    member(&claims, "kubernetes.io/serviceaccount/service-account.name", a->name);
    member(&claims, "kubernetes.io/serviceaccount/service-account.uid", a->uid);
    member(&claims, "sub", str_of(subject));
    buf_char(&claims, '}');
    return jwt_sign(pass->worker->env.options->token_key, buf_view(&claims), ret_token, err);
}

/* Puts the base64 of `value` under key; whether that changed something. */
static bool put(struct arena *arena, struct val *secret, const char *key, struct str value)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *data = val_make_object(arena, secret, STR("data"));
    base64_encode(&text, value.p, value.n);
    if (str_eq(val_text(val_get_str(data, str_of(key))), buf_view(&text))) {
        return false;
    }
    val_set_text(arena, data, str_of(key), str_copy_in(arena, buf_view(&text)));
    return true;
}

static bool fill(struct pass *pass, struct val *secret, const struct object *account)
{
    struct arena *arena = pass->arena;
    struct buf token BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct val *meta = val_make_object(arena, secret, STR("metadata"));
    struct val *annotations = val_make_object(arena, meta, STR("annotations"));
    bool changed = put(arena, secret, "ca.crt", pass->worker->env.options->ca_pem);
    changed = put(arena, secret, "namespace", pass->ns) || changed;
    if (val_text(val_path(secret, "data.token")).n == 0) {
        if (make_token(pass, account, &token, &err) < 0) {
            pass_fail(pass);
            return false;
        }
        changed = put(arena, secret, "token", buf_view(&token)) || changed;
    }
    if (val_text(val_get_str(annotations, str_of(uid_key))).n == 0) {
        val_set_text(arena, annotations, str_of(uid_key), str_copy_in(arena, account->uid));
        changed = true;
    }
    return changed;
}

static void fill_secret(void *ctx, struct pass *pass)
{
    struct tokens *tokens = ctx;
    struct object *object = informer_get(tokens->secrets, pass->ns, pass->name);
    if (object == NULL || object->deleting || pass->worker->env.options->token_key == NULL ||
        !is_of_type(object, account_type)) {
        return;
    }
    struct val *secret = object_decode(pass_hold(pass, object), pass->arena);
    const struct val *annotations = val_path(secret, "metadata.annotations");
    struct str name = val_text(val_get_str(annotations, str_of(name_key)));
    struct str uid = val_text(val_get_str(annotations, str_of(uid_key)));
    struct object *account = name.n > 0 ? informer_get(tokens->accounts, pass->ns, name) : NULL;
    if (account == NULL || (uid.n > 0 && !str_eq(uid, account->uid))) {
        pass_delete(pass, object, NULL, -1, NULL, NULL);
        return;
    }
    if (fill(pass, secret, pass_hold(pass, account))) {
        pass_update(pass, tokens->resource, "", secret, NULL, NULL);
    }
}

static void on_secret(void *ctx, struct object *old, struct object *now)
{
    if (now != NULL && is_of_type(now, account_type)) {
        worker_add(((struct tokens *)ctx)->worker, now);
    }
}

static bool wake(void *ctx, struct object *secret)
{
    on_secret(ctx, NULL, secret);
    return true;
}

static void on_account(void *ctx, struct object *old, struct object *now)
{
    if (now == NULL || old == NULL) {
        informer_each(((struct tokens *)ctx)->secrets, now != NULL ? now->ns : old->ns, NULL, wake,
                      ctx);
    }
}

static struct tokens *tokens_new(struct controller_env *env, const char *controller,
                                 pass_fn *reconcile)
{
    struct tokens *tokens = mem_new(struct tokens);
    tokens->resource = controller_resource("", "v1", "secrets");
    tokens->worker = worker_new(env, controller, PARALLEL, reconcile, tokens);
    tokens->secrets = informers_get(env->informers, tokens->resource);
    return tokens;
}

static void *start_accounts(struct controller_env *env)
{
    struct tokens *tokens = tokens_new(env, "tokens-controller", fill_secret);
    tokens->accounts =
        informers_get(env->informers, controller_resource("", "v1", "serviceaccounts"));
    informer_handle(tokens->secrets, (struct informer_handler){on_secret, tokens});
    informer_handle(tokens->accounts, (struct informer_handler){on_account, tokens});
    return tokens;
}

static void stop(void *state)
{
    struct tokens *tokens = state;
    informer_unhandle(tokens->secrets, tokens);
    if (tokens->accounts != NULL) {
        informer_unhandle(tokens->accounts, tokens);
    }
    worker_free(tokens->worker);
    free(tokens);
}

/* ---- bootstrap tokens ---- */

static const char bootstrap_type[] = "bootstrap.kubernetes.io/token";

static void clean(void *ctx, struct pass *pass)
{
    struct tokens *tokens = ctx;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct object *object = informer_get(tokens->secrets, pass->ns, pass->name);
    int64_t when = 0;
    if (object == NULL || object->deleting) {
        return;
    }
    const struct val *secret = object_decode(pass_hold(pass, object), pass->arena);
    if (!str_is(val_text(val_get(secret, "type")), bootstrap_type) ||
        !base64_decode(&text, val_text(val_path(secret, "data.expiration"))) || text.n == 0 ||
        !time_parse(buf_view(&text), &when)) {
        return;
    }
    if (when <= pass->now) {
        pass_delete(pass, object, NULL, -1, NULL, NULL);
    } else {
        pass_after(pass, when - pass->now);
    }
}

static void on_bootstrap_secret(void *ctx, struct object *old, struct object *now)
{
    if (now != NULL && str_is(now->ns, "kube-system") && is_of_type(now, bootstrap_type)) {
        worker_add(((struct tokens *)ctx)->worker, now);
    }
}

static void *start_cleaner(struct controller_env *env)
{
    struct tokens *tokens = tokens_new(env, "token-cleaner", clean);
    informer_handle(tokens->secrets, (struct informer_handler){on_bootstrap_secret, tokens});
    return tokens;
}

const struct controller controller_account_tokens = {
    .name = "tokens-controller", .start = start_accounts, .stop = stop};
const struct controller controller_token_cleaner = {
    .name = "token-cleaner", .start = start_cleaner, .stop = stop};
