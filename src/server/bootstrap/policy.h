/* policy.h: the default RBAC policy as data: rules, bindings and aggregation.
 *
 * Names and powers are those that a 1.37 cluster has (the API documents them: what people and parts
 * of a cluster rely on finding). Words are between spaces; "-" is the group "". A role or binding
 * of a namespace is written NAMESPACE/NAME.
 */
#pragma once
#include <stddef.h>

struct policy_rule { /* rows of a role follow each other */
    const char *role, *groups /* NULL: paths */, *resources, *verbs, *names;
};
struct policy_binding { /* rows of a binding follow each other: one subject each */
    const char *name,
        *role /* "ClusterRole:X" in a binding of a namespace, else of its own scope */;
    const char *kind, *subject, *ns; /* kind NULL: nobody yet */
};
struct policy_mark { /* a ClusterRole that is part of others, or is put together from others */
    const char *role, *labels /* that are "true" */, *aggregates /* labels of its parts */;
};
extern const struct policy_rule policy_roles[], policy_controllers[], policy_own[];
extern const size_t policy_role_count, policy_controller_count, policy_own_count;
extern const struct policy_binding policy_bindings[];
extern const size_t policy_binding_count;
extern const struct policy_mark policy_marks[];
extern const size_t policy_mark_count;
