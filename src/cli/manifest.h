/* manifest.h: objects from files, folders and standard input: YAML documents, JSON, Lists. */
#pragma once
#include "api/schema.h"
#include "api/val.h"
#include "base/vec.h"

struct manifest {
    const struct api_resource *resource;
    struct val *object;
    struct str source; /* file it came from */
};
struct manifests {
    struct arena arena;
    VEC_OF(struct manifest);
};
/* `path`: a file, a folder (its .yaml, .yml and .json files, sorted; with sub-folders if recursive)
 * or "-". */
int manifests_read(struct manifests *manifests, const char *path, bool recursive, struct err *err);
void manifests_done(struct manifests *manifests);
