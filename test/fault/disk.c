/* disk.c: see disk.h. Files are buffers; each keeps what is surely on the platter (`durable`), what
 * a reader sees (`seen`), and the changes between the two in order. */
#include "disk.h"

#include <sqlite3.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

struct change {
    bool truncate;
    size_t at;
    char *bytes;
    size_t n;
};

struct disk_file {
    struct buf durable, seen;
    struct {
        VEC_OF(struct change);
    } changes;
};

struct handle {
    sqlite3_file base;
    struct disk_file *file;
};

static struct {
    struct map files;
    struct disk_plan plan;
    unsigned long steps, calls[DISK_CALLS];
    bool cut, registered;
} disk;

static void resize(struct buf *buf, size_t n)
{
    if (n > buf->n) {
        memset(buf_room(buf, n - buf->n), 0, n - buf->n);
    }
    buf->n = n;
}

static void put(struct buf *buf, size_t at, const char *bytes, size_t n)
{
    if (buf->n < at + n) {
        resize(buf, at + n);
    }
    memcpy(buf->p + at, bytes, n);
}

static void forget_changes(struct disk_file *file)
{
    VEC_EACH (it, &file->changes) {
        free(it->bytes);
    }
    vec_clear(&file->changes);
}

static void file_free(struct disk_file *file)
{
    forget_changes(file);
    vec_done(&file->changes);
    buf_done(&file->durable);
    buf_done(&file->seen);
    free(file);
}

/* SQLITE_OK, or what the plan says that this call gives. */
static int judge(enum disk_call call, int io_error)
{
    if (call == DISK_WRITE || call == DISK_TRUNCATE || call == DISK_SYNC) {
        disk.steps++;
        disk.cut = disk.cut || (disk.plan.cut_at != 0 && disk.steps >= disk.plan.cut_at);
    }
    disk.calls[call]++;
    if (disk.cut) {
        return io_error;
    }
    const struct disk_plan *plan = &disk.plan;
    bool hit =
        plan->error != DISK_ERROR_NONE && call == plan->error_call && plan->error_at != 0 &&
        (plan->for_ever ? disk.calls[call] >= plan->error_at : disk.calls[call] == plan->error_at);
    if (!hit) {
        return SQLITE_OK;
    }
    return plan->error == DISK_ERROR_FULL ? SQLITE_FULL : io_error;
}

static struct disk_file *file_of(sqlite3_file *base)
{
    return ((struct handle *)base)->file;
}

static int io_close(sqlite3_file *base)
{
    return SQLITE_OK;
}

static int io_read(sqlite3_file *base, void *bytes, int n, sqlite3_int64 at)
{
    struct disk_file *file = file_of(base);
    int rc = judge(DISK_READ, SQLITE_IOERR_READ);
    if (rc != SQLITE_OK) {
        return SQLITE_IOERR_READ;
    }
    size_t have = (size_t)at < file->seen.n ? file->seen.n - (size_t)at : 0;
    size_t take = have < (size_t)n ? have : (size_t)n;
    memset(bytes, 0, (size_t)n);
    if (take > 0) {
        memcpy(bytes, file->seen.p + at, take);
    }
    return take == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static void change(struct disk_file *file, bool truncate, size_t at, const void *bytes, size_t n)
{
    *vec_push(&file->changes) =
        (struct change){truncate, at, truncate ? NULL : mem_dup(bytes, n), n};
    if (truncate) {
        resize(&file->seen, at);
    } else {
        put(&file->seen, at, bytes, n);
    }
}

static int io_write(sqlite3_file *base, const void *bytes, int n, sqlite3_int64 at)
{
    int rc = judge(DISK_WRITE, SQLITE_IOERR_WRITE);
    bool partly = disk.cut || disk.plan.error == DISK_ERROR_SHORT || rc == SQLITE_FULL;
    size_t size = rc == SQLITE_OK ? (size_t)n : partly ? (size_t)n / 2 : 0;
    if (size > 0) { /* a cut in the middle of a write leaves a part of it to the damage */
        change(file_of(base), false, (size_t)at, bytes, size);
    }
    return rc;
}

static int io_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    int rc = judge(DISK_TRUNCATE, SQLITE_IOERR_TRUNCATE);
    if (rc == SQLITE_OK) {
        change(file_of(base), true, (size_t)size, NULL, 0);
    }
    return rc;
}

static int io_sync(sqlite3_file *base, int flags)
{
    struct disk_file *file = file_of(base);
    int rc = judge(DISK_SYNC, SQLITE_IOERR_FSYNC);
    if (disk.cut) {
        return rc;
    }
    if (rc == SQLITE_OK) {
        buf_clear(&file->durable);
        buf_add(&file->durable, file->seen.p, file->seen.n);
    }
    forget_changes(file); /* after a failed sync too: they never reach the platter */
    return rc == SQLITE_FULL ? SQLITE_IOERR_FSYNC : rc;
}

