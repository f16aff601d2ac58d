/* revisions.h: the history of a template: ControllerRevisions (apps/v1) of a StatefulSet or a
 * DaemonSet.
 *
 * A revision holds the template as a strategic merge patch of the owner, {"spec":{"template":{...,
 * "$patch":"replace"}}}, which is what `kubectl rollout undo` sends. Two revisions are the same
 * when their data is. Numbers rise; an old template that comes back gets the next number instead of
 * a second object.
 */
#pragma once
#include "controllers/children.h"

struct revision {
    struct object *object; /* held by the pass */
    struct val *value;
    int64_t number, created;
};
struct revisions {
    struct revision *items; /* by number, oldest first */
    size_t count;
};

/* Claims those that `selector` matches (adoption, release) and loads them. */
void revisions_load(struct pass *pass, struct object *owner, const struct selector *selector,
                    const struct informer *informer, struct revisions *ret_revisions);
struct revision *revisions_find(const struct revisions *revisions, struct str name);

/* FNV-1a of the text and the collision count (below 0: none), written with letters that make no
 * words. */
const char *hash_text(struct arena *arena, struct str text, int64_t collisions);

struct revision_rule {
    const struct api_resource *resource; /* controllerrevisions */
    const char *hash_label;              /* "controller.kubernetes.io/hash" ... */
    int64_t first_collisions;            /* what status.collisionCount is while it is absent */
};
/* The revision of the owner's present template, with the newest number: an old one that comes back
 * is renumbered. NULL: one was sent to be made, NAME-HASH; the pass comes again. A name that is
 * taken raises the owner's status.collisionCount. */
struct revision *revisions_current(struct pass *pass, struct object *owner, const struct val *value,
                                   const struct revisions *revisions,
                                   const struct revision_rule *rule);
/* Deletes the oldest beyond `limit` of those that `is_live` does not keep. */
void revisions_truncate(struct pass *pass, const struct revisions *revisions, int64_t limit,
                        bool (*is_live)(void *ctx, const struct revision *revision), void *ctx);
