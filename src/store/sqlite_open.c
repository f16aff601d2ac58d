/* sqlite_open.c: opening and closing the database: one connection, its settings, the tables, and
 * the check of everything that is in it before anything of it is served.
 *
 * The check (reliability R10) reads every row once: its own checksum finds a changed byte, the
 * counters and the sum of checksums in `meta` find a row that vanished or came back, quick_check
 * finds a broken page structure. What it learns about which rows are live is kept for load().
 */
#include "base/failpoint.h"
#include "store/sqlite_int.h"

#define FORMAT "1"
enum { WAL_FRAMES_MAX = 1000 };

static const char settings[] = "PRAGMA page_size=8192;"
                               "PRAGMA locking_mode=EXCLUSIVE;"
                               "PRAGMA journal_mode=WAL;"
                               "PRAGMA synchronous=FULL;"
                               "PRAGMA wal_autocheckpoint=0;"
                               "PRAGMA journal_size_limit=33554432;"
                               "PRAGMA cache_size=-2048;"
                               "PRAGMA temp_store=MEMORY;"
                               "PRAGMA cell_size_check=ON;"
                               "PRAGMA trusted_schema=OFF;";

static const char tables[] =
    "CREATE TABLE about(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE resource(id INTEGER PRIMARY KEY, name BLOB NOT NULL);"
    "CREATE TABLE meta(id INTEGER PRIMARY KEY, revision INTEGER NOT NULL,"
    " compacted INTEGER NOT NULL, rows INTEGER NOT NULL, live_rows INTEGER NOT NULL,"
    " value_bytes INTEGER NOT NULL, row_sums INTEGER NOT NULL, sum INTEGER NOT NULL);"
    "CREATE TABLE log(revision INTEGER PRIMARY KEY, previous INTEGER NOT NULL,"
    " resource INTEGER NOT NULL, flags INTEGER NOT NULL, at INTEGER NOT NULL, ns BLOB NOT NULL,"
    " name BLOB NOT NULL, sum INTEGER NOT NULL, value BLOB NOT NULL);"
    "INSERT INTO about VALUES('format','" FORMAT "');"
    "INSERT INTO meta VALUES(1,0,0,0,0,0,0,0);";

#define ROW_COLUMNS "revision,previous,resource,flags,at,ns,name,sum,value"

static const char *const texts[QUERY_COUNT] = {
    [QUERY_BEGIN] = "BEGIN IMMEDIATE",
    [QUERY_COMMIT] = "COMMIT",
    [QUERY_ROLLBACK] = "ROLLBACK",
    [QUERY_INSERT] = "INSERT INTO log(" ROW_COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?)",
    [QUERY_META] = "UPDATE meta SET revision=?,compacted=?,rows=?,live_rows=?,value_bytes=?,"
                   "row_sums=?,sum=? WHERE id=1",
    [QUERY_RESOURCE] = "INSERT INTO resource(id,name) VALUES(?,?)",
    [QUERY_GET] = "SELECT " ROW_COLUMNS " FROM log WHERE revision=?",
    [QUERY_RANGE] =
        "SELECT " ROW_COLUMNS " FROM log WHERE revision>? AND revision<=? ORDER BY revision",
    [QUERY_DELETE] = "DELETE FROM log WHERE revision=?",
    [QUERY_FROM] = "SELECT revision,at FROM log WHERE revision>=? ORDER BY revision LIMIT 1",
};

static int on_wal(void *ctx, sqlite3 *db, const char *name, int frames)
{
    ((struct sqlite *)ctx)->wal_frames = frames;
    return SQLITE_OK;
}

