/* addresses.c: ClusterIPs and node ports of Services, reserved before the Service is validated and
 * committed; DenyServiceExternalIPs.
 *
 * On update what was allocated stays: a client that sends the Service without its addresses or node
 * ports (kubectl replace) gets them back, and what the new type does not have goes.
 */
#include "server/addresses.h"

#include "server/admission/admission.h"
#include "server/server_int.h"

static bool is_service(const struct admission *a)
{
    const struct api_resource *services = a->request->server->known.services;
    return services != NULL && a->resource->storage == services && a->subresource.n == 0 &&
           a->object != NULL;
}

static bool type_is(const struct val *spec, const char *type)
{
    return str_is(val_text(val_get(spec, "type")), type);
}

static bool wants_ip(const struct val *spec)
{
    return !type_is(spec, "ExternalName") && !str_is(val_text(val_get(spec, "clusterIP")), "None");
}

static bool wants_ports(const struct val *spec)
{
    return type_is(spec, "NodePort") ||
           (type_is(spec, "LoadBalancer") &&
            val_bool(val_get(spec, "allocateLoadBalancerNodePorts"), true));
}

static int invalid(struct admission *a, struct failure *failure, struct str field,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
static int invalid(struct admission *a, struct failure *failure, struct str field,
                   const char *format, ...)
{
    struct field_errors errors = {.arena = a->arena};
    va_list ap;
    va_start(ap, format);
    const char *detail = arena_vprintf(a->arena, format, ap);
    va_end(ap);
    field_error_add(&errors, "FieldValueInvalid", field, "%s", detail);
    return failure_invalid(failure, a->arena, STR(""), STR("Service"), a->name, &errors);
}

/* ---- what an update keeps ---- */

static void keep_ports(struct admission *a, struct val *spec, const struct val *old)
{
    VAL_EACH (port, val_get(spec, "ports")) {
        if (val_int(val_get(port, "nodePort"), 0) != 0) {
            continue;
        }
        VAL_EACH (was, val_get(old, "ports")) {
            int64_t number = val_int(val_get(was, "nodePort"), 0);
            if (number != 0 &&
                str_eq(val_text(val_get(was, "protocol")), val_text(val_get(port, "protocol"))) &&
                val_int(val_get(was, "port"), 0) == val_int(val_get(port, "port"), 0)) {
                val_set_int(a->arena, port, STR("nodePort"), number);
            }
        }
    }
}

static void drop_ports(struct val *spec, const struct val *old)
{
    VAL_EACH (port, val_get(spec, "ports")) {
        VAL_EACH (was, val_get(old, "ports")) {
            if (val_int(val_get(was, "nodePort"), 0) == val_int(val_get(port, "nodePort"), 0)) {
                val_unset(port, STR("nodePort"));
            }
        }
    }
}

static void keep_allocated(struct admission *a, struct val *spec, const struct val *old)
{
    if (wants_ip(spec) && wants_ip(old) && val_text(val_get(spec, "clusterIP")).n == 0 &&
        val_text(val_get(old, "clusterIP")).n > 0) {
        val_set_text(a->arena, spec, STR("clusterIP"), val_text(val_get(old, "clusterIP")));
        if (val_get(old, "clusterIPs") != NULL) {
            val_set(spec, STR("clusterIPs"), val_copy(a->arena, val_get(old, "clusterIPs")));
        }
    }
    if (wants_ports(spec) && wants_ports(old)) {
        keep_ports(a, spec, old);
    }
    if (!wants_ports(spec) && wants_ports(old)) {
        drop_ports(spec, old);
    }
    if (type_is(spec, "ExternalName") && !type_is(old, "ExternalName")) {
        val_unset(spec, STR("clusterIP"));
        val_unset(spec, STR("clusterIPs"));
        val_unset(spec, STR("ipFamilies"));
        val_unset(spec, STR("ipFamilyPolicy"));
        val_unset(spec, STR("internalTrafficPolicy"));
    }
}

static int mutate(struct admission *a, struct failure *failure)
{
    if (!is_service(a)) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    if (a->old != NULL) {
        keep_allocated(a, spec, val_get(a->old, "spec"));
    }
    return 0;
}

/* ---- reserving ---- */

static int take_ip(struct admission *a, struct val *spec, const struct owner *owner,
                   struct failure *failure)
{
    struct addresses *addresses = a->request->server->addresses;
    struct str asked = val_text(val_get(spec, "clusterIP"));
    if (asked.n == 0) {
        asked = val_text(val_at(val_get(spec, "clusterIPs"), 0));
    }
    struct str got = STR_NONE;
    int code = addresses_take_ip(addresses, a->change, owner, asked, &got);
    if (code == ERR_INTERNAL) {
        return failure_set(failure, a->arena, ERR_INTERNAL,
                           "failed to allocate a serviceIP: range is full");
    }
    if (code < 0) {
        return invalid(a, failure, STR("spec.clusterIPs"),
                       "Invalid value: [\"%.*s\"]: failed to allocate IP %.*s: %s", STR_ARG(asked),
                       STR_ARG(asked),
                       code == ERR_EXISTS
                           ? "provided IP is already allocated"
                           : "the provided network does not match the current range");
    }
    val_set_text(a->arena, spec, STR("clusterIP"), got);
    struct val *list = val_new(a->arena, VAL_ARRAY);
    val_append(list, val_new_text(a->arena, got));
    val_set(spec, STR("clusterIPs"), list);
    return 0;
}

static void set_families(struct admission *a, struct val *spec)
{
    if (type_is(spec, "ExternalName")) {
        return;
    }
    if (str_is(val_text(val_get(spec, "clusterIP")), "None") &&
        val_count(val_get(spec, "clusterIPs")) == 0) {
        val_append(val_make_array(a->arena, spec, STR("clusterIPs")),
                   val_new_text(a->arena, STR("None")));
    }
    /* A headless Service without a selector gets whatever families its endpoints will have. */
    bool any = str_is(val_text(val_get(spec, "clusterIP")), "None") &&
               val_count(val_get(spec, "selector")) == 0 &&
               val_text(val_get(spec, "ipFamilyPolicy")).n == 0 &&
               val_count(val_get(spec, "ipFamilies")) == 0;
    if (any) {
        val_set_text(a->arena, spec, STR("ipFamilyPolicy"), STR("RequireDualStack"));
        struct val *families = val_make_array(a->arena, spec, STR("ipFamilies"));
        val_append(families, val_new_text(a->arena, STR("IPv4")));
        val_append(families, val_new_text(a->arena, STR("IPv6")));
        return;
    }
    if (val_count(val_get(spec, "ipFamilies")) == 0) {
        val_append(val_make_array(a->arena, spec, STR("ipFamilies")),
                   val_new_text(a->arena, STR("IPv4")));
    }
    if (val_text(val_get(spec, "ipFamilyPolicy")).n == 0) {
        val_set_text(a->arena, spec, STR("ipFamilyPolicy"), STR("SingleStack"));
    }
}

static int check_families(struct admission *a, const struct val *spec, struct failure *failure)
{
    if (wants_ip(spec) && str_is(val_text(val_get(spec, "ipFamilyPolicy")), "RequireDualStack")) {
        return invalid(a, failure, STR("spec.ipFamilyPolicy"),
                       "Invalid value: \"RequireDualStack\": this cluster is not configured for "
                       "dual-stack services");
    }
    VAL_EACH (family, val_get(spec, "ipFamilies")) {
        if (!str_is(val_text(family), "IPv4") && wants_ip(spec)) {
            return invalid(a, failure, STR("spec.ipFamilies[0]"),
                           "Invalid value: \"%.*s\": not configured on this cluster",
                           STR_ARG(val_text(family)));
        }
    }
    return 0;
}

static int take_port(struct admission *a, const struct owner *owner, int64_t asked,
                     struct str field, int64_t *ret_port, struct failure *failure)
{
    const struct server_options *o = &a->request->server->options;
    int code =
        addresses_take_port(a->request->server->addresses, a->change, owner, asked, ret_port);
    if (code == ERR_INTERNAL) {
        return failure_set(failure, a->arena, ERR_INTERNAL,
                           "failed to allocate a nodePort: range is full");
    }
    if (code == ERR_EXISTS) {
        return invalid(a, failure, field, "Invalid value: %lld: provided port is already allocated",
                       (long long)asked);
    }
    if (code < 0) {
        return invalid(a, failure, field,
                       "Invalid value: %lld: provided port is not in the valid range. The range of "
                       "valid ports is %d-%d",
                       (long long)asked, o->node_port_first, o->node_port_last);
    }
    return 0;
}

/* Two ports of one Service may share a number when their protocols differ. */
static int take_ports(struct admission *a, struct val *spec, const struct owner *owner,
                      struct failure *failure)
{
    int i = 0;
    VAL_EACH (port, val_get(spec, "ports")) {
        int64_t number = 0;
        char *field = arena_printf(a->arena, "spec.ports[%d].nodePort", i++);
        int code = take_port(a, owner, val_int(val_get(port, "nodePort"), 0), str_of(field),
                             &number, failure);
        if (code < 0) {
            return code;
        }
        val_set_int(a->arena, port, STR("nodePort"), number);
    }
    if (!type_is(spec, "LoadBalancer") ||
        !str_is(val_text(val_get(spec, "externalTrafficPolicy")), "Local")) {
        return 0;
    }
    int64_t number = 0;
    int code = take_port(a, owner, val_int(val_get(spec, "healthCheckNodePort"), 0),
                         STR("spec.healthCheckNodePort"), &number, failure);
    if (code == 0) {
        val_set_int(a->arena, spec, STR("healthCheckNodePort"), number);
    }
    return code;
}

static int prepare(struct admission *a, struct failure *failure)
{
    if (!is_service(a)) {
        return 0;
    }
    struct val *spec = val_make_object(a->arena, a->object, STR("spec"));
    struct owner owner = {a->ns, val_name(a->object), val_uid(a->object)};
    int code = check_families(a, spec, failure);
    if (code == 0 && wants_ip(spec)) {
        code = take_ip(a, spec, &owner, failure);
    }
    if (code == 0 && wants_ports(spec)) {
        code = take_ports(a, spec, &owner, failure);
    }
    if (code == 0) {
        set_families(a, spec);
    }
    return code;
}

const struct admission_step admission_addresses = {"ServiceAddresses", mutate, prepare, NULL};

/* ---- DenyServiceExternalIPs ---- */

static int validate_external(struct admission *a, struct failure *failure)
{
    if (!is_service(a)) {
        return 0;
    }
    VAL_EACH (ip, val_path(a->object, "spec.externalIPs")) {
        bool there = false;
        VAL_EACH (was, val_path(a->old, "spec.externalIPs")) {
            there = there || str_eq(val_text(was), val_text(ip));
        }
        if (!there) {
            return failure_forbidden(failure, a->arena, a->resource, a->name,
                                     "Use of external IPs is denied by admission control.");
        }
    }
    return 0;
}

const struct admission_step admission_external_ips = {"DenyServiceExternalIPs", NULL, NULL,
                                                      validate_external};
