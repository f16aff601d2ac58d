/* probe.c: validation of probes, hooks and their handlers. */
#include "api/kinds/pod/pod_spec.h"

static void exec_check(struct field_errors *errors, const struct path *path,
                       const struct val *action)
{
    if (val_count(val_get(action, "command")) == 0) {
        field_required(errors, AT(path, "command"), "");
    }
}

static void http_check(struct field_errors *errors, const struct path *path,
                       const struct val *action)
{
    static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
    if (val_text(val_get(action, "path")).n == 0) {
        field_required(errors, AT(path, "path"), "");
    }
    check_port(errors, AT(path, "port"), val_get(action, "port"));
    check_one_of(errors, AT(path, "scheme"), val_text(val_get(action, "scheme")), schemes, true);
    VAL_EACH (header, val_get(action, "httpHeaders")) {
        check_name(errors, AT(path, "httpHeaders"), NAME_HTTP_HEADER,
                   val_text(val_get(header, "name")));
    }
}

/* `grace`: seconds that a pod has to end in; -1: not a hook. */
static void one_handler(struct field_errors *errors, const struct path *path, const char *name,
                        const struct val *action, int64_t grace)
{
    const struct path *at = AT(path, name);
    if (strcmp(name, "exec") == 0) {
        exec_check(errors, at, action);
    } else if (strcmp(name, "httpGet") == 0) {
        http_check(errors, at, action);
    } else if (strcmp(name, "tcpSocket") == 0) {
        check_port(errors, AT(at, "port"), val_get(action, "port"));
    } else if (strcmp(name, "grpc") == 0) {
        check_port_number(errors, AT(at, "port"), val_int(val_get(action, "port"), 0));
    } else {
        int64_t seconds = val_int(val_get(action, "seconds"), 0);
        if (seconds < 0 || seconds > grace) {
            field_invalid_int(errors, at, seconds,
                              "must be non-negative and less than terminationGracePeriodSeconds "
                              "(%lld)",
                              (long long)grace);
        }
    }
}

static void handler_check(struct field_errors *errors, const struct path *path,
                          const struct val *handler, int64_t grace)
{
    static const char *const names[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};
    int found = 0;
    for (int i = 0; i < 5; i++) {
        const struct val *action = val_get_str(handler, str_of(names[i]));
        if (val_absent(action)) {
            continue;
        }
        if (found++ > 0) {
            field_forbidden(errors, AT(path, names[i]), "may not specify more than 1 handler type");
        } else {
            one_handler(errors, path, names[i], action, grace);
        }
    }
    if (found == 0) {
        field_required(errors, path, "must specify a handler type");
    }
}

void probe_check(struct field_errors *errors, const struct path *path, const struct val *probe,
                 enum probe_kind kind)
{
    static const char *const counts[] = {"initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                                         "successThreshold", "failureThreshold"};
    if (val_absent(probe)) {
        return;
    }
    handler_check(errors, path, probe, -1);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        check_not_negative(errors, AT(path, counts[i]), val_get_str(probe, str_of(counts[i])));
    }
    const struct val *grace = val_get(probe, "terminationGracePeriodSeconds");
    int64_t success = val_int(val_get(probe, "successThreshold"), 1);
    if (!val_absent(grace) && val_int(grace, 0) <= 0) {
        field_invalid_int(errors, AT(path, "terminationGracePeriodSeconds"), val_int(grace, 0),
                          "must be greater than 0");
    }
    if (kind == PROBE_READINESS && !val_absent(grace)) {
        field_invalid_int(errors, AT(path, "terminationGracePeriodSeconds"), val_int(grace, 0),
                          "must not be set for readinessProbes");
    }
    if (kind != PROBE_READINESS && success != 1) {
        field_invalid_int(errors, AT(path, "successThreshold"), success, "must be 1");
    }
}

void lifecycle_check(struct field_errors *errors, const struct path *path,
                     const struct val *lifecycle, int64_t grace)
{
    const struct val *start = val_get(lifecycle, "postStart"),
                     *stop = val_get(lifecycle, "preStop");
    if (!val_absent(start)) {
        handler_check(errors, AT(path, "postStart"), start, grace);
    }
    if (!val_absent(stop)) {
        handler_check(errors, AT(path, "preStop"), stop, grace);
    }
}
