/* object.h: an API object at rest: canonical JSON once, immutable, reference-counted (design.md,
 * idea 1).
 *
 * The bytes have no metadata.resourceVersion: it goes in at `revision_at` when they are sent, so
 * that the row on disk, the cache, LIST and WATCH share them. `type_end` is where the leading kind
 * and apiVersion members end: typed lists leave them out. Layout of the bytes:
 * {"kind":"Pod","apiVersion":"v1","metadata":{"name":...
 *
 * References are atomic: an object may be read by any thread that holds one.
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "api/schema.h"
#include "api/val.h"

struct object_label {
    uint32_t key_at,
        value_at; /* offsets into json: raw label text (no escapes can occur in labels) */
    uint16_t key_n, value_n;
    uint32_t hash; /* of key=value */
};

struct object {
    _Atomic uint32_t refs;
    const struct api_resource *resource; /* storage version; a reference (schema_ref) */
    uint64_t revision;
    struct str ns, name, uid;    /* into json; ns.p NULL when cluster-scoped */
    uint64_t label_bloom;        /* two bits a label: cheap refusal for selectors */
    struct object_label *labels; /* sorted by key */
    struct str *fields;          /* values of resource->field_selectors, into json or static */
    uint32_t label_count;
    uint16_t field_count;
    uint32_t revision_at; /* offset where ,"resourceVersion":"N" or "resourceVersion":"N", goes */
    uint32_t type_end;    /* offset just after `"apiVersion":"v1",` */
    bool deleting;        /* has a deletionTimestamp */
    _Atomic uint32_t message_n; /* bytes of its protobuf message; 0: not known yet */
    uint32_t n;                 /* bytes of json */
    char json[];                /* NUL ended */
};

/* The hash of one label and its two bits in object.label_bloom. */
static inline uint32_t object_label_hash(struct str key, struct str value)
{
    return (uint32_t)((str_hash(key) * 0x9e3779b97f4a7c15ULL + str_hash(value)) >> 32);
}
static inline uint64_t object_bloom_bits(uint32_t hash)
{
    return (1ULL << (hash & 63)) | (1ULL << (hash >> 26));
}
static inline uint64_t object_label_bloom(struct str key, struct str value)
{
    return object_bloom_bits(object_label_hash(key, value));
}

/* Makes an object from a typed tape (resourceVersion in it is ignored). Reference count 1. Aborts
 * on no memory. */
struct object *object_new(const struct api_resource *resource, const struct val *value,
                          uint64_t revision);
/* From bytes as object_new made them (the store's row). Checks that they are whole: ERR_PARSE.
 * Those of custom kinds may be of an earlier schema or version, and are brought up to date. */
int object_load(const struct api_resource *resource, struct str json, uint64_t revision,
                struct object **ret_object, struct err *err);
struct object *object_ref(struct object *object);
void object_unref(struct object *object); /* NULL is harmless */
/* The same bytes with another revision (a new block, unless refs == 1). Takes the reference. */
struct object *object_with_revision(struct object *object, uint64_t revision);

/* The size of its protobuf message with this revision, once somebody has found out: lists need the
 * sum before the first byte. Any thread. */
static inline size_t object_message_size(const struct object *object)
{
    return atomic_load_explicit(&object->message_n, memory_order_relaxed);
}
static inline void object_keep_message_size(const struct object *object, size_t size)
{
    _Atomic uint32_t *n =
        (_Atomic uint32_t *)(uintptr_t)&object->message_n; /* no part of its value */
    atomic_store_explicit(n, size < UINT32_MAX ? (uint32_t)size : 0, memory_order_relaxed);
}

/* Appends the object as a client sees it, with resourceVersion; `with_type` false leaves kind and
 * apiVersion out. */
void object_write(const struct object *object, bool with_type, struct buf *out);
size_t object_written_size(const struct object *object, bool with_type);
/* A typed tape of the object, resourceVersion included. The object must outlive it. Cannot fail:
 * bytes are ours. */
struct val *object_decode(const struct object *object, struct arena *arena);

struct str object_label_get(const struct object *object,
                            struct str key); /* STR_NONE (p NULL) when absent */
