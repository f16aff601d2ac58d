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

struct val *revision_data(struct arena *arena, const struct val *owner);
/* Claims those that `selector` matches (adoption, release) and loads them. */
void revisions_load(struct pass *pass, struct object *owner, const struct selector *selector,
                    const struct informer *informer, struct revisions *ret_revisions);
struct revision *revisions_find(const struct revisions *revisions, struct str name);
/* The newest with this data, or NULL. */
struct revision *revisions_equal(const struct revisions *revisions, const struct val *data);
int64_t revisions_next(const struct revisions *revisions);

/* FNV-1a of the text and the collision count (below 0: none), written with letters that make no
 * words. */
const char *hash_text(struct arena *arena, struct str text, int64_t collisions);

struct revision_new {
    struct object *owner;
    const struct val *value; /* of the owner: template's labels and own annotations are copied */
    struct val *data;
    const char *hash_label; /* "controller.kubernetes.io/hash" ... */
    int64_t number, collisions;
};
/* The object to create; *ret_name is NAME-HASH. */
struct val *revision_make(struct arena *arena, const struct revision_new *wanted,
                          const char **ret_name);
/* Sends the new number of an old revision. */
void revision_renumber(struct pass *pass, struct revision *revision, int64_t number);
/* Deletes the oldest beyond `limit` of those that `is_live` does not keep. */
void revisions_truncate(struct pass *pass, const struct revisions *revisions, int64_t limit,
                        bool (*is_live)(void *ctx, const struct revision *revision), void *ctx);
