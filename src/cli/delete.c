/* delete.c: `cox delete`: by name, selector, all, or file; waits until the objects are gone, as
 * kubectl does. */
#include <stdio.h>

#include "cli/manifest.h"
#include "cli/verb.h"

struct deleting {
    struct arguments arguments;
    struct connection *connection;
};

static int call(struct deleting *d, const char *method, struct str path, struct str body,
                struct arena *arena, struct val **ret, struct err *err)
{
    struct connection_request request = {.method = method, .path = path, .body = body};
    return connection_send_json(d->connection, &request, arena, ret, err);
}

/* Until GET says 404, or another object has the name (another uid). */
static int wait_gone(struct deleting *d, struct str path, struct str uid, struct err *err)
{
    struct loop *loop = connection_loop(d->connection);
    int64_t end = loop_mono(loop) + d->arguments.timeout_ns;
    for (;;) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct val *now = NULL;
        int rc = call(d, "GET", path, STR_NONE, &arena, &now, err);
        if (rc == ERR_NOT_FOUND || (rc == 0 && uid.n > 0 && !str_eq(uid, val_uid(now)))) {
            return 0;
        }
        if (rc != 0) {
            return rc;
        }
        if (loop_mono(loop) > end) {
            return err_set(err, ERR_TIMEOUT, "timed out waiting for the deletion of %.*s",
                           STR_ARG(path));
        }
        connection_pause(d->connection, 50 * NS_PER_MS);
    }
}

static int delete_one(struct deleting *d, const struct api_resource *resource, struct str ns,
                      struct str name, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf path BUF_CLEANUP = BUF_INIT, title BUF_CLEANUP = BUF_INIT,
                    body BUF_CLEANUP = BUF_INIT;
    struct val *answer = NULL;
    int64_t grace = d->arguments.grace >= 0 ? d->arguments.grace : d->arguments.force ? 0 : -1;
    path_write(&path, resource, ns, name, NULL);
    buf_addz(
        &body,
        "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"propagationPolicy\":\"Background\"");
    if (grace >= 0) {
        buf_printf(&body, ",\"gracePeriodSeconds\":%lld", (long long)grace);
    }
    buf_char(&body, '}');
    int rc = call(d, "DELETE", buf_view(&path), buf_view(&body), &arena, &answer, err);
    if (rc == ERR_NOT_FOUND && d->arguments.ignore_missing) {
        return 0;
    }
    if (rc != 0) {
        return rc;
    }
    cli_object_name(&title, resource, STR(""));
    printf("%.*s \"%.*s\" deleted\n", (int)title.n - 1, title.p, STR_ARG(name));
    fflush(stdout);
    struct str uid = val_uid(answer);
    uid = uid.n > 0 ? uid : val_text(val_path(answer, "details.uid"));
    return d->arguments.wait ? wait_gone(d, buf_view(&path), uid, err) : 0;
}

static int delete_listed(struct deleting *d, const struct api_resource *resource, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf path BUF_CLEANUP = BUF_INIT;
    struct val *list = NULL;
    bool wait = d->arguments.wait;
    if (d->arguments.selector == NULL && !d->arguments.all) {
        return err_set(err, ERR_INVALID, "say which: names, -l SELECTOR or --all");
    }
    path_write(&path, resource, cli_namespace(&d->arguments, d->connection, resource), STR_NONE,
               NULL);
    if (d->arguments.selector != NULL) {
        path_query(&path, "labelSelector", str_of(d->arguments.selector));
    }
    int rc = call(d, "GET", buf_view(&path), STR_NONE, &arena, &list, err);
    for (int pass = 0; pass < 2 && rc == 0; pass++) { /* first ask all to end, then wait for each */
        d->arguments.wait = pass == 1 && wait;
        VAL_EACH (item, val_get(list, "items")) {
            if (pass == 0) {
                rc = rc != 0 ? rc
                             : delete_one(d, resource, val_namespace(item), val_name(item), err);
            } else if (wait && rc == 0) {
                buf_clear(&path);
                path_write(&path, resource, val_namespace(item), val_name(item), NULL);
                rc = wait_gone(d, buf_view(&path), val_uid(item), err);
            }
        }
    }
    d->arguments.wait = wait;
    if (rc == 0 && val_count(val_get(list, "items")) == 0) {
        puts("No resources found");
    }
    return rc;
}

static int delete_files(struct deleting *d, struct err *err)
{
    struct manifests manifests = {0};
    int rc = 0, failed = 0;
    VEC_EACH (path, &d->arguments.files) {
        rc = rc != 0 ? rc : manifests_read(&manifests, *path, d->arguments.recursive, err);
    }
    for (size_t i = 0; i < manifests.count && rc == 0; i++) {
        const struct manifest *m = &manifests.items[i];
        struct str ns = val_namespace(m->object);
        ns = ns.n > 0 ? ns : cli_namespace(&d->arguments, d->connection, m->resource);
        if (delete_one(d, m->resource, m->resource->namespaced ? ns : STR_NONE, val_name(m->object),
                       err) != 0) {
            failed = cli_fail(err);
        }
    }
    manifests_done(&manifests);
    return rc != 0 ? rc : failed != 0 ? ERR_CANCELED : 0;
}

int cli_delete(int argc, char **argv)
{
    struct deleting d = {0};
    struct targets targets = {0};
    struct err err = ERR_INIT;
    unsigned flags = FLAG_NAMESPACE | FLAG_SELECTOR | FLAG_FILE | FLAG_RECURSIVE | FLAG_WAIT |
                     FLAG_GRACE | FLAG_ALL | FLAG_IGNORE_MISSING | FLAG_FORCE | FLAG_TIMEOUT;
    if (!cli_open(argc, argv, flags, &d.arguments, &d.connection)) {
        return 1;
    }
    int rc = d.arguments.files.count > 0 ? delete_files(&d, &err)
                                         : arguments_targets(&d.arguments, &targets, &err),
        status = 0;
    for (size_t i = 0; i < targets.count && rc == 0; i++) {
        const struct target *t = &targets.items[i];
        int one = t->name.n > 0 ? delete_one(&d, t->resource,
                                             cli_namespace(&d.arguments, d.connection, t->resource),
                                             t->name, &err)
                                : delete_listed(&d, t->resource, &err);
        status = one != 0 ? cli_fail(&err) : status;
    }
    status = rc == 0 ? status : rc == ERR_CANCELED ? 1 : cli_fail(&err);
    vec_done(&targets);
    cli_close(&d.arguments, d.connection);
    return status;
}
