/* fields.h: metadata.managedFields: who owns which field (metav1.FieldsV1), for creates, updates
 * and patches. Server-side apply is built on it (managed/apply.h). */
#pragma once
#include "api/schema.h"
#include "api/val.h"

/* Who writes, and how. */
struct fields_writer {
    const struct api_struct *type; /* of the objects */
    struct str manager;
    struct str api_version;   /* "apps/v1": the version of the objects */
    struct str subresource;   /* "", "status" ... */
    const char *const *reset; /* managed/reset.h; NULL: nothing */
    int64_t now_wall_ns;
    /* The object in another version of its kind; NULL when there is no such version, or it cannot
     * be said. NULL function: the objects have one version. */
    struct val *(*convert)(const struct fields_writer *writer, struct arena *arena,
                           const struct val *object, struct str api_version,
                           const struct api_struct **ret_type);
    const void *ctx; /* of convert */
};

/* Rewrites metadata.managedFields of `next` for an Update: fields that differ from `old` (NULL on
 * create) become the manager's, and are taken from others. When nothing differs nothing changes,
 * not even the time. A broken managedFields in `next` counts as none, then the one of `old` is
 * gone on from; an empty list from the client (or one empty entry) resets it. Subresources never
 * take managedFields from the client. */
void fields_track_update(struct arena *arena, const struct fields_writer *writer,
                         const struct val *old, struct val *next);
