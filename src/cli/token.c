/* token.c: `cox token create`: asks the server for a single-use token and prints the line that
 * joins a node. */
#include <stdio.h>

#include "cli/verb.h"

int cli_token(int argc, char **argv)
{
    struct arguments a;
    struct connection *c = NULL;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *answer = NULL;
    struct err err = ERR_INIT;
    if (!cli_open(argc, argv, 0, &a, &c)) {
        return 1;
    }
    int rc = a.words.count != 1 || strcmp(a.words.items[0], "create") != 0
                 ? err_set(&err, ERR_INVALID, "say: cox token create")
                 : 0;
    struct connection_request request = {
        .method = "POST", .path = STR("/cox/v1/tokens"), .body = STR("{}")};
    rc = rc != 0 ? rc : connection_send_json(c, &request, &arena, &answer, &err);
    if (rc == 0) {
        printf("%.*s\n", STR_ARG(val_text(val_get(answer, "token"))));
    }
    int status = rc != 0 ? cli_fail(&err) : 0;
    cli_close(&a, c);
    return status;
}
