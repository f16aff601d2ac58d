/* sqlite.c: the store in one SQLite file: commits.
 *
 * One table, `log`, with a row for each event; the key is columns. The live state is the rows that
 * no later row names as its `previous` and that are no deletes, so a write is one append (the
 * revision is the row id) and needs no index; compaction deletes the rows that were replaced, by
 * row id. Counters and the sum of all row checksums are in the one row of `meta`, written in the
 * same transaction: a row that is lost or changed is found at the next start (sqlite_open.c).
 *
 * Invariants: one connection, exclusive, WAL, synchronous=FULL: what a commit acknowledged is on
 * the disk. After a failure that is not a full disk nothing is written until the store is opened
 * again, because after a failed sync the kernel may have dropped what it could not write. The WAL
 * is checkpointed when it passes a bound, so it cannot grow without one.
 */
#include "base/failpoint.h"
#include "store/sqlite_int.h"

int sqlite_fail(struct sqlite *sqlite, int rc, const char *doing, struct err *err)
{
    int primary = rc & 0xff;
    if (primary == SQLITE_FULL) {
        return err_set(err, ERR_STORAGE, "%s %s: no space left on the disk", doing, sqlite->file);
    }
    if (primary == SQLITE_BUSY) {
        return err_set(err, ERR_STORAGE,
                       "%s is in use by another process: stop it first, or use another data folder",
                       sqlite->file);
    }
    if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
        sqlite->failed = true;
        return err_set(err, ERR_STORAGE, "%s %s: the database is damaged (%s): restore a backup",
                       doing, sqlite->file, sqlite3_errmsg(sqlite->db));
    }
    sqlite->failed = true;
    return err_set(err, ERR_STORAGE, "%s %s: %s (%d)", doing, sqlite->file,
                   sqlite->db != NULL ? sqlite3_errmsg(sqlite->db) : sqlite3_errstr(rc), rc);
}

int sqlite_run(struct sqlite *sqlite, enum sqlite_query query, const char *doing, struct err *err)
{
    sqlite3_stmt *statement = sqlite->queries[query];
    int rc = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        return sqlite_fail(sqlite, rc, doing, err);
    }
    return reset == SQLITE_OK ? 0 : sqlite_fail(sqlite, reset, doing, err);
}

