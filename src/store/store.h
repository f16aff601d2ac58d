/* store.h: revisions and bytes, durable. Knows nothing of objects.
 *
 * One writer (the sequencer's thread) calls everything here; calls block. A commit is durable when
 * it returns 0 and did not happen otherwise; after a failed commit the store refuses writes until
 * reopened (never go on after a failed fsync). A revision is used once, ever, also after a restore.
 * Values of resources that `seal` names are encrypted at rest.
 *
 * Keys are columns: resource ("pods", "deployments.apps"), namespace ("" for cluster scope), name.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct store;

struct store_write {
    struct str resource, ns, name;
    uint64_t revision; /* ascending within and between commits */
    uint64_t previous; /* revision of the row this one replaces; 0 for a created one */
    struct str value;  /* new bytes; for a delete the last state of the object */
    bool deleted;
    bool created;
};

struct store_row {
    struct str resource, ns, name;
    uint64_t revision;
    struct str value;
    bool deleted, created; /* history only */
    struct str previous;   /* history only: value before this event, or STR_NONE */
};

struct store_seal { /* encryption at rest; given by role from pki; NULL: none */
    bool (*wanted)(void *ctx, struct str resource);
    /* AES-256-GCM with the storage key (resource/ns/name) as associated data. */
    int (*seal)(void *ctx, struct str key, struct str plain, struct buf *out, struct err *err);
    int (*open)(void *ctx, struct str key, struct str sealed, struct buf *out, struct err *err);
    void *ctx;
    struct str key_id; /* which key file a backup needs */
};

struct store_options {
    const char *path; /* folder (sqlite) or URL (etcd) */
    const struct store_seal *seal;
    int64_t history_ns;  /* how long events stay readable; default 1 h */
    struct clock *clock; /* NULL: the real one */
    const char *vfs;     /* sqlite: name of the VFS; NULL: the default. Tests inject faults here */
    int wal_frames;      /* sqlite: pages in the WAL before a checkpoint; 0: the default */
};

struct store_status {
    uint64_t revision, compacted;     /* events after `compacted` are readable */
    uint64_t live_rows, history_rows; /* history: superseded states and deletes */
    uint64_t bytes_on_disk;           /* files of the store */
    uint64_t value_bytes;             /* of all rows, history included */
    bool failed;                      /* refuses writes until reopened */
    int64_t history_ns;               /* as asked for at open; 0: the default */
};

/* Negative: stops, and is what the caller gets. Positive: stops, the caller gets 0. The row is
 * borrowed during the call. */
typedef int store_visit_fn(void *ctx, const struct store_row *row, struct err *err);

struct store_ops {
    const char *name;
    int (*open)(const struct store_options *options, struct store **ret_store,
                struct err *err); /* checks row checksums */
    void (*close)(struct store *store);
    /* Every live row, ordered by resource, namespace, name. */
    int (*load)(struct store *store, store_visit_fn *visit, void *ctx, struct err *err);
    /* One transaction, one sync. ERR_STORAGE when the disk is full (later writes may succeed again)
     * or failed. Without writes: a sync that proves that the disk still takes them. */
    int (*commit)(struct store *store, const struct store_write *writes, size_t count,
                  struct err *err);
    /* Events of `resource` (STR_NONE: all) with after < revision <= upto, in order. ERR_EXPIRED
     * when after < compacted. */
    int (*history)(struct store *store, struct str resource, uint64_t after, uint64_t upto,
                   store_visit_fn *visit, void *ctx, struct err *err);
    /* The state of one resource as of a revision in the window (resourceVersionMatch=Exact).
     * ERR_EXPIRED. */
    int (*load_at)(struct store *store, struct str resource, uint64_t revision,
                   store_visit_fn *visit, void *ctx, struct err *err);
    int (*compact)(struct store *store, uint64_t upto,
                   struct err *err); /* forgets events up to and with it */
    /* The newest revision that was committed at or before `wall_ns`; 0 when none is readable. */
    int (*revision_at)(struct store *store, int64_t wall_ns, uint64_t *ret_revision,
                       struct err *err);
    /* Online copy into a new file; safe while writes go on between its steps. One at a time. The
     * step returns 1 when more is to do and 0 when the copy is whole, synced and in place.
     * NULL: not supported. */
    int (*backup_begin)(struct store *store, const char *to, struct err *err);
    int (*backup_step)(struct store *store, struct err *err);
    void (*backup_end)(struct store *store); /* drops one that is not done; harmless otherwise */
    int (*status)(struct store *store, struct store_status *ret_status, struct err *err);
};

/* Every store implementation starts with this. */
struct store {
    const struct store_ops *ops;
};

extern const struct store_ops store_sqlite, store_memory;
/* Offline: makes `path` from a backup; its next revision is at least 10^9 above the backup's,
 * everything older compacted. */
int store_sqlite_restore(const char *backup, const char *path, struct err *err);
