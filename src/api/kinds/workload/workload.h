/* workload.h: what kinds with a selector and a pod template share. */
#pragma once
#include "api/validation.h"

void workload_selector_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec);
/* `policies`: the restart policies that the kind allows, NULL ended. */
void workload_template_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec, const char *const *policies);
/* Warnings about the pod template, when it is new or another one. */
void workload_warn(struct api_context *ctx, const struct val *next, const struct val *old);
