/* Services and the pods they select (services.h).
 *
 * Pod events are frequent, Services are few but many in a namespace of some users: their selectors
 * are parsed once a change, and a pod event is dropped early when nothing that an endpoint shows
 * has changed.
 */
#include "controllers/network/services.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

struct service {
    struct arena arena;
    char *ns, *name;
    struct selector selector;
};
struct service_list {
    VEC_OF(struct service *);
};
struct services {
    struct informer *informer;
    struct map by_namespace; /* -> struct service_list */
};

static void service_free(struct service *service)
{
    arena_done(&service->arena);
    free(service->ns);
    free(service->name);
    free(service);
}

static void forget(struct services *services, const struct object *object)
{
    struct service_list *list = map_get(&services->by_namespace, object->ns);
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        if (str_is(object->name, list->items[i]->name)) {
            service_free(list->items[i]);
            vec_remove_swap(list, i);
            return;
        }
    }
}

static void on_service(void *ctx, struct object *old, struct object *now)
{
    struct services *services = ctx;
    if (old != NULL) {
        forget(services, old);
    }
    if (now == NULL) {
        return;
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *value = object_decode(now, &arena);
    if (!service_has_endpoints(value)) {
        return;
    }
    struct service *service = mem_new(struct service);
    service->ns = str_dup(now->ns);
    service->name = str_dup(now->name);
    const struct val *map = val_copy(&service->arena, val_path(value, "spec.selector"));
    selector_from_map(&service->arena, map, &service->selector);
    struct service_list *list = map_get(&services->by_namespace, now->ns);
    if (list == NULL) {
        list = mem_new(struct service_list);
        map_set(&services->by_namespace, now->ns, list);
    }
    *vec_push(list) = service;
}

struct services *selecting_services_new(struct informers *informers)
{
    struct services *services = mem_new(struct services);
    services->informer = informers_get(informers, controller_resource("", "v1", "services"));
    informer_handle(services->informer, (struct informer_handler){on_service, services});
    return services;
}

void selecting_services_free(struct services *services)
{
    if (services == NULL) {
        return;
    }
    informer_unhandle(services->informer, services);
    MAP_EACH (it, &services->by_namespace) {
        struct service_list *list = it->value;
        VEC_EACH (at, list) {
            service_free(*at);
        }
        vec_done(list);
        free(list);
    }
    map_done(&services->by_namespace);
    free(services);
}

struct informer *services_informer(const struct services *services)
{
    return services->informer;
}

void services_selecting(const struct services *services, const struct object *pod,
                        void (*visit)(void *ctx, struct str ns, struct str name), void *ctx)
{
    struct service_list *list = map_get(&services->by_namespace, pod->ns);
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        struct service *service = list->items[i];
        if (selector_matches(&service->selector, pod)) {
            visit(ctx, str_of(service->ns), str_of(service->name));
        }
    }
}

static bool is_same_for_endpoints(struct object *old, struct object *now)
{
    static const char *const paths[] = {"metadata.labels", "spec.nodeName", "spec.hostname",
                                        "spec.subdomain",  "status.podIP",  "status.podIPs",
                                        "spec.containers", "status.phase",  "spec.initContainers"};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *a = object_decode(old, &arena), *b = object_decode(now, &arena);
    if (old->deleting != now->deleting || pod_is_ready_val(a) != pod_is_ready_val(b)) {
        return false;
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const struct val *x = val_path(a, paths[i]), *y = val_path(b, paths[i]);
        if (val_absent(x) != val_absent(y) || (!val_absent(x) && !val_equal(x, y))) {
            return false;
        }
    }
    return true;
}

void services_pod_changed(const struct services *services, struct object *old, struct object *now,
                          void (*wake)(void *ctx, struct str ns, struct str name), void *ctx)
{
    if (old != NULL && now != NULL && is_same_for_endpoints(old, now)) {
        return;
    }
    if (old != NULL) {
        services_selecting(services, old, wake, ctx);
    }
    if (now != NULL) {
        services_selecting(services, now, wake, ctx);
    }
}

/* ---- questions ---- */

bool service_has_endpoints(const struct val *service)
{
    return val_count(val_path(service, "spec.selector")) > 0 &&
           !str_is(val_text(val_path(service, "spec.type")), "ExternalName");
}

