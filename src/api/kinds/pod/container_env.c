/* container_env.c: validation of env and envFrom, and of the downward API's references. */
#include "api/kinds/pod/pod_spec.h"
#include "api/quantity.h"

static const char *const env_fields[] = {"metadata.name",
                                         "metadata.namespace",
                                         "metadata.uid",
                                         "spec.nodeName",
                                         "spec.serviceAccountName",
                                         "status.hostIP",
                                         "status.hostIPs",
                                         "status.podIP",
                                         "status.podIPs",
                                         NULL};
static const char *const volume_fields[] = {"metadata.annotations", "metadata.labels",
                                            "metadata.name",        "metadata.namespace",
                                            "metadata.uid",         NULL};
static const char *const other_fields[] = {"metadata.annotations",
                                           "metadata.labels",
                                           "spec.restartPolicy",
                                           "spec.schedulerName",
                                           "status.phase",
                                           "spec.host",
                                           NULL};

static bool listed(const char *const *list, struct str text)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (str_is(text, list[i])) {
            return true;
        }
    }
    return false;
}

/* metadata.labels['key']: the part before and the key. */
static bool subscript(struct str path, struct str *ret_before, struct str *ret_key)
{
    struct str rest;
    *ret_before = str_cut(path, '[', &rest);
    if (rest.n < 4 || rest.p[0] != '\'' || !str_ends(rest, STR("']"))) {
        return false;
    }
    *ret_key = str_at(rest.p + 1, rest.n - 3);
    return true;
}

void field_ref_check(struct field_errors *errors, const struct path *path,
                     const struct val *field_ref, bool volume)
{
    struct str field = val_text(val_get(field_ref, "fieldPath")), before, key;
    const char *const *allowed = volume ? volume_fields : env_fields;
    if (val_text(val_get(field_ref, "apiVersion")).n == 0) {
        field_required(errors, AT(path, "apiVersion"), "");
    }
    if (field.n == 0) {
        field_required(errors, AT(path, "fieldPath"), "");
    } else if (subscript(field, &before, &key)) {
        bool annotation = str_is(before, "metadata.annotations");
        if (annotation || str_is(before, "metadata.labels")) {
            check_name(errors, path, NAME_LABEL_KEY, key);
        } else {
            field_invalid(errors, path, before, "does not support subscript");
        }
    } else if (!listed(env_fields, field) && !listed(volume_fields, field) &&
               !listed(other_fields, field)) {
        field_invalid(errors, AT(path, "fieldPath"), field,
                      "error converting fieldPath: field label not supported: %.*s",
                      STR_ARG(field));
    } else if (!listed(allowed, field)) {
        field_not_supported(errors, AT(path, "fieldPath"), field, allowed);
    }
}

