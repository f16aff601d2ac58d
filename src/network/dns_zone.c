/* dns_zone.c: names to records.
 *
 * A name below the zone is cut into labels from its right end: "svc" or "pod", namespace, Service,
 * and up to two more. What exists but has no record of the asked type is NOERROR with an SOA
 * (NODATA); what does not exist is NXDOMAIN with an SOA, so resolvers with search paths go on at
 * once. IPv4 records only.
 */
#include "network/dns_zone.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/vec.h"

enum { LABELS_MAX = 8, CHAIN_MAX = 8, RECORDS_MAX = 1000 };

struct zone_query {
    const struct dns_zone *zone;
    const struct dns_question *question;
    struct dns_builder *builder;
    const char *owner; /* name of the records; the question's, or the end of a CNAME chain */
    bool found;        /* the name exists */
    char next[256];    /* CNAME target */
};

struct headless {
    VEC_OF(uint32_t);
};

/* ---- indexes ---- */

static void slice_service_key(const struct object *slice, void (*emit)(void *arg, struct str key),
                              void *arg)
{
    struct str name = object_label_get(slice, STR("kubernetes.io/service-name"));
    if (name.n > 0) {
        char *key MEM_CLEANUP = mem_printf("%.*s/%.*s", STR_ARG(slice->ns), STR_ARG(name));
        emit(arg, str_of(key));
    }
}

static void slice_addresses(const struct object *slice, void (*emit)(void *arg, struct str key),
                            void *arg)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *value = object_decode(slice, &arena);
    VAL_EACH (endpoint, val_get(value, "endpoints")) {
        VAL_EACH (address, val_get(endpoint, "addresses")) {
            emit(arg, val_text(address));
        }
    }
}

static void service_addresses(const struct object *service, void (*emit)(void *arg, struct str key),
                              void *arg)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *spec = val_get(object_decode(service, &arena), "spec");
    struct str address = val_text(val_get(spec, "clusterIP"));
    if (address.n > 0 && !str_is(address, "None")) {
        emit(arg, address);
    }
}

void dns_zone_init(struct dns_zone *zone, struct str domain, struct informer *services,
                   struct informer *slices, struct random *random)
{
    *zone = (struct dns_zone){.services = services, .slices = slices, .random = random};
    snprintf(zone->domain, sizeof zone->domain, "%.*s", STR_ARG(domain));
    informer_index(slices, "service", slice_service_key);
    informer_index(slices, "address", slice_addresses);
    informer_index(services, "address", service_addresses);
}

/* ---- records ---- */

static bool wants(const struct zone_query *query, uint16_t type)
{
    return query->question->type == type || query->question->type == DNS_TYPE_ANY;
}

static void add_address(struct zone_query *query, const char *owner, uint32_t address)
{
    uint8_t bytes[4] = {(uint8_t)(address >> 24), (uint8_t)(address >> 16), (uint8_t)(address >> 8),
                        (uint8_t)address};
    dns_add_a(query->builder, owner, DNS_TTL_S, bytes);
}

static void dashed(uint32_t address, char ret_text[ADDRESS_TEXT_SIZE])
{
    address_format(address, ret_text);
    for (char *c = ret_text; *c != 0; c++) {
        *c = *c == '.' ? '-' : *c;
    }
}

/* ---- Services with a cluster address ---- */

struct port_filter { /* "_http._tcp"; empty: all */
    struct str port, protocol;
};

static bool port_fits(const struct port_filter *filter, const struct val *port)
{
    struct str protocol = val_text(val_get(port, "protocol"));
    if (filter->port.n == 0) {
        return true;
    }
    protocol = protocol.n > 0 ? protocol : STR("TCP");
    bool same = protocol.n == filter->protocol.n;
    for (size_t i = 0; i < protocol.n && same; i++) {
        same = (protocol.p[i] | 0x20) == (filter->protocol.p[i] | 0x20);
    }
    return same && str_eq(val_text(val_get(port, "name")), filter->port);
}

static void answer_cluster_ip(struct zone_query *query, const struct val *spec, struct str name,
                              struct str ns, const struct port_filter *filter)
{
    uint32_t address = 0;
    if (!address_parse(val_text(val_get(spec, "clusterIP")), &address)) {
        query->found = filter->port.n == 0;
        return; /* IPv6 only: exists, without records here */
    }
    if (filter->port.n == 0) {
        query->found = true;
        if (wants(query, DNS_TYPE_A)) {
            add_address(query, query->owner, address);
        }
    }
    char target[256];
    snprintf(target, sizeof target, "%.*s.%.*s.svc.%s", STR_ARG(name), STR_ARG(ns),
             query->zone->domain);
    bool any = false;
    VAL_EACH (port, val_get(spec, "ports")) {
        if (!port_fits(filter, port)) {
            continue;
        }
        query->found = true;
        if (wants(query, DNS_TYPE_SRV)) {
            any = true;
            dns_add_srv(query->builder, query->owner, DNS_TTL_S, 0, 100,
                        (uint16_t)val_int(val_get(port, "port"), 0), target);
        }
    }
    if (any) {
        dns_additional(query->builder);
        add_address(query, target, address);
    }
}

