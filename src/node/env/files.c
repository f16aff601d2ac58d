/* files.c: see files.h. Formats are upstream's, byte for byte where programs read them. */
#include "node/env/files.h"

enum { SEARCH_MAX = 32, NAMESERVERS_MAX = 3, OPTIONS_MAX = 32 };

struct str pod_hostname(const struct val *pod)
{
    struct str name = val_text(val_path(pod, "spec.hostnameOverride"));
    if (name.n > 0) {
        return name;
    }
    name = val_text(val_path(pod, "spec.hostname"));
    if (name.n == 0) {
        name = val_name(pod);
    }
    if (name.n > 63) {
        name.n = 63;
        while (name.n > 0 && (name.p[name.n - 1] == '-' || name.p[name.n - 1] == '.')) {
            name.n--;
        }
    }
    return name;
}

static bool qualified(const struct val *pod, const struct pod_files_facts *facts)
{
    return val_text(val_path(pod, "spec.subdomain")).n > 0 && facts->cluster_domain.n > 0 &&
           val_text(val_path(pod, "spec.hostnameOverride")).n == 0;
}

static void full_name(const struct val *pod, const struct pod_files_facts *facts, struct buf *out)
{
    buf_printf(out, "%.*s.%.*s.%.*s.svc.%.*s", STR_ARG(pod_hostname(pod)),
               STR_ARG(val_text(val_path(pod, "spec.subdomain"))), STR_ARG(val_namespace(pod)),
               STR_ARG(facts->cluster_domain));
}

void pod_hostname_text(const struct val *pod, const struct pod_files_facts *facts, struct buf *out)
{
    if (pod_is_host_network(val_get(pod, "spec"))) {
        buf_str(out, facts->node_name);
    } else if (val_bool(val_path(pod, "spec.setHostnameAsFQDN"), false) && qualified(pod, facts)) {
        full_name(pod, facts, out);
    } else {
        buf_str(out, pod_hostname(pod));
    }
}

void pod_hosts_text(const struct val *pod, const struct pod_files_facts *facts, struct buf *out)
{
    if (pod_is_host_network(val_get(pod, "spec"))) {
        buf_addz(out, "# Kubernetes-managed hosts file (host network).\n");
        buf_str(out, facts->host_hosts);
    } else {
        buf_addz(out, "# Kubernetes-managed hosts file.\n"
                      "127.0.0.1\tlocalhost\n"
                      "::1\tlocalhost ip6-localhost ip6-loopback\n"
                      "fe00::0\tip6-localnet\n"
                      "fe00::0\tip6-mcastprefix\n"
                      "fe00::1\tip6-allnodes\n"
                      "fe00::2\tip6-allrouters\n");
        if (facts->pod_ip.n > 0) {
            buf_printf(out, "%.*s\t", STR_ARG(facts->pod_ip));
            if (qualified(pod, facts)) {
                full_name(pod, facts, out);
                buf_char(out, '\t');
            }
            buf_printf(out, "%.*s\n", STR_ARG(pod_hostname(pod)));
        }
    }
    const struct val *aliases = val_path(pod, "spec.hostAliases");
    if (val_count(aliases) > 0) {
        buf_addz(out, "\n# Entries added by HostAliases.\n");
    }
    VAL_EACH (alias, aliases) {
        buf_str(out, val_text(val_get(alias, "ip")));
        VAL_EACH (name, val_get(alias, "hostnames")) {
            buf_printf(out, "\t%.*s", STR_ARG(val_text(name)));
        }
        buf_char(out, '\n');
    }
}

struct resolv {
    struct str servers[NAMESERVERS_MAX], searches[SEARCH_MAX];
    size_t server_count, search_count;
    struct {
        struct str name, value;
    } options[OPTIONS_MAX];
    size_t option_count;
};

static void add_server(struct resolv *r, struct str server)
{
    for (size_t i = 0; i < r->server_count; i++) {
        if (str_eq(r->servers[i], server)) {
            return;
        }
    }
    if (server.n > 0 && r->server_count < NAMESERVERS_MAX) {
        r->servers[r->server_count++] = server;
    }
}

