/* codec.c: the front of the codec: formats, complaints and paths.
 *
 * The work is in codec_decode.c (JSON text to typed tape), codec_apply.c (any tape to typed tape),
 * codec_scalar.c (single values) and codec_write.c (canonical JSON).
 */
#include "api/codec_int.h"

#include <stdlib.h>

#include "base/mem.h"

static const char *type_name(const struct val *v)
{
    static const char *const names[] = {"null",     "a boolean", "a boolean", "a number",
                                        "a string", "an object", "a list"};
    return names[v->type];
}

struct str codec_where(const struct codec_state *state, const struct str *leaf)
{
    struct buf path BUF_CLEANUP = BUF_INIT;
    for (uint32_t i = 0; i < state->depth; i++) {
        const struct codec_step *step = &state->steps[i];
        if (step->container->type == VAL_ARRAY) {
            buf_printf(&path, "[%u]", step->index);
            continue;
        }
        bool last = i + 1 == state->depth;
        struct str name = last && leaf != NULL ? *leaf : step->at != NULL ? step->at->key : STR("");
        buf_printf(&path, "%s%.*s", path.n > 0 ? "." : "", STR_ARG(name));
    }
    return str_copy_in(state->arena, buf_view(&path));
}

void codec_complain(struct codec_state *state, const char *what, const struct str *leaf)
{
    struct codec_warnings *warnings = state->warnings;
    if (state->strictness == CODEC_IGNORE || warnings == NULL ||
        warnings->count >= CODEC_WARNINGS_MAX) {
        return;
    }
    if (warnings->arena == NULL) {
        warnings->arena = state->arena;
    }
    if (warnings->count == warnings->cap) {
        size_t cap = warnings->cap > 0 ? warnings->cap * 2 : 8;
        struct str *items = arena_array(warnings->arena, struct str, cap);
        if (warnings->count > 0) {
            memcpy(items, warnings->items, warnings->count * sizeof *items);
        }
        warnings->items = items;
        warnings->cap = cap;
    }
    struct str where = codec_where(state, leaf);
    warnings->items[warnings->count++] =
        str_of(arena_printf(warnings->arena, "%s \"%.*s\"", what, STR_ARG(where)));
}

bool codec_enter(struct codec_state *state, struct val *container, const struct api_field *field,
                 bool as_member)
{
    if (state->depth == VAL_DEPTH_MAX) {
        return false;
    }
    struct codec_step *step = &state->steps[state->depth++];
    *step = (struct codec_step){.container = container};
    if (field == NULL) {
        return true;
    }
    if (!as_member && field->shape != API_SHAPE_ONE) {
        step->nested = field->type == API_TYPE_NESTED;
        step->members = step->nested ? &field->type_struct->fields[0] : field;
    } else if (field->type == API_TYPE_STRUCT) {
        step->type = field->type_struct;
    }
    return true;
}

/* Sweeps out the members that were marked by clearing their `last` to themselves. */
static void sweep(struct val *container)
{
    struct val *it = container->child;
    container->child = container->last = NULL;
    container->count = 0;
    while (it != NULL) {
        struct val *next = it->next;
        if (it->last != it) {
            val_append(container, it);
        }
        it = next;
    }
}

void codec_drop_duplicates(struct codec_state *state)
{
    struct val *container = state->steps[state->depth - 1].container;
    if (json_duplicate(container) == NULL) {
        return;
    }
    size_t slots = 64;
    while (slots < (size_t)container->count * 2) {
        slots *= 2;
    }
    struct val **table MEM_CLEANUP = mem_array(struct val *, slots);
    VAL_EACH (it, container) {
        size_t at = str_hash(it->key) & (slots - 1);
        while (table[at] != NULL && !str_eq(table[at]->key, it->key)) {
            at = (at + 1) & (slots - 1);
        }
        if (table[at] != NULL) {
            codec_complain(state, "duplicate field", &it->key);
            table[at]->last = table[at];
        }
        table[at] = it;
    }
    sweep(container);
}

void codec_drop_field(struct codec_state *state, const struct api_field *field)
{
    struct codec_step *step = &state->steps[state->depth - 1];
    struct str name = str_at(field->name, field->name_n);
    codec_complain(state, "duplicate field", &name);
    VAL_EACH (it, step->container) {
        if (it->field == field) {
            val_remove(step->container, it);
            return;
        }
    }
}

int codec_verdict(struct codec_state *state, struct err *err)
{
    if (state->strictness != CODEC_STRICT || state->own.count == 0) {
        return 0;
    }
    struct buf text BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < state->own.count; i++) {
        buf_addz(&text, i > 0 ? ", " : "");
        buf_str(&text, state->own.items[i]);
    }
    return err_set(err, ERR_BAD_REQUEST, "strict decoding error: %s", text.p);
}

int codec_type_error(const struct codec_state *state, const struct val *v, const char *wanted,
                     struct err *err)
{
    struct str where = codec_where(state, NULL);
    if (v->type == VAL_STRING || v->type == VAL_NUMBER) {
        struct str text = v->text.n > 64 ? str_at(v->text.p, 64) : v->text;
        return err_set(err, ERR_BAD_REQUEST, "%.*s must be %s, not %s %s%.*s%s",
                       where.n > 0 ? (int)where.n : 12, where.n > 0 ? where.p : "the document",
                       wanted, type_name(v), v->type == VAL_STRING ? "\"" : "", STR_ARG(text),
                       v->type == VAL_STRING ? "\"" : "");
    }
    return err_set(err, ERR_BAD_REQUEST, "%.*s must be %s, not %s", where.n > 0 ? (int)where.n : 12,
                   where.n > 0 ? where.p : "the document", wanted, type_name(v));
}

int codec_decode(struct arena *arena, const struct api_struct *type, enum codec_format format,
                 struct str text, enum codec_strictness strictness, struct codec_warnings *warnings,
                 struct val **ret_value, struct err *err)
{
    if (format == CODEC_PROTOBUF) {
        return codec_decode_protobuf(arena, type, text, ret_value, err);
    }
    if (format == CODEC_JSON && type != NULL) {
        return codec_decode_json(arena, type, text, strictness, warnings, ret_value, err);
    }
    struct val *value = NULL;
    int code = format == CODEC_YAML ? val_parse_yaml(arena, text, &value, err)
                                    : val_parse_json(arena, text, &value, err);
    if (code == 0 && type != NULL) {
        code = codec_apply_schema(arena, type, value, strictness, warnings, err);
    }
    if (code == 0) {
        *ret_value = value;
    }
    return code;
}
