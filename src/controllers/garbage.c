/* The garbage collector: objects go when their owners are gone.
 *
 * The owner graph is the informers' own: an index by owner uid on every served resource gives the
 * dependents, metadata.ownerReferences the owners. A pass looks at one object:
 *   - it is being deleted with the finalizer "orphan": its dependents lose the reference, then it
 *     the finalizer;
 *   - with "foregroundDeletion": its dependents are looked at; when none that blocks is left, it
 *     loses the finalizer;
 *   - none of its owners exists: it is deleted (its own finalizers say with which policy); some do
 *     not: those references are removed.
 * "Does not exist" is only believed from a fresh GET of the owner, by name and uid: an informer may
 * not have seen it yet, and an owner that is missed wrongly costs data. An owner in another
 * namespace, or a namespaced owner of a cluster-scoped object, cannot be looked up: it is reported,
 * and the object stays.
 *
 * Left to others: marking for deletion with finalizers (the server), events (they expire).
 */
#include <stdlib.h>

#include "api/custom/custom.h"
#include "base/mem.h"
#include "base/vec.h"
#include "client/owners.h"
#include "client/recorder.h"
#include "controllers/children.h"
#include "controllers/finalizers.h"
#include "controllers/resources.h"
#include "controllers/table_int.h"

enum { PARALLEL = 20 };
#define INDEX "owner"

struct garbage {
    struct worker *worker;
    struct recorder *recorder;
    struct resources resources;
};

enum verdict { OWNER_UNKNOWN, OWNER_SOLID, OWNER_WAITING, OWNER_GONE };
struct judged {
    struct judgement *all;
    struct owner owner;
    const struct api_resource *resource;
    enum verdict verdict;
};
struct judgement { /* of one object */
    struct garbage *garbage;
    struct object *object;
    struct judged *owners;
    size_t count;
};

/* ---- keys: "ID|namespace|name" ---- */

static void add_key(struct garbage *garbage, const struct object *object)
{
    struct buf key BUF_CLEANUP = BUF_INIT;
    buf_printf(&key, "%u|%.*s|%.*s", object->resource->storage->id, STR_ARG(object->ns),
               STR_ARG(object->name));
    queue_add(garbage->worker->queue, buf_view(&key));
}

static struct object *object_of(struct garbage *garbage, struct str key)
{
    struct str rest, name;
    uint64_t id;
    struct str number = str_cut(key, '|', &rest);
    struct str ns = str_cut(rest, '|', &name);
    if (!str_u64(number, &id)) {
        return NULL;
    }
    struct informer *informer = resources_informer_by_id(&garbage->resources, (uint16_t)id);
    return informer != NULL ? informer_get(informer, ns, name) : NULL;
}

/* ---- the graph ---- */

static void dependents_of(struct arena *arena, const struct garbage *garbage, struct str uid,
                          bool (*visit)(void *ctx, struct object *object), void *ctx)
{
    for (size_t i = 0; i < garbage->resources.count; i++) {
        informer_each_in(garbage->resources.items[i]->informer, INDEX, uid, visit, ctx);
    }
}

static void owner_keys(const struct object *object, void (*emit)(void *arg, struct str key),
                       void *arg)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct owner *owners;
    size_t count = owners_of(&arena, object, &owners);
    for (size_t i = 0; i < count; i++) {
        emit(arg, owners[i].uid);
    }
}

struct gather {
    struct pass *pass;
    struct objects list;
};

static bool gather_one(void *ctx, struct object *object)
{
    struct gather *gather = ctx;
    objects_add(gather->pass->arena, &gather->list, pass_hold(gather->pass, object));
    return true;
}

static struct objects gather_dependents(struct pass *pass, struct garbage *garbage, struct str uid)
{
    struct gather gather = {.pass = pass};
    dependents_of(pass->arena, garbage, uid, gather_one, &gather);
    return gather.list;
}

static bool blocks(const struct object *dependent, struct str uid)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct owner *owners;
    size_t count = owners_of(&arena, dependent, &owners);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(owners[i].uid, uid)) {
            return owners[i].block_deletion;
        }
    }
    return false;
}

/* ---- orphan, foreground ---- */

/* A change of the references of an object: strategic where its kind can be merged so, else the
 * whole list, guarded by the revision that it was read from. */
