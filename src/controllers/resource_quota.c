/* What the objects of a namespace use, counted anew into the status of its ResourceQuotas.
 *
 * Admission adds to status.used with each write, and never takes away: that is done here, when
 * objects go, finish or change. A count must not be older than the quota that it is written to, or
 * a charge of admission would be lost: so a pass reads the quota first, then lists what it
 * measures (at a revision not before the quota's), and writes with the quota's resourceVersion.
 * A charge that comes in between makes the write fail, and the pass is run again.
 *
 * Any kind of a namespace can be counted, custom ones as they come and go (resources.h).
 */
#include <stdlib.h>

#include "api/quota.h"
#include "base/mem.h"
#include "base/vec.h"
#include "controllers/resources.h"
#include "controllers/table_int.h"

enum { PARALLEL = 4, SETTLE_S = 2, RESYNC_S = 300 };

struct monitor { /* one resource that may be measured */
    struct quotas *quotas;
    const struct api_resource *resource; /* of the resource_watch */
};
struct quotas {
    struct worker *worker;
    const struct api_resource *resource;
    struct informer *informer;
    struct resources measured;
};

/* ---- what wakes a quota ---- */

static bool measures_any(const struct api_resource *resource, const struct val *hard)
{
    VAL_EACH (it, hard) {
        if (quota_measures(resource, it->key)) {
            return true;
        }
    }
    return false;
}

struct waking {
    struct quotas *quotas;
    const struct api_resource *resource;
};

static bool wake(void *ctx, struct object *quota)
{
    struct waking *waking = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (measures_any(waking->resource, val_path(object_decode(quota, &arena), "spec.hard"))) {
        worker_add(waking->quotas->worker, quota);
    }
    return true;
}

static bool found(void *ctx, struct object *quota)
{
    *(bool *)ctx = true;
    return false;
}

static bool frees_something(struct monitor *monitor, const struct object *old,
                            const struct object *now)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct loop *loop = monitor->quotas->worker->env.loop;
    return now == NULL ||
           (old != NULL && quota_changes(monitor->resource, object_decode(old, &arena),
                                         object_decode(now, &arena), clock_wall(loop_clock(loop))));
}

static void on_measured(void *ctx, struct object *old, struct object *now)
{
    struct monitor *monitor = ctx;
    struct quotas *quotas = monitor->quotas;
    struct str ns = now != NULL ? now->ns : old->ns;
    bool any = false;
    informer_each(quotas->informer, ns, NULL, found, &any);
    if (any && frees_something(monitor, old, now)) {
        struct waking waking = {quotas, monitor->resource};
        informer_each(quotas->informer, ns, NULL, wake, &waking);
    }
}

/* A kind that is new may be one that a quota waits for. */
static void added(void *ctx, struct resource_watch *watch)
{
    struct quotas *quotas = ctx;
    struct monitor *monitor = mem_new(struct monitor);
    *monitor = (struct monitor){quotas, watch->resource};
    watch->user = monitor;
    informer_handle(watch->informer, (struct informer_handler){on_measured, monitor});
    if (watch->resource->custom != NULL) {
        struct waking waking = {quotas, watch->resource};
        informer_each(quotas->informer, STR_NONE, NULL, wake, &waking);
    }
}

static void removed(void *ctx, struct resource_watch *watch)
{
    informer_unhandle(watch->informer, watch->user);
    free(watch->user);
}

static const struct resources_ops resources_ops = {.added = added, .removed = removed};

/* By id: a custom kind may go while a pass is under way. NULL: gone. */
static const struct api_resource *resource_of(const struct quotas *quotas, uint16_t id)
{
    for (size_t i = 0; i < quotas->measured.count; i++) {
        if (quotas->measured.items[i]->resource->id == id) {
            return quotas->measured.items[i]->resource;
        }
    }
    return NULL;
}

/* Not for each charge of admission: only when the quota itself is new or says something else. */
static bool is_stale(const struct val *quota)
{
    const struct val *hard = val_path(quota, "spec.hard"), *seen = val_path(quota, "status.hard");
    const struct val *used = val_path(quota, "status.used");
    if (val_count(hard) != val_count(seen) || seen == NULL || !val_equal(hard, seen)) {
        return true;
    }
    return val_count(used) == 0 && val_count(hard) > 0;
}

static void on_quota(void *ctx, struct object *old, struct object *now)
{
    struct quotas *quotas = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (now == NULL) {
        return;
    }
    const struct val *quota = object_decode(now, &arena);
    if (old == NULL || is_stale(quota)) {
        worker_add(quotas->worker, now);
    }
}

/* ---- a pass ---- */

struct count {
    struct quotas *quotas;
    struct pass_listing *read; /* the quotas of the namespace, from the server */
    struct object *quota;
    struct val *value;
    struct {
        struct pass_listing *items[64];
        uint16_t ids[64];
        size_t count;
    } lists;
    struct pass *pass;
};

