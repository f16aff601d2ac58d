/* why.c: `cox why pod NAME`: what stands in the way of a pod, node by node, and the smallest change
 * that would let it run; once it has a node, what its containers wait for. */
#include <stdio.h>

#include "cli/verb.h"

static void print_nodes(const struct val *answer)
{
    const struct val *nodes = val_get(answer, "nodes");
    int widest = 4;
    VAL_EACH (node, nodes) {
        int n = (int)val_text(val_get(node, "name")).n;
        widest = n > widest ? n : widest;
    }
    if (val_count(nodes) > 0) {
        printf("\n  %-*s  WHY NOT\n", widest, "NODE");
    }
    VAL_EACH (node, nodes) {
        struct str name = val_text(val_get(node, "name"));
        printf("  %-*.*s  ", widest, STR_ARG(name));
        const char *between = "";
        VAL_EACH (reason, val_get(node, "reasons")) {
            printf("%s%.*s", between, STR_ARG(val_text(reason)));
            between = "; ";
        }
        printf("%s\n", val_bool(val_get(node, "fits"), false) ? "(it fits now)" : "");
    }
}

static void print_answer(const struct val *answer)
{
    struct str node = val_text(val_get(answer, "node"));
    struct str change = val_text(val_get(answer, "change"));
    printf("pod %.*s: %.*s", STR_ARG(val_text(val_get(answer, "pod"))),
           STR_ARG(val_text(val_get(answer, "state"))));
    if (node.n > 0) {
        printf(" on %.*s", STR_ARG(node));
    }
    printf(": %.*s\n", STR_ARG(val_text(val_get(answer, "message"))));
    print_nodes(answer);
    if (change.n > 0) {
        printf("\nThe smallest change: %.*s.\n", STR_ARG(change));
    }
}

static void print_containers(const struct val *pod)
{
    static const char *const lists[] = {"initContainerStatuses", "containerStatuses"};
    static const char *const states[] = {"waiting", "terminated"};
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_get_str(val_get(pod, "status"), str_of(lists[i]))) {
            for (size_t j = 0; j < 2; j++) {
                const struct val *state = val_get_str(val_get(it, "state"), str_of(states[j]));
                struct str message = val_text(val_get(state, "message"));
                if (state != NULL) {
                    printf("  container %.*s: %s: %.*s%s%.*s\n",
                           STR_ARG(val_text(val_get(it, "name"))), states[j],
                           STR_ARG(val_text(val_get(state, "reason"))), message.n > 0 ? ": " : "",
                           STR_ARG(message));
                }
            }
        }
    }
}

static int ask(struct connection *c, struct arena *arena, const char *path, struct val **ret_answer,
               struct err *err)
{
    struct connection_request request = {.method = "GET", .path = str_of(path)};
    return connection_send_json(c, &request, arena, ret_answer, err);
}

int cli_why(int argc, char **argv)
{
    struct arguments a;
    struct connection *c = NULL;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *answer = NULL, *pod = NULL;
    struct err err = ERR_INIT;
    if (!cli_open(argc, argv, FLAG_NAMESPACE, &a, &c)) {
        return 1;
    }
    int rc = 0;
    const char *name = a.words.count == 2 ? a.words.items[1] : NULL;
    if (name == NULL ||
        (strcmp(a.words.items[0], "pod") != 0 && strcmp(a.words.items[0], "pods") != 0)) {
        rc = err_set(&err, ERR_INVALID, "say: cox why pod NAME [-n NAMESPACE]");
    } else {
        struct str ns = a.ns != NULL ? str_of(a.ns) : connection_namespace(c);
        rc = ask(c, &arena,
                 arena_printf(&arena, "/api/v1/namespaces/%.*s/pods/%s", STR_ARG(ns), name), &pod,
                 &err);
        rc = rc != 0
                 ? rc
                 : ask(c, &arena,
                       arena_printf(&arena, "/cox/v1/why?namespace=%.*s&pod=%s", STR_ARG(ns), name),
                       &answer, &err);
    }
    if (rc == 0) {
        print_answer(answer);
        print_containers(pod);
    }
    int status = rc != 0 ? cli_fail(&err) : 0;
    cli_close(&a, c);
    return status;
}
