/* wait.c: `cox wait --for condition=Name[=Value]|delete|jsonpath='{.path}'=Value`: a GET, then a
 * watch from its revision. */
#include <stdio.h>
#include <strings.h>

#include "cli/verb.h"

enum wait_kind { WAIT_CONDITION, WAIT_DELETE, WAIT_PATH };
struct wanted {
    enum wait_kind kind;
    struct str name, value;
};

static bool wanted_parse(const char *text, struct wanted *ret_wanted)
{
    struct str rest, word = str_cut(str_of(text), '=', &rest), value;
    if (str_is(str_of(text), "delete")) {
        *ret_wanted = (struct wanted){WAIT_DELETE, STR_NONE, STR_NONE};
        return true;
    }
    if (str_is(word, "condition") && rest.n > 0) {
        struct str name = str_cut(rest, '=', &value);
        *ret_wanted = (struct wanted){WAIT_CONDITION, name, value.p != NULL ? value : STR("True")};
        return true;
    }
    struct str path = str_cut_last(rest, '=', &value);
    if (str_is(word, "jsonpath") && value.p != NULL && str_starts(path, STR("{.")) &&
        str_ends(path, STR("}"))) {
        *ret_wanted = (struct wanted){WAIT_PATH, str_at(path.p + 2, path.n - 3), value};
        return true;
    }
    return false;
}

static bool same_word(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static bool holds(const struct wanted *wanted, const struct val *object)
{
    if (wanted->kind == WAIT_DELETE) {
        return object == NULL;
    }
    if (object == NULL) {
        return false;
    }
    if (wanted->kind == WAIT_PATH) {
        char *path MEM_CLEANUP = str_dup(wanted->name);
        return str_eq(val_text(val_path(object, path)), wanted->value);
    }
    VAL_EACH (condition, val_path(object, "status.conditions")) {
        if (same_word(val_text(val_get(condition, "type")), wanted->name)) {
            return same_word(val_text(val_get(condition, "status")), wanted->value);
        }
    }
    return false;
}

struct watching {
    const struct wanted *wanted;
    struct buf lines;
    bool met;
};

static bool on_bytes(void *ctx, struct str bytes)
{
    struct watching *w = ctx;
    buf_str(&w->lines, bytes);
    for (;;) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct str rest, line = str_cut(buf_view(&w->lines), '\n', &rest);
        struct val *event = NULL;
        if (rest.p == NULL) {
            return true;
        }
        if (val_parse_json(&arena, line, &event, NULL) == 0) {
            struct str type = val_text(val_get(event, "type"));
            bool deleted = str_is(type, "DELETED"),
                 change = deleted || str_is(type, "ADDED") || str_is(type, "MODIFIED");
            w->met = change && holds(w->wanted, deleted ? NULL : val_get(event, "object"));
        }
        buf_drop_front(&w->lines, line.n + 1);
        if (w->met) {
            return false;
        }
    }
}

static int wait_one(struct arguments *a, struct connection *c, const struct api_resource *resource,
                    struct str name, const struct wanted *wanted, int64_t end_ns, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf path BUF_CLEANUP = BUF_INIT, title BUF_CLEANUP = BUF_INIT;
    struct watching w = {.wanted = wanted};
    struct str ns = cli_namespace(a, c, resource);
    cli_object_name(&title, resource, name);
    while (!w.met) {
        struct val *now = NULL;
        buf_clear(&path);
        path_write(&path, resource, ns, name, NULL);
        struct connection_request get = {.method = "GET", .path = buf_view(&path)};
        int rc = connection_send_json(c, &get, &arena, &now, err);
        if (rc != 0 && !(rc == ERR_NOT_FOUND && wanted->kind == WAIT_DELETE)) {
            return rc;
        }
        int64_t left = end_ns - loop_mono(connection_loop(c));
        if ((w.met = holds(wanted, rc == 0 ? now : NULL))) {
            break;
        }
        if (left <= 0) {
            return err_set(err, ERR_LIMIT, "timed out waiting for the condition on %s", title.p);
        }
        buf_clear(&path);
        path_write(&path, resource, ns, STR_NONE, NULL);
        path_query(&path, "watch", STR("true"));
        path_query(&path, "resourceVersion", val_text(val_path(now, "metadata.resourceVersion")));
        path_query(&path, "fieldSelector",
                   str_of(arena_printf(&arena, "metadata.name=%.*s", STR_ARG(name))));
        struct connection_request watch = {
            .method = "GET", .path = buf_view(&path), .timeout_ns = left};
        rc = connection_stream(c, &watch, on_bytes, &w, err);
        buf_done(&w.lines);
        if (rc != 0 && rc != ERR_TIMEOUT && rc != ERR_EXPIRED && rc != ERR_GONE) {
            return rc;
        }
    }
    printf("%s %s\n", title.p, wanted->kind == WAIT_DELETE ? "deleted" : "condition met");
    fflush(stdout);
    return 0;
}

/* All objects of a type (and selector) that are there now. */
static int wait_listed(struct arguments *a, struct connection *c,
                       const struct api_resource *resource, const struct wanted *wanted,
                       int64_t end_ns, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf path BUF_CLEANUP = BUF_INIT;
    struct val *list = NULL;
    if (a->selector == NULL && !a->all) {
        return err_set(err, ERR_INVALID, "say which: names, -l SELECTOR or --all");
    }
    path_write(&path, resource, cli_namespace(a, c, resource), STR_NONE, NULL);
    if (a->selector != NULL) {
        path_query(&path, "labelSelector", str_of(a->selector));
    }
    struct connection_request get = {.method = "GET", .path = buf_view(&path)};
    int rc = connection_send_json(c, &get, &arena, &list, err);
    if (rc == 0 && val_count(val_get(list, "items")) == 0 && wanted->kind != WAIT_DELETE) {
        return err_set(err, ERR_LIMIT, "no matching resources found");
    }
    VAL_EACH (item, val_get(list, "items")) {
        rc = rc != 0 ? rc : wait_one(a, c, resource, val_name(item), wanted, end_ns, err);
    }
    return rc;
}

int cli_wait(int argc, char **argv)
{
    struct arguments a;
    struct connection *c = NULL;
    struct targets targets = {0};
    struct wanted wanted;
    struct err err = ERR_INIT;
    if (!cli_open(argc, argv, FLAG_NAMESPACE | FLAG_SELECTOR | FLAG_FOR | FLAG_TIMEOUT | FLAG_ALL,
                  &a, &c)) {
        return 1;
    }
    int rc = arguments_targets(&a, &targets, &err);
    if (rc == 0 && (a.wait_for == NULL || !wanted_parse(a.wait_for, &wanted))) {
        rc = err_set(&err, ERR_INVALID,
                     "say --for condition=NAME, --for delete or --for jsonpath='{.path}'=VALUE");
    }
    int64_t end_ns = loop_mono(connection_loop(c)) + a.timeout_ns;
    for (size_t i = 0; i < targets.count && rc == 0; i++) {
        const struct target *t = &targets.items[i];
        rc = t->name.n > 0 ? wait_one(&a, c, t->resource, t->name, &wanted, end_ns, &err)
                           : wait_listed(&a, c, t->resource, &wanted, end_ns, &err);
    }
    int status = rc != 0 ? cli_fail(&err) : 0;
    vec_done(&targets);
    cli_close(&a, c);
    return status;
}
