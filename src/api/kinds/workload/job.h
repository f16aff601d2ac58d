/* job.h: what the files about Jobs share. */
#pragma once
#include "api/validation.h"

/* Labels of the template and spec.selector out of uid and name; nothing for manualSelector. */
void job_generate_selector(struct arena *arena, struct val *job);
void job_validate(struct api_context *ctx, const struct val *job, struct field_errors *errors);
void job_validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                         struct field_errors *errors);
/* A JobSpec, of a Job or of a CronJob's template; all but the selector. */
void job_spec_check(struct field_errors *errors, const struct path *path, const struct val *spec);
void job_spec_warn(struct api_context *ctx, const struct path *path, const struct val *spec);
/* An update of the status. */
void job_status_check(struct field_errors *errors, const struct val *next, const struct val *old);
