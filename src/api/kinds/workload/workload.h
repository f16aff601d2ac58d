/* workload.h: what kinds with a selector and a pod template share. */
#pragma once
#include "api/validation.h"

/* A LabelSelector that is present, not empty, and matches the template. `kind`: as in errors. */
void workload_selector_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec, const char *kind);
/* `policies`: the restart policies that the kind allows, NULL ended. */
void workload_template_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec, const char *const *policies);
/* Warnings about the pod template, when it is new or another one. */
void workload_warn(struct api_context *ctx, const struct val *next, const struct val *old);
/* api_ops.validate_create of kinds with nothing but these warnings to say on create. */
void workload_validate_create(struct api_context *ctx, const struct val *object,
                              struct field_errors *errors);
/* Pods that are kept running have no deadline. */
void workload_deadline_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec, const char *kind);
/* An IntOrString that is a count or a percentage; `ret_zero`: whether it is nothing at all. */
void workload_share_check(struct field_errors *errors, const struct path *path,
                          const struct val *value, bool at_most_all, bool *ret_zero);
/* The counters of a status: none below zero, no part above the whole, collisions never less. */
void workload_counts_check(struct field_errors *errors, const struct val *status,
                           const struct val *old);
void workload_collisions_check(struct field_errors *errors, const struct val *status,
                               const struct val *old);
/* A name that pods' names and host names are made of should be a DNS label. */
void workload_name_warn(struct api_context *ctx, struct str name);
