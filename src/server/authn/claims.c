/* claims.c: making and reading the claims. Times are checked on each use, so a cached token dies on
 * time; a deleted pod, secret, node or account ends its tokens at once. */
#include "server/authn/claims.h"

#include "api/val.h"
#include "pki/digest.h"
#include "pki/jwt.h"
#include "server/server_int.h"

#define LEEWAY_NS (60 * NS_PER_S)
static const char legacy_issuer[] = "kubernetes/serviceaccount";

static bool audience_good(struct server *server, const struct val *claims,
                          const struct str *audiences, size_t count)
{
    const struct val *aud = val_get(claims, "aud");
    struct str issuer = server->options.issuer;
    const struct str *wanted = count > 0 ? audiences : &issuer;
    size_t wanted_count = count > 0 ? count : 1;
    for (size_t i = 0; i < wanted_count; i++) {
        if (val_is(aud, VAL_STRING) && str_eq(val_text(aud), wanted[i])) {
            return true;
        }
        if (!val_is(aud, VAL_ARRAY)) {
            continue;
        }
        VAL_EACH (it, aud) {
            if (str_eq(val_text(it), wanted[i])) {
                return true;
            }
        }
    }
    return false;
}

static struct str copy(struct identity *identity, const struct val *claims, const char *path)
{
    return str_copy_in(&identity->arena, val_text(val_path(claims, path)));
}

static int64_t seconds_ns(int64_t seconds)
{
    return seconds > INT64_MAX / NS_PER_S ? INT64_MAX : seconds * NS_PER_S;
}

static struct identity *identity_of(const struct val *claims, const struct val *kubernetes)
{
    struct str ns = val_text(val_get(kubernetes, "namespace"));
    struct str name = val_text(val_path(kubernetes, "serviceaccount.name"));
    struct str uid = val_text(val_path(kubernetes, "serviceaccount.uid"));
    struct identity *identity = identity_new_account(ns, name, uid);
    struct identity_binding *b = arena_new(&identity->arena, struct identity_binding);
    b->account_ns = str_copy_in(&identity->arena, ns);
    b->account_name = str_copy_in(&identity->arena, name);
    b->account_uid = str_copy_in(&identity->arena, uid);
    b->pod_name = copy(identity, kubernetes, "pod.name");
    b->pod_uid = copy(identity, kubernetes, "pod.uid");
    b->secret_name = copy(identity, kubernetes, "secret.name");
    b->secret_uid = copy(identity, kubernetes, "secret.uid");
    b->node_name = copy(identity, kubernetes, "node.name");
    b->node_uid = copy(identity, kubernetes, "node.uid");
    b->bound_to_node = b->node_name.n > 0 && b->pod_name.n == 0;
    b->expires_wall_ns = seconds_ns(val_int(val_get(claims, "exp"), 0));
    b->starts_wall_ns = seconds_ns(val_int(val_get(claims, "nbf"), 0));
    identity->binding = b;
    struct str id = val_text(val_get(claims, "jti"));
    if (id.n > 0) {
        struct str credential = str_of(arena_printf(&identity->arena, "JTI=%.*s", STR_ARG(id)));
        identity_add_extra(identity, "authentication.kubernetes.io/credential-id", &credential, 1);
    }
    static const struct {
        const char *key;
        size_t at;
    } extras[] = {
        {"authentication.kubernetes.io/pod-name", offsetof(struct identity_binding, pod_name)},
        {"authentication.kubernetes.io/pod-uid", offsetof(struct identity_binding, pod_uid)},
        {"authentication.kubernetes.io/node-name", offsetof(struct identity_binding, node_name)},
        {"authentication.kubernetes.io/node-uid", offsetof(struct identity_binding, node_uid)},
    };
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        const struct str *value =
            (const struct str *)(const void *)((const char *)b + extras[i].at);
        if (value->n > 0) {
            identity_add_extra(identity, extras[i].key, value, 1);
        }
    }
    return identity;
}

