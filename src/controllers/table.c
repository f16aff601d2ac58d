/* The controllers, one row each; the order is that of their start. */
#include "controllers/table_int.h"

/* clang-format off: one row a line */
const struct controller *const controllers_table[] = {
    &controller_deployment,
    &controller_replicaset,
    &controller_replication,
    &controller_statefulset,
    &controller_daemonset,
    &controller_disruption,
    &controller_persistent_volume_binder,
    &controller_ephemeral_volume,
    &controller_endpointslice,
    &controller_endpoints,
    &controller_endpointslice_mirror,
    &controller_cron_job,
    &controller_job,
    &controller_job_ttl,
    &controller_node_life,
    &controller_taint_eviction,
    &controller_pod_gc,
    &controller_namespace,
    &controller_service_account,
    &controller_root_ca,
    &controller_cluster_role,
    &controller_account_tokens,
    &controller_token_cleaner,
    &controller_claim_protection,
    &controller_volume_protection,
    &controller_class_protection,
    &controller_certificate_approver,
    &controller_certificate_signer,
    &controller_certificate_cleaner,
    &controller_resource_quota,
    &controller_garbage,
    NULL,
};
/* clang-format on */
