/* crun.c: containers through conmon (stdio, log file, exit status) and crun (OCI set-up).
 *
 * The monitor is started in a mount namespace of its own, in which the root file system's overlay
 * is mounted and the unified cgroup tree of a hybrid host is hidden (crun refuses such hosts
 * otherwise): the mounts end with the monitor, whatever happens to us. conmon answers the created
 * container's pid, or crun's error, on its sync pipe. Starting is one byte into crun's exec.fifo;
 * only if that fails is `crun start` run. The end of the container is the end of the monitor (a
 * pidfd), which has then written DIR/exit.
 *
 * Left to others: config.json (spec.c), cgroup parents (cgroup.c), watching (executor).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "api/val.h"
#include "base/failpoint.h"
#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/runtime/cgroup.h"
#include "node/runtime/runtime.h"
#include "node/runtime/spawn.h"

struct crun {
    char *crun_path, *conmon_path, *state_dir, *hide, *root_arg;
};

#define PROGRAM_FILE "runtime" /* of a container whose program is not crun */
enum { CREATE_TIMEOUT_MS = 120 * 1000, FIFO_TRIES = 2000 };

struct crun *crun_new(const struct crun_options *options)
{
    struct crun *crun = mem_new(struct crun);
    crun->crun_path = mem_dupz(options->crun_path);
    crun->conmon_path = mem_dupz(options->conmon_path);
    crun->state_dir = mem_dupz(options->state_dir);
    crun->hide = mem_dupz(options->hide);
    crun->root_arg = mem_printf("--root=%s", options->state_dir);
    return crun;
}

void crun_free(struct crun *crun)
{
    if (crun != NULL) {
        free(crun->crun_path);
        free(crun->conmon_path);
        free(crun->state_dir);
        free(crun->hide);
        free(crun->root_arg);
        free(crun);
    }
}

/* A whole number in a small file, or -1. */
static int64_t read_number(const char *dir, const char *name)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", dir, name);
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t value;
    if (file_read(path, 64, &text, NULL) != 0 || !str_i64(str_trim(buf_view(&text)), &value)) {
        return -1;
    }
    return value;
}

/* The program of this container: what its folder names, else crun. */
static const char *program_of(const struct crun *crun, struct arena *arena, const char *dir)
{
    char *path MEM_CLEANUP = mem_printf("%s/" PROGRAM_FILE, dir);
    struct buf text BUF_CLEANUP = BUF_INIT;
    bool other = file_read(path, 4096, &text, NULL) == 0 && text.n > 0;
    return other ? str_dup_in(arena, buf_view(&text)) : crun->crun_path;
}

static bool exists_in(const char *dir, const char *name)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", dir, name);
    return file_exists(path);
}

/* What conmon says on the sync pipe: {"data": PID} or {"data": -1, "message": "..."}. */
static int read_answer(int fd, int *ret_pid, struct err *err)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    for (;;) {
        int ready = poll(&poll_fd, 1, CREATE_TIMEOUT_MS);
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return err_set(err, ERR_TIMEOUT, "the monitor did not answer");
        }
        ssize_t n = read(fd, buf_room(&text, 4096), 4096);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0 || text.n + (size_t)n > 64 * 1024) {
            break;
        }
        text.n += (size_t)n;
        text.p[text.n] = '\0';
        if (memchr(text.p, '\n', text.n) != NULL) {
            break;
        }
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *answer = NULL;
    if (val_parse_json(&arena, str_trim(buf_view(&text)), &answer, NULL) != 0) {
        return err_set(err, ERR_INTERNAL, "the monitor ended without an answer");
    }
    int64_t pid = val_int(val_get(answer, "data"), -1);
    if (pid <= 0) {
        struct str message = str_trim(val_text(val_get(answer, "message")));
        return err_set(err, ERR_INTERNAL, "%.*s",
                       STR_ARG(message.n > 0 ? message : STR("the runtime failed")));
    }
    *ret_pid = (int)pid;
    return 0;
}

static char *overlay_options(const struct runtime_create *create)
{
    return mem_printf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work,userxattr", create->lower,
                      create->dir, create->dir);
}

static int make_folders(const char *dir, struct err *err)
{
    static const char *const names[] = {"upper", "work", "rootfs", "exits"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path MEM_CLEANUP = mem_printf("%s/%s", dir, names[i]);
        if (mkdir(path, 0755) != 0 && errno != EEXIST) {
            return err_os(err, errno, "mkdir %s", path);
        }
    }
    return 0;
}

/* The exec.fifo handshake of `crun start`, without the process. False: let crun do it. */
static bool open_fifo(struct crun *crun, const char *id)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s/exec.fifo", crun->state_dir, id);
    for (int i = 0; i < FIFO_TRIES; i++) {
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0) {
            bool ok = write(fd, "", 1) == 1;
            close(fd);
            if (ok) {
                unlink(path);
            }
            return ok;
        }
        if (errno != ENXIO) { /* ENXIO: the container's init has not opened its end yet */
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 200 * 1000}, NULL);
    }
    return false;
}

