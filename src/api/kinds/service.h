/* service.h: what the files about Services share. */
#pragma once
#include "api/ops.h"

/* Ports are compared with each other. */
enum { SERVICE_PORTS_MAX = 4096 };

bool service_type_is(const struct val *spec, const char *type);
/* Whether traffic from outside can reach it, so that externalTrafficPolicy means something. */
bool service_has_external_policy(const struct val *spec);
void service_validate(struct api_context *ctx, const struct val *service,
                      struct field_errors *errors);
void service_validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                             struct field_errors *errors);
