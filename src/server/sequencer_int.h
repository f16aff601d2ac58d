/* sequencer_int.h: the sequencer's own struct: what the batch, the history reads and the upkeep of
 * the store share. Everything but the queues and the atomics belongs to the store's thread. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "base/vec.h"
#include "server/sequencer.h"

enum { BATCH_WRITES = 512, OVERLAY_SLOTS = 2048 };

struct overlay_slot { /* what a key is after the writes of the running batch */
    uint64_t batch;   /* 0 or old: free */
    const struct api_resource *resource;
    struct str ns, name;
    struct object *object; /* borrowed; NULL: deleted */
};

struct backup_job {
    struct list link;
    char *path;
    struct loop *loop;
    void (*done)(void *ctx, const struct err *err);
    void *ctx;
    struct task task;
    struct err error;
    bool begun;
};

struct renew_job {
    struct list link;
    const struct api_resource *storage; /* a reference */
    char *ns, *name;                    /* the last that was looked at; NULL: none yet */
};

struct accepted {        /* an object that the running batch carries */
    struct write *write; /* NULL: a companion of the write before it */
    struct object *object;
    int64_t growth; /* of the live state, bytes */
};

struct sequencer {
    struct loop *loop;
    struct store *store;
    struct cache *cache;
    uint64_t revision; /* the newest committed */
    /* queues: any thread, under the lock */
    pthread_mutex_t lock;
    struct list writes, reads, backups, renewals;
    struct list patient; /* writes that wait for company */
    bool posted, patience_posted;
    struct store_status status; /* last known */
    char failure[200];
    struct task task;
    struct task patience_task; /* starts the timer, on the store's thread */
    struct timer patience;
    /* the batch */
    uint64_t batch;
    struct overlay_slot overlay[OVERLAY_SLOTS];
    struct {
        VEC_OF(struct accepted);
    } accepted;
    struct {
        VEC_OF(struct store_write);
    } store_writes;
    struct {
        VEC_OF(struct cache_change);
    } changes;
    struct {
        VEC_OF(char *);
    } names; /* of resources in the store, by id */
    /* upkeep */
    int64_t history_ns;
    uint64_t live_bytes, compact_to;
    struct timer upkeep;
    _Atomic bool failed, refused;  /* refused: the last commit failed, a later one may not */
    _Atomic int64_t waiting_since; /* mono ns of the oldest unanswered batch; 0: none */
    _Atomic int64_t last_commit;   /* mono ns */
    _Atomic bool probe_wanted;
    void (*on_failed)(void *ctx);
    void *on_failed_ctx;
};

/* sequencer.c */
void sequencer_wake(struct sequencer *sequencer); /* any thread */
const char *sequencer_name(struct sequencer *sequencer, const struct api_resource *resource);
/* After a commit or a compaction. */
void sequencer_note_status(struct sequencer *sequencer, int rc, const struct err *error);
/* sequencer_load.c: the store's rows into the cache, and the kinds that they define into its
 * registry. */
int sequencer_load(struct sequencer *sequencer, struct err *err);
/* sequencer_history.c: one read, if there is one. */
void sequencer_step_read(struct sequencer *sequencer);
/* sequencer_upkeep.c: one step of a backup and of a compaction; whether more is to do. */
bool sequencer_step_upkeep(struct sequencer *sequencer);
void sequencer_renew_free(struct renew_job *job);
void sequencer_upkeep_start(struct sequencer *sequencer);
