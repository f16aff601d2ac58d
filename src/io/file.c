/* file.c: files through the seam of struct file_ops: whole reads, atomic writes, trees.
 *
 * Invariants: an atomic write leaves either the old or the new file, never a part, also after a
 * power cut; its temporary is removed on failure. Tree removal holds at most two descriptors, does
 * not recurse, never follows a link and stops with an error at a mount point. Reads of directories
 * (tree removal, existence) go to the kernel directly: they write nothing that must be durable.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/file.h"

static int real_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

static int real_sync(int fd)
{
    return fsync(fd);
}

static const struct file_ops real_ops = {
    .open = real_open,
    .read = read,
    .write = write,
    .sync = real_sync,
    .rename = rename,
    .unlink = unlink,
    .mkdir = mkdir,
};
static const struct file_ops *ops = &real_ops;

const struct file_ops *file_ops_real(void)
{
    return &real_ops;
}

void file_set_ops(const struct file_ops *new_ops)
{
    ops = new_ops != NULL ? new_ops : &real_ops;
}

static int read_all(int fd, const char *path, size_t limit, struct buf *bytes, struct err *err)
{
    for (;;) {
        size_t want = bytes->n + 4096 <= limit ? 65536 : limit - bytes->n + 1;
        ssize_t got = ops->read(fd, buf_room(bytes, want), want);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return err_os(err, errno, "read %s", path);
        }
        if (got == 0) {
            return 0;
        }
        bytes->n += (size_t)got;
        bytes->p[bytes->n] = 0;
        if (bytes->n > limit) {
            return err_set(err, ERR_LIMIT, "read %s: larger than %zu bytes", path, limit);
        }
    }
}

int file_read(const char *path, size_t limit, struct buf *ret_bytes, struct err *err)
{
    int fd = ops->open(path, O_RDONLY, 0);
    if (fd < 0) {
        int os_errno = errno;
        int rc = err_os(err, os_errno, "open %s", path);
        if (os_errno == ENOENT || os_errno == ENOTDIR) {
            rc = ERR_NOT_FOUND;
            if (err != NULL) {
                err->code = ERR_NOT_FOUND;
            }
        }
        return rc;
    }
    struct buf bytes BUF_CLEANUP = BUF_INIT;
    buf_room(&bytes, 1);
    bytes.p[0] = 0;
    int rc = read_all(fd, path, limit, &bytes, err);
    close(fd);
    if (rc == 0) {
        buf_done(ret_bytes);
        *ret_bytes = bytes;
        bytes = (struct buf)BUF_INIT;
    }
    return rc;
}

static int write_all(int fd, const char *path, struct str bytes, struct err *err)
{
    while (bytes.n > 0) {
        ssize_t put = ops->write(fd, bytes.p, bytes.n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return err_os(err, errno, "write %s", path);
        }
        bytes = str_from(bytes, (size_t)put);
    }
    return 0;
}

static int sync_folder_of(const char *path, struct err *err)
{
    char *folder MEM_CLEANUP = mem_dupz(path);
    char *slash = strrchr(folder, '/');
    const char *name = slash == NULL ? "." : slash == folder ? "/" : folder;
    if (slash != NULL && slash != folder) {
        *slash = 0;
    }
    int fd = ops->open(name, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return err_os(err, errno, "open %s", name);
    }
    int rc = ops->sync(fd) != 0 ? err_os(err, errno, "sync %s", name) : 0;
    close(fd);
    return rc;
}

static int write_temporary(const char *path, struct str bytes, mode_t mode, bool durable,
                           struct err *err)
{
    int fd = ops->open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
    if (fd < 0) {
        return err_os(err, errno, "create %s", path);
    }
    int rc = fchmod(fd, mode) != 0 ? err_os(err, errno, "chmod %s", path) : 0;
    if (rc == 0) {
        rc = write_all(fd, path, bytes, err);
    }
    if (rc == 0 && durable && ops->sync(fd) != 0) {
        rc = err_os(err, errno, "sync %s", path);
    }
    if (close(fd) != 0 && rc == 0) {
        rc = err_os(err, errno, "close %s", path);
    }
    return rc;
}

static int write_whole(const char *path, struct str bytes, mode_t mode, bool durable,
                       struct err *err)
{
    static _Atomic unsigned counter;
    char *temporary MEM_CLEANUP = mem_printf("%s.tmp-%d-%u", path, (int)getpid(), ++counter);
    ops->unlink(temporary); /* of an earlier process with our pid */
    int rc = write_temporary(temporary, bytes, mode, durable, err);
    FAILPOINT("io.file.before-rename");
    if (rc == 0 && ops->rename(temporary, path) != 0) {
        rc = err_os(err, errno, "rename %s", path);
    }
    if (rc != 0) {
        ops->unlink(temporary);
        return rc;
    }
    return durable ? sync_folder_of(path, err) : 0;
}

