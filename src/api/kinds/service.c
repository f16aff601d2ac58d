/* service.c: Services: defaults, validation, row.
 *
 * Addresses and node ports are allocated by the server after this; what is checked here is what a
 * client asks for. Left to others: the allocators.
 */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/endpoint_parts.h"
#include "api/kinds/kinds.h"
#include "api/semantic.h"
#include "api/validation.h"

static const char *const types[] = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort", NULL};
static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
static const char *const affinities[] = {"ClientIP", "None", NULL};
static const char *const traffic_policies[] = {"Cluster", "Local", NULL};
static const char *const families[] = {"IPv4", "IPv6", NULL};
static const char *const family_policies[] = {"PreferDualStack", "RequireDualStack", "SingleStack",
                                              NULL};
static const char *const distributions[] = {"PreferClose", "PreferSameZone", "PreferSameNode",
                                            NULL};

static bool type_is(const struct val *spec, const char *type)
{
    return str_is(val_text(val_get(spec, "type")), type);
}

static bool has_external_policy(const struct val *spec)
{
    return type_is(spec, "NodePort") || type_is(spec, "LoadBalancer") ||
           (type_is(spec, "ClusterIP") && val_count(val_get(spec, "externalIPs")) > 0);
}

static void affinity_default(struct arena *arena, struct val *spec)
{
    default_text(arena, spec, "sessionAffinity", "None");
    if (str_is(val_text(val_get(spec, "sessionAffinity")), "None")) {
        val_unset(spec, STR("sessionAffinityConfig"));
    } else if (str_is(val_text(val_get(spec, "sessionAffinity")), "ClientIP")) {
        struct val *config = default_object(arena, spec, "sessionAffinityConfig");
        struct val *client = default_object(arena, config, "clientIP");
        default_int(arena, client, "timeoutSeconds", 10800);
    }
}

static void port_default(struct arena *arena, struct val *port)
{
    const struct val *target = val_get(port, "targetPort");
    bool unset = val_absent(target) || (val_is(target, VAL_STRING) && val_text(target).n == 0) ||
                 (val_is(target, VAL_NUMBER) && val_int(target, 1) == 0);
    default_text(arena, port, "protocol", "TCP");
    if (unset && val_get(port, "port") != NULL) {
        default_put(port, STR("targetPort"), val_new_int(arena, val_int(val_get(port, "port"), 0)));
    }
}

static void defaults(struct arena *arena, struct val *service)
{
    struct val *spec = default_object(arena, service, "spec");
    affinity_default(arena, spec);
    default_text(arena, spec, "type", "ClusterIP");
    VAL_EACH (port, val_get(spec, "ports")) {
        port_default(arena, port);
    }
    if (has_external_policy(spec)) {
        default_text(arena, spec, "externalTrafficPolicy", "Cluster");
    }
    if (!type_is(spec, "ExternalName")) {
        default_text(arena, spec, "internalTrafficPolicy", "Cluster");
    }
    if (type_is(spec, "LoadBalancer")) {
        default_bool(arena, spec, "allocateLoadBalancerNodePorts", true);
        VAL_EACH (ingress, val_path(service, "status.loadBalancer.ingress")) {
            if (val_text(val_get(ingress, "ip")).n > 0) {
                default_text(arena, ingress, "ipMode", "VIP");
            }
        }
    }
}

/* clusterIP and the first of clusterIPs are one thing: what a client gives of one fills the other.
 */
static void mirror_address(struct arena *arena, struct val *spec)
{
    struct str ip = val_text(val_get(spec, "clusterIP"));
    if (type_is(spec, "ExternalName")) {
        val_unset(spec, STR("clusterIP"));
        val_unset(spec, STR("clusterIPs"));
    } else if (ip.n > 0 && val_count(val_get(spec, "clusterIPs")) == 0) {
        struct val *list = default_put(spec, STR("clusterIPs"), val_new(arena, VAL_ARRAY));
        val_append(list, val_new_text(arena, ip))->field = list->field;
    }
}