/* ---- headless Services: endpoints ---- */

struct endpoint_walk {
    struct zone_query *query;
    struct str name, ns;
    struct str host; /* only this endpoint; n 0: all */
    const struct port_filter *filter;
    struct headless addresses, ports_of; /* A records; pairs (address, port) of SRV targets */
    struct {
        VEC_OF(char *);
    } targets;
    struct arena arena;
};

static void endpoint_host(const struct val *endpoint, uint32_t address, char ret_host[80])
{
    struct str hostname = val_text(val_get(endpoint, "hostname"));
    if (hostname.n > 0) {
        snprintf(ret_host, 80, "%.*s", STR_ARG(hostname));
    } else {
        dashed(address, ret_host);
    }
}

static void take_endpoint(struct endpoint_walk *walk, const struct val *slice,
                          const struct val *endpoint)
{
    uint32_t address;
    char host[80];
    if (!val_bool(val_path(endpoint, "conditions.ready"), true) ||
        !address_parse(val_text(val_at(val_get(endpoint, "addresses"), 0)), &address) ||
        walk->addresses.count >= RECORDS_MAX) {
        return;
    }
    endpoint_host(endpoint, address, host);
    if (walk->host.n > 0 && !str_is(walk->host, host)) {
        return;
    }
    *vec_push(&walk->addresses) = address;
    VAL_EACH (port, val_get(slice, "ports")) {
        if (port_fits(walk->filter, port)) {
            *vec_push(&walk->targets) =
                arena_printf(&walk->arena, "%s.%.*s.%.*s.svc.%s", host, STR_ARG(walk->name),
                             STR_ARG(walk->ns), walk->query->zone->domain);
            *vec_push(&walk->ports_of) = address;
            *vec_push(&walk->ports_of) = (uint32_t)val_int(val_get(port, "port"), 0);
        }
    }
}

static bool visit_slice(void *ctx, struct object *object)
{
    struct endpoint_walk *walk = ctx;
    struct val *slice = object_decode(object, &walk->arena);
    if (str_is(val_text(val_get(slice, "addressType")), "IPv4")) {
        VAL_EACH (endpoint, val_get(slice, "endpoints")) {
            take_endpoint(walk, slice, endpoint);
        }
    }
    return true;
}

static void write_endpoints(struct endpoint_walk *walk)
{
    struct zone_query *query = walk->query;
    size_t count = walk->addresses.count;
    size_t start = count > 1 ? random_below(query->zone->random, count) : 0;
    for (size_t i = 0; i < count && wants(query, DNS_TYPE_A) && walk->filter->port.n == 0; i++) {
        add_address(query, query->owner, walk->addresses.items[(start + i) % count]);
    }
    if (!wants(query, DNS_TYPE_SRV)) {
        return;
    }
    uint16_t weight = (uint16_t)(walk->targets.count > 0 ? 100 / walk->targets.count : 0);
    for (size_t i = 0; i < walk->targets.count; i++) {
        dns_add_srv(query->builder, query->owner, DNS_TTL_S, 0, weight > 0 ? weight : 1,
                    (uint16_t)walk->ports_of.items[2 * i + 1], walk->targets.items[i]);
    }
    dns_additional(query->builder);
    for (size_t i = 0; i < walk->targets.count; i++) {
        add_address(query, walk->targets.items[i], walk->ports_of.items[2 * i]);
    }
}

static void answer_endpoints(struct zone_query *query, struct str name, struct str ns,
                             struct str host, const struct port_filter *filter)
{
    struct endpoint_walk walk = {
        .query = query, .name = name, .ns = ns, .host = host, .filter = filter};
    char *key MEM_CLEANUP = mem_printf("%.*s/%.*s", STR_ARG(ns), STR_ARG(name));
    informer_each_in(query->zone->slices, "service", str_of(key), visit_slice, &walk);
    bool named = host.n > 0 || filter->port.n > 0;
    query->found = filter->port.n > 0 ? walk.targets.count > 0 : walk.addresses.count > 0 || !named;
    write_endpoints(&walk);
    vec_done(&walk.addresses);
    vec_done(&walk.ports_of);
    vec_done(&walk.targets);
    arena_done(&walk.arena);
}

