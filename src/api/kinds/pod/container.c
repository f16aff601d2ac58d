/* container.c: validation of containers: main, init (and sidecars), ephemeral.
 *
 * Left to others: env (container_env.c), probes and hooks (probe.c), resources (resources.c),
 * mounts (volume_mount.c), security contexts (pod_security.c).
 */
#include "api/kinds/pod/pod_parts.h"
#include "api/kinds/pod/pod_spec.h"

enum { RULES_MAX = 20, EXIT_CODES_MAX = 255 };

static const char *const pull_policies[] = {"Always", "IfNotPresent", "Never", NULL};
static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};

static void ports_check(struct field_errors *errors, const struct path *path,
                        const struct val *ports)
{
    uint32_t i = 0;
    VAL_EACH (port, ports) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(port, "name"));
        int64_t number = val_int(val_get(port, "containerPort"), 0);
        int64_t host = val_int(val_get(port, "hostPort"), 0);
        if (name.n > 0 && check_name(errors, AT(at, "name"), NAME_PORT, name) &&
            val_find(ports, "name", name) != port) {
            field_duplicate(errors, AT(at, "name"), name);
        }
        if (number == 0) {
            field_required(errors, AT(at, "containerPort"), "");
        } else {
            check_port_number(errors, AT(at, "containerPort"), number);
        }
        if (host != 0) {
            check_port_number(errors, AT(at, "hostPort"), host);
        }
        check_one_of(errors, AT(at, "protocol"), val_text(val_get(port, "protocol")), protocols,
                     true);
    }
}

static void restart_rules_check(struct field_errors *errors, const struct path *path,
                                const struct val *rules)
{
    static const char *const actions[] = {"Restart", "RestartAllContainers", NULL};
    static const char *const operators[] = {"In", "NotIn", NULL};
    if (val_count(rules) > RULES_MAX) {
        field_too_many(errors, AT(path, "restartPolicyRules"), rules->count, RULES_MAX);
    }
    uint32_t i = 0;
    VAL_EACH (rule, rules) {
        const struct path *at = AT_INDEX(AT(path, "restartPolicyRules"), i++);
        const struct val *codes = val_get(rule, "exitCodes");
        check_one_of(errors, AT(at, "action"), val_text(val_get(rule, "action")), actions, true);
        if (val_absent(codes)) {
            field_required(errors, AT(at, "exitCodes"), "must be specified");
            continue;
        }
        check_one_of(errors, AT(AT(at, "exitCodes"), "operator"),
                     val_text(val_get(codes, "operator")), operators, true);
        if (val_count(val_get(codes, "values")) > EXIT_CODES_MAX) {
            field_too_many(errors, AT(AT(at, "exitCodes"), "values"),
                           val_count(val_get(codes, "values")), EXIT_CODES_MAX);
        }
    }
}

static void restart_check(struct field_errors *errors, const struct path *path,
                          const struct val *container)
{
    static const char *const policies[] = {"Always", "Never", "OnFailure", NULL};
    const struct val *rules = val_get(container, "restartPolicyRules");
    struct str policy = val_text(val_get(container, "restartPolicy"));
    check_one_of(errors, AT(path, "restartPolicy"), policy, policies, false);
    if (val_count(rules) > 0 && policy.n == 0) {
        field_required(errors, AT(path, "restartPolicy"),
                       "must specify restartPolicy when restart rules are used");
    }
    restart_rules_check(errors, path, rules);
}

