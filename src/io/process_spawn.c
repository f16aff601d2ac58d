/* process_spawn.c: one way to start a child: clone(CLONE_VM|CLONE_VFORK|CLONE_PIDFD), then exec.
 *
 * The child shares our memory until its exec, so starting costs the same however large we are, and
 * a step that fails tells us through a struct on our stack. In return the child's code touches
 * nothing but that struct and calls only async-signal-safe functions: everything that allocates or
 * searches is prepared before the clone. All signals are blocked around it, so that no handler of
 * ours runs in the child; there they get their default action back.
 *
 * Invariants: the child inherits no descriptor but 0, 1, 2 and the named ones; a failed start
 * leaves no zombie.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/process_int.h"

enum { STACK_SIZE = 65536, FD_HIGH = 256, FD_SLOTS = PROCESS_FDS_MAX + 3 };
enum { EXIT_BEFORE_EXEC = 126, EXIT_EXEC = 127 };

struct spawn {
    const struct process_options *options;
    char *program; /* path to exec */
    char *cgroup_file;
    struct {
        int ours, theirs;
    } fds[FD_SLOTS]; /* sorted by theirs */
    size_t fd_count;
    int null_fd;
    int parent_pid;
    sigset_t old_mask;
    /* filled by the child: */
    const char *volatile failed_step;
    volatile int failed_errno;
};

static bool child_fail(struct spawn *spawn, const char *step)
{
    spawn->failed_errno = errno;
    spawn->failed_step = step;
    return false;
}

static void child_reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) {
        if (number != SIGKILL && number != SIGSTOP) {
            sigaction(number, &action, NULL);
        }
    }
}

static bool child_place_fds(struct spawn *spawn)
{
    for (size_t i = 0; i < spawn->fd_count; i++) { /* out of the way of the places */
        int ours = spawn->fds[i].ours >= 0 ? spawn->fds[i].ours : spawn->null_fd;
        int high = fcntl(ours, F_DUPFD, FD_HIGH);
        if (high < 0) {
            return child_fail(spawn, "descriptors");
        }
        spawn->fds[i].ours = high;
    }
    for (size_t i = 0; i < spawn->fd_count; i++) {
        if (dup2(spawn->fds[i].ours, spawn->fds[i].theirs) < 0) {
            return child_fail(spawn, "descriptors");
        }
    }
    unsigned from = 0;
    for (size_t i = 0; i <= spawn->fd_count; i++) {
        unsigned kept = i < spawn->fd_count ? (unsigned)spawn->fds[i].theirs : ~0U;
        if (from < kept && close_range(from, i < spawn->fd_count ? kept - 1 : kept, 0) != 0) {
            return child_fail(spawn, "close_range");
        }
        from = kept + 1;
    }
    return true;
}

static bool child_enter_netns(struct spawn *spawn)
{
    int fd = open(spawn->options->netns_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        return child_fail(spawn, "network namespace");
    }
    close(fd);
    return true;
}

static bool child_enter_cgroup(struct spawn *spawn)
{
    int fd = open(spawn->cgroup_file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1) {
        return child_fail(spawn, "cgroup");
    }
    close(fd);
    return true;
}

static bool child_enter_mounts(struct spawn *spawn)
{
    const char *unmount = spawn->options->unmount;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return child_fail(spawn, "mount namespace");
    }
    if (unmount != NULL && umount2(unmount, MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
        return child_fail(spawn, "unmount");
    }
    return true;
}

static bool child_prepare(struct spawn *spawn)
{
    const struct process_options *options = spawn->options;
    child_reset_signals();
    if (options->death_signal != 0 &&
        (prctl(PR_SET_PDEATHSIG, options->death_signal) != 0 || getppid() != spawn->parent_pid)) {
        return child_fail(spawn, "death signal");
    }
    if (options->new_session && setsid() < 0) {
        return child_fail(spawn, "setsid");
    }
    if (spawn->cgroup_file != NULL && !child_enter_cgroup(spawn)) {
        return false;
    }
    if (options->netns_path != NULL && !child_enter_netns(spawn)) {
        return false;
    }
    if (options->new_mount_namespace && !child_enter_mounts(spawn)) {
        return false;
    }
    if (chdir(options->cwd != NULL ? options->cwd : "/") != 0) {
        return child_fail(spawn, "chdir");
    }
    return child_place_fds(spawn);
}

static char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static char *const default_env[] = {default_path, NULL};

