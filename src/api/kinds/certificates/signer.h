/* signer.h: what the kinds of certificates.k8s.io share. */
#pragma once
#include "api/validation.h"

/* "example.com/signer": a domain of two labels at least, and names with dots. */
void signer_name_check(struct field_errors *errors, const struct path *path, struct str name);
/* Whether the domain is kubernetes.io or below it. */
bool signer_is_kubernetes(struct str name);
