/* pod_default.c: computed defaults of a PodSpec, in Pods and in templates.
 *
 * Rule source: the API's documented defaults (reference/defaults.csv, source "function"). What
 * differs between a Pod and a template: ports of the host network, requests out of limits, service
 * links.
 */
#include "api/defaults.h"
#include "api/kinds/pod/pod_spec.h"

/* "Always" for :latest or no tag at all, else "IfNotPresent". */
static const char *pull_policy(struct str image)
{
    if (str_contains(image, STR("@"))) {
        return "IfNotPresent";
    }
    struct str last = image, tag;
    struct str cut = str_cut_last(image, '/', &last);
    if (last.p == NULL) {
        last = cut;
    }
    str_cut(last, ':', &tag);
    return tag.p == NULL || str_is(tag, "latest") ? "Always" : "IfNotPresent";
}

static void http_get_default(struct arena *arena, struct val *action)
{
    struct val *http = val_get(action, "httpGet");
    if (!val_absent(http)) {
        default_text(arena, http, "path", "/");
        default_text(arena, http, "scheme", "HTTP");
    }
}

static void probe_default(struct arena *arena, struct val *probe)
{
    if (val_absent(probe)) {
        return;
    }
    http_get_default(arena, probe);
    default_int_zero(arena, probe, "timeoutSeconds", 1);
    default_int_zero(arena, probe, "periodSeconds", 10);
    default_int_zero(arena, probe, "successThreshold", 1);
    default_int_zero(arena, probe, "failureThreshold", 3);
}

static void field_ref_default(struct arena *arena, struct val *holder)
{
    struct val *ref = val_get(holder, "fieldRef");
    if (!val_absent(ref)) {
        default_text(arena, ref, "apiVersion", "v1");
    }
}

static void resources_default(struct arena *arena, struct val *resources, bool requests_too)
{
    struct val *limits = val_get(resources, "limits");
    default_resource_list(arena, limits);
    default_resource_list(arena, val_get(resources, "requests"));
    if (!requests_too || val_count(limits) == 0) {
        return;
    }
    struct val *requests = default_object(arena, resources, "requests");
    VAL_EACH (limit, limits) {
        if (val_get_str(requests, limit->key) == NULL) {
            struct val *copy = val_copy(arena, limit);
            copy->field = requests->field;
            val_set(requests, limit->key, copy);
        }
    }
}

static void ports_default(struct arena *arena, struct val *ports, bool host_network)
{
    VAL_EACH (port, ports) {
        default_text(arena, port, "protocol", "TCP");
        if (host_network) {
            default_int_zero(arena, port, "hostPort", val_int(val_get(port, "containerPort"), 0));
        }
    }
}

static void container_default(struct arena *arena, struct val *container, bool requests_too,
                              bool host_network)
{
    default_text(arena, container, "imagePullPolicy",
                 pull_policy(val_text(val_get(container, "image"))));
    default_text(arena, container, "terminationMessagePath", "/dev/termination-log");
    default_text(arena, container, "terminationMessagePolicy", "File");
    default_object(arena, container, "resources");
    resources_default(arena, val_get(container, "resources"), requests_too);
    ports_default(arena, val_get(container, "ports"), host_network);
    probe_default(arena, val_get(container, "livenessProbe"));
    probe_default(arena, val_get(container, "readinessProbe"));
    probe_default(arena, val_get(container, "startupProbe"));
    http_get_default(arena, val_path(container, "lifecycle.postStart"));
    http_get_default(arena, val_path(container, "lifecycle.preStop"));
    VAL_EACH (env, val_get(container, "env")) {
        field_ref_default(arena, val_get(env, "valueFrom"));
    }
}

static void downward_items_default(struct arena *arena, struct val *source)
{
    VAL_EACH (item, val_get(source, "items")) {
        field_ref_default(arena, item);
    }
}

