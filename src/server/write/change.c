/* change.c: the engine of struct change.
 *
 * Invariants: an update or delete is submitted with the revision that it was planned from, so a
 * plan never acts on a state that is not the newest; a conflict brings the newest state along and
 * the plan runs again, at most CHANGE_TRIES times. Nothing is answered before it is durable.
 */
#include "server/write/change.h"

#include "base/failpoint.h"
#include "server/server_int.h"
#include "server/write/version.h"

static void attempt(struct change *change);

static void finish(struct change *change)
{
    change->done(change);
}

static void settle(struct change *change, bool committed)
{
    if (change->settle != NULL) {
        change->settle(change, committed);
    }
}

static struct change_companion *companion_of(struct companion *companion)
{
    return container_of(companion, struct change_companion, companion);
}

bool change_accompany(struct change *change, struct change_companion *companion)
{
    struct companion **at = &change->companions;
    int count = 0;
    for (; *at != NULL; at = &(*at)->next) {
        count++;
    }
    if (count == WRITE_COMPANIONS_MAX) {
        return false;
    }
    companion->companion.next = NULL;
    *at = &companion->companion;
    return true;
}

static bool try_again(struct change *change, struct write *write)
{
    if (write->refused_by != NULL) {
        return false;
    }
    bool stale = write->code == ERR_CONFLICT ||
                 (write->code == ERR_NOT_FOUND && write->kind != WRITE_CREATE) ||
                 (write->code == ERR_EXISTS && !change->create);
    if (write->code == ERR_EXISTS && change->create) {
        return change->tries < CHANGE_TRIES && change->retry_exists != NULL &&
               change->retry_exists(change);
    }
    return stale && change->tries < CHANGE_TRIES;
}

static void fail_from_write(struct change *change, const struct write *write)
{
    struct arena *arena = &change->arena;
    if (write->refused_by != NULL) {
        struct change_companion *companion = companion_of(write->refused_by);
        companion->explain(companion, change, &change->failure);
        return;
    }
    switch (write->code) {
    case ERR_EXISTS:
        failure_exists(&change->failure, arena, change->resource, change->name);
        break;
    case ERR_NOT_FOUND:
        failure_not_found(&change->failure, arena, change->resource, change->name);
        break;
    case ERR_CONFLICT:
        failure_conflict(&change->failure, arena, change->resource, change->name, "%s",
                         conflict_modified);
        break;
    default:
        failure_from_err(&change->failure, arena, &write->error);
        change->failure.code = write->code;
        break;
    }
}

static void on_written(struct write *write)
{
    struct change *change = container_of(write, struct change, write);
    struct object *result = write->result;
    write->result = NULL;
    settle(change, write->code == 0);
    if (write->code == 0) {
        FAILPOINT("server.before-answer"); /* durable, and nobody was told */
        if (change->last != NULL) {
            change->result = object_with_revision(change->last, result->revision);
            change->last = NULL;
            object_unref(result);
        } else {
            change->result = result;
        }
        finish(change);
        return;
    }
    if (try_again(change, write)) {
        object_unref(change->current);
        change->current = write->code == ERR_CONFLICT || !change->create ? result : NULL;
        if (change->current != result) {
            object_unref(result);
        }
        attempt(change);
        return;
    }
    object_unref(result);
    fail_from_write(change, write);
    finish(change);
}

/* Whether no companion would refuse: asked of the newest published states. */
static bool companions_agree(struct change *change)
{
    for (struct companion *it = change->companions; it != NULL; it = it->next) {
        struct object *current = cache_get(change->server->cache, it->resource, it->ns, it->name);
        struct object *next = NULL;
        struct err err = ERR_INIT;
        int code = it->derive(it, current, &next, &err);
        object_unref(current);
        object_unref(next);
        if (code != 0) {
            companion_of(it)->explain(companion_of(it), change, &change->failure);
            return false;
        }
    }
    return true;
}

/* What a dry run answers: the object as it would be, without having been written. */
static void pretend(struct change *change, struct object *next)
{
    settle(change, false);
    if (!companions_agree(change)) {
        object_unref(next);
        finish(change);
        return;
    }
    if (change->did == PLAN_DELETE) {
        object_unref(next);
        next = object_ref(change->current);
    } else if (change->current != NULL) {
        next = object_with_revision(next, change->current->revision);
    }
    change->result = next;
    finish(change);
}

static void submit(struct change *change, struct object *next)
{
    static const enum write_kind kinds[] = {
        [PLAN_CREATE] = WRITE_CREATE, [PLAN_UPDATE] = WRITE_UPDATE, [PLAN_DELETE] = WRITE_DELETE};
    change->write = (struct write){
        .kind = kinds[change->did],
        .resource = change->resource->storage,
        .object = next,
        .ns = change->ns,
        .name = change->name,
        .companions = change->companions,
        .patient = change->did == PLAN_UPDATE && change->resource->patient,
        .expected_revision = change->did == PLAN_CREATE ? 0 : change->current->revision,
        .loop = change->loop,
        .done = on_written,
    };
    if (FAILPOINT_ERRNO("server.before-submit") != 0) {
        object_unref(next);
        settle(change, false);
        failure_set(&change->failure, &change->arena, ERR_INTERNAL,
                    "failpoint server.before-submit");
        finish(change);
        return;
    }
    sequencer_submit(change->server->sequencer, &change->write);
}

static void attempt(struct change *change)
{
    struct plan plan = {0};
    change->tries++;
    change->companions = NULL;
    if (change->plan(change, change->current, &plan, &change->failure) < 0) {
        settle(change, false);
        finish(change);
        return;
    }
    change->did = plan.kind;
    if (plan.kind == PLAN_NOTHING) {
        settle(change, false);
        change->result = change->current != NULL ? object_ref(change->current) : NULL;
        finish(change);
        return;
    }
    struct object *next = NULL;
    if (plan.value != NULL) {
        next = version_store(&change->arena, change->resource, plan.value);
    }
    if (change->dry_run) {
        pretend(change, next);
        return;
    }
    object_unref(change->last);
    change->last = NULL;
    if (plan.kind == PLAN_DELETE) {
        change->last = next;
        next = NULL;
    }
    submit(change, next);
}

void change_start(struct change *change)
{
    if (!change->create) {
        change->current =
            cache_get(change->server->cache, change->resource->storage, change->ns, change->name);
    }
    attempt(change);
}

void change_done(struct change *change)
{
    object_unref(change->current);
    object_unref(change->result);
    object_unref(change->last);
    change->current = change->result = change->last = NULL;
    arena_done(&change->arena);
}

void change_fail(struct change *change, struct request *request)
{
    struct failure failure = change->failure;
    struct arena texts = change->arena;
    change->arena = (struct arena)ARENA_INIT;
    change_done(change);
    request_fail(request, &failure);
    arena_done(&texts);
}

bool change_asked_again(struct change *change, struct request *request,
                        void (*again)(struct timer *timer))
{
    enum { ADMISSION_TRIES = 12 };
    if (change->failure.code == 0 || request->retry_ns <= 0 ||
        request->tries++ >= ADMISSION_TRIES) {
        return false;
    }
    int64_t delay = request->retry_ns;
    request->retry_ns = 0;
    change_done(change);
    timer_start(request->loop, &request->timer, delay, again);
    return true;
}

void change_answer(struct change *change, struct request *request, int status)
{
    if (change->failure.code != 0) {
        change_fail(change, request);
        return;
    }
    struct object *object = change->result;
    change->result = NULL;
    change_done(change);
    request_answer_object(request, status, object);
}