struct owner_edit {
    struct pass *pass;
    struct object *object;
    struct val *body, *list;
    bool whole;
};

static struct owner_edit edit_owners(struct pass *pass, struct object *object)
{
    struct val *meta;
    struct owner_edit edit = {
        .pass = pass, .object = object, .whole = object->resource->custom != NULL};
    edit.body = pass_patch_body(pass, object, &meta);
    if (edit.whole) {
        const struct val *value = object_decode(pass_hold(pass, object), pass->arena);
        const struct val *list = val_path(value, "metadata.ownerReferences");
        val_set_text(pass->arena, meta, STR("resourceVersion"),
                     val_text(val_path(value, "metadata.resourceVersion")));
        if (list != NULL) {
            val_set(meta, STR("ownerReferences"), val_copy(pass->arena, list));
        }
    }
    edit.list = val_make_array(pass->arena, meta, STR("ownerReferences"));
    return edit;
}

static void edit_remove(struct owner_edit *edit, struct str uid)
{
    if (edit->whole) {
        struct val *found = val_find(edit->list, "uid", uid);
        if (found != NULL) {
            val_remove(edit->list, found);
        }
        return;
    }
    struct val *gone = val_append(edit->list, val_new(edit->pass->arena, VAL_OBJECT));
    val_set_text(edit->pass->arena, gone, STR("$patch"), STR("delete"));
    val_set_text(edit->pass->arena, gone, STR("uid"), uid);
}

static void edit_unblock(struct owner_edit *edit, struct str uid)
{
    struct val *one = edit->whole ? val_find(edit->list, "uid", uid)
                                  : val_append(edit->list, val_new(edit->pass->arena, VAL_OBJECT));
    if (one != NULL) {
        val_set_text(edit->pass->arena, one, STR("uid"), uid);
        val_set_bool(edit->pass->arena, one, STR("blockOwnerDeletion"), false);
    }
}

/* A dependent that vanished meanwhile is as good. */
static void on_detached(struct pass *pass, void *arg, const struct client_result *result)
{
    if (result->code != 0 && result->code != ERR_NOT_FOUND) {
        pass_fail(pass);
    }
}

static void edit_send(struct owner_edit *edit)
{
    pass_patch(edit->pass, edit->object, edit->whole ? CLIENT_PATCH_MERGE : CLIENT_PATCH_STRATEGIC,
               "", edit->body, on_detached, NULL);
}

static void drop_orphan_finalizer(struct pass *pass, void *arg)
{
    struct judgement *work = arg;
    struct object *now = object_of(work->garbage, pass->key);
    if (now != NULL && str_eq(now->uid, work->object->uid)) {
        finalizer_remove(pass, now, FINALIZER_ORPHAN);
    }
}

static void orphan_dependents(struct pass *pass, struct judgement *work)
{
    struct objects list = gather_dependents(pass, work->garbage, work->object->uid);
    for (size_t i = 0; i < list.count; i++) {
        struct owner_edit edit = edit_owners(pass, list.items[i]);
        edit_remove(&edit, work->object->uid);
        edit_send(&edit);
    }
    pass_then(pass, drop_orphan_finalizer, work);
}

static void wait_for_dependents(struct pass *pass, struct judgement *work)
{
    struct objects list = gather_dependents(pass, work->garbage, work->object->uid);
    size_t blocking = 0;
    for (size_t i = 0; i < list.count; i++) {
        blocking += blocks(list.items[i], work->object->uid);
        if (!list.items[i]->deleting || finalizer_has(list.items[i], FINALIZER_FOREGROUND)) {
            add_key(work->garbage, list.items[i]);
        }
    }
    if (blocking == 0) {
        finalizer_remove(pass, work->object, FINALIZER_FOREGROUND);
    }
}

/* ---- owners ---- */

static enum verdict verdict_of(const struct object *owner)
{
    return owner->deleting && finalizer_has(owner, FINALIZER_FOREGROUND) ? OWNER_WAITING
                                                                         : OWNER_SOLID;
}

