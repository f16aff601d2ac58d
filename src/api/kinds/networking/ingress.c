/* ingress.c: Ingress and IngressClass: requests from outside to Services.
 *
 * Nobody acts on them here; a controller of the user's does.
 */
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/validation.h"
#include "api/warning.h"

enum { CONTROLLER_MAX = 250, ADDRESS_WIDTH = 16, HOSTS_SHOWN = 3 };
static const char class_annotation[] = "kubernetes.io/ingress.class";

static void object_reference_check(struct field_errors *errors, const struct path *path,
                                   const struct val *reference)
{
    static const char *const members[] = {"kind", "name"};
    const struct val *group = val_get(reference, "apiGroup");
    if (!val_absent(group)) {
        check_name(errors, AT(path, "apiGroup"), NAME_SUBDOMAIN, val_text(group));
    }
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct str value = val_text(val_get_str(reference, str_of(members[i])));
        if (value.n == 0) {
            field_required(errors, AT(path, members[i]), "");
        } else {
            check_name(errors, AT(path, members[i]), NAME_PATH, value);
        }
    }
}

static void service_port_check(struct field_errors *errors, const struct path *path,
                               const struct val *port)
{
    struct str name = val_text(val_get(port, "name"));
    int64_t number = val_int(val_get(port, "number"), 0);
    const struct path *at = AT(AT(path, "service"), "port");
    if (name.n > 0 && number != 0) {
        field_invalid(errors, path, STR(""), "cannot set both port name & port number");
    } else if (name.n > 0) {
        check_name(errors, AT(at, "name"), NAME_PORT, name);
    } else if (number != 0) {
        check_port_number(errors, AT(at, "number"), number);
    } else {
        field_required(errors, path, "port name or number is required");
    }
}

static void backend_check(struct field_errors *errors, const struct path *path,
                          const struct val *backend)
{
    const struct val *resource = val_get(backend, "resource");
    const struct val *service = val_get(backend, "service");
    if (val_absent(resource) == val_absent(service)) {
        field_invalid(errors, path, STR(""), "%s",
                      val_absent(service) ? "resource or service backend is required"
                                          : "cannot set both resource and service backends");
        return;
    }
    if (!val_absent(resource)) {
        object_reference_check(errors, AT(path, "resource"), resource);
        return;
    }
    struct str name = val_text(val_get(service, "name"));
    if (name.n == 0) {
        field_required(errors, AT(AT(path, "service"), "name"), "");
    } else {
        check_name(errors, AT(AT(path, "service"), "name"), NAME_LABEL, name);
    }
    service_port_check(errors, path, val_get(service, "port"));
}

/* Paths that a proxy would read otherwise than they are written are refused. */
static void exact_path_check(struct field_errors *errors, const struct path *path, struct str text)
{
    static const char *const inside[] = {"//", "/./", "/../", "%2f", "%2F"};
    static const char *const at_end[] = {"/..", "/."};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        if (str_contains(text, str_of(inside[i]))) {
            field_invalid(errors, path, text, "must not contain '%s'", inside[i]);
        }
    }
    for (size_t i = 0; i < sizeof at_end / sizeof *at_end; i++) {
        if (str_ends(text, str_of(at_end[i]))) {
            field_invalid(errors, path, text, "cannot end with '%s'", at_end[i]);
        }
    }
}

static void http_path_check(struct field_errors *errors, const struct path *path,
                            const struct val *rule)
{
    static const char *const types[] = {"Exact", "ImplementationSpecific", "Prefix", NULL};
    const struct val *type = val_get(rule, "pathType");
    struct str text = val_text(val_get(rule, "path"));
    if (val_absent(type)) {
        field_required(errors, AT(path, "pathType"), "pathType must be specified");
        return;
    }
    bool free_form = str_is(val_text(type), "ImplementationSpecific");
    bool known = free_form || str_is(val_text(type), "Exact") || str_is(val_text(type), "Prefix");
    if (!known) {
        field_not_supported(errors, AT(path, "pathType"), val_text(type), types);
    } else if (!str_starts(text, STR("/")) && (text.n > 0 || !free_form)) {
        field_invalid(errors, AT(path, "path"), text, "must be an absolute path");
    }
    if (known && !free_form) {
        exact_path_check(errors, AT(path, "path"), text);
    }
    backend_check(errors, AT(path, "backend"), val_get(rule, "backend"));
}

static void domain_check(struct field_errors *errors, const struct path *path, struct str host)
{
    if (str_contains(host, STR("*"))) {
        check_wildcard_domain(errors, path, host);
    } else {
        check_name(errors, path, NAME_SUBDOMAIN, host);
    }
}

static void not_address_check(struct field_errors *errors, const struct path *path, struct str host)
{
    uint8_t bytes[16];
    if (name_ip_parse(host, bytes) != 0) {
        field_invalid(errors, path, host, "must be a DNS name, not an IP address");
    }
}

