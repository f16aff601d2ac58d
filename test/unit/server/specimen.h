/* specimen.h: small objects for the tests of cache and sequencer. */
#pragma once
#include "api/object.h"

/* The real resources of pods and configmaps. */
const struct api_resource *specimen_pods(void);
const struct api_resource *specimen_configmaps(void);
/* A pod with label app and spec.nodeName (when n > 0), padded to about `size` bytes. */
struct object *specimen_pod(struct str ns, struct str name, struct str app, struct str node,
                            uint64_t number, size_t size);
struct object *specimen_configmap(struct str ns, struct str name, uint64_t number, size_t size);
/* The number it was made with. */
uint64_t specimen_number(const struct object *object);
