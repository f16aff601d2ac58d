/* definition_kind.h: the kind CustomResourceDefinition itself: validation and status. */
#pragma once
#include "api/validation.h"

void definition_check(struct field_errors *errors, const struct val *crd);
void definition_check_name(struct field_errors *errors, const struct val *crd);
void definition_check_update(struct field_errors *errors, const struct val *next,
                             const struct val *old);
/* status.storedVersions against the versions of the spec. */
void definition_check_stored(struct field_errors *errors, const struct val *crd);
/* Groups that need an approval (*.k8s.io, *.kubernetes.io). */
bool definition_is_protected(struct str group);

/* Whether a schema has x-kubernetes-validations somewhere. */
bool definition_has_rules(const struct val *schema);

#define DEFINITION_FINALIZER "customresourcecleanup.apiextensions.k8s.io"
/* Sets a condition of a CRD; whether it changed. Texts are borrowed. */
bool definition_set_condition(struct arena *arena, struct val *crd, const char *type, bool state,
                              const char *reason, const char *message, int64_t now_wall_ns);
