/* services.h: which Services select which pods, and what both endpoint controllers ask of a pod. */
#pragma once
#include "controllers/pods.h"

/* The selectors of all Services, kept parsed. */
struct services;
struct services *selecting_services_new(struct informers *informers);
void selecting_services_free(struct services *services);
struct informer *services_informer(const struct services *services);
/* Visits the Services of the pod's namespace that select it. */
void services_selecting(const struct services *services, const struct object *pod,
                        void (*visit)(void *ctx, struct str ns, struct str name), void *ctx);
/* Wakes `wake` for every Service whose endpoints a change of a pod may touch; changes that no
 * endpoint shows wake nobody. */
void services_pod_changed(const struct services *services, struct object *old, struct object *now,
                          void (*wake)(void *ctx, struct str ns, struct str name), void *ctx);

/* Whether a controller makes endpoints for it: it has a selector and is no ExternalName. */
bool service_has_endpoints(const struct val *service);
bool service_is_headless(const struct val *service);
/* Whether the pod has an address and is not finished. */
bool pod_has_endpoint(const struct val *pod, const struct object *object, bool with_terminating);
/* The first address of the pod of a family ("IPv4", "IPv6"), or none. */
struct str pod_address(const struct val *pod, struct str family);
bool pod_is_ready_val(const struct val *pod);
/* The pod's hostname when it publishes one under this Service, or none. */
struct str pod_published_hostname(const struct val *pod, const struct val *service);
/* An array of {name, port, protocol, appProtocol} (members without a value are left out) of the
 * Service's ports as they are on this pod; named target ports that it lacks are left out. */
struct val *service_ports_on(struct arena *arena, const struct val *service, const struct val *pod);
/* {kind, namespace, name, uid} of a pod. */
struct val *pod_reference(struct arena *arena, const struct object *pod);