int file_write_atomic(const char *path, struct str bytes, mode_t mode, struct err *err)
{
    return write_whole(path, bytes, mode, true, err);
}

int file_write_quick(const char *path, struct str bytes, mode_t mode, struct err *err)
{
    return write_whole(path, bytes, mode, false, err);
}

int file_make_dirs(const char *path, mode_t mode, struct err *err)
{
    char *part MEM_CLEANUP = mem_dupz(path);
    for (char *at = part;; at++) {
        if ((*at == '/' && at != part) || *at == 0) {
            char kept = *at;
            *at = 0;
            if (*part != 0 && ops->mkdir(part, mode) != 0 && errno != EEXIST) {
                return err_os(err, errno, "mkdir %s", part);
            }
            *at = kept;
            if (kept == 0) {
                break;
            }
        }
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return err_os(err, ENOTDIR, "mkdir %s", path);
    }
    return 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- removal of trees ---- */

struct tree_level {
    char *name; /* in the level above */
    dev_t dev;  /* of this folder, so that ".." can be checked on the way up */
    ino_t ino;
};
struct tree {
    const char *path; /* as the caller named it, for messages */
    int fd;           /* the folder we are in */
    struct {
        VEC_OF(struct tree_level);
    } levels;
};

static int tree_enter(struct tree *tree, int at_fd, const char *name, struct err *err)
{
    struct statx sx;
    int fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return err_os(err, errno, "remove %s: open %s", tree->path, name);
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || statx(fd, "", AT_EMPTY_PATH, STATX_INO, &sx) != 0) {
        int rc = err_os(err, errno, "remove %s: stat %s", tree->path, name);
        close(fd);
        return rc;
    }
    if ((sx.stx_attributes_mask & sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
        close(fd);
        return err_set(err, ERR_IO, "remove %s: %s is a mount point", tree->path, name);
    }
    *vec_push(&tree->levels) = (struct tree_level){mem_dupz(name), st.st_dev, st.st_ino};
    if (tree->fd >= 0) {
        close(tree->fd);
    }
    tree->fd = fd;
    return 0;
}

/* Removes what can be removed without descending; *ret_folder (heap) names a folder that cannot,
 * or is NULL when the level is empty. */
static int tree_empty_level(struct tree *tree, char **ret_folder, struct err *err)
{
    int fd = openat(tree->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int rc = err_os(err, errno, "remove %s", tree->path);
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    int rc = 0;
    *ret_folder = NULL;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || unlinkat(tree->fd, name, 0) == 0 ||
            errno == ENOENT) {
            continue;
        }
        if (errno != EISDIR && errno != EPERM) {
            rc = err_os(err, errno, "remove %s: unlink %s", tree->path, name);
        } else if (unlinkat(tree->fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
            if (errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY) {
                rc = err_os(err, errno, "remove %s: rmdir %s", tree->path, name);
            } else if (*ret_folder == NULL) {
                *ret_folder = mem_dupz(name);
            }
        }
    }
    closedir(dir);
    return rc;
}

static int tree_leave(struct tree *tree, struct err *err)
{
    struct tree_level left = tree->levels.items[--tree->levels.count];
    char *name MEM_CLEANUP = left.name;
    if (tree->levels.count == 0) {
        return 0;
    }
    const struct tree_level *up = &tree->levels.items[tree->levels.count - 1];
    int fd = openat(tree->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_dev != up->dev || st.st_ino != up->ino) {
        if (fd >= 0) {
            close(fd);
        }
        return err_set(err, ERR_IO, "remove %s: moved while it was removed", tree->path);
    }
    close(tree->fd);
    tree->fd = fd;
    if (unlinkat(fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return err_os(err, errno, "remove %s: rmdir %s", tree->path, name);
    }
    return 0;
}

static int tree_remove(struct tree *tree, struct err *err)
{
    int rc = tree_enter(tree, AT_FDCWD, tree->path, err);
    while (rc == 0 && tree->levels.count > 0) {
        char *folder MEM_CLEANUP = NULL;
        rc = tree_empty_level(tree, &folder, err);
        if (rc == 0) {
            rc = folder != NULL ? tree_enter(tree, tree->fd, folder, err) : tree_leave(tree, err);
        }
    }
    return rc;
}

int file_remove_tree(const char *path, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? 0 : err_os(err, errno, "remove %s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return unlink(path) != 0 && errno != ENOENT ? err_os(err, errno, "remove %s", path) : 0;
    }
    struct tree tree = {.path = path, .fd = -1};
    int rc = tree_remove(&tree, err);
    VEC_EACH (level, &tree.levels) {
        free(level->name);
    }
    vec_done(&tree.levels);
    if (tree.fd >= 0) {
        close(tree.fd);
    }
    if (rc == 0 && rmdir(path) != 0 && errno != ENOENT) {
        return err_os(err, errno, "remove %s", path);
    }
    return rc;
}
