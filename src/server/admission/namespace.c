/* namespace.c: NamespaceLifecycle: objects live in namespaces that exist and are not going away;
 * the namespaces that the cluster itself needs stay. */
#include "server/admission/admission.h"
#include "server/server_int.h"

static bool is_permanent(struct str name)
{
    return str_is(name, "default") || str_is(name, "kube-system") || str_is(name, "kube-public");
}

static int terminating(struct admission *a, struct failure *failure)
{
    failure_forbidden(failure, a->arena, a->resource, a->name,
                      "unable to create new content in namespace %.*s because it is being "
                      "terminated",
                      STR_ARG(a->ns));
    struct failure_cause *cause = arena_new(a->arena, struct failure_cause);
    cause->reason = STR("NamespaceTerminating");
    cause->message =
        str_of(arena_printf(a->arena, "namespace %.*s is being terminated", STR_ARG(a->ns)));
    cause->field = STR("metadata.namespace");
    failure->causes = cause;
    failure->cause_count = 1;
    return ERR_FORBIDDEN;
}

static int mutate(struct admission *a, struct failure *failure)
{
    const struct api_resource *namespaces = a->request->server->known.namespaces;
    if (a->operation != VERB_CREATE || !a->resource->namespaced || namespaces == NULL) {
        return 0;
    }
    struct object *ns = cache_get(a->request->server->cache, namespaces, STR_NONE, a->ns);
    if (ns == NULL) {
        return failure_not_found(failure, a->arena, namespaces, a->ns);
    }
    bool deleting = ns->deleting;
    object_unref(ns);
    return deleting ? terminating(a, failure) : 0;
}

static int validate(struct admission *a, struct failure *failure)
{
    if (a->operation == VERB_DELETE && admission_is(a, a->request->server->known.namespaces) &&
        is_permanent(a->name)) {
        return failure_forbidden(failure, a->arena, a->resource, a->name,
                                 "this namespace may not be deleted");
    }
    return 0;
}

const struct admission_step admission_namespace = {"NamespaceLifecycle", mutate, NULL, validate};
