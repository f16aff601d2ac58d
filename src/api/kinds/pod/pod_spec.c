/* pod_spec.c: validation of a PodSpec as a whole; its parts have files of their own.
 *
 * Templates and Pods go the same way; `is_pod` adds what holds in Pods only.
 */
#include "api/kinds/pod/pod_spec.h"

#include "api/kinds/pod/pod_parts.h"

enum { NAMESERVERS_MAX = 3, SEARCHES_MAX = 32, SEARCH_CHARS_MAX = 2048, READINESS_MAX = 64 };

static const char *const pod_restart_policies[] = {"Always", "OnFailure", "Never", NULL};

static bool text_is(const struct val *spec, const char *member, const char *value)
{
    return str_is(val_text(val_get_str(spec, str_of(member))), value);
}

static void dns_lists(struct field_errors *errors, const struct path *path,
                      const struct val *config)
{
    const struct val *servers = val_get(config, "nameservers");
    const struct val *searches = val_get(config, "searches");
    if (val_count(servers) > NAMESERVERS_MAX) {
        field_invalid_val(errors, AT(path, "nameservers"), servers,
                          "must not have more than %d nameservers", NAMESERVERS_MAX);
    }
    uint32_t i = 0;
    VAL_EACH (server, servers) {
        check_name(errors, AT_INDEX(AT(path, "nameservers"), i++), NAME_IP, val_text(server));
    }
    if (val_count(searches) > SEARCHES_MAX) {
        field_invalid_val(errors, AT(path, "searches"), searches,
                          "must not have more than %d search paths", SEARCHES_MAX);
    }
    size_t chars = 0;
    i = 0;
    VAL_EACH (search, searches) {
        struct str name = val_text(search);
        chars += name.n + 1;
        if (name.n > 1 && name.p[name.n - 1] == '.') {
            name.n--;
        }
        if (!str_is(name, ".")) {
            check_name(errors, AT_INDEX(AT(path, "searches"), i), NAME_SEARCH_DOMAIN, name);
        }
        i++;
    }
    if (chars > SEARCH_CHARS_MAX + 1) {
        field_invalid_val(errors, AT(path, "searches"), searches,
                          "must not have more than %d characters (including spaces) in the "
                          "search list",
                          SEARCH_CHARS_MAX);
    }
}

