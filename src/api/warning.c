/* warning.c: see warning.h. A plan may run again after a conflict, so that a text that is there
 * already is no news. */
#include "api/warning.h"

void warning_add(struct codec_warnings *warnings, struct str text)
{
    if (warnings == NULL || warnings->count >= WARNING_COUNT_MAX) {
        return;
    }
    for (size_t i = 0; i < warnings->count; i++) {
        if (str_eq(warnings->items[i], text)) {
            return;
        }
    }
    if (warnings->count == warnings->cap) {
        size_t cap = warnings->cap == 0 ? 8 : warnings->cap * 2;
        struct str *grown = arena_array(warnings->arena, struct str, cap);
        if (warnings->count > 0) {
            memcpy(grown, warnings->items, warnings->count * sizeof *grown);
        }
        warnings->items = grown;
        warnings->cap = cap;
    }
    warnings->items[warnings->count++] = text;
}

void api_warn(struct api_context *ctx, const struct path *path, const char *format, ...)
{
    struct codec_warnings *warnings = ctx->warnings;
    if (warnings == NULL || warnings->count >= WARNING_COUNT_MAX) {
        return;
    }
    if (warnings->arena == NULL) {
        warnings->arena = ctx->arena;
    }
    va_list ap;
    va_start(ap, format);
    const char *text = arena_vprintf(warnings->arena, format, ap);
    va_end(ap);
    if (path != NULL) {
        struct field_errors paths = {.arena = warnings->arena};
        struct str where = path_text(&paths, path);
        text = arena_printf(warnings->arena, "%.*s: %s", STR_ARG(where), text);
    }
    warning_add(warnings, str_of(text));
}
