/* rules.c: compiling RBAC. A new set shares the compiled roles of the old one whose objects did not
 * change, so one changed binding costs one pass over pointers. */
#include "server/authz/rules.h"

#include <stdlib.h>

#include "server/server_int.h"

static struct str *strings(struct arena *arena, const struct val *list, uint16_t *ret_count,
                           bool *ret_all)
{
    uint32_t count = val_count(list);
    if (count > UINT16_MAX) {
        count = UINT16_MAX;
    }
    struct str *items = arena_array(arena, struct str, count > 0 ? count : 1);
    uint16_t n = 0;
    VAL_EACH (it, list) {
        if (n < count) {
            items[n] = val_text(it);
            if (ret_all != NULL && str_is(items[n], "*")) {
                *ret_all = true;
            }
            n++;
        }
    }
    *ret_count = n;
    return items;
}

void rule_compile(struct arena *arena, const struct val *v, struct rule *ret)
{
    *ret = (struct rule){0};
    ret->verbs = strings(arena, val_get(v, "verbs"), &ret->verb_count, &ret->all_verbs);
    ret->groups = strings(arena, val_get(v, "apiGroups"), &ret->group_count, &ret->all_groups);
    ret->resources =
        strings(arena, val_get(v, "resources"), &ret->resource_count, &ret->all_resources);
    ret->names = strings(arena, val_get(v, "resourceNames"), &ret->name_count, NULL);
    ret->paths = strings(arena, val_get(v, "nonResourceURLs"), &ret->path_count, NULL);
}

struct rule_list *rule_list_new(struct object *role)
{
    struct rule_list *list = mem_new(struct rule_list);
    atomic_init(&list->refs, 1);
    list->object = object_ref(role);
    const struct val *value = object_decode(role, &list->arena);
    const struct val *rules = val_get(value, "rules");
    list->items = arena_array(&list->arena, struct rule, val_count(rules) + 1);
    VAL_EACH (it, rules) {
        rule_compile(&list->arena, it, &list->items[list->count++]);
    }
    return list;
}

struct rule_list *rule_list_ref(struct rule_list *list)
{
    atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    return list;
}

void rule_list_unref(struct rule_list *list)
{
    if (list == NULL || atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    object_unref(list->object);
    arena_done(&list->arena);
    free(list);
}

/* ---- matching ---- */

static bool has(const struct str *items, size_t count, struct str wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(items[i], wanted)) {
            return true;
        }
    }
    return false;
}

static bool resource_matches(const struct rule *rule, const struct attributes *a)
{
    if (rule->all_resources) {
        return true;
    }
    for (size_t i = 0; i < rule->resource_count; i++) {
        struct str sub = STR_NONE;
        struct str main = str_cut(rule->resources[i], '/', &sub);
        if (a->subresource.n == 0
                ? sub.p == NULL && str_eq(main, a->resource)
                : str_eq(sub, a->subresource) && (str_is(main, "*") || str_eq(main, a->resource))) {
            return true;
        }
    }
    return false;
}

static bool path_matches(const struct rule *rule, struct str path)
{
    for (size_t i = 0; i < rule->path_count; i++) {
        struct str p = rule->paths[i];
        if (str_eq(p, path)) {
            return true;
        }
        if (p.n > 0 && p.p[p.n - 1] == '*' && str_starts(path, str_at(p.p, p.n - 1))) {
            return true;
        }
    }
    return false;
}

bool rule_matches(const struct rule *rule, const struct attributes *a)
{
    if (!rule->all_verbs && !has(rule->verbs, rule->verb_count, a->verb)) {
        return false;
    }
    if (a->resource.n == 0) {
        return path_matches(rule, a->path);
    }
    return (rule->all_groups || has(rule->groups, rule->group_count, a->group)) &&
           resource_matches(rule, a) &&
           (rule->name_count == 0 ||
            (a->name.n > 0 && has(rule->names, rule->name_count, a->name)));
}