static void on_owner(struct pass *pass, void *arg, const struct client_result *result)
{
    struct judged *judged = arg;
    if (result->code == ERR_NOT_FOUND) {
        judged->verdict = OWNER_GONE;
    } else if (result->code != 0 || result->object == NULL) {
        pass_fail(pass);
    } else if (!str_eq(result->object->uid, judged->owner.uid)) {
        judged->verdict = OWNER_GONE;
    } else {
        judged->verdict = verdict_of(result->object);
    }
}

static void judge_of_kind(struct pass *pass, struct judged *judged,
                          const struct api_resource *resource)
{
    struct judgement *work = judged->all;
    const struct object *object = work->object;
    if (resource->namespaced && object->ns.n == 0) {
        recorder_event(work->garbage->recorder, object, "Warning", "OwnerRefInvalidNamespace",
                       "ownerRef [%.*s/%.*s %.*s] of a cluster-scoped object names a namespaced "
                       "kind",
                       STR_ARG(judged->owner.api_version), STR_ARG(judged->owner.kind),
                       STR_ARG(judged->owner.name));
        return;
    }
    struct str ns = resource->namespaced ? object->ns : STR_NONE;
    struct informer *informer =
        resources_informer_by_id(&work->garbage->resources, resource->storage->id);
    struct object *owner = informer != NULL ? informer_get(informer, ns, judged->owner.name) : NULL;
    if (owner != NULL && str_eq(owner->uid, judged->owner.uid)) {
        judged->verdict = verdict_of(owner);
        return;
    }
    judged->verdict = OWNER_UNKNOWN;
    pass_write(pass,
               &(struct client_request){.verb = CLIENT_GET,
                                        .resource = resource,
                                        .ns = ns,
                                        .name = judged->owner.name,
                                        .subresource = ""},
               on_owner, judged);
}

static void judge(struct pass *pass, struct judged *judged)
{
    struct registry *registry = judged->all->garbage->resources.registry;
    const struct api_resource *resource =
        registry_kind_of(registry, judged->owner.api_version, judged->owner.kind);
    judged->verdict = OWNER_SOLID; /* what cannot be looked up is not missed */
    bool served =
        resource != NULL && (resource->custom == NULL || resource->custom->definition->established);
    if (served) {
        judge_of_kind(pass, judged, resource);
    }
    schema_unref(resource);
}

static const char *policy_of(const struct object *object)
{
    return finalizer_has(object, FINALIZER_ORPHAN)       ? "Orphan"
           : finalizer_has(object, FINALIZER_FOREGROUND) ? "Foreground"
                                                         : "Background";
}

static void on_deleted(struct pass *pass, void *arg, const struct client_result *result)
{
    if (result->code != 0 && result->code != ERR_NOT_FOUND && result->code != ERR_CONFLICT) {
        pass_fail(pass);
    }
}

/* Two objects that wait for each other would wait for ever: the references among those that are
 * being deleted in the foreground lose their block. */
static void unblock_circle(struct pass *pass, struct judgement *work, const struct objects *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct object *dependent = list->items[i];
        if (!dependent->deleting || !finalizer_has(dependent, FINALIZER_FOREGROUND)) {
            continue;
        }
        for (size_t j = 0; j < work->count; j++) {
            struct judged *judged = &work->owners[j];
            if (judged->verdict == OWNER_WAITING && judged->owner.block_deletion) {
                struct owner_edit edit = edit_owners(pass, work->object);
                edit_unblock(&edit, judged->owner.uid);
                edit_send(&edit);
            }
        }
        return;
    }
}

static void decide(struct pass *pass, void *arg)
{
    struct judgement *work = arg;
    size_t solid = 0, waiting = 0, gone = 0;
    for (size_t i = 0; i < work->count; i++) {
        solid += work->owners[i].verdict == OWNER_SOLID;
        waiting += work->owners[i].verdict == OWNER_WAITING;
        gone += work->owners[i].verdict == OWNER_GONE;
    }
    if (waiting + gone == 0) {
        return;
    }
    if (solid > 0) {
        struct owner_edit edit = edit_owners(pass, work->object);
        for (size_t i = 0; i < work->count; i++) {
            if (work->owners[i].verdict != OWNER_SOLID) {
                edit_remove(&edit, work->owners[i].owner.uid);
            }
        }
        edit_send(&edit);
        return;
    }
    struct objects list = gather_dependents(pass, work->garbage, work->object->uid);
    if (waiting > 0 && list.count > 0) {
        unblock_circle(pass, work, &list);
        pass_delete(pass, work->object, "Foreground", -1, on_deleted, NULL);
    } else {
        pass_delete(pass, work->object, policy_of(work->object), -1, on_deleted, NULL);
    }
}

