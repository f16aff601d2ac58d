/* view.h: one version of a pod object, decoded, shared by loop and jobs (counted, immutable). */
#pragma once
#include <stdatomic.h>

#include "api/object.h"
#include "api/quantity.h"

struct pod_view {
    _Atomic int refs;
    struct object *object;
    struct arena arena;
    struct val *pod;
    const struct val *meta, *spec, *status; /* NULL when absent */
    struct str ns, name, uid;
};
struct pod_view *pod_view_new(struct object *object);
/* From a tape (static pods, tests); copies it. */
struct pod_view *pod_view_of(const struct val *pod);
struct pod_view *pod_view_ref(struct pod_view *view);
void pod_view_unref(struct pod_view *view); /* NULL is harmless */

enum pod_qos { POD_QOS_GUARANTEED, POD_QOS_BURSTABLE, POD_QOS_BEST_EFFORT };
enum pod_qos pod_qos(const struct val *spec);
const char *pod_qos_name(enum pod_qos qos);

/* resources.requests|limits of a container (or pod spec); false: not set. */
bool pod_resource(const struct val *owner, const char *which, const char *resource,
                  struct quantity *ret_quantity);
struct pod_resources { /* of the whole pod; 0: none */
    int64_t cpu_request_milli, cpu_limit_milli, memory_request, memory_limit;
};
void pod_resources_sum(const struct val *spec, struct pod_resources *ret_resources);
bool pod_is_host_network(const struct val *spec);
/* The container of that name in containers, initContainers or ephemeralContainers. */
const struct val *pod_container(const struct val *spec, struct str name);
