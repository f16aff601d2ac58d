/* table.c: the order of admission, and its three phases. */
#include "server/admission/admission.h"
#include "server/server_int.h"

const struct admission_step *const admission_table[] = {
    &admission_namespace,       &admission_node,          &admission_node_taint,
    &admission_service_account, &admission_tolerations,   &admission_priority,
    &admission_runtime_class,   &admission_storage_class, &admission_rbac,
    &admission_external_ips,    &admission_addresses,     NULL};

bool admission_is(const struct admission *admission, const struct api_resource *resource)
{
    return resource != NULL && admission->resource->storage == resource->storage &&
           admission->subresource.n == 0;
}

int admission_mutate(struct admission *admission, struct failure *failure)
{
    int code = 0;
    for (size_t i = 0; code == 0 && admission_table[i] != NULL; i++) {
        if (admission_table[i]->mutate != NULL) {
            code = admission_table[i]->mutate(admission, failure);
        }
    }
    return code;
}

int admission_prepare(struct admission *admission, struct failure *failure)
{
    int code = 0;
    for (size_t i = 0; code == 0 && admission_table[i] != NULL; i++) {
        if (admission_table[i]->prepare != NULL) {
            code = admission_table[i]->prepare(admission, failure);
        }
    }
    return code;
}

int admission_validate(struct admission *admission, struct failure *failure)
{
    int code = 0;
    for (size_t i = 0; code == 0 && admission_table[i] != NULL; i++) {
        if (admission_table[i]->validate != NULL) {
            code = admission_table[i]->validate(admission, failure);
        }
    }
    return code;
}