static int start_created(struct crun *crun, const char *id, const char *program, struct err *err)
{
    if (open_fifo(crun, id)) {
        return 0;
    }
    const char *argv[] = {program, crun->root_arg, "start", id, NULL};
    struct spawn_options options = {.argv = argv,
                                    .stdin_fd = -1,
                                    .stdout_fd = -1,
                                    .stderr_fd = -1,
                                    .mount_namespace = true,
                                    .hide = crun->hide,
                                    .seal = program};
    struct buf output BUF_CLEANUP = BUF_INIT;
    int status;
    int rc = spawn_run(&options, 30000, &status, &output, err);
    if (rc == 0 && status != 0) {
        rc = err_set(err, ERR_INTERNAL, "%.*s", STR_ARG(str_trim(buf_view(&output))));
    }
    return rc;
}

static int start_monitor(struct crun *crun, const struct runtime_create *create, int sync_fd,
                         struct err *err)
{
    char *pid_path MEM_CLEANUP = mem_printf("%s/pid", create->dir);
    char *conmon_path MEM_CLEANUP = mem_printf("%s/conmon.pid", create->dir);
    char *exits MEM_CLEANUP = mem_printf("%s/exits", create->dir);
    char *log MEM_CLEANUP = mem_printf("k8s-file:%s", create->log_path);
    char *root MEM_CLEANUP = mem_printf("--runtime-arg=%s", crun->root_arg);
    char *rootfs MEM_CLEANUP = mem_printf("%s/rootfs", create->dir);
    char *overlay MEM_CLEANUP = create->lower != NULL ? overlay_options(create) : NULL;
    const char *program = create->program != NULL ? create->program : crun->crun_path;
    const char *argv[32] = {crun->conmon_path,
                            "--api-version",
                            "1",
                            "-c",
                            create->id,
                            "-u",
                            create->id,
                            "-r",
                            program,
                            "-b",
                            create->dir,
                            "-p",
                            pid_path,
                            "-P",
                            conmon_path,
                            "-l",
                            log,
                            "--exit-dir",
                            exits,
                            "--persist-dir",
                            create->dir,
                            "--full-attach",
                            root,
                            "--log-level",
                            "error",
                            "--no-sync-log"};
    size_t n = 26;
    if (create->tty) {
        argv[n++] = "-t";
    }
    if (create->stdin_open) {
        argv[n++] = "-i";
        if (!create->stdin_once) {
            argv[n++] = "--leave-stdin-open";
        }
    }
    const char *env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                         "_OCI_SYNCPIPE=3", NULL};
    struct spawn_options options = {.argv = argv,
                                    .env = env,
                                    .cwd = create->layers_dir,
                                    .stdin_fd = -1,
                                    .stdout_fd = -1,
                                    .stderr_fd = -1,
                                    .mount_namespace = true,
                                    .hide = crun->hide,
                                    .seal = program,
                                    .overlay = overlay,
                                    .overlay_target = rootfs,
                                    .new_session = true};
    options.fds[0].ours = sync_fd;
    options.fds[0].theirs = 3;
    options.fd_count = 1;
    for (size_t i = 0; i < create->bind_count; i++) {
        options.mounts[i].tree_fd = create->binds[i].tree_fd;
        options.mounts[i].target = create->binds[i].target;
    }
    options.mount_count = create->bind_count;
    pid_t pid;
    int rc = spawn_start(&options, &pid, err);
    if (rc == 0) {
        spawn_wait(pid, CREATE_TIMEOUT_MS); /* the first fork; the monitor goes on */
    }
    return rc;
}

static int keep_program(const struct runtime_create *create, struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/" PROGRAM_FILE, create->dir);
    return file_write_quick(path, str_of(create->program), 0600, err);
}

static int crun_start(void *ctx, const struct runtime_create *create,
                      struct runtime_status *ret_status, struct err *err)
{
    struct crun *crun = ctx;
    int rc = make_folders(create->dir, err);
    rc = rc != 0 || create->program == NULL ? rc : keep_program(create, err);
    if (rc != 0) {
        return rc;
    }
    FAILPOINT("node.runtime.before-create");
    int sync[2];
    if (pipe2(sync, O_CLOEXEC) != 0) {
        return err_os(err, errno, "pipe");
    }
    rc = start_monitor(crun, create, sync[1], err);
    close(sync[1]);
    int pid = 0;
    if (rc == 0) {
        rc = read_answer(sync[0], &pid, err);
    }
    close(sync[0]);
    FAILPOINT("node.runtime.after-create");
    if (rc == 0) {
        const char *program = create->program != NULL ? create->program : crun->crun_path;
        rc = start_created(crun, create->id, program, err);
    }
    if (rc != 0) {
        return rc;
    }
    *ret_status = (struct runtime_status){.pid = pid};
    int64_t monitor = read_number(create->dir, "conmon.pid");
    ret_status->monitor_pid = monitor > 0 ? (pid_t)monitor : 0;
    return 0;
}

