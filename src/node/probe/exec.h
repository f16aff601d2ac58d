/* exec.h: a program inside a running container, with descriptors of ours as its stdio. */
#pragma once
#include "io/process.h"
#include "node/agent_int.h"

struct exec_options {
    const struct str *argv;
    size_t argv_count;
    bool tty;
    const char *console_socket;         /* with tty: where the terminal's master is sent */
    int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null; stay the caller's */
};
struct exec;
/* on_exit is called once with the program's exit status, unless exec_free came first. */
int exec_start(struct run *run, const struct exec_options *options,
               void (*on_exit)(void *ctx, int exit_status), void *ctx, struct exec **ret_exec,
               struct err *err);
void exec_kill(struct exec *exec); /* the program itself, not only who started it */
void exec_free(struct exec *exec); /* NULL is harmless; a running program is killed */
