/* authz.c: decisions, and keeping the compiled rules current.
 *
 * Order: system:masters, then the node authorizer for nodes, then RBAC. Nothing is allowed by
 * default. The set is swapped under a mutex that is held for a reference count only.
 */
#include "server/authz/authz.h"

#include <stdlib.h>

#include "server/authz/node.h"
#include "server/authz/rules.h"
#include "server/info/info.h"
#include "server/server_int.h"

enum { CURSORS = 4 };

struct authz {
    struct server *server;
    pthread_mutex_t mutex;
    struct rule_set *set; /* under mutex */
    struct cursor *cursors[CURSORS];
};

static struct rule_set *current_set(struct authz *authz)
{
    pthread_mutex_lock(&authz->mutex);
    struct rule_set *set = rule_set_ref(authz->set);
    pthread_mutex_unlock(&authz->mutex);
    return set;
}

void authz_refresh(struct authz *authz)
{
    /* Only the home loop replaces the set, so reading the old one needs no lock here. */
    struct rule_set *next = rule_set_build(authz->server->cache, &authz->server->known, authz->set);
    pthread_mutex_lock(&authz->mutex);
    struct rule_set *old = authz->set;
    authz->set = next;
    pthread_mutex_unlock(&authz->mutex);
    rule_set_unref(old);
}

struct authz *authz_new(struct server *server)
{
    struct authz *authz = mem_new(struct authz);
    authz->server = server;
    pthread_mutex_init(&authz->mutex, NULL);
    authz_refresh(authz);
    return authz;
}

static const struct api_resource *watched(const struct authz *authz, size_t i)
{
    const struct known_resources *k = &authz->server->known;
    const struct api_resource *all[CURSORS] = {k->cluster_roles, k->roles, k->cluster_role_bindings,
                                               k->role_bindings};
    return all[i];
}

static void on_ready(void *ctx, struct cursor *cursor);

static int open_cursor(struct authz *authz, size_t i, struct err *err)
{
    return cursor_open(authz->server->cache, watched(authz, i)->storage,
                       cache_revision(authz->server->cache), authz->server->home, on_ready, authz,
                       &authz->cursors[i], err);
}

/* Whether anything came since the last time; a cursor that fell out of the ring starts anew, since
 * the set is rebuilt from the cache anyway. */
static bool drain(struct authz *authz, size_t i)
{
    struct cache_event event;
    bool changed = false;
    int got;
    while ((got = cursor_next(authz->cursors[i], &event, NULL)) > 0) {
        changed = true;
    }
    if (got < 0) {
        cursor_close(authz->cursors[i]);
        authz->cursors[i] = NULL;
        open_cursor(authz, i, NULL);
        changed = true;
    }
    return changed;
}

static void on_ready(void *ctx, struct cursor *cursor)
{
    struct authz *authz = ctx;
    bool changed = false;
    for (size_t i = 0; i < CURSORS; i++) {
        if (authz->cursors[i] != NULL && drain(authz, i)) {
            changed = true;
        }
    }
    if (changed) {
        authz_refresh(authz);
    }
}

int authz_start(struct authz *authz, struct err *err)
{
    for (size_t i = 0; i < CURSORS; i++) {
        int code = watched(authz, i) != NULL ? open_cursor(authz, i, err) : 0;
        if (code < 0) {
            return code;
        }
    }
    authz_refresh(authz);
    on_ready(authz, NULL); /* arms each cursor's wake-up */
    return 0;
}

void authz_free(struct authz *authz)
{
    if (authz == NULL) {
        return;
    }
    for (size_t i = 0; i < CURSORS; i++) {
        if (authz->cursors[i] != NULL) {
            cursor_close(authz->cursors[i]);
        }
    }
    rule_set_unref(authz->set);
    pthread_mutex_destroy(&authz->mutex);
    free(authz);
}

/* ---- decisions ---- */

static bool grant_allows(void *ctx, const struct grant *grant)
{
    const struct attributes *attributes = ctx;
    for (size_t i = 0; i < grant->rules->count; i++) {
        if (rule_matches(&grant->rules->items[i], attributes)) {
            return true;
        }
    }
    return false;
}

