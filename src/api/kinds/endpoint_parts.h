/* endpoint_parts.h: what Services, Endpoints and EndpointSlices share. */
#pragma once
#include "api/validation.h"

/* An address that traffic may be sent to: not unspecified, loopback, link-local or multicast of the
 * link. `none` is what to say of text that is no address. */
void endpoint_ip_check(struct field_errors *errors, const struct path *path, struct str text,
                       const char *none);
