/* verb.h: one file a verb, one row in verbs.c. A verb gets argv from its own name on and returns
 * the exit status; what it has to say about a failure goes to stderr as one line "error: ...", as
 * kubectl does. */
#pragma once
#include "cli/arguments.h"

struct verb {
    const char *name, *summary, *usage;
    int (*run)(int argc, char **argv);
    bool hidden;
};
extern const struct verb verbs_table[]; /* ends with a row without a name */

int cli_get(int argc, char **argv);
int cli_apply(int argc, char **argv);
int cli_delete(int argc, char **argv);
int cli_logs(int argc, char **argv);
int cli_exec(int argc, char **argv);
int cli_wait(int argc, char **argv);
int cli_token(int argc, char **argv);
int cli_why(int argc, char **argv);

/* Prints "error: message" and returns 1. */
int cli_fail(const struct err *err);
/* Opens arguments and connection together; on failure prints and returns false. */
bool cli_open(int argc, char **argv, unsigned flags, struct arguments *arguments,
              struct connection **connection);
void cli_close(struct arguments *arguments, struct connection *connection);
/* -n, else the context's namespace. n 0 with -A, and for cluster-scoped resources. */
struct str cli_namespace(const struct arguments *arguments, const struct connection *connection,
                         const struct api_resource *resource);
/* "deployment.apps/hello" */
void cli_object_name(struct buf *out, const struct api_resource *resource, struct str name);