bool authz_allows(struct server *server, const struct attributes *attributes,
                  struct arena *reason_arena, struct str *ret_reason)
{
    const struct identity *identity = attributes->identity;
    if (identity->masters) {
        return true;
    }
    if (identity->node.n > 0 &&
        node_authorizer_allows(server, attributes, reason_arena, ret_reason)) {
        return true;
    }
    struct rule_set *set = current_set(server->authz);
    bool allowed =
        rule_set_each(set, identity, attributes->resource.n > 0 ? attributes->ns : STR_NONE,
                      grant_allows, (void *)(uintptr_t)attributes);
    rule_set_unref(set);
    return allowed;
}

static int forbid(struct request *request, const struct attributes *a, struct str reason,
                  struct failure *failure)
{
    struct arena *arena = &request->arena;
    struct str user = a->identity->name;
    if (a->resource.n == 0) {
        return failure_set(failure, arena, ERR_FORBIDDEN,
                           "forbidden: User \"%.*s\" cannot %.*s path \"%.*s\"", STR_ARG(user),
                           STR_ARG(a->verb), STR_ARG(a->path));
    }
    const char *where = a->ns.n > 0
                            ? arena_printf(arena, "in the namespace \"%.*s\"", STR_ARG(a->ns))
                            : "at the cluster scope";
    const char *name = a->name.n > 0 ? arena_printf(arena, " \"%.*s\"", STR_ARG(a->name)) : "";
    const char *group = a->group.n > 0 ? arena_printf(arena, ".%.*s", STR_ARG(a->group)) : "";
    const char *sub =
        a->subresource.n > 0 ? arena_printf(arena, "/%.*s", STR_ARG(a->subresource)) : "";
    failure_set(failure, arena, ERR_FORBIDDEN,
                "%.*s%s%s is forbidden: User \"%.*s\" cannot %.*s resource \"%.*s%s\" in API "
                "group \"%.*s\" %s%s%.*s",
                STR_ARG(a->resource), group, name, STR_ARG(user), STR_ARG(a->verb),
                STR_ARG(a->resource), sub, STR_ARG(a->group), where, reason.n > 0 ? ": " : "",
                STR_ARG(reason));
    failure->name = a->name;
    failure->group = a->group;
    failure->kind = a->resource;
    return ERR_FORBIDDEN;
}

int authz_check(struct request *request, const struct attributes *attributes,
                struct failure *failure)
{
    struct str reason = STR_NONE;
    if (authz_allows(request->server, attributes, &request->arena, &reason)) {
        return 0;
    }
    return forbid(request, attributes, reason, failure);
}

/* The verb follows from what is done, not from the HTTP method: a stream into a container creates
 * something, also when a WebSocket opens it with GET (security.md, "exec through GET"). */
static const char *verb_of(const struct route *route, enum request_verb verb)
{
    struct str sub = route_subresource(route);
    if (str_is(sub, "exec") || str_is(sub, "attach") || str_is(sub, "portforward")) {
        return "create";
    }
    return verb_name(verb);
}

struct str authz_selected_name(struct str field_selector)
{
    struct str rest = STR_NONE;
    struct str key = str_cut(field_selector, '=', &rest);
    if (!str_is(key, "metadata.name") || rest.n == 0) {
        return STR_NONE;
    }
    if (rest.p[0] == '=') {
        rest = str_from(rest, 1);
    }
    return memchr(rest.p, ',', rest.n) == NULL ? rest : STR_NONE;
}

/* A list or watch of one name is about that name. */
static struct str selected_name(const struct request *request)
{
    enum request_verb verb = request->route.verb;
    return verb == VERB_LIST || verb == VERB_WATCH || verb == VERB_DELETE_COLLECTION
               ? authz_selected_name(request->options.field_selector)
               : STR_NONE;
}

int authz_check_verb(struct request *request, enum request_verb verb, struct failure *failure)
{
    const struct route *route = &request->route;
    struct attributes a = {.identity = request->identity, .path = route->path};
    static const char *const methods[] = {"get",   "head",   "post",    "put",
                                          "patch", "delete", "options", "unknown"};
    if (route->resource == NULL) {
        a.verb = str_of(methods[route->method]);
    } else {
        a.verb = str_of(verb_of(route, verb));
        a.group = str_of(route->resource->group);
        a.resource = str_of(route->resource->plural);
        a.subresource = route_subresource(route);
        a.ns = route->ns;
        a.selector = request->options.field_selector;
        a.name = route->name.n > 0 ? route->name : selected_name(request);
        if (str_is(a.resource, "namespaces") && a.group.n == 0) {
            a.ns = a.name;
        }
    }
    return authz_check(request, &a, failure);
}

