/* downward.c: the downward API: fields of the pod, resources of a container, as text. */
#include "node/env/env.h"

/* labels or annotations as key="escaped value" lines, sorted as they are in the object (canonical
 * JSON keeps maps sorted). */
static struct str format_map(struct arena *arena, const struct val *map)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    VAL_EACH (it, map) {
        if (out.n > 0) {
            buf_char(&out, '\n');
        }
        buf_str(&out, it->key);
        buf_addz(&out, "=\"");
        struct str value = val_text(it);
        for (size_t i = 0; i < value.n; i++) {
            char c = value.p[i];
            if (c == '"' || c == '\\') {
                buf_char(&out, '\\');
                buf_char(&out, c);
            } else if (c == '\n') {
                buf_addz(&out, "\\n");
            } else if (c == '\t') {
                buf_addz(&out, "\\t");
            } else {
                buf_char(&out, c);
            }
        }
        buf_char(&out, '"');
    }
    return str_copy_in(arena, buf_view(&out));
}

/* metadata.labels['key'] */
static bool subscript(struct str path, struct str prefix, struct str *ret_key)
{
    if (!str_starts(path, prefix) || !str_ends(path, STR("']"))) {
        return false;
    }
    struct str rest = str_from(path, prefix.n);
    if (!str_starts(rest, STR("['")) || rest.n < 4) {
        return false;
    }
    *ret_key = str_at(rest.p + 2, rest.n - 4);
    return true;
}

int downward_field(struct arena *arena, const struct val *pod, struct str path,
                   const struct env_facts *facts, struct str *ret_value, struct err *err)
{
    static const struct {
        const char *path, *value;
    } plain[] = {{"metadata.name", "metadata.name"},
                 {"metadata.namespace", "metadata.namespace"},
                 {"metadata.uid", "metadata.uid"},
                 {"spec.nodeName", "spec.nodeName"},
                 {"spec.serviceAccountName", "spec.serviceAccountName"}};
    struct str key;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (str_is(path, plain[i].path)) {
            *ret_value = str_copy_in(arena, val_text(val_path(pod, plain[i].value)));
            return 0;
        }
    }
    if (str_is(path, "status.hostIP") || str_is(path, "status.hostIPs")) {
        *ret_value = facts->host_ip;
    } else if (str_is(path, "status.podIP") || str_is(path, "status.podIPs")) {
        *ret_value = facts->pod_ip;
    } else if (str_is(path, "metadata.labels")) {
        *ret_value = format_map(arena, val_path(pod, "metadata.labels"));
    } else if (str_is(path, "metadata.annotations")) {
        *ret_value = format_map(arena, val_path(pod, "metadata.annotations"));
    } else if (subscript(path, STR("metadata.labels"), &key)) {
        *ret_value =
            str_copy_in(arena, val_text(val_get_str(val_path(pod, "metadata.labels"), key)));
    } else if (subscript(path, STR("metadata.annotations"), &key)) {
        *ret_value =
            str_copy_in(arena, val_text(val_get_str(val_path(pod, "metadata.annotations"), key)));
    } else {
        return err_set(err, ERR_NOT_FOUND, "unsupported fieldPath: %.*s", STR_ARG(path));
    }
    return 0;
}

int downward_resource(struct arena *arena, const struct val *pod, const struct val *container,
                      const struct val *ref, const struct env_facts *facts, struct str *ret_value,
                      struct err *err)
{
    struct str name = val_text(val_get(ref, "containerName"));
    struct str which, resource = val_text(val_get(ref, "resource"));
    which = str_cut(resource, '.', &resource);
    const struct val *owner = name.n > 0 ? pod_container(val_get(pod, "spec"), name) : container;
    if (owner == NULL) {
        return err_set(err, ERR_NOT_FOUND, "container %.*s not found", STR_ARG(name));
    }
    bool limits = str_is(which, "limits"), cpu = str_is(resource, "cpu");
    struct quantity value = {0}, divisor;
    char *resource_name = str_dup_in(arena, resource);
    if (!pod_resource(owner, limits ? "limits" : "requests", resource_name, &value) && limits) {
        int64_t node = str_is(resource, "memory")              ? facts->node_memory
                       : str_is(resource, "ephemeral-storage") ? facts->node_storage
                                                               : 0;
        value = cpu ? quantity_of_milli(facts->node_cpu_milli) : quantity_of_value(node, 1);
    }
    if (!quantity_parse(val_text(val_get(ref, "divisor")), &divisor) || divisor.nano <= 0) {
        divisor = quantity_of_value(1, 0);
    }
    /* Rounded up, as upstream: ceil(value / divisor). */
    __int128 result = value.nano <= 0 ? 0 : (value.nano + divisor.nano - 1) / divisor.nano;
    *ret_value = str_of(arena_printf(arena, "%lld", (long long)result));
    return 0;
}
