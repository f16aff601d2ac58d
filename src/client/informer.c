/* A live copy of one resource on one loop (client/informer.h).
 *
 * Invariants: an entry's revision only grows while its uid stays; an object whose uid is in `gone`
 * is never put back; handlers see each change exactly once, in the order in which the copy took it;
 * a change of uid under one name is shown as a deletion and an add. A full sync makes the copy
 * forget what it did not name, unless one's own write put it there at a later revision.
 *
 * One's own answers and the watch are two roads, and either may be behind. The watch is in order of
 * revisions, so an answer at or below what it has shown is no news: the object is there as new or
 * newer, or it is gone. The other way round, `gone` holds the uids of objects whose deletion was
 * answered but not yet shown, so that older states still under way do not bring them back; the
 * watch's deletion or a whole sync clears them.
 *
 * Left to others: reconnects and resumption (the client), the set and writes (informers.c).
 */
#include "client/informer_int.h"

#include <stdlib.h>

#include "base/mem.h"
#include "client/owners.h"

struct bucket {
    VEC_OF(struct object *); /* borrowed from the entries */
};

struct gone {
    uint32_t epoch; /* of the sync before the answer */
};

/* ---- indexes ---- */

struct edit {
    struct index *index;
    struct object *object;
};

static void bucket_add(void *arg, struct str key)
{
    struct edit *edit = arg;
    struct bucket *bucket = map_get(&edit->index->buckets, key);
    if (bucket == NULL) {
        bucket = mem_new(struct bucket);
        map_set(&edit->index->buckets, key, bucket);
    }
    if (bucket->count == 0 || bucket->items[bucket->count - 1] != edit->object) {
        *vec_push(bucket) = edit->object;
    }
}

static void bucket_remove(void *arg, struct str key)
{
    struct edit *edit = arg;
    struct bucket *bucket = map_get(&edit->index->buckets, key);
    if (bucket == NULL) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < bucket->count; i++) {
        if (bucket->items[i] != edit->object) {
            bucket->items[kept++] = bucket->items[i];
        }
    }
    bucket->count = kept;
    if (kept == 0) {
        map_remove(&edit->index->buckets, key);
        vec_done(bucket);
        free(bucket);
    }
}

static void reindex(struct informer *informer, struct object *old, struct object *now)
{
    VEC_EACH (it, &informer->indexes) {
        struct index *index = *it;
        if (old != NULL) {
            index->keys(old, bucket_remove, &(struct edit){index, old});
        }
        if (now != NULL) {
            index->keys(now, bucket_add, &(struct edit){index, now});
        }
    }
}

static void index_free(struct index *index)
{
    MAP_EACH (it, &index->buckets) {
        struct bucket *bucket = it->value;
        vec_done(bucket);
        free(bucket);
    }
    map_done(&index->buckets);
    free(index);
}

void informer_index(struct informer *informer, const char *name, informer_keys_fn *keys)
{
    VEC_EACH (it, &informer->indexes) {
        if (str_is(str_of((*it)->name), name)) {
            return;
        }
    }
    struct index *index = mem_new(struct index);
    index->name = name;
    index->keys = keys;
    *vec_push(&informer->indexes) = index;
    struct ordered_place place = {0};
    struct ordered_entry *entry;
    while ((entry = ordered_next(&informer->objects, &place)) != NULL) {
        keys(entry->object, bucket_add, &(struct edit){index, entry->object});
    }
}

void informer_each_in(const struct informer *informer, const char *name, struct str key,
                      bool (*visit)(void *ctx, struct object *object), void *ctx)
{
    const struct bucket *bucket = NULL;
    for (size_t i = 0; i < informer->indexes.count; i++) {
        if (str_is(str_of(informer->indexes.items[i]->name), name)) {
            bucket = map_get(&informer->indexes.items[i]->buckets, key);
        }
    }
    for (size_t i = 0; bucket != NULL && i < bucket->count; i++) {
        if (!visit(ctx, bucket->items[i])) {
            return;
        }
    }
}

void informer_keys_controller(const struct object *object, void (*emit)(void *arg, struct str key),
                              void *arg)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct owner *owners;
    size_t count = owners_of(&arena, object, &owners);
    for (size_t i = 0; i < count; i++) {
        if (owners[i].controller) {
            emit(arg, owners[i].uid);
        }
    }
}

