/* namespace.c: network namespaces with plain system calls.
 *
 * A thread enters a namespace only inside one function and leaves it before returning: sockets made
 * meanwhile stay in that namespace, everything else of the process is untouched. Losing the way
 * back would run the agent in a pod's network, so that aborts.
 */
#include "network/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/mem.h"

static const char own_path[] = "/proc/thread-self/ns/net";

int namespace_open(const char *path, int *ret_fd, struct err *err)
{
    char *full MEM_CLEANUP = path == NULL                ? mem_dupz(own_path)
                             : strchr(path, '/') != NULL ? mem_dupz(path)
                                                         : mem_printf("/run/netns/%s", path);
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_os(err, errno, "open network namespace %s", full);
    }
    struct statfs info;
    if (fstatfs(fd, &info) != 0 || (unsigned long)info.f_type != NSFS_MAGIC) {
        close(fd);
        return err_set(err, ERR_INVALID, "%s is no network namespace", full);
    }
    *ret_fd = fd;
    return 0;
}

int namespace_enter(int fd, int *ret_back, struct err *err)
{
    int back;
    int rc = namespace_open(NULL, &back, err);
    if (rc != 0) {
        return rc;
    }
    if (setns(fd, CLONE_NEWNET) != 0) {
        rc = err_os(err, errno, "enter network namespace");
        close(back);
        return rc;
    }
    *ret_back = back;
    return 0;
}

void namespace_leave(int back)
{
    if (setns(back, CLONE_NEWNET) != 0) {
        abort();
    }
    close(back);
}

int namespace_new(int *ret_fd, struct err *err)
{
    int back, fd = -1;
    int rc = namespace_open(NULL, &back, err);
    if (rc != 0) {
        return rc;
    }
    if (unshare(CLONE_NEWNET) != 0) {
        rc = err_os(err, errno, "make a network namespace");
        close(back);
        return rc;
    }
    rc = namespace_open(NULL, &fd, err);
    namespace_leave(back);
    if (rc == 0) {
        *ret_fd = fd;
    }
    return rc;
}

int namespace_bind(int fd, const char *path, struct err *err)
{
    char source[48];
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (file < 0) {
        return err_os(err, errno, "create %s", path);
    }
    close(file);
    if (mount(source, path, NULL, MS_BIND, NULL) != 0) {
        int rc = err_os(err, errno, "mount network namespace at %s", path);
        unlink(path);
        return rc;
    }
    return 0;
}

int namespace_unbind(const char *path, struct err *err)
{
    if (umount2(path, MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
        return err_os(err, errno, "unmount %s", path);
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        return err_os(err, errno, "remove %s", path);
    }
    return 0;
}

bool namespace_is_bound(const char *path)
{
    struct statfs info;
    return statfs(path, &info) == 0 && (unsigned long)info.f_type == NSFS_MAGIC;
}

int namespace_sysctl(const char *key, const char *value, struct err *err)
{
    char path[160];
    snprintf(path, sizeof path, "/proc/sys/net/%s", key);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_os(err, errno, "open %s", path);
    }
    ssize_t n = write(fd, value, strlen(value));
    int os_errno = errno;
    close(fd);
    return n > 0 ? 0 : err_os(err, os_errno, "write \"%s\" to %s", value, path);
}
