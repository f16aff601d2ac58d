/* rbac.c: no escalation: who writes a role must hold what it grants (or "escalate" it); who binds
 * one must hold it (or "bind" it). */
#include "server/admission/admission.h"
#include "server/authz/authz.h"
#include "server/server_int.h"

static int denied(struct admission *a, struct failure *failure)
{
    return failure_forbidden(failure, a->arena, a->resource, a->name,
                             "user \"%.*s\" is attempting to grant RBAC permissions not currently "
                             "held",
                             STR_ARG(a->request->identity->name));
}

static bool may(struct admission *a, const char *verb, const char *resource, struct str name)
{
    struct attributes attributes = {.identity = a->request->identity,
                                    .verb = str_of(verb),
                                    .group = STR("rbac.authorization.k8s.io"),
                                    .resource = str_of(resource),
                                    .ns = a->ns,
                                    .name = name};
    return authz_allows(a->request->server, &attributes, NULL, NULL);
}

static int check_role(struct admission *a, struct failure *failure)
{
    const struct val *rules = val_get(a->object, "rules");
    const struct val *old = val_get(a->old, "rules");
    if (rules == NULL || (old != NULL && val_equal(rules, old)) ||
        may(a, "escalate", a->resource->plural, a->name) ||
        authz_covers(a->request->server, a->request->identity, a->ns, rules)) {
        return 0;
    }
    return denied(a, failure);
}

static int check_binding(struct admission *a, struct failure *failure)
{
    struct server *server = a->request->server;
    const struct val *ref = val_get(a->object, "roleRef");
    struct str name = val_text(val_get(ref, "name"));
    bool cluster = str_is(val_text(val_get(ref, "kind")), "ClusterRole");
    const struct val *subjects = val_get(a->object, "subjects");
    const struct val *before = val_get(a->old, "subjects");
    if (a->old != NULL && subjects != NULL && before != NULL && val_equal(subjects, before)) {
        return 0;
    }
    if (may(a, "bind", cluster ? "clusterroles" : "roles", name)) {
        return 0;
    }
    struct object *role =
        cache_get(server->cache, cluster ? server->known.cluster_roles : server->known.roles,
                  cluster ? STR_NONE : a->ns, name);
    if (role == NULL) {
        failure_not_found(failure, a->arena,
                          cluster ? server->known.cluster_roles : server->known.roles, name);
        return failure->code;
    }
    const struct val *rules = val_get(object_decode(role, a->arena), "rules");
    bool covered = authz_covers(server, a->request->identity, a->ns, rules);
    object_unref(role);
    return covered ? 0 : denied(a, failure);
}

static int validate(struct admission *a, struct failure *failure)
{
    const struct known_resources *known = &a->request->server->known;
    if (a->operation == VERB_DELETE || a->request->identity->masters) {
        return 0;
    }
    if (admission_is(a, known->roles) || admission_is(a, known->cluster_roles)) {
        return check_role(a, failure);
    }
    if (admission_is(a, known->role_bindings) || admission_is(a, known->cluster_role_bindings)) {
        return check_binding(a, failure);
    }
    return 0;
}

const struct admission_step admission_rbac = {"RBACEscalation", NULL, NULL, validate};