static void resize_check(struct field_errors *errors, const struct path *path,
                         const struct val *policies, const struct val *spec)
{
    static const char *const resources[] = {"cpu", "memory", NULL};
    static const char *const restarts[] = {"NotRequired", "RestartContainer", NULL};
    uint32_t i = 0;
    VAL_EACH (policy, policies) {
        struct str name = val_text(val_get(policy, "resourceName"));
        struct str restart = val_text(val_get(policy, "restartPolicy"));
        if (val_find(policies, "resourceName", name) != policy) {
            field_duplicate(errors, AT_INDEX(path, i), name);
        }
        check_one_of(errors, path, name, resources, true);
        check_one_of(errors, path, restart, restarts, true);
        if (!str_is(restart, "NotRequired") &&
            str_is(val_text(val_get(spec, "restartPolicy")), "Never")) {
            field_invalid(errors, path, restart,
                          "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
        i++;
    }
}

/* A claim is named once as a whole, or once for each of its requests. */
static bool claim_is_repeated(const struct val *claims, const struct val *claim)
{
    struct str name = val_text(val_get(claim, "name"));
    struct str request = val_text(val_get(claim, "request"));
    for (const struct val *it = claims->child; it != claim; it = it->next) {
        struct str other = val_text(val_get(it, "request"));
        if (str_eq(val_text(val_get(it, "name")), name) &&
            (other.n == 0 || request.n == 0 || str_eq(other, request))) {
            return true;
        }
    }
    return false;
}

void container_claims_check(struct field_errors *errors, const struct path *path,
                            const struct val *claims, const struct val *spec)
{
    uint32_t i = 0;
    if (!check_length(errors, path, claims, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (claim, claims) {
        struct str name = val_text(val_get(claim, "name"));
        struct str request = val_text(val_get(claim, "request"));
        const struct path *at = AT_INDEX(path, i++);
        if (name.n == 0) {
            field_required(errors, at, "");
        } else if (claim_is_repeated(claims, claim)) {
            field_duplicate(errors, at, name);
        }
        if (name.n > 0 && request.n > 0) {
            check_name(errors, AT(at, "request"), NAME_LABEL, request);
        }
        if (name.n == 0 || val_find(val_get(spec, "resourceClaims"), "name", name) == NULL) {
            field_error_add(errors, "FieldValueNotFound", path_text(errors, at),
                            "Not found: \"%.*s\": must be one of the names in "
                            "pod.spec.resourceClaims",
                            STR_ARG(name));
        }
    }
}

static void common_check(struct field_errors *errors, const struct path *path,
                         const struct val *container, const struct val *spec)
{
    static const char *const message_policies[] = {"File", "FallbackToLogsOnError", NULL};
    struct str name = val_text(val_get(container, "name"));
    struct str image = val_text(val_get(container, "image"));
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "");
    } else {
        check_name(errors, AT(path, "name"), NAME_LABEL, name);
    }
    if (image.n == 0) {
        field_required(errors, AT(path, "image"), "");
    } else if (str_trim(image).n != image.n) {
        field_invalid(errors, AT(path, "image"), image,
                      "must not have leading or trailing whitespace");
    }
    check_one_of(errors, AT(path, "terminationMessagePolicy"),
                 val_text(val_get(container, "terminationMessagePolicy")), message_policies, true);
    ports_check(errors, AT(path, "ports"), val_get(container, "ports"));
    container_env_check(errors, path, container, val_get(spec, "volumes"));
    volume_mounts_check(errors, path, container, val_get(spec, "volumes"));
    check_one_of(errors, AT(path, "imagePullPolicy"),
                 val_text(val_get(container, "imagePullPolicy")), pull_policies, true);
    resources_check(errors, AT(path, "resources"), val_get(container, "resources"), false);
    container_claims_check(errors, AT(AT(path, "resources"), "claims"),
                           val_path(container, "resources.claims"), spec);
    resize_check(errors, AT(path, "resizePolicy"), val_get(container, "resizePolicy"), spec);
    security_context_check(errors, AT(path, "securityContext"),
                           val_get(container, "securityContext"), spec);
}

static void probes_check(struct field_errors *errors, const struct path *path,
                         const struct val *container, const struct val *spec)
{
    lifecycle_check(errors, AT(path, "lifecycle"), val_get(container, "lifecycle"),
                    val_int(val_get(spec, "terminationGracePeriodSeconds"), 30));
    probe_check(errors, AT(path, "livenessProbe"), val_get(container, "livenessProbe"),
                PROBE_LIVENESS);
    probe_check(errors, AT(path, "readinessProbe"), val_get(container, "readinessProbe"),
                PROBE_READINESS);
    probe_check(errors, AT(path, "startupProbe"), val_get(container, "startupProbe"),
                PROBE_STARTUP);
}

static void init_check(struct field_errors *errors, const struct path *path,
                       const struct val *container, const struct val *spec)
{
    static const char *const hooks[] = {"lifecycle", "livenessProbe", "readinessProbe",
                                        "startupProbe"};
    restart_check(errors, path, container);
    if (container_is_sidecar(container)) {
        if (val_count(val_get(container, "restartPolicyRules")) > 0) {
            field_forbidden(errors, AT(path, "restartPolicyRules"),
                            "restartPolicyRules are not allowed for init containers with restart "
                            "policy Always");
        }
        probes_check(errors, path, container, spec);
        return;
    }
    for (size_t i = 0; i < sizeof hooks / sizeof hooks[0]; i++) {
        if (!val_absent(val_get_str(container, str_of(hooks[i])))) {
            field_forbidden(errors, AT(path, hooks[i]),
                            "may not be set for init containers without restartPolicy=Always");
        }
    }
    uint32_t i = 0;
    VAL_EACH (policy, val_get(container, "resizePolicy")) {
        const struct path *at = AT_INDEX(AT(path, "resizePolicy"), i++);
        struct str restart = val_text(val_get(policy, "restartPolicy"));
        if (str_is(restart, "RestartContainer")) {
            field_invalid(errors, AT(at, "restartPolicy"), restart,
                          "must not be set to 'RestartContainer' for non-sidecar initContainers");
        }
    }
}

static void ephemeral_check(struct field_errors *errors, const struct path *path,
                            const struct val *container, const struct val *spec)
{
    static const char *const refused[] = {"ports",        "livenessProbe", "readinessProbe",
                                          "startupProbe", "lifecycle",     "resources",
                                          "resizePolicy", "restartPolicy", "restartPolicyRules"};
    struct str target = val_text(val_get(container, "targetContainerName"));
    if (target.n > 0 && val_find(val_get(spec, "containers"), "name", target) == NULL &&
        val_find(val_get(spec, "initContainers"), "name", target) == NULL) {
        field_not_found(errors, AT(path, "targetContainerName"), target);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const struct val *member = val_get_str(container, str_of(refused[i]));
        if (!val_absent(member) && (val_count(member) > 0 || val_text(member).n > 0)) {
            field_forbidden(errors, AT(path, refused[i]),
                            "cannot be set for an Ephemeral Container");
        }
    }
    uint32_t i = 0;
    VAL_EACH (mount, val_get(container, "volumeMounts")) {
        static const char *const paths[] = {"subPath", "subPathExpr"};
        for (int p = 0; p < 2; p++) {
            if (val_text(val_get_str(mount, str_of(paths[p]))).n > 0) {
                field_forbidden(errors, AT(AT_INDEX(AT(path, "volumeMounts"), i), paths[p]),
                                "cannot be set for an Ephemeral Container");
            }
        }
        i++;
    }
}

/* Names are unique over all lists; the later one is the duplicate. */
static bool name_is_taken(const struct val *spec, const struct val *container,
                          enum container_kind kind)
{
    struct str name = val_text(val_get(container, "name"));
    const struct val *main = val_find(val_get(spec, "containers"), "name", name);
    const struct val *init = val_find(val_get(spec, "initContainers"), "name", name);
    if (kind == CONTAINER_MAIN) {
        return main != container;
    }
    if (kind == CONTAINER_INIT) {
        return main != NULL || init != container;
    }
    return main != NULL || init != NULL ||
           val_find(val_get(spec, "ephemeralContainers"), "name", name) != container;
}

void container_list_check(struct field_errors *errors, const struct path *path,
                          const struct val *containers, enum container_kind kind,
                          const struct val *spec)
{
    uint32_t i = 0;
    VAL_EACH (container, containers) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(container, "name"));
        common_check(errors, at, container, spec);
        if (name.n > 0 && name_is_taken(spec, container, kind)) {
            field_duplicate(errors, AT(at, "name"), name);
        }
        if (kind == CONTAINER_INIT) {
            init_check(errors, at, container, spec);
        } else if (kind == CONTAINER_EPHEMERAL) {
            ephemeral_check(errors, at, container, spec);
        } else {
            restart_check(errors, at, container);
            probes_check(errors, at, container, spec);
        }
    }
}
