/* json_emit.h: writing JSON straight into a buffer, commas kept by the writer. Inside api/ only.
 *
 * emit_key() starts a member; values follow. Nothing checks the nesting: the callers are documents
 * of fixed shape, and their tests parse what comes out.
 */
#pragma once
#include "api/json_int.h"

struct emit {
    struct buf *out;
    bool comma; /* something stands before, at this level */
};

static inline void emit_sep(struct emit *e)
{
    if (e->comma) {
        buf_char(e->out, ',');
    }
    e->comma = true;
}
static inline void emit_open(struct emit *e, char bracket) /* as an element or a member's value */
{
    if (bracket == '{' || bracket == '[') {
        emit_sep(e);
    }
    buf_char(e->out, bracket);
    e->comma = false;
}
static inline void emit_close(struct emit *e, char bracket)
{
    buf_char(e->out, bracket);
    e->comma = true;
}
static inline void emit_key(struct emit *e, const char *name) /* the next value takes no comma */
{
    emit_sep(e);
    json_write_string(str_of(name), e->out);
    buf_char(e->out, ':');
    e->comma = false;
}
static inline void emit_str(struct emit *e, struct str text)
{
    emit_sep(e);
    json_write_string(text, e->out);
}
static inline void emit_text(struct emit *e, const char *text)
{
    emit_str(e, str_of(text));
}
static inline void emit_raw(struct emit *e, const char *json) /* true, 5, {}, ... */
{
    emit_sep(e);
    buf_addz(e->out, json);
}
static inline void emit_member(struct emit *e, const char *name, const char *text)
{
    emit_key(e, name);
    emit_text(e, text);
}
static inline void emit_texts(struct emit *e, const char *name, const char *const *texts)
{
    emit_key(e, name);
    emit_open(e, '[');
    for (; *texts != NULL; texts++) {
        emit_text(e, *texts);
    }
    emit_close(e, ']');
}