static void prepare_create(struct api_context *ctx, struct val *service)
{
    struct val *spec = val_make_object(ctx->arena, service, STR("spec"));
    struct val *status = val_make_object(ctx->arena, service, STR("status"));
    val_make_object(ctx->arena, status, STR("loadBalancer"));
    mirror_address(ctx->arena, spec);
}

static void take_over(struct arena *arena, struct val *spec, const struct val *was, struct str name)
{
    const struct val *member = val_get_str(was, name);
    if (member != NULL && val_count(val_get_str(spec, name)) == 0 &&
        val_text(val_get_str(spec, name)).n == 0) {
        struct val *copy = val_copy(arena, member);
        copy->field = member->field;
        val_set(spec, member->key, copy);
    }
}

/* A client that leaves allocated values out means to keep them (PUT of the manifest). */
static void patch_allocated(struct api_context *ctx, struct val *spec, const struct val *was)
{
    static const char *const kept[] = {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"};
    if (type_is(spec, "ExternalName") || type_is(was, "ExternalName")) {
        return;
    }
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        take_over(ctx->arena, spec, was, str_of(kept[i]));
    }
    if (type_is(spec, "ClusterIP")) {
        return;
    }
    take_over(ctx->arena, spec, was, STR("healthCheckNodePort"));
    VAL_EACH (port, val_get(spec, "ports")) {
        if (val_int(val_get(port, "nodePort"), 0) != 0) {
            continue;
        }
        VAL_EACH (old, val_get(was, "ports")) {
            if (val_int(val_get(old, "port"), 0) == val_int(val_get(port, "port"), 0) &&
                str_eq(val_text(val_get(old, "protocol")), val_text(val_get(port, "protocol"))) &&
                val_int(val_get(old, "nodePort"), 0) != 0) {
                default_put(port, STR("nodePort"),
                            val_new_int(ctx->arena, val_int(val_get(old, "nodePort"), 0)));
            }
        }
    }
}

static bool needs_node_ports(const struct val *spec)
{
    return type_is(spec, "NodePort") || type_is(spec, "LoadBalancer");
}

static bool all_node_ports_kept(const struct val *spec, const struct val *was)
{
    VAL_EACH (port, val_get(spec, "ports")) {
        int64_t node = val_int(val_get(port, "nodePort"), 0);
        bool kept = node == 0;
        VAL_EACH (old, val_get(was, "ports")) {
            kept = kept || val_int(val_get(old, "nodePort"), 0) == node;
        }
        if (!kept) {
            return false;
        }
    }
    return true;
}

static void drop_if_kept(struct val *spec, const struct val *was, const char *name)
{
    const struct val *value = val_get_str(spec, str_of(name));
    if (value != NULL && semantic_equal(value, val_get_str(was, str_of(name)))) {
        val_unset(spec, str_of(name));
    }
}

/* A client that only changes the type means what belonged to the old type to go. */
static void drop_for_type(struct val *spec, const struct val *was)
{
    static const char *const balancer[] = {"allocateLoadBalancerNodePorts", "loadBalancerClass",
                                           "healthCheckNodePort"};
    if (needs_node_ports(was) && !needs_node_ports(spec) && all_node_ports_kept(spec, was)) {
        VAL_EACH (port, val_get(spec, "ports")) {
            val_unset(port, STR("nodePort"));
        }
    }
    if (has_external_policy(was) && !has_external_policy(spec)) {
        drop_if_kept(spec, was, "externalTrafficPolicy");
    }
    for (size_t i = 0; i < sizeof balancer / sizeof balancer[0]; i++) {
        if (type_is(was, "LoadBalancer") && !type_is(spec, "LoadBalancer")) {
            drop_if_kept(spec, was, balancer[i]);
        }
    }
    if (type_is(spec, "ExternalName") && !type_is(was, "ExternalName")) {
        drop_if_kept(spec, was, "clusterIPs");
        drop_if_kept(spec, was, "clusterIP");
        drop_if_kept(spec, was, "ipFamilies");
        drop_if_kept(spec, was, "ipFamilyPolicy");
    }
}

