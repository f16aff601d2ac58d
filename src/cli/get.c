/* get.c: `cox get`: tables as kubectl shows them, YAML, JSON, names; watches; raw paths. */
#include <stdio.h>

#include "cli/table.h"
#include "cli/verb.h"

#define ACCEPT_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

struct getting {
    struct arguments arguments;
    struct connection *connection;
    struct targets targets;
    bool first; /* nothing printed yet */
};

static void out_write(const struct buf *text)
{
    fwrite(text->p != NULL ? text->p : "", 1, text->n, stdout);
    fflush(stdout);
}

static void request_path(const struct getting *g, const struct target *target, struct buf *out)
{
    path_write(out, target->resource, cli_namespace(&g->arguments, g->connection, target->resource),
               target->name, NULL);
    if (g->arguments.selector != NULL) {
        path_query(out, "labelSelector", str_of(g->arguments.selector));
    }
    if (g->arguments.field_selector != NULL) {
        path_query(out, "fieldSelector", str_of(g->arguments.field_selector));
    }
}

static struct table_options table_options_of(const struct getting *g, const struct target *target,
                                             struct arena *arena)
{
    struct buf prefix BUF_CLEANUP = BUF_INIT;
    cli_object_name(&prefix, target->resource, STR(""));
    return (struct table_options){
        .wide = g->arguments.output != NULL && strcmp(g->arguments.output, "wide") == 0,
        .no_headers = g->arguments.no_headers,
        .with_namespace = g->arguments.all_namespaces && target->resource->namespaced,
        .show_labels = g->arguments.show_labels,
        .prefix = g->targets.count > 1 ? str_copy_in(arena, buf_view(&prefix)) : STR_NONE};
}

/* Several names of one type share their heads, as one table would. */
static int get_table(struct getting *g, const struct target *target, bool headers, size_t *ret_rows,
                     struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf path BUF_CLEANUP = BUF_INIT, text BUF_CLEANUP = BUF_INIT;
    struct val *table = NULL;
    request_path(g, target, &path);
    struct connection_request request = {
        .method = "GET", .path = buf_view(&path), .accept = ACCEPT_TABLE};
    int rc = connection_send_json(g->connection, &request, &arena, &table, err);
    if (rc != 0) {
        return rc;
    }
    *ret_rows = val_count(val_get(table, "rows"));
    if (*ret_rows > 0) {
        struct table_options options = table_options_of(g, target, &arena);
        if (headers && !g->first && g->targets.count > 1 && target->name.n == 0) {
            buf_char(&text, '\n');
        }
        table_print(table, &options, headers, &text);
        out_write(&text);
        g->first = false;
    }
    return 0;
}

static void print_object(const char *form, const struct val *object)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (strcmp(form, "yaml") == 0) {
        val_write_yaml(object, &text);
    } else {
        val_write_json_pretty(object, &text);
        buf_char(&text, '\n');
    }
    out_write(&text);
}

static void print_names(const struct target *target, const struct val *object)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    const struct val *items = val_get(object, "items");
    if (items == NULL) {
        cli_object_name(&text, target->resource, val_name(object));
        buf_char(&text, '\n');
    }
    VAL_EACH (item, items) {
        cli_object_name(&text, target->resource, val_name(item));
        buf_char(&text, '\n');
    }
    out_write(&text);
}

/* -o yaml and json: one object as it is, several as one List. */
static int get_objects(struct getting *g, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *list = val_new(&arena, VAL_OBJECT), *items, *one = NULL;
    val_set_text(&arena, list, STR("apiVersion"), STR("v1"));
    items = val_make_array(&arena, list, STR("items"));
    val_set_text(&arena, list, STR("kind"), STR("List"));
    VEC_EACH (target, &g->targets) {
        struct buf path BUF_CLEANUP = BUF_INIT;
        request_path(g, target, &path);
        struct connection_request request = {.method = "GET", .path = buf_view(&path)};
        int rc = connection_send_json(g->connection, &request, &arena, &one, err);
        if (rc != 0) {
            return rc;
        }
        if (strcmp(g->arguments.output, "name") == 0) {
            print_names(target, one);
            continue;
        }
        const struct val *members = val_get(one, "items");
        if (members == NULL) {
            val_append(items, val_copy(&arena, one));
        }
        VAL_EACH (member, members) {
            struct val *whole = val_new(
                &arena, VAL_OBJECT); /* typed lists leave kind and apiVersion out of their items */
            bool core = target->resource->group[0] == '\0';
            val_set_text(&arena, whole, STR("apiVersion"),
                         core ? str_of(target->resource->version)
                              : str_of(arena_printf(&arena, "%s/%s", target->resource->group,
                                                    target->resource->version)));
            val_set_text(&arena, whole, STR("kind"), str_of(target->resource->kind));
            VAL_EACH (field, member) {
                val_set(whole, field->key, val_copy(&arena, field));
            }
            val_append(items, whole);
        }
    }
    if (strcmp(g->arguments.output, "name") != 0) {
        bool single = g->targets.count == 1 && g->targets.items[0].name.n > 0;
        print_object(g->arguments.output, single ? one : list);
    }
    return 0;
}

