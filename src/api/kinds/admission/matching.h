/* matching.h: which requests a webhook or a policy is about: what the kinds of
 * admissionregistration.k8s.io share. */
#pragma once
#include "api/validation.h"

/* RuleWithOperations, and the same with names of objects. */
void rule_check(struct field_errors *errors, const struct path *path, const struct val *rule);
void named_rule_check(struct field_errors *errors, const struct path *path, const struct val *rule);
/* MatchResources that are present. */
void match_resources_check(struct field_errors *errors, const struct path *path,
                           const struct val *match);
void match_conditions_check(struct field_errors *errors, const struct path *path,
                            const struct val *conditions);
/* What is there must be one of `values`; what is not there is Required. */
void choice_check(struct field_errors *errors, const struct path *path, const struct val *value,
                  const char *const *values);
/* Names that end so belong to the server's own files. A warning on an update. */
void static_name_check(struct api_context *ctx, struct field_errors *errors,
                       const struct val *object, bool update);
/* Nothing acts on this kind: say so to whoever writes one. */
void unenforced_warn(struct api_context *ctx, const struct val *object, const char *what);
struct str text_trim(struct str text);
extern const char *const failure_policies[], *const match_policies[], *const reinvocations[];