static void list_measured(struct count *count)
{
    const struct resources *measured = &count->quotas->measured;
    const struct val *hard = val_path(count->value, "spec.hard");
    for (size_t i = 0; i < measured->count && count->lists.count < 64; i++) {
        const struct api_resource *resource = measured->items[i]->resource;
        if (quota_covers(resource) && measures_any(resource, hard)) {
            size_t n = count->lists.count++;
            count->lists.ids[n] = resource->id;
            count->lists.items[n] = pass_list(count->pass, resource, count->quota->ns);
        }
    }
}

static bool is_older(const struct count *count)
{
    for (size_t i = 0; i < count->lists.count; i++) {
        if (count->lists.items[i]->revision < count->quota->revision) {
            return true;
        }
    }
    return false;
}

static void use_of_list(struct count *count, size_t i, struct amounts *used)
{
    const struct pass_listing *list = count->lists.items[i];
    const struct val *hard = val_path(count->value, "spec.hard");
    const struct api_resource *resource = resource_of(count->quotas, count->lists.ids[i]);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    for (size_t k = 0; resource != NULL && k < list->count; k++) {
        arena_reset(&arena);
        struct quota_item item = {resource, object_decode(list->objects[k], &arena),
                                  count->pass->now};
        struct amounts usage = {.arena = &arena};
        if (!quota_matches(count->value, hard, &item)) {
            continue;
        }
        quota_usage(&item, &usage);
        for (size_t n = 0; n < usage.count; n++) {
            const struct val *named = val_get_str(hard, usage.items[n].name);
            if (named != NULL) {
                amounts_add(used, named->key, usage.items[n].value);
            }
        }
    }
    pass_cost(count->pass, list->count);
}

/* What nothing measures keeps no use. */
static void start_at_zero(const struct count *count, struct amounts *used)
{
    VAL_EACH (it, val_path(count->value, "spec.hard")) {
        for (size_t i = 0; i < count->lists.count; i++) {
            const struct api_resource *resource = resource_of(count->quotas, count->lists.ids[i]);
            if (resource != NULL && quota_measures(resource, it->key)) {
                amounts_set(used, it->key, quantity_of_value(0, 0));
            }
        }
    }
}

static bool same_list(const struct val *a, const struct val *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || val_equal(a, b));
}

static void on_written(struct pass *pass, void *arg, const struct client_result *result)
{
    if (result->code == ERR_CONFLICT) {
        pass_again(pass); /* charged meanwhile */
    } else if (result->code != 0 && result->code != ERR_NOT_FOUND) {
        pass_fail(pass);
    }
}

static void write_count(struct pass *pass, void *arg)
{
    struct count *count = arg;
    struct arena *arena = pass->arena;
    struct amounts used = {.arena = arena};
    if (is_older(count)) {
        pass_again(pass);
        return;
    }
    start_at_zero(count, &used);
    for (size_t i = 0; i < count->lists.count; i++) {
        use_of_list(count, i, &used);
    }
    struct val *status = val_make_object(arena, count->value, STR("status"));
    const struct val *hard = val_path(count->value, "spec.hard");
    struct val *now = amounts_val(&used, arena);
    bool first = val_get(status, "hard") == NULL;
    pass_after(pass, (first ? SETTLE_S : RESYNC_S) * NS_PER_S);
    if (!first && same_list(val_get(status, "hard"), hard) &&
        same_list(val_get(status, "used"), now)) {
        return;
    }
    val_set(status, STR("hard"), hard != NULL ? val_copy(arena, hard) : val_new(arena, VAL_OBJECT));
    val_set(status, STR("used"), now);
    pass_update(pass, count->quotas->resource, "status", count->value, on_written, NULL);
}

static void list_all(struct pass *pass, void *arg)
{
    struct count *count = arg;
    for (size_t i = 0; i < count->read->count; i++) {
        struct object *object = count->read->objects[i];
        if (str_eq(object->name, pass->name) && !object->deleting) {
            count->quota = object;
            count->value = object_decode(object, pass->arena);
        }
    }
    if (count->quota != NULL) {
        list_measured(count);
        pass_then(pass, write_count, count);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct quotas *quotas = ctx;
    struct count *count = arena_new(pass->arena, struct count);
    count->quotas = quotas;
    count->pass = pass;
    if (informer_get(quotas->informer, pass->ns, pass->name) != NULL) {
        count->read = pass_list(pass, quotas->resource, pass->ns);
        pass_then(pass, list_all, count);
    }
}

static void *start(struct controller_env *env)
{
    struct quotas *quotas = mem_new(struct quotas);
    quotas->resource = controller_resource("", "v1", "resourcequotas");
    quotas->worker = worker_new(env, "resourcequota-controller", PARALLEL, reconcile, quotas);
    quotas->informer = informers_get(env->informers, quotas->resource);
    informer_handle(quotas->informer, (struct informer_handler){on_quota, quotas});
    resources_watch(&quotas->measured, env, true, &resources_ops, quotas);
    return quotas;
}

static void stop(void *state)
{
    struct quotas *quotas = state;
    informer_unhandle(quotas->informer, quotas);
    resources_done(&quotas->measured);
    worker_free(quotas->worker);
    free(quotas);
}

const struct controller controller_resource_quota = {
    .name = "resourcequota-controller", .start = start, .stop = stop};
