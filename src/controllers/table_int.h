/* table_int.h: the rows of table.c; one line a controller, defined in its own file. */
#pragma once
#include "controllers/controller.h"

extern const struct controller controller_deployment;
extern const struct controller controller_disruption;
extern const struct controller controller_endpoints;
extern const struct controller controller_endpointslice;
extern const struct controller controller_endpointslice_mirror;
extern const struct controller controller_ephemeral_volume;
extern const struct controller controller_garbage;
extern const struct controller controller_job;
extern const struct controller controller_job_ttl;
extern const struct controller controller_namespace;
extern const struct controller controller_node_life;
extern const struct controller controller_persistent_volume_binder;
extern const struct controller controller_pod_gc;
extern const struct controller controller_cron_job;
extern const struct controller controller_daemonset;
extern const struct controller controller_replicaset;
extern const struct controller controller_replication;
extern const struct controller controller_cluster_role;
extern const struct controller controller_account_tokens;
extern const struct controller controller_token_cleaner;
extern const struct controller controller_claim_protection;
extern const struct controller controller_volume_protection;
extern const struct controller controller_class_protection;
extern const struct controller controller_trust_bundle;
extern const struct controller controller_certificate_approver;
extern const struct controller controller_certificate_signer;
extern const struct controller controller_certificate_cleaner;
extern const struct controller controller_resource_quota;
extern const struct controller controller_root_ca;
extern const struct controller controller_service_account;
extern const struct controller controller_statefulset;
extern const struct controller controller_taint_eviction;
