/* The namespace controller: empties a namespace that is being deleted, then lets it go.
 *
 * Pods go first, and nothing else as long as some are left: what runs may need the rest (network
 * policies, secrets) until it has stopped. What remains is told in the conditions. When nothing is
 * left, the finalizer "kubernetes" of spec.finalizers is removed through the finalize subresource.
 *
 * An object that turns up in a namespace that is not there (it was made just before the end, and
 * its event came late) is deleted too, after a GET has confirmed that there is no such namespace.
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "controllers/finalizers.h"
#include "controllers/pods.h"
#include "controllers/resources.h"
#include "controllers/table_int.h"

enum { PARALLEL = 10 };

struct namespaces {
    struct worker *worker;
    struct informer *informer;
    const struct api_resource *resource;
    struct resources contents;
};

struct emptying {
    struct namespaces *all;
    struct object *object; /* NULL: there is no such namespace */
    const char *failure;   /* of a delete */
};

/* ---- contents ---- */

struct sweep {
    struct pass *pass;
    struct emptying *work;
    size_t count;
};

static void on_deleted(struct pass *pass, void *arg, const struct client_result *result)
{
    struct emptying *work = arg;
    if (result->code != 0 && result->code != ERR_NOT_FOUND && result->code != ERR_CONFLICT) {
        work->failure = str_dup_in(pass->arena, str_of(result->error.message));
        pass_retry(pass);
    }
}

static bool delete_one(void *ctx, struct object *object)
{
    struct sweep *sweep = ctx;
    sweep->count++;
    if (!object->deleting) {
        pass_delete(sweep->pass, pass_hold(sweep->pass, object), "Background", -1, on_deleted,
                    sweep->work);
    }
    return true;
}

static bool is_pods(const struct api_resource *resource)
{
    return resource->group[0] == '\0' && str_is(str_of(resource->plural), "pods");
}

static void delete_contents(struct pass *pass, struct emptying *work)
{
    struct resources *contents = &work->all->contents;
    struct sweep sweep = {.pass = pass, .work = work};
    for (int pods_first = 1; pods_first >= 0 && sweep.count == 0; pods_first--) {
        for (size_t i = 0; i < contents->count; i++) {
            if (is_pods(contents->items[i]->resource) == (pods_first == 1)) {
                informer_each(contents->items[i]->informer, pass->name, NULL, delete_one, &sweep);
            }
        }
    }
}

/* ---- what is left ---- */

struct remains {
    struct arena *arena;
    struct buf *kinds, *finalizers;
    size_t count;
    struct map by_finalizer; /* -> uintptr_t count */
};

static bool look_at(void *ctx, struct object *object)
{
    struct remains *remains = ctx;
    remains->count++;
    struct val *value = object_decode(object, remains->arena);
    VAL_EACH (it, val_path(value, "metadata.finalizers")) {
        uintptr_t count = (uintptr_t)map_get(&remains->by_finalizer, it->text);
        map_set(&remains->by_finalizer, it->text, (void *)(count + 1));
    }
    return true;
}

static size_t find_remains(struct pass *pass, struct namespaces *all, struct buf *kinds,
                           struct buf *finalizers)
{
    struct remains remains = {.arena = pass->arena};
    size_t total = 0;
    for (size_t i = 0; i < all->contents.count; i++) {
        const struct api_resource *resource = all->contents.items[i]->resource;
        remains.count = 0;
        informer_each(all->contents.items[i]->informer, pass->name, NULL, look_at, &remains);
        if (remains.count > 0) {
            buf_printf(kinds, "%s%s.%s has %zu resource instances", total > 0 ? ", " : "",
                       resource->plural, resource->group, remains.count);
        }
        total += remains.count;
    }
    MAP_EACH (it, &remains.by_finalizer) {
        buf_printf(finalizers, "%s%.*s in %zu resource instances", finalizers->n > 0 ? ", " : "",
                   STR_ARG(it->key), (size_t)(uintptr_t)it->value);
    }
    map_done(&remains.by_finalizer);
    return total;
}

static bool set_condition(struct pass *pass, struct val *status, const char *type, bool state,
                          const char *reason, const char *message)
{
    struct arena *arena = pass->arena;
    struct val *condition = condition_find(status, str_of(type));
    const char *text = state ? "True" : "False";
    if (condition != NULL && str_is(val_text(val_get(condition, "status")), text) &&
        str_is(val_text(val_get(condition, "reason")), reason) &&
        str_is(val_text(val_get(condition, "message")), message)) {
        return false;
    }
    char now[TIME_TEXT_SIZE];
    time_format(pass->now, now);
    if (condition == NULL) {
        condition = val_append(val_make_array(arena, status, STR("conditions")),
                               val_new(arena, VAL_OBJECT));
        val_set_text(arena, condition, STR("type"), str_of(type));
    }
    if (!str_is(val_text(val_get(condition, "status")), text)) {
        val_set_text(arena, condition, STR("lastTransitionTime"),
                     str_of(str_dup_in(arena, str_of(now))));
    }
    val_set_text(arena, condition, STR("status"), str_of(text));
    val_set_text(arena, condition, STR("reason"), str_of(reason));
    val_set_text(arena, condition, STR("message"), str_of(str_dup_in(arena, str_of(message))));
    return true;
}

