/* codec.h: bytes to tape and back, driven by a kind's tables.
 *
 * Decoding is one pass over the bytes: unknown and duplicate fields, wrong types, bad times,
 * quantities and base64, depth and size errors all come out of it. A null member of a struct is the
 * same as an absent one; null in a list or map is the zero value; quantities, times and durations
 * on the tape are normal already. Canonical writing puts known members in schema order, drops nulls
 * and what API_OMIT_EMPTY says, and normalises quantities and times, so that equal objects are
 * equal bytes.
 */
#pragma once
#include "api/schema.h"
#include "api/val.h"

enum codec_strictness {
    CODEC_IGNORE,
    CODEC_WARN,
    CODEC_STRICT
}; /* fieldValidation; unknown fields are dropped in all */

/* One complaint a bad field: "unknown field \"spec.foo\"", "duplicate field \"spec.replicas\"".
 * Texts live in the arena. */
struct codec_warnings {
    struct str *items;
    size_t count, cap;
    struct arena *arena;
};

enum codec_format { CODEC_JSON, CODEC_YAML, CODEC_PROTOBUF };

/* Decodes `text` as `type` (NULL: schemaless). Wrong types are ERR_BAD_REQUEST with the field path;
 * in CODEC_STRICT unknown and duplicate fields are too, otherwise they are collected in `warnings`
 * (may be NULL) and dropped. */
int codec_decode(struct arena *arena, const struct api_struct *type, enum codec_format format,
                 struct str text, enum codec_strictness strictness, struct codec_warnings *warnings,
                 struct val **ret_value, struct err *err);
/* Types an already decoded schemaless tape (YAML, patches): same checks, sets val.field, drops
 * unknown members. */
int codec_apply_schema(struct arena *arena, const struct api_struct *type, struct val *value,
                       enum codec_strictness strictness, struct codec_warnings *warnings,
                       struct err *err);

/* Canonical JSON of a typed (or schemaless) tape. */
void codec_write(const struct api_struct *type, const struct val *value, struct buf *out);
/* What Go calls empty: left out where the table says so, unless the field is a pointer. `v` is no
 * null. */
bool codec_is_empty(const struct api_field *field, const struct val *v);
