/* admission.h: built-in admission: what may change or refuse a write after it was authorized.
 *
 * One file a plug-in (or family), one row in table.c, in upstream's order; which rows run is said
 * by settings.h. Three phases: mutate (before the
 * strategy), prepare (reserves what must be unique: addresses, ports), validate (after validation;
 * changes nothing). Plug-ins read other objects from the cache and never wait: one that wants to be
 * asked again later sets request->retry_ns and fails.
 */
#pragma once
#include "server/write/change.h"

struct admission {
    struct request *request;
    struct change *change;
    struct arena *arena;
    enum request_verb operation; /* create, update, delete */
    const struct api_resource *resource;
    struct str ns, name, subresource;
    struct val *object;    /* NULL on delete */
    const struct val *old; /* NULL on create */
};

typedef int admission_fn(struct admission *admission, struct failure *failure);
struct admission_step {
    const char *name;
    admission_fn *mutate, *prepare, *validate; /* may be NULL */
};

int admission_mutate(struct admission *admission, struct failure *failure);
int admission_prepare(struct admission *admission, struct failure *failure);
int admission_validate(struct admission *admission, struct failure *failure);

/* Whether it is about this core/v1 resource, and the object itself (no subresource). */
bool admission_is(const struct admission *admission, const struct api_resource *resource);

extern const struct admission_step admission_addresses, admission_approval, admission_device,
    admission_attest, admission_external_ips, admission_ingress_class, admission_limit_ranger,
    admission_namespace, admission_node, admission_node_taint, admission_pod_security,
    admission_priority, admission_quota, admission_in_use, admission_claim_resize, admission_rbac,
    admission_requester, admission_runtime_class, admission_service_account, admission_signing,
    admission_storage_class, admission_subject, admission_tolerations;
