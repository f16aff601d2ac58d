/* reset.c: the rule and its exceptions. See reset.h.
 *
 * The rule: the main resource does not own a status that has a subresource; /status owns nothing
 * but it, so neither spec nor metadata. Kinds that keep metadata of a status write have a row.
 */
#include "api/managed/reset.h"

#include "api/field_set.h"

static const char *const none[] = {NULL};
static const char *const status[] = {"status", NULL};
static const char *const all_but_status[] = {"spec", "metadata", NULL};
static const char *const spec[] = {"spec", NULL};
static const char *const spec_and_labels[] = {"spec", "metadata.labels", NULL};
static const char *const of_pod_status[] = {"spec", "metadata.deletionTimestamp",
                                            "metadata.ownerReferences", NULL};
static const char *const of_request[] = {"spec", "status", NULL};
static const char *const of_request_status[] = {"spec", "status.conditions", NULL};
static const char *const of_approval[] = {"spec", "status.certificate", NULL};
static const char *const of_ephemeral[] = {"+spec.ephemeralContainers", NULL};
static const char *const of_resize[] = {
    "+spec.containers.*.resources", "+spec.containers.*.resizePolicy",
    "+spec.initContainers.*.resources", "+spec.initContainers.*.resizePolicy", NULL};

static const struct row {
    const char *group, *plural, *subresource;
    const char *const *paths;
} rows[] = {
    {"", "namespaces", "status", spec},
    {"", "namespaces", "finalize", status},
    {"", "nodes", "status", spec},
    {"", "persistentvolumeclaims", "status", spec},
    {"", "persistentvolumes", "status", spec},
    {"", "pods", "ephemeralcontainers", of_ephemeral},
    {"", "pods", "resize", of_resize},
    {"", "pods", "status", of_pod_status},
    {"", "replicationcontrollers", "status", spec},
    {"", "resourcequotas", "status", spec},
    {"", "services", "status", spec},
    {"apiextensions.k8s.io", "customresourcedefinitions", "", none},
    {"apiextensions.k8s.io", "customresourcedefinitions", "status", none},
    {"apps", "daemonsets", "status", spec},
    {"apps", "deployments", "status", spec_and_labels},
    {"apps", "replicasets", "status", spec},
    {"apps", "statefulsets", "status", spec},
    {"autoscaling", "horizontalpodautoscalers", "status", spec},
    {"batch", "cronjobs", "status", spec},
    {"batch", "jobs", "status", spec},
    {"certificates.k8s.io", "certificatesigningrequests", "", of_request},
    {"certificates.k8s.io", "certificatesigningrequests", "status", of_request_status},
    {"certificates.k8s.io", "certificatesigningrequests", "approval", of_approval},
    {"networking.k8s.io", "ingresses", "status", spec},
    {"policy", "poddisruptionbudgets", "status", spec},
};

const char *const *reset_paths(const struct api_resource *resource, struct str subresource)
{
    bool has_status = schema_subresource(resource, STR("status")) != NULL;
    if (!has_status && subresource.n == 0) {
        return none;
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        if (str_is(subresource, row->subresource) && strcmp(row->plural, resource->plural) == 0 &&
            strcmp(row->group, resource->group) == 0) {
            return row->paths;
        }
    }
    return str_is(subresource, "status") ? all_but_status : subresource.n == 0 ? status : none;
}

static bool is_element(struct str key, struct str name)
{
    return key.n == name.n + 2 && key.p[0] == 'f' && memcmp(key.p + 2, name.p, name.n) == 0;
}

/* The member under a list of its own: nodes are linked to their siblings. */
static struct val *append_copy(struct arena *arena, struct val *made, const struct val *member)
{
    struct val *copy = val_new(arena, VAL_OBJECT);
    *copy = *member;
    copy->next = NULL;
    return val_append(made, copy);
}

static struct val *finish(struct val *made)
{
    if (made->count == 1 && str_is(made->child->key, ".")) { /* {".":{}} is written {} */
        made->child = made->last = NULL;
        made->count = 0;
        return made;
    }
    return made->count > 0 ? made : NULL;
}

/* Without the path and what is below it. */
static struct val *without(struct arena *arena, struct val *node, struct str path)
{
    struct str rest, name = str_cut(path, '.', &rest);
    struct val *made = val_new(arena, VAL_OBJECT);
    bool found = false;
    made->key = node->key;
    VAL_EACH (it, node) {
        if (!is_element(it->key, name)) {
            append_copy(arena, made, it);
            continue;
        }
        struct val *inner = rest.p == NULL ? NULL : it->count == 0 ? it : without(arena, it, rest);
        found = true;
        if (inner != NULL) {
            append_copy(arena, made, inner);
        }
    }
    return found ? finish(made) : node;
}

/* Only what the path leads to. */
static struct val *only(struct arena *arena, struct val *node, struct str path)
{
    struct str rest, name = str_cut(path, '.', &rest);
    struct val *made = val_new(arena, VAL_OBJECT);
    made->key = node->key;
    VAL_EACH (it, node) {
        bool matches = str_is(name, "*") ? !str_is(it->key, ".") : is_element(it->key, name);
        struct val *inner = !matches ? NULL : rest.p == NULL ? it : only(arena, it, rest);
        if (inner != NULL) {
            append_copy(arena, made, inner);
        }
    }
    return finish(made);
}

struct val *reset_filter(struct arena *arena, const char *const *paths, struct val *set)
{
    struct val *kept = NULL;
    bool includes = *paths != NULL && **paths == '+';
    if (set == NULL || includes) {
        for (; set != NULL && *paths != NULL; paths++) {
            kept = field_set_union(arena, kept, only(arena, set, str_of(*paths + 1)));
        }
        return kept;
    }
    for (; set != NULL && *paths != NULL; paths++) {
        set = without(arena, set, str_of(*paths));
    }
    return set;
}