/* ---- watch ---- */

struct watching {
    struct getting *getting;
    struct buf line;
    bool headers;
};

static bool on_watch_bytes(void *ctx, struct str bytes)
{
    struct watching *w = ctx;
    buf_str(&w->line, bytes);
    for (;;) {
        struct str rest, line = str_cut(buf_view(&w->line), '\n', &rest);
        if (rest.p == NULL) {
            return true;
        }
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct buf text BUF_CLEANUP = BUF_INIT;
        struct val *event = NULL;
        if (val_parse_json(&arena, line, &event, NULL) == 0 &&
            !str_is(val_text(val_get(event, "type")), "BOOKMARK")) {
            struct table_options options =
                table_options_of(w->getting, &w->getting->targets.items[0], &arena);
            table_print(val_get(event, "object"), &options, w->headers, &text);
            w->headers = false;
            out_write(&text);
        }
        buf_drop_front(&w->line, line.n + 1);
    }
}

static int watch_table(struct getting *g, struct err *err)
{
    struct buf path BUF_CLEANUP = BUF_INIT;
    struct target target = g->targets.items[0];
    struct str name = target.name;
    struct watching w = {.getting = g, .headers = true};
    target.name = STR_NONE;
    request_path(g, &target, &path);
    path_query(&path, "watch", STR("true"));
    if (name.n > 0) {
        char field[300];
        snprintf(field, sizeof field, "metadata.name=%.*s", STR_ARG(name));
        path_query(&path, "fieldSelector", str_of(field));
    }
    struct connection_request request = {
        .method = "GET", .path = buf_view(&path), .accept = ACCEPT_TABLE, .timeout_ns = -1};
    int rc = connection_stream(g->connection, &request, on_watch_bytes, &w, err);
    buf_done(&w.line);
    return rc;
}

static int get_raw(struct getting *g, struct err *err)
{
    struct buf body BUF_CLEANUP = BUF_INIT;
    struct connection_request request = {
        .method = "GET", .path = str_of(g->arguments.raw), .accept = "*/*"};
    int rc = connection_send(g->connection, &request, &body, err);
    out_write(&body);
    return rc;
}

static int get_tables(struct getting *g, struct err *err)
{
    size_t shown = 0;
    int rc = 0;
    const struct api_resource *last = NULL;
    for (size_t i = 0; i < g->targets.count; i++) {
        const struct target *target = &g->targets.items[i];
        size_t rows = 0;
        int one = get_table(g, target, target->resource != last || target->name.n == 0, &rows, err);
        if (one == ERR_NOT_FOUND && g->arguments.ignore_missing) {
            one = 0;
        } else if (one == ERR_NOT_FOUND && target->name.n > 0) {
            cli_fail(err); /* kubectl shows the others as well */
            rc = one;
        } else if (one != 0) {
            return one;
        }
        last = rows > 0 ? target->resource : last;
        shown += rows;
    }
    if (shown == 0 && rc == 0) {
        const struct api_resource *resource = g->targets.items[0].resource;
        struct str ns = cli_namespace(&g->arguments, g->connection, resource);
        if (ns.n > 0) {
            fprintf(stderr, "No resources found in %.*s namespace.\n", STR_ARG(ns));
        } else {
            fputs("No resources found\n", stderr);
        }
    }
    return rc == ERR_NOT_FOUND ? ERR_CANCELED : rc;
}

int cli_get(int argc, char **argv)
{
    struct getting g = {.first = true};
    struct err err = ERR_INIT;
    unsigned flags = FLAG_NAMESPACE | FLAG_ALL_NAMESPACES | FLAG_SELECTOR | FLAG_FIELD_SELECTOR |
                     FLAG_OUTPUT | FLAG_WATCH | FLAG_RAW | FLAG_IGNORE_MISSING | FLAG_NO_HEADERS |
                     FLAG_SHOW_LABELS;
    if (!cli_open(argc, argv, flags, &g.arguments, &g.connection)) {
        return 1;
    }
    const char *form = g.arguments.output;
    bool table = form == NULL || strcmp(form, "wide") == 0;
    int rc = 0;
    if (!table && strcmp(form, "yaml") != 0 && strcmp(form, "json") != 0 &&
        strcmp(form, "name") != 0) {
        rc = err_set(&err, ERR_INVALID,
                     "-o %s: cox knows wide, yaml, json and name; kubectl knows more", form);
    } else if (g.arguments.raw != NULL) {
        rc = get_raw(&g, &err);
    } else if ((rc = arguments_targets(&g.arguments, &g.targets, &err)) == 0) {
        rc = g.arguments.watch ? watch_table(&g, &err)
             : table           ? get_tables(&g, &err)
                               : get_objects(&g, &err);
    }
    int status = rc == 0 ? 0 : rc == ERR_CANCELED ? 1 : cli_fail(&err);
    vec_done(&g.targets);
    cli_close(&g.arguments, g.connection);
    return status;
}