static void rules_check(struct field_errors *errors, const struct path *path,
                        const struct val *rules)
{
    uint32_t r = 0;
    VAL_EACH (rule, rules) {
        const struct path *at = AT_INDEX(path, r++);
        struct str host = val_text(val_get(rule, "host"));
        if (host.n > 0) {
            not_address_check(errors, AT(at, "host"), host);
            domain_check(errors, AT(at, "host"), host);
        }
        const struct val *http = val_get(rule, "http");
        const struct path *paths_at = AT(AT(at, "http"), "paths");
        if (!val_absent(http) && val_count(val_get(http, "paths")) == 0) {
            field_required(errors, paths_at, "");
        }
        uint32_t p = 0;
        VAL_EACH (it, val_get(http, "paths")) {
            http_path_check(errors, AT_INDEX(paths_at, p++), it);
        }
    }
}

static void tls_check(struct field_errors *errors, const struct path *path, const struct val *tls)
{
    uint32_t t = 0;
    VAL_EACH (it, tls) {
        const struct path *at = AT_INDEX(path, t++);
        uint32_t h = 0;
        VAL_EACH (host, val_get(it, "hosts")) {
            domain_check(errors, AT_INDEX(AT(at, "hosts"), h++), val_text(host));
        }
        struct str secret = val_text(val_get(it, "secretName"));
        if (secret.n > 0) {
            check_name(errors, AT(at, "secretName"), NAME_SUBDOMAIN, secret);
        }
    }
}

static void ingress_validate(struct api_context *ctx, const struct val *ingress,
                             struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(ingress, "spec");
    const struct val *backend = val_get(spec, "defaultBackend");
    const struct val *class = val_get(spec, "ingressClassName");
    if (val_count(val_get(spec, "rules")) == 0 && val_absent(backend)) {
        field_invalid_val(errors, path, val_get(spec, "rules"),
                          "either `defaultBackend` or `rules` must be specified");
    }
    if (!val_absent(backend)) {
        backend_check(errors, AT(path, "defaultBackend"), backend);
    }
    rules_check(errors, AT(path, "rules"), val_get(spec, "rules"));
    tls_check(errors, AT(path, "tls"), val_get(spec, "tls"));
    if (!val_absent(class)) {
        check_name(errors, AT(path, "ingressClassName"), NAME_SUBDOMAIN, val_text(class));
    }
    (void)ctx;
}

static void ingress_validate_create(struct api_context *ctx, const struct val *ingress,
                                    struct field_errors *errors)
{
    const struct val *old =
        val_get_str(val_path(ingress, "metadata.annotations"), str_of(class_annotation));
    const struct val *class = val_path(ingress, "spec.ingressClassName");
    if (val_absent(old)) {
        return;
    }
    if (val_absent(class)) {
        api_warn(ctx, NULL,
                 "annotation \"%s\" is deprecated, please use 'spec.ingressClassName' instead",
                 class_annotation);
    } else if (!str_eq(val_text(old), val_text(class))) {
        field_invalid(errors, AT(AT(NULL, "annotations"), class_annotation), val_text(old),
                      "must match `ingressClassName` when both are specified");
    }
}

static bool has_address(const struct val *ingress, struct str ip)
{
    VAL_EACH (it, val_path(ingress, "status.loadBalancer.ingress")) {
        if (str_eq(val_text(val_get(it, "ip")), ip)) {
            return true;
        }
    }
    return false;
}

static void ingress_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") != 0) {
        return;
    }
    const struct path *path = AT(AT(AT(NULL, "status"), "loadBalancer"), "ingress");
    uint32_t i = 0;
    VAL_EACH (it, val_path(next, "status.loadBalancer.ingress")) {
        const struct path *at = AT_INDEX(path, i++);
        struct str ip = val_text(val_get(it, "ip"));
        struct str host = val_text(val_get(it, "hostname"));
        if (ip.n > 0 && !has_address(old, ip)) {
            check_address(errors, AT(at, "ip"), ip, false);
        }
        if (ip.n > 0) {
            warn_address(ctx, at, ip);
        }
        if (host.n > 0) {
            check_name(errors, AT(at, "hostname"), NAME_SUBDOMAIN, host);
            not_address_check(errors, AT(at, "hostname"), host);
        }
    }
}

static struct str hosts_text(struct api_context *ctx, const struct val *rules)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    uint32_t shown = 0;
    bool more = false;
    VAL_EACH (rule, rules) {
        struct str host = val_text(val_get(rule, "host"));
        more = more || shown == HOSTS_SHOWN;
        if (!more && host.n > 0) {
            buf_printf(&out, "%s%.*s", shown++ > 0 ? "," : "", STR_ARG(host));
        }
    }
    if (shown == 0) {
        return STR("*");
    }
    if (more) {
        buf_printf(&out, " + %u more...", val_count(rules) - HOSTS_SHOWN);
    }
    return str_copy_in(ctx->arena, buf_view(&out));
}