static int child_main(void *arg)
{
    struct spawn *spawn = arg;
    const struct process_options *options = spawn->options;
    if (!child_prepare(spawn)) {
        _exit(EXIT_EXEC);
    }
    sigset_t none;
    sigemptyset(&none);
    if (options->before_exec != NULL && !options->before_exec(options->before_exec_arg)) {
        _exit(EXIT_BEFORE_EXEC);
    }
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(spawn->program, (char *const *)(void *)options->argv,
           options->env != NULL ? (char *const *)(void *)options->env : default_env);
    child_fail(spawn, "exec");
    _exit(EXIT_EXEC);
}

/* ---- the parent's side ---- */

static char *find_program(const char *name)
{
    const char *path = getenv("PATH");
    struct str rest = str_of(path != NULL && *path != 0
                                 ? path
                                 : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    while (strchr(name, '/') == NULL && rest.p != NULL) {
        struct str folder = str_cut(rest, ':', &rest);
        char *full = mem_printf("%.*s/%s", STR_ARG(folder), name);
        if (folder.n > 0 && access(full, X_OK) == 0) {
            return full;
        }
        free(full);
    }
    return mem_dupz(name);
}

static void add_fd(struct spawn *spawn, int ours, int theirs)
{
    size_t at = spawn->fd_count++;
    while (at > 0 && spawn->fds[at - 1].theirs > theirs) {
        spawn->fds[at] = spawn->fds[at - 1];
        at--;
    }
    spawn->fds[at].ours = ours;
    spawn->fds[at].theirs = theirs;
}

static int spawn_init(struct spawn *spawn, const struct process_options *options, struct err *err)
{
    if (options->argv == NULL || options->argv[0] == NULL || options->fd_count > PROCESS_FDS_MAX) {
        return err_set(err, ERR_INTERNAL, "process: no argv, or too many descriptors");
    }
    add_fd(spawn, options->stdin_fd, 0);
    add_fd(spawn, options->stdout_fd, 1);
    add_fd(spawn, options->stderr_fd, 2);
    for (size_t i = 0; i < options->fd_count; i++) {
        int theirs = options->fds[i].theirs;
        if (theirs < 3 || theirs >= FD_HIGH || options->fds[i].ours < 0) {
            return err_set(err, ERR_INTERNAL, "process: bad descriptor %d", theirs);
        }
        add_fd(spawn, options->fds[i].ours, theirs);
    }
    spawn->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (spawn->null_fd < 0) {
        return err_os(err, errno, "open /dev/null");
    }
    spawn->options = options;
    spawn->parent_pid = getpid();
    spawn->program = find_program(options->argv[0]);
    if (options->cgroup_path != NULL) {
        spawn->cgroup_file = mem_printf("%s/cgroup.procs", options->cgroup_path);
    }
    return 0;
}

#ifdef __SANITIZE_ADDRESS__
void __asan_unpoison_memory_region(void const volatile *at, size_t size);
#else
#define __asan_unpoison_memory_region(at, size) ((void)0)
#endif

static int spawn_clone(struct spawn *spawn, int *ret_pidfd, struct err *err)
{
    char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        return err_os(err, errno, "start %s: stack", spawn->program);
    }
    /* An earlier child left its frames' marks at this address: it never returned from them. */
    __asan_unpoison_memory_region(stack, STACK_SIZE);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &spawn->old_mask);
    int pid = clone(child_main, stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                    spawn, ret_pidfd);
    int clone_errno = errno;
    pthread_sigmask(SIG_SETMASK, &spawn->old_mask, NULL);
    munmap(stack, STACK_SIZE);
    return pid < 0 ? err_os(err, clone_errno, "start %s: clone", spawn->program) : pid;
}

int child_spawn(const struct process_options *options, int *ret_pid, int *ret_pidfd,
                struct err *err)
{
    struct spawn spawn = {.null_fd = -1};
    int pidfd = -1;
    int rc = spawn_init(&spawn, options, err);
    if (rc == 0) {
        rc = spawn_clone(&spawn, &pidfd, err);
    }
    if (rc > 0 && spawn.failed_step != NULL) {
        while (waitpid(rc, NULL, 0) < 0 && errno == EINTR) {
        }
        close(pidfd);
        rc = err_os(err, spawn.failed_errno, "start %s: %s", spawn.program, spawn.failed_step);
    }
    if (rc > 0) {
        *ret_pid = rc;
        *ret_pidfd = pidfd;
        rc = 0;
    }
    free(spawn.program);
    free(spawn.cgroup_file);
    if (spawn.null_fd >= 0) {
        close(spawn.null_fd);
    }
    return rc;
}

int child_reap(int pidfd)
{
    siginfo_t info = {0};
    int rc;
    do {
        rc = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        return 128 + SIGKILL; /* somebody else reaped it: nothing better is known */
    }
    if (info.si_pid == 0) {
        return -1;
    }
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}
