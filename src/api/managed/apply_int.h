/* apply_int.h: the parts of an apply. Inside managed/ only. */
#pragma once
#include "api/managed/apply.h"
#include "api/managed/managed_int.h"

/* config.c: complaints about a configuration that does not fit its type, one a line; n 0: none. */
struct str config_check(struct arena *arena, const struct api_struct *type,
                        const struct val *config);
/* The fields that a configuration names, kind and name and all. */
struct val *config_set(struct arena *arena, const struct api_struct *type,
                       const struct val *config);
/* Those of a set that somebody can own: not the system's. */
struct val *config_owned(struct arena *arena, struct val *set);

/* merge.c: puts the configuration into `object`, in place. Whether anything changed. */
bool apply_merge(struct arena *arena, const struct api_struct *type, struct val *object,
                 const struct val *config);

/* prune.c: `merged` without what was in `last` and nobody owns any more. A container that lost
 * all its members is left as null. Whether anything went. */
bool apply_prune(struct arena *arena, const struct fields_writer *writer,
                 const struct entries *entries, const struct entry *last, struct val **merged);

/* conflict.c */
struct conflicts {
    struct arena *arena;
    struct conflict {
        const struct entry *entry; /* who has it */
        struct val *set;           /* which fields */
    } * items;
    size_t count;
};
int conflicts_refuse(const struct conflicts *conflicts, struct apply_refusal *refusal);
/* ".spec.ports[port=80,protocol=\"TCP\"].name" part of one element, at the end. */
void field_element_text(struct str element, struct buf *out);

/* last_applied.c: what kubectl's client-side apply last applied and is still there; NULL: nothing.
 */
struct val *last_applied_set(struct arena *arena, const struct apply *apply);
/* Keeps the annotation in step with the configuration, when the object has it. */
void last_applied_sync(struct arena *arena, struct val *object, const struct val *config);