static bool any_matches(const struct rule *held, size_t count, const struct attributes *a)
{
    for (size_t i = 0; i < count; i++) {
        if (rule_matches(&held[i], a)) {
            return true;
        }
    }
    return false;
}

static bool cover_resource(const struct rule *held, size_t count, const struct rule *rule,
                           struct attributes a)
{
    if (rule->name_count == 0) {
        return any_matches(held, count, &a);
    }
    for (size_t n = 0; n < rule->name_count; n++) {
        a.name = rule->names[n];
        if (!any_matches(held, count, &a)) {
            return false;
        }
    }
    return true;
}

static bool cover_verb(const struct rule *held, size_t count, const struct rule *rule,
                       struct str verb)
{
    for (size_t p = 0; p < rule->path_count; p++) {
        struct attributes a = {.verb = verb, .path = rule->paths[p]};
        if (!any_matches(held, count, &a)) {
            return false;
        }
    }
    for (size_t g = 0; g < rule->group_count; g++) {
        for (size_t r = 0; r < rule->resource_count; r++) {
            struct attributes a = {.verb = verb, .group = rule->groups[g]};
            a.resource = str_cut(rule->resources[r], '/', &a.subresource);
            if (!cover_resource(held, count, rule, a)) {
                return false;
            }
        }
    }
    return true;
}

bool rules_cover(const struct rule *held, size_t count, const struct rule *rule)
{
    for (size_t v = 0; v < rule->verb_count; v++) {
        if (!cover_verb(held, count, rule, rule->verbs[v])) {
            return false;
        }
    }
    return true;
}

/* ---- the set ---- */

static struct str key_of(struct buf *buf, struct str ns, struct str name)
{
    buf_clear(buf);
    buf_str(buf, ns);
    buf_char(buf, '/');
    buf_str(buf, name);
    return buf_view(buf);
}

static void add_roles(struct rule_set *set, struct cache *cache,
                      const struct api_resource *resource, const struct rule_set *old)
{
    if (resource == NULL) {
        return;
    }
    struct buf key BUF_CLEANUP = BUF_INIT;
    struct snapshot *snapshot = snapshot_take(cache, resource->storage);
    struct snapshot_iter iter;
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    const struct object *object;
    while ((object = snapshot_next(&iter)) != NULL) {
        struct str k = key_of(&key, object->ns, object->name);
        struct rule_list *kept = old != NULL ? map_get(&old->roles, k) : NULL;
        struct rule_list *list = kept != NULL && kept->object == object
                                     ? rule_list_ref(kept)
                                     : rule_list_new((struct object *)(uintptr_t)object);
        map_set(&set->roles, k, list);
    }
    snapshot_release(snapshot);
}

static void add_grant(struct rule_set *set, struct buf *key, const char *kind, struct str name,
                      struct grant grant)
{
    buf_clear(key);
    buf_addz(key, kind);
    buf_str(key, name);
    struct grants *grants = map_get(&set->subjects, buf_view(key));
    if (grants == NULL) {
        grants = mem_new(struct grants);
        map_set(&set->subjects, buf_view(key), grants);
    }
    *vec_push(grants) = grant;
}

static void add_subject(struct rule_set *set, struct buf *key, const struct val *subject,
                        struct str binding_ns, struct grant grant)
{
    struct str kind = val_text(val_get(subject, "kind"));
    struct str name = val_text(val_get(subject, "name"));
    if (str_is(kind, "User")) {
        add_grant(set, key, "U:", name, grant);
    } else if (str_is(kind, "Group")) {
        add_grant(set, key, "G:", name, grant);
    } else if (str_is(kind, "ServiceAccount")) {
        struct str ns = val_text(val_get(subject, "namespace"));
        struct buf user BUF_CLEANUP = BUF_INIT;
        buf_printf(&user, "system:serviceaccount:%.*s:%.*s", STR_ARG(ns.n > 0 ? ns : binding_ns),
                   STR_ARG(name));
        add_grant(set, key, "U:", buf_view(&user), grant);
    }
}

