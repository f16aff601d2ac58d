/* table.c: column widths, then lines. See table.h. */
#include "cli/table.h"

#include <stdlib.h>

#include "base/vec.h"

struct lines {
    VEC_OF(struct str); /* cells, row by row */
    size_t columns;
};

static struct str upper(struct arena *arena, struct str text)
{
    char *copy = str_dup_in(arena, text);
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
    }
    return str_at(copy, text.n);
}

static struct str cell_text(struct arena *arena, const struct val *cell)
{
    switch (cell != NULL ? cell->type : VAL_NULL) {
    case VAL_STRING:
    case VAL_NUMBER:
        return cell->text;
    case VAL_TRUE:
        return STR("true");
    case VAL_FALSE:
        return STR("false");
    case VAL_NULL:
        return STR("<none>");
    case VAL_OBJECT:
    case VAL_ARRAY:
        break;
    }
    struct buf json BUF_CLEANUP = BUF_INIT;
    val_write_json(cell, &json);
    return str_copy_in(arena, buf_view(&json));
}

static struct str labels_text(struct arena *arena, const struct val *labels)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    VAL_EACH (label, labels) {
        buf_printf(&text, "%s%.*s=%.*s", text.n > 0 ? "," : "", STR_ARG(label->key),
                   STR_ARG(label->text));
    }
    return text.n > 0 ? str_copy_in(arena, buf_view(&text)) : STR("<none>");
}

static bool column_shown(const struct val *column, const struct table_options *options)
{
    return options->wide || val_int(val_get(column, "priority"), 0) == 0;
}

static void add_row(struct arena *arena, struct lines *lines, const struct val *columns,
                    const struct val *row, const struct table_options *options)
{
    const struct val *metadata = val_path(row, "object.metadata"),
                     *cell = val_get(row, "cells") != NULL ? val_get(row, "cells")->child : NULL;
    if (options->with_namespace) {
        *vec_push(lines) = val_text(val_get(metadata, "namespace"));
    }
    VAL_EACH (column, columns) {
        if (column_shown(column, options)) {
            struct str text = cell_text(arena, cell);
            bool name =
                options->prefix.n > 0 && str_is(val_text(val_get(column, "format")), "name");
            *vec_push(lines) = name ? str_of(arena_printf(arena, "%.*s%.*s",
                                                          STR_ARG(options->prefix), STR_ARG(text)))
                                    : text;
        }
        cell = cell != NULL ? cell->next : NULL;
    }
    if (options->show_labels) {
        *vec_push(lines) = labels_text(arena, val_get(metadata, "labels"));
    }
}

static void add_head(struct arena *arena, struct lines *lines, const struct val *columns,
                     const struct table_options *options)
{
    if (options->with_namespace) {
        *vec_push(lines) = STR("NAMESPACE");
    }
    VAL_EACH (column, columns) {
        if (column_shown(column, options)) {
            *vec_push(lines) = upper(arena, val_text(val_get(column, "name")));
        }
    }
    if (options->show_labels) {
        *vec_push(lines) = STR("LABELS");
    }
    lines->columns = lines->count;
}

/* Printed width: code points, since names and ages may hold more than ASCII. */
static size_t width_of(struct str text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.n; i++) {
        width += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    }
    return width;
}

void table_print(const struct val *table, const struct table_options *options, bool headers,
                 struct buf *out)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *columns = val_get(table, "columnDefinitions"), *rows = val_get(table, "rows");
    struct lines lines = {0};
    add_head(&arena, &lines, columns, options);
    VAL_EACH (row, rows) {
        add_row(&arena, &lines, columns, row, options);
    }
    size_t columns_n = lines.columns, first = headers && !options->no_headers ? 0 : columns_n;
    size_t *widths = arena_array(&arena, size_t, columns_n + 1);
    for (size_t i = first; columns_n > 0 && i < lines.count; i++) {
        size_t width = width_of(lines.items[i]);
        widths[i % columns_n] = width > widths[i % columns_n] ? width : widths[i % columns_n];
    }
    for (size_t i = first; columns_n > 0 && i < lines.count; i++) {
        bool last = i % columns_n == columns_n - 1;
        buf_str(out, lines.items[i]);
        for (size_t pad = last ? 0 : widths[i % columns_n] + 3 - width_of(lines.items[i]); pad > 0;
             pad--) {
            buf_char(out, ' ');
        }
        if (last) {
            buf_char(out, '\n');
        }
    }
    vec_done(&lines);
}