static void projected_default(struct arena *arena, struct val *projected)
{
    default_int(arena, projected, "defaultMode", 0644);
    VAL_EACH (source, val_get(projected, "sources")) {
        downward_items_default(arena, val_get(source, "downwardAPI"));
        struct val *token = val_get(source, "serviceAccountToken");
        if (!val_absent(token)) {
            default_int(arena, token, "expirationSeconds", 3600);
        }
    }
}

static bool has_source(const struct val *volume)
{
    VAL_EACH (member, volume) {
        if (!str_is(member->key, "name") && !val_absent(member)) {
            return true;
        }
    }
    return false;
}

static void volume_default(struct arena *arena, struct val *volume)
{
    if (!has_source(volume)) {
        default_object(arena, volume, "emptyDir");
        return;
    }
    struct val *source;
    if (!val_absent(source = val_get(volume, "secret")) ||
        !val_absent(source = val_get(volume, "configMap")) ||
        !val_absent(source = val_get(volume, "downwardAPI"))) {
        default_int(arena, source, "defaultMode", 0644);
        field_ref_default(arena, source);
        downward_items_default(arena, val_get(volume, "downwardAPI"));
    } else if (!val_absent(source = val_get(volume, "projected"))) {
        projected_default(arena, source);
    } else if (!val_absent(source = val_get(volume, "hostPath"))) {
        if (val_absent(val_get(source, "type"))) {
            default_put(source, STR("type"), val_new_text(arena, STR("")));
        }
    } else if (!val_absent(source = val_get(volume, "image"))) {
        default_text(arena, source, "pullPolicy",
                     pull_policy(val_text(val_get(source, "reference"))));
    } else if (!val_absent(source = val_get(volume, "ephemeral"))) {
        struct val *claim = val_path(source, "volumeClaimTemplate.spec");
        if (claim != NULL) {
            default_text(arena, claim, "volumeMode", "Filesystem");
            resources_default(arena, val_get(claim, "resources"), false);
        }
    }
}

static void accounts_default(struct arena *arena, struct val *spec)
{
    struct str name = val_text(val_get(spec, "serviceAccountName"));
    if (name.n == 0) {
        name = val_text(val_get(spec, "serviceAccount"));
    }
    if (name.n > 0) { /* the old name of the field always mirrors the new one */
        default_put(spec, STR("serviceAccountName"), val_new_text(arena, name));
        default_put(spec, STR("serviceAccount"), val_new_text(arena, name));
    }
}

void pod_spec_default(struct arena *arena, struct val *spec, bool is_pod)
{
    if (val_absent(spec)) {
        return;
    }
    bool host_network = is_pod && val_bool(val_get(spec, "hostNetwork"), false);
    accounts_default(arena, spec);
    default_text(arena, spec, "dnsPolicy", "ClusterFirst");
    default_text(arena, spec, "restartPolicy", "Always");
    default_text(arena, spec, "schedulerName", "default-scheduler");
    default_object(arena, spec, "securityContext");
    default_int(arena, spec, "terminationGracePeriodSeconds", 30);
    if (is_pod) {
        default_bool(arena, spec, "enableServiceLinks", true);
        if (val_int(val_get(spec, "terminationGracePeriodSeconds"), 0) < 0) {
            default_put(spec, STR("terminationGracePeriodSeconds"), val_new_int(arena, 1));
        }
    }
    VAL_EACH (container, val_get(spec, "initContainers")) {
        container_default(arena, container, is_pod, host_network);
    }
    VAL_EACH (container, val_get(spec, "containers")) {
        container_default(arena, container, is_pod, host_network);
    }
    VAL_EACH (container, val_get(spec, "ephemeralContainers")) {
        container_default(arena, container, false, false);
    }
    VAL_EACH (volume, val_get(spec, "volumes")) {
        volume_default(arena, volume);
    }
    default_resource_list(arena, val_get(spec, "overhead"));
    resources_default(arena, val_get(spec, "resources"), false); /* pod_level.c does the rest */
}

void pod_template_default(struct arena *arena, struct val *spec)
{
    struct val *template = default_object(arena, spec, "template");
    pod_spec_default(arena, default_object(arena, template, "spec"), false);
}
