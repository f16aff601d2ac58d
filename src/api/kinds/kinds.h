/* kinds.h: the strategies of all kinds; a row of schema/ ("ops NAME") names one of them. */
#pragma once
#include "api/ops.h"

extern const struct api_ops ops_access_review, ops_address, ops_api_service, ops_autoscaler,
    ops_autoscaler_v1, ops_binding, ops_cluster_role, ops_cluster_role_binding,
    ops_component_status, ops_config_map, ops_controller_revision, ops_cron_job, ops_csi_driver,
    ops_csi_node, ops_csi_storage_capacity, ops_daemon_set, ops_deployment, ops_device_class,
    ops_device_taint_rule, ops_endpoint_slice, ops_endpoints, ops_event, ops_event_v1,
    ops_flow_schema, ops_ingress, ops_ingress_class, ops_job, ops_lease, ops_limit_range,
    ops_migration, ops_mutating_policy, ops_mutating_policy_binding, ops_namespace,
    ops_network_policy, ops_node, ops_persistent_volume, ops_persistent_volume_claim, ops_pod,
    ops_pod_certificate, ops_pod_disruption_budget, ops_pod_group, ops_pod_template,
    ops_priority_class, ops_priority_level, ops_replica_set, ops_replication_controller,
    ops_resource_claim, ops_resource_claim_template, ops_resource_quota, ops_resource_slice,
    ops_role, ops_role_binding, ops_rules_review, ops_runtime_class, ops_scale, ops_secret,
    ops_service, ops_service_account, ops_service_range, ops_signing_request, ops_stateful_set,
    ops_storage_class, ops_token_request, ops_token_review, ops_trust_bundle, ops_validating_policy,
    ops_validating_policy_binding, ops_volume_attachment, ops_volume_attributes_class,
    ops_webhook_configuration, ops_workload;