static void write_conditions(struct pass *pass, struct emptying *work, struct object *now,
                             const struct buf *kinds, const struct buf *finalizers)
{
    struct val *value = object_decode(pass_hold(pass, now), pass->arena);
    struct val *status = val_make_object(pass->arena, value, STR("status"));
    const char *what =
        arena_printf(pass->arena, "Some resources are remaining: %.*s", STR_ARG(buf_view(kinds)));
    const char *who =
        arena_printf(pass->arena, "Some content in the namespace has finalizers remaining: %.*s",
                     STR_ARG(buf_view(finalizers)));
    bool held = finalizers->n > 0, failed = work->failure != NULL, changed = false;
    changed |= set_condition(pass, status, "NamespaceDeletionDiscoveryFailure", false,
                             "ResourcesDiscovered", "All resources successfully discovered");
    changed |= set_condition(pass, status, "NamespaceDeletionGroupVersionParsingFailure", false,
                             "ParsedGroupVersions", "All kinds successfully parsed");
    changed |= set_condition(pass, status, "NamespaceDeletionContentFailure", failed,
                             failed ? "ContentDeletionFailed" : "ContentDeleted",
                             failed ? work->failure
                                    : "All content is marked for deletion, finalizers may run");
    changed |=
        set_condition(pass, status, "NamespaceContentRemaining", true, "SomeResourcesRemain", what);
    changed |= set_condition(pass, status, "NamespaceFinalizersRemaining", held,
                             held ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
                             held ? who : "No content is held by finalizers");
    if (changed) {
        pass_update(pass, work->all->resource, "status", value, NULL, NULL);
    }
}

static void finalize(struct pass *pass, struct emptying *work, struct object *now)
{
    struct val *value = object_decode(pass_hold(pass, now), pass->arena);
    struct val *spec = val_get(value, "spec");
    struct val *list = val_get(spec, "finalizers");
    VAL_EACH (it, list) {
        if (str_is(val_text(it), "kubernetes")) {
            val_remove(list, it);
            pass_update(pass, work->all->resource, "finalize", value, NULL, NULL);
            return;
        }
    }
}

static void conclude(struct pass *pass, void *arg)
{
    struct emptying *work = arg;
    struct object *now = informer_get(work->all->informer, STR_NONE, pass->name);
    struct buf kinds BUF_CLEANUP = BUF_INIT, finalizers BUF_CLEANUP = BUF_INIT;
    if (now == NULL || work->object == NULL || !str_eq(now->uid, work->object->uid)) {
        return;
    }
    if (find_remains(pass, work->all, &kinds, &finalizers) == 0) {
        finalize(pass, work, now);
    } else {
        write_conditions(pass, work, now, &kinds, &finalizers);
    }
}

/* ---- a pass ---- */

static void on_checked(struct pass *pass, void *arg, const struct client_result *result)
{
    if (result->code == ERR_NOT_FOUND) {
        delete_contents(pass, arg);
    } else if (result->code != 0) {
        pass_fail(pass);
    }
}

static bool is_any(void *ctx, struct object *object)
{
    *(bool *)ctx = true;
    return false;
}

static void sweep_homeless(struct pass *pass, struct emptying *work)
{
    bool any = false;
    struct resources *contents = &work->all->contents;
    for (size_t i = 0; i < contents->count && !any; i++) {
        informer_each(contents->items[i]->informer, pass->name, NULL, is_any, &any);
    }
    if (any) {
        pass_write(pass,
                   &(struct client_request){.verb = CLIENT_GET,
                                            .resource = work->all->resource,
                                            .name = pass->name,
                                            .subresource = ""},
                   on_checked, work);
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct namespaces *all = ctx;
    struct object *object = informer_get(all->informer, STR_NONE, pass->name);
    struct emptying *work = arena_new(pass->arena, struct emptying);
    work->all = all;
    if (object == NULL) {
        sweep_homeless(pass, work);
        return;
    }
    if (!object->deleting) {
        return;
    }
    work->object = pass_hold(pass, object);
    delete_contents(pass, work);
    pass_then(pass, conclude, work);
}

/* ---- events ---- */

static void on_namespace(void *ctx, struct object *old, struct object *now)
{
    struct namespaces *all = ctx;
    if (now == NULL || now->deleting) {
        worker_add(all->worker, now != NULL ? now : old);
    }
}

static void on_content(void *ctx, struct object *old, struct object *now)
{
    struct namespaces *all = ctx;
    const struct object *object = now != NULL ? now : old;
    const struct object *namespace = informer_get(all->informer, STR_NONE, object->ns);
    bool came_or_went = old == NULL || now == NULL;
    if (namespace != NULL ? namespace->deleting && (came_or_went || now->deleting)
                          : old == NULL && informer_synced(all->informer)) {
        worker_add_name(all->worker, STR_NONE, object->ns);
    }
}

static void content_added(void *ctx, struct resource_watch *watch)
{
    informer_handle(watch->informer, (struct informer_handler){on_content, ctx});
}

static void content_removed(void *ctx, struct resource_watch *watch)
{
    informer_unhandle(watch->informer, ctx);
}

static const struct resources_ops content_ops = {content_added, content_removed};

static void *start(struct controller_env *env)
{
    struct namespaces *all = mem_new(struct namespaces);
    all->resource = controller_resource("", "v1", "namespaces");
    all->informer = informers_get(env->informers, all->resource);
    all->worker = worker_new(env, "namespace-controller", PARALLEL, reconcile, all);
    resources_watch(&all->contents, env, true, &content_ops, all);
    informer_handle(all->informer, (struct informer_handler){on_namespace, all});
    return all;
}

static void stop(void *state)
{
    struct namespaces *all = state;
    informer_unhandle(all->informer, all);
    resources_done(&all->contents);
    worker_free(all->worker);
    free(all);
}

const struct controller controller_namespace = {
    .name = "namespace-controller", .start = start, .stop = stop};