/* A token kept in a Secret: for this server only, and as long as the Secret holds it. */
static int legacy_verify(struct server *server, const struct val *claims, struct str token,
                         const struct str *audiences, size_t count, struct identity **ret_identity,
                         struct err *err)
{
    static const char prefix[] = "kubernetes.io/serviceaccount/";
    static const char *const keys[] = {"namespace", "service-account.name", "service-account.uid",
                                       "secret.name"};
    struct str values[4];
    bool ours = count == 0;
    for (size_t i = 0; i < count; i++) {
        ours = ours || str_eq(audiences[i], server->options.issuer);
    }
    for (size_t i = 0; i < 4; i++) {
        char key[64];
        struct buf text = {.p = key, .n = 0, .cap = sizeof key};
        buf_printf(&text, "%s%s", prefix, keys[i]);
        values[i] = val_text(val_get_str(claims, buf_view(&text)));
        ours = ours && values[i].n > 0;
    }
    if (!ours) {
        return err_set(err, ERR_UNAUTHORIZED, "the token is not meant for this server");
    }
    struct identity *identity = identity_new_account(values[0], values[1], values[2]);
    struct identity_binding *b = arena_new(&identity->arena, struct identity_binding);
    b->account_ns = str_copy_in(&identity->arena, values[0]);
    b->account_name = str_copy_in(&identity->arena, values[1]);
    b->account_uid = str_copy_in(&identity->arena, values[2]);
    b->secret_name = str_copy_in(&identity->arena, values[3]);
    b->legacy = true;
    token_hash(token, b->legacy_hash);
    identity->binding = b;
    *ret_identity = identity;
    return 0;
}

static bool secret_holds(struct server *server, const struct identity_binding *b)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf token BUF_CLEANUP = BUF_INIT;
    unsigned char hash[DIGEST_SIZE];
    struct object *object =
        cache_get(server->cache, server->known.secrets, b->account_ns, b->secret_name);
    bool good =
        object != NULL && !object->deleting &&
        base64_decode(&token, val_text(val_path(object_decode(object, &arena), "data.token")));
    object_unref(object);
    if (good) {
        token_hash(buf_view(&token), hash);
        good = digest_equal(str_at((const char *)hash, sizeof hash),
                            str_at((const char *)b->legacy_hash, sizeof b->legacy_hash));
    }
    return good;
}

int claims_verify(struct server *server, struct str token, const struct str *audiences,
                  size_t count, struct identity **ret_identity, struct err *err)
{
    const struct server_options *o = &server->options;
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *claims = NULL;
    int code = jwt_verify(o->token_keys, o->token_key_count, token, &text, err);
    if (code < 0) {
        return code;
    }
    if (val_parse_json(&arena, buf_view(&text), &claims, err) < 0) {
        return err_set(err, ERR_UNAUTHORIZED, "the token's claims are malformed");
    }
    const struct val *kubernetes = val_get(claims, "kubernetes.io");
    if (str_is(val_text(val_get(claims, "iss")), legacy_issuer)) {
        return legacy_verify(server, claims, token, audiences, count, ret_identity, err);
    }
    if (!str_eq(val_text(val_get(claims, "iss")), o->issuer) ||
        !audience_good(server, claims, audiences, count) ||
        val_text(val_get(kubernetes, "namespace")).n == 0 ||
        val_text(val_path(kubernetes, "serviceaccount.name")).n == 0 ||
        val_int(val_get(claims, "exp"), 0) <= 0) {
        return err_set(err, ERR_UNAUTHORIZED, "the token is not meant for this server");
    }
    *ret_identity = identity_of(claims, kubernetes);
    return 0;
}

/* An object that was to be gone a minute ago ends the tokens that are bound to it. */
static bool overdue(const struct object *object, int64_t now_wall_ns)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    int64_t when = 0;
    return object->deleting &&
           time_parse(
               val_text(val_path(object_decode(object, &arena), "metadata.deletionTimestamp")),
               &when) &&
           when < now_wall_ns - LEEWAY_NS;
}

/* Whether the object is there with that uid. */
static bool is_same(struct server *server, const struct api_resource *resource, struct str ns,
                    struct str name, struct str uid, int64_t now_wall_ns)
{
    if (resource == NULL) {
        return false;
    }
    struct object *object = cache_get(server->cache, resource, ns, name);
    bool same = object != NULL && str_eq(object->uid, uid) && !overdue(object, now_wall_ns);
    object_unref(object);
    return same;
}

