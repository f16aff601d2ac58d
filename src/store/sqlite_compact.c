/* sqlite_compact.c: forgetting history. An event that is forgotten takes with it the state that it
 * replaced, and itself when it is a delete; what stays is the live state and the events after
 * `compacted`. Each step is one small transaction, so that writes wait for milliseconds at most,
 * and a crash between steps leaves a smaller history, never a broken one.
 */
#include "base/failpoint.h"
#include "store/sqlite_int.h"

enum { STEP_ROWS = 512 };

struct doomed {
    VEC_OF(uint64_t);
};

/* What the events in (compacted, upto] let go, at most STEP_ROWS events of it. */
static int collect(struct sqlite *sqlite, uint64_t upto, struct doomed *doomed,
                   uint64_t *ret_reached, struct err *err)
{
    sqlite3_stmt *query = sqlite->queries[QUERY_RANGE];
    sqlite3_bind_int64(query, 1, (int64_t)sqlite->meta.compacted);
    sqlite3_bind_int64(query, 2, (int64_t)upto);
    int rc = SQLITE_DONE, seen = 0;
    *ret_reached = upto;
    while (seen < STEP_ROWS && (rc = sqlite3_step(query)) == SQLITE_ROW) {
        uint64_t revision = (uint64_t)sqlite3_column_int64(query, 0);
        uint64_t previous = (uint64_t)sqlite3_column_int64(query, 1);
        if (previous != 0) {
            *vec_push(doomed) = previous;
        }
        if ((sqlite3_column_int64(query, 3) & ROW_DELETED) != 0) {
            *vec_push(doomed) = revision;
        }
        if (++seen == STEP_ROWS) {
            *ret_reached = revision;
        }
    }
    sqlite3_reset(query);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : sqlite_fail(sqlite, rc, "reading", err);
}

static int remove_row(struct sqlite *sqlite, uint64_t revision, struct err *err)
{
    sqlite3_stmt *query = sqlite->queries[QUERY_GET];
    sqlite3_bind_int64(query, 1, (int64_t)revision);
    int rc = sqlite3_step(query);
    bool there = rc == SQLITE_ROW;
    uint64_t size = there ? (uint64_t)sqlite3_column_bytes(query, 8) : 0;
    uint64_t sum = there ? (uint64_t)sqlite3_column_int64(query, 7) : 0;
    sqlite3_reset(query);
    if (!there) {
        return sqlite_fail(sqlite, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "compacting", err);
    }
    sqlite->meta.rows--;
    sqlite->meta.value_bytes -= size;
    sqlite->meta.row_sums -= sum;
    sqlite3_bind_int64(sqlite->queries[QUERY_DELETE], 1, (int64_t)revision);
    return sqlite_run(sqlite, QUERY_DELETE, "compacting", err);
}

static int step(struct sqlite *sqlite, uint64_t upto, struct err *err)
{
    struct doomed doomed = {0};
    struct sqlite_meta before = sqlite->meta;
    uint64_t reached = 0;
    int rc = collect(sqlite, upto, &doomed, &reached, err);
    rc = rc != 0 ? rc : sqlite_run(sqlite, QUERY_BEGIN, "compacting", err);
    for (size_t i = 0; i < doomed.count && rc == 0; i++) {
        rc = remove_row(sqlite, doomed.items[i], err);
    }
    vec_done(&doomed);
    sqlite->meta.compacted = reached;
    rc = rc != 0 ? rc : sqlite_meta_write(sqlite, err);
    int error = rc == 0 ? FAILPOINT_ERRNO("store.compact-step") : 0;
    if (error != 0) {
        sqlite->failed = true;
        rc = err_os(err, error, "compacting %s", sqlite->file);
    }
    rc = rc != 0 ? rc : sqlite_run(sqlite, QUERY_COMMIT, "compacting", err);
    if (rc != 0) {
        sqlite_rollback(sqlite, &before);
    }
    return rc;
}

int sqlite_compact(struct store *store, uint64_t upto, struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    if (sqlite->failed) {
        return err_set(err, ERR_STORAGE, "%s refuses writes after a failure of the disk",
                       sqlite->file);
    }
    upto = upto < sqlite->meta.revision ? upto : sqlite->meta.revision;
    FAILPOINT("store.compact-start");
    int rc = 0;
    while (rc == 0 && sqlite->meta.compacted < upto) {
        sqlite->live_known = false;
        rc = step(sqlite, upto, err);
    }
    FAILPOINT("store.compact-end");
    return rc;
}
