/* memory.c: the store without a disk: for tests and for the simulator. It keeps the same promises
 * as the SQLite store but durability: revisions, history, compaction, and the order of everything.
 *
 * Rows are one array by revision, as the SQLite log.
 */
#include "base/clock.h"
#include "base/vec.h"
#include "store/store.h"

struct row {
    struct store_row seen; /* texts are in `bytes` */
    uint64_t previous;
    int64_t at;
    char *bytes;
};

struct memory {
    struct store store;
    struct clock *clock;
    int64_t history_ns;
    struct {
        VEC_OF(struct row *);
    } rows; /* by revision; a row that was compacted away is taken out */
    uint64_t revision, compacted, value_bytes, live_rows;
};

static struct memory *memory_of(struct store *store)
{
    return container_of(store, struct memory, store);
}

static int memory_open(const struct store_options *options, struct store **ret_store,
                       struct err *err)
{
    struct memory *memory = mem_new(struct memory);
    memory->store.ops = &store_memory;
    memory->history_ns = options->history_ns;
    memory->clock = options->clock != NULL ? options->clock : clock_real();
    *ret_store = &memory->store;
    return 0;
}

static void row_free(struct row *row)
{
    free(row->bytes);
    free(row);
}

static void memory_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    struct memory *memory = memory_of(store);
    VEC_EACH (it, &memory->rows) {
        row_free(*it);
    }
    vec_done(&memory->rows);
    free(memory);
}

static struct str keep(char **at, struct str text)
{
    memcpy(*at, text.n > 0 ? text.p : "", text.n);
    struct str kept = {*at, text.n};
    *at += text.n;
    return kept;
}

static int memory_commit(struct store *store, const struct store_write *writes, size_t count,
                         struct err *err)
{
    struct memory *memory = memory_of(store);
    for (size_t i = 0; i < count; i++) {
        const struct store_write *write = &writes[i];
        struct row *row = mem_new(struct row);
        char *at = row->bytes =
            mem_alloc(write->resource.n + write->ns.n + write->name.n + write->value.n + 1);
        row->seen = (struct store_row){.resource = keep(&at, write->resource),
                                       .ns = keep(&at, write->ns),
                                       .name = keep(&at, write->name),
                                       .revision = write->revision,
                                       .value = keep(&at, write->value),
                                       .deleted = write->deleted,
                                       .created = write->created};
        row->previous = write->previous;
        row->at = clock_wall(memory->clock);
        *vec_push(&memory->rows) = row;
        memory->revision = write->revision;
        memory->value_bytes += write->value.n;
        memory->live_rows += write->created ? 1 : 0;
        memory->live_rows -= write->deleted ? 1 : 0;
    }
    return 0;
}

