/* signer.h: names of signers and of trust bundles, as certificate kinds and volumes have them. */
#pragma once
#include "api/validation.h"

/* "example.com/signer-name" */
void signer_name_check(struct field_errors *errors, const struct path *path, struct str name);
/* "name", or "example.com:signer-name:name" for a bundle of a signer. */
void trust_bundle_name_check(struct field_errors *errors, const struct path *path, struct str name);
/* Whether it is one of Kubernetes' own: its domain is kubernetes.io or below. */
bool signer_is_built_in(struct str name);
/* What a pod tells the signer of its certificate: keys with a domain, in any case. */
void signer_annotations_check(struct field_errors *errors, const struct path *path,
                              const struct val *annotations);
