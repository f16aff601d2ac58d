/* services.c: the reconcile loop of Services: dirty Services, their difference, one transaction.
 *
 * Changes of one turn of the loop are written together. The first write, and the one after a
 * failure, makes the whole table anew in one transaction, so whatever was wrong heals and packets
 * never meet a gap. What is in the kernel is remembered per port (`applied`).
 */
#include "network/services.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "network/conntrack.h"

enum { RETRY_FIRST_MS = 100, RETRY_MOST_MS = 10000 };

struct services {
    struct services_options options;
    struct service_rules *rules;
    struct service_model *model;
    struct map applied; /* by "ns/name": struct ports */
    struct timer timer;
    bool begun, synced, whole; /* whole: the next write makes everything anew */
    bool datagrams;            /* a UDP port changed: old flows must be looked at */
    int64_t retry_ms;
};

struct services *services_new(const struct services_options *options, struct service_rules *rules)
{
    struct services *services = mem_new(struct services);
    services->options = *options;
    services->rules = rules;
    services->model = service_model_new(&options->model);
    services->whole = true;
    return services;
}

static void ports_done(struct ports *ports)
{
    VEC_EACH (port, ports) {
        service_port_done(port);
    }
    vec_done(ports);
}

static void forget_applied(struct services *services)
{
    MAP_EACH (entry, &services->applied) {
        ports_done(entry->value);
        free(entry->value);
    }
    map_done(&services->applied);
}

void services_free(struct services *services)
{
    if (services != NULL) {
        timer_stop(&services->timer);
        forget_applied(services);
        service_model_free(services->model);
        free(services);
    }
}

static struct service_port *find_port(struct ports *ports, const char *id)
{
    for (size_t i = 0; ports != NULL && i < ports->count; i++) {
        if (strcmp(ports->items[i].id, id) == 0) {
            return &ports->items[i];
        }
    }
    return NULL;
}

static void apply_service(struct services *services, struct str key, struct ports *next)
{
    struct ports *old = map_get(&services->applied, key);
    for (size_t i = 0; old != NULL && i < old->count; i++) { /* first: may free what others claim */
        services->datagrams |= old->items[i].protocol == IPPROTO_UDP;
        if (find_port(next, old->items[i].id) == NULL) {
            service_port_apply(&old->items[i], NULL, &service_rules_ops, services->rules);
        }
    }
    VEC_EACH (port, next) {
        services->datagrams |= port->protocol == IPPROTO_UDP;
        service_port_apply(find_port(old, port->id), port, &service_rules_ops, services->rules);
    }
    if (old != NULL) {
        ports_done(old);
        map_remove(&services->applied, key);
        free(old);
    }
    if (next->count > 0) {
        struct ports *kept = mem_new(struct ports);
        *kept = *next;
        map_set(&services->applied, key, kept);
    } else {
        ports_done(next);
    }
}

static bool has_endpoint(const struct endpoints *endpoints, const struct conntrack_flow *flow)
{
    for (size_t i = 0; i < endpoints->count; i++) {
        if (endpoints->items[i].address == flow->endpoint_address &&
            endpoints->items[i].port == flow->endpoint_port) {
            return true;
        }
    }
    return false;
}

/* UDP ports by where clients send to: "ADDRESS/PORT", or "0/PORT" for a node port. */
static void flow_key(uint32_t address, uint16_t port, char ret_key[24])
{
    snprintf(ret_key, 24, "%x/%u", address, port);
}

static void index_ports(struct services *services, struct map *index)
{
    char key[24];
    MAP_EACH (entry, &services->applied) {
        struct ports *ports = entry->value;
        VEC_EACH (port, ports) {
            if (port->protocol != IPPROTO_UDP) {
                continue;
            }
            VEC_EACH (vip, &port->vips) {
                flow_key(vip->address, port->port, key);
                map_set(index, str_of(key), port);
            }
            if (port->node_port != 0) {
                flow_key(0, port->node_port, key);
                map_set(index, str_of(key), port);
            }
        }
    }
}

/* It goes where nobody is any more, or (sent before there were endpoints) nowhere. */
static bool flow_is_stale(void *ctx, const struct conntrack_flow *flow)
{
    const struct map *index = ctx;
    char key[24];
    flow_key(flow->address, flow->port, key);
    const struct service_port *port = map_get(index, str_of(key));
    if (port == NULL && flow->translated) {
        flow_key(0, flow->port, key);
        port = map_get(index, str_of(key));
    }
    return port != NULL && !has_endpoint(&port->all, flow) && !has_endpoint(&port->local, flow);
}

static void forget_flows(struct services *services)
{
    struct err err = ERR_INIT;
    struct map index = MAP_INIT;
    services->datagrams = false;
    index_ports(services, &index);
    if (conntrack_forget(services->options.netns_fd, IPPROTO_UDP, flow_is_stale, &index, &err) !=
        0) {
        LOG_WARN("network", "cannot forget old flows", LOG_ERR(&err));
    }
    map_done(&index);
}

METRIC(sync_time, METRIC_KIND_HISTOGRAM, "kubeproxy_sync_proxy_rules_duration_seconds", NULL,
       "Time of one write of service rules");

int services_sync(struct services *services, struct err *err)
{
    int64_t before = loop_mono(services->options.loop);
    struct str key;
    struct ports next;
    if (services->whole) {
        struct err reset = ERR_INIT;
        if (service_rules_reset(services->rules, &reset) != 0) {
            LOG_WARN("network", "sticky clients are not kept", LOG_ERR(&reset));
        }
        forget_applied(services);
        service_model_touch_all(services->model);
    }
    while (service_model_next(services->model, &key, &next)) {
        apply_service(services, key, &next);
    }
    int rc = service_rules_commit(services->rules, err);
    services->whole = rc != 0;
    services->synced |= rc == 0;
    if (rc == 0 && services->datagrams) {
        forget_flows(services);
    }
    metric_observe_us(&sync_time, (uint64_t)(loop_mono(services->options.loop) - before) / 1000);
    return rc;
}

static void fire(struct timer *timer)
{
    struct services *services = container_of(timer, struct services, timer);
    struct err err = ERR_INIT;
    if (services_sync(services, &err) == 0) {
        services->retry_ms = 0;
        return;
    }
    LOG_ERROR("network", "cannot write service rules", LOG_ERR(&err));
    services->retry_ms = services->retry_ms == 0 ? RETRY_FIRST_MS : services->retry_ms * 2;
    services->retry_ms = services->retry_ms > RETRY_MOST_MS ? RETRY_MOST_MS : services->retry_ms;
    timer_start(services->options.loop, timer, services->retry_ms * NS_PER_MS, fire);
}

static void wake(struct services *services)
{
    if (services->begun && (!timer_armed(&services->timer) || services->retry_ms == 0)) {
        timer_start(services->options.loop, &services->timer, 0, fire);
    }
}

void services_begin(struct services *services)
{
    services->begun = true;
    wake(services);
}

bool services_synced(const struct services *services)
{
    return services->synced;
}

void services_change_service(void *ctx, struct object *old, struct object *now)
{
    struct services *services = ctx;
    service_model_service(services->model, now != NULL ? now : old, now == NULL);
    wake(services);
}

void services_change_slice(void *ctx, struct object *old, struct object *now)
{
    struct services *services = ctx;
    service_model_slice(services->model, now != NULL ? now : old, now == NULL);
    wake(services);
}
