/* conflict.c: conflicts of an apply, worded as clients of the API read them. */
#include <stdlib.h>

#include "api/field_set.h"
#include "api/managed/apply_int.h"

enum { CAUSES_MAX = 5000 };

/* "[name="a",port=80]" of {"name":"a","port":80} */
static void key_text(const struct val *keys, struct buf *out)
{
    buf_char(out, '[');
    VAL_EACH (it, keys) {
        buf_printf(out, "%s%.*s=", it == keys->child ? "" : ",", STR_ARG(it->key));
        val_write_json(it, out);
    }
    buf_char(out, ']');
}

void field_element_text(struct str element, struct buf *out)
{
    struct str rest = str_from(element, 2);
    struct arena scratch ARENA_CLEANUP = ARENA_INIT;
    struct val *keys = NULL;
    switch (element.n >= 2 ? element.p[0] : '\0') {
    case 'f':
        buf_printf(out, ".%.*s", STR_ARG(rest));
        break;
    case 'v':
        buf_printf(out, "[=%.*s]", STR_ARG(rest));
        break;
    case 'k':
        if (val_parse_json(&scratch, rest, &keys, NULL) == 0) {
            key_text(keys, out);
            break;
        }
        __attribute__((fallthrough));
    default:
        buf_printf(out, "[%.*s]", STR_ARG(rest));
        break;
    }
}

static void write_manager(const struct entry *entry, struct buf *out)
{
    struct val name = {.type = VAL_STRING, .text = entry->manager};
    val_write_json(&name, out);
    if (entry->subresource.n > 0) {
        struct val subresource = {.type = VAL_STRING, .text = entry->subresource};
        buf_addz(out, " with subresource ");
        val_write_json(&subresource, out);
    }
    if (!entry_is_apply(entry)) {
        buf_printf(out, " using %.*s", STR_ARG(entry->version));
    }
}

struct listing {
    struct arena *arena;
    struct apply_cause *causes;
    size_t count, cap;
    struct buf path;
    struct str message; /* of the manager at hand */
};

static void add_cause(struct listing *listing)
{
    if (listing->count == CAUSES_MAX) {
        return;
    }
    if (listing->count == listing->cap) {
        size_t cap = listing->cap > 0 ? listing->cap * 2 : 8;
        struct apply_cause *causes = arena_array(listing->arena, struct apply_cause, cap);
        if (listing->count > 0) {
            memcpy(causes, listing->causes, sizeof *causes * listing->count);
        }
        listing->causes = causes;
        listing->cap = cap;
    }
    listing->causes[listing->count++] =
        (struct apply_cause){.message = listing->message,
                             .field = str_copy_in(listing->arena, buf_view(&listing->path))};
}

/* The paths of a set: at each level first what is in it, then what is below. */
static void list_paths(struct listing *listing, const struct val *node)
{
    size_t n = listing->path.n;
    for (int below = 0; below <= 1; below++) {
        for (const struct val *it = field_set_first(node); it != NULL; it = it->next) {
            field_element_text(it->key, &listing->path);
            if (below == 0 && field_set_includes_itself(it)) {
                add_cause(listing);
            } else if (below == 1) {
                list_paths(listing, it);
            }
            listing->path.n = n;
        }
    }
}

static int by_manager(const void *a, const void *b)
{
    const struct entry *x = ((const struct conflict *)a)->entry;
    const struct entry *y = ((const struct conflict *)b)->entry;
    int order = str_cmp(x->manager, y->manager);
    order = order != 0 ? order : str_cmp(x->operation, y->operation);
    order = order != 0 ? order : str_cmp(x->version, y->version);
    return order != 0 ? order : str_cmp(x->subresource, y->subresource);
}

int conflicts_refuse(const struct conflicts *conflicts, struct apply_refusal *refusal)
{
    struct listing listing = {.arena = conflicts->arena};
    struct buf text BUF_CLEANUP = BUF_INIT;
    qsort(conflicts->items, conflicts->count, sizeof *conflicts->items, by_manager);
    for (size_t i = 0; i < conflicts->count; i++) {
        struct buf manager BUF_CLEANUP = BUF_INIT;
        size_t first = listing.count;
        write_manager(conflicts->items[i].entry, &manager);
        listing.message = str_of(
            arena_printf(conflicts->arena, "conflict with %.*s", STR_ARG(buf_view(&manager))));
        list_paths(&listing, conflicts->items[i].set);
        buf_printf(&text, "%sconflicts with %.*s:", text.n > 0 ? "\n" : "",
                   STR_ARG(buf_view(&manager)));
        for (; first < listing.count; first++) {
            buf_printf(&text, "\n- %.*s", STR_ARG(listing.causes[first].field));
        }
    }
    refusal->code = ERR_CONFLICT;
    refusal->causes = listing.causes;
    refusal->cause_count = listing.count;
    refusal->message = str_of(
        listing.count == 1
            ? arena_printf(conflicts->arena, "Apply failed with 1 conflict: %.*s: %.*s",
                           STR_ARG(listing.causes[0].message), STR_ARG(listing.causes[0].field))
            : arena_printf(conflicts->arena, "Apply failed with %zu conflicts: %.*s", listing.count,
                           STR_ARG(buf_view(&text))));
    buf_done(&listing.path);
    return ERR_CONFLICT;
}
