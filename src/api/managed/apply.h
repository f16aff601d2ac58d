/* apply.h: server-side apply (KEP-555): what a manager wants, merged into what is there.
 *
 * The configuration is taken as the client wrote it, untyped: what it says the manager owns, and
 * what it said last time and does not say now goes, unless somebody else owns it. A field that
 * another manager owns with another value is a conflict, unless force takes it.
 */
#pragma once
#include "api/fields.h"
#include "base/err.h"

struct apply {
    const struct fields_writer *writer;
    const char *kind;         /* of the resource; version and type are the writer's */
    const struct val *live;   /* typed, with its managedFields; NULL: there is no object */
    const struct val *config; /* untyped */
    bool force;
};

struct apply_result {
    struct val *object; /* merged, with its managedFields; the caller types it and sets defaults */
    bool unchanged;     /* object and managedFields are as they were */
};

struct apply_cause {
    struct str message, field;
};
struct apply_refusal {
    enum err_code code; /* ERR_BAD_REQUEST; ERR_CONFLICT with causes; ERR_INTERNAL: what the API
                           answers with 500 and no reason */
    struct str message;
    struct apply_cause *causes;
    size_t cause_count;
};

/* 0 with *ret_result, or refusal->code. Everything is in the arena, and may share nodes with live
 * and config. */
int fields_apply(struct arena *arena, const struct apply *apply, struct apply_result *ret_result,
                 struct apply_refusal *refusal);