static void add_search(struct resolv *r, struct str search)
{
    for (size_t i = 0; i < r->search_count; i++) {
        if (str_eq(r->searches[i], search)) {
            return;
        }
    }
    if (search.n > 0 && r->search_count < SEARCH_MAX) {
        r->searches[r->search_count++] = search;
    }
}

static void add_option(struct resolv *r, struct str name, struct str value)
{
    for (size_t i = 0; i < r->option_count; i++) {
        if (str_eq(r->options[i].name, name)) {
            r->options[i].value = value;
            return;
        }
    }
    if (name.n > 0 && r->option_count < OPTIONS_MAX) {
        r->options[r->option_count].name = name;
        r->options[r->option_count++].value = value;
    }
}

static struct str word(struct str *rest)
{
    while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t')) {
        *rest = str_from(*rest, 1);
    }
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t') {
        n++;
    }
    struct str first = str_at(rest->p, n);
    *rest = str_from(*rest, n);
    return first;
}

static void read_host(struct resolv *r, struct str text, bool servers)
{
    while (text.p != NULL) {
        struct str line = str_trim(str_cut(text, '\n', &text));
        struct str keyword = word(&line);
        if (str_is(keyword, "nameserver") && servers) {
            add_server(r, word(&line));
        } else if (str_is(keyword, "search") || str_is(keyword, "domain")) {
            for (struct str s = word(&line); s.n > 0; s = word(&line)) {
                if (!str_is(s, ".")) {
                    add_search(r, s);
                }
            }
        } else if (str_is(keyword, "options") && servers) {
            for (struct str s = word(&line); s.n > 0; s = word(&line)) {
                struct str value, name = str_cut(s, ':', &value);
                add_option(r, name, value);
            }
        }
    }
}

static void add_config(struct resolv *r, const struct val *config)
{
    VAL_EACH (it, val_get(config, "nameservers")) {
        add_server(r, val_text(it));
    }
    VAL_EACH (it, val_get(config, "searches")) {
        add_search(r, val_text(it));
    }
    VAL_EACH (it, val_get(config, "options")) {
        add_option(r, val_text(val_get(it, "name")), val_text(val_get(it, "value")));
    }
}

void pod_resolv_text(const struct val *pod, const struct pod_files_facts *facts, struct buf *out)
{
    struct resolv r = {0};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str policy = val_text(val_path(pod, "spec.dnsPolicy"));
    bool host_network = pod_is_host_network(val_get(pod, "spec"));
    bool cluster = str_is(policy, "ClusterFirstWithHostNet") ||
                   ((str_is(policy, "ClusterFirst") || policy.n == 0) && !host_network);
    if (cluster && facts->cluster_dns.n > 0) {
        add_server(&r, facts->cluster_dns);
        struct str ns = val_namespace(pod), domain = facts->cluster_domain;
        add_search(&r, str_of(arena_printf(&arena, "%.*s.svc.%.*s", STR_ARG(ns), STR_ARG(domain))));
        add_search(&r, str_of(arena_printf(&arena, "svc.%.*s", STR_ARG(domain))));
        add_search(&r, domain);
        add_option(&r, STR("ndots"), STR("5"));
        read_host(&r, facts->host_resolv_conf, false);
    } else if (!str_is(policy, "None")) {
        read_host(&r, facts->host_resolv_conf, true);
    }
    add_config(&r, val_path(pod, "spec.dnsConfig"));
    if (r.search_count > 0) {
        buf_addz(out, "search");
        for (size_t i = 0; i < r.search_count; i++) {
            buf_printf(out, " %.*s", STR_ARG(r.searches[i]));
        }
        buf_char(out, '\n');
    }
    for (size_t i = 0; i < r.server_count; i++) {
        buf_printf(out, "nameserver %.*s\n", STR_ARG(r.servers[i]));
    }
    if (r.option_count > 0) {
        buf_addz(out, "options");
        for (size_t i = 0; i < r.option_count; i++) {
            buf_printf(out, r.options[i].value.n > 0 ? " %.*s:%.*s" : " %.*s%.*s",
                       STR_ARG(r.options[i].name), STR_ARG(r.options[i].value));
        }
        buf_char(out, '\n');
    }
}