int claims_check(struct server *server, const struct identity_binding *b, int64_t now_wall_ns,
                 struct err *err)
{
    if (b == NULL) {
        return 0;
    }
    const struct known_resources *known = &server->known;
    if (b->expires_wall_ns != 0 && now_wall_ns >= b->expires_wall_ns) {
        return err_set(err, ERR_UNAUTHORIZED, "service account token has expired");
    }
    if (b->starts_wall_ns != 0 && now_wall_ns < b->starts_wall_ns - LEEWAY_NS) {
        return err_set(err, ERR_UNAUTHORIZED, "service account token is not valid yet");
    }
    if (b->account_name.n == 0) {
        return 0; /* of another issuer: nothing of ours ends it */
    }
    if (!is_same(server, known->accounts, b->account_ns, b->account_name, b->account_uid,
                 now_wall_ns)) {
        return err_set(err, ERR_UNAUTHORIZED, "the token's service account is gone");
    }
    if (b->legacy) {
        return secret_holds(server, b)
                   ? 0
                   : err_set(err, ERR_UNAUTHORIZED, "service account token has been invalidated");
    }
    if (b->pod_name.n > 0 &&
        !is_same(server, known->pods, b->account_ns, b->pod_name, b->pod_uid, now_wall_ns)) {
        return err_set(err, ERR_UNAUTHORIZED, "the token's pod is gone");
    }
    if (b->secret_name.n > 0 && !is_same(server, known->secrets, b->account_ns, b->secret_name,
                                         b->secret_uid, now_wall_ns)) {
        return err_set(err, ERR_UNAUTHORIZED, "the token's secret is gone");
    }
    if (b->bound_to_node &&
        !is_same(server, known->nodes, STR_NONE, b->node_name, b->node_uid, now_wall_ns)) {
        return err_set(err, ERR_UNAUTHORIZED, "the token's node is gone");
    }
    return 0;
}

static void object_claim(struct buf *out, const char *key, struct str name, struct str uid)
{
    if (name.n == 0) {
        return;
    }
    buf_printf(out, ",\"%s\":{\"name\":", key);
    json_text(out, name);
    buf_addz(out, ",\"uid\":");
    json_text(out, uid);
    buf_char(out, '}');
}

int authn_issue(struct server *server, const struct token_request *t, struct buf *ret_token,
                struct err *err)
{
    const struct server_options *o = &server->options;
    struct buf claims BUF_CLEANUP = BUF_INIT;
    if (o->token_key_count == 0) {
        return err_set(err, ERR_INTERNAL, "this server has no key to sign tokens with");
    }
    int64_t now = t->now_wall_ns / NS_PER_S;
    buf_addz(&claims, "{\"aud\":[");
    for (size_t i = 0; i < t->audience_count; i++) {
        buf_addz(&claims, i > 0 ? "," : "");
        json_text(&claims, t->audiences[i]);
    }
    if (t->audience_count == 0) {
        json_text(&claims, o->issuer);
    }
    buf_printf(&claims, "],\"exp\":%lld,\"iat\":%lld,\"iss\":", (long long)(now + t->seconds),
               (long long)now);
    json_text(&claims, o->issuer);
    buf_addz(&claims, ",\"jti\":");
    json_text(&claims, t->id);
    buf_addz(&claims, ",\"kubernetes.io\":{\"namespace\":");
    json_text(&claims, t->account_ns);
    object_claim(&claims, "node", t->node_name, t->node_uid);
    object_claim(&claims, "pod", t->pod_name, t->pod_uid);
    object_claim(&claims, "secret", t->secret_name, t->secret_uid);
    object_claim(&claims, "serviceaccount", t->account_name, t->account_uid);
    buf_printf(&claims, "},\"nbf\":%lld,\"sub\":", (long long)now);
    char *subject MEM_CLEANUP = mem_printf("system:serviceaccount:%.*s:%.*s",
                                           STR_ARG(t->account_ns), STR_ARG(t->account_name));
    json_text(&claims, str_of(subject));
    buf_char(&claims, '}');
    return jwt_sign(o->token_keys[0], buf_view(&claims), ret_token, err);
}