/* ---- changes ---- */

static void tell(struct informer *informer, struct object *old, struct object *now)
{
    for (size_t i = 0; i < informer->handlers.count; i++) {
        struct informer_handler *handler = &informer->handlers.items[i];
        handler->on_change(handler->ctx, old, now);
    }
}

static void drop(struct informer *informer, struct str ns, struct str name)
{
    struct object *old = ordered_take(&informer->objects, ns, name);
    if (old != NULL) {
        reindex(informer, old, NULL);
        tell(informer, old, NULL);
        object_unref(old);
    }
}

/* Takes the object's state, unless it is known to be outdated. */
static void put(struct informer *informer, struct object *object)
{
    if (map_get(&informer->gone, object->uid) != NULL) {
        return;
    }
    struct ordered_entry *entry = ordered_find(&informer->objects, object->ns, object->name);
    if (entry != NULL) {
        bool same = str_eq(entry->object->uid, object->uid);
        if (informer->in_sync && same) {
            entry->epoch = informer->epoch;
        }
        if (object->revision <= entry->object->revision) {
            return;
        }
        if (!same) {
            drop(informer, object->ns, object->name);
            entry = NULL;
        }
    }
    if (entry == NULL) {
        entry = ordered_make(&informer->objects, object->ns, object->name);
    }
    struct object *old = entry->object;
    entry->object = object_ref(object);
    entry->epoch = informer->epoch;
    reindex(informer, old, object);
    tell(informer, old, object);
    object_unref(old);
}

static void remember_gone(struct informer *informer, struct str uid)
{
    if (uid.n > 0 && map_get(&informer->gone, uid) == NULL) {
        struct gone *gone = mem_new(struct gone);
        gone->epoch = informer->epoch;
        map_set(&informer->gone, uid, gone);
    }
}

static void forget_gone_before(struct informer *informer, uint32_t epoch)
{
    MAP_EACH (it, &informer->gone) {
        struct gone *gone = it->value;
        if (gone->epoch < epoch) {
            map_remove(&informer->gone, it->key);
            free(gone);
        }
    }
}

void informer_take_answer(struct informer *informer, struct object *object)
{
    bool filtered = informer->label_selector[0] != '\0' || informer->field_selector[0] != '\0';
    if (object->revision <= informer->shown ||
        (informer->ns[0] != '\0' && !str_is(object->ns, informer->ns))) {
        return;
    }
    if (filtered && ordered_find(&informer->objects, object->ns, object->name) == NULL) {
        return; /* whether it belongs here is for the watch to say */
    }
    put(informer, object);
}

void informer_take_deletion(struct informer *informer, struct str ns, struct str name,
                            struct str uid)
{
    struct ordered_entry *entry = ordered_find(&informer->objects, ns, name);
    if (entry != NULL && str_eq(entry->object->uid, uid)) {
        remember_gone(informer, uid);
        drop(informer, ns, name);
    }
}

/* ---- the watch ---- */

static void on_sync_begin(void *ctx)
{
    struct informer *informer = ctx;
    informer->epoch++;
    informer->in_sync = true;
}

static void on_event(void *ctx, int type, struct object *object)
{
    struct informer *informer = ctx;
    if (type != 2) {
        put(informer, object);
    } else {
        struct ordered_entry *entry = ordered_find(&informer->objects, object->ns, object->name);
        free(map_remove(&informer->gone, object->uid));
        if (entry != NULL && str_eq(entry->object->uid, object->uid)) {
            drop(informer, object->ns, object->name);
        }
    }
    if (!informer->in_sync && object->revision > informer->shown) {
        informer->shown = object->revision;
    }
}

/* What a sync did not name, and no own write put there since. */
static void drop_unnamed(struct informer *informer, uint64_t revision)
{
    struct bucket unnamed = {0};
    struct ordered_place place = {0};
    struct ordered_entry *entry;
    while ((entry = ordered_next(&informer->objects, &place)) != NULL) {
        if (entry->epoch != informer->epoch && entry->object->revision <= revision) {
            *vec_push(&unnamed) = object_ref(entry->object);
        }
    }
    VEC_EACH (it, &unnamed) {
        drop(informer, (*it)->ns, (*it)->name);
        object_unref(*it);
    }
    vec_done(&unnamed);
}