static void ingress_columns(struct api_context *ctx, const struct val *ingress, struct val *cells)
{
    const struct val *spec = val_get(ingress, "spec");
    const struct val *class = val_get(spec, "ingressClassName");
    struct val *addresses = val_new(ctx->arena, VAL_OBJECT); /* a set */
    VAL_EACH (it, val_path(ingress, "status.loadBalancer.ingress")) {
        struct str ip = val_text(val_get(it, "ip"));
        struct str name = ip.n > 0 ? ip : val_text(val_get(it, "hostname"));
        if (name.n > 0) {
            val_set_bool(ctx->arena, addresses, name, true);
        }
    }
    struct str address = addresses->count > 0 ? cell_keys_text(ctx, addresses) : STR("");
    cell_text(ctx, cells, val_name(ingress));
    cell_text(ctx, cells, val_absent(class) ? STR("<none>") : val_text(class));
    cell_text(ctx, cells, hosts_text(ctx, val_get(spec, "rules")));
    if (address.n > ADDRESS_WIDTH) {
        cell_format(ctx, cells, "%.*s...", ADDRESS_WIDTH - 3, address.p);
    } else {
        cell_text(ctx, cells, address);
    }
    cell_text(ctx, cells, val_count(val_get(spec, "tls")) > 0 ? STR("80, 443") : STR("80"));
    cell_age(ctx, cells, ingress);
}

static void class_scope_check(struct field_errors *errors, const struct path *path,
                              const struct val *parameters)
{
    static const char *const scopes[] = {"Cluster", "Namespace", NULL};
    const struct val *scope = val_get(parameters, "scope");
    const struct val *ns = val_get(parameters, "namespace");
    if (val_absent(scope)) {
        field_required(errors, AT(path, "scope"), "");
    } else if (str_is(val_text(scope), "Cluster")) {
        if (!val_absent(ns)) {
            field_forbidden(errors, AT(path, "namespace"),
                            "`parameters.scope` is set to 'Cluster'");
        }
    } else if (!str_is(val_text(scope), "Namespace")) {
        field_not_supported(errors, AT(path, "scope"), val_text(scope), scopes);
    } else if (val_absent(ns)) {
        field_required(errors, AT(path, "namespace"), "`parameters.scope` is set to 'Namespace'");
    } else {
        check_name(errors, AT(path, "namespace"), NAME_LABEL, val_text(ns));
    }
}

static void class_validate(struct api_context *ctx, const struct val *class,
                           struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(class, "spec");
    const struct val *parameters = val_get(spec, "parameters");
    struct str controller = val_text(val_get(spec, "controller"));
    if (controller.n > CONTROLLER_MAX) {
        field_too_long(errors, AT(path, "controller"), CONTROLLER_MAX);
    }
    check_domain_path(errors, AT(path, "controller"), controller);
    if (!val_absent(parameters)) {
        object_reference_check(errors, AT(path, "parameters"), parameters);
        class_scope_check(errors, AT(path, "parameters"), parameters);
    }
    (void)ctx;
}

static void class_validate_update(struct api_context *ctx, const struct val *next,
                                  const struct val *old, struct field_errors *errors)
{
    check_immutable(errors, AT(AT(NULL, "spec"), "controller"), val_path(next, "spec.controller"),
                    val_path(old, "spec.controller"));
    (void)ctx;
}

static void class_columns(struct api_context *ctx, const struct val *class, struct val *cells)
{
    const struct val *annotations = val_path(class, "metadata.annotations");
    const struct val *parameters = val_path(class, "spec.parameters");
    const struct val *group = val_get(parameters, "apiGroup");
    bool is_default = str_is(
        val_text(val_get(annotations, "ingressclass.kubernetes.io/is-default-class")), "true");
    cell_format(ctx, cells, "%.*s%s", STR_ARG(val_name(class)), is_default ? " (default)" : "");
    cell_text(ctx, cells, val_text(val_path(class, "spec.controller")));
    if (val_absent(parameters)) {
        cell_text(ctx, cells, STR("<none>"));
    } else {
        cell_format(ctx, cells, "%.*s%s%.*s/%.*s", STR_ARG(val_text(val_get(parameters, "kind"))),
                    val_absent(group) ? "" : ".", STR_ARG(val_text(group)),
                    STR_ARG(val_text(val_get(parameters, "name"))));
    }
    cell_age(ctx, cells, class);
}

const struct api_ops ops_ingress = {
    .validate = ingress_validate,
    .validate_create = ingress_validate_create,
    .validate_update = ingress_validate_update,
    .columns = ingress_columns,
    .generation = true,
    .unconditional_update = true,
};

const struct api_ops ops_ingress_class = {
    .validate = class_validate,
    .validate_update = class_validate_update,
    .columns = class_columns,
    .generation = true,
    .unconditional_update = true,
};
