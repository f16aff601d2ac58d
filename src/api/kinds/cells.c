/* cells.c: cells of a Table row. See cells.h. Texts live in the request's arena. */
#include "api/kinds/cells.h"

#include <stdlib.h>

#include "base/clock.h"

void cell_text(struct api_context *ctx, struct val *cells, struct str text)
{
    val_append(cells, val_new_text(ctx->arena, text.p != NULL ? text : STR("")));
}

void cell_format(struct api_context *ctx, struct val *cells, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    cell_text(ctx, cells, str_of(arena_vprintf(ctx->arena, format, ap)));
    va_end(ap);
}

void cell_int(struct api_context *ctx, struct val *cells, int64_t value)
{
    val_append(cells, val_new_int(ctx->arena, value));
}

void cell_bool(struct api_context *ctx, struct val *cells, bool value)
{
    val_append(cells, val_new_bool(ctx->arena, value));
}

void cell_switch(struct api_context *ctx, struct val *cells, const struct val *value)
{
    bool on = val_bool(value, false);
    cell_text(ctx, cells, val_absent(value) ? STR("<unset>") : on ? STR("True") : STR("False"));
}

struct str cell_since_text(struct api_context *ctx, const struct val *time)
{
    int64_t then;
    if (!time_parse(val_text(time), &then)) {
        return STR("<unknown>");
    }
    char *text = arena_alloc(ctx->arena, TIME_TEXT_SIZE);
    size_t n = duration_format_age(ctx->now_wall_ns - then, text);
    return str_at(text, n);
}

void cell_since(struct api_context *ctx, struct val *cells, const struct val *time)
{
    cell_text(ctx, cells, cell_since_text(ctx, time));
}

void cell_age(struct api_context *ctx, struct val *cells, const struct val *object)
{
    cell_since(ctx, cells, val_path(object, "metadata.creationTimestamp"));
}

void cells_name_age(struct api_context *ctx, const struct val *object, struct val *cells)
{
    cell_text(ctx, cells, val_name(object));
    cell_age(ctx, cells, object);
}

void cell_or_none(struct api_context *ctx, struct val *cells, struct str text)
{
    cell_text(ctx, cells, text.n > 0 ? text : STR("<none>"));
}

static int compare_texts(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Joins with commas, in text order. */
static struct str join_sorted(struct arena *arena, struct str *items, size_t count)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    if (count > 1) {
        qsort(items, count, sizeof *items, compare_texts);
    }
    for (size_t i = 0; i < count; i++) {
        buf_addz(&out, i > 0 ? "," : "");
        buf_str(&out, items[i]);
    }
    return str_copy_in(arena, buf_view(&out));
}

struct str cell_map_text(struct api_context *ctx, const struct val *map)
{
    if (val_count(map) == 0) {
        return STR("<none>");
    }
    struct str *items = arena_array(ctx->arena, struct str, map->count);
    size_t count = 0;
    VAL_EACH (it, map) {
        items[count++] =
            str_of(arena_printf(ctx->arena, "%.*s=%.*s", STR_ARG(it->key), STR_ARG(val_text(it))));
    }
    return join_sorted(ctx->arena, items, count);
}

struct str cell_keys_text(struct api_context *ctx, const struct val *map)
{
    struct str *items = arena_array(ctx->arena, struct str, val_count(map) + 1);
    size_t count = 0;
    VAL_EACH (it, map) {
        items[count++] = it->key;
    }
    return join_sorted(ctx->arena, items, count);
}

static struct str requirement_text(struct api_context *ctx, const struct val *expression)
{
    struct str key = val_text(val_get(expression, "key"));
    struct str op = val_text(val_get(expression, "operator"));
    if (str_is(op, "Exists")) {
        return key;
    }
    if (str_is(op, "DoesNotExist")) {
        return str_of(arena_printf(ctx->arena, "!%.*s", STR_ARG(key)));
    }
    const struct val *values = val_get(expression, "values");
    struct str *items = arena_array(ctx->arena, struct str, val_count(values) + 1);
    size_t count = 0;
    VAL_EACH (it, values) {
        items[count++] = val_text(it);
    }
    return str_of(arena_printf(ctx->arena, "%.*s %s (%.*s)", STR_ARG(key),
                               str_is(op, "In") ? "in" : "notin",
                               STR_ARG(join_sorted(ctx->arena, items, count))));
}

struct str cell_selector_text(struct api_context *ctx, const struct val *selector)
{
    const struct val *labels = val_get(selector, "matchLabels");
    const struct val *expressions = val_get(selector, "matchExpressions");
    if (val_count(expressions) == 0) {
        return cell_map_text(ctx, labels);
    }
    struct str *items =
        arena_array(ctx->arena, struct str, val_count(labels) + val_count(expressions));
    size_t count = 0;
    VAL_EACH (it, labels) {
        items[count++] =
            str_of(arena_printf(ctx->arena, "%.*s=%.*s", STR_ARG(it->key), STR_ARG(val_text(it))));
    }
    VAL_EACH (it, expressions) {
        items[count++] = requirement_text(ctx, it);
    }
    return join_sorted(ctx->arena, items, count);
}

void cell_containers(struct api_context *ctx, struct val *cells, const struct val *pod_spec)
{
    struct buf names BUF_CLEANUP = BUF_INIT, images BUF_CLEANUP = BUF_INIT;
    VAL_EACH (container, val_get(pod_spec, "containers")) {
        const char *comma = names.n > 0 ? "," : "";
        buf_addz(&names, comma);
        buf_str(&names, val_text(val_get(container, "name")));
        buf_addz(&images, comma);
        buf_str(&images, val_text(val_get(container, "image")));
    }
    cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&names)));
    cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&images)));
}
