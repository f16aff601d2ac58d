/* sqlite_backup.c: an online copy of the database, and a new data folder from such a copy.
 *
 * A copy is made page by page between batches into `TO.partial`; pages that are written meanwhile
 * through our connection are copied too, so the copy is the state at its last step. It gets its
 * name only when it is whole and synced. A restored database continues 10^9 revisions above the
 * copy and counts everything older as compacted, so that no revision that was ever handed out comes
 * again and every old watch ends with 410 (reliability R9).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "store/sqlite_int.h"

enum { STEP_PAGES = 64 };
static const uint64_t restore_bump = 1000000000;

int sqlite_backup_begin(struct store *store, const char *to, struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    if (sqlite->backup != NULL) {
        return err_set(err, ERR_TOO_MANY, "a backup of %s is under way", sqlite->file);
    }
    sqlite->backup_path = mem_dupz(to);
    sqlite->backup_partial = mem_printf("%s.partial", to);
    unlink(sqlite->backup_partial); /* of a backup that was cut off */
    int rc = sqlite3_open_v2(sqlite->backup_partial, &sqlite->backup_to,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (rc == SQLITE_OK) {
        sqlite->backup = sqlite3_backup_init(sqlite->backup_to, "main", sqlite->db, "main");
    }
    if (sqlite->backup == NULL) {
        err_set(err, ERR_STORAGE, "backup to %s: %s", to, sqlite3_errmsg(sqlite->backup_to));
        sqlite_backup_end(store);
        return ERR_STORAGE;
    }
    return 0;
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int error = fsync(fd) != 0 ? errno : 0;
    close(fd);
    return error;
}

static int sync_folder_of(const char *path)
{
    struct str rest, folder = str_cut_last(str_of(path), '/', &rest);
    char *name MEM_CLEANUP = rest.p != NULL ? str_dup(folder) : mem_dupz(".");
    return sync_path(name[0] != '\0' ? name : "/", O_RDONLY | O_DIRECTORY);
}

static int finish_backup(struct sqlite *sqlite, struct err *err)
{
    int rc = sqlite3_backup_finish(sqlite->backup);
    sqlite->backup = NULL;
    int closed = sqlite3_close(sqlite->backup_to);
    sqlite->backup_to = NULL;
    if (rc != SQLITE_OK || closed != SQLITE_OK) {
        return err_set(err, ERR_STORAGE, "backup to %s: %s", sqlite->backup_path,
                       sqlite3_errstr(rc != SQLITE_OK ? rc : closed));
    }
    int error = FAILPOINT_ERRNO("store.backup-rename");
    error = error != 0 ? error : sync_path(sqlite->backup_partial, O_RDONLY);
    if (error == 0 && rename(sqlite->backup_partial, sqlite->backup_path) != 0) {
        error = errno;
    }
    error = error != 0 ? error : sync_folder_of(sqlite->backup_path);
    return error == 0 ? 0 : err_os(err, error, "backup to %s", sqlite->backup_path);
}

int sqlite_backup_step(struct store *store, struct err *err)
{
    struct sqlite *sqlite = sqlite_of(store);
    if (sqlite->backup == NULL) {
        return err_set(err, ERR_INTERNAL, "no backup of %s is under way", sqlite->file);
    }
    FAILPOINT("store.backup-step");
    int rc = sqlite3_backup_step(sqlite->backup, STEP_PAGES), result = 1;
    if (rc == SQLITE_DONE) {
        result = finish_backup(sqlite, err);
    } else if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED) {
        result =
            err_set(err, ERR_STORAGE, "backup to %s: %s", sqlite->backup_path, sqlite3_errstr(rc));
    }
    if (result <= 0) {
        sqlite_backup_end(store);
    }
    return result;
}

void sqlite_backup_end(struct store *store)
{
    struct sqlite *sqlite = sqlite_of(store);
    sqlite3_backup_finish(sqlite->backup);
    sqlite3_close(sqlite->backup_to);
    if (sqlite->backup_partial != NULL) {
        unlink(sqlite->backup_partial); /* gone already when it was renamed */
    }
    free(sqlite->backup_path);
    free(sqlite->backup_partial);
    sqlite->backup = NULL;
    sqlite->backup_to = NULL;
    sqlite->backup_path = sqlite->backup_partial = NULL;
}

/* ---- restore ---- */

static int copy_file(const char *from, const char *to, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0) {
        return err_os(err, errno, "open %s", from);
    }
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = out < 0 ? err_os(err, errno, "create %s", to) : 0;
    char *bytes MEM_CLEANUP = mem_alloc(1 << 16);
    while (rc == 0) {
        ssize_t got = read(in, bytes, 1 << 16);
        if (got <= 0) {
            rc = got < 0 ? err_os(err, errno, "read %s", from) : 0;
            break;
        }
        if (write(out, bytes, (size_t)got) != got) {
            rc = err_os(err, errno != 0 ? errno : ENOSPC, "write %s", to);
        }
    }
    if (rc == 0 && fsync(out) != 0) {
        rc = err_os(err, errno, "sync %s", to);
    }
    if (out >= 0) {
        close(out);
    }
    close(in);
    return rc;
}

/* Opens the copy (which checks it whole), lifts its revision, forgets its history. */
static int bump(const char *folder, struct err *err)
{
    struct store_options options = {.path = folder};
    struct store *store = NULL;
    int rc = store_sqlite.open(&options, &store, err);
    if (rc != 0) {
        return rc;
    }
    struct sqlite *sqlite = sqlite_of(store);
    FAILPOINT("store.restore-bump");
    rc = sqlite_compact(store, sqlite->meta.revision, err);
    sqlite->meta.revision += restore_bump;
    sqlite->meta.compacted = sqlite->meta.revision;
    rc = rc != 0 ? rc : sqlite_meta_write(sqlite, err);
    store_sqlite.close(store);
    return rc;
}

/* The copy is lifted in a folder beside the target and moved in last: a crash leaves either no
 * database or the restored one. */
int store_sqlite_restore(const char *backup, const char *path, struct err *err)
{
    char *target MEM_CLEANUP = mem_printf("%s/cox.db", path);
    char *target_wal MEM_CLEANUP = mem_printf("%s/cox.db-wal", path);
    char *stage MEM_CLEANUP = mem_printf("%s/restore.partial", path);
    char *staged MEM_CLEANUP = mem_printf("%s/cox.db", stage);
    char *staged_wal MEM_CLEANUP = mem_printf("%s/cox.db-wal", stage);
    if (access(target, F_OK) == 0 || access(target_wal, F_OK) == 0) {
        return err_set(err, ERR_EXISTS, "%s exists: restore into an empty data folder", target);
    }
    unlink(staged_wal);
    unlink(staged);
    rmdir(stage);
    if (mkdir(stage, 0700) != 0) {
        return err_os(err, errno, "mkdir %s", stage);
    }
    int rc = copy_file(backup, staged, err);
    rc = rc != 0 ? rc : bump(stage, err);
    int error = 0;
    if (rc == 0) {
        error = sync_path(staged, O_RDONLY);
        if (error == 0 && rename(staged, target) != 0) {
            error = errno;
        }
        error = error != 0 ? error : sync_folder_of(target);
        rc = error == 0 ? 0 : err_os(err, error, "restore to %s", target);
    }
    unlink(staged_wal);
    unlink(staged);
    rmdir(stage);
    return rc;
}