/* Of clusterIP and clusterIPs the one that the client changed wins. */
static void follow_address(struct arena *arena, struct val *spec, const struct val *was)
{
    const struct val *list = val_get(spec, "clusterIPs"), *old_list = val_get(was, "clusterIPs");
    struct str ip = val_text(val_get(spec, "clusterIP")),
               old_ip = val_text(val_get(was, "clusterIP"));
    bool same_list = semantic_equal(list, old_list);
    if (same_list && val_count(list) > 0 && !str_eq(ip, old_ip)) {
        if (ip.n == 0) {
            val_unset(spec, STR("clusterIPs"));
        } else {
            struct val *fresh = default_put(spec, STR("clusterIPs"), val_new(arena, VAL_ARRAY));
            val_append(fresh, val_new_text(arena, ip))->field = fresh->field;
        }
    } else if (!same_list && str_eq(ip, old_ip) && val_count(list) > 0) {
        default_put(spec, STR("clusterIP"), val_new_text(arena, val_text(list->child)));
    } else if (!same_list && str_eq(ip, old_ip) && val_count(list) == 0 && ip.n > 0) {
        val_unset(spec, STR("clusterIP"));
    }
}

static void prepare_update(struct api_context *ctx, struct val *next, const struct val *old)
{
    if (ctx->subresource[0] == '\0') {
        struct val *spec = val_make_object(ctx->arena, next, STR("spec"));
        const struct val *was = val_get(old, "spec");
        follow_address(ctx->arena, spec, was);
        patch_allocated(ctx, spec, was);
        drop_for_type(spec, was);
        mirror_address(ctx->arena, spec);
    }
}

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
    if (val_count(ports) == 0 && !is_headless(spec) && !type_is(spec, "ExternalName")) {
        field_required(errors, AT(path, "ports"), "");
    }
    uint32_t i = 0;
    VAL_EACH (port, ports) {
        const struct path *at = AT_INDEX(AT(path, "ports"), i++);
        port_check(errors, at, ports, port);
        port_clashes(errors, at, ports, port);
        if (type_is(spec, "ClusterIP") && val_int(val_get(port, "nodePort"), 0) != 0) {
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
        }
        i++;
    }
    if (val_count(list) > 2) {
        field_invalid_val(errors, at, list, "may only hold up to 2 values");
    } else if (seen[0] > 1 || seen[1] > 1) {
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
    if (is_headless(spec) && (type_is(spec, "LoadBalancer") || type_is(spec, "NodePort"))) {
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
    if (has_external_policy(spec)) {
        check_one_of(errors, AT(path, "externalTrafficPolicy"), external, traffic_policies, true);
    } else if (external.n > 0) {
        field_invalid(errors, AT(path, "externalTrafficPolicy"), external,
                      "may only be set for externally-accessible services");
    }
    if (health != 0 && !(type_is(spec, "LoadBalancer") && str_is(external, "Local"))) {
        field_invalid_int(errors, AT(path, "healthCheckNodePort"), health,
                          "may only be set when `type` is 'LoadBalancer' and "
                          "`externalTrafficPolicy` is 'Local'");
    }
    if (!type_is(spec, "ExternalName")) {
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
        endpoint_ip_check(errors, AT_INDEX(AT(path, "externalIPs"), i++), val_text(ip),
                          "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
}

static void balancer_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct val *ranges = val_get(spec, "loadBalancerSourceRanges");
    if (!type_is(spec, "LoadBalancer")) {
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

static void validate(struct api_context *ctx, const struct val *service,
                     struct field_errors *errors)
{
    const struct val *spec = val_get(service, "spec");
    const struct path *path = AT(NULL, "spec");
    ports_check(errors, path, spec);
    headless_check(errors, path, spec);
    if (type_is(spec, "ExternalName")) {
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

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    const struct path *path = AT(NULL, "spec");
    if (ctx->subresource[0] != '\0' || type_is(spec, "ExternalName") ||
        type_is(was, "ExternalName")) {
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
    if (family.n > 0 && !str_eq(family, val_text(val_at(val_get(spec, "ipFamilies"), 0)))) {
        field_invalid_val(errors, AT_INDEX(AT(path, "ipFamilies"), 0), val_get(spec, "ipFamilies"),
                          "may not change once set");
    }
    int64_t health = val_int(val_get(was, "healthCheckNodePort"), 0);
    if (health != 0 && type_is(was, "LoadBalancer") && type_is(spec, "LoadBalancer") &&
        val_int(val_get(spec, "healthCheckNodePort"), 0) != health) {
        field_forbidden(errors, AT(path, "healthCheckNodePort"), "field is immutable");
    }
}

static struct str join_texts(struct api_context *ctx, const struct val *list, const char *member)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    VAL_EACH (it, list) {
        struct str text = val_text(member != NULL ? val_get_str(it, str_of(member)) : it);
        if (text.n == 0 && member != NULL) {
            text = val_text(val_get(it, "hostname"));
        }
        if (text.n > 0) {
            buf_addz(&out, out.n > 0 ? "," : "");
            buf_str(&out, text);
        }
    }
    return str_copy_in(ctx->arena, buf_view(&out));
}

static struct str external_text(struct api_context *ctx, const struct val *service)
{
    const struct val *spec = val_get(service, "spec");
    struct str ips = join_texts(ctx, val_get(spec, "externalIPs"), NULL);
    if (type_is(spec, "ExternalName")) {
        return val_text(val_get(spec, "externalName"));
    }
    if (!type_is(spec, "LoadBalancer")) {
        return ips.n > 0 ? ips : STR("<none>");
    }
    struct str given = join_texts(ctx, val_path(service, "status.loadBalancer.ingress"), "ip");
    if (given.n == 0 && ips.n == 0) {
        return STR("<pending>");
    }
    return str_of(arena_printf(ctx->arena, "%.*s%s%.*s", STR_ARG(given),
                               given.n > 0 && ips.n > 0 ? "," : "", STR_ARG(ips)));
}

static struct str ports_text(struct api_context *ctx, const struct val *spec)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    VAL_EACH (port, val_get(spec, "ports")) {
        int64_t node = val_int(val_get(port, "nodePort"), 0);
        buf_printf(&out, "%s%lld", out.n > 0 ? "," : "",
                   (long long)val_int(val_get(port, "port"), 0));
        if (node > 0) {
            buf_printf(&out, ":%lld", (long long)node);
        }
        buf_printf(&out, "/%.*s", STR_ARG(val_text(val_get(port, "protocol"))));
    }
    return out.n > 0 ? str_copy_in(ctx->arena, buf_view(&out)) : STR("<none>");
}

static void columns(struct api_context *ctx, const struct val *service, struct val *cells)
{
    const struct val *spec = val_get(service, "spec");
    cell_text(ctx, cells, val_name(service));
    cell_text(ctx, cells, val_text(val_get(spec, "type")));
    cell_or_none(ctx, cells, val_text(val_at(val_get(spec, "clusterIPs"), 0)));
    cell_text(ctx, cells, external_text(ctx, service));
    cell_text(ctx, cells, ports_text(ctx, spec));
    cell_age(ctx, cells, service);
    cell_text(ctx, cells, cell_map_text(ctx, val_get(spec, "selector")));
}

const struct api_ops ops_service = {
    .prepare_create = prepare_create,
    .prepare_update = prepare_update,
    .defaults = defaults,
    .validate = validate,
    .validate_update = validate_update,
    .columns = columns,
    .unconditional_update = true,
    .name_rule = "label",
};
