/* pod_parts.h: questions that several files ask of a whole Pod. */
#pragma once
#include "api/ops.h"

const struct val *pod_condition(const struct val *pod, const char *type); /* or NULL */
bool pod_condition_is_true(const struct val *pod, const char *type);
bool pod_is_finished(const struct val *pod); /* phase Succeeded or Failed */
/* An init container that restarts always. */
bool container_is_sidecar(const struct val *container);
const char *pod_qos_class(const struct val *pod); /* Guaranteed, Burstable, BestEffort */

/* Values of matchLabelKeys into the selectors of affinity terms and spread constraints. */
void pod_apply_match_keys(struct arena *arena, struct val *pod);
void pod_columns(struct api_context *ctx, const struct val *pod, struct val *cells);
void pod_validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                         struct field_errors *errors);
/* Labels, annotations, owners and finalizers as they were: subresources do not change them. */
void pod_keep_metadata(struct api_context *ctx, struct val *next, const struct val *old);
/* pods/resize: what is taken of the update, and whether it may be. */
void pod_prepare_resize(struct api_context *ctx, struct val *next, const struct val *old);
void pod_validate_resize(const struct val *next, const struct val *old,
                         struct field_errors *errors);
