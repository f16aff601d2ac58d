/* val.h: the tape: a decoded API value in an arena.
 *
 * A struct val is one JSON value. Object and array members are linked in order through `next`;
 * nodes of one document are bump-allocated one after the other, so a walk is a linear scan of
 * memory. Nothing is freed by itself: the arena is. Editing relinks nodes. A val belongs to the
 * thread that owns its arena.
 *
 * Text is UTF-8, already unescaped, and points into the arena or into the input, which must outlive
 * the tape. Numbers keep their text (`text`), so nothing is lost between input and output.
 * Functions that search take NULL and return NULL, so a path can be walked without checks:
 *   struct str node = val_text(val_get(val_get(pod, "spec"), "nodeName"));
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum val_type { VAL_NULL, VAL_FALSE, VAL_TRUE, VAL_NUMBER, VAL_STRING, VAL_OBJECT, VAL_ARRAY };

struct api_field; /* schema.h */

struct val {
    enum val_type type;
    uint32_t count;    /* object, array: members */
    struct str key;    /* name inside an object; STR_NONE inside an array */
    struct str text;   /* string, number: the value */
    struct val *child; /* object, array: first member */
    struct val *last;  /* object, array: last member */
    struct val *next;  /* sibling */
    const struct api_field
        *field; /* schema field this was decoded as; NULL: unknown or schemaless */
};

/* ---- reading ---- */
struct val *val_get_n(const struct val *object, const char *key, size_t n);
#define val_get(object, literal) val_get_n((object), ("" literal), sizeof(literal) - 1)
struct val *val_get_str(const struct val *object, struct str key);
/* "spec.template.metadata.name": object members only. */
struct val *val_path(const struct val *object, const char *dotted);
/* Array member i, or NULL. */
struct val *val_at(const struct val *array, uint32_t i);
/* Array member (an object) whose string member `key` equals `value`, or NULL: list-maps by merge
 * key. */
struct val *val_find(const struct val *array, const char *key, struct str value);

static inline bool val_is(const struct val *v, enum val_type type)
{
    return v != NULL && v->type == type;
}
static inline bool val_absent(const struct val *v) /* not there, or null */
{
    return v == NULL || v->type == VAL_NULL;
}
struct str val_text(const struct val *v); /* string (or number) text; STR_NONE otherwise */
bool val_bool(const struct val *v, bool otherwise);
int64_t val_int(const struct val *v,
                int64_t otherwise); /* integer text; otherwise when absent or no integer */
static inline uint32_t val_count(const struct val *v)
{
    return v != NULL ? v->count : 0;
}
bool val_equal(
    const struct val *a,
    const struct val *b); /* semantic: member order of objects does not matter; numbers by text */

/* Levels of nesting: 1 for a scalar, 0 for NULL. Patches check it against VAL_DEPTH_MAX. */
uint32_t val_depth(const struct val *v);

/* Shorthand for the common objects: metadata members. */
struct str val_name(const struct val *object);
struct str val_namespace(const struct val *object);
struct str val_uid(const struct val *object);

#define VAL_EACH(it, container)                                                                    \
    for (struct val *it = (container) != NULL ? (container)->child : NULL; it != NULL;             \
         it = it->next)

/* ---- making and changing (all memory from `arena`; keys and texts are borrowed unless said
 * otherwise) ---- */
struct val *val_new(struct arena *arena, enum val_type type);
struct val *val_new_text(struct arena *arena, struct str text); /* string */
struct val *val_new_int(struct arena *arena, int64_t value);
struct val *val_new_bool(struct arena *arena, bool value);
struct val *val_copy(struct arena *arena,
                     const struct val *v); /* deep; texts are copied into the arena too; key kept */

/* Puts `value` under key, replacing in place what was there (order kept), else at the end. Returns
 * value. */
struct val *val_set(struct val *object, struct str key, struct val *value);
struct val *val_set_text(struct arena *arena, struct val *object, struct str key, struct str text);
struct val *val_set_int(struct arena *arena, struct val *object, struct str key, int64_t value);
struct val *val_set_bool(struct arena *arena, struct val *object, struct str key, bool value);
/* The object (array) under key, made when absent or null. */
struct val *val_make_object(struct arena *arena, struct val *object, struct str key);
struct val *val_make_array(struct arena *arena, struct val *object, struct str key);
struct val *val_append(struct val *array, struct val *value); /* returns value */
void val_insert_after(struct val *container, struct val *after,
                      struct val *value);           /* after NULL: first */
bool val_unset(struct val *object, struct str key); /* whether it was there */
void val_sort(struct val *v);                       /* members of all objects by key, deep */
void val_remove(struct val *container, struct val *member); /* relinks; O(members) */

/* ---- JSON (RFC 8259), schemaless ---- */
enum { VAL_DEPTH_MAX = 128 }; /* deeper input is refused */
/* Strict UTF-8, no trailing bytes, one value. Duplicate keys are an error here. `text` must outlive
 * the tape. */
int val_parse_json(struct arena *arena, struct str text, struct val **ret_value, struct err *err);
/* YAML as Kubernetes reads it (sigs.k8s.io/yaml): plain y, yes, on, true and their opposites are
 * booleans, ~ is null, numbers come out as JSON has them. One document; anchors, aliases and merge
 * keys are refused. Texts are copied into the arena. */
int val_parse_yaml(struct arena *arena, struct str text, struct val **ret_value, struct err *err);
/* The same, but of members that have one name the last one holds; what was dropped is counted. */
struct val_twins {
    uint32_t count;
    struct str name; /* of the first */
};
int val_parse_json_loose(struct arena *arena, struct str text, struct val_twins *twins,
                         struct val **ret_value, struct err *err);
int val_parse_yaml_loose(struct arena *arena, struct str text, struct val_twins *twins,
                         struct val **ret_value, struct err *err);
/* Compact JSON, members in order, minimal escaping as encoding/json does without HTML escaping. */
void val_write_json(const struct val *v, struct buf *out);
void val_write_json_pretty(const struct val *v, struct buf *out); /* 2 spaces, as ?pretty=1 */
void val_write_yaml(const struct val *v, struct buf *out);        /* block style, keys in order */
