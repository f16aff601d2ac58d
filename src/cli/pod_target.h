/* pod_target.h: the pod that `exec` and `logs` mean: POD, pod/POD, or TYPE/NAME of something that
 * selects pods (a Deployment, a Service, a Job ...): a running one of them, if there is one. */
#pragma once
#include "cli/arguments.h"
#include "cli/connection.h"

struct pod_target {
    struct str ns, name; /* arena memory */
};
/* From the only word of `a`. */
int pod_target_find(struct arguments *a, struct connection *c, struct arena *arena,
                    struct pod_target *ret_pod, struct err *err);
