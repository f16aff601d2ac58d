/* table.c: the order of admission, and its three phases. */
#include "server/admission/settings.h"
#include "server/admission/table_int.h"
#include "server/server_int.h"

/* clang-format off: one row a line */
const struct admission_row admission_rows[] = {
    {"AlwaysAdmit", NULL, ADMISSION_OFF},
    {"NamespaceAutoProvision", NULL, ADMISSION_OFF},
    {"NamespaceLifecycle", &admission_namespace, ADMISSION_ON},
    {"NamespaceExists", NULL, ADMISSION_OFF},
    {"LimitPodHardAntiAffinityTopology", NULL, ADMISSION_OFF},
    {"LimitRanger", &admission_limit_ranger, ADMISSION_ON},
    {"ServiceAccount", &admission_service_account, ADMISSION_ON},
    {"NodeRestriction", &admission_node, ADMISSION_ALWAYS},
    {"TaintNodesByCondition", &admission_node_taint, ADMISSION_ON},
    {"AlwaysPullImages", NULL, ADMISSION_OFF},
    {"ImagePolicyWebhook", NULL, ADMISSION_OFF},
    {"PodSecurity", &admission_pod_security, ADMISSION_ON},
    {"PodNodeSelector", NULL, ADMISSION_OFF},
    {"Priority", &admission_priority, ADMISSION_ON},
    {"DefaultTolerationSeconds", &admission_tolerations, ADMISSION_ON},
    {"PodTolerationRestriction", NULL, ADMISSION_OFF},
    {"EventRateLimit", NULL, ADMISSION_OFF},
    {"ExtendedResourceToleration", NULL, ADMISSION_OFF},
    {"DefaultStorageClass", &admission_storage_class, ADMISSION_ON},
    {"StorageObjectInUseProtection", &admission_in_use, ADMISSION_ON},
    {"OwnerReferencesPermissionEnforcement", NULL, ADMISSION_OFF},
    {"PersistentVolumeClaimResize", &admission_claim_resize, ADMISSION_ON},
    {"RuntimeClass", &admission_runtime_class, ADMISSION_ON},
    {"CertificateApproval", &admission_approval, ADMISSION_ON},
    {"CertificateSigning", &admission_signing, ADMISSION_ON},
    {"ClusterTrustBundleAttest", &admission_attest, ADMISSION_ON},
    {"CertificateSubjectRestriction", &admission_subject, ADMISSION_ON},
    {"DefaultIngressClass", &admission_ingress_class, ADMISSION_ON},
    {"DenyServiceExternalIPs", &admission_external_ips, ADMISSION_HARDENED},
    {"MutatingAdmissionPolicy", NULL, ADMISSION_ON},
    {"MutatingAdmissionWebhook", NULL, ADMISSION_ON},
    {"ValidatingAdmissionPolicy", NULL, ADMISSION_ON},
    {"ValidatingAdmissionWebhook", NULL, ADMISSION_ON},
    {"devices", &admission_device, ADMISSION_ALWAYS},
    {"requester", &admission_requester, ADMISSION_ALWAYS},
    {"escalation", &admission_rbac, ADMISSION_ALWAYS},
    {"addresses", &admission_addresses, ADMISSION_ALWAYS},
    {"ResourceQuota", &admission_quota, ADMISSION_ON}, /* what it charges must be final */
    {"AlwaysDeny", NULL, ADMISSION_OFF},
};
/* clang-format on */
const size_t admission_row_count = sizeof admission_rows / sizeof *admission_rows;

bool admission_is(const struct admission *admission, const struct api_resource *resource)
{
    return resource != NULL && admission->resource->storage == resource->storage &&
           admission->subresource.n == 0;
}

static const struct admission_step *const *steps_of(const struct admission *admission)
{
    return admission->request->server->admission->steps;
}

int admission_mutate(struct admission *admission, struct failure *failure)
{
    const struct admission_step *const *steps = steps_of(admission);
    int code = 0;
    for (size_t i = 0; code == 0 && steps[i] != NULL; i++) {
        if (steps[i]->mutate != NULL) {
            code = steps[i]->mutate(admission, failure);
        }
    }
    return code;
}

int admission_prepare(struct admission *admission, struct failure *failure)
{
    const struct admission_step *const *steps = steps_of(admission);
    int code = 0;
    for (size_t i = 0; code == 0 && steps[i] != NULL; i++) {
        if (steps[i]->prepare != NULL) {
            code = steps[i]->prepare(admission, failure);
        }
    }
    return code;
}

int admission_validate(struct admission *admission, struct failure *failure)
{
    const struct admission_step *const *steps = steps_of(admission);
    int code = 0;
    for (size_t i = 0; code == 0 && steps[i] != NULL; i++) {
        if (steps[i]->validate != NULL) {
            code = steps[i]->validate(admission, failure);
        }
    }
    return code;
}
