/* sqlite_read.c: reading rows: the live state at start, events of the history window, and the
 * state as of a revision in it. Every row that is read is checked against its checksum first.
 *
 * These calls block the writer's thread; callers bound them (a page of events) or know that they
 * are rare (the state of the past).
 */
#include "base/failpoint.h"
#include "store/sqlite_int.h"

static struct str column_bytes(sqlite3_stmt *query, int at)
{
    const char *p = sqlite3_column_blob(query, at);
    return str_at(p != NULL ? p : "", (size_t)sqlite3_column_bytes(query, at));
}

int sqlite_row_read(struct sqlite *sqlite, sqlite3_stmt *query, struct sqlite_row *ret_row,
                    struct err *err)
{
    uint64_t resource = (uint64_t)sqlite3_column_int64(query, 2);
    struct sqlite_row row = {
        .identity = {.ns = column_bytes(query, 5),
                     .name = column_bytes(query, 6),
                     .revision = (uint64_t)sqlite3_column_int64(query, 0),
                     .previous = (uint64_t)sqlite3_column_int64(query, 1),
                     .at = sqlite3_column_int64(query, 4),
                     .flags = (uint32_t)sqlite3_column_int64(query, 3)},
        .sum = (uint64_t)sqlite3_column_int64(query, 7),
        .value = column_bytes(query, 8),
    };
    bool known = resource < sqlite->resources.count;
    if (known) {
        row.identity.resource = sqlite->resources.items[resource]->name;
    }
    if (!known || row_sum(&row.identity, row.value) != row.sum) {
        sqlite->failed = true;
        return err_set(err, ERR_STORAGE,
                       "%s is damaged (row %llu does not match its checksum): restore a backup",
                       sqlite->file, (unsigned long long)row.identity.revision);
    }
    *ret_row = row;
    return 0;
}

int sqlite_row_open(struct sqlite *sqlite, const struct sqlite_row *row, struct buf *room,
                    struct str *ret_value, struct err *err)
{
    if ((row->identity.flags & ROW_SEALED) == 0) {
        *ret_value = row->value;
        return 0;
    }
    const struct store_seal *seal = sqlite->seal;
    if (seal == NULL) {
        return err_set(err, ERR_STORAGE, "%s holds encrypted values and no key was given",
                       sqlite->file);
    }
    struct buf key BUF_CLEANUP = BUF_INIT;
    buf_printf(&key, "%.*s/%.*s/%.*s", STR_ARG(row->identity.resource), STR_ARG(row->identity.ns),
               STR_ARG(row->identity.name));
    buf_clear(room);
    int rc = seal->open(seal->ctx, buf_view(&key), row->value, room, err);
    if (rc != 0) {
        return err_wrap(err, "decrypting %.*s", STR_ARG(buf_view(&key)));
    }
    *ret_value = buf_view(room);
    return 0;
}

/* Visits the row at `revision`; a row that is not there is not visited. */
static int visit_one(struct sqlite *sqlite, uint64_t revision, store_visit_fn *visit, void *ctx,
                     struct err *err)
{
    sqlite3_stmt *query = sqlite->queries[QUERY_GET];
    sqlite3_bind_int64(query, 1, (int64_t)revision);
    int rc = sqlite3_step(query), result = 0;
    if (rc == SQLITE_ROW) {
        struct sqlite_row row;
        struct str value = STR_NONE;
        result = sqlite_row_read(sqlite, query, &row, err);
        result = result != 0 ? result : sqlite_row_open(sqlite, &row, &sqlite->opened, &value, err);
        if (result == 0) {
            struct store_row seen = {.resource = row.identity.resource,
                                     .ns = row.identity.ns,
                                     .name = row.identity.name,
                                     .revision = revision,
                                     .value = value};
            result = visit(ctx, &seen, err);
        }
    } else if (rc != SQLITE_DONE) {
        result = sqlite_fail(sqlite, rc, "reading", err);
    }
    sqlite3_reset(query);
    return result;
}