int authz_check_request(struct request *request, struct failure *failure)
{
    if (request->route.resource == NULL && info_needs_nobody(request)) {
        return 0;
    }
    return authz_check_verb(request, request->route.verb, failure);
}

/* ---- questions about rules ---- */

struct rules_visit {
    struct arena *arena;
    struct val *resource_rules, *path_rules;
};

static struct val *string_list(struct arena *arena, const struct str *items, size_t count)
{
    struct val *list = val_new(arena, VAL_ARRAY);
    for (size_t i = 0; i < count; i++) {
        val_append(list, val_new_text(arena, str_copy_in(arena, items[i])));
    }
    return list;
}

static void list_rule(struct rules_visit *visit, const struct rule *rule)
{
    struct arena *arena = visit->arena;
    struct val *v = val_new(arena, VAL_OBJECT);
    val_set(v, STR("verbs"), string_list(arena, rule->verbs, rule->verb_count));
    if (rule->path_count > 0) {
        val_set(v, STR("nonResourceURLs"), string_list(arena, rule->paths, rule->path_count));
        val_append(visit->path_rules, v);
        return;
    }
    val_set(v, STR("apiGroups"), string_list(arena, rule->groups, rule->group_count));
    val_set(v, STR("resources"), string_list(arena, rule->resources, rule->resource_count));
    if (rule->name_count > 0) {
        val_set(v, STR("resourceNames"), string_list(arena, rule->names, rule->name_count));
    }
    val_append(visit->resource_rules, v);
}

static bool list_grant(void *ctx, const struct grant *grant)
{
    for (size_t i = 0; i < grant->rules->count; i++) {
        list_rule(ctx, &grant->rules->items[i]);
    }
    return false;
}

void authz_rules(struct server *server, const struct identity *identity, struct str ns,
                 struct arena *arena, struct val *resource_rules, struct val *path_rules)
{
    struct rules_visit visit = {arena, resource_rules, path_rules};
    struct str star[] = {STR("*")};
    if (identity->masters) {
        struct rule all = {.verbs = star,
                           .groups = star,
                           .resources = star,
                           .verb_count = 1,
                           .group_count = 1,
                           .resource_count = 1};
        struct rule paths = {.verbs = star, .paths = star, .verb_count = 1, .path_count = 1};
        list_rule(&visit, &all);
        list_rule(&visit, &paths);
    }
    struct rule_set *set = current_set(server->authz);
    rule_set_each(set, identity, ns, list_grant, &visit);
    rule_set_unref(set);
}

static bool covers_paths(struct server *server, struct attributes a, const struct rule *rule)
{
    for (size_t p = 0; p < rule->path_count; p++) {
        a.path = rule->paths[p];
        if (!authz_allows(server, &a, NULL, NULL)) {
            return false;
        }
    }
    return true;
}

static bool covers_names(struct server *server, struct attributes a, const struct rule *rule)
{
    if (rule->name_count == 0) {
        return authz_allows(server, &a, NULL, NULL);
    }
    for (size_t n = 0; n < rule->name_count; n++) {
        a.name = rule->names[n];
        if (!authz_allows(server, &a, NULL, NULL)) {
            return false;
        }
    }
    return true;
}

static bool covers_resources(struct server *server, struct attributes a, const struct rule *rule)
{
    for (size_t g = 0; g < rule->group_count; g++) {
        for (size_t r = 0; r < rule->resource_count; r++) {
            struct str sub = STR_NONE;
            a.group = rule->groups[g];
            a.resource = str_cut(rule->resources[r], '/', &sub);
            a.subresource = sub;
            if (!covers_names(server, a, rule)) {
                return false;
            }
        }
    }
    return true;
}

/* A '*' in the rule is asked for literally, so only a holder of '*' passes. */
bool authz_covers(struct server *server, const struct identity *identity, struct str ns,
                  const struct val *rules)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    VAL_EACH (it, rules) {
        struct rule rule;
        rule_compile(&arena, it, &rule);
        for (size_t v = 0; v < rule.verb_count; v++) {
            struct attributes a = {.identity = identity, .verb = rule.verbs[v], .ns = ns};
            if (!covers_paths(server, a, &rule) || !covers_resources(server, a, &rule)) {
                return false;
            }
        }
    }
    return true;
}
