/* server_int.h: the server's own struct: what requests share. See server.h for threads. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "server/request.h"
#include "server/server.h"

struct authn;
struct authz;
struct addresses;
struct pages;
struct reverse;
struct upkeep;
struct documents;
struct repeats;
struct admission_settings;
struct issuers;
struct definitions;

/* Resources that the server itself asks for, looked up once. NULL when not in the schema. */
struct known_resources {
    const struct api_resource *namespaces, *pods, *nodes, *services, *accounts, *secrets, *events,
        *config_maps, *endpoints, *slices, *leases, *roles, *role_bindings, *cluster_roles,
        *cluster_role_bindings, *priority_classes, *runtime_classes, *storage_classes, *claims,
        *limit_ranges, *quotas, *budgets, *volumes, *signing_requests, *trust_bundles,
        *pod_certificates, *ingresses, *ingress_classes, *pod_groups, *device_claims,
        *device_templates, *ip_addresses;
};

struct endpoint {
    struct str path;
    bool anonymous;
    endpoint_fn *fn;
    void *ctx;
};

/* The connections of one I/O loop; touched on that loop only. */
struct lane {
    struct loop *loop;
    struct list connections;
    struct task drain;
};

struct server {
    struct server_options options; /* texts in the arena */
    struct arena arena;
    struct loop *home;
    struct cache *cache;
    struct sequencer *sequencer;
    struct known_resources known;
    struct admission_settings *admission; /* in the arena */
    struct issuers *issuers;
    struct authn *authn;
    struct authz *authz;
    struct addresses *addresses;
    struct pages *pages;
    struct reverse *reverse;
    struct upkeep *upkeep;
    struct documents *documents;
    struct repeats *repeats; /* in the arena */
    struct definitions *definitions;
    struct {
        VEC_OF(struct endpoint);
    } endpoints;
    struct lane *lanes; /* options.loop_count of them */
    _Atomic bool ready, draining;
    _Atomic int64_t requests, watches; /* in flight */
};
