/* cleanup.c: the end of a kind: its objects are deleted, each by the usual rules, and when none is
 * left the definition loses its finalizer and goes.
 *
 * Objects with finalizers of their own are waited for: the rounds come at growing distances while
 * nothing moves. New objects are refused meanwhile (write/pipeline.c).
 */
#include <stdlib.h>

#include "server/custom/definitions_int.h"
#include "server/write/deletion.h"
#include "server/write/pipeline.h"

enum { WINDOW = 64 };
#define FIRST_NS (20 * NS_PER_MS)
#define LAST_NS  (2 * NS_PER_S)

struct cleanup {
    struct record *record; /* NULL: the record is gone, members are still under way */
    struct server *server;
    const struct api_resource *resource; /* a reference; NULL: the kind was never served */
    struct snapshot *snapshot;           /* of a round */
    struct snapshot_iter iter;
    struct timer timer;
    int64_t delay_ns;
    size_t in_flight, left;
    bool stepping, finishing;
};

struct member {
    struct deletion deletion;
    struct cleanup *cleanup;
    struct object *object;
};

struct final_write {
    struct change change;
    struct cleanup *cleanup;
    char *name, *uid;
    bool gone;
};

static void round_start(struct timer *timer);
static void step(struct cleanup *cleanup);

static void release(struct cleanup *cleanup)
{
    if (cleanup->in_flight > 0 || cleanup->stepping || cleanup->finishing) {
        return;
    }
    timer_stop(&cleanup->timer);
    if (cleanup->snapshot != NULL) {
        snapshot_release(cleanup->snapshot);
    }
    schema_unref(cleanup->resource);
    free(cleanup);
}

void cleanup_free(struct cleanup *cleanup)
{
    if (cleanup != NULL) {
        timer_stop(&cleanup->timer);
        cleanup->record = NULL;
        release(cleanup);
    }
}

static void again(struct cleanup *cleanup)
{
    timer_start(cleanup->server->home, &cleanup->timer, cleanup->delay_ns, round_start);
    cleanup->delay_ns = cleanup->delay_ns * 2 < LAST_NS ? cleanup->delay_ns * 2 : LAST_NS;
}

/* ---- the end ---- */

static void drop_finalizer(struct val *crd)
{
    struct val *list = val_path(crd, "metadata.finalizers");
    VAL_EACH (it, list) {
        if (str_is(val_text(it), DEFINITION_FINALIZER)) {
            val_remove(list, it);
            break;
        }
    }
    if (list != NULL && list->count == 0) {
        val_unset(val_get(crd, "metadata"), STR("finalizers"));
    }
}

static int plan_final(struct change *change, struct object *current, struct plan *ret_plan,
                      struct failure *failure)
{
    struct final_write *write = change->ctx;
    int64_t now = clock_wall(loop_clock(change->loop));
    *ret_plan = (struct plan){PLAN_NOTHING, NULL};
    write->gone = current == NULL || !str_is(current->uid, write->uid);
    if (write->gone) {
        return 0;
    }
    struct val *old = pipeline_decode(change, current);
    struct val *next = val_copy(&change->arena, old);
    definition_set_condition(&change->arena, next, "Terminating", false,
                             "InstanceDeletionCompleted", "removed all instances", now);
    drop_finalizer(next);
    definition_track(&change->arena, change->resource, old, next, now);
    *ret_plan =
        (struct plan){deletion_is_due(change->resource, next) ? PLAN_DELETE : PLAN_UPDATE, next};
    return 0;
}

static void final_done(struct change *change)
{
    struct final_write *write = change->ctx;
    struct cleanup *cleanup = write->cleanup;
    bool failed = change->failure.code != 0;
    change_done(change);
    free(write->name);
    free(write->uid);
    free(write);
    cleanup->finishing = false;
    if (cleanup->record == NULL) {
        release(cleanup);
    } else if (failed) {
        again(cleanup);
    }
}

