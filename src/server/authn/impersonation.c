/* impersonation.c: acting as somebody else. Each name, group, uid and extra value that is taken on
 * needs the verb "impersonate" on it; headers without Impersonate-User are refused, never ignored.
 */
#include "server/authn/impersonation.h"

#include "server/authz/authz.h"
#include "server/server_int.h"

static const char prefix[] = "impersonate-";
enum { VALUES_MAX = 64 };

struct wishes {
    struct str user, uid;
    struct str groups[VALUES_MAX];
    size_t group_count;
    struct {
        struct str key, value;
    } extra[VALUES_MAX];
    size_t extra_count;
    bool any, bad;
};

static void read_header(struct arena *arena, const struct http_header *h, struct wishes *w)
{
    struct str name = str_from(h->name, sizeof prefix - 1);
    w->any = true;
    if (str_is(name, "user")) {
        w->user = h->value;
    } else if (str_is(name, "uid")) {
        w->uid = h->value;
    } else if (str_is(name, "group") && w->group_count < VALUES_MAX) {
        w->groups[w->group_count++] = h->value;
    } else if (str_starts(name, STR("extra-")) && w->extra_count < VALUES_MAX) {
        struct str key;
        w->bad |= !url_decode(arena, str_from(name, 6), false, &key);
        w->extra[w->extra_count].key = key;
        w->extra[w->extra_count++].value = h->value;
    } else {
        w->bad = true;
    }
}

static int allowed(struct request *request, const char *group, const char *resource, struct str ns,
                   struct str name, struct str subresource, struct failure *failure)
{
    struct attributes a = {.identity = request->identity,
                           .verb = STR("impersonate"),
                           .group = str_of(group),
                           .resource = str_of(resource),
                           .subresource = subresource,
                           .ns = ns,
                           .name = name};
    return authz_check(request, &a, failure);
}

static int check(struct request *request, const struct wishes *w, struct failure *failure)
{
    static const char group[] = "authentication.k8s.io";
    int code;
    if (str_starts(w->user, STR("system:serviceaccount:"))) {
        struct str name = STR_NONE;
        struct str ns = str_cut(str_from(w->user, 22), ':', &name);
        code = allowed(request, "", "serviceaccounts", ns, name, STR_NONE, failure);
    } else {
        code = allowed(request, "", "users", STR_NONE, w->user, STR_NONE, failure);
    }
    for (size_t i = 0; code == 0 && i < w->group_count; i++) {
        code = allowed(request, "", "groups", STR_NONE, w->groups[i], STR_NONE, failure);
    }
    if (code == 0 && w->uid.n > 0) {
        code = allowed(request, group, "uids", STR_NONE, w->uid, STR_NONE, failure);
    }
    for (size_t i = 0; code == 0 && i < w->extra_count; i++) {
        code = allowed(request, group, "userextras", STR_NONE, w->extra[i].value, w->extra[i].key,
                       failure);
    }
    return code;
}

/* All values of a key together, in the order of the headers; once a key. */
static void add_extra(const struct wishes *w, size_t first, struct identity *identity)
{
    struct str values[VALUES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < w->extra_count; i++) {
        if (!str_eq(w->extra[i].key, w->extra[first].key)) {
            continue;
        }
        if (i < first) {
            return; /* with an earlier one */
        }
        values[count++] = w->extra[i].value;
    }
    char *key MEM_CLEANUP = str_dup(w->extra[first].key);
    identity_add_extra(identity, key, values, count);
}

static struct identity *take_on(const struct wishes *w)
{
    struct identity *identity;
    if (w->group_count == 0 && str_starts(w->user, STR("system:serviceaccount:"))) {
        struct str name = STR_NONE;
        struct str ns = str_cut(str_from(w->user, 22), ':', &name);
        identity = identity_new_account(ns, name, w->uid);
    } else {
        identity = identity_new(w->user, w->uid, w->groups, w->group_count);
    }
    for (size_t i = 0; i < w->extra_count; i++) {
        add_extra(w, i, identity);
    }
    return identity;
}

int impersonate(struct request *request, const struct http_request *http, struct failure *failure)
{
    struct wishes w = {0};
    for (size_t i = 0; i < http->header_count; i++) {
        if (str_starts(http->headers[i].name, str_of(prefix))) {
            read_header(&request->arena, &http->headers[i], &w);
        }
    }
    if (!w.any) {
        return 0;
    }
    if (w.bad || w.user.n == 0) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "requested impersonation without a user, or with headers that are not "
                           "understood");
    }
    int code = check(request, &w, failure);
    if (code < 0) {
        return code;
    }
    identity_unref(request->identity);
    request->identity = take_on(&w);
    return 0;
}
