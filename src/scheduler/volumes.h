/* volumes.h: PersistentVolumeClaims, PersistentVolumes and StorageClasses as the scheduler sees
 * them: references to the informers' objects, decoded only for pods that have claims. One thread.
 */
#pragma once
#include "api/object.h"
#include "base/map.h"

struct volumes {
    struct map claims;  /* "ns/name" -> struct object */
    struct map volumes; /* name -> struct object */
    struct map classes;
};
void volumes_done(struct volumes *volumes);
/* now NULL: gone. */
void volumes_put(struct map *map, struct str key, struct object *now);

struct shape;
struct pod;
/* Decoded, or NULL. `i` below volumes_claim_count(): first the pod's named claims, then those of
 * its ephemeral volumes (POD-VOLUME). `ret_name`: the claim's name. */
size_t volumes_claim_count(const struct shape *shape);
struct val *volumes_claim(const struct volumes *volumes, struct arena *arena, const struct pod *pod,
                          size_t i, struct str *ret_name);
struct val *volumes_find(const struct map *map, struct arena *arena, struct str name);

enum claim_state {
    CLAIM_MISSING,
    CLAIM_LEAVING, /* being deleted */
    CLAIM_LOST,
    CLAIM_IMMEDIATE, /* not bound yet, and nobody waits for a node */
    CLAIM_WAITING,   /* for a node to be chosen (WaitForFirstConsumer), or chosen and not bound */
    CLAIM_BOUND,
};
enum claim_state volumes_claim_state(const struct volumes *volumes, struct arena *arena,
                                     const struct val *claim);