int sqlite_load(struct store *store, store_visit_fn *visit, void *ctx, struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    if (!sqlite->live_known) {
        return err_set(err, ERR_INTERNAL, "%s: load comes before the first write", sqlite->file);
    }
    int rc = 0;
    VEC_EACH (it, &sqlite->live) {
        FAILPOINT("store.load-row");
        rc = visit_one(sqlite, it->revision, visit, ctx, err);
        if (rc != 0) {
            break;
        }
    }
    if (rc == 0) { /* not needed again: give the memory back */
        vec_done(&sqlite->live);
        arena_done(&sqlite->live_arena);
        sqlite->live_known = false;
        sqlite3_db_release_memory(sqlite->db);
    }
    return rc < 0 ? rc : 0;
}

static int expired(const struct sqlite *sqlite, uint64_t revision, struct err *err)
{
    return err_set(err, ERR_EXPIRED, "revision %llu is older than the oldest kept, %llu",
                   (unsigned long long)revision, (unsigned long long)sqlite->meta.compacted);
}

static bool is_of(const struct sqlite *sqlite, sqlite3_stmt *query, const struct str *resource)
{
    if (resource->p == NULL) {
        return true;
    }
    uint64_t id = (uint64_t)sqlite3_column_int64(query, 2);
    return id < sqlite->resources.count && str_eq(sqlite->resources.items[id]->name, *resource);
}

/* The value that an event replaced. Compaction keeps it as long as the event is readable. */
static int read_previous(struct sqlite *sqlite, uint64_t revision, struct str *ret_value,
                         struct err *err)
{
    sqlite3_stmt *query = sqlite->queries[QUERY_GET];
    sqlite3_bind_int64(query, 1, (int64_t)revision);
    int rc = sqlite3_step(query), result = 0;
    struct sqlite_row row;
    struct str value = STR_NONE;
    if (rc != SQLITE_ROW) {
        result = sqlite_fail(sqlite, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc, "reading", err);
    }
    result = result != 0 ? result : sqlite_row_read(sqlite, query, &row, err);
    result =
        result != 0 ? result : sqlite_row_open(sqlite, &row, &sqlite->opened_previous, &value, err);
    if (result == 0 && value.p != sqlite->opened_previous.p) { /* outlives the query */
        buf_clear(&sqlite->opened_previous);
        buf_str(&sqlite->opened_previous, value);
    }
    *ret_value = buf_view(&sqlite->opened_previous);
    sqlite3_reset(query);
    return result;
}

