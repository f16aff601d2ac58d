/* bootstrap_token.c: asked of the cache each time, so a deleted, changed or expired Secret counts
 * at once; the secret part is compared in constant time. */
#include "server/authn/bootstrap_token.h"

#include "pki/digest.h"
#include "server/server_int.h"

enum { ID_SIZE = 6, SECRET_SIZE = 16, GROUPS_MAX = 32, GROUP_SIZE_MAX = 256 };
static const char group_prefix[] = "system:bootstrappers:";

static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
            return false;
        }
    }
    return true;
}

bool bootstrap_token_is(struct str token)
{
    return token.n == ID_SIZE + 1 + SECRET_SIZE && token.p[ID_SIZE] == '.' &&
           is_plain(str_at(token.p, ID_SIZE)) && is_plain(str_from(token, ID_SIZE + 1));
}

/* A value of the Secret, decoded into the arena. */
static struct str data(struct arena *arena, const struct val *secret, const char *key)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    const struct val *v = val_get_str(val_get(secret, "data"), str_of(key));
    return v != NULL && base64_decode(&out, val_text(v)) ? str_copy_in(arena, buf_view(&out))
                                                         : STR_NONE;
}

static bool group_good(struct str group)
{
    struct str rest = str_from(group, sizeof group_prefix - 1);
    if (!str_starts(group, str_of(group_prefix)) || rest.n == 0 || rest.n > GROUP_SIZE_MAX) {
        return false;
    }
    for (size_t i = 0; i < rest.n; i++) {
        bool plain = is_plain(str_at(rest.p + i, 1));
        if (!plain && (i + 1 == rest.n || (rest.p[i] != ':' && rest.p[i] != '-'))) {
            return false;
        }
    }
    return true;
}

static int groups_of(struct arena *arena, const struct val *secret, struct str *groups,
                     size_t *ret_count)
{
    struct str rest = data(arena, secret, "auth-extra-groups");
    size_t count = 0;
    groups[count++] = STR("system:bootstrappers");
    while (rest.p != NULL && rest.n > 0) {
        struct str group = str_cut(rest, ',', &rest);
        if (!group_good(group) || count > GROUPS_MAX) {
            return ERR_UNAUTHORIZED;
        }
        groups[count++] = group;
    }
    *ret_count = count;
    return 0;
}

static bool is_good(struct arena *arena, const struct val *secret, struct str id, struct str token,
                    int64_t now_wall_ns)
{
    struct str expiration = data(arena, secret, "expiration");
    int64_t when = 0;
    return str_is(val_text(val_get(secret, "type")), "bootstrap.kubernetes.io/token") &&
           digest_equal(data(arena, secret, "token-secret"), token) &&
           str_eq(data(arena, secret, "token-id"), id) &&
           (expiration.n == 0 || (time_parse(expiration, &when) && when > now_wall_ns)) &&
           str_is(data(arena, secret, "usage-bootstrap-authentication"), "true");
}

int bootstrap_token_verify(struct server *server, struct str token, int64_t now_wall_ns,
                           struct identity **ret_identity, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str groups[GROUPS_MAX + 2];
    struct str id = str_at(token.p, ID_SIZE);
    char *name = arena_printf(&arena, "bootstrap-token-%.*s", STR_ARG(id));
    size_t count = 0;
    struct object *object =
        cache_get(server->cache, server->known.secrets, STR("kube-system"), str_of(name));
    bool good = false;
    if (object != NULL && !object->deleting) {
        const struct val *secret = object_decode(object, &arena);
        good = is_good(&arena, secret, id, str_from(token, ID_SIZE + 1), now_wall_ns) &&
               groups_of(&arena, secret, groups, &count) == 0;
    }
    object_unref(object);
    if (!good) {
        return err_set(err, ERR_UNAUTHORIZED, "the bootstrap token is not valid");
    }
    char *user = arena_printf(&arena, "system:bootstrap:%.*s", STR_ARG(id));
    *ret_identity = identity_new(str_of(user), STR_NONE, groups, count);
    return 0;
}
