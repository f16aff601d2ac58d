/* schema_check.h: whether a schema in a CustomResourceDefinition is allowed. Inside api/custom. */
#pragma once
#include "api/custom/structural.h"

/* A JSONSchemaProps at `path`. Errors have the types and paths of the API. */
void schema_check(struct field_errors *errors, const struct path *path, const struct val *schema);
/* Defaults of a schema that passed: they must be what the schema allows, without unknown members.
 */
void schema_check_defaults(struct field_errors *errors, const struct path *path,
                           const struct val *schema, const struct structural *node);
/* The level of a schema that a member path leads to; NULL: none. */
const struct val *schema_at(const struct val *schema, const struct str *members);