/* ---- below svc ---- */

static void answer_service(struct zone_query *query, struct str name, struct str ns,
                           struct str host, const struct port_filter *filter)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct object *object = informer_get(query->zone->services, ns, name);
    if (object == NULL) {
        return;
    }
    struct val *spec = val_get(object_decode(object, &arena), "spec");
    struct str external = val_text(val_get(spec, "externalName"));
    if (str_is(val_text(val_get(spec, "type")), "ExternalName")) {
        if (host.n == 0 && filter->port.n == 0 && external.n > 0 && external.n < 254) {
            query->found = true;
            snprintf(query->next, sizeof query->next, "%.*s", STR_ARG(external));
        }
        return;
    }
    if (str_is(val_text(val_get(spec, "clusterIP")), "None")) {
        answer_endpoints(query, name, ns, host, filter);
    } else if (host.n > 0) {
        answer_endpoints(query, name, ns, host, filter); /* endpoints with a hostname */
    } else {
        answer_cluster_ip(query, spec, name, ns, filter);
    }
}

static bool visit_any(void *ctx, struct object *object)
{
    *(bool *)ctx = true;
    return false;
}

/* labels: [0] is the leftmost one below "svc.DOMAIN" */
static void answer_svc(struct zone_query *query, const struct str *labels, size_t count)
{
    struct port_filter filter = {0};
    struct str host = STR_NONE;
    if (count == 0) {
        query->found = true;
        return;
    }
    struct str ns = labels[count - 1];
    if (count == 1) {
        informer_each(query->zone->services, ns, NULL, visit_any, &query->found);
        return;
    }
    struct str name = labels[count - 2];
    if (count == 3) {
        host = labels[0];
        if (host.n > 0 && host.p[0] == '_') { /* "_tcp.svc": nothing of its own */
            return;
        }
    } else if (count == 4 && labels[0].p[0] == '_' && labels[1].p[0] == '_') {
        filter.port = str_from(labels[0], 1);
        filter.protocol = str_from(labels[1], 1);
        if (filter.port.n == 0) {
            return;
        }
    } else if (count != 2) {
        return;
    }
    answer_service(query, name, ns, host, &filter);
}

static void answer_pod(struct zone_query *query, const struct str *labels, size_t count)
{
    char text[ADDRESS_TEXT_SIZE];
    uint32_t address;
    if (count < 2) {
        query->found = true;
        return;
    }
    if (count != 2 || labels[0].n >= sizeof text) {
        return;
    }
    for (size_t i = 0; i <= labels[0].n; i++) {
        text[i] = i == labels[0].n ? 0 : labels[0].p[i] == '-' ? '.' : labels[0].p[i];
    }
    if (address_parse(str_of(text), &address)) {
        query->found = true;
        if (wants(query, DNS_TYPE_A)) {
            add_address(query, query->owner, address);
        }
    }
}

/* ---- the zone ---- */

/* Labels of `name` below the zone, from the left; SIZE_MAX: the name is not in the zone. */
static size_t labels_below(const struct dns_zone *zone, struct str name,
                           struct str ret_labels[LABELS_MAX])
{
    struct str domain = str_of(zone->domain);
    if (str_eq(name, domain)) {
        return 0;
    }
    if (name.n <= domain.n || !str_ends(name, domain) || name.p[name.n - domain.n - 1] != '.') {
        return SIZE_MAX;
    }
    struct str rest = str_at(name.p, name.n - domain.n - 1);
    size_t count = 0;
    while (rest.p != NULL && count < LABELS_MAX) {
        ret_labels[count++] = str_cut(rest, '.', &rest);
    }
    return rest.p != NULL ? LABELS_MAX + 1 : count; /* too many: in the zone, but nothing */
}

static void answer_in_zone(struct zone_query *query, const struct str *labels, size_t count)
{
    if (count == 0) {
        query->found = true;
        char server[256];
        snprintf(server, sizeof server, "ns.dns.%s", query->zone->domain);
        if (wants(query, DNS_TYPE_NS)) {
            dns_add_name(query->builder, query->owner, DNS_TYPE_NS, DNS_TTL_S, server);
        }
    } else if (count <= LABELS_MAX && str_is(labels[count - 1], "svc")) {
        answer_svc(query, labels, count - 1);
    } else if (count <= LABELS_MAX && str_is(labels[count - 1], "pod")) {
        answer_pod(query, labels, count - 1);
    } else if (count == 1 && str_is(labels[0], "dns-version")) {
        query->found = true;
        if (wants(query, DNS_TYPE_TXT)) {
            dns_add_txt(query->builder, query->owner, 28800, STR("1.1.0"));
        }
    }
}

