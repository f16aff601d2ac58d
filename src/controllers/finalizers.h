/* finalizers.h: metadata.finalizers of objects at rest. */
#pragma once
#include "controllers/pass.h"

#define FINALIZER_FOREGROUND "foregroundDeletion"
#define FINALIZER_ORPHAN     "orphan"

bool finalizer_has(const struct object *object, const char *finalizer);
/* Writes the object without the finalizer (guarded by its resourceVersion); nothing when it has
 * none. */
void finalizer_remove(struct pass *pass, struct object *object, const char *finalizer);
