/* runtime.h: what the pod worker needs of whoever runs containers. crun.c is the built-in one.
 *
 * start, remove and list block and run in jobs; the others are quick. A container is one folder
 * (`dir`), whose files are the truth that outlives the agent: config.json (OCI), record (ours),
 * pid, conmon.pid, exit (status text, written once), oom (exists when the kernel's OOM killer
 * struck).
 */
#pragma once
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "io/loop.h"

enum { RUNTIME_BINDS_MAX = 48 };
struct runtime_create {
    const char *id;       /* 64 hex digits */
    const char *dir;      /* absolute; made by the caller, holds config.json */
    const char *log_path; /* CRI log file; its folder exists */
    const char *program;  /* instead of crun; NULL: crun. Kept in dir */
    const char *layers_dir;
    const char *lower; /* overlayfs lowerdir, names relative to layers_dir, top first */
    bool stdin_open, stdin_once, tty;
    struct {
        int tree_fd;
        const char *target;
    } binds[RUNTIME_BINDS_MAX]; /* attached in the monitor's mount namespace */
    size_t bind_count;
};
struct runtime_status {
    pid_t pid, monitor_pid; /* 0: not known */
    bool exited;            /* exit status is known */
    int exit_code;
    int64_t finished_ns; /* wall */
    bool oom;
};
struct runtime_ops {
    /* Creates and starts. The error text is the runtime's own, fit for a container's message. */
    int (*start)(void *ctx, const struct runtime_create *create, struct runtime_status *ret_status,
                 struct err *err);
    /* The state of a container from its folder: after its monitor ended, or after a restart. */
    int (*status)(void *ctx, const char *dir, struct runtime_status *ret_status, struct err *err);
    int (*signal)(void *ctx, const char *id, const char *dir, int signal, struct err *err);
    /* Kills what is left, removes cgroup, runtime state and everything in dir but nothing else. */
    int (*remove)(void *ctx, const char *id, const char *dir, const char *cgroup, struct err *err);
    /* argv (arena memory) of a program that runs `process_json_path` inside the container with our
     * stdio, exiting with its status. console_socket NULL: no terminal. */
    const char *const *(*exec_argv)(void *ctx, struct arena *arena, const char *id, const char *dir,
                                    const char *process_json_path, const char *console_socket,
                                    const char *pid_file);
    /* The program that exec_argv starts (arena memory): sealed in the mount namespace it runs in.
     */
    const char *(*program)(void *ctx, struct arena *arena, const char *dir);
    void *ctx;
};

struct crun_options {
    const char *crun_path, *conmon_path; /* absolute */
    const char *state_dir;               /* crun's --root */
    const char *hide;                    /* cgroup tree to hide, or NULL */
};
struct crun;
struct crun *crun_new(const struct crun_options *options);
void crun_free(struct crun *crun);
struct runtime_ops crun_ops(struct crun *crun);