static int read_number(struct sqlite *sqlite, const char *sql, int64_t *ret_number, struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = sqlite3_prepare_v2(sqlite->db, sql, -1, &query, NULL);
    rc = rc == SQLITE_OK ? sqlite3_step(query) : rc;
    if (rc == SQLITE_ROW) {
        *ret_number = sqlite3_column_int64(query, 0);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(query);
    return rc == SQLITE_OK ? 0 : sqlite_fail(sqlite, rc, "reading", err);
}

static int prepare(struct sqlite *sqlite, struct err *err)
{
    for (int i = 0; i < QUERY_COUNT; i++) {
        int rc = sqlite3_prepare_v3(sqlite->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &sqlite->queries[i], NULL);
        if (rc != SQLITE_OK) {
            return sqlite_fail(sqlite, rc, "reading", err);
        }
    }
    return 0;
}

static int make_tables(struct sqlite *sqlite, struct err *err)
{
    int64_t count = 0;
    int rc = read_number(sqlite, "SELECT count(*) FROM sqlite_master", &count, err);
    if (rc != 0 || count > 0) {
        return rc != 0 ? rc : prepare(sqlite, err);
    }
    rc = sqlite_exec(sqlite, "BEGIN IMMEDIATE", err);
    rc = rc != 0 ? rc : sqlite_exec(sqlite, tables, err);
    rc = rc != 0 ? rc : prepare(sqlite, err);
    rc = rc != 0 ? rc : sqlite_meta_write(sqlite, err);
    return rc != 0 ? rc : sqlite_exec(sqlite, "COMMIT", err);
}

static int check_format(struct sqlite *sqlite, struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = sqlite3_prepare_v2(sqlite->db, "SELECT value FROM about WHERE name='format'", -1,
                                &query, NULL);
    rc = rc == SQLITE_OK ? sqlite3_step(query) : rc;
    int result = 0;
    if (rc != SQLITE_ROW) {
        result = sqlite_fail(sqlite, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "reading", err);
    } else if (!str_is(str_of((const char *)sqlite3_column_text(query, 0)), FORMAT)) {
        result = err_set(err, ERR_UNSUPPORTED, "%s has format %s, this program writes " FORMAT,
                         sqlite->file, (const char *)sqlite3_column_text(query, 0));
    }
    sqlite3_finalize(query);
    return result;
}

static int damaged(struct sqlite *sqlite, const char *what, struct err *err)
{
    sqlite->failed = true;
    return err_set(err, ERR_STORAGE, "%s is damaged (%s): restore a backup", sqlite->file, what);
}

static int read_meta(struct sqlite *sqlite, struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = sqlite3_prepare_v2(sqlite->db,
                                "SELECT revision,compacted,rows,live_rows,value_bytes,row_sums,sum"
                                " FROM meta WHERE id=1",
                                -1, &query, NULL);
    rc = rc == SQLITE_OK ? sqlite3_step(query) : rc;
    uint64_t numbers[7] = {0};
    for (int i = 0; i < 7 && rc == SQLITE_ROW; i++) {
        numbers[i] = (uint64_t)sqlite3_column_int64(query, i);
    }
    sqlite3_finalize(query);
    if (rc != SQLITE_ROW) {
        return sqlite_fail(sqlite, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "reading", err);
    }
    if (row_sum_bytes(0, str_at((const char *)numbers, 6 * sizeof numbers[0])) != numbers[6]) {
        return damaged(sqlite, "its counters do not match their checksum", err);
    }
    sqlite->meta = (struct sqlite_meta){numbers[0], numbers[1], numbers[2],
                                        numbers[3], numbers[4], numbers[5]};
    return 0;
}

static int read_resources(struct sqlite *sqlite, struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = sqlite3_prepare_v2(sqlite->db, "SELECT id,name FROM resource ORDER BY id", -1, &query,
                                NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(query)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(query, 0);
        struct str name =
            str_at(sqlite3_column_blob(query, 1), (size_t)sqlite3_column_bytes(query, 1));
        if (id != (int64_t)sqlite->resources.count) {
            rc = SQLITE_CORRUPT; /* ids are handed out densely and never removed */
            break;
        }
        struct sqlite_resource *resource = mem_new(struct sqlite_resource);
        *resource = (struct sqlite_resource){id, str_at(str_dup(name), name.n)};
        *vec_push(&sqlite->resources) = resource;
        map_set(&sqlite->resource_ids, resource->name, resource);
        rc = SQLITE_OK;
    }
    sqlite3_finalize(query);
    return rc == SQLITE_DONE ? 0 : sqlite_fail(sqlite, rc, "reading", err);
}

/* ---- the check ---- */

static int live_by_revision(const void *key, const void *item)
{
    uint64_t revision = *(const uint64_t *)key, at = ((const struct sqlite_live *)item)->revision;
    return revision < at ? -1 : revision > at;
}

static int live_by_key(const void *a, const void *b)
{
    const struct sqlite_live *left = a, *right = b;
    int order = str_cmp(left->resource, right->resource);
    order = order != 0 ? order : str_cmp(left->ns, right->ns);
    order = order != 0 ? order : str_cmp(left->name, right->name);
    return order;
}

/* Rows come by revision: what a row replaces was seen before it, unless it was compacted away. */
static void note_live(struct sqlite *sqlite, const struct row_identity *row)
{
    if (row->previous != 0) {
        struct sqlite_live *old = sqlite->live.count == 0
                                      ? NULL
                                      : bsearch(&row->previous, sqlite->live.items,
                                                sqlite->live.count, sizeof *old, live_by_revision);
        if (old != NULL) {
            old->name = STR_NONE;
        }
    }
    if ((row->flags & ROW_DELETED) == 0) {
        struct arena *arena = &sqlite->live_arena;
        *vec_push(&sqlite->live) =
            (struct sqlite_live){row->resource, str_copy_in(arena, row->ns),
                                 str_copy_in(arena, row->name), row->revision};
    }
}

static int sort_live(struct sqlite *sqlite, struct err *err)
{
    struct sqlite_live *items = sqlite->live.items;
    size_t kept = 0;
    for (size_t i = 0; i < sqlite->live.count; i++) {
        if (items[i].name.p != NULL) {
            items[kept++] = items[i];
        }
    }
    sqlite->live.count = kept;
    if (kept > 0) {
        qsort(items, kept, sizeof *items, live_by_key);
    }
    for (size_t i = 1; i < kept; i++) {
        if (live_by_key(&items[i - 1], &items[i]) == 0) {
            return damaged(sqlite, "two live rows have one key", err);
        }
    }
    return kept == sqlite->meta.live_rows ? 0 : damaged(sqlite, "live rows are missing", err);
}

static int check_rows(struct sqlite *sqlite, struct err *err)
{
    struct sqlite_meta found = {.revision = sqlite->meta.revision,
                                .compacted = sqlite->meta.compacted,
                                .live_rows = sqlite->meta.live_rows};
    sqlite3_stmt *query = sqlite->queries[QUERY_RANGE];
    sqlite3_bind_int64(query, 1, 0);
    sqlite3_bind_int64(query, 2, INT64_MAX);
    int rc, result = 0;
    while ((rc = sqlite3_step(query)) == SQLITE_ROW && result == 0) {
        struct sqlite_row row;
        FAILPOINT("store.check-row");
        result = sqlite_row_read(sqlite, query, &row, err);
        if (result == 0) {
            found.rows++;
            found.value_bytes += row.value.n;
            found.row_sums += row.sum;
            note_live(sqlite, &row.identity);
        }
    }
    sqlite3_reset(query);
    if (result == 0 && rc != SQLITE_DONE) {
        result = sqlite_fail(sqlite, rc, "reading", err);
    }
    if (result == 0 && memcmp(&found, &sqlite->meta, sizeof found) != 0) {
        result = damaged(sqlite, "rows are missing", err);
    }
    return result != 0 ? result : sort_live(sqlite, err);
}

static int check_pages(struct sqlite *sqlite, struct err *err)
{
    sqlite3_stmt *query = NULL;
    int rc = sqlite3_prepare_v2(sqlite->db, "PRAGMA quick_check(1)", -1, &query, NULL);
    rc = rc == SQLITE_OK ? sqlite3_step(query) : rc;
    int result = 0;
    if (rc != SQLITE_ROW) {
        result = sqlite_fail(sqlite, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "reading", err);
    } else {
        const char *text = (const char *)sqlite3_column_text(query, 0);
        if (!str_is(str_of(text), "ok")) {
            result = damaged(sqlite, text != NULL ? text : "its pages", err);
        }
    }
    sqlite3_finalize(query);
    return result;
}

int sqlite_check(struct sqlite *sqlite, struct err *err)
{
    int rc = check_format(sqlite, err);
    rc = rc != 0 ? rc : read_meta(sqlite, err);
    rc = rc != 0 ? rc : read_resources(sqlite, err);
    rc = rc != 0 ? rc : check_pages(sqlite, err);
    rc = rc != 0 ? rc : check_rows(sqlite, err);
    sqlite->live_known = rc == 0;
    return rc;
}

int sqlite_open(const struct store_options *options, struct store **ret_store, struct err *err)
{
    FAILPOINT("store.open");
    struct sqlite *sqlite = mem_new(struct sqlite);
    sqlite->store.ops = &store_sqlite;
    sqlite->file = mem_printf("%s/cox.db", options->path);
    sqlite->clock = options->clock != NULL ? options->clock : clock_real();
    sqlite->seal = options->seal;
    sqlite->history_ns = options->history_ns;
    sqlite->wal_frames_max = options->wal_frames > 0 ? options->wal_frames : WAL_FRAMES_MAX;
    arena_init(&sqlite->live_arena, 0);
    int rc = sqlite3_open_v2(sqlite->file, &sqlite->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_PRIVATECACHE,
                             options->vfs);
    int result = rc == SQLITE_OK ? 0 : sqlite_fail(sqlite, rc, "opening", err);
    if (result == 0) {
        sqlite3_extended_result_codes(sqlite->db, 1);
        result = sqlite_exec(sqlite, settings, err);
        sqlite3_wal_hook(sqlite->db, on_wal, sqlite); /* wal_autocheckpoint takes hooks away */
    }
    result = result != 0 ? result : make_tables(sqlite, err);
    result = result != 0 ? result : sqlite_check(sqlite, err);
    if (result != 0) {
        sqlite_close(&sqlite->store);
        return result;
    }
    *ret_store = &sqlite->store;
    return 0;
}

void sqlite_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    struct sqlite *sqlite = sqlite_of(store);
    sqlite_backup_end(store);
    for (int i = 0; i < QUERY_COUNT; i++) {
        sqlite3_finalize(sqlite->queries[i]);
    }
    if (sqlite->failed) { /* what the WAL holds is for the next start to judge */
        sqlite3_db_config(sqlite->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    sqlite3_close(sqlite->db); /* else checkpoints, and removes the WAL */
    VEC_EACH (it, &sqlite->resources) {
        if (*it != NULL) {
            free((char *)(*it)->name.p);
            free(*it);
        }
    }
    vec_done(&sqlite->resources);
    map_done(&sqlite->resource_ids);
    vec_done(&sqlite->live);
    arena_done(&sqlite->live_arena);
    buf_done(&sqlite->sealed);
    buf_done(&sqlite->opened);
    buf_done(&sqlite->opened_previous);
    free(sqlite->file);
    free(sqlite);
}