static void finish(struct cleanup *cleanup)
{
    struct final_write *write = mem_new(struct final_write);
    write->cleanup = cleanup;
    write->name = mem_dupz(cleanup->record->name);
    write->uid = mem_dupz(cleanup->record->uid);
    cleanup->finishing = true;
    write->change = (struct change){.server = cleanup->server,
                                    .loop = cleanup->server->home,
                                    .resource = cleanup->record->definitions->resource,
                                    .name = str_of(write->name),
                                    .plan = plan_final,
                                    .done = final_done,
                                    .ctx = write};
    change_start(&write->change);
}

/* ---- a round over the objects ---- */

static void member_done(struct change *change)
{
    struct deletion *deletion = container_of(change, struct deletion, change);
    struct member *member = container_of(deletion, struct member, deletion);
    struct cleanup *cleanup = member->cleanup;
    bool gone =
        change->failure.code == ERR_NOT_FOUND || (change->failure.code == 0 && !deletion->marked);
    cleanup->left += !gone;
    change_done(change);
    object_unref(member->object);
    free(member);
    cleanup->in_flight--;
    step(cleanup);
}

static void start_member(struct cleanup *cleanup, const struct object *object)
{
    struct member *member = mem_new(struct member);
    member->cleanup = cleanup;
    member->object = object_ref((struct object *)(uintptr_t)object);
    member->deletion = (struct deletion){.grace_s = -1, .propagation = STR("Background")};
    member->deletion.change = (struct change){.server = cleanup->server,
                                              .loop = cleanup->server->home,
                                              .resource = cleanup->resource,
                                              .ns = member->object->ns,
                                              .name = member->object->name,
                                              .plan = deletion_plan,
                                              .done = member_done};
    cleanup->in_flight++;
    change_start(&member->deletion.change);
}

static void round_end(struct cleanup *cleanup)
{
    snapshot_release(cleanup->snapshot);
    cleanup->snapshot = NULL;
    if (cleanup->left == 0) {
        finish(cleanup);
    } else {
        again(cleanup);
    }
}

static void step(struct cleanup *cleanup)
{
    if (cleanup->stepping) {
        return;
    }
    const struct object *object = NULL;
    cleanup->stepping = true;
    while (cleanup->record != NULL && cleanup->in_flight < WINDOW &&
           (object = snapshot_next(&cleanup->iter)) != NULL) {
        if (object->deleting) {
            cleanup->left++;
        } else {
            start_member(cleanup, object);
        }
    }
    cleanup->stepping = false;
    if (cleanup->in_flight > 0) {
        return;
    }
    if (cleanup->record == NULL) {
        release(cleanup);
    } else {
        round_end(cleanup);
    }
}

static void round_start(struct timer *timer)
{
    struct cleanup *cleanup = container_of(timer, struct cleanup, timer);
    if (cleanup->resource == NULL) {
        finish(cleanup);
        return;
    }
    const struct api_resource *now =
        registry_stored(cache_registry(cleanup->server->cache), str_of(cleanup->record->name));
    if (now != NULL) { /* the schema may be another one by now */
        schema_unref(cleanup->resource);
        cleanup->resource = now;
    }
    cleanup->left = 0;
    cleanup->snapshot = snapshot_take(cleanup->server->cache, cleanup->resource);
    snapshot_iter_init(&cleanup->iter, cleanup->snapshot, STR_NONE, NULL, NULL, STR_NONE, STR_NONE);
    step(cleanup);
}

struct cleanup *cleanup_start(struct record *record)
{
    struct cleanup *cleanup = mem_new(struct cleanup);
    struct server *server = record->definitions->server;
    cleanup->record = record;
    cleanup->server = server;
    cleanup->resource = registry_stored(cache_registry(server->cache), str_of(record->name));
    cleanup->delay_ns = FIRST_NS;
    timer_start(server->home, &cleanup->timer, 0, round_start);
    return cleanup;
}
