/* sqlite_int.h: the parts of the SQLite store that share its connection. */
#pragma once
#include <sqlite3.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/vec.h"
#include "store/row_sum.h"
#include "store/store.h"

enum { ROW_DELETED = 1, ROW_CREATED = 2, ROW_SEALED = 4 };

/* The one row of `meta`: counters that prove at the next start that no row is missing. */
struct sqlite_meta {
    uint64_t revision, compacted;
    uint64_t rows, live_rows, value_bytes;
    uint64_t row_sums; /* of all rows, added modulo 2^64: order does not matter, a lost row does */
};

enum sqlite_query {
    QUERY_BEGIN,
    QUERY_COMMIT,
    QUERY_ROLLBACK,
    QUERY_INSERT,
    QUERY_META,
    QUERY_RESOURCE,
    QUERY_GET,
    QUERY_RANGE,
    QUERY_DELETE,
    QUERY_FROM,
    QUERY_COUNT
};

struct sqlite_live { /* found by the check at open, consumed by load */
    struct str resource, ns, name;
    uint64_t revision;
};

struct sqlite_resource {
    int64_t id;
    struct str name;
};

struct sqlite {
    struct store store;
    sqlite3 *db;
    char *file; /* path of the database */
    struct clock *clock;
    const struct store_seal *seal;
    sqlite3_stmt *queries[QUERY_COUNT];
    struct sqlite_meta meta;
    struct map resource_ids; /* name -> struct sqlite_resource */
    struct {
        VEC_OF(struct sqlite_resource *);
    } resources; /* by id; NULL for a hole */
    struct {
        VEC_OF(struct sqlite_live);
    } live;
    struct arena live_arena;
    bool live_known; /* `live` mirrors the file (no commit since open) */
    int64_t history_ns;
    int wal_frames, wal_frames_max;
    bool failed; /* a sync failed: nothing is written until reopened */
    struct buf sealed, opened, opened_previous;
    sqlite3 *backup_to;
    sqlite3_backup *backup;
    char *backup_path, *backup_partial;
};

static inline struct sqlite *sqlite_of(struct store *store)
{
    return container_of(store, struct sqlite, store);
}

/* Turns SQLite's result into an error, and remembers a failure after which nothing may be written.
 */
int sqlite_fail(struct sqlite *sqlite, int rc, const char *doing, struct err *err);
/* Steps a query that returns no rows, and resets it. */
int sqlite_run(struct sqlite *sqlite, enum sqlite_query query, const char *doing, struct err *err);
int sqlite_exec(struct sqlite *sqlite, const char *sql, struct err *err);
int sqlite_meta_write(struct sqlite *sqlite, struct err *err);
/* The id of a resource, made in the current transaction when it is new. */
int sqlite_resource_id(struct sqlite *sqlite, struct str name, int64_t *ret_id, struct err *err);
/* Everything since the last commit is undone; counters return to `before`. */
void sqlite_rollback(struct sqlite *sqlite, const struct sqlite_meta *before);

/* A row as the queries GET, RANGE and FROM return it, checked against its checksum. */
struct sqlite_row {
    struct row_identity identity;
    struct str value; /* as stored: sealed when the flag says so */
    uint64_t sum;
};
int sqlite_row_read(struct sqlite *sqlite, sqlite3_stmt *query, struct sqlite_row *ret_row,
                    struct err *err);
int sqlite_row_open(struct sqlite *sqlite, const struct sqlite_row *row, struct buf *room,
                    struct str *ret_value, struct err *err);

/* sqlite_open.c */
int sqlite_open(const struct store_options *options, struct store **ret_store, struct err *err);
void sqlite_close(struct store *store);
int sqlite_check(struct sqlite *sqlite, struct err *err);
/* sqlite_read.c */
int sqlite_load(struct store *store, store_visit_fn *visit, void *ctx, struct err *err);
int sqlite_history(struct store *store, struct str resource, uint64_t after, uint64_t upto,
                   store_visit_fn *visit, void *ctx, struct err *err);
int sqlite_load_at(struct store *store, struct str resource, uint64_t revision,
                   store_visit_fn *visit, void *ctx, struct err *err);
int sqlite_revision_at(struct store *store, int64_t wall_ns, uint64_t *ret_revision,
                       struct err *err);
/* sqlite_compact.c */
int sqlite_compact(struct store *store, uint64_t upto, struct err *err);
/* sqlite_backup.c */
int sqlite_backup_begin(struct store *store, const char *to, struct err *err);
int sqlite_backup_step(struct store *store, struct err *err);
void sqlite_backup_end(struct store *store);