/* First row with a greater revision. */
static size_t rows_after(const struct memory *memory, uint64_t revision)
{
    size_t low = 0, high = memory->rows.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memory->rows.items[middle]->seen.revision <= revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct row *row_at(const struct memory *memory, uint64_t revision)
{
    size_t at = rows_after(memory, revision);
    struct row *row = at > 0 ? memory->rows.items[at - 1] : NULL;
    return row != NULL && row->seen.revision == revision ? row : NULL;
}

static int by_key(const void *a, const void *b)
{
    const struct store_row *left = &(*(struct row *const *)a)->seen;
    const struct store_row *right = &(*(struct row *const *)b)->seen;
    int order = str_cmp(left->resource, right->resource);
    order = order != 0 ? order : str_cmp(left->ns, right->ns);
    return order != 0 ? order : str_cmp(left->name, right->name);
}

static int visit_state(struct memory *memory, struct str resource, uint64_t revision,
                       store_visit_fn *visit, void *ctx, struct err *err)
{
    size_t count = rows_after(memory, revision), kept = 0;
    struct row **live = mem_array(struct row *, count + 1);
    bool *dead = mem_array(bool, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct row *row = memory->rows.items[i];
        dead[i] = row->seen.deleted;
        size_t old = row->previous != 0 ? rows_after(memory, row->previous) : 0;
        if (old > 0 && memory->rows.items[old - 1]->seen.revision == row->previous) {
            dead[old - 1] = true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct row *row = memory->rows.items[i];
        if (!dead[i] && (resource.p == NULL || str_eq(resource, row->seen.resource))) {
            live[kept++] = row;
        }
    }
    if (kept > 0) {
        qsort(live, kept, sizeof *live, by_key);
    }
    int rc = 0;
    for (size_t i = 0; i < kept && rc == 0; i++) {
        rc = visit(ctx, &live[i]->seen, err);
    }
    free(live);
    free(dead);
    return rc < 0 ? rc : 0;
}

static int memory_load(struct store *store, store_visit_fn *visit, void *ctx, struct err *err)
{
    struct memory *memory = memory_of(store);
    return visit_state(memory, STR_NONE, memory->revision, visit, ctx, err);
}

static int expired(const struct memory *memory, uint64_t revision, struct err *err)
{
    return err_set(err, ERR_EXPIRED, "revision %llu is older than the oldest kept, %llu",
                   (unsigned long long)revision, (unsigned long long)memory->compacted);
}

static int memory_load_at(struct store *store, struct str resource, uint64_t revision,
                          store_visit_fn *visit, void *ctx, struct err *err)
{
    struct memory *memory = memory_of(store);
    return revision < memory->compacted ? expired(memory, revision, err)
                                        : visit_state(memory, resource, revision, visit, ctx, err);
}

static int memory_history(struct store *store, struct str resource, uint64_t after, uint64_t upto,
                          store_visit_fn *visit, void *ctx, struct err *err)
{
    struct memory *memory = memory_of(store);
    if (after < memory->compacted) {
        return expired(memory, after, err);
    }
    int rc = 0;
    for (size_t i = rows_after(memory, after); i < memory->rows.count && rc == 0; i++) {
        const struct row *row = memory->rows.items[i];
        if (row->seen.revision > upto) {
            break;
        }
        if (resource.p != NULL && !str_eq(resource, row->seen.resource)) {
            continue;
        }
        struct store_row event = row->seen;
        const struct row *old = row->previous != 0 ? row_at(memory, row->previous) : NULL;
        event.previous = old != NULL ? old->seen.value : STR_NONE;
        rc = visit(ctx, &event, err);
    }
    return rc < 0 ? rc : 0;
}

static void drop_row(struct memory *memory, uint64_t revision)
{
    struct row *row = row_at(memory, revision);
    if (row != NULL) {
        memory->value_bytes -= row->seen.value.n;
        row->seen.resource = STR_NONE; /* taken out below */
    }
}

static int memory_compact(struct store *store, uint64_t upto, struct err *err)
{
    struct memory *memory = memory_of(store);
    upto = upto < memory->revision ? upto : memory->revision;
    if (upto <= memory->compacted) {
        return 0;
    }
    for (size_t i = rows_after(memory, memory->compacted); i < rows_after(memory, upto); i++) {
        const struct row *row = memory->rows.items[i];
        if (row->previous != 0) {
            drop_row(memory, row->previous);
        }
        if (row->seen.deleted) {
            drop_row(memory, row->seen.revision);
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < memory->rows.count; i++) {
        struct row *row = memory->rows.items[i];
        if (row->seen.resource.p == NULL) {
            row_free(row);
        } else {
            memory->rows.items[kept++] = row;
        }
    }
    memory->rows.count = kept;
    memory->compacted = upto;
    return 0;
}

static int memory_revision_at(struct store *store, int64_t wall_ns, uint64_t *ret_revision,
                              struct err *err)
{
    struct memory *memory = memory_of(store);
    *ret_revision = memory->compacted;
    for (size_t i = rows_after(memory, memory->compacted);
         i < memory->rows.count && memory->rows.items[i]->at <= wall_ns; i++) {
        *ret_revision = memory->rows.items[i]->seen.revision;
    }
    return 0;
}

static int memory_status(struct store *store, struct store_status *ret_status, struct err *err)
{
    struct memory *memory = memory_of(store);
    *ret_status = (struct store_status){.revision = memory->revision,
                                        .compacted = memory->compacted,
                                        .live_rows = memory->live_rows,
                                        .history_rows = memory->rows.count - memory->live_rows,
                                        .value_bytes = memory->value_bytes,
                                        .history_ns = memory->history_ns};
    return 0;
}

const struct store_ops store_memory = {
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .load = memory_load,
    .commit = memory_commit,
    .history = memory_history,
    .load_at = memory_load_at,
    .compact = memory_compact,
    .revision_at = memory_revision_at,
    .status = memory_status,
};
