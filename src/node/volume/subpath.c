/* subpath.c: subPath of a volume mount, safely: the path is resolved by the kernel inside the
 * volume (RESOLVE_IN_ROOT), and what was resolved is mounted by descriptor, never by path again. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <stdlib.h>

#include "base/mem.h"
#include "node/volume/volume.h"

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static int open_inside(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* Makes the missing folders of `path`, each below an already resolved parent. */
static int make_inside(int root, struct str path, mode_t mode, int *ret_fd, struct err *err)
{
    int at = open_inside(root, ".");
    struct buf sofar BUF_CLEANUP = BUF_INIT;
    while (path.p != NULL && at >= 0) {
        struct str part = str_cut(path, '/', &path);
        if (part.n == 0 || str_is(part, ".")) {
            continue;
        }
        if (sofar.n > 0) {
            buf_char(&sofar, '/');
        }
        buf_str(&sofar, part);
        int next = open_inside(root, sofar.p);
        if (next < 0 && errno == ENOENT) {
            char *name MEM_CLEANUP = mem_dup(part.p, part.n);
            if (mkdirat(at, name, mode) == 0 || errno == EEXIST) {
                next = open_inside(root, sofar.p);
            }
        }
        int os_errno = errno;
        close(at);
        at = next;
        errno = os_errno;
    }
    if (at < 0) {
        return err_os(err, errno, "failed to create subPath directory");
    }
    *ret_fd = at;
    return 0;
}

int volume_open_subpath(const char *volume_path, struct str sub_path, int *ret_tree_fd,
                        bool *ret_is_dir, struct err *err)
{
    struct str rest = sub_path;
    while (rest.p != NULL) {
        if (str_is(str_cut(rest, '/', &rest), "..")) {
            return err_set(err, ERR_INVALID, "subPath must not contain '..'");
        }
    }
    if (sub_path.n > 0 && sub_path.p[0] == '/') {
        return err_set(err, ERR_INVALID, "subPath must be relative");
    }
    int root = open(volume_path, O_PATH | O_CLOEXEC);
    if (root < 0) {
        return err_os(err, errno, "open %s", volume_path);
    }
    struct stat info;
    int fd = -1;
    mode_t mode = fstat(root, &info) == 0 ? info.st_mode & 0777 : 0755;
    int rc = make_inside(root, sub_path, mode, &fd, err);
    close(root);
    if (rc != 0) {
        return rc;
    }
    int tree = (int)syscall(SYS_open_tree, fd, "",
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (tree < 0 || fstat(fd, &info) != 0) {
        rc = err_os(err, errno, "mount the subPath");
    } else {
        *ret_tree_fd = tree;
        *ret_is_dir = S_ISDIR(info.st_mode);
    }
    close(fd);
    return rc;
}
