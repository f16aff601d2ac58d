/* version.c: conversion between the versions of a kind. */
#include "server/write/version.h"

#include "api/custom/custom.h"
#include "api/kinds/policy/autoscaler.h"
#include "server/request.h"

struct move { /* a member that has another name in the other version */
    const char *stored, *other;
};

/* core/v1 Event (stored) and events.k8s.io/v1 Event. Members not named here have one name. */
static const struct move event_moves[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"reportingComponent", "reportingController"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
};

static void rename_member(struct val *object, const char *from, const char *to)
{
    VAL_EACH (it, object) {
        if (str_is(it->key, from)) {
            it->key = str_of(to);
            it->field = NULL;
            return;
        }
    }
}

static void move_members(struct val *object, const struct move *moves, size_t count, bool to_store)
{
    for (size_t i = 0; i < count; i++) {
        rename_member(object, to_store ? moves[i].other : moves[i].stored,
                      to_store ? moves[i].stored : moves[i].other);
    }
}

static bool is_event(const struct api_resource *resource)
{
    return str_is(str_of(resource->kind), "Event");
}

static void retype(struct arena *arena, const struct api_resource *resource, struct val *value)
{
    val_set_text(arena, value, STR("apiVersion"),
                 api_version_text(arena, resource->group, resource->version));
    codec_apply_schema(arena, resource->type, value, CODEC_IGNORE, NULL, NULL);
    if (resource->custom != NULL) {
        custom_default(arena, resource->custom, value);
    }
}

static bool is_autoscaler(const struct api_resource *resource)
{
    return str_is(str_of(resource->kind), "HorizontalPodAutoscaler");
}

/* The tape in the other version, untyped and without kind and version. */
static struct val *converted(struct arena *arena, const struct api_resource *resource,
                             struct val *value, bool to_store)
{
    if (is_event(resource)) {
        move_members(value, event_moves, sizeof event_moves / sizeof *event_moves, to_store);
        return value;
    }
    if (is_autoscaler(resource)) {
        struct val *other =
            to_store ? autoscaler_to_v2(arena, value) : autoscaler_to_v1(arena, value);
        struct val *whole = val_new(arena, VAL_OBJECT);
        val_set_text(arena, whole, STR("kind"), str_of(resource->kind));
        val_set_text(arena, whole, STR("apiVersion"), STR("")); /* its place; retype() fills it */
        VAL_EACH (it, other) {
            val_set(whole, it->key, val_copy(arena, it));
        }
        return whole;
    }
    return value;
}

/* A tape in the stored version: itself, or a converted copy. */
static struct val *to_store(struct arena *arena, const struct api_resource *resource,
                            struct val *value)
{
    const struct api_resource *storage = resource->storage;
    if (storage == resource) {
        return value;
    }
    struct val *copy = converted(arena, resource, val_copy(arena, value), true);
    retype(arena, storage, copy);
    return copy;
}

/* A tape in the stored version becomes one in `resource`'s. */
static struct val *from_store(struct arena *arena, const struct api_resource *resource,
                              struct val *value)
{
    if (resource->storage == resource && resource->custom == NULL) {
        return value;
    }
    value = converted(arena, resource, value, false);
    retype(arena, resource, value);
    return value;
}

struct object *version_store(struct arena *arena, const struct api_resource *resource,
                             struct val *value)
{
    return object_new(resource->storage, to_store(arena, resource, value), 0);
}

struct val *version_decode(struct arena *arena, const struct api_resource *resource,
                           const struct object *object)
{
    struct val *value = object_decode(object, arena);
    return object->resource != resource ? from_store(arena, resource, value) : value;
}

struct val *version_convert(struct arena *arena, const struct api_resource *from,
                            const struct api_resource *to, const struct val *value)
{
    struct val *copy = val_copy(arena, value);
    retype(arena, from, copy);
    return from_store(arena, to, to_store(arena, from, copy));
}
