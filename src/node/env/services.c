/* services.c: environment variables of Services: NAME_SERVICE_HOST and the Docker link style. */
#include <ctype.h>

#include "node/env/env.h"

static struct str upper(struct arena *arena, struct str name)
{
    char *text = str_dup_in(arena, name);
    for (size_t i = 0; i < name.n; i++) {
        text[i] = text[i] == '-' || text[i] == '.' ? '_' : (char)toupper((unsigned char)text[i]);
    }
    return str_at(text, name.n);
}

static void set(struct arena *arena, struct env_list *list, struct str value, const char *format,
                ...) __attribute__((format(printf, 4, 5)));
static void set(struct arena *arena, struct env_list *list, struct str value, const char *format,
                ...)
{
    va_list ap;
    va_start(ap, format);
    env_set(arena, list, str_of(arena_vprintf(arena, format, ap)), value);
    va_end(ap);
}

static void add_port(struct arena *arena, struct env_list *list, struct str name, struct str ip,
                     struct str protocol, struct str port, bool first)
{
    char *proto = str_dup_in(arena, protocol.n > 0 ? protocol : STR("TCP"));
    for (char *c = proto; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    struct str big = upper(arena, str_of(proto));
    bool v6 = str_contains(ip, STR(":"));
    struct str url = str_of(arena_printf(arena, v6 ? "%s://[%.*s]:%.*s" : "%s://%.*s:%.*s", proto,
                                         STR_ARG(ip), STR_ARG(port)));
    if (first) {
        set(arena, list, url, "%.*s_PORT", STR_ARG(name));
    }
    set(arena, list, url, "%.*s_PORT_%.*s_%.*s", STR_ARG(name), STR_ARG(port), STR_ARG(big));
    set(arena, list, str_of(proto), "%.*s_PORT_%.*s_%.*s_PROTO", STR_ARG(name), STR_ARG(port),
        STR_ARG(big));
    set(arena, list, port, "%.*s_PORT_%.*s_%.*s_PORT", STR_ARG(name), STR_ARG(port), STR_ARG(big));
    set(arena, list, ip, "%.*s_PORT_%.*s_%.*s_ADDR", STR_ARG(name), STR_ARG(port), STR_ARG(big));
}

static void add_service(struct arena *arena, struct env_list *list, const struct val *service)
{
    struct str ip = val_text(val_path(service, "spec.clusterIP"));
    const struct val *ports = val_path(service, "spec.ports");
    if (ip.n == 0 || str_is(ip, "None") || val_count(ports) == 0) {
        return;
    }
    ip = str_copy_in(arena, ip);
    struct str name = upper(arena, val_name(service));
    set(arena, list, ip, "%.*s_SERVICE_HOST", STR_ARG(name));
    bool first = true;
    VAL_EACH (it, ports) {
        struct str port = str_copy_in(arena, val_text(val_get(it, "port")));
        struct str port_name = val_text(val_get(it, "name"));
        if (first) {
            set(arena, list, port, "%.*s_SERVICE_PORT", STR_ARG(name));
        }
        if (port_name.n > 0) {
            set(arena, list, port, "%.*s_SERVICE_PORT_%.*s", STR_ARG(name),
                STR_ARG(upper(arena, port_name)));
        }
        first = false;
    }
    first = true;
    VAL_EACH (it, ports) {
        add_port(arena, list, name, ip, val_text(val_get(it, "protocol")),
                 str_copy_in(arena, val_text(val_get(it, "port"))), first);
        first = false;
    }
}

void env_add_services(struct arena *arena, const struct val *pod, const struct env_facts *facts,
                      struct env_list *list)
{
    bool links = val_bool(val_path(pod, "spec.enableServiceLinks"), true);
    bool have_api = false;
    for (size_t i = 0; i < facts->service_count; i++) {
        const struct val *service = facts->services[i];
        bool api =
            str_is(val_name(service), "kubernetes") && str_is(val_namespace(service), "default");
        if (api || (links && str_eq(val_namespace(service), val_namespace(pod)))) {
            add_service(arena, list, service);
        }
        have_api |= api;
    }
    if (!have_api && facts->api_host.n > 0) {
        struct str port = str_of(arena_printf(arena, "%u", facts->api_port));
        env_set(arena, list, STR("KUBERNETES_SERVICE_HOST"), facts->api_host);
        env_set(arena, list, STR("KUBERNETES_SERVICE_PORT"), port);
        env_set(arena, list, STR("KUBERNETES_SERVICE_PORT_HTTPS"), port);
        add_port(arena, list, STR("KUBERNETES"), facts->api_host, STR("TCP"), port, true);
    }
}
