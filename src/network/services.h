/* services.h: follows Services and EndpointSlices and keeps the rules of the kernel at them.
 * Internal to network/. */
#pragma once
#include "client/informer.h"
#include "network/service_model.h"
#include "network/service_rules.h"

struct services;
struct services_options {
    struct loop *loop;
    struct service_model_options model;
    int netns_fd;
};
/* `rules` is borrowed. */
struct services *services_new(const struct services_options *options, struct service_rules *rules);
void services_free(struct services *services);
/* For informers, or whoever has objects: NULL old: added, NULL now: deleted. */
void services_change_service(void *ctx, struct object *old, struct object *now);
void services_change_slice(void *ctx, struct object *old, struct object *now);
/* The state is whole: from now on the rules follow. Before, nothing is written. */
void services_begin(struct services *services);
bool services_synced(const struct services *services); /* written at least once */
/* Writes what is due now instead of at the end of the turn. */
int services_sync(struct services *services, struct err *err);
