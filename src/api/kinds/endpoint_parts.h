/* endpoint_parts.h: what Services, Endpoints and EndpointSlices share. */
#pragma once
#include "api/validation.h"

/* An address that traffic may be sent to: not unspecified, loopback, link-local or multicast of the
 * link. */
void endpoint_ip_check(struct field_errors *errors, const struct path *path, struct str text);
