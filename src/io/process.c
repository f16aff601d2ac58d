/* process.c: children and other processes on a loop: started by process_spawn.c, waited for by
 * pidfd.
 *
 * Invariants: on_exit is called at most once and never after process_free(); a child that is
 * forgotten while it runs is still reaped by its loop. A pidfd names one process for ever, so a
 * signal never hits a reused pid.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include "base/mem.h"
#include "io/loop_int.h"
#include "io/process_int.h"

/* A descriptor polled for readability until closed; embeds what libuv needs until its close. */
struct pid_poll {
    uv_poll_t poll;
    int fd;
    struct loop_closer closer;
    void (*on_ready)(struct pid_poll *poll);
    void (*on_closed)(struct pid_poll *poll);
};

static void poll_ready(uv_poll_t *handle, int status, int events)
{
    struct pid_poll *poll = container_of(handle, struct pid_poll, poll);
    poll->on_ready(poll);
}

static void poll_closed(uv_handle_t *handle)
{
    struct pid_poll *poll = container_of((uv_poll_t *)(void *)handle, struct pid_poll, poll);
    close(poll->fd);
    poll->on_closed(poll);
}

static void poll_close(struct pid_poll *poll)
{
    list_remove(&poll->closer.link);
    uv_close((uv_handle_t *)&poll->poll, poll_closed);
}

static void poll_loop_gone(struct loop_closer *closer)
{
    poll_close(container_of(closer, struct pid_poll, closer));
}

static int poll_open(struct pid_poll *poll, struct loop *loop, int fd, struct err *err)
{
    uv_loop_t *uv = loop_uv(loop);
    if (uv == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "processes need a real loop");
    }
    int rc = uv_poll_init(uv, &poll->poll, fd);
    if (rc != 0) {
        return err_os(err, -rc, "poll pidfd");
    }
    poll->fd = fd;
    poll->closer.close = poll_loop_gone;
    list_append(&loop->closers, &poll->closer.link);
    uv_poll_start(&poll->poll, UV_READABLE, poll_ready);
    return 0;
}

/* ---- children ---- */

struct process {
    struct pid_poll poll;
    int pid;
    bool exited, closed, forgotten;
    process_exit_fn *on_exit;
    void *ctx;
};

static void process_ready(struct pid_poll *poll)
{
    struct process *process = container_of(poll, struct process, poll);
    int status = child_reap(poll->fd);
    if (status < 0) {
        return;
    }
    process->exited = true;
    poll_close(poll);
    if (!process->forgotten) {
        process->on_exit(process->ctx, process, status);
    }
}

static void process_closed(struct pid_poll *poll)
{
    struct process *process = container_of(poll, struct process, poll);
    process->closed = true;
    if (process->forgotten) {
        free(process);
    }
}

static int real_start(struct loop *loop, const struct process_options *options,
                      process_exit_fn *on_exit, void *ctx, struct process **ret_process,
                      struct err *err)
{
    if (loop_uv(loop) == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "processes need a real loop");
    }
    int pid, pidfd;
    int rc = child_spawn(options, &pid, &pidfd, err);
    if (rc != 0) {
        return rc;
    }
    struct process *process = mem_new(struct process);
    process->pid = pid;
    process->on_exit = on_exit;
    process->ctx = ctx;
    process->poll.on_ready = process_ready;
    process->poll.on_closed = process_closed;
    rc = poll_open(&process->poll, loop, pidfd, err);
    if (rc != 0) {
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        close(pidfd);
        free(process);
        return rc;
    }
    *ret_process = process;
    return 0;
}

static int real_pid(const struct process *process)
{
    return process->pid;
}

static int real_kill(struct process *process, int signal, struct err *err)
{
    if (process->exited) {
        return err_set(err, ERR_NOT_FOUND, "process %d has ended", process->pid);
    }
    if (syscall(SYS_pidfd_send_signal, process->poll.fd, signal, NULL, 0) != 0) {
        return err_os(err, errno, "signal %d to process %d", signal, process->pid);
    }
    return 0;
}

static void real_free(struct process *process)
{
    process->forgotten = true;
    if (process->closed) {
        free(process);
    }
}

static const struct process_ops real_ops = {
    .start = real_start,
    .pid = real_pid,
    .kill = real_kill,
    .free = real_free,
    .run = process_run_real,
};
static const struct process_ops *ops = &real_ops;

const struct process_ops *process_ops(void)
{
    return ops;
}

void process_set_ops(const struct process_ops *new_ops)
{
    ops = new_ops != NULL ? new_ops : &real_ops;
}

int process_start(struct loop *loop, const struct process_options *options,
                  process_exit_fn *on_exit, void *ctx, struct process **ret_process,
                  struct err *err)
{
    return ops->start(loop, options, on_exit, ctx, ret_process, err);
}

int process_pid(const struct process *process)
{
    return ops->pid(process);
}

int process_kill(struct process *process, int signal, struct err *err)
{
    return ops->kill(process, signal, err);
}

void process_free(struct process *process)
{
    if (process != NULL) {
        ops->free(process);
    }
}

int process_run(const struct process_options *options, struct str input, int64_t timeout_ns,
                struct process_result *ret_result, struct err *err)
{
    return ops->run(options, input, timeout_ns, ret_result, err);
}

/* ---- processes that are not ours ---- */

struct pid_watch {
    struct pid_poll poll;
    bool closing, closed, freed;
    void (*on_exit)(void *ctx, struct pid_watch *watch);
    void *ctx;
};

static void watch_ready(struct pid_poll *poll)
{
    struct pid_watch *watch = container_of(poll, struct pid_watch, poll);
    watch->closing = true;
    poll_close(poll);
    watch->on_exit(watch->ctx, watch);
}

static void watch_closed(struct pid_poll *poll)
{
    struct pid_watch *watch = container_of(poll, struct pid_watch, poll);
    watch->closed = true;
    if (watch->freed) {
        free(watch);
    }
}

int pid_watch_new(struct loop *loop, int pid, void (*on_exit)(void *ctx, struct pid_watch *watch),
                  void *ctx, struct pid_watch **ret_watch, struct err *err)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno == ESRCH) {
        return err_set(err, ERR_NOT_FOUND, "process %d does not exist", pid);
    }
    if (fd < 0) {
        return err_os(err, errno, "pidfd of process %d", pid);
    }
    struct pid_watch *watch = mem_new(struct pid_watch);
    watch->on_exit = on_exit;
    watch->ctx = ctx;
    watch->poll.on_ready = watch_ready;
    watch->poll.on_closed = watch_closed;
    int rc = poll_open(&watch->poll, loop, fd, err);
    if (rc != 0) {
        close(fd);
        free(watch);
        return rc;
    }
    *ret_watch = watch;
    return 0;
}

void pid_watch_free(struct pid_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    watch->freed = true;
    if (watch->closed) {
        free(watch);
    } else if (!watch->closing) {
        watch->closing = true;
        poll_close(&watch->poll);
    }
}
