/* issuers.c: from a token of a configured issuer to a name. */
#include "server/authn/issuers_int.h"

#include <stdlib.h>

#include "server/authn/authn.h"
#include "server/server_int.h"

#define LEEWAY_NS (10 * NS_PER_S)

int issuers_new(struct server *server, struct str config, struct issuers **ret_issuers,
                struct err *err)
{
    struct issuers *issuers = mem_new(struct issuers);
    issuers->server = server;
    pthread_mutex_init(&issuers->mutex, NULL);
    int code = config.n > 0 ? issuers_configure(issuers, config, err) : 0;
    if (code < 0) {
        err_wrap(err, "--authentication-config");
        issuers_free(issuers);
        return code;
    }
    *ret_issuers = issuers;
    return 0;
}

void issuers_free(struct issuers *issuers)
{
    if (issuers == NULL) {
        return;
    }
    for (size_t i = 0; i < issuers->count; i++) {
        issuer_keys_stop(&issuers->items[i]);
    }
    pthread_mutex_destroy(&issuers->mutex);
    arena_done(&issuers->arena);
    free(issuers);
}

void issuers_start(struct issuers *issuers)
{
    for (size_t i = 0; i < issuers->count; i++) {
        issuer_keys_start(&issuers->items[i]);
    }
}

size_t issuers_key_count(struct issuers *issuers, size_t i)
{
    struct key_list *list = i < issuers->count ? issuer_keys(&issuers->items[i]) : NULL;
    size_t count = list != NULL ? list->count : 0;
    key_list_unref(list);
    return count;
}

enum anonymous issuers_anonymous(const struct issuers *issuers, struct str path)
{
    if (!issuers->configured_anonymous) {
        return ANONYMOUS_OPEN_PATHS;
    }
    if (!issuers->anonymous_enabled) {
        return ANONYMOUS_NOWHERE;
    }
    for (size_t i = 0; i < issuers->anonymous_path_count; i++) {
        if (str_eq(path, issuers->anonymous_paths[i])) {
            return ANONYMOUS_ANYWHERE;
        }
    }
    return issuers->anonymous_path_count == 0 ? ANONYMOUS_ANYWHERE : ANONYMOUS_NOWHERE;
}

/* ---- signature ---- */

/* 1: signed by a key of the issuer, 0: not, -1: by none that is known yet. */
static int signature_of(struct issuer *issuer, const struct jws *jws)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *header = NULL;
    if (val_parse_json(&arena, buf_view(&jws->header), &header, NULL) < 0 ||
        val_get(header, "crit") != NULL) {
        return 0;
    }
    struct str kid = val_text(val_get(header, "kid")), alg = val_text(val_get(header, "alg"));
    struct key_list *keys = issuer_keys(issuer);
    int good = -1;
    for (size_t i = 0; keys != NULL && good != 1 && i < keys->count; i++) {
        if (kid.n == 0 || str_eq(kid, jwk_id(keys->items[i]))) {
            good = jwk_verify(keys->items[i], alg, jws->message, buf_view(&jws->signature));
        }
    }
    key_list_unref(keys);
    return good;
}

/* ---- claims ---- */

static bool has_audience(const struct val *claims, struct str wanted)
{
    const struct val *aud = val_get(claims, "aud");
    if (val_is(aud, VAL_STRING)) {
        return str_eq(val_text(aud), wanted);
    }
    VAL_EACH (it, val_is(aud, VAL_ARRAY) ? aud : NULL) {
        if (str_eq(val_text(it), wanted)) {
            return true;
        }
    }
    return false;
}

static bool audience_good(const struct issuer *issuer, const struct val *claims,
                          const struct str *audiences, size_t count)
{
    bool own = false, asked = count == 0;
    for (size_t i = 0; i < issuer->audience_count; i++) {
        own = own || has_audience(claims, issuer->audiences[i]);
    }
    for (size_t i = 0; i < count; i++) {
        asked = asked || has_audience(claims, audiences[i]);
    }
    return own && asked;
}

static int refuse(struct err *err, const char *why)
{
    return err_set(err, ERR_UNAUTHORIZED, "oidc: %s", why);
}

/* NumericDate: whole seconds, or with a fraction. */
static int64_t date_of(const struct val *claims, const char *key)
{
    struct str rest, text = val_text(val_get_str(claims, str_of(key)));
    int64_t seconds = 0;
    text = str_cut(text, '.', &rest);
    return !str_i64(text, &seconds) || seconds < 0  ? -1
           : seconds > INT64_MAX / NS_PER_S - 86400 ? INT64_MAX
                                                    : seconds * NS_PER_S;
}

static int check_rules(const struct issuer *issuer, const struct val *claims, struct err *err)
{
    for (size_t i = 0; i < issuer->required_count; i++) {
        const struct val *v = val_get_str(claims, issuer->required[i].claim);
        if (!val_is(v, VAL_STRING)) {
            return err_set(err, ERR_UNAUTHORIZED,
                           "oidc: required claim %.*s not present in ID token",
                           STR_ARG(issuer->required[i].claim));
        }
        if (!str_eq(val_text(v), issuer->required[i].value)) {
            return err_set(err, ERR_UNAUTHORIZED, "oidc: required claim %.*s value does not match",
                           STR_ARG(issuer->required[i].claim));
        }
    }
    return 0;
}

