/* service_model.c: keeps what the rules need of each Service and EndpointSlice, and computes the
 * ports of a Service when something about it changed.
 *
 * Rules, as upstream's proxy has them: a ready endpoint serves; when a Service (for Local policies:
 * a Service on this node) has none that is ready, those that still serve while terminating do.
 * Slices are joined by port name and protocol. IPv4 only: other address families are left alone.
 * Ignored on purpose (documented as not acted upon): topology hints, trafficDistribution.
 */
#include "network/service_model.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"

enum { PORTS_MAX = 1024, NAME_MAX_BYTES = 64 };

struct slice_endpoint {
    uint32_t address;
    bool ready, serving, terminating, local;
};
struct slice_port {
    char name[NAME_MAX_BYTES];
    uint8_t protocol;
    uint16_t port;
};
struct slice {
    char *service; /* key of its Service */
    struct {
        VEC_OF(struct slice_endpoint);
    } endpoints;
    struct {
        VEC_OF(struct slice_port);
    } ports;
};
struct declared_port {
    char name[NAME_MAX_BYTES];
    uint8_t protocol;
    uint16_t port, node_port;
};
struct service {
    struct list dirty;
    char *key;
    bool exists; /* false: only slices (or nothing) are known of it */
    char uid[40];
    struct {
        VEC_OF(struct declared_port);
    } ports;
    struct {
        VEC_OF(struct vip);
    } vips;
    struct {
        VEC_OF(struct address_range);
    } sources;
    bool internal_local, external_local;
    uint32_t affinity_s;
    struct {
        VEC_OF(struct slice *);
    } slices;
};
struct service_model {
    char *node_name;
    uint32_t dns_address;
    struct map services, slices;
    struct list dirty;
    struct service *handed_out;
};

struct service_model *service_model_new(const struct service_model_options *options)
{
    struct service_model *model = mem_new(struct service_model);
    model->node_name = str_dup(options->node_name);
    model->dns_address = options->dns_address;
    list_init(&model->dirty);
    return model;
}

static void slice_free(struct slice *slice)
{
    if (slice != NULL) {
        free(slice->service);
        vec_done(&slice->endpoints);
        vec_done(&slice->ports);
        free(slice);
    }
}

static void service_free(struct service *service)
{
    list_remove(&service->dirty);
    vec_done(&service->ports);
    vec_done(&service->vips);
    vec_done(&service->sources);
    vec_done(&service->slices);
    free(service->key);
    free(service);
}

void service_model_free(struct service_model *model)
{
    if (model == NULL) {
        return;
    }
    MAP_EACH (entry, &model->services) {
        service_free(entry->value);
    }
    MAP_EACH (entry, &model->slices) {
        slice_free(entry->value);
    }
    map_done(&model->services);
    map_done(&model->slices);
    free(model->node_name);
    free(model);
}

static struct service *get_service(struct service_model *model, struct str key)
{
    struct service *service = map_get(&model->services, key);
    if (service == NULL) {
        service = mem_new(struct service);
        service->key = str_dup(key);
        list_init(&service->dirty);
        map_set(&model->services, key, service);
    }
    return service;
}

static void make_dirty(struct service_model *model, struct service *service)
{
    list_remove(&service->dirty);
    list_append(&model->dirty, &service->dirty);
}

static bool parse_protocol(struct str text, uint8_t *ret_protocol)
{
    *ret_protocol = str_is(text, "UDP")    ? IPPROTO_UDP
                    : str_is(text, "SCTP") ? IPPROTO_SCTP
                                           : IPPROTO_TCP;
    return text.n == 0 || str_is(text, "TCP") || *ret_protocol != IPPROTO_TCP;
}

static void copy_name(char ret_name[NAME_MAX_BYTES], struct str name)
{
    snprintf(ret_name, NAME_MAX_BYTES, "%.*s", STR_ARG(name));
}

/* ---- Services ---- */

static void add_vip(struct service *service, struct str text, bool external, bool filtered)
{
    struct vip vip = {.external = external, .filtered = filtered};
    if (!address_parse(text, &vip.address)) {
        return;
    }
    VEC_EACH (known, &service->vips) {
        if (known->address == vip.address) {
            return;
        }
    }
    *vec_push(&service->vips) = vip;
}

static void read_vips(struct service *service, const struct val *spec, const struct val *status)
{
    struct val *cluster_ips = val_get(spec, "clusterIPs");
    add_vip(service, val_text(val_get(spec, "clusterIP")), false, false);
    VAL_EACH (ip, cluster_ips) {
        add_vip(service, val_text(ip), false, false);
    }
    VAL_EACH (ip, val_get(spec, "externalIPs")) {
        add_vip(service, val_text(ip), true, false);
    }
    VAL_EACH (range, val_get(spec, "loadBalancerSourceRanges")) {
        struct address_range parsed;
        if (address_range_parse(str_trim(val_text(range)), &parsed, NULL) == 0 && parsed.set) {
            *vec_push(&service->sources) = parsed;
        }
    }
    VAL_EACH (ingress, val_path(status, "loadBalancer.ingress")) {
        if (!str_is(val_text(val_get(ingress, "ipMode")), "Proxy")) {
            add_vip(service, val_text(val_get(ingress, "ip")), true, true);
        }
    }
}

