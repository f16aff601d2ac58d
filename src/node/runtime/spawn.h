/* spawn.h: starting children from job threads, with steps of our own between fork and exec.
 *
 * io/process.h belongs to loops and has one hook without mounts; the runtime needs a private mount
 * namespace in which file systems are attached before the monitor starts, so that they vanish with
 * it. Blocking; any thread. Children are waited for by pid, never by SIGCHLD.
 */
#pragma once
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

enum { SPAWN_FDS_MAX = 6, SPAWN_MOUNTS_MAX = 64 };
struct spawn_options {
    const char *const *argv;            /* argv[0] is an absolute path */
    const char *const *env;             /* NULL: PATH only */
    const char *cwd;                    /* for the mounts and the program; NULL: "/" */
    int stdin_fd, stdout_fd, stderr_fd; /* -1: /dev/null */
    struct {
        int ours, theirs; /* theirs >= 3 */
    } fds[SPAWN_FDS_MAX];
    size_t fd_count;
    bool mount_namespace; /* a private one, in which: */
    const char *hide;     /*   an empty file system covers this folder (NULL: none) */
    const char *seal;     /*   this program is read-only (NULL: none) */
    const char *overlay;  /*   overlayfs options, mounted on overlay_target (NULL: none) */
    const char *overlay_target;
    struct {
        int tree_fd; /* from open_tree(OPEN_TREE_CLONE), attached at target */
        const char *target;
    } mounts[SPAWN_MOUNTS_MAX];
    size_t mount_count;
    bool new_session;
};
/* In a child that has a mount namespace of its own, async-signal-safe: covers `hide`, seals `seal`
 * (each may be NULL). False: errno says why. */
bool spawn_hide(const char *hide, const char *seal);
/* The child's pid. A step that fails before exec is reported here, with its errno. */
int spawn_start(const struct spawn_options *options, pid_t *ret_pid, struct err *err);
/* Waits; exit status 0..255 or 128+signal. timeout_ms < 0: for ever; past it the child is killed.
 */
int spawn_wait(pid_t pid, int timeout_ms);
/* Runs and collects stderr+stdout (at most 64 KiB) of the child itself (not of what it leaves
 * behind). */
int spawn_run(const struct spawn_options *options, int timeout_ms, int *ret_status,
              struct buf *output, struct err *err);
