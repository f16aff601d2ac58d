/* process.h: child processes through one helper: posix_spawn-like, nothing inherited but what is
 * named, waited for by pidfd.
 *
 * The seam: process_ops() returns the table in use; tests put a fake one in (process_set_ops) that
 * answers by script.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "io/loop.h"

enum { PROCESS_FDS_MAX = 8 };
struct process_options {
    const char *const *argv;            /* argv[0] is looked up in PATH unless it has a slash */
    const char *const *env;             /* NULL: empty environment plus PATH */
    const char *cwd;                    /* NULL: "/" */
    int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null */
    struct {
        int ours, theirs;
    } fds[PROCESS_FDS_MAX]; /* more descriptors for the child */
    size_t fd_count;
    const char *netns_path;  /* enter this network namespace first (setns), or NULL */
    const char *cgroup_path; /* NULL, or move the child there before exec (v1: one path a controller
                                is the caller's job) */
    bool new_session;        /* setsid */
    bool new_mount_namespace; /* unshare(CLONE_NEWNS), made private */
    const char *unmount; /* with new_mount_namespace: lazily unmount this path first, or NULL */
    int death_signal;    /* 0, or the signal the child gets when we die */
    bool (*before_exec)(
        void *arg); /* last step in the child, async-signal-safe; false: exit 126. May be NULL */
    void *before_exec_arg;
};
struct process;
/* exit_status: 0..255, or 128+signal when killed. */
typedef void process_exit_fn(void *ctx, struct process *process, int exit_status);
int process_start(struct loop *loop, const struct process_options *options,
                  process_exit_fn *on_exit, void *ctx, struct process **ret_process,
                  struct err *err);
int process_pid(const struct process *process);
int process_kill(struct process *process, int signal,
                 struct err *err);          /* by pidfd: never hits a reused pid */
void process_free(struct process *process); /* forgets it (does not kill); no on_exit afterwards */

/* Runs to the end and gives what it wrote (at most 1 MiB each). Blocking: for jobs, never on a
 * loop. */
struct process_result {
    int exit_status;
    struct buf out, err;
};
int process_run(const struct process_options *options, struct str input, int64_t timeout_ns,
                struct process_result *ret_result, struct err *err);

/* ---- the seam ---- */
struct process_ops {
    int (*start)(struct loop *loop, const struct process_options *options, process_exit_fn *on_exit,
                 void *ctx, struct process **ret_process, struct err *err);
    int (*pid)(const struct process *process);
    int (*kill)(struct process *process, int signal, struct err *err);
    void (*free)(struct process *process);
    int (*run)(const struct process_options *options, struct str input, int64_t timeout_ns,
               struct process_result *ret_result, struct err *err);
};
const struct process_ops *process_ops(void);
void process_set_ops(const struct process_ops *ops); /* NULL: the real one; tests only */

/* Watches a process that is not our child (a container found again): pidfd poll. */
struct pid_watch;
int pid_watch_new(struct loop *loop, int pid, void (*on_exit)(void *ctx, struct pid_watch *watch),
                  void *ctx, struct pid_watch **ret_watch, struct err *err);
void pid_watch_free(struct pid_watch *watch);