static int crun_status(void *ctx, const char *dir, struct runtime_status *ret_status,
                       struct err *err)
{
    struct runtime_status status = {0};
    char *exit_path MEM_CLEANUP = mem_printf("%s/exit", dir);
    struct stat info;
    int64_t code = read_number(dir, "exit");
    if (code >= 0 && stat(exit_path, &info) == 0) {
        status.exited = true;
        status.exit_code = (int)code;
        status.finished_ns = info.st_mtim.tv_sec * NS_PER_S + info.st_mtim.tv_nsec;
        status.oom = exists_in(dir, "oom");
    }
    int64_t pid = read_number(dir, "pid");
    int64_t monitor = read_number(dir, "conmon.pid");
    status.pid = pid > 0 ? (pid_t)pid : 0;
    status.monitor_pid = monitor > 0 ? (pid_t)monitor : 0;
    *ret_status = status;
    return 0;
}

/* By pidfd, after a look that the process is still the container's (its monitor's child, or in the
 * container's cgroup): pids are reused. */
static int crun_signal(void *ctx, const char *id, const char *dir, int signal, struct err *err)
{
    int64_t pid = read_number(dir, "pid");
    if (pid <= 1) {
        return err_set(err, ERR_NOT_FOUND, "container %s has no process", id);
    }
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    if (fd < 0) {
        return err_os(err, errno, "container %s: pidfd_open", id);
    }
    int rc = 0;
    if (!cgroup_holds((pid_t)pid, id)) {
        rc = err_set(err, ERR_NOT_FOUND, "container %s has ended", id);
    } else if (syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) != 0) {
        rc = err_os(err, errno, "container %s: signal %d", id, signal);
    }
    close(fd);
    return rc;
}

/* A monitor that is still there (its runtime hangs, or its container was just killed) would write
 * into the folder that is being removed. Known by its command line: pids are reused. */
static void kill_monitor(const char *id, const char *dir)
{
    int64_t pid = read_number(dir, "conmon.pid");
    int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, (pid_t)pid, 0) : -1;
    char *path MEM_CLEANUP = mem_printf("/proc/%lld/cmdline", (long long)pid);
    struct buf words BUF_CLEANUP = BUF_INIT;
    if (fd >= 0 && file_read(path, 64 * 1024, &words, NULL) == 0 &&
        str_contains(buf_view(&words), str_of(id))) {
        struct pollfd ended = {.fd = fd, .events = POLLIN};
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
        poll(&ended, 1, 1000);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int crun_remove(void *ctx, const char *id, const char *dir, const char *cgroup,
                       struct err *err)
{
    struct crun *crun = ctx;
    if (cgroup[0] != '\0') { /* never the root of the hierarchy */
        cgroup_kill(cgroup, id);
    }
    kill_monitor(id, dir);
    if (cgroup[0] != '\0') {
        cgroup_remove(cgroup);
    }
    char *state MEM_CLEANUP = mem_printf("%s/%s", crun->state_dir, id);
    int rc = file_remove_tree(state, err);
    if (rc != 0 && rc != ERR_NOT_FOUND) {
        return rc;
    }
    rc = file_remove_tree(dir, err);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static const char *const *crun_exec_argv(void *ctx, struct arena *arena, const char *id,
                                         const char *dir, const char *process_json_path,
                                         const char *console_socket, const char *pid_file)
{
    struct crun *crun = ctx;
    const char **argv = arena_array(arena, const char *, 10);
    size_t n = 0;
    argv[n++] = program_of(crun, arena, dir);
    argv[n++] = crun->root_arg;
    argv[n++] = "exec";
    if (console_socket != NULL) {
        argv[n++] = arena_printf(arena, "--console-socket=%s", console_socket);
    }
    argv[n++] = arena_printf(arena, "--pid-file=%s", pid_file);
    argv[n++] = arena_printf(arena, "--process=%s", process_json_path);
    argv[n++] = id;
    return argv;
}

static const char *crun_program(void *ctx, struct arena *arena, const char *dir)
{
    return program_of(ctx, arena, dir);
}

struct runtime_ops crun_ops(struct crun *crun)
{
    return (struct runtime_ops){.start = crun_start,
                                .status = crun_status,
                                .signal = crun_signal,
                                .remove = crun_remove,
                                .exec_argv = crun_exec_argv,
                                .program = crun_program,
                                .ctx = crun};
}
