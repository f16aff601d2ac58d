/* service_check.c: validation of Services: what a client asks for, before addresses and node ports
 * are allocated. */
#include "api/kinds/endpoint_parts.h"
#include "api/kinds/service.h"
#include "api/semantic.h"

static const char *const types[] = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort", NULL};
static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
static const char *const affinities[] = {"ClientIP", "None", NULL};
static const char *const traffic_policies[] = {"Cluster", "Local", NULL};
static const char *const families[] = {"IPv4", "IPv6", NULL};
static const char *const family_policies[] = {"PreferDualStack", "RequireDualStack", "SingleStack",
                                              NULL};
static const char *const distributions[] = {"PreferClose", "PreferSameZone", "PreferSameNode",
                                            NULL};

static bool is_headless(const struct val *spec)
{
    return str_is(val_text(val_at(val_get(spec, "clusterIPs"), 0)), "None") ||
           str_is(val_text(val_get(spec, "clusterIP")), "None");
}

static void port_check(struct field_errors *errors, const struct path *path,
                       const struct val *ports, const struct val *port)
{
    struct str name = val_text(val_get(port, "name"));
    if (name.n == 0 && val_count(ports) > 1) {
        field_required(errors, AT(path, "name"), "");
    } else if (name.n > 0 && check_name(errors, AT(path, "name"), NAME_LABEL, name) &&
               val_find(ports, "name", name) != port) {
        field_duplicate(errors, AT(path, "name"), name);
    }
    check_port_number(errors, AT(path, "port"), val_int(val_get(port, "port"), 0));
    check_one_of(errors, AT(path, "protocol"), val_text(val_get(port, "protocol")), protocols,
                 true);
    check_port(errors, AT(path, "targetPort"), val_get(port, "targetPort"));
    struct str app = val_text(val_get(port, "appProtocol"));
    if (app.n > 0) {
        check_name(errors, AT(path, "appProtocol"), NAME_LABEL_KEY, app);
    }
}

static bool same_number(const struct val *a, const struct val *b, const char *name)
{
    struct str key = str_of(name);
    return val_int(val_get_str(a, key), 0) == val_int(val_get_str(b, key), 0) &&
           str_eq(val_text(val_get(a, "protocol")), val_text(val_get(b, "protocol")));
}

static void port_clashes(struct field_errors *errors, const struct path *path,
                         const struct val *ports, const struct val *port)
{
    VAL_EACH (other, ports) {
        if (other == port) {
            return;
        }
        if (val_int(val_get(port, "nodePort"), 0) != 0 && same_number(other, port, "nodePort")) {
            field_duplicate_val(errors, AT(path, "nodePort"), val_get(port, "nodePort"));
        }
        if (same_number(other, port, "port")) {
            struct val key = {.type = VAL_OBJECT};
            struct val parts[2] = {{.type = VAL_NUMBER}, {.type = VAL_STRING}};
            parts[0].key = STR("port");
            parts[0].text = val_text(val_get(port, "port"));
            parts[1].key = STR("protocol");
            parts[1].text = val_text(val_get(port, "protocol"));
            parts[0].next = &parts[1];
            key.child = &parts[0];
            key.last = &parts[1];
            key.count = 2;
            field_duplicate_val(errors, path, &key);
            return;
        }
    }
}

static void ports_check(struct field_errors *errors, const struct path *path,
                        const struct val *spec)
{
    const struct val *ports = val_get(spec, "ports");
    if (val_count(ports) == 0 && !is_headless(spec) && !service_type_is(spec, "ExternalName")) {
        field_required(errors, AT(path, "ports"), "");
    }
    uint32_t i = 0;
    if (!check_length(errors, AT(path, "ports"), ports, SERVICE_PORTS_MAX)) {
        return;
    }
    VAL_EACH (port, ports) {
        const struct path *at = AT_INDEX(AT(path, "ports"), i++);
        port_check(errors, at, ports, port);
        port_clashes(errors, at, ports, port);
        if (service_type_is(spec, "ClusterIP") && val_int(val_get(port, "nodePort"), 0) != 0) {
            field_forbidden(errors, AT(at, "nodePort"),
                            "may not be used when `type` is 'ClusterIP'");
        }
    }
}

