/* pod_security.h: the Pod Security Standards: levels, versions, and what a pod violates.
 *
 * The checks (pod_security_checks.c) know a pod's metadata and spec only; which policy holds where,
 * and what follows from a violation, is pod_security.c's.
 */
#pragma once
#include "api/val.h"
#include "base/str.h"

enum pod_security_level { POD_SECURITY_PRIVILEGED, POD_SECURITY_BASELINE, POD_SECURITY_RESTRICTED };
enum { POD_SECURITY_LATEST = -1 };
struct pod_security_policy {
    enum pod_security_level level;
    int minor; /* of v1.N, or POD_SECURITY_LATEST */
};
struct pod_security_policies {
    struct pod_security_policy enforce, audit, warn;
};

/* Whether a pod with this metadata and spec meets the policy. If not, appends what it violates:
 * `reasons` ("hostPort, privileged"), and `details`, the same with particulars in parentheses. Both
 * may be NULL. Texts are made in the arena. */
bool pod_security_meets(struct arena *arena, struct pod_security_policy policy,
                        const struct val *metadata, const struct val *spec, struct buf *reasons,
                        struct buf *details);
/* "baseline:v1.37", "restricted:latest". */
struct str pod_security_policy_text(struct arena *arena, struct pod_security_policy policy);
bool pod_security_level_parse(struct str text, enum pod_security_level *ret_level);
bool pod_security_version_parse(struct str text, int *ret_minor);
