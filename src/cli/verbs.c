/* verbs.c: the table of client verbs and what they share. */
#include <stdio.h>

#include "cli/verb.h"

const struct verb verbs_table[] = {
    {"get", "show objects as tables, YAML or JSON",
     "get TYPE [NAME ...] [-n NS|-A] [-l SELECTOR] [-o wide|yaml|json|name] [-w]\n  get --raw PATH",
     cli_get, false},
    {"apply", "make objects what their files say", "apply -f FILE|DIR|- [-R] [-n NS]", cli_apply,
     false},
    {"delete", "delete objects",
     "delete TYPE NAME ...|-l SELECTOR|--all [-n NS] [--wait=false] [--grace-period S]\n  delete "
     "-f FILE",
     cli_delete, false},
    {"logs", "print a container's output",
     "logs POD|TYPE/NAME [-c CONTAINER] [-f] [-p] [--tail N] [--timestamps] [-n NS]", cli_logs,
     false},
    {"exec", "run a command in a container",
     "exec [-i] [-t] POD|TYPE/NAME [-c CONTAINER] [-n NS] -- COMMAND [ARGS ...]", cli_exec, false},
    {"wait", "wait until objects have a condition",
     "wait TYPE[/NAME] ... --for condition=NAME[=VALUE]|delete|jsonpath='{.path}'=VALUE [--timeout "
     "30s] [-n NS]",
     cli_wait, false},
    {"why", "say what keeps a pod from running, node by node", "why pod NAME [-n NS]", cli_why,
     false},
    {"token", "make a token with which a node joins", "token create", cli_token, false},
    {NULL, NULL, NULL, NULL, false},
};

int cli_fail(const struct err *err)
{
    const char *reason = err_reason(err->code);
    bool from_server = err->code > ERR_IO && err->code != ERR_INTERNAL;
    if (from_server && err->code != ERR_INVALID) {
        fprintf(stderr, "Error from server (%s): %s\n", reason, err->message);
    } else {
        fprintf(stderr, "error: %s\n", err->message);
    }
    return 1;
}

bool cli_open(int argc, char **argv, unsigned flags, struct arguments *arguments,
              struct connection **connection)
{
    struct err err = ERR_INIT;
    if (arguments_parse(argc, argv, flags, arguments, &err) != 0) {
        cli_fail(&err);
        return false;
    }
    if (connection_open(&arguments->connection, connection, &err) != 0) {
        arguments_done(arguments);
        cli_fail(&err);
        return false;
    }
    return true;
}

void cli_close(struct arguments *arguments, struct connection *connection)
{
    arguments_done(arguments);
    connection_close(connection);
}

struct str cli_namespace(const struct arguments *arguments, const struct connection *connection,
                         const struct api_resource *resource)
{
    if (!resource->namespaced || arguments->all_namespaces) {
        return STR_NONE;
    }
    return arguments->ns != NULL ? str_of(arguments->ns) : connection_namespace(connection);
}

void cli_object_name(struct buf *out, const struct api_resource *resource, struct str name)
{
    buf_addz(out, resource->singular);
    if (resource->group[0] != '\0') {
        buf_printf(out, ".%s", resource->group);
    }
    buf_printf(out, "/%.*s", STR_ARG(name));
}
