/* main.c: a table of roles: what `cox WORD` runs. Roles that users type come first; hidden ones are
 * children of others. */
#include <stdio.h>
#include <string.h>

#include "base/failpoint.h"
#include "cli/verb.h"
#include "node/image.h"
#include "role/agent_process.h"
#include "role/commands.h"
#include "role/server_process.h"
#include "role/supervisor.h"

static int run_up(int argc, char **argv)
{
    return supervisor_main(argc, argv, ROLE_UP);
}

static int run_server(int argc, char **argv)
{
    return supervisor_main(argc, argv, ROLE_SERVER);
}

static int run_agent(int argc, char **argv)
{
    return supervisor_main(argc, argv, ROLE_AGENT);
}

static const struct role {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: hidden */
    unsigned options;    /* role_bits whose options `cox help NAME` prints */
    bool whole;          /* wants argv from the program's name on */
} roles[] = {
    {"up", run_up, "run a whole cluster on this machine: server and node", ROLE_UP},
    {"server", run_server, "run only the server: API, store, controllers, scheduler", ROLE_SERVER},
    {"agent", run_agent, "run only a node, joined to a server", ROLE_AGENT},
    {"reset", command_reset, "remove everything cox ever made on this machine", ROLE_RESET},
    {"doctor", command_doctor, "name what this machine lacks, and the line that fixes it",
     ROLE_DOCTOR},
    {"kubeconfig", command_kubeconfig, "print a fresh admin kubeconfig", 0},
    {"backup", command_backup, "copy the database while the server runs", 0},
    {"restore", command_restore, "make a database from a backup, while the server does not run", 0},
    {"image", command_image, "load, pull, list and remove images of this node", 0},
    {"server-process", server_process_main, NULL, 0},
    {"agent-process", agent_process_main, NULL, 0},
    {"unpack", image_unpack_main, NULL, 0, true},
    {"pull", image_pull_main, NULL, 0, true},
    {"pause", pod_pause_main, NULL, 0, true},
};

static void print_failpoint(void *ctx, const char *name, uint64_t hits)
{
    (void)ctx;
    (void)hits;
    puts(name);
}

static void print_words(void)
{
    puts("cox: Kubernetes in one small binary.\n\nRun a cluster:");
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (roles[i].summary != NULL) {
            printf("  %-12s %s\n", roles[i].name, roles[i].summary);
        }
    }
    puts("\nUse it (kubectl works as well):");
    for (const struct verb *verb = verbs_table; verb->name != NULL; verb++) {
        printf("  %-12s %s\n", verb->name, verb->summary);
    }
    puts("\n  help WORD    options of one of these\n  version      what this is");
}

static int help(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(roles[i].name, word) == 0 && roles[i].summary != NULL) {
            struct buf text BUF_CLEANUP = BUF_INIT;
            options_help(roles[i].options, &text);
            printf("cox %s: %s\n%s%s", roles[i].name, roles[i].summary,
                   text.n > 0 ? "\n" : command_usage(roles[i].name), text.n > 0 ? text.p : "");
            return 0;
        }
    }
    for (const struct verb *verb = verbs_table; verb->name != NULL; verb++) {
        if (strcmp(verb->name, word) == 0) {
            printf("cox %s: %s\n\n  %s\n", verb->name, verb->summary, verb->usage);
            return 0;
        }
    }
    print_words();
    return word[0] == '\0' ? 0 : 2;
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "help";
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(roles[i].name, word) == 0) {
            return roles[i].whole ? roles[i].run(argc, argv) : roles[i].run(argc - 1, argv + 1);
        }
    }
    for (const struct verb *verb = verbs_table; verb->name != NULL; verb++) {
        if (strcmp(verb->name, word) == 0) {
            return verb->run(argc - 1, argv + 1);
        }
    }
    if (strcmp(word, "version") == 0 || strcmp(word, "--version") == 0) {
        puts("cox " COX_VERSION " (Kubernetes v1.37)");
        return 0;
    }
    if (strcmp(word, "--list-failpoints") == 0) {
        failpoint_each(print_failpoint, NULL);
        return 0;
    }
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        return help(argc > 1 ? argc - 1 : argc, argc > 1 ? argv + 1 : argv);
    }
    fprintf(stderr, "cox: \"%s\" is no command: see cox help\n", word);
    return 2;
}
