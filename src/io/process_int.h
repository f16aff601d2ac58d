/* process_int.h: starting a child, below the waiting: shared by process.c and process_run.c. */
#pragma once
#include "io/process.h"

/* Starts the child; fills its pid and a close-on-exec pidfd. An exec that fails is an error here,
 * with the child already reaped. Blocks the calling thread until the exec. */
int child_spawn(const struct process_options *options, int *ret_pid, int *ret_pidfd,
                struct err *err);
/* Reaps an exited child: 0..255, or 128+signal; -1: it still runs. */
int child_reap(int pidfd);
int process_run_real(const struct process_options *options, struct str input, int64_t timeout_ns,
                     struct process_result *ret_result, struct err *err);