static int visit_event(struct sqlite *sqlite, sqlite3_stmt *query, store_visit_fn *visit, void *ctx,
                       struct err *err)
{
    struct sqlite_row row;
    struct str value = STR_NONE, previous = STR_NONE;
    int rc = sqlite_row_read(sqlite, query, &row, err);
    rc = rc != 0 ? rc : sqlite_row_open(sqlite, &row, &sqlite->opened, &value, err);
    if (rc == 0 && row.identity.previous != 0) {
        rc = read_previous(sqlite, row.identity.previous, &previous, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct store_row event = {.resource = row.identity.resource,
                              .ns = row.identity.ns,
                              .name = row.identity.name,
                              .revision = row.identity.revision,
                              .value = value,
                              .deleted = (row.identity.flags & ROW_DELETED) != 0,
                              .created = (row.identity.flags & ROW_CREATED) != 0,
                              .previous = previous};
    return visit(ctx, &event, err);
}

int sqlite_history(struct store *store, struct str resource, uint64_t after, uint64_t upto,
                   store_visit_fn *visit, void *ctx, struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    if (after < sqlite->meta.compacted) {
        return expired(sqlite, after, err);
    }
    sqlite3_stmt *query = sqlite->queries[QUERY_RANGE];
    sqlite3_bind_int64(query, 1, (int64_t)after);
    sqlite3_bind_int64(query, 2, (int64_t)(upto < INT64_MAX ? upto : INT64_MAX));
    int rc = SQLITE_DONE, result = 0;
    while (result == 0 && (rc = sqlite3_step(query)) == SQLITE_ROW) {
        if (is_of(sqlite, query, &resource)) {
            result = visit_event(sqlite, query, visit, ctx, err);
        }
    }
    sqlite3_reset(query);
    if (result == 0 && rc != SQLITE_DONE) {
        result = sqlite_fail(sqlite, rc, "reading", err);
    }
    return result < 0 ? result : 0;
}

static int by_revision(const void *key, const void *item)
{
    uint64_t revision = *(const uint64_t *)key, at = ((const struct sqlite_live *)item)->revision;
    return revision < at ? -1 : revision > at;
}

static int by_key(const void *a, const void *b)
{
    const struct sqlite_live *left = a, *right = b;
    int order = str_cmp(left->ns, right->ns);
    return order != 0 ? order : str_cmp(left->name, right->name);
}

struct past {
    VEC_OF(struct sqlite_live);
};

/* Which rows of the resource were live at `revision`, by revision. */
static int find_past(struct sqlite *sqlite, struct str resource, uint64_t revision,
                     struct arena *arena, struct past *past, struct err *err)
{
    sqlite3_stmt *query = sqlite->queries[QUERY_RANGE];
    sqlite3_bind_int64(query, 1, 0);
    sqlite3_bind_int64(query, 2, (int64_t)revision);
    int rc;
    while ((rc = sqlite3_step(query)) == SQLITE_ROW) {
        if (!is_of(sqlite, query, &resource)) {
            continue;
        }
        uint64_t previous = (uint64_t)sqlite3_column_int64(query, 1);
        struct sqlite_live *old =
            previous == 0 || past->count == 0
                ? NULL
                : bsearch(&previous, past->items, past->count, sizeof *past->items, by_revision);
        if (old != NULL) {
            old->name = STR_NONE;
        }
        if ((sqlite3_column_int64(query, 3) & ROW_DELETED) == 0) {
            *vec_push(past) =
                (struct sqlite_live){.ns = str_copy_in(arena, column_bytes(query, 5)),
                                     .name = str_copy_in(arena, column_bytes(query, 6)),
                                     .revision = (uint64_t)sqlite3_column_int64(query, 0)};
        }
    }
    sqlite3_reset(query);
    return rc == SQLITE_DONE ? 0 : sqlite_fail(sqlite, rc, "reading", err);
}

int sqlite_load_at(struct store *store, struct str resource, uint64_t revision,
                   store_visit_fn *visit, void *ctx, struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    if (revision < sqlite->meta.compacted) {
        return expired(sqlite, revision, err);
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct past past = {0};
    int rc = find_past(sqlite, resource, revision, &arena, &past, err);
    size_t kept = 0;
    for (size_t i = 0; i < past.count; i++) {
        if (past.items[i].name.p != NULL) {
            past.items[kept++] = past.items[i];
        }
    }
    if (kept > 0) {
        qsort(past.items, kept, sizeof *past.items, by_key);
    }
    for (size_t i = 0; i < kept && rc == 0; i++) {
        rc = visit_one(sqlite, past.items[i].revision, visit, ctx, err);
    }
    vec_done(&past);
    return rc < 0 ? rc : 0;
}

/* Commit times do not fall while the wall clock does not: a jump back only makes a search land
 * near, which is all that a window needs. */
int sqlite_revision_at(struct store *store, int64_t wall_ns, uint64_t *ret_revision,
                       struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    sqlite3_stmt *query = sqlite->queries[QUERY_FROM];
    uint64_t low = sqlite->meta.compacted, high = sqlite->meta.revision; /* low: old enough */
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        sqlite3_bind_int64(query, 1, (int64_t)middle);
        int rc = sqlite3_step(query);
        uint64_t found = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(query, 0) : 0;
        int64_t at = rc == SQLITE_ROW ? sqlite3_column_int64(query, 1) : 0;
        sqlite3_reset(query);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
            return sqlite_fail(sqlite, rc, "reading", err);
        }
        if (rc == SQLITE_ROW && at <= wall_ns / NS_PER_MS) {
            low = found;
        } else {
            high = middle - 1;
        }
    }
    *ret_revision = low;
    return 0;
}