static void dns_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    static const char *const policies[] = {"ClusterFirstWithHostNet", "ClusterFirst", "Default",
                                           "None", NULL};
    const struct val *config = val_get(spec, "dnsConfig");
    const struct path *at = AT(path, "dnsConfig");
    check_one_of(errors, AT(path, "dnsPolicy"), val_text(val_get(spec, "dnsPolicy")), policies,
                 true);
    if (text_is(spec, "dnsPolicy", "None")) {
        if (val_absent(config)) {
            field_required(errors, at, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if (val_count(val_get(config, "nameservers")) == 0) {
            field_required(errors, AT(at, "nameservers"),
                           "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    dns_lists(errors, at, config);
    uint32_t i = 0;
    VAL_EACH (option, val_get(config, "options")) {
        if (val_text(val_get(option, "name")).n == 0) {
            field_required(errors, AT_INDEX(AT(at, "options"), i), "must not be empty");
        }
        i++;
    }
}

static void optional_name(struct field_errors *errors, const struct path *path,
                          const struct val *spec, const char *member, enum name_rule rule)
{
    struct str name = val_text(val_get_str(spec, str_of(member)));
    if (name.n > 0) {
        check_name(errors, AT(path, member), rule, name);
    }
}

static void host_aliases_check(struct field_errors *errors, const struct path *path,
                               const struct val *aliases)
{
    uint32_t i = 0;
    VAL_EACH (alias, aliases) {
        const struct path *at = AT_INDEX(path, i++);
        check_name(errors, AT(at, "ip"), NAME_IP, val_text(val_get(alias, "ip")));
        uint32_t h = 0;
        VAL_EACH (host, val_get(alias, "hostnames")) {
            check_name(errors, AT_INDEX(AT(at, "hostnames"), h++), NAME_SUBDOMAIN, val_text(host));
        }
    }
}

static void gates_check(struct field_errors *errors, const struct path *path,
                        const struct val *spec)
{
    const struct val *gates = val_get(spec, "schedulingGates");
    uint32_t i = 0;
    VAL_EACH (gate, gates) {
        struct str name = val_text(val_get(gate, "name"));
        const struct path *at = AT_INDEX(AT(path, "schedulingGates"), i++);
        check_name(errors, at, NAME_LABEL_KEY, name);
        if (val_find(gates, "name", name) != gate) {
            field_duplicate(errors, at, name);
        }
    }
    i = 0;
    VAL_EACH (gate, val_get(spec, "readinessGates")) {
        check_name(errors, AT(AT_INDEX(AT(path, "readinessGates"), i++), "conditionType"),
                   NAME_LABEL_KEY, val_text(val_get(gate, "conditionType")));
    }
}

static void host_port_clashes(struct field_errors *errors, const struct path *path,
                              const struct val *containers, const struct val *containers_again)
{
    uint32_t i = 0;
    VAL_EACH (container, containers) {
        uint32_t p = 0;
        VAL_EACH (port, val_get(container, "ports")) {
            const struct path *at = AT_INDEX(AT(AT_INDEX(path, i), "ports"), p++);
            if (val_int(val_get(port, "hostPort"), 0) == 0) {
                continue;
            }
            bool seen = false, done = false;
            VAL_EACH (other, containers_again) {
                VAL_EACH (before, val_get(other, "ports")) {
                    if (done) {
                        break;
                    }
                    done = before == port;
                    seen = seen || (!done && host_port_equals(before, port));
                }
            }
            if (seen) {
                const char *key = arena_printf(errors->arena, "%.*s/%.*s/%lld",
                                               STR_ARG(val_text(val_get(port, "protocol"))),
                                               STR_ARG(val_text(val_get(port, "hostIP"))),
                                               (long long)val_int(val_get(port, "hostPort"), 0));
                field_duplicate(errors, AT(at, "hostPort"), str_of(key));
            }
        }
        i++;
    }
}

bool host_port_equals(const struct val *a, const struct val *b)
{
    return val_int(val_get(a, "hostPort"), 0) == val_int(val_get(b, "hostPort"), -1) &&
           str_eq(val_text(val_get(a, "protocol")), val_text(val_get(b, "protocol"))) &&
           str_eq(val_text(val_get(a, "hostIP")), val_text(val_get(b, "hostIP")));
}

static void host_network_ports(struct field_errors *errors, const struct path *path,
                               const struct val *containers)
{
    uint32_t i = 0;
    VAL_EACH (container, containers) {
        uint32_t p = 0;
        VAL_EACH (port, val_get(container, "ports")) {
            int64_t host = val_int(val_get(port, "hostPort"), 0);
            if (host != 0 && host != val_int(val_get(port, "containerPort"), 0)) {
                field_invalid_int(errors,
                                  AT(AT_INDEX(AT(AT_INDEX(path, i), "ports"), p), "hostPort"), host,
                                  "must match `containerPort` when `hostNetwork` is true");
            }
            p++;
        }
        i++;
    }
}

static void containers_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec)
{
    const struct val *main = val_get(spec, "containers");
    const struct val *init = val_get(spec, "initContainers");
    if (val_count(main) == 0) {
        field_required(errors, AT(path, "containers"), "");
    }
    container_list_check(errors, AT(path, "containers"), main, CONTAINER_MAIN, spec);
    container_list_check(errors, AT(path, "initContainers"), init, CONTAINER_INIT, spec);
    container_list_check(errors, AT(path, "ephemeralContainers"),
                         val_get(spec, "ephemeralContainers"), CONTAINER_EPHEMERAL, spec);
    host_port_clashes(errors, AT(path, "containers"), main, main);
    if (val_bool(val_get(spec, "hostNetwork"), false)) {
        host_network_ports(errors, AT(path, "containers"), main);
        host_network_ports(errors, AT(path, "initContainers"), init);
    }
}

static void deadline_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct val *deadline = val_get(spec, "activeDeadlineSeconds");
    int64_t seconds = val_int(deadline, 1);
    if (!val_absent(deadline) && (seconds < 1 || seconds > INT32_MAX)) {
        field_invalid_int(errors, AT(path, "activeDeadlineSeconds"), seconds,
                          "must be between 1 and 2147483647, inclusive");
    }
    const struct val *grace = val_get(spec, "terminationGracePeriodSeconds");
    if (val_absent(grace)) {
        field_required(errors, AT(path, "terminationGracePeriodSeconds"), "");
    }
}

static void node_placement_check(struct field_errors *errors, const struct path *path,
                                 const struct val *spec)
{
    check_labels(errors, AT(path, "nodeSelector"), val_get(spec, "nodeSelector"));
    optional_name(errors, path, spec, "nodeName", NAME_SUBDOMAIN);
    affinity_check(errors, AT(path, "affinity"), val_get(spec, "affinity"));
    tolerations_check(errors, AT(path, "tolerations"), val_get(spec, "tolerations"));
    topology_spread_check(errors, AT(path, "topologySpreadConstraints"),
                          val_get(spec, "topologySpreadConstraints"));
    gates_check(errors, path, spec);
}

static void pull_secrets_check(struct field_errors *errors, const struct path *path,
                               const struct val *spec)
{
    static const char *const systems[] = {"linux", "windows", NULL};
    const struct val *os = val_get(spec, "os");
    if (!val_absent(os)) {
        struct str name = val_text(val_get(os, "name"));
        if (name.n == 0) {
            field_required(errors, AT(AT(path, "os"), "name"), "");
        } else {
            check_one_of(errors, AT(path, "os"), name, systems, true);
        }
    }
    optional_name(errors, path, spec, "serviceAccountName", NAME_SUBDOMAIN);
    if (!val_absent(val_get(spec, "runtimeClassName"))) {
        check_name(errors, AT(path, "runtimeClassName"), NAME_SUBDOMAIN,
                   val_text(val_get(spec, "runtimeClassName")));
    }
    optional_name(errors, path, spec, "priorityClassName", NAME_SUBDOMAIN);
    optional_name(errors, path, spec, "hostname", NAME_LABEL);
    optional_name(errors, path, spec, "subdomain", NAME_LABEL);
    optional_name(errors, path, spec, "schedulerName", NAME_SUBDOMAIN);
}

static void claims_check(struct field_errors *errors, const struct path *path,
                         const struct val *claims)
{
    uint32_t i = 0;
    VAL_EACH (claim, claims) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(claim, "name"));
        bool direct = !val_absent(val_get(claim, "resourceClaimName"));
        bool template = !val_absent(val_get(claim, "resourceClaimTemplateName"));
        if (name.n == 0) {
            field_required(errors, AT(at, "name"), "");
        } else if (val_find(claims, "name", name) != claim) {
            field_duplicate(errors, AT(at, "name"), name);
        } else {
            check_name(errors, AT(at, "name"), NAME_LABEL, name);
        }
        if (direct && template) {
            field_invalid_val(errors, at, claim,
                              "at most one of `resourceClaimName` or `resourceClaimTemplateName` "
                              "may be specified");
        } else if (!direct && !template) {
            field_invalid_val(errors, at, claim,
                              "must specify one of: `resourceClaimName`, "
                              "`resourceClaimTemplateName`");
        }
    }
}

