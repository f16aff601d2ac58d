/* authn.c: certificates to identities, and the cache of both.
 *
 * The cache is a map from a digest (of the token, or of the certificate) to an identity, bounded:
 * when it is full it is emptied. Keys are digests only, so a core dump holds no tokens.
 */
#include "server/authn/authn.h"

#include <stdlib.h>

#include "pki/digest.h"
#include "server/authn/bootstrap_token.h"
#include "server/authn/claims.h"
#include "server/authn/issuers.h"
#include "server/server_int.h"

enum { CACHE_MAX = 20000 };

struct authn {
    pthread_mutex_t mutex;
    struct map identities; /* digest -> struct identity, owned */
    struct identity *anonymous;
};

struct authn *authn_new(struct server *server)
{
    struct authn *authn = mem_new(struct authn);
    pthread_mutex_init(&authn->mutex, NULL);
    authn->anonymous = identity_new_anonymous();
    return authn;
}

static void forget_all(struct authn *authn)
{
    MAP_EACH (it, &authn->identities) {
        identity_unref(it->value);
    }
    map_done(&authn->identities);
    authn->identities = (struct map)MAP_INIT;
}

void authn_free(struct authn *authn)
{
    if (authn == NULL) {
        return;
    }
    forget_all(authn);
    identity_unref(authn->anonymous);
    pthread_mutex_destroy(&authn->mutex);
    free(authn);
}

static struct identity *lookup(struct authn *authn, struct str key)
{
    pthread_mutex_lock(&authn->mutex);
    struct identity *identity = map_get(&authn->identities, key);
    if (identity != NULL) {
        identity_ref(identity);
    }
    pthread_mutex_unlock(&authn->mutex);
    return identity;
}

static void remember(struct authn *authn, struct str key, struct identity *identity)
{
    pthread_mutex_lock(&authn->mutex);
    if (authn->identities.count >= CACHE_MAX) {
        forget_all(authn);
    }
    struct identity *old = map_set(&authn->identities, key, identity_ref(identity));
    pthread_mutex_unlock(&authn->mutex);
    identity_unref(old);
}

static struct identity *by_certificate(struct authn *authn, const struct peer_certificate *c)
{
    struct identity *identity = lookup(authn, c->fingerprint);
    if (identity != NULL) {
        return identity;
    }
    identity = identity_new(c->common_name, STR_NONE, c->organizations, c->organization_count);
    char *id MEM_CLEANUP = mem_printf("X509SHA256=%.*s", STR_ARG(c->fingerprint));
    struct str value = str_of(id);
    identity_add_extra(identity, "authentication.kubernetes.io/credential-id", &value, 1);
    remember(authn, c->fingerprint, identity);
    return identity;
}

/* By the kind of token: of another issuer, else of our own. */
static int verify(struct server *server, struct str token, const struct str *audiences,
                  size_t count, int64_t now_wall_ns, struct identity **ret_identity,
                  struct err *err)
{
    int code = 0;
    if (issuers_verify(server->issuers, token, audiences, count, now_wall_ns, ret_identity, &code,
                       err)) {
        return code;
    }
    return claims_verify(server, token, audiences, count, ret_identity, err);
}

int authn_token(struct server *server, struct str token, const struct str *audiences, size_t count,
                int64_t now_wall_ns, struct identity **ret_identity, struct err *err)
{
    struct authn *authn = server->authn;
    unsigned char digest[DIGEST_SIZE];
    if (server->options.bootstrap_tokens && bootstrap_token_is(token)) {
        return bootstrap_token_verify(server, token, now_wall_ns, ret_identity, err);
    }
    token_hash(token, digest);
    struct str key = str_at((const char *)digest, sizeof digest);
    /* Only tokens for the server itself are kept: the audience is part of the answer. */
    struct identity *identity = count == 0 ? lookup(authn, key) : NULL;
    if (identity == NULL) {
        int code = verify(server, token, audiences, count, now_wall_ns, &identity, err);
        if (code < 0) {
            return code;
        }
        if (count == 0) {
            remember(authn, key, identity);
        }
    }
    int code = claims_check(server, identity->binding, now_wall_ns, err);
    if (code < 0) {
        identity_unref(identity);
        return code;
    }
    *ret_identity = identity;
    return 0;
}

int authn_identify(struct server *server, const struct peer_certificate *certificate,
                   struct str authorization, int64_t now_wall_ns, struct identity **ret_identity,
                   struct err *err)
{
    struct authn *authn = server->authn;
    if (certificate != NULL && certificate->common_name.n > 0 &&
        !str_starts(certificate->common_name, STR("system:anonymous"))) {
        *ret_identity = by_certificate(authn, certificate);
        return 0;
    }
    if (authorization.n > 0) {
        struct str rest = STR_NONE;
        struct str scheme = str_cut(authorization, ' ', &rest);
        rest = str_trim(rest);
        if (scheme.n == 6 && strncasecmp(scheme.p, "bearer", 6) == 0 && rest.n > 0) {
            return authn_token(server, rest, NULL, 0, now_wall_ns, ret_identity, err);
        }
        return err_set(err, ERR_UNAUTHORIZED, "Unauthorized");
    }
    *ret_identity = identity_ref(authn->anonymous);
    return 0;
}
