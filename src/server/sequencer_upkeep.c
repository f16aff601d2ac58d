/* sequencer_upkeep.c: what the store needs beside writes: history is forgotten in small steps when
 * it is older than the window, or earlier when it takes more room than the live state and a
 * reserve (so the file is bounded by what is in it); backups are copied in small steps; objects of
 * custom kinds are brought to a changed definition. */
#include "base/failpoint.h"
#include "base/log.h"
#include "server/sequencer_int.h"

enum { COMPACT_STEP = 256, RENEW_STEP = 64 };
static const int64_t upkeep_ns = 30 * NS_PER_S;
static const uint64_t history_bytes = 64 << 20;

/* ---- history ---- */

/* Up to which revision events may go now. */
static uint64_t compact_target(struct sequencer *sequencer, const struct store_status *status)
{
    struct store *store = sequencer->store;
    uint64_t target = 0;
    struct err error = ERR_INIT;
    int64_t before = clock_wall(loop_clock(sequencer->loop)) - sequencer->history_ns;
    if (store->ops->revision_at(store, before, &target, &error) != 0) {
        LOG_ERROR("store", "cannot find the history to forget", LOG_ERR(&error));
        return 0;
    }
    uint64_t live =
        status->value_bytes < sequencer->live_bytes ? status->value_bytes : sequencer->live_bytes;
    uint64_t room = live > history_bytes ? live : history_bytes;
    if (status->value_bytes - live > room && status->history_rows > 0) {
        /* An eighth of the history at a time, oldest first. */
        uint64_t span = status->revision - status->compacted;
        uint64_t earlier = status->compacted + span / 8;
        target = earlier > target ? earlier : target;
    }
    return target;
}

static void upkeep_due(struct timer *timer)
{
    struct sequencer *sequencer = container_of(timer, struct sequencer, upkeep);
    struct store_status status = {0};
    timer_start(sequencer->loop, timer, upkeep_ns, upkeep_due);
    if (atomic_load(&sequencer->failed) ||
        sequencer->store->ops->status(sequencer->store, &status, NULL) != 0) {
        return;
    }
    sequencer->compact_to = compact_target(sequencer, &status);
    if (sequencer->compact_to > status.compacted) {
        sequencer_wake(sequencer);
    }
}

void sequencer_upkeep_start(struct sequencer *sequencer)
{
    timer_start(sequencer->loop, &sequencer->upkeep, upkeep_ns, upkeep_due);
}

void sequencer_set_history(struct sequencer *sequencer, int64_t history_ns)
{
    sequencer->history_ns = history_ns;
    timer_start(sequencer->loop, &sequencer->upkeep, 0, upkeep_due);
}

static bool step_compact(struct sequencer *sequencer)
{
    uint64_t compacted = sequencer->status.compacted;
    if (compacted >= sequencer->compact_to || atomic_load(&sequencer->failed)) {
        return false;
    }
    struct err error = ERR_INIT;
    struct store *store = sequencer->store;
    uint64_t upto = sequencer->compact_to;
    if (upto - compacted > COMPACT_STEP && upto - compacted < 1000000000) {
        upto = compacted + COMPACT_STEP;
    }
    /* Watches are told first: what the store is about to forget is not promised any more. */
    cache_set_compacted(sequencer->cache, upto);
    int rc = store->ops->compact(store, upto, &error);
    if (rc != 0) {
        LOG_ERROR("store", "cannot forget history", LOG_ERR(&error));
        sequencer->compact_to = 0;
    }
    sequencer_note_status(sequencer, rc, &error);
    return rc == 0 && sequencer->status.compacted < sequencer->compact_to;
}

/* ---- backups ---- */

static void backup_task(struct task *task)
{
    struct backup_job *job = container_of(task, struct backup_job, task);
    job->done(job->ctx, job->error.code != 0 ? &job->error : NULL);
    free(job->path);
    free(job);
}

void sequencer_backup(struct sequencer *sequencer, const char *path, struct loop *loop,
                      void (*done)(void *ctx, const struct err *err), void *ctx)
{
    struct backup_job *job = mem_new(struct backup_job);
    job->path = mem_dupz(path);
    job->loop = loop;
    job->done = done;
    job->ctx = ctx;
    job->task.run = backup_task;
    list_init(&job->task.link);
    pthread_mutex_lock(&sequencer->lock);
    list_append(&sequencer->backups, &job->link);
    pthread_mutex_unlock(&sequencer->lock);
    sequencer_wake(sequencer);
}

static bool step_backup(struct sequencer *sequencer)
{
    pthread_mutex_lock(&sequencer->lock);
    struct list *first = list_empty(&sequencer->backups) ? NULL : sequencer->backups.next;
    pthread_mutex_unlock(&sequencer->lock);
    if (first == NULL) {
        return false;
    }
    struct backup_job *job = container_of(first, struct backup_job, link);
    const struct store_ops *ops = sequencer->store->ops;
    int rc = 1;
    if (ops->backup_begin == NULL) {
        rc = err_set(&job->error, ERR_UNSUPPORTED, "the %s store makes no backups", ops->name);
    } else if (!job->begun) {
        rc = ops->backup_begin(sequencer->store, job->path, &job->error);
        rc = rc == 0 ? 1 : rc;
        job->begun = true;
    } else {
        rc = ops->backup_step(sequencer->store, &job->error);
    }
    if (rc != 1) {
        pthread_mutex_lock(&sequencer->lock);
        list_remove(&job->link);
        pthread_mutex_unlock(&sequencer->lock);
        loop_post(job->loop, &job->task);
    }
    return true; /* look again: this one goes on, or the next begins */
}

/* ---- objects of a custom kind whose definition changed ---- */

void sequencer_renew_free(struct renew_job *job)
{
    schema_unref(job->storage);
    free(job->ns);
    free(job->name);
    free(job);
}

void sequencer_renew(struct sequencer *sequencer, const struct api_resource *storage)
{
    struct renew_job *job = mem_new(struct renew_job);
    schema_ref(storage);
    job->storage = storage;
    list_init(&job->link);
    pthread_mutex_lock(&sequencer->lock);
    list_append(&sequencer->renewals, &job->link);
    pthread_mutex_unlock(&sequencer->lock);
    sequencer_wake(sequencer);
}

static bool step_renew(struct sequencer *sequencer)
{
    pthread_mutex_lock(&sequencer->lock);
    struct list *link = list_pop(&sequencer->renewals);
    pthread_mutex_unlock(&sequencer->lock);
    if (link == NULL) {
        return false;
    }
    struct renew_job *job = container_of(link, struct renew_job, link);
    const struct object *last =
        cache_renew(sequencer->cache, job->storage, str_of(job->ns), str_of(job->name), RENEW_STEP);
    free(job->ns);
    free(job->name);
    job->ns = job->name = NULL;
    if (last == NULL) {
        sequencer_renew_free(job);
        return true;
    }
    job->ns = str_dup(last->ns);
    job->name = str_dup(last->name);
    pthread_mutex_lock(&sequencer->lock);
    list_prepend(&sequencer->renewals, &job->link);
    pthread_mutex_unlock(&sequencer->lock);
    return true;
}

bool sequencer_step_upkeep(struct sequencer *sequencer)
{
    bool more = step_compact(sequencer);
    more = step_renew(sequencer) || more;
    return step_backup(sequencer) || more;
}
