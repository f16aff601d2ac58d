/* exec.c: `crun exec` as a child of the loop. The process document is the container's own with
 * other arguments, handed over in a memory file; the pid file lets us end the program when its time
 * is up (killing crun would leave it running). */
#include "node/probe/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/runtime/cgroup.h"
#include "node/runtime/spawn.h"

enum { CONFIG_MAX = 4 * 1024 * 1024 };

struct exec {
    struct process *process;
    const char *mounts[2]; /* what to hide, what to seal: as for the monitor (spawn.c) */
    void (*on_exit)(void *ctx, int exit_status);
    void *ctx;
    char *pid_file, *id;
};

static int process_document(struct run *run, const struct exec_options *options, int *ret_fd,
                            struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf config BUF_CLEANUP = BUF_INIT, text BUF_CLEANUP = BUF_INIT;
    char *path MEM_CLEANUP = mem_printf("%s/config.json", run->dir);
    int rc = file_read(path, CONFIG_MAX, &config, err);
    if (rc != 0 || (rc = spec_write_exec(&arena, buf_view(&config), options->argv,
                                         options->argv_count, options->tty, &text, err)) != 0) {
        return rc;
    }
    int fd = memfd_create("process.json", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n || lseek(fd, 0, SEEK_SET) != 0) {
        rc = err_os(err, errno, "write process.json");
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static bool enter_mounts(void *arg)
{
    const char **mounts = arg;
    return spawn_hide(mounts[0], mounts[1]);
}

static void on_process_exit(void *ctx, struct process *process, int exit_status)
{
    struct exec *exec = ctx;
    process_free(exec->process);
    exec->process = NULL;
    exec->on_exit(exec->ctx, exit_status);
}

int exec_start(struct run *run, const struct exec_options *options,
               void (*on_exit)(void *ctx, int exit_status), void *ctx, struct exec **ret_exec,
               struct err *err)
{
    struct agent *agent = run->entry->agent;
    int document = -1;
    if (run->dir == NULL) {
        return err_set(err, ERR_NOT_FOUND, "the container is not running");
    }
    int rc = process_document(run, options, &document, err);
    if (rc != 0) {
        return rc;
    }
    struct exec *exec = mem_new(struct exec);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    unsigned char random[8];
    char hex[17];
    random_fill(loop_random(agent->loop), random, sizeof random);
    hex_encode(random, sizeof random, hex);
    exec->pid_file = mem_printf("%s/exec-%s.pid", run->dir, hex);
    exec->id = mem_dupz(run->id);
    exec->mounts[0] = cgroup_hide_path();
    exec->mounts[1] = agent->runtime.program(agent->runtime.ctx, &arena, run->dir);
    exec->on_exit = on_exit;
    exec->ctx = ctx;
    struct process_options child = {.argv = agent->runtime.exec_argv(
                                        agent->runtime.ctx, &arena, run->id, run->dir,
                                        "/proc/self/fd/3", options->console_socket, exec->pid_file),
                                    .stdin_fd = options->stdin_fd,
                                    .stdout_fd = options->stdout_fd,
                                    .stderr_fd = options->stderr_fd,
                                    .new_session = true,
                                    .new_mount_namespace = true,
                                    .before_exec = enter_mounts,
                                    .before_exec_arg = exec->mounts};
    child.fds[0].ours = document;
    child.fds[0].theirs = 3;
    child.fd_count = 1;
    rc = process_start(agent->loop, &child, on_process_exit, exec, &exec->process, err);
    close(document);
    if (rc != 0) {
        exec_free(exec);
        return rc;
    }
    *ret_exec = exec;
    return 0;
}

void exec_kill(struct exec *exec)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t pid;
    if (file_read(exec->pid_file, 64, &text, NULL) == 0 &&
        str_i64(str_trim(buf_view(&text)), &pid) && pid > 1 && cgroup_holds((pid_t)pid, exec->id)) {
        kill((pid_t)pid, SIGKILL);
    }
    if (exec->process != NULL) {
        process_kill(exec->process, SIGKILL, NULL);
    }
}

void exec_free(struct exec *exec)
{
    if (exec == NULL) {
        return;
    }
    if (exec->process != NULL) {
        exec_kill(exec);
        process_free(exec->process);
    }
    if (exec->pid_file != NULL) {
        unlink(exec->pid_file);
    }
    free(exec->pid_file);
    free(exec->id);
    free(exec);
}
