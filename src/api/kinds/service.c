/* service.c: Services: defaults, what an update keeps and drops, row.
 *
 * Addresses and node ports are allocated by the server after this. Left to others: validation
 * (service_check.c), the allocators.
 */
#include "api/kinds/service.h"
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/semantic.h"

bool service_type_is(const struct val *spec, const char *type)
{
    return str_is(val_text(val_get(spec, "type")), type);
}

bool service_has_external_policy(const struct val *spec)
{
    return service_type_is(spec, "NodePort") || service_type_is(spec, "LoadBalancer") ||
           (service_type_is(spec, "ClusterIP") && val_count(val_get(spec, "externalIPs")) > 0);
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
    if (service_has_external_policy(spec)) {
        default_text(arena, spec, "externalTrafficPolicy", "Cluster");
    }
    if (!service_type_is(spec, "ExternalName")) {
        default_text(arena, spec, "internalTrafficPolicy", "Cluster");
    }
    if (service_type_is(spec, "LoadBalancer")) {
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
    if (ip.n > 0 && val_count(val_get(spec, "clusterIPs")) == 0) {
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
    if (service_type_is(spec, "ExternalName") || service_type_is(was, "ExternalName")) {
        return;
    }
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        take_over(ctx->arena, spec, was, str_of(kept[i]));
    }
    if (service_type_is(spec, "ClusterIP")) {
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
    return service_type_is(spec, "NodePort") || service_type_is(spec, "LoadBalancer");
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
    if (service_has_external_policy(was) && !service_has_external_policy(spec)) {
        drop_if_kept(spec, was, "externalTrafficPolicy");
    }
    for (size_t i = 0; i < sizeof balancer / sizeof balancer[0]; i++) {
        if (service_type_is(was, "LoadBalancer") && !service_type_is(spec, "LoadBalancer")) {
            drop_if_kept(spec, was, balancer[i]);
        }
    }
    if (service_type_is(spec, "ExternalName") && !service_type_is(was, "ExternalName")) {
        drop_if_kept(spec, was, "clusterIPs");
        drop_if_kept(spec, was, "clusterIP");
        drop_if_kept(spec, was, "ipFamilies");
        drop_if_kept(spec, was, "ipFamilyPolicy");
        drop_if_kept(spec, was, "internalTrafficPolicy");
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
    if (ctx->subresource[0] == '\0' &&
        val_count(val_path(next, "spec.ports")) <= SERVICE_PORTS_MAX) { /* else: refused anyway */
        struct val *spec = val_make_object(ctx->arena, next, STR("spec"));
        const struct val *was = val_get(old, "spec");
        follow_address(ctx->arena, spec, was);
        patch_allocated(ctx, spec, was);
        drop_for_type(spec, was);
        mirror_address(ctx->arena, spec);
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
    if (service_type_is(spec, "ExternalName")) {
        return val_text(val_get(spec, "externalName"));
    }
    if (!service_type_is(spec, "LoadBalancer")) {
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
    .validate = service_validate,
    .validate_update = service_validate_update,
    .columns = columns,
    .create_on_update = true,
    .unconditional_update = true,
    .name_rule = "label",
    .returns_deleted = true,
};
