/* service_model.h: Services and EndpointSlices as the API gives them, to ports as packets need
 * them. Pure: objects in, plain data out. Internal to network/.
 */
#pragma once
#include "api/object.h"
#include "base/map.h"
#include "network/service_port.h"

struct ports {
    VEC_OF(struct service_port);
};
struct service_model_options {
    struct str node_name;
    uint32_t dns_address; /* ours: no rules for a Service with this address; 0: none */
};
struct service_model;
struct service_model *service_model_new(const struct service_model_options *options);
void service_model_free(struct service_model *model);

/* An object appeared or changed (deleted: it went). Each affected Service becomes dirty. */
void service_model_service(struct service_model *model, const struct object *object, bool deleted);
void service_model_slice(struct service_model *model, const struct object *object, bool deleted);

/* Takes the next dirty Service: its ports as they should be (owned by the caller), and its key
 * "ns/name", valid until the next call. False: none is dirty. */
bool service_model_next(struct service_model *model, struct str *ret_key, struct ports *ret_ports);
void service_model_touch_all(struct service_model *model); /* every Service becomes dirty */
size_t service_model_count(const struct service_model *model);