void resource_field_ref_check(struct field_errors *errors, const struct path *path,
                              const struct val *ref, bool volume)
{
    static const char *const names[] = {"limits.cpu",
                                        "limits.ephemeral-storage",
                                        "limits.memory",
                                        "requests.cpu",
                                        "requests.ephemeral-storage",
                                        "requests.memory",
                                        NULL};
    static const char *const cpu[] = {"1", "1m", NULL};
    static const char *const bytes[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P",  "1E",
                                        "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL};
    struct str resource = val_text(val_get(ref, "resource"));
    struct str divisor = val_text(val_get(ref, "divisor"));
    bool huge = str_contains(resource, STR(".hugepages-"));
    if (volume && val_text(val_get(ref, "containerName")).n == 0) {
        field_required(errors, AT(path, "containerName"), "");
    } else if (resource.n == 0) {
        field_required(errors, AT(path, "resource"), "");
    } else if (!huge && !listed(names, resource)) {
        field_not_supported(errors, AT(path, "resource"), resource, names);
    } else if (divisor.n > 0 && !str_is(divisor, "0")) {
        bool is_cpu = str_ends(resource, STR(".cpu"));
        if (!listed(is_cpu ? cpu : bytes, divisor)) {
            const char *unit = huge                                 ? "hugepages"
                               : str_ends(resource, STR(".memory")) ? "memory"
                                                                    : "local ephemeral storage";
            field_invalid(errors, AT(path, "divisor"), resource,
                          is_cpu ? "only divisor's values 1m and 1 are supported with the cpu "
                                   "resource%.0s"
                                 : "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, "
                                   "1Gi, 1Ti, 1Pi, 1Ei are supported with the %s resource",
                          unit);
        }
    }
}

static void key_ref_check(struct field_errors *errors, const struct path *path,
                          const struct val *ref)
{
    struct str name = val_text(val_get(ref, "name")), key = val_text(val_get(ref, "key"));
    if (name.n > 0) {
        check_name(errors, AT(path, "name"), NAME_SUBDOMAIN, name);
    }
    if (key.n == 0) {
        field_required(errors, AT(path, "key"), "");
    } else {
        check_name(errors, AT(path, "key"), NAME_CONFIG_KEY, key);
    }
}

static void file_ref_check(struct field_errors *errors, const struct path *path,
                           const struct val *ref, const struct val *volumes)
{
    struct str name = val_text(val_get(ref, "volumeName"));
    const struct val *volume = val_find(volumes, "name", name);
    static const char *const members[] = {"key", "volumeName", "path"};
    for (int i = 0; i < 3; i++) {
        if (val_text(val_get_str(ref, str_of(members[i]))).n == 0) {
            field_required(errors, AT(path, members[i]), "");
        }
    }
    if (volume == NULL) {
        field_not_found(errors, AT(path, "volumeName"), name);
    } else if (val_absent(val_get(volume, "emptyDir"))) {
        field_invalid(errors, AT(path, "volumeName"), name,
                      "referenced volume must be of type emptyDir");
    }
}

static void value_from_check(struct field_errors *errors, const struct path *path,
                             const struct val *env, const struct val *volumes)
{
    static const char *const sources[] = {"fieldRef", "resourceFieldRef", "configMapKeyRef",
                                          "secretKeyRef", "fileKeyRef"};
    const struct val *from = val_get(env, "valueFrom");
    int found = 0;
    for (int i = 0; i < 5; i++) {
        const struct val *ref = val_get_str(from, str_of(sources[i]));
        const struct path *at = AT(path, sources[i]);
        if (val_absent(ref)) {
            continue;
        }
        found++;
        if (i == 0) {
            field_ref_check(errors, at, ref, false);
        } else if (i == 1) {
            resource_field_ref_check(errors, at, ref, false);
        } else if (i == 4) {
            file_ref_check(errors, at, ref, volumes);
        } else {
            key_ref_check(errors, at, ref);
        }
    }
    if (found == 0) {
        field_invalid(errors, path, STR(""),
                      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
                      "`secretKeyRef` or `fileKeyRef`");
    }
    if (val_text(val_get(env, "value")).n > 0 && found > 0) {
        field_invalid(errors, path, STR(""), "may not be specified when `value` is not empty");
    } else if (found > 1) {
        field_invalid(errors, path, STR(""),
                      "may not have more than one field specified at a time");
    }
}

static void env_from_check(struct field_errors *errors, const struct path *path,
                           const struct val *source)
{
    static const char *const refs[] = {"configMapRef", "secretRef"};
    struct str prefix = val_text(val_get(source, "prefix"));
    int found = 0;
    if (prefix.n > 0) {
        check_name(errors, AT(path, "prefix"), NAME_ENV, prefix);
    }
    for (int i = 0; i < 2; i++) {
        const struct val *ref = val_get_str(source, str_of(refs[i]));
        if (val_absent(ref)) {
            continue;
        }
        found++;
        struct str name = val_text(val_get(ref, "name"));
        if (name.n == 0) {
            field_required(errors, AT(AT(path, refs[i]), "name"), "");
        } else {
            check_name(errors, AT(AT(path, refs[i]), "name"), NAME_SUBDOMAIN, name);
        }
    }
    if (found == 0) {
        field_invalid(errors, path->up, STR(""),
                      "must specify one of: `configMapRef` or `secretRef`");
    } else if (found > 1) {
        field_invalid(errors, path->up, STR(""),
                      "may not have more than one field specified at a time");
    }
}

void container_env_check(struct field_errors *errors, const struct path *path,
                         const struct val *container, const struct val *volumes)
{
    uint32_t i = 0;
    VAL_EACH (env, val_get(container, "env")) {
        const struct path *at = AT_INDEX(AT(path, "env"), i++);
        struct str name = val_text(val_get(env, "name"));
        if (name.n == 0) {
            field_required(errors, AT(at, "name"), "");
        } else {
            check_name(errors, AT(at, "name"), NAME_ENV, name);
        }
        if (!val_absent(val_get(env, "valueFrom"))) {
            value_from_check(errors, AT(at, "valueFrom"), env, volumes);
        }
    }
    i = 0;
    VAL_EACH (source, val_get(container, "envFrom")) {
        env_from_check(errors, AT_INDEX(AT(path, "envFrom"), i++), source);
    }
}
