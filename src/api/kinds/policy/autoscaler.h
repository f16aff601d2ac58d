/* autoscaler.h: HorizontalPodAutoscalers of both versions. v2 is what is stored; v1 has one target
 * for the CPU, and keeps what else there is in annotations. */
#pragma once
#include "api/val.h"

/* The same object in the other version, without kind and apiVersion, in `arena`; texts are shared
 * with the original. */
struct val *autoscaler_to_v1(struct arena *arena, const struct val *v2);
struct val *autoscaler_to_v2(struct arena *arena, const struct val *v1);

/* The annotations of v1 that stand for parts of the spec (of the status). */
extern const char *const autoscaler_spec_annotations[2], *const autoscaler_status_annotations[2];
