/* job.h: the generated selector of a Job, for the server to call once the uid is known. */
#pragma once
#include "api/val.h"

/* Labels of the template and spec.selector out of uid and name; nothing for manualSelector. */
void job_generate_selector(struct arena *arena, struct val *job);
