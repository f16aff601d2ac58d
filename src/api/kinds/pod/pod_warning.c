/* pod_warning.c: what is allowed in a PodSpec but seldom meant: told in Warning headers, never
 * refused.
 *
 * Only looked for when somebody asked (ctx->warnings).
 */
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/storage/storage.h"
#include "api/warning.h"

static void env_warnings(struct api_context *ctx, const struct path *path, const struct val *list)
{
    uint32_t i = 0;
    if (val_count(list) > LIST_LENGTH_MAX) {
        return;
    }
    VAL_EACH (env, list) {
        struct str name = val_text(val_get(env, "name"));
        if (name.n > 0 && val_find(list, "name", name) != env) {
            api_warn(ctx, AT_INDEX(path, i),
                     "hides previous definition of \"%.*s\", which may be dropped when using apply",
                     STR_ARG(name));
        }
        i++;
    }
}

static bool same_port(const struct val *a, const struct val *b)
{
    return val_int(val_get(a, "containerPort"), 0) == val_int(val_get(b, "containerPort"), 0) &&
           str_eq(val_text(val_get(a, "protocol")), val_text(val_get(b, "protocol")));
}

static void port_warnings(struct api_context *ctx, const struct path *path, const struct val *list)
{
    uint32_t i = 0;
    if (val_count(list) > LIST_LENGTH_MAX) {
        return;
    }
    VAL_EACH (port, list) {
        uint32_t o = 0;
        VAL_EACH (other, list) {
            if (other == port) {
                break;
            }
            if (same_port(other, port)) {
                struct field_errors paths = {.arena = ctx->warnings->arena};
                struct str where = path_text(&paths, AT_INDEX(path, o));
                bool host =
                    val_int(val_get(port, "hostPort"), 0) == val_int(val_get(other, "hostPort"), 0);
                api_warn(ctx, AT_INDEX(path, i), "%s port definition with %.*s",
                         host ? "duplicate" : "overlapping", STR_ARG(where));
                break;
            }
            o++;
        }
        i++;
    }
}

static void container_warnings(struct api_context *ctx, const struct path *path,
                               const struct val *containers)
{
    uint32_t i = 0;
    VAL_EACH (container, containers) {
        const struct path *at = AT_INDEX(path, i++);
        env_warnings(ctx, AT(at, "env"), val_get(container, "env"));
        port_warnings(ctx, AT(at, "ports"), val_get(container, "ports"));
    }
}

static void volume_warnings(struct api_context *ctx, const struct path *path,
                            const struct val *volumes)
{
    uint32_t i = 0;
    VAL_EACH (volume, volumes) {
        const struct path *at = AT_INDEX(path, i++);
        VAL_EACH (source, volume) {
            const char *text = volume_source_deprecation(source->key);
            if (text != NULL && !val_absent(source)) {
                api_warn(ctx, AT(at, str_dup_in(ctx->arena, source->key)), "%s", text);
            }
        }
    }
}

static void repeat_warnings(struct api_context *ctx, const struct path *path,
                            const struct val *list, const char *member, const char *what)
{
    uint32_t i = 0;
    if (val_count(list) > LIST_LENGTH_MAX) {
        return;
    }
    VAL_EACH (it, list) {
        struct str value = val_text(val_get_str(it, str_of(member)));
        if (value.n == 0) {
            api_warn(ctx, AT(AT_INDEX(path, i), member), "invalid empty %s \"\"", what);
        } else if (val_find(list, member, value) != it) {
            api_warn(ctx, AT(AT_INDEX(path, i), member), "duplicate %s \"%.*s\"", what,
                     STR_ARG(value));
        }
        i++;
    }
}

const char *node_label_deprecation(struct str label)
{
    static const char *const old[][2] = {
        {"beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"},
        {"beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"},
        {"failure-domain.beta.kubernetes.io/region",
         "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"},
        {"failure-domain.beta.kubernetes.io/zone",
         "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"},
        {"beta.kubernetes.io/instance-type",
         "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"},
    };
    for (size_t o = 0; o < sizeof old / sizeof old[0]; o++) {
        if (str_is(label, old[o][0])) {
            return old[o][1];
        }
    }
    return NULL;
}

static void selector_warnings(struct api_context *ctx, const struct path *path,
                              const struct val *labels)
{
    VAL_EACH (label, labels) {
        const char *text = node_label_deprecation(label->key);
        if (text != NULL) {
            api_warn(ctx, AT_KEY(path, label->key), "%s", text);
        }
    }
}

void pod_spec_warn(struct api_context *ctx, const struct path *path, const struct val *spec)
{
    if (ctx->warnings == NULL) {
        return;
    }
    selector_warnings(ctx, AT(path, "nodeSelector"), val_get(spec, "nodeSelector"));
    uint32_t i = 0;
    VAL_EACH (constraint, val_get(spec, "topologySpreadConstraints")) {
        if (val_absent(val_get(constraint, "labelSelector"))) {
            api_warn(ctx, AT(AT_INDEX(AT(path, "topologySpreadConstraints"), i), "labelSelector"),
                     "a null labelSelector results in matching no pod");
        }
        i++;
    }
    volume_warnings(ctx, AT(path, "volumes"), val_get(spec, "volumes"));
    repeat_warnings(ctx, AT(path, "imagePullSecrets"), val_get(spec, "imagePullSecrets"), "name",
                    "name");
    container_warnings(ctx, AT(path, "initContainers"), val_get(spec, "initContainers"));
    container_warnings(ctx, AT(path, "containers"), val_get(spec, "containers"));
    if (val_int(val_get(spec, "terminationGracePeriodSeconds"), 0) < 0) {
        api_warn(ctx, AT(path, "terminationGracePeriodSeconds"),
                 "must be >= 0; negative values are invalid and will be treated as 1");
    }
}
