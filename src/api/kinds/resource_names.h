/* resource_names.h: names of resources (cpu, pods, example.com/gpu) and which amounts each may
 * have. */
#pragma once
#include "api/validation.h"

bool resource_is_native(struct str name); /* without a domain, or of kubernetes.io */
bool resource_is_huge_pages(struct str name);
/* A domain of its own, and short enough for a quota of it. */
bool resource_is_extended(struct str name);
/* Limits may be above requests. */
bool resource_may_overcommit(struct str name);
/* Whether quotas count it. */
bool resource_is_quota(struct str name);

/* Any resource; of a container; of a quota. */
void resource_name_check(struct field_errors *errors, const struct path *path, struct str name);
void container_resource_name_check(struct field_errors *errors, const struct path *path,
                                   struct str name);
void quota_resource_name_check(struct field_errors *errors, const struct path *path,
                               struct str name);
/* Not below zero; a whole number of what is counted. */
void resource_amount_check(struct field_errors *errors, const struct path *path, struct str name,
                           const struct val *amount);