static void address_check(struct field_errors *errors, const struct path *path, struct str text)
{
    uint8_t bytes[16];
    if (name_ip_parse(text, bytes) == 0) {
        field_invalid(errors, path, text,
                      "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

static void families_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct val *list = val_get(spec, "ipFamilies");
    uint32_t i = 0;
    VAL_EACH (family, list) {
        const struct path *at = AT_INDEX(AT(path, "ipFamilies"), i++);
        if (check_one_of(errors, at, val_text(family), families, true) && i == 2 &&
            str_eq(val_text(family), val_text(val_at(list, 0)))) {
            field_duplicate(errors, at, val_text(family));
        }
    }
    check_one_of(errors, AT(path, "ipFamilyPolicy"), val_text(val_get(spec, "ipFamilyPolicy")),
                 family_policies, false);
}

static void addresses_check(struct field_errors *errors, const struct path *path,
                            const struct val *spec)
{
    const struct val *list = val_get(spec, "clusterIPs");
    struct str first = val_text(val_get(spec, "clusterIP"));
    const struct path *at = AT(path, "clusterIPs");
    if (first.n > 0 && !str_eq(first, val_text(val_at(list, 0)))) {
        field_invalid_val(errors, at, list, "first value must match `clusterIP`");
    } else if (first.n == 0 && val_count(list) > 0) {
        field_invalid_val(errors, at, list, "must be empty when `clusterIP` is not specified");
    }
    families_check(errors, path, spec);
    int seen[2] = {0, 0};
    uint32_t i = 0;
    VAL_EACH (ip, list) {
        uint8_t bytes[16];
        if (str_is(val_text(ip), "None")) {
            if (list->count > 1) {
                field_invalid_val(errors, at, list, "'None' must be the first and only value");
            }
        } else if (val_text(ip).n > 0) {
            address_check(errors, AT_INDEX(at, i), val_text(ip));
            int family = name_ip_parse(val_text(ip), bytes);
            seen[family == 6] += family != 0;
            struct str wanted = val_text(val_at(val_get(spec, "ipFamilies"), i));
            if (family != 0 && wanted.n > 0 && !str_is(wanted, family == 4 ? "IPv4" : "IPv6")) {
                field_invalid(errors, AT_INDEX(at, i), val_text(ip),
                              "expected an %.*s value as indicated by `ipFamilies[%u]`",
                              STR_ARG(wanted), i);
            }
        }
        i++;
    }
    if (val_count(list) > 2) {
        field_invalid_val(errors, at, list, "may only hold up to 2 values");
    }
    if (seen[0] > 1 || seen[1] > 1) {
        field_invalid_val(errors, at, list, "may specify no more than one IP for each IP family");
    }
}

static void external_name_check(struct field_errors *errors, const struct path *path,
                                const struct val *spec)
{
    static const char *const none[] = {"clusterIPs", "ipFamilies"};
    for (size_t i = 0; i < 2; i++) {
        if (val_count(val_get_str(spec, str_of(none[i]))) > 0) {
            field_forbidden(errors, AT(path, none[i]), "may not be set for ExternalName services");
        }
    }
    if (!val_absent(val_get(spec, "ipFamilyPolicy"))) {
        field_forbidden(errors, AT(path, "ipFamilyPolicy"),
                        "may not be set for ExternalName services");
    }
    struct str name = val_text(val_get(spec, "externalName"));
    if (name.n > 0 && name.p[name.n - 1] == '.') {
        name.n--;
    }
    if (name.n == 0) {
        field_required(errors, AT(path, "externalName"), "");
    } else {
        check_name(errors, AT(path, "externalName"), NAME_SUBDOMAIN, name);
    }
}

static void headless_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct path *at = AT_INDEX(AT(path, "clusterIPs"), 0);
    if (is_headless(spec) &&
        (service_type_is(spec, "LoadBalancer") || service_type_is(spec, "NodePort"))) {
        field_invalid(errors, at, STR("None"), "may not be set to 'None' for %.*s services",
                      STR_ARG(val_text(val_get(spec, "type"))));
    }
}

static void session_check(struct field_errors *errors, const struct path *path,
                          const struct val *spec)
{
    struct str affinity = val_text(val_get(spec, "sessionAffinity"));
    const struct val *config = val_get(spec, "sessionAffinityConfig");
    const struct path *at = AT(path, "sessionAffinityConfig");
    check_one_of(errors, AT(path, "sessionAffinity"), affinity, affinities, true);
    if (str_is(affinity, "None") && !val_absent(config)) {
        field_forbidden(errors, at, "must not be set when session affinity is None");
    }
    if (!str_is(affinity, "ClientIP")) {
        return;
    }
    const struct val *timeout = val_path(config, "clientIP.timeoutSeconds");
    int64_t seconds = val_int(timeout, 0);
    if (val_absent(timeout)) {
        field_required(errors, at, "when session affinity type is ClientIP");
    } else if (seconds <= 0 || seconds > 86400) {
        field_invalid_int(errors, AT(AT(at, "clientIP"), "timeoutSeconds"), seconds,
                          "must be greater than 0 and less than 86400");
    }
}

static void traffic_check(struct field_errors *errors, const struct path *path,
                          const struct val *spec)
{
    struct str external = val_text(val_get(spec, "externalTrafficPolicy"));
    struct str internal = val_text(val_get(spec, "internalTrafficPolicy"));
    int64_t health = val_int(val_get(spec, "healthCheckNodePort"), 0);
    if (service_has_external_policy(spec)) {
        check_one_of(errors, AT(path, "externalTrafficPolicy"), external, traffic_policies, true);
    } else if (external.n > 0) {
        field_invalid(errors, AT(path, "externalTrafficPolicy"), external,
                      "may only be set for externally-accessible services");
    }
    if (health != 0 && !(service_type_is(spec, "LoadBalancer") && str_is(external, "Local"))) {
        field_invalid_int(errors, AT(path, "healthCheckNodePort"), health,
                          "may only be set when `type` is 'LoadBalancer' and "
                          "`externalTrafficPolicy` is 'Local'");
    }
    if (health != 0) {
        check_port_number(errors, AT(path, "healthCheckNodePort"), health);
    }
    if (!service_type_is(spec, "ExternalName")) {
        check_one_of(errors, AT(path, "internalTrafficPolicy"), internal, traffic_policies, true);
    }
    check_one_of(errors, AT(path, "trafficDistribution"),
                 val_text(val_get(spec, "trafficDistribution")), distributions, false);
}

/* Same rule as for endpoints: an address that means something else on every node is none. */
static void external_ips_check(struct field_errors *errors, const struct path *path,
                               const struct val *spec)
{
    uint32_t i = 0;
    VAL_EACH (ip, val_get(spec, "externalIPs")) {
        endpoint_ip_check(errors, AT_INDEX(AT(path, "externalIPs"), i++), val_text(ip));
    }
}

static void balancer_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct val *ranges = val_get(spec, "loadBalancerSourceRanges");
    if (!service_type_is(spec, "LoadBalancer")) {
        if (val_count(ranges) > 0) {
            field_forbidden(errors, AT(path, "LoadBalancerSourceRanges"),
                            "may only be used when `type` is 'LoadBalancer'");
        }
        if (!val_absent(val_get(spec, "allocateLoadBalancerNodePorts"))) {
            field_forbidden(errors, AT(path, "allocateLoadBalancerNodePorts"),
                            "may only be used when `type` is 'LoadBalancer'");
        }
        if (val_text(val_get(spec, "loadBalancerClass")).n > 0) {
            field_forbidden(errors, AT(path, "loadBalancerClass"),
                            "may only be used when `type` is 'LoadBalancer'");
        }
        return;
    }
    struct str class = val_text(val_get(spec, "loadBalancerClass"));
    if (class.n > 0) {
        check_name(errors, AT(path, "loadBalancerClass"), NAME_LABEL_KEY, class);
    }
    uint32_t i = 0;
    VAL_EACH (range, ranges) {
        uint8_t bytes[16];
        int bits;
        if (name_cidr_parse(str_trim(val_text(range)), bytes, &bits) == 0) {
            field_invalid(errors, AT_INDEX(AT(path, "LoadBalancerSourceRanges"), i),
                          val_text(range),
                          "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        }
        i++;
    }
}

void service_validate(struct api_context *ctx, const struct val *service,
                      struct field_errors *errors)
{
    const struct val *spec = val_get(service, "spec");
    const struct path *path = AT(NULL, "spec");
    ports_check(errors, path, spec);
    headless_check(errors, path, spec);
    if (service_type_is(spec, "ExternalName")) {
        external_name_check(errors, path, spec);
    } else {
        addresses_check(errors, path, spec);
    }
    check_labels(errors, AT(path, "selector"), val_get(spec, "selector"));
    session_check(errors, path, spec);
    check_one_of(errors, AT(path, "type"), val_text(val_get(spec, "type")), types, true);
    external_ips_check(errors, path, spec);
    balancer_check(errors, path, spec);
    traffic_check(errors, path, spec);
    (void)ctx;
}

void service_validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                             struct field_errors *errors)
{
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    const struct path *path = AT(NULL, "spec");
    if (strcmp(ctx->subresource, "status") == 0 && !service_type_is(spec, "LoadBalancer") &&
        val_count(val_path(next, "status.loadBalancer.ingress")) > 0) {
        field_forbidden(errors, AT(AT(AT(NULL, "status"), "loadBalancer"), "ingress"),
                        "may only be used when `spec.type` is 'LoadBalancer'");
    }
    if (ctx->subresource[0] != '\0' || service_type_is(spec, "ExternalName") ||
        service_type_is(was, "ExternalName")) {
        return;
    }
    struct str before = val_text(val_at(val_get(was, "clusterIPs"), 0));
    struct str now = val_text(val_at(val_get(spec, "clusterIPs"), 0));
    const struct path *at = AT_INDEX(AT(path, "clusterIPs"), 0);
    if (before.n > 0 && now.n == 0) {
        field_invalid_val(errors, at, val_get(spec, "clusterIPs"),
                          "primary clusterIP can not be unset");
    } else if (before.n > 0 && !str_eq(before, now)) {
        field_invalid_val(errors, at, val_get(spec, "clusterIPs"), "may not change once set");
    }
    struct str family = val_text(val_at(val_get(was, "ipFamilies"), 0));
    if (family.n > 0 && !str_eq(before, now) &&
        !str_eq(family, val_text(val_at(val_get(spec, "ipFamilies"), 0)))) {
        field_invalid_val(errors, AT_INDEX(AT(path, "ipFamilies"), 0), val_get(spec, "ipFamilies"),
                          "may not change once set");
    }
    const struct val *class = val_get(spec, "loadBalancerClass");
    if (service_type_is(was, "LoadBalancer") && service_type_is(spec, "LoadBalancer") &&
        !semantic_equal(class, val_get(was, "loadBalancerClass"))) {
        field_invalid_val(errors, AT(path, "loadBalancerClass"), class, "may not change once set");
    }
    int64_t health = val_int(val_get(was, "healthCheckNodePort"), 0);
    if (health != 0 && service_type_is(was, "LoadBalancer") &&
        service_type_is(spec, "LoadBalancer") &&
        val_int(val_get(spec, "healthCheckNodePort"), 0) != health) {
        field_forbidden(errors, AT(path, "healthCheckNodePort"), "field is immutable");
    }
}