bool service_is_headless(const struct val *service)
{
    return str_is(val_text(val_path(service, "spec.clusterIP")), "None");
}

bool pod_is_ready_val(const struct val *pod)
{
    return str_is(val_text(val_get(condition_find(val_get(pod, "status"), STR("Ready")), "status")),
                  "True");
}

bool pod_has_endpoint(const struct val *pod, const struct object *object, bool with_terminating)
{
    struct str phase = val_text(val_path(pod, "status.phase"));
    bool has_address = val_text(val_path(pod, "status.podIP")).n > 0 ||
                       val_count(val_path(pod, "status.podIPs")) > 0;
    return has_address && !str_is(phase, "Failed") && !str_is(phase, "Succeeded") &&
           (with_terminating || !object->deleting);
}

struct str pod_address(const struct val *pod, struct str family)
{
    bool v6 = str_is(family, "IPv6");
    VAL_EACH (it, val_path(pod, "status.podIPs")) {
        struct str address = val_text(val_get(it, "ip"));
        if (address.n > 0 && str_contains(address, STR(":")) == v6) {
            return address;
        }
    }
    struct str address = val_text(val_path(pod, "status.podIP"));
    return address.n > 0 && str_contains(address, STR(":")) == v6 ? address : STR_NONE;
}

struct str pod_published_hostname(const struct val *pod, const struct val *service)
{
    struct str hostname = val_text(val_path(pod, "spec.hostname"));
    bool fits = str_eq(val_text(val_path(pod, "spec.subdomain")), val_name(service)) &&
                str_eq(val_namespace(pod), val_namespace(service));
    return hostname.n > 0 && fits ? hostname : STR_NONE;
}

/* ---- ports ---- */

static int64_t named_port(const struct val *containers, struct str name, struct str protocol,
                          bool sidecars_only)
{
    VAL_EACH (container, containers) {
        if (sidecars_only && !str_is(val_text(val_get(container, "restartPolicy")), "Always")) {
            continue;
        }
        VAL_EACH (it, val_get(container, "ports")) {
            struct str its = val_text(val_get(it, "protocol"));
            if (str_eq(val_text(val_get(it, "name")), name) &&
                str_eq(its.n > 0 ? its : STR("TCP"), protocol)) {
                return val_int(val_get(it, "containerPort"), 0);
            }
        }
    }
    return 0;
}

static int64_t port_on(const struct val *port, struct str protocol, const struct val *pod)
{
    const struct val *target = val_get(port, "targetPort");
    if (!val_is(target, VAL_STRING)) {
        int64_t number = val_int(target, 0);
        return number > 0 ? number : val_int(val_get(port, "port"), 0);
    }
    int64_t number =
        named_port(val_path(pod, "spec.containers"), val_text(target), protocol, false);
    return number > 0
               ? number
               : named_port(val_path(pod, "spec.initContainers"), val_text(target), protocol, true);
}

struct val *service_ports_on(struct arena *arena, const struct val *service, const struct val *pod)
{
    struct val *ports = val_new(arena, VAL_ARRAY);
    VAL_EACH (it, val_path(service, "spec.ports")) {
        struct str protocol = val_text(val_get(it, "protocol"));
        protocol = protocol.n > 0 ? protocol : STR("TCP");
        int64_t number = port_on(it, protocol, pod);
        if (number <= 0) {
            continue;
        }
        struct val *port = val_append(ports, val_new(arena, VAL_OBJECT));
        val_set_text(arena, port, STR("name"), val_text(val_get(it, "name")));
        val_set_int(arena, port, STR("port"), number);
        val_set_text(arena, port, STR("protocol"), protocol);
        struct str app = val_text(val_get(it, "appProtocol"));
        if (app.n > 0) {
            val_set_text(arena, port, STR("appProtocol"), app);
        }
    }
    return ports;
}

struct val *pod_reference(struct arena *arena, const struct object *pod)
{
    struct val *reference = val_new(arena, VAL_OBJECT);
    val_set_text(arena, reference, STR("kind"), STR("Pod"));
    val_set_text(arena, reference, STR("namespace"), pod->ns);
    val_set_text(arena, reference, STR("name"), pod->name);
    val_set_text(arena, reference, STR("uid"), pod->uid);
    return reference;
}
