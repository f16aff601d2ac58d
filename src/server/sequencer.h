/* sequencer.h: the one writer (design.md, idea 2): checks preconditions against the newest state,
 * assigns revisions, commits a batch with one sync, publishes it, and only then answers.
 *
 * A core without I/O of its own: sequencer_step() does one batch with whatever is queued; on the
 * real store thread a loop calls it when woken, in the simulator the loop does. Submitting is
 * thread-safe; answers come as tasks on the submitter's loop.
 */
#pragma once
#include "api/object.h"
#include "server/cache.h"
#include "store/store.h"

enum { WRITE_COMPANIONS_MAX = 32 };
#define SEQUENCER_PATIENCE_NS (25 * NS_PER_MS)
enum write_kind { WRITE_CREATE, WRITE_UPDATE, WRITE_DELETE };

/* An object that changes together with a write: both are committed in one batch, or neither. What
 * it becomes is derived from its newest state on the store's thread, so that concurrent writes that
 * share one (a quota, a budget) follow each other without conflicts and none sees an old sum. */
struct companion {
    struct companion *next;
    const struct api_resource *resource;
    struct str ns, name; /* into memory that outlives the write */
    /* On the store's thread: no locks, no waiting. `current` is NULL when there is none. 0:
     * *ret_next is what it becomes (a new reference; left NULL: it stays as it is). A negative code
     * refuses the write with it. */
    int (*derive)(struct companion *companion, struct object *current, struct object **ret_next,
                  struct err *err);
    struct object *object; /* private: derived */
};

struct write { /* owned by the submitter until done runs */
    enum write_kind kind;
    const struct api_resource *resource;
    struct object *object; /* create, update: new state (revision is set by the sequencer). delete:
                              NULL, or the last state to record. The sequencer takes the reference
                              when the write is submitted, and sets this to NULL before done */
    struct str ns, name;   /* of the object; into memory that outlives the write */
    uint64_t expected_revision; /* update, delete: must be the current one; 0: any (create: must not
                                   exist) */
    struct str expected_uid;    /* n 0: any */
    struct companion *companions; /* or NULL; at most WRITE_COMPANIONS_MAX */
    bool patient;      /* may wait SEQUENCER_PATIENCE_NS for others to share its sync with */
    struct loop *loop; /* where done runs */
    void (*done)(struct write *write);
    /* results */
    struct companion *refused_by; /* the companion whose derive() refused; else NULL */
    enum err_code
        code; /* 0, ERR_EXISTS, ERR_NOT_FOUND, ERR_CONFLICT, ERR_STORAGE, ERR_UNAVAILABLE */
    struct err error;
    struct object *result; /* new reference: the stored object with its revision (delete: the last
                              state with the delete's revision); on ERR_CONFLICT and ERR_EXISTS the
                              current object, so that a retry needs no read */
    struct task task;      /* private */
    struct list link;      /* private */
};

struct sequencer;
/* Loads the store into the cache. `loop` is where steps run (the store thread's). */
int sequencer_new(struct loop *loop, struct store *store, struct cache *cache,
                  struct sequencer **ret_sequencer, struct err *err);
/* On the store's thread, when no write, read or backup is in flight any more. The store and the
 * cache are not freed. */
void sequencer_free(struct sequencer *sequencer);
/* How long events stay readable (default: as the store was opened, else 1 h). In the store they may
 * go earlier when history would take more than the live state and 64 MiB. On the store's thread. */
void sequencer_set_history(struct sequencer *sequencer, int64_t history_ns);
/* Called once, on the store's thread, when the store has failed and takes no writes any more: what
 * was refused may or may not be on the disk, so the server must start again. Set before the loop
 * runs. */
void sequencer_on_failed(struct sequencer *sequencer, void (*fn)(void *ctx), void *ctx);
/* For /readyz (any thread): 0 when the disk takes writes: none is stuck for 5 s, and the store has
 * not failed. ERR_STORAGE with the reason otherwise; a failed store needs a restart of the server.
 * Every 5 s without a write an asked sequencer proves it with an empty commit. */
int sequencer_health(struct sequencer *sequencer, struct err *err);
/* Any thread. An update that changes no byte is answered with the current object: nothing is
 * written and no revision is used. */
void sequencer_submit(struct sequencer *sequencer, struct write *write);
/* Reads from history for watches that start before the ring and for Exact lists: done on the store
 * thread, answered as a task on `loop`. Events are collected as objects. */
struct history_read {
    const struct api_resource *resource;
    uint64_t after; /* events: (after, upto]. state: as of `upto` */
    uint64_t upto;  /* on return: the events up to here are all there (less when limited) */
    size_t limit;   /* events; 0: no limit */
    bool state;     /* the whole state at `upto` instead of events */
    struct loop *loop;
    void (*done)(struct history_read *read);
    enum err_code code;
    struct err error;
    struct {
        struct cache_event *items;
        size_t count, cap;
    } events;                        /* references owned by the reader; state: type ADDED */
    const struct api_resource *held; /* private: reference, until history_read_done */
    struct task task;                /* private */
    struct list link;                /* private */
};
void sequencer_read_history(struct sequencer *sequencer, struct history_read *read);
void history_read_done(struct history_read *read); /* drops the references */
/* The definition of a custom kind is another one: its objects in the cache are brought to it, in
 * small steps between batches. Any thread. */
void sequencer_renew(struct sequencer *sequencer, const struct api_resource *storage);
/* Online backup on the store thread, in steps between batches. */
void sequencer_backup(struct sequencer *sequencer, const char *path, struct loop *loop,
                      void (*done)(void *ctx, const struct err *err), void *ctx);
struct store_status sequencer_status(struct sequencer *sequencer); /* any thread; last known */
