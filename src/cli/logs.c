/* logs.c: `cox logs`: the log subresource, streamed. */
#include <stdio.h>

#include "cli/pod_target.h"
#include "cli/verb.h"

static bool on_bytes(void *ctx, struct str bytes)
{
    fwrite(bytes.p, 1, bytes.n, stdout);
    fflush(stdout);
    return !ferror(stdout);
}

int cli_logs(int argc, char **argv)
{
    struct arguments a;
    struct connection *c = NULL;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf path BUF_CLEANUP = BUF_INIT;
    struct pod_target pod;
    struct err err = ERR_INIT;
    char number[24];
    if (!cli_open(argc, argv,
                  FLAG_NAMESPACE | FLAG_CONTAINER | FLAG_FOLLOW | FLAG_TAIL | FLAG_PREVIOUS |
                      FLAG_TIMESTAMPS,
                  &a, &c)) {
        return 1;
    }
    int rc = pod_target_find(&a, c, &arena, &pod, &err);
    if (rc == 0) {
        path_write(&path, arguments_resource(STR("pods")), pod.ns, pod.name, "log");
        if (a.container != NULL) {
            path_query(&path, "container", str_of(a.container));
        }
        if (a.tail >= 0) {
            snprintf(number, sizeof number, "%lld", (long long)a.tail);
            path_query(&path, "tailLines", str_of(number));
        }
        path_query(&path, "follow", a.follow ? STR("true") : STR("false"));
        path_query(&path, "previous", a.previous ? STR("true") : STR("false"));
        path_query(&path, "timestamps", a.timestamps ? STR("true") : STR("false"));
        struct connection_request request = {
            .method = "GET", .path = buf_view(&path), .accept = "*/*", .timeout_ns = -1};
        rc = connection_stream(c, &request, on_bytes, NULL, &err);
    }
    int status = rc != 0 ? cli_fail(&err) : 0;
    cli_close(&a, c);
    return status;
}
