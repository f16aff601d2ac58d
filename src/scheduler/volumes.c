/* Claims, volumes and classes (volumes.h). */
#include "scheduler/volumes.h"

#include "api/volume_binding.h"
#include "scheduler/cluster.h"

static void drop_all(struct map *map)
{
    MAP_EACH (it, map) {
        object_unref(it->value);
    }
    map_done(map);
}

void volumes_done(struct volumes *volumes)
{
    drop_all(&volumes->claims);
    drop_all(&volumes->volumes);
    drop_all(&volumes->classes);
}

void volumes_put(struct map *map, struct str key, struct object *now)
{
    struct object *old = now != NULL ? map_set(map, key, object_ref(now)) : map_remove(map, key);
    object_unref(old);
}

struct val *volumes_find(const struct map *map, struct arena *arena, struct str name)
{
    const struct object *object = map_get(map, name);
    return object != NULL ? object_decode(object, arena) : NULL;
}

size_t volumes_claim_count(const struct shape *shape)
{
    return (size_t)shape->claim_count + shape->ephemeral_count;
}

struct val *volumes_claim(const struct volumes *volumes, struct arena *arena, const struct pod *pod,
                          size_t i, struct str *ret_name)
{
    const struct shape *shape = pod->shape;
    struct str name, ns = str_cut(pod->key, '/', &name);
    if (i < shape->claim_count) {
        *ret_name = shape->claims[i];
    } else {
        struct str volume = shape->ephemerals[i - shape->claim_count];
        *ret_name = str_of(arena_printf(arena, "%.*s-%.*s", STR_ARG(name), STR_ARG(volume)));
    }
    return volumes_find(&volumes->claims, arena,
                        str_of(arena_printf(arena, "%.*s/%.*s", STR_ARG(ns), STR_ARG(*ret_name))));
}

enum claim_state volumes_claim_state(const struct volumes *volumes, struct arena *arena,
                                     const struct val *claim)
{
    if (claim == NULL) {
        return CLAIM_MISSING;
    }
    if (!val_absent(val_path(claim, "metadata.deletionTimestamp"))) {
        return CLAIM_LEAVING;
    }
    if (str_is(val_text(val_path(claim, "status.phase")), "Lost")) {
        return CLAIM_LOST;
    }
    if (claim_is_bound(claim)) {
        return CLAIM_BOUND;
    }
    const struct val *class = volumes_find(&volumes->classes, arena, volume_class_of(claim));
    bool waits = str_is(val_text(val_get(class, "volumeBindingMode")), "WaitForFirstConsumer");
    return waits && val_text(val_path(claim, "spec.volumeName")).n == 0 ? CLAIM_WAITING
                                                                        : CLAIM_IMMEDIATE;
}
