/* device.h: the rules that claims, classes, slices and taint rules of resource.k8s.io share.
 *
 * Expressions (CEL) are only looked at for their length: nothing here understands them yet. */
#pragma once
#include "api/validation.h"

enum {
    DEVICE_REQUESTS_MAX = 32,
    DEVICE_CONDITIONS_MAX = 8, /* of a device, of a taint rule */
};

/* "name", "name/name": DNS subdomains. */
void pool_name_check(struct field_errors *errors, const struct path *path, struct str name);
/* A device, a request, a counter: a DNS label. */
void device_name_check(struct field_errors *errors, const struct path *path, struct str name);
/* An attribute or capacity: [DOMAIN/]C_IDENTIFIER; `full`: the domain must be there. */
bool qualified_name_check(struct field_errors *errors, const struct path *path, struct str name,
                          bool full);
void selectors_check(struct field_errors *errors, const struct path *path,
                     const struct val *selectors);
/* The `opaque` member of a configuration. */
void opaque_check(struct field_errors *errors, const struct path *path, const struct val *config,
                  bool stored);
/* A JSON object of at most so many bytes. */
void json_object_check(struct field_errors *errors, const struct path *path,
                       const struct val *value, size_t max);
void device_taint_check(struct field_errors *errors, const struct path *path,
                        const struct val *taint, const struct val *old);
void device_toleration_check(struct field_errors *errors, const struct path *path,
                             const struct val *toleration);
void binding_conditions_check(struct field_errors *errors, const struct path *path,
                              const struct val *device);
/* Texts that may not repeat; every one after the first is a duplicate at its index. */
void repeats_check(struct field_errors *errors, const struct path *path, const struct val *list);
/* Duplicates by the text of a member. */
void repeated_members_check(struct field_errors *errors, const struct path *path,
                            const struct val *list, const char *member);
/* timeAdded of a taint that has none. */
void device_taint_time(struct api_context *ctx, struct val *taint);

/* spec.devices of a claim. */
void device_claim_check(struct field_errors *errors, const struct path *path,
                        const struct val *claim);
void device_claim_defaults(struct arena *arena, struct val *claim);
/* Members behind gates that are off are dropped, as upstream does. */
void device_claim_drop(struct val *claim);
/* "request" or "request/subrequest" of the claim. */
void request_ref_check(struct field_errors *errors, const struct path *path, struct str name,
                       const struct val *claim);
void request_refs_check(struct field_errors *errors, const struct path *path,
                        const struct val *names, const struct val *claim);
/* A warning where something has expressions. */
void expressions_warn(struct api_context *ctx, const struct val *object, const char *what);