static void read_ports(struct service *service, const struct val *spec)
{
    VAL_EACH (item, val_get(spec, "ports")) {
        struct declared_port port = {0};
        int64_t number = val_int(val_get(item, "port"), 0);
        int64_t node_port = val_int(val_get(item, "nodePort"), 0);
        if (!parse_protocol(val_text(val_get(item, "protocol")), &port.protocol) || number < 1 ||
            number > 65535 || node_port < 0 || node_port > 65535 ||
            service->ports.count >= PORTS_MAX) {
            continue;
        }
        copy_name(port.name, val_text(val_get(item, "name")));
        port.port = (uint16_t)number;
        port.node_port = (uint16_t)node_port;
        *vec_push(&service->ports) = port;
    }
}

static bool is_ours(const struct service_model *model, const struct val *spec)
{
    struct str cluster_ip = val_text(val_get(spec, "clusterIP"));
    uint32_t address = 0;
    return !str_is(val_text(val_get(spec, "type")), "ExternalName") && cluster_ip.n > 0 &&
           !str_is(cluster_ip, "None") &&
           !(address_parse(cluster_ip, &address) && address == model->dns_address);
}

void service_model_service(struct service_model *model, const struct object *object, bool deleted)
{
    char *key MEM_CLEANUP = mem_printf("%.*s/%.*s", STR_ARG(object->ns), STR_ARG(object->name));
    struct service *service = get_service(model, str_of(key));
    service->exists = false;
    vec_clear(&service->ports);
    vec_clear(&service->vips);
    vec_clear(&service->sources);
    make_dirty(model, service);
    if (deleted) {
        return;
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = object_decode(object, &arena);
    struct val *spec = val_get(value, "spec");
    struct val *labels = val_path(value, "metadata.labels");
    if (!is_ours(model, spec) ||
        !val_absent(val_get(labels, "service.kubernetes.io/service-proxy-name"))) {
        return; /* headless, ExternalName, our DNS, or another proxy's */
    }
    service->exists = true;
    snprintf(service->uid, sizeof service->uid, "%.*s", STR_ARG(object->uid));
    read_vips(service, spec, val_get(value, "status"));
    read_ports(service, spec);
    service->internal_local = str_is(val_text(val_get(spec, "internalTrafficPolicy")), "Local");
    service->external_local = str_is(val_text(val_get(spec, "externalTrafficPolicy")), "Local");
    service->affinity_s = 0;
    if (str_is(val_text(val_get(spec, "sessionAffinity")), "ClientIP")) {
        int64_t seconds =
            val_int(val_path(spec, "sessionAffinityConfig.clientIP.timeoutSeconds"), 10800);
        service->affinity_s = seconds > 0 && seconds <= 86400 ? (uint32_t)seconds : 10800;
    }
}

/* ---- EndpointSlices ---- */

static void read_endpoints(const struct service_model *model, struct slice *slice,
                           const struct val *value)
{
    VAL_EACH (item, val_get(value, "endpoints")) {
        struct val *conditions = val_get(item, "conditions");
        struct slice_endpoint endpoint = {0};
        endpoint.ready = val_bool(val_get(conditions, "ready"), true);
        endpoint.serving = val_bool(val_get(conditions, "serving"), endpoint.ready);
        endpoint.terminating = val_bool(val_get(conditions, "terminating"), false);
        endpoint.local = str_is(val_text(val_get(item, "nodeName")), model->node_name);
        /* The API: consumers use the first address only. */
        if (address_parse(val_text(val_at(val_get(item, "addresses"), 0)), &endpoint.address)) {
            *vec_push(&slice->endpoints) = endpoint;
        }
    }
}

static void read_slice_ports(struct slice *slice, const struct val *value)
{
    VAL_EACH (item, val_get(value, "ports")) {
        struct slice_port port = {0};
        int64_t number = val_int(val_get(item, "port"), 0);
        if (parse_protocol(val_text(val_get(item, "protocol")), &port.protocol) && number > 0 &&
            number < 65536) {
            copy_name(port.name, val_text(val_get(item, "name")));
            port.port = (uint16_t)number;
            *vec_push(&slice->ports) = port;
        }
    }
}

static void unlink_slice(struct service_model *model, struct slice *slice)
{
    struct service *service = get_service(model, str_of(slice->service));
    for (size_t i = 0; i < service->slices.count; i++) {
        if (service->slices.items[i] == slice) {
            vec_remove_swap(&service->slices, i);
            break;
        }
    }
    make_dirty(model, service);
}

void service_model_slice(struct service_model *model, const struct object *object, bool deleted)
{
    char *key MEM_CLEANUP = mem_printf("%.*s/%.*s", STR_ARG(object->ns), STR_ARG(object->name));
    struct slice *old = map_get(&model->slices, str_of(key));
    if (old != NULL) {
        map_remove(&model->slices, str_of(key));
        unlink_slice(model, old);
        slice_free(old);
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = object_decode(object, &arena);
    struct str name =
        val_text(val_get(val_path(value, "metadata.labels"), "kubernetes.io/service-name"));
    if (deleted || name.n == 0 || !str_is(val_text(val_get(value, "addressType")), "IPv4")) {
        return;
    }
    struct slice *slice = mem_new(struct slice);
    slice->service = mem_printf("%.*s/%.*s", STR_ARG(object->ns), STR_ARG(name));
    read_endpoints(model, slice, value);
    read_slice_ports(slice, value);
    map_set(&model->slices, str_of(key), slice);
    struct service *service = get_service(model, str_of(slice->service));
    *vec_push(&service->slices) = slice;
    make_dirty(model, service);
}

/* ---- ports ---- */

enum pick { PICK_READY, PICK_TERMINATING };

static void collect(const struct service *service, const struct declared_port *port, enum pick pick,
                    bool local, struct endpoints *endpoints)
{
    for (size_t s = 0; s < service->slices.count; s++) {
        const struct slice *slice = service->slices.items[s];
        uint16_t number = 0;
        for (size_t i = 0; i < slice->ports.count; i++) {
            const struct slice_port *candidate = &slice->ports.items[i];
            if (candidate->protocol == port->protocol && strcmp(candidate->name, port->name) == 0) {
                number = candidate->port;
            }
        }
        for (size_t i = 0; i < slice->endpoints.count && number != 0; i++) {
            const struct slice_endpoint *endpoint = &slice->endpoints.items[i];
            bool fits =
                pick == PICK_READY ? endpoint->ready : endpoint->serving && endpoint->terminating;
            if (fits && (!local || endpoint->local)) {
                *vec_push(endpoints) =
                    (struct endpoint){.address = endpoint->address, .port = number};
            }
        }
    }
}

static void compute_port(const struct service *service, const struct declared_port *declared,
                         struct service_port *port)
{
    static const char *const names[] = {"tcp", "udp", "sctp"};
    const char *protocol = names[declared->protocol == IPPROTO_UDP    ? 1
                                 : declared->protocol == IPPROTO_SCTP ? 2
                                                                      : 0];
    snprintf(port->id, sizeof port->id, "%s-%s-%u", service->uid, protocol, declared->port);
    port->protocol = declared->protocol;
    port->port = declared->port;
    port->node_port = declared->node_port;
    port->internal_local = service->internal_local;
    port->external_local = service->external_local;
    port->affinity_s = service->affinity_s;
    for (size_t i = 0; i < service->vips.count; i++) {
        *vec_push(&port->vips) = service->vips.items[i];
    }
    for (size_t i = 0; i < service->sources.count; i++) {
        *vec_push(&port->sources) = service->sources.items[i];
    }
    collect(service, declared, PICK_READY, false, &port->all);
    if (port->all.count == 0) {
        collect(service, declared, PICK_TERMINATING, false, &port->all);
    }
    collect(service, declared, PICK_READY, true, &port->local);
    if (port->local.count == 0) {
        collect(service, declared, PICK_TERMINATING, true, &port->local);
    }
}

bool service_model_next(struct service_model *model, struct str *ret_key, struct ports *ret_ports)
{
    if (model->handed_out != NULL) { /* nothing is known of it any more: forget it */
        struct service *gone = model->handed_out;
        model->handed_out = NULL;
        if (!gone->exists && gone->slices.count == 0 && list_empty(&gone->dirty)) {
            map_remove(&model->services, str_of(gone->key));
            service_free(gone);
        }
    }
    struct list *item = list_pop(&model->dirty);
    if (item == NULL) {
        return false;
    }
    struct service *service = container_of(item, struct service, dirty);
    *ret_ports = (struct ports){0};
    for (size_t i = 0; service->exists && i < service->ports.count; i++) {
        compute_port(service, &service->ports.items[i], vec_push(ret_ports));
    }
    *ret_key = str_of(service->key);
    model->handed_out = service;
    return true;
}

size_t service_model_count(const struct service_model *model)
{
    return model->services.count;
}

void service_model_touch_all(struct service_model *model)
{
    MAP_EACH (entry, &model->services) {
        make_dirty(model, entry->value);
    }
}