static void hostname_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct val *name = val_get(spec, "hostnameOverride");
    const struct path *at = AT(path, "hostnameOverride");
    if (val_absent(name)) {
        return;
    }
    if (val_bool(val_get(spec, "setHostnameAsFQDN"), false)) {
        field_forbidden(errors, at, "may not be specified when setHostnameAsFQDN is true");
    }
    if (val_bool(val_get(spec, "hostNetwork"), false)) {
        field_forbidden(errors, at, "may not be specified when hostNetwork is true");
    }
    if (val_text(name).n > 64) {
        field_too_long(errors, at, 64);
    }
    check_name(errors, at, NAME_SUBDOMAIN, val_text(name));
}

static void create_only_check(struct field_errors *errors, const struct path *path,
                              const struct val *spec)
{
    static const char *const policies[] = {"PreemptLowerPriority", "Never", NULL};
    const struct val *policy = val_get(spec, "preemptionPolicy");
    check_one_of(errors, AT(path, "preemptionPolicy"), val_text(policy), policies,
                 !val_absent(policy));
    resource_list_check(errors, AT(AT(path, "overhead"), "limits"), val_get(spec, "overhead"));
    if (val_text(val_get(spec, "serviceAccountName")).n == 0 &&
        val_text(val_get(spec, "serviceAccount")).n > 0) {
        field_forbidden(errors, AT(path, "serviceAccount"),
                        "must not be specified when serviceAccountName is not set");
    }
}