static void on_sync_end(void *ctx, uint64_t revision)
{
    struct informer *informer = ctx;
    drop_unnamed(informer, revision);
    informer->in_sync = false;
    informer->shown = revision > informer->shown ? revision : informer->shown;
    forget_gone_before(informer, informer->epoch);
    if (!informer->synced) {
        informer->synced = true;
        informers_synced_changed(informer->set);
    }
}

static void on_bookmark(void *ctx, uint64_t revision)
{
    struct informer *informer = ctx;
    informer->shown = revision > informer->shown ? revision : informer->shown;
}

static const struct client_watch_ops watch_ops = {.sync_begin = on_sync_begin,
                                                  .event = on_event,
                                                  .sync_end = on_sync_end,
                                                  .bookmark = on_bookmark};

/* ---- life ---- */

struct informer *informer_new(struct informers *set, const struct client_watch_options *options)
{
    struct informer *informer = mem_new(struct informer);
    informer->set = set;
    schema_ref(options->resource);
    informer->resource = options->resource;
    informer->ns = str_dup(options->ns);
    informer->label_selector = str_dup(options->label_selector);
    informer->field_selector = str_dup(options->field_selector);
    informer->watch = client_watch(set->client, options, &watch_ops, informer);
    return informer;
}

void informer_free(struct informer *informer)
{
    if (informer->watch != NULL) {
        informer->set->client->ops->watch_stop(informer->set->client, informer->watch);
    }
    VEC_EACH (it, &informer->indexes) {
        index_free(*it);
    }
    vec_done(&informer->indexes);
    vec_done(&informer->handlers);
    MAP_EACH (it, &informer->gone) {
        free(it->value);
    }
    map_done(&informer->gone);
    ordered_done(&informer->objects);
    free(informer->ns);
    free(informer->label_selector);
    free(informer->field_selector);
    schema_unref(informer->resource);
    free(informer);
}

bool informer_is(const struct informer *informer, const struct client_watch_options *options)
{
    return informer->resource->id == options->resource->id && str_is(options->ns, informer->ns) &&
           str_is(options->label_selector, informer->label_selector) &&
           str_is(options->field_selector, informer->field_selector);
}

/* ---- reading ---- */

void informer_handle(struct informer *informer, struct informer_handler handler)
{
    *vec_push(&informer->handlers) = handler;
    struct ordered_place place = {0};
    struct ordered_entry *entry;
    while ((entry = ordered_next(&informer->objects, &place)) != NULL) {
        handler.on_change(handler.ctx, NULL, entry->object);
    }
}

void informer_unhandle(struct informer *informer, void *ctx)
{
    size_t kept = 0;
    for (size_t i = 0; i < informer->handlers.count; i++) {
        if (informer->handlers.items[i].ctx != ctx) {
            informer->handlers.items[kept++] = informer->handlers.items[i];
        }
    }
    informer->handlers.count = kept;
}

bool informer_synced(const struct informer *informer)
{
    return informer->synced;
}

const struct api_resource *informer_resource(const struct informer *informer)
{
    return informer->resource;
}

struct object *informer_get(const struct informer *informer, struct str ns, struct str name)
{
    struct ordered_entry *entry = ordered_find(&informer->objects, ns, name);
    return entry != NULL ? entry->object : NULL;
}

size_t informer_count(const struct informer *informer)
{
    return informer->objects.count;
}

void informer_each(const struct informer *informer, struct str ns, const struct selector *selector,
                   bool (*visit)(void *ctx, struct object *object), void *ctx)
{
    struct ordered_place place = ordered_seek(&informer->objects, ns, STR_NONE);
    struct ordered_entry *entry;
    while ((entry = ordered_next(&informer->objects, &place)) != NULL) {
        if (ns.n > 0 && !str_eq(entry->object->ns, ns)) {
            return;
        }
        if ((selector == NULL || selector_matches(selector, entry->object)) &&
            !visit(ctx, entry->object)) {
            return;
        }
    }
}