/* ---- a pass ---- */

static void reconcile(void *ctx, struct pass *pass)
{
    struct garbage *garbage = ctx;
    struct object *object = object_of(garbage, pass->key);
    if (object == NULL) {
        return;
    }
    struct judgement *work = arena_new(pass->arena, struct judgement);
    work->garbage = garbage;
    work->object = pass_hold(pass, object);
    if (object->deleting) {
        if (finalizer_has(object, FINALIZER_ORPHAN)) {
            orphan_dependents(pass, work);
        } else if (finalizer_has(object, FINALIZER_FOREGROUND)) {
            wait_for_dependents(pass, work);
        }
        return;
    }
    struct owner *owners;
    work->count = owners_of(pass->arena, object, &owners);
    work->owners = arena_array(pass->arena, struct judged, work->count + 1);
    for (size_t i = 0; i < work->count; i++) {
        work->owners[i] = (struct judged){.all = work, .owner = owners[i]};
        judge(pass, &work->owners[i]);
    }
    if (work->count > 0) {
        pass_then(pass, decide, work);
    }
}

/* ---- events ---- */

static bool wake_dependent(void *ctx, struct object *object)
{
    add_key(ctx, object);
    return true;
}

/* Owners of it that wait in the foreground have one less to wait for. */
static void wake_waiting_owners(struct garbage *garbage, const struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct owner *owners;
    size_t count = owners_of(&arena, object, &owners);
    for (size_t i = 0; i < count; i++) {
        const struct api_resource *resource =
            registry_kind_of(garbage->resources.registry, owners[i].api_version, owners[i].kind);
        struct informer *informer =
            resource != NULL ? resources_informer_by_id(&garbage->resources, resource->storage->id)
                             : NULL;
        struct object *owner =
            informer != NULL ? informer_get(informer, resource->namespaced ? object->ns : STR_NONE,
                                            owners[i].name)
                             : NULL;
        if (owner != NULL && owner->deleting) {
            add_key(garbage, owner);
        }
        schema_unref(resource);
    }
}

static void on_change(void *ctx, struct object *old, struct object *now)
{
    struct garbage *garbage = ctx;
    struct str key = STR("ownerReferences");
    if (now == NULL) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        dependents_of(&arena, garbage, old->uid, wake_dependent, garbage);
        wake_waiting_owners(garbage, old);
        return;
    }
    struct str before = old != NULL ? metadata_raw(old, key) : STR_NONE;
    struct str after = metadata_raw(now, key);
    if (old != NULL && before.n > 0 && !str_eq(before, after)) {
        wake_waiting_owners(garbage, old); /* it may have let go of one that waits */
    }
    if (now->deleting || (after.n > 0 && !str_eq(before, after))) {
        add_key(garbage, now);
    }
}

static void watch_added(void *ctx, struct resource_watch *watch)
{
    informer_index(watch->informer, INDEX, owner_keys);
    informer_handle(watch->informer, (struct informer_handler){on_change, ctx});
}

static void watch_removed(void *ctx, struct resource_watch *watch)
{
    informer_unhandle(watch->informer, ctx);
}

static const struct resources_ops watch_ops = {watch_added, watch_removed};

static void *start(struct controller_env *env)
{
    struct garbage *garbage = mem_new(struct garbage);
    garbage->worker = worker_new(env, "generic-garbage-collector", PARALLEL, reconcile, garbage);
    garbage->recorder = recorder_new(env->client, "garbage-collector-controller", "");
    resources_watch(&garbage->resources, env, false, &watch_ops, garbage);
    return garbage;
}

static void stop(void *state)
{
    struct garbage *garbage = state;
    resources_done(&garbage->resources);
    worker_free(garbage->worker);
    recorder_free(garbage->recorder);
    free(garbage);
}

const struct controller controller_garbage = {
    .name = "generic-garbage-collector", .start = start, .stop = stop};