/* ---- addresses to names ---- */

static bool reverse_address(struct str name, uint32_t *ret_address)
{
    struct str suffix = STR(".in-addr.arpa");
    uint32_t reversed;
    if (!str_ends(name, suffix) || !address_parse(str_at(name.p, name.n - suffix.n), &reversed)) {
        return false;
    }
    *ret_address = __builtin_bswap32(reversed);
    return true;
}

struct reverse {
    struct zone_query *query;
    uint32_t address;
};

static bool visit_reverse_service(void *ctx, struct object *service)
{
    struct reverse *reverse = ctx;
    char target[256];
    snprintf(target, sizeof target, "%.*s.%.*s.svc.%s", STR_ARG(service->name),
             STR_ARG(service->ns), reverse->query->zone->domain);
    dns_add_name(reverse->query->builder, reverse->query->owner, DNS_TYPE_PTR, DNS_TTL_S, target);
    reverse->query->found = true;
    return true;
}

static bool visit_reverse_slice(void *ctx, struct object *object)
{
    struct reverse *reverse = ctx;
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *slice = object_decode(object, &arena);
    struct str service = object_label_get(object, STR("kubernetes.io/service-name"));
    VAL_EACH (endpoint, val_get(slice, "endpoints")) {
        uint32_t address;
        char host[80], target[256];
        if (!address_parse(val_text(val_at(val_get(endpoint, "addresses"), 0)), &address) ||
            address != reverse->address || service.n == 0) {
            continue;
        }
        endpoint_host(endpoint, address, host);
        snprintf(target, sizeof target, "%s.%.*s.%.*s.svc.%s", host, STR_ARG(service),
                 STR_ARG(object->ns), reverse->query->zone->domain);
        dns_add_name(reverse->query->builder, reverse->query->owner, DNS_TYPE_PTR, DNS_TTL_S,
                     target);
        reverse->query->found = true;
    }
    return true;
}

static void answer_reverse(struct zone_query *query, uint32_t address)
{
    char text[ADDRESS_TEXT_SIZE];
    struct reverse reverse = {query, address};
    address_format(address, text);
    if (!wants(query, DNS_TYPE_PTR)) {
        return;
    }
    informer_each_in(query->zone->services, "address", str_of(text), visit_reverse_service,
                     &reverse);
    if (!query->found) {
        informer_each_in(query->zone->slices, "address", str_of(text), visit_reverse_slice,
                         &reverse);
    }
}

/* ---- entry ---- */

/* Follows CNAMEs inside the zone; true: the end of the chain lies outside (query->next). */
static bool follow(struct zone_query *query, char chain[CHAIN_MAX][256])
{
    for (size_t i = 0; i < CHAIN_MAX; i++) {
        struct str labels[LABELS_MAX];
        size_t count = labels_below(query->zone, str_of(query->owner), labels);
        if (count == SIZE_MAX) {
            return true;
        }
        query->next[0] = 0;
        query->found = false;
        answer_in_zone(query, labels, count);
        if (query->next[0] == 0) {
            return false;
        }
        for (char *c = query->next; *c != 0; c++) {
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        }
        size_t n = strlen(query->next);
        if (n > 0 && query->next[n - 1] == '.') {
            query->next[n - 1] = 0;
        }
        dns_add_name(query->builder, query->owner, DNS_TYPE_CNAME, DNS_TTL_S, query->next);
        if (query->question->type == DNS_TYPE_CNAME) {
            return false;
        }
        snprintf(chain[i], sizeof chain[i], "%s", query->next);
        query->owner = chain[i];
    }
    return false; /* a loop of names: what was found stays */
}

struct dns_zone_result dns_zone_answer(const struct dns_zone *zone,
                                       const struct dns_question *question,
                                       struct dns_builder *builder)
{
    struct dns_zone_result result = {0};
    struct zone_query query = {
        .zone = zone, .question = question, .builder = builder, .owner = question->name};
    struct str labels[LABELS_MAX];
    char chain[CHAIN_MAX][256];
    uint32_t address;
    if (labels_below(zone, str_of(question->name), labels) == SIZE_MAX) {
        if (reverse_address(str_of(question->name), &address)) {
            answer_reverse(&query, address);
            result.ours = query.found;
        }
        return result;
    }
    result.ours = true;
    if (follow(&query, chain)) {
        memcpy(result.external, query.owner, strlen(query.owner) + 1);
        return result;
    }
    result.rcode = query.found || builder->answers > 0 ? DNS_RCODE_OK : DNS_RCODE_NXDOMAIN;
    if (builder->answers == 0) {
        dns_add_soa(builder, zone->domain, DNS_TTL_S);
    }
    return result;
}
