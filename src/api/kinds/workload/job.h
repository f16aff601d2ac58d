/* job.h: what the files about Jobs share. */
#pragma once
#include "api/ops.h"

/* Labels of the template and spec.selector out of uid and name; nothing for manualSelector. */
void job_generate_selector(struct arena *arena, struct val *job);
void job_validate(struct api_context *ctx, const struct val *job, struct field_errors *errors);
void job_validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                         struct field_errors *errors);