static bool lengths_check(struct field_errors *errors, const struct path *path,
                          const struct val *object, const char *const *names)
{
    bool ok = true;
    for (size_t i = 0; names[i] != NULL; i++) {
        ok = check_length(errors, AT(path, names[i]), val_get_str(object, str_of(names[i])),
                          LIST_LENGTH_MAX) &&
             ok;
    }
    return ok;
}

/* Lists that are looked through for each of their members, or for each member of another one. */
static bool all_lengths_check(struct field_errors *errors, const struct path *path,
                              const struct val *spec)
{
    static const char *const lists[] = {"containers",
                                        "initContainers",
                                        "ephemeralContainers",
                                        "volumes",
                                        "tolerations",
                                        "schedulingGates",
                                        "resourceClaims",
                                        "imagePullSecrets",
                                        "topologySpreadConstraints",
                                        NULL};
    static const char *const inner[] = {"ports", "volumeMounts", "volumeDevices", "resizePolicy",
                                        NULL};
    bool ok = lengths_check(errors, path, spec, lists);
    uint32_t host_ports = 0;
    for (int l = 0; l < 3 && ok; l++) {
        uint32_t i = 0;
        VAL_EACH (container, val_get_str(spec, str_of(lists[l]))) {
            ok = lengths_check(errors, AT_INDEX(AT(path, lists[l]), i++), container, inner) && ok;
            VAL_EACH (port, val_get(container, "ports")) {
                host_ports += val_int(val_get(port, "hostPort"), 0) != 0;
            }
        }
    }
    if (ok && host_ports > LIST_LENGTH_MAX) {
        field_too_many(errors, AT(path, "containers"), host_ports, LIST_LENGTH_MAX);
    }
    return ok && host_ports <= LIST_LENGTH_MAX;
}

void pod_spec_check(struct field_errors *errors, const struct path *path, const struct val *spec,
                    bool is_pod)
{
    if (!all_lengths_check(errors, path, spec)) {
        return;
    }
    volume_list_check(errors, AT(path, "volumes"), val_get(spec, "volumes"));
    containers_check(errors, path, spec);
    check_one_of(errors, AT(path, "restartPolicy"), val_text(val_get(spec, "restartPolicy")),
                 pod_restart_policies, true);
    dns_check(errors, path, spec);
    pod_security_context_check(errors, path, spec);
    deadline_check(errors, path, spec);
    pull_secrets_check(errors, path, spec);
    node_placement_check(errors, path, spec);
    host_aliases_check(errors, AT(path, "hostAliases"), val_get(spec, "hostAliases"));
    create_only_check(errors, path, spec);
    claims_check(errors, AT(path, "resourceClaims"), val_get(spec, "resourceClaims"));
    hostname_check(errors, path, spec);
    pod_os_check(errors, path, spec);
    if (val_count(val_get(spec, "resources")) > 0) {
        pod_level_check(errors, AT(path, "resources"), spec);
    }
    (void)is_pod;
}

void pod_template_check(struct field_errors *errors, const struct path *path,
                        const struct val *template)
{
    const struct val *metadata = val_get(template, "metadata");
    const struct val *spec = val_get(template, "spec");
    const struct path *at = AT(path, "spec");
    /* Not under "metadata": so the API reports them. */
    check_labels(errors, AT(path, "labels"), val_get(metadata, "labels"));
    check_annotations(errors, AT(path, "annotations"), val_get(metadata, "annotations"));
    pod_spec_check(errors, at, spec, false);
    if (val_count(val_get(spec, "ephemeralContainers")) > 0) {
        field_forbidden(errors, AT(at, "ephemeralContainers"),
                        "ephemeral containers not allowed in pod template");
    }
}
