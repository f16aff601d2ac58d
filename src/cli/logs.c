/* logs.c: `cox logs`: the log subresource, streamed. */
#include <stdio.h>

#include "cli/verb.h"

static bool on_bytes(void *ctx, struct str bytes)
{
    fwrite(bytes.p, 1, bytes.n, stdout);
    fflush(stdout);
    return !ferror(stdout);
}

/* POD, pod/POD, or the first pod of deployment/NAME and the like: by the owner's selector. */
static int find_pod(struct arguments *a, struct connection *c, const struct target *target,
                    struct arena *arena, struct str *ret_name, struct err *err)
{
    struct buf path BUF_CLEANUP = BUF_INIT, selector BUF_CLEANUP = BUF_INIT;
    struct val *owner = NULL, *pods = NULL;
    if (str_is(str_of(target->resource->plural), "pods")) {
        *ret_name = target->name;
        return 0;
    }
    struct str ns = cli_namespace(a, c, target->resource);
    path_write(&path, target->resource, ns, target->name, NULL);
    struct connection_request get = {.method = "GET", .path = buf_view(&path)};
    int rc = connection_send_json(c, &get, arena, &owner, err);
    if (rc != 0) {
        return rc;
    }
    const struct val *labels = val_path(owner, "spec.selector.matchLabels");
    VAL_EACH (label, labels != NULL ? labels : val_path(owner, "spec.selector")) {
        buf_printf(&selector, "%s%.*s=%.*s", selector.n > 0 ? "," : "", STR_ARG(label->key),
                   STR_ARG(label->text));
    }
    buf_clear(&path);
    path_write(&path, arguments_resource(STR("pods")), ns, STR_NONE, NULL);
    path_query(&path, "labelSelector", buf_view(&selector));
    struct connection_request list = {.method = "GET", .path = buf_view(&path)};
    rc = selector.n == 0 ? ERR_NOT_FOUND : connection_send_json(c, &list, arena, &pods, err);
    if (rc != 0 || val_count(val_get(pods, "items")) == 0) {
        return err_set(err, ERR_NOT_FOUND, "%s/%.*s has no pods", target->resource->singular,
                       STR_ARG(target->name));
    }
    *ret_name = val_name(val_at(val_get(pods, "items"), 0));
    return 0;
}

/* "logs web" means the pod web. */
static int one_target(struct arguments *a, struct target *ret_target, struct err *err)
{
    struct targets targets = {0};
    if (a->words.count == 1 && strchr(a->words.items[0], '/') == NULL) {
        *ret_target = (struct target){arguments_resource(STR("pods")), str_of(a->words.items[0])};
        return 0;
    }
    int rc = arguments_targets(a, &targets, err);
    if (rc == 0 && (targets.count != 1 || targets.items[0].name.n == 0)) {
        rc = err_set(err, ERR_INVALID, "say one pod: POD or TYPE/NAME");
    }
    if (rc == 0) {
        *ret_target = targets.items[0];
    }
    vec_done(&targets);
    return rc;
}

int cli_logs(int argc, char **argv)
{
    struct arguments a;
    struct connection *c = NULL;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf path BUF_CLEANUP = BUF_INIT;
    struct target target;
    struct str pod;
    struct err err = ERR_INIT;
    char number[24];
    if (!cli_open(argc, argv,
                  FLAG_NAMESPACE | FLAG_CONTAINER | FLAG_FOLLOW | FLAG_TAIL | FLAG_PREVIOUS |
                      FLAG_TIMESTAMPS,
                  &a, &c)) {
        return 1;
    }
    int rc = one_target(&a, &target, &err);
    rc = rc != 0 ? rc : find_pod(&a, c, &target, &arena, &pod, &err);
    if (rc == 0) {
        path_write(&path, arguments_resource(STR("pods")), cli_namespace(&a, c, target.resource),
                   pod, "log");
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
