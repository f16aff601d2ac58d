/* Aggregated ClusterRoles: the rules of a role with an aggregationRule are those of all
 * ClusterRoles that its selectors choose, in order of their names, each rule once. What somebody
 * writes into such a role's own rules is put back. A role may aggregate aggregated roles: each
 * change comes round until nothing changes any more.
 */
#include <stdlib.h>

#include "api/selector.h"
#include "base/mem.h"
#include "controllers/pass.h"
#include "controllers/table_int.h"

enum { PARALLEL = 5 };

struct aggregation {
    struct worker *worker;
    const struct api_resource *resource;
    struct informer *roles;
};

/* ---- what changes a role ---- */

static bool wake(void *ctx, struct object *role)
{
    struct aggregation *aggregation = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (val_get(object_decode(role, &arena), "aggregationRule") != NULL) {
        worker_add(aggregation->worker, role);
    }
    return true;
}

static void on_role(void *ctx, struct object *old, struct object *now)
{
    struct aggregation *aggregation = ctx;
    informer_each(aggregation->roles, STR_NONE, NULL, wake, aggregation);
}

/* ---- a pass ---- */

struct gathering {
    struct pass *pass;
    struct str self;
    struct selector *selectors;
    size_t selector_count;
    struct val *rules;
};

static bool is_chosen(const struct gathering *gathering, const struct object *role)
{
    for (size_t i = 0; i < gathering->selector_count; i++) {
        if (selector_matches(&gathering->selectors[i], role)) {
            return true;
        }
    }
    return false;
}

static bool is_there(const struct val *rules, const struct val *rule)
{
    VAL_EACH (it, rules) {
        if (val_equal(it, rule)) {
            return true;
        }
    }
    return false;
}

static bool gather(void *ctx, struct object *role)
{
    struct gathering *gathering = ctx;
    struct pass *pass = gathering->pass;
    if (str_eq(role->name, gathering->self) || !is_chosen(gathering, role)) {
        return true;
    }
    const struct val *value = object_decode(pass_hold(pass, role), pass->arena);
    VAL_EACH (it, val_get(value, "rules")) {
        if (!is_there(gathering->rules, it)) {
            val_append(gathering->rules, val_copy(pass->arena, it));
        }
    }
    return true;
}

static bool read_selectors(struct gathering *gathering, const struct val *list)
{
    struct arena *arena = gathering->pass->arena;
    gathering->selectors = arena_array(arena, struct selector, val_count(list) + 1);
    VAL_EACH (it, list) {
        if (selector_from_val(arena, it, &gathering->selectors[gathering->selector_count++], NULL) <
            0) {
            return false;
        }
    }
    return true;
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct aggregation *aggregation = ctx;
    struct object *role = informer_get(aggregation->roles, STR_NONE, pass->name);
    if (role == NULL || role->deleting) {
        return;
    }
    struct val *value = object_decode(pass_hold(pass, role), pass->arena);
    const struct val *rule = val_get(value, "aggregationRule");
    struct gathering gathering = {.pass = pass, .self = role->name};
    if (rule == NULL || !read_selectors(&gathering, val_get(rule, "clusterRoleSelectors"))) {
        return;
    }
    gathering.rules = val_new(pass->arena, VAL_ARRAY);
    informer_each(aggregation->roles, STR_NONE, NULL, gather, &gathering);
    const struct val *has = val_get(value, "rules");
    if (val_count(has) == val_count(gathering.rules) &&
        (has == NULL || val_equal(has, gathering.rules) || val_count(has) == 0)) {
        return;
    }
    val_set(value, STR("rules"), gathering.rules);
    pass_update(pass, aggregation->resource, "", value, NULL, NULL);
}

static void *start(struct controller_env *env)
{
    struct aggregation *aggregation = mem_new(struct aggregation);
    aggregation->resource = controller_resource("rbac.authorization.k8s.io", "v1", "clusterroles");
    aggregation->worker =
        worker_new(env, "clusterrole-aggregation-controller", PARALLEL, reconcile, aggregation);
    aggregation->roles = informers_get(env->informers, aggregation->resource);
    informer_handle(aggregation->roles, (struct informer_handler){on_role, aggregation});
    return aggregation;
}

static void stop(void *state)
{
    struct aggregation *aggregation = state;
    informer_unhandle(aggregation->roles, aggregation);
    worker_free(aggregation->worker);
    free(aggregation);
}

const struct controller controller_cluster_role = {
    .name = "clusterrole-aggregation-controller", .start = start, .stop = stop};
