/* mandatory.h: the flow control objects whose spec nobody may change, and what both kinds share. */
#pragma once
#include "api/validation.h"

/* The spec of "exempt" and "catch-all" as JSON, all defaults filled in; NULL for other names. */
const char *mandatory_spec(const char *kind, struct str name);
/* The spec must be the fixed one. Of the priority level "exempt", all but spec.exempt. */
void mandatory_check(struct api_context *ctx, struct field_errors *errors, const struct val *object,
                     const char *kind);
/* Conditions that only need a type, each once. */
void named_conditions_check(struct field_errors *errors, const struct val *conditions);