int sqlite_exec(struct sqlite *sqlite, const char *sql, struct err *err)
{
    int rc = sqlite3_exec(sqlite->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : sqlite_fail(sqlite, rc, "preparing", err);
}

int sqlite_meta_write(struct sqlite *sqlite, struct err *err)
{
    const struct sqlite_meta *meta = &sqlite->meta;
    sqlite3_stmt *query = sqlite->queries[QUERY_META];
    const uint64_t numbers[] = {meta->revision,  meta->compacted,   meta->rows,
                                meta->live_rows, meta->value_bytes, meta->row_sums};
    struct str bytes = str_at((const char *)numbers, sizeof numbers);
    for (int i = 0; i < 6; i++) {
        sqlite3_bind_int64(query, i + 1, (int64_t)numbers[i]);
    }
    sqlite3_bind_int64(query, 7, (int64_t)row_sum_bytes(0, bytes));
    return sqlite_run(sqlite, QUERY_META, "writing", err);
}

int sqlite_resource_id(struct sqlite *sqlite, struct str name, int64_t *ret_id, struct err *err)
{
    struct sqlite_resource *found = map_get(&sqlite->resource_ids, name);
    if (found == NULL) {
        sqlite3_stmt *query = sqlite->queries[QUERY_RESOURCE];
        int64_t id = (int64_t)sqlite->resources.count;
        sqlite3_bind_int64(query, 1, id);
        sqlite3_bind_blob(query, 2, name.p, (int)name.n, SQLITE_STATIC);
        int rc = sqlite_run(sqlite, QUERY_RESOURCE, "writing", err);
        if (rc != 0) {
            return rc;
        }
        found = mem_new(struct sqlite_resource);
        found->id = id;
        found->name = str_at(str_dup(name), name.n);
        map_set(&sqlite->resource_ids, found->name, found);
        *vec_push(&sqlite->resources) = found;
    }
    *ret_id = found->id;
    return 0;
}

static void forget_resources(struct sqlite *sqlite, size_t keep)
{
    while (sqlite->resources.count > keep) {
        struct sqlite_resource *resource = sqlite->resources.items[--sqlite->resources.count];
        if (resource != NULL) {
            map_remove(&sqlite->resource_ids, resource->name);
            free((char *)resource->name.p);
            free(resource);
        }
    }
}

void sqlite_rollback(struct sqlite *sqlite, const struct sqlite_meta *before)
{
    sqlite->meta = *before;
    if (sqlite3_get_autocommit(sqlite->db) == 0) {
        sqlite3_step(sqlite->queries[QUERY_ROLLBACK]);
        sqlite3_reset(sqlite->queries[QUERY_ROLLBACK]);
    }
}

static void bind_bytes(sqlite3_stmt *query, int at, struct str bytes)
{
    /* A NULL pointer would bind NULL. */
    sqlite3_bind_blob(query, at, bytes.n > 0 ? bytes.p : "", (int)bytes.n, SQLITE_STATIC);
}

static int seal_value(struct sqlite *sqlite, const struct store_write *write, struct str *value,
                      uint32_t *flags, struct err *err)
{
    const struct store_seal *seal = sqlite->seal;
    if (seal == NULL || !seal->wanted(seal->ctx, write->resource)) {
        return 0;
    }
    struct buf key BUF_CLEANUP = BUF_INIT;
    buf_printf(&key, "%.*s/%.*s/%.*s", STR_ARG(write->resource), STR_ARG(write->ns),
               STR_ARG(write->name));
    buf_clear(&sqlite->sealed);
    int rc = seal->seal(seal->ctx, buf_view(&key), write->value, &sqlite->sealed, err);
    *value = buf_view(&sqlite->sealed);
    *flags |= ROW_SEALED;
    return rc;
}

static int insert_row(struct sqlite *sqlite, const struct store_write *write, int64_t at,
                      struct err *err)
{
    int error = FAILPOINT_ERRNO("store.row");
    if (error != 0) {
        sqlite->failed = true;
        return err_os(err, error, "writing a row");
    }
    uint32_t flags = (write->deleted ? ROW_DELETED : 0) | (write->created ? ROW_CREATED : 0);
    struct str value = write->value;
    int64_t resource = 0;
    int rc = sqlite_resource_id(sqlite, write->resource, &resource, err);
    rc = rc != 0 ? rc : seal_value(sqlite, write, &value, &flags, err);
    if (rc != 0) {
        return rc;
    }
    struct row_identity identity = {write->resource, write->ns, write->name, write->revision,
                                    write->previous, at,        flags};
    uint64_t sum = row_sum(&identity, value);
    sqlite3_stmt *query = sqlite->queries[QUERY_INSERT];
    sqlite3_bind_int64(query, 1, (int64_t)write->revision);
    sqlite3_bind_int64(query, 2, (int64_t)write->previous);
    sqlite3_bind_int64(query, 3, resource);
    sqlite3_bind_int64(query, 4, flags);
    sqlite3_bind_int64(query, 5, at);
    bind_bytes(query, 6, write->ns);
    bind_bytes(query, 7, write->name);
    sqlite3_bind_int64(query, 8, (int64_t)sum);
    bind_bytes(query, 9, value);
    rc = sqlite_run(sqlite, QUERY_INSERT, "writing", err);
    struct sqlite_meta *meta = &sqlite->meta;
    meta->revision = write->revision;
    meta->rows++;
    meta->live_rows += write->created ? 1 : 0;
    meta->live_rows -= write->deleted ? 1 : 0;
    meta->value_bytes += value.n;
    meta->row_sums += sum;
    return rc;
}

static int fail_here(struct sqlite *sqlite, int error, const char *doing, struct err *err)
{
    sqlite->failed = true;
    return err_set(err, ERR_STORAGE, "%s %s: %s", doing, sqlite->file, strerror(error));
}

static int write_batch(struct sqlite *sqlite, const struct store_write *writes, size_t count,
                       struct err *err)
{
    int error = FAILPOINT_ERRNO("store.before-begin");
    if (error != 0) {
        return fail_here(sqlite, error, "beginning", err);
    }
    int rc = sqlite_run(sqlite, QUERY_BEGIN, "writing", err);
    error = FAILPOINT_ERRNO("store.after-begin");
    int64_t at = clock_wall(sqlite->clock) / NS_PER_MS;
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = insert_row(sqlite, &writes[i], at, err);
    }
    rc = rc != 0 ? rc : sqlite_meta_write(sqlite, err);
    if (rc == 0 && error == 0) {
        error = FAILPOINT_ERRNO("store.before-commit");
    }
    if (rc == 0 && error != 0) {
        return fail_here(sqlite, error, "committing", err);
    }
    rc = rc != 0 ? rc : sqlite_run(sqlite, QUERY_COMMIT, "committing", err);
    error = rc == 0 ? FAILPOINT_ERRNO("store.after-commit") : 0;
    return error != 0 ? fail_here(sqlite, error, "committing", err) : rc;
}

