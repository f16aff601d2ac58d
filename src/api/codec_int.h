/* codec_int.h: what the parts of the codec share. Inside api/ only. */
#pragma once
#include "api/codec.h"
#include "api/json_int.h"

/* Complaints that are kept; the rest is only dropped. */
enum { CODEC_WARNINGS_MAX = 100 };

/* Where a value stands: the containers above it, outermost first. */
struct codec_step {
    struct val *container;
    const struct api_struct *type;   /* of a struct's object, else NULL */
    const struct api_field *members; /* of a list or map: what each member is; NULL: anything */
    struct val *at;                  /* the member that is looked at */
    uint32_t index;                  /* its position in a list */
    uint16_t hint;                   /* struct: the field that probably comes next */
    bool nested;                     /* members are whole fields, lists or maps themselves */
    uint64_t seen[2];                /* struct: fields that were there, by index */
};

struct codec_state {
    struct arena *arena;
    enum codec_strictness strictness;
    struct codec_warnings *warnings; /* the caller's, or own */
    struct codec_warnings own;
    struct codec_step steps[VAL_DEPTH_MAX];
    uint32_t depth;
};

/* "spec.containers[0].image" of the innermost member, `leaf` in place of its name when not NULL. */
struct str codec_where(const struct codec_state *state, const struct str *leaf);
/* Keeps `what "path"` once strictness asks for it. */
void codec_complain(struct codec_state *state, const char *what, const struct str *leaf);
/* Strict: the complaints as one ERR_BAD_REQUEST. */
int codec_verdict(struct codec_state *state, struct err *err);

/* The envelope and the message in it, typed. Unknown numbers are skipped, as protobuf has it. */
int codec_decode_protobuf(struct arena *arena, const struct api_struct *type, struct str text,
                          struct val **ret_value, struct err *err);

/* Checks a scalar, list or object that should be one member as `field` says, and normalises it
 * (quantities to text, times to UTC). NULL when it fits, else what is wanted, for "PATH must be
 * ...". Members of containers are the caller's. `as_member`: of a list or map, so the shape is ONE.
 */
const char *codec_check(struct arena *arena, const struct api_field *field, bool as_member,
                        struct val *v);
/* What null means inside a list or map: the type's zero value. */
void codec_zero_member(const struct api_field *field, struct val *v);
/* Canonical text of a quantity; false when it is none. */
bool codec_quantity(struct arena *arena, struct val *v);
int codec_type_error(const struct codec_state *state, const struct val *v, const char *wanted,
                     struct err *err);

int codec_decode_json(struct arena *arena, const struct api_struct *type, struct str text,
                      enum codec_strictness strictness, struct codec_warnings *warnings,
                      struct val **ret_value, struct err *err);

/* Opens `container`, which codec_check() accepted as `field` (NULL: anything). False: too deep. */
bool codec_enter(struct codec_state *state, struct val *container, const struct api_field *field,
                 bool as_member);
/* Of members with the same name in the innermost container (a map, or anything) the last one stays.
 */
void codec_drop_duplicates(struct codec_state *state);
/* As above for a struct: the field came again. */
void codec_drop_field(struct codec_state *state, const struct api_field *field);
/* The bytes of an object at rest: kind and apiVersion are the resource's, whatever the tape says,
 * and metadata.resourceVersion is left out. */
void codec_write_rest(const struct api_resource *resource, const struct val *value,
                      struct buf *out);
