/* spawn.c: clone(CLONE_VM | CLONE_VFORK), a few steps in the child, exec.
 *
 * Between clone and exec the child shares our memory: it only makes system calls on data that the
 * parent prepared, and reports the step that failed through the shared `struct child`. Every
 * descriptor but the named ones is close-on-exec (close_range), the signal mask is empty, ignored
 * signals are default again.
 */
#include "node/runtime/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x00000004
#endif

struct child {
    const struct spawn_options *options;
    const char *const *env;
    int null_fd;
    int failed_errno;
    const char *failed_step;
};

enum { STACK_SIZE = 64 * 1024, FD_SHIFT = 200 };

static bool step(struct child *child, const char *name, long result)
{
    if (result < 0) {
        child->failed_errno = errno;
        child->failed_step = name;
        return false;
    }
    return true;
}

bool spawn_hide(const char *hide, const char *seal)
{
    /* Covered, not unmounted: an unmount waits for all CPUs. Writable: crun makes a folder there.
     */
    if (hide != NULL && mount("none", hide, "tmpfs", 0, "size=64k") != 0) {
        return false;
    }
    /* crun that runs from a read-only mount needs no copy of itself (CVE-2019-5736). */
    return seal == NULL || (mount(seal, seal, NULL, MS_BIND, NULL) == 0 &&
                            mount("", seal, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL) == 0);
}

static bool enter_mounts(struct child *child)
{
    const struct spawn_options *o = child->options;
    if (!step(child, "unshare the mount namespace", unshare(CLONE_NEWNS)) ||
        !step(child, "make / a slave", mount("none", "/", NULL, MS_SLAVE | MS_REC, NULL))) {
        return false;
    }
    if (!step(child, "hide cgroups and seal the runtime", spawn_hide(o->hide, o->seal) ? 0 : -1)) {
        return false;
    }
    if (o->overlay != NULL &&
        !step(child, "mount the root file system",
              mount("overlay", o->overlay_target, "overlay", 0, o->overlay))) {
        return false;
    }
    for (size_t i = 0; i < o->mount_count; i++) {
        if (!step(child, "attach a volume",
                  syscall(SYS_move_mount, o->mounts[i].tree_fd, "", AT_FDCWD, o->mounts[i].target,
                          MOVE_MOUNT_F_EMPTY_PATH))) {
            return false;
        }
    }
    return true;
}

static bool place_fds(struct child *child)
{
    const struct spawn_options *o = child->options;
    int stdio[3] = {o->stdin_fd, o->stdout_fd, o->stderr_fd};
    int held[SPAWN_FDS_MAX + 3];
    /* First move all out of the way of the targets, then into place. */
    for (size_t i = 0; i < 3 + o->fd_count; i++) {
        int from = i < 3 ? (stdio[i] >= 0 ? stdio[i] : child->null_fd) : o->fds[i - 3].ours;
        held[i] = fcntl(from, F_DUPFD_CLOEXEC, FD_SHIFT);
        if (!step(child, "pass a descriptor", held[i])) {
            return false;
        }
    }
    syscall(SYS_close_range, 3U, (unsigned)FD_SHIFT - 1, CLOSE_RANGE_UNSHARE);
    for (size_t i = 0; i < 3 + o->fd_count; i++) {
        if (!step(child, "pass a descriptor",
                  dup2(held[i], i < 3 ? (int)i : o->fds[i - 3].theirs))) {
            return false;
        }
    }
    syscall(SYS_close_range, (unsigned)FD_SHIFT, ~0U, 0);
    return true;
}

static int child_main(void *arg)
{
    struct child *child = arg;
    const struct spawn_options *o = child->options;
    for (int i = 1; i < NSIG; i++) {
        struct sigaction action;
        if (sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL) {
            action = (struct sigaction){.sa_handler = SIG_DFL};
            sigaction(i, &action, NULL);
        }
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (o->new_session) {
        setsid();
    }
    if (!step(child, "change folder", chdir(o->cwd != NULL ? o->cwd : "/")) ||
        (o->mount_namespace && !enter_mounts(child)) || !place_fds(child)) {
        _exit(126);
    }
    execve(o->argv[0], (char *const *)o->argv, (char *const *)child->env);
    step(child, "execute", -1);
    _exit(126);
}

int spawn_start(const struct spawn_options *options, pid_t *ret_pid, struct err *err)
{
    static const char *const default_env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    struct child child = {.options = options,
                          .env = options->env != NULL ? options->env : default_env};
    child.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (child.null_fd < 0) {
        return err_os(err, errno, "open /dev/null");
    }
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        close(child.null_fd);
        return err_os(err, errno, "mmap");
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = clone(child_main, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
    int clone_errno = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK_SIZE);
    close(child.null_fd);
    if (pid < 0) {
        return err_os(err, clone_errno, "clone");
    }
    if (child.failed_step != NULL) {
        waitpid(pid, NULL, 0);
        return err_os(err, child.failed_errno, "%s (%s)", child.failed_step, options->argv[0]);
    }
    *ret_pid = pid;
    return 0;
}

int spawn_wait(pid_t pid, int timeout_ms)
{
    int status = 0;
    if (timeout_ms >= 0) {
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd >= 0) {
            struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
            int ready;
            do {
                ready = poll(&poll_fd, 1, timeout_ms);
            } while (ready < 0 && errno == EINTR);
            if (ready == 0) {
                syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
            }
            close(fd);
        }
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void drain(int fd, struct buf *output)
{
    char bytes[4096];
    ssize_t n;
    while (output->n < 64 * 1024 && (n = read(fd, bytes, sizeof bytes)) > 0) {
        buf_add(output, bytes, (size_t)n);
    }
}

int spawn_run(const struct spawn_options *options, int timeout_ms, int *ret_status,
              struct buf *output, struct err *err)
{
    /* A file, not a pipe: what the child leaves running may keep the descriptor. */
    int file = (int)syscall(SYS_memfd_create, "output", MFD_CLOEXEC);
    if (file < 0) {
        return err_os(err, errno, "memfd_create");
    }
    struct spawn_options with_output = *options;
    with_output.stdout_fd = with_output.stdout_fd >= 0 ? with_output.stdout_fd : file;
    with_output.stderr_fd = with_output.stderr_fd >= 0 ? with_output.stderr_fd : file;
    pid_t pid;
    int rc = spawn_start(&with_output, &pid, err);
    if (rc == 0) {
        *ret_status = spawn_wait(pid, timeout_ms);
        if (output != NULL && lseek(file, 0, SEEK_SET) == 0) {
            drain(file, output);
        }
    }
    close(file);
    return rc;
}