static void add_bindings(struct rule_set *set, struct cache *cache,
                         const struct api_resource *resource)
{
    if (resource == NULL) {
        return;
    }
    struct buf key BUF_CLEANUP = BUF_INIT;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct snapshot *snapshot = snapshot_take(cache, resource->storage);
    struct snapshot_iter iter;
    snapshot_iter_init(&iter, snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    const struct object *it;
    while ((it = snapshot_next(&iter)) != NULL) {
        struct object *object = object_ref((struct object *)(uintptr_t)it);
        map_set(&set->bindings, key_of(&key, object->ns, object->name), object);
        arena_reset(&arena);
        const struct val *value = object_decode(object, &arena);
        const struct val *role = val_get(value, "roleRef");
        bool cluster = str_is(val_text(val_get(role, "kind")), "ClusterRole");
        struct str role_ns = cluster ? STR_NONE : object->ns;
        struct grant grant = {
            .ns = object->ns,
            .rules = map_get(&set->roles, key_of(&key, role_ns, val_text(val_get(role, "name")))),
            .binding = object};
        VAL_EACH (subject, val_get(value, "subjects")) {
            add_subject(set, &key, subject, object->ns, grant);
        }
    }
    snapshot_release(snapshot);
}

struct rule_set *rule_set_build(struct cache *cache, const struct known_resources *known,
                                const struct rule_set *old)
{
    struct rule_set *set = mem_new(struct rule_set);
    atomic_init(&set->refs, 1);
    add_roles(set, cache, known->cluster_roles, old);
    add_roles(set, cache, known->roles, old);
    add_bindings(set, cache, known->cluster_role_bindings);
    add_bindings(set, cache, known->role_bindings);
    return set;
}

struct rule_set *rule_set_ref(struct rule_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void rule_set_unref(struct rule_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    MAP_EACH (it, &set->roles) {
        rule_list_unref(it->value);
    }
    MAP_EACH (it, &set->bindings) {
        object_unref(it->value);
    }
    MAP_EACH (it, &set->subjects) {
        struct grants *grants = it->value;
        vec_done(grants);
        free(grants);
    }
    map_done(&set->roles);
    map_done(&set->bindings);
    map_done(&set->subjects);
    free(set);
}

const struct rule_list *rule_set_role(const struct rule_set *set, struct str ns, struct str name)
{
    struct buf key BUF_CLEANUP = BUF_INIT;
    return map_get(&set->roles, key_of(&key, ns, name));
}

static bool visit_subject(const struct rule_set *set, const char *kind, struct str name,
                          struct str ns, bool (*visit)(void *ctx, const struct grant *grant),
                          void *ctx)
{
    char text[512];
    if (name.n + 2 > sizeof text) {
        return false;
    }
    memcpy(text, kind, 2);
    memcpy(text + 2, name.p, name.n);
    const struct grants *grants = map_get(&set->subjects, str_at(text, name.n + 2));
    for (size_t i = 0; grants != NULL && i < grants->count; i++) {
        const struct grant *grant = &grants->items[i];
        if ((grant->ns.n == 0 || (ns.n > 0 && str_eq(grant->ns, ns))) && grant->rules != NULL &&
            visit(ctx, grant)) {
            return true;
        }
    }
    return false;
}

bool rule_set_each(const struct rule_set *set, const struct identity *identity, struct str ns,
                   bool (*visit)(void *ctx, const struct grant *grant), void *ctx)
{
    if (visit_subject(set, "U:", identity->name, ns, visit, ctx)) {
        return true;
    }
    for (size_t i = 0; i < identity->group_count; i++) {
        if (visit_subject(set, "G:", identity->groups[i], ns, visit, ctx)) {
            return true;
        }
    }
    return false;
}
