/* arguments.h: the words of a command, as kubectl takes them: flags anywhere, -n NS, -l SELECTOR,
 * -f FILE, TYPE NAME, TYPE/NAME. */
#pragma once
#include "api/schema.h"
#include "base/err.h"
#include "base/vec.h"
#include "cli/connection.h"
#include "client/path.h"

enum argument_flag {
    FLAG_NAMESPACE = 1 << 0,
    FLAG_ALL_NAMESPACES = 1 << 1,
    FLAG_SELECTOR = 1 << 2,
    FLAG_FILE = 1 << 3,
    FLAG_OUTPUT = 1 << 4,
    FLAG_WATCH = 1 << 5,
    FLAG_CONTAINER = 1 << 6,
    FLAG_FOLLOW = 1 << 7,
    FLAG_TAIL = 1 << 8,
    FLAG_PREVIOUS = 1 << 9,
    FLAG_STDIN = 1 << 10,
    FLAG_TTY = 1 << 11,
    FLAG_FOR = 1 << 12,
    FLAG_TIMEOUT = 1 << 13,
    FLAG_GRACE = 1 << 14,
    FLAG_WAIT = 1 << 15,
    FLAG_RAW = 1 << 16,
    FLAG_RECURSIVE = 1 << 17,
    FLAG_ALL = 1 << 18,
    FLAG_IGNORE_MISSING = 1 << 19,
    FLAG_TIMESTAMPS = 1 << 20,
    FLAG_FIELD_SELECTOR = 1 << 21,
    FLAG_NO_HEADERS = 1 << 22,
    FLAG_SHOW_LABELS = 1 << 23,
    FLAG_FORCE = 1 << 24,
    FLAG_SINCE = 1 << 25,
};

struct arguments {
    struct connection_options connection;
    const char *ns, *selector, *field_selector, *output, *container, *wait_for, *raw;
    struct {
        VEC_OF(const char *);
    } files, words, command; /* words: not flags; command: after -- */
    bool all_namespaces, watch, follow, previous, std_in, tty, recursive, all, ignore_missing,
        timestamps, no_headers, show_labels, force;
    bool wait; /* default true */
    int64_t tail, grace, timeout_ns, since_s;
};
/* argv[0] is the verb. `flags`: the ones it takes. */
int arguments_parse(int argc, char **argv, unsigned flags, struct arguments *ret_arguments,
                    struct err *err);
void arguments_done(struct arguments *arguments);

/* "pods", "po", "pod", "deployments.apps", "Deployment". NULL: unknown. */
const struct api_resource *arguments_resource(struct str word);

struct target { /* one thing named on the command line */
    const struct api_resource *resource;
    struct str name; /* n 0: all of the resource */
};
struct targets {
    VEC_OF(struct target);
};
/* TYPE[,TYPE] [NAME ...] or TYPE/NAME ...; ERR_INVALID. */
int arguments_targets(const struct arguments *arguments, struct targets *ret_targets,
                      struct err *err);
