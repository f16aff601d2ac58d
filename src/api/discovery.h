/* discovery.h: the documents that tell clients what is served: aggregated (apidiscovery.k8s.io/v2)
 * and legacy (meta/v1). Pure functions over a list of resources, which may hold custom ones;
 * resources that are not `served` are left out. Compact JSON is appended to `out`.
 */
#pragma once
#include "api/schema.h"
#include "base/err.h"

struct api_catalog {
    const struct api_resource *const *resources;
    size_t count;
};
/* The built-in resources. */
struct api_catalog catalog_builtin(void);

/* One version of one group, as far as something of it is served. Order: groups as Kubernetes lists
 * them (core first), versions newest first. */
struct api_group_version {
    const char *group, *version;
};
/* At most `cap` rows; returns how many there are. */
size_t catalog_versions(struct api_catalog catalog, struct api_group_version *ret_rows, size_t cap);

/* APIGroupDiscoveryList: of /api when `core`, else of /apis. Content type:
 * application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList */
void discovery_aggregated(struct api_catalog catalog, bool core, struct buf *out);
/* APIVersions of /api; `server_address` HOST:PORT. */
void discovery_core_versions(struct str server_address, struct buf *out);
/* APIGroupList of /apis. */
void discovery_groups(struct api_catalog catalog, struct buf *out);
/* APIGroup of /apis/GROUP. ERR_NOT_FOUND. */
int discovery_group(struct api_catalog catalog, struct str group, struct buf *out, struct err *err);
/* APIResourceList of /api/v1 and /apis/GROUP/VERSION. ERR_NOT_FOUND. */
int discovery_resources(struct api_catalog catalog, struct str group, struct str version,
                        struct buf *out, struct err *err);
