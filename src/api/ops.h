/* ops.h: the strategy of a kind: what differs between kinds on the request path. One file a kind
 * (or family) in api/kinds/, one row in its table; NULL members mean the generic behaviour.
 *
 * All callbacks work on typed tapes in the request's arena and have no I/O. Errors of validation go
 * into a struct field_errors, all of them, not only the first.
 */
#pragma once
#include "api/object.h"

struct field_error {
    const char *type;  /* FieldValueRequired, FieldValueInvalid, FieldValueNotSupported,
                          FieldValueDuplicate,         FieldValueForbidden, FieldValueTooLong,
                          FieldValueTooMany,         FieldValueTypeInvalid, FieldValueNotFound,
                          InternalError */
    struct str field;  /* spec.containers[0].image */
    struct str detail; /* as upstream words it: 'Invalid value: "x": must be ...', ready for
                          Status.details.causes */
};
struct field_errors {
    struct arena *arena;
    struct field_error *items;
    size_t count, cap;
};

struct api_context { /* what a strategy may ask for; filled by the server (or a test) */
    struct arena *arena;
    int64_t now_wall_ns;
    const char *subresource; /* "" for the main resource */
    bool dry_run;
    struct str user_name;
    struct codec_warnings *warnings; /* HTTP Warning header; may be NULL */
};

struct api_ops {
    /* Before validation of a create: reset status and what a client may not set, fill computed
     * fields. */
    void (*prepare_create)(struct api_context *ctx, struct val *object);
    /* Before validation of an update to `next`: put back what may not change through this
     * (sub)resource. */
    void (*prepare_update)(struct api_context *ctx, struct val *next, const struct val *old);
    /* On a delete, before anything is decided: what holds the object (finalizers), and its status.
     */
    void (*prepare_delete)(struct api_context *ctx, struct val *object);
    /* Computed defaults, beyond schema default_json; runs after static defaults, on create, update
     * and decode. */
    void (*defaults)(struct arena *arena, struct val *object);
    void (*validate)(struct api_context *ctx, const struct val *object,
                     struct field_errors *errors);
    /* Beside validate, on create only. */
    void (*validate_create)(struct api_context *ctx, const struct val *object,
                            struct field_errors *errors);
    void (*validate_update)(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors);
    /* Cells of the kind's columns, in column order, appended to the `cells` array (JSON values). */
    void (*columns)(struct api_context *ctx, const struct val *object, struct val *cells);
    /* Grace seconds for a delete: >0 marks and waits for a finaliser such as the kubelet; 0 removes
     * at once. `asked` is -1 when the client named none. NULL: always 0. */
    int64_t (*grace_seconds)(struct api_context *ctx, const struct val *object, int64_t asked);
    bool generation;             /* metadata.generation counts spec changes */
    bool keeps_status_on_create; /* a client may bring a status along (Node, PersistentVolume) */
    bool create_on_update; /* PUT of a missing object creates it (Lease, Endpoints, Event, ...) */
    bool unconditional_update; /* PUT without resourceVersion is allowed (true for nearly all) */
    bool metadata_fixed_in_status; /* /status changes no label, annotation, owner or finalizer */
    bool returns_deleted;          /* DELETE answers with the object, not with a Status */
    bool any_finalizer;            /* finalizers need no domain */
    bool orphans_by_default;       /* a DELETE that names no policy leaves the dependents (Job) */
    const char *name_rule; /* "subdomain" (default), "label", "path", "label-1035", "address":
                              who checks metadata.name */
};

/* Kinds without a strategy of their own, custom resources too. */
extern const struct api_ops ops_generic;

void field_error_add(struct field_errors *errors, const char *type, struct str field,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Path building in the errors' arena: field_path(e, STR("spec"), "containers[%d]", i) gives
 * spec.containers[i]. */
struct str field_path(struct field_errors *errors, struct str base, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Static and computed defaults of a whole object. */
void api_default(struct arena *arena, const struct api_resource *resource, struct val *object);
/* Generic metadata rules, then the kind's. `old` NULL: create. */
void api_validate(struct api_context *ctx, const struct api_resource *resource,
                  const struct val *object, const struct val *old, struct field_errors *errors);
/* metadata.generation, prepare_create or prepare_update, status resets. */
void api_prepare(struct api_context *ctx, const struct api_resource *resource, struct val *object,
                 const struct val *old);
/* The cells of one table row. */
void api_columns(struct api_context *ctx, const struct api_resource *resource,
                 const struct val *object, struct val *cells);