/* A checkpoint copies the WAL into the database file. That one fails loses nothing: the WAL has
 * it; but a failed sync of the database file means that the WAL must not be dropped. */
static void checkpoint(struct sqlite *sqlite)
{
    if (sqlite->wal_frames < sqlite->wal_frames_max || sqlite->failed) {
        return;
    }
    if (FAILPOINT_ERRNO("store.before-checkpoint") != 0) {
        sqlite->failed = true;
        return;
    }
    int rc = sqlite3_wal_checkpoint_v2(sqlite->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    FAILPOINT("store.after-checkpoint");
    if (rc == SQLITE_OK) {
        sqlite->wal_frames = 0;
    } else if ((rc & 0xff) != SQLITE_FULL && (rc & 0xff) != SQLITE_BUSY) {
        sqlite->failed = true;
    }
}

static int commit(struct store *store, const struct store_write *writes, size_t count,
                  struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    if (sqlite->failed) {
        return err_set(err, ERR_STORAGE, "%s refuses writes after a failure of the disk",
                       sqlite->file);
    }
    struct sqlite_meta before = sqlite->meta;
    size_t resources = sqlite->resources.count;
    int rc = write_batch(sqlite, writes, count, err);
    if (rc != 0) {
        sqlite_rollback(sqlite, &before);
        forget_resources(sqlite, resources);
        if (err != NULL) {
            err->code = ERR_STORAGE;
        }
        return ERR_STORAGE;
    }
    sqlite->live_known = sqlite->live_known && count == 0;
    checkpoint(sqlite);
    return 0;
}

static int status(struct store *store, struct store_status *ret_status, struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    sqlite3_file *file = NULL, *wal = NULL;
    sqlite3_int64 size = 0, wal_size = 0;
    sqlite3_file_control(sqlite->db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    sqlite3_file_control(sqlite->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
    if (file != NULL && file->pMethods != NULL) {
        file->pMethods->xFileSize(file, &size);
    }
    if (wal != NULL && wal->pMethods != NULL) {
        wal->pMethods->xFileSize(wal, &wal_size);
    }
    const struct sqlite_meta *meta = &sqlite->meta;
    *ret_status = (struct store_status){
        .revision = meta->revision,
        .compacted = meta->compacted,
        .live_rows = meta->live_rows,
        .history_rows = meta->rows - meta->live_rows,
        .bytes_on_disk = (uint64_t)(size + wal_size),
        .value_bytes = meta->value_bytes,
        .failed = sqlite->failed,
        .history_ns = sqlite->history_ns,
    };
    return 0;
}

const struct store_ops store_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .load = sqlite_load,
    .commit = commit,
    .history = sqlite_history,
    .load_at = sqlite_load_at,
    .compact = sqlite_compact,
    .revision_at = sqlite_revision_at,
    .backup_begin = sqlite_backup_begin,
    .backup_step = sqlite_backup_step,
    .backup_end = sqlite_backup_end,
    .status = status,
};