static struct str prefixed(struct arena *arena, const struct mapping *mapping, struct str value)
{
    return mapping->prefix.n == 0
               ? value
               : str_of(arena_printf(arena, "%.*s%.*s", STR_ARG(mapping->prefix), STR_ARG(value)));
}

static int read_user(const struct issuer *issuer, const struct val *claims, struct str *ret_name,
                     struct arena *arena, struct err *err)
{
    const struct val *v = val_get_str(claims, issuer->username.claim);
    if (!val_is(v, VAL_STRING) || val_text(v).n == 0) {
        return refuse(err, "the username claim is not there, or no text");
    }
    const struct val *verified = val_get(claims, "email_verified");
    if (str_is(issuer->username.claim, "email") && verified != NULL && !val_bool(verified, false)) {
        return refuse(err, "email not verified");
    }
    *ret_name = prefixed(arena, &issuer->username, val_text(v));
    return 0;
}

static int read_groups(const struct issuer *issuer, const struct val *claims, struct arena *arena,
                       struct str **ret_groups, size_t *ret_count, struct err *err)
{
    const struct val *v =
        issuer->groups.claim.n > 0 ? val_get_str(claims, issuer->groups.claim) : NULL;
    struct str *groups = arena_array(arena, struct str, val_count(v) + 2);
    size_t count = 0;
    if (val_is(v, VAL_STRING)) {
        groups[count++] = prefixed(arena, &issuer->groups, val_text(v));
    } else if (!val_absent(v) && !val_is(v, VAL_ARRAY)) {
        return refuse(err, "the groups claim is neither a text nor a list of texts");
    }
    VAL_EACH (it, val_is(v, VAL_ARRAY) ? v : NULL) {
        if (!val_is(it, VAL_STRING)) {
            return refuse(err, "the groups claim is neither a text nor a list of texts");
        }
        groups[count++] = prefixed(arena, &issuer->groups, val_text(it));
    }
    *ret_groups = groups;
    *ret_count = count;
    return 0;
}

static int identify(const struct issuer *issuer, const struct val *claims,
                    struct identity **ret_identity, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str name = STR_NONE, *groups = NULL;
    size_t count = 0;
    int code = read_user(issuer, claims, &name, &arena, err);
    code = code != 0 ? code : read_groups(issuer, claims, &arena, &groups, &count, err);
    if (code != 0) {
        return code;
    }
    const struct val *uid = issuer->uid_claim.n > 0 ? val_get_str(claims, issuer->uid_claim) : NULL;
    if (issuer->uid_claim.n > 0 && !val_is(uid, VAL_STRING)) {
        return refuse(err, "the uid claim is not there, or no text");
    }
    struct identity *identity = identity_new(name, val_text(uid), groups, count);
    struct str id = val_text(val_get(claims, "jti"));
    if (id.n > 0) {
        struct str credential = str_of(arena_printf(&arena, "JTI=%.*s", STR_ARG(id)));
        identity_add_extra(identity, "authentication.kubernetes.io/credential-id", &credential, 1);
    }
    struct identity_binding *b = arena_new(&identity->arena, struct identity_binding);
    b->expires_wall_ns = date_of(claims, "exp");
    identity->binding = b;
    *ret_identity = identity;
    return 0;
}

static int check_claims(struct issuer *issuer, const struct val *claims,
                        const struct str *audiences, size_t count, int64_t now_wall_ns,
                        struct identity **ret_identity, struct err *err)
{
    int64_t expires = date_of(claims, "exp"), starts = date_of(claims, "nbf");
    if (expires < 0) {
        return refuse(err, "verify token: no expiry");
    }
    if (now_wall_ns >= expires) {
        return refuse(err, "verify token: token is expired");
    }
    if (starts > now_wall_ns + LEEWAY_NS) {
        return refuse(err, "verify token: token is not valid yet");
    }
    if (!audience_good(issuer, claims, audiences, count)) {
        return refuse(err, "verify token: expected audience is not in the token");
    }
    int code = check_rules(issuer, claims, err);
    return code != 0 ? code : identify(issuer, claims, ret_identity, err);
}

bool issuers_verify(struct issuers *issuers, struct str token, const struct str *audiences,
                    size_t count, int64_t now_wall_ns, struct identity **ret_identity,
                    int *ret_code, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct issuer *issuer = NULL;
    struct val *claims = NULL;
    struct jws jws;
    if (issuers->count == 0 || !jws_split(token, &jws)) {
        return false;
    }
    if (val_parse_json(&arena, buf_view(&jws.claims), &claims, NULL) == 0) {
        struct str iss = val_text(val_get(claims, "iss"));
        for (size_t i = 0; i < issuers->count; i++) {
            issuer = str_eq(issuers->items[i].url, iss) ? &issuers->items[i] : issuer;
        }
    }
    int good = issuer != NULL ? signature_of(issuer, &jws) : 0;
    if (good < 0) {
        issuer_keys_want(issuer);
    }
    if (issuer != NULL) {
        *ret_code = good == 1 ? check_claims(issuer, claims, audiences, count, now_wall_ns,
                                             ret_identity, err)
                              : refuse(err, "verify token: failed to verify signature");
    }
    jws_done(&jws);
    return issuer != NULL;
}
