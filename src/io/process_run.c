/* process_run.c: a child run to its end on a blocking thread, with its output.
 *
 * The end is the child's exit, not the end of its pipes: a grandchild that keeps them open (a
 * monitor, a daemon) does not hold us up. What is beyond 1 MiB of output is read and dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/process_int.h"

enum { OUTPUT_MAX = 1 << 20 };

struct run {
    int in, out, err, pidfd; /* -1: closed */
    struct str input;
    struct buf out_bytes, err_bytes;
};

static void shut(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void run_write(struct run *run)
{
    ssize_t put = run->input.n > 0 ? write(run->in, run->input.p, run->input.n) : 0;
    if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    run->input = put > 0 ? str_from(run->input, (size_t)put) : STR_NONE;
    if (run->input.n == 0) {
        shut(&run->in);
    }
}

/* Reads what there is. */
static void run_read(int *fd, struct buf *bytes)
{
    char chunk[16384];
    while (*fd >= 0) {
        ssize_t got = read(*fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            shut(fd);
            return;
        }
        size_t room = OUTPUT_MAX - bytes->n;
        buf_add(bytes, chunk, (size_t)got < room ? (size_t)got : room);
    }
}

/* Serves the pipes until the child's exit; false: out of time. */
static bool run_wait(struct run *run, int64_t timeout_ns)
{
    int64_t end_ns = clock_mono(clock_real()) + timeout_ns;
    for (;;) {
        int64_t left_ns = end_ns - clock_mono(clock_real());
        if (timeout_ns > 0 && left_ns <= 0) {
            return false;
        }
        int64_t wait_ms = timeout_ns > 0 ? left_ns / NS_PER_MS + 1 : -1;
        struct pollfd fds[4] = {{run->in, POLLOUT, 0},
                                {run->out, POLLIN, 0},
                                {run->err, POLLIN, 0},
                                {run->pidfd, POLLIN, 0}};
        if (poll(fds, 4, wait_ms > 60000 ? 60000 : (int)wait_ms) < 0) {
            continue;
        }
        if (fds[0].revents != 0) {
            run_write(run);
        }
        if (fds[1].revents != 0) {
            run_read(&run->out, &run->out_bytes);
        }
        if (fds[2].revents != 0) {
            run_read(&run->err, &run->err_bytes);
        }
        if (fds[3].revents != 0) {
            run_read(&run->out, &run->out_bytes);
            run_read(&run->err, &run->err_bytes);
            return true;
        }
    }
}

static int run_pipe(int *ret_ours, int *ret_theirs, bool we_write, struct err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return err_os(err, errno, "pipe");
    }
    *ret_ours = fds[we_write ? 1 : 0];
    *ret_theirs = fds[we_write ? 0 : 1];
    fcntl(*ret_ours, F_SETFL, O_NONBLOCK);
    return 0;
}

static int run_start(struct run *run, const struct process_options *options, struct err *err)
{
    struct process_options child = *options;
    int pid, theirs[3] = {-1, -1, -1};
    int rc = run_pipe(&run->in, &theirs[0], true, err);
    rc = rc == 0 ? run_pipe(&run->out, &theirs[1], false, err) : rc;
    rc = rc == 0 ? run_pipe(&run->err, &theirs[2], false, err) : rc;
    if (rc == 0) {
        child.stdin_fd = theirs[0];
        child.stdout_fd = theirs[1];
        child.stderr_fd = theirs[2];
        rc = child_spawn(&child, &pid, &run->pidfd, err);
    }
    for (size_t i = 0; i < 3; i++) {
        shut(&theirs[i]);
    }
    return rc;
}

int process_run_real(const struct process_options *options, struct str input, int64_t timeout_ns,
                     struct process_result *ret_result, struct err *err)
{
    struct run run = {.in = -1, .out = -1, .err = -1, .pidfd = -1, .input = input};
    sigset_t pipe_signal, old_mask;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &old_mask);
    int rc = run_start(&run, options, err);
    if (rc == 0 && !run_wait(&run, timeout_ns)) {
        syscall(SYS_pidfd_send_signal, run.pidfd, SIGKILL, NULL, 0);
        struct pollfd dead = {run.pidfd, POLLIN, 0};
        while (poll(&dead, 1, -1) < 0) {
        }
        rc = err_set(err, ERR_TIMEOUT, "%s: not done in time, killed", options->argv[0]);
    }
    if (run.pidfd >= 0) {
        int status = child_reap(run.pidfd);
        if (rc == 0) {
            *ret_result = (struct process_result){status, run.out_bytes, run.err_bytes};
            run.out_bytes = run.err_bytes = (struct buf)BUF_INIT;
        }
    }
    struct timespec no_time = {0};
    sigtimedwait(&pipe_signal, NULL, &no_time);
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    buf_done(&run.out_bytes);
    buf_done(&run.err_bytes);
    shut(&run.in);
    shut(&run.out);
    shut(&run.err);
    shut(&run.pidfd);
    return rc;
}