static int io_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    *ret_size = (sqlite3_int64)file_of(base)->seen.n;
    return SQLITE_OK;
}

static int io_lock(sqlite3_file *base, int level)
{
    return SQLITE_OK;
}

static int io_reserved(sqlite3_file *base, int *ret_is)
{
    *ret_is = 0;
    return SQLITE_OK;
}

static int io_control(sqlite3_file *base, int op, void *arg)
{
    return SQLITE_NOTFOUND;
}

static int io_sector(sqlite3_file *base)
{
    return 512;
}

static int io_character(sqlite3_file *base)
{
    /* As the real one: a torn write leaves what is beside it alone. Without this SQLite pads each
     * commit after its sync, and a full disk there refuses a commit that is already durable. */
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    1,       io_close, io_read,     io_write,   io_truncate, io_sync,     io_size,
    io_lock, io_lock,  io_reserved, io_control, io_sector,   io_character};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                    int *ret_flags)
{
    struct handle *handle = (struct handle *)base;
    base->pMethods = NULL;
    if (judge(DISK_OPEN, SQLITE_CANTOPEN) != SQLITE_OK) {
        return SQLITE_CANTOPEN;
    }
    struct str key = str_of(name != NULL ? name : "temporary");
    handle->file = map_get(&disk.files, key);
    if (handle->file == NULL) {
        handle->file = mem_new(struct disk_file);
        map_set(&disk.files, key, handle->file);
    }
    base->pMethods = &methods;
    if (ret_flags != NULL) {
        *ret_flags = flags;
    }
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    if (disk.cut) {
        return SQLITE_IOERR_DELETE;
    }
    struct disk_file *file = map_remove(&disk.files, str_of(name));
    if (file != NULL) {
        file_free(file);
    }
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret_is)
{
    struct disk_file *file = map_get(&disk.files, str_of(name));
    *ret_is = file != NULL && (flags != SQLITE_ACCESS_EXISTS || file->seen.n > 0);
    return SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int size, char *ret_path)
{
    sqlite3_snprintf(size, ret_path, "%s", name);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *bytes)
{
    memset(bytes, 7, (size_t)n);
    return n;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    return microseconds;
}

static int vfs_time(sqlite3_vfs *vfs, double *ret_days)
{
    *ret_days = 2460000.5;
    return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *vfs, int size, char *text)
{
    return 0;
}

static sqlite3_vfs vfs = {.iVersion = 1,
                          .szOsFile = sizeof(struct handle),
                          .mxPathname = 512,
                          .zName = "cox-fault",
                          .xOpen = vfs_open,
                          .xDelete = vfs_delete,
                          .xAccess = vfs_access,
                          .xFullPathname = vfs_path,
                          .xRandomness = vfs_random,
                          .xSleep = vfs_sleep,
                          .xCurrentTime = vfs_time,
                          .xGetLastError = vfs_error};

void disk_plan(const struct disk_plan *plan)
{
    disk.plan = *plan;
    disk.steps = 0;
    memset(disk.calls, 0, sizeof disk.calls);
    disk.cut = false;
}

void disk_begin(const struct disk_plan *plan)
{
    if (!disk.registered) {
        sqlite3_vfs_register(&vfs, 0);
        disk.registered = true;
    }
    disk_end();
    disk_plan(plan);
}

void disk_end(void)
{
    MAP_EACH (it, &disk.files) {
        file_free(it->value);
    }
    map_done(&disk.files);
    disk.files = (struct map)MAP_INIT;
}

bool disk_is_cut(void)
{
    return disk.cut;
}

unsigned long disk_steps(void)
{
    return disk.steps;
}

unsigned long disk_calls(enum disk_call call)
{
    return disk.calls[call];
}

static void survive(struct disk_file *file, const struct change *it, enum disk_damage damage,
                    struct random *random)
{
    if (it->truncate) {
        if (random_below(random, 2) == 0) {
            resize(&file->durable, it->at);
        }
        return;
    }
    if (damage == DISK_HALF_LOST) {
        if (random_below(random, 2) == 0) {
            put(&file->durable, it->at, it->bytes, it->n);
        }
        return;
    }
    for (size_t at = 0; at < it->n; at += 512) {
        size_t n = it->n - at < 512 ? it->n - at : 512;
        if (random_below(random, 2) == 0) {
            put(&file->durable, it->at + at, it->bytes + at, n);
        }
    }
}

void disk_restart(enum disk_damage damage, struct random *random)
{
    MAP_EACH (entry, &disk.files) {
        struct disk_file *file = entry->value;
        VEC_EACH (it, &file->changes) {
            if (damage != DISK_ALL_LOST) {
                survive(file, it, damage, random);
            }
        }
        forget_changes(file);
        buf_clear(&file->seen);
        buf_add(&file->seen, file->durable.p, file->durable.n);
    }
    struct disk_plan none = {0};
    disk_plan(&none);
}
