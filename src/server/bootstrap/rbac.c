/* rbac.c: default ClusterRoles and bindings, as data (names and powers are upstream's documented
 * ones, narrowed: no wildcard but for cluster-admin and the controllers that need one; view has no
 * Secrets; edit and admin cannot write Endpoints or EndpointSlices, CVE-2021-25740).
 *
 * A row is one rule; rows of a role follow each other. Verbs: "r" reads, "w" writes, else words.
 */
#include "server/bootstrap/bootstrap.h"
#include "server/server_int.h"

struct rule_row {
    const char *role, *groups, *resources, *verbs, *names;
};

#define READ   "get list watch"
#define WRITE  "create delete deletecollection patch update"
#define EVENTS "create patch update"
#define CORE   "-" /* the group "" */

static const struct rule_row rule_rows[] = {
    {"cluster-admin", "*", "*", "*", NULL},
    {"cluster-admin", NULL, "*", "*", NULL}, /* groups NULL: paths */

    {"system:discovery", NULL,
     "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
     "get", NULL},
    {"system:public-info-viewer", NULL, "/healthz /livez /readyz /version /version/", "get", NULL},
    {"system:monitoring", NULL,
     "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*", "get", NULL},
    {"system:service-account-issuer-discovery", NULL,
     "/.well-known/openid-configuration /openid/v1/jwks", "get", NULL},
    {"system:basic-user", "authorization.k8s.io",
     "selfsubjectaccessreviews selfsubjectrulesreviews", "create", NULL},
    {"system:basic-user", "authentication.k8s.io", "selfsubjectreviews", "create", NULL},
    {"system:auth-delegator", "authentication.k8s.io", "tokenreviews", "create", NULL},
    {"system:auth-delegator", "authorization.k8s.io", "subjectaccessreviews", "create", NULL},

    /* ---- for people ---- */
    {"view", CORE,
     "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
     "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status "
     "bindings events limitranges namespaces/status pods/log pods/status "
     "replicationcontrollers/status resourcequotas resourcequotas/status namespaces",
     READ, NULL},
    {"view", "apps",
     "controllerrevisions daemonsets daemonsets/status deployments deployments/scale "
     "deployments/status replicasets replicasets/scale replicasets/status statefulsets "
     "statefulsets/scale statefulsets/status",
     READ, NULL},
    {"view", "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ, NULL},
    {"view", "batch", "cronjobs cronjobs/status jobs jobs/status", READ, NULL},
    {"view", "policy", "poddisruptionbudgets poddisruptionbudgets/status", READ, NULL},
    {"view", "networking.k8s.io", "ingresses ingresses/status networkpolicies", READ, NULL},
    {"view", "discovery.k8s.io", "endpointslices", READ, NULL},
    {"view", "events.k8s.io", "events", READ, NULL},
    {"view", "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates", READ,
     NULL},

    {"edit", CORE,
     "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
     "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status "
     "bindings events limitranges namespaces/status pods/log pods/status "
     "replicationcontrollers/status resourcequotas resourcequotas/status namespaces secrets "
     "pods/attach pods/exec pods/portforward pods/proxy services/proxy",
     READ, NULL},
    {"edit", CORE, "serviceaccounts", "impersonate", NULL},
    {"edit", CORE, "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE, NULL},
    {"edit", CORE, "pods/eviction serviceaccounts/token", "create", NULL},
    {"edit", CORE,
     "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale "
     "secrets serviceaccounts services services/proxy",
     WRITE, NULL},
    {"edit", "apps",
     "controllerrevisions daemonsets daemonsets/status deployments deployments/scale "
     "deployments/status replicasets replicasets/scale replicasets/status statefulsets "
     "statefulsets/scale statefulsets/status",
     READ, NULL},
    {"edit", "apps",
     "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale "
     "statefulsets statefulsets/scale",
     WRITE, NULL},
    {"edit", "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ, NULL},
    {"edit", "autoscaling", "horizontalpodautoscalers", WRITE, NULL},
    {"edit", "batch", "cronjobs cronjobs/status jobs jobs/status", READ, NULL},
    {"edit", "batch", "cronjobs jobs", WRITE, NULL},
    {"edit", "policy", "poddisruptionbudgets poddisruptionbudgets/status", READ, NULL},
    {"edit", "policy", "poddisruptionbudgets", WRITE, NULL},
    {"edit", "networking.k8s.io", "ingresses ingresses/status networkpolicies", READ, NULL},
    {"edit", "networking.k8s.io", "ingresses networkpolicies", WRITE, NULL},
    {"edit", "discovery.k8s.io", "endpointslices", READ, NULL},
    {"edit", "events.k8s.io", "events", READ, NULL},
    {"edit", "coordination.k8s.io", "leases", READ " " WRITE, NULL},
    {"edit", "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates", READ,
     NULL},
    {"edit", "resource.k8s.io", "resourceclaims resourceclaimtemplates", WRITE, NULL},

    {"admin", CORE,
     "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
     "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status "
     "bindings events limitranges namespaces/status pods/log pods/status "
     "replicationcontrollers/status resourcequotas resourcequotas/status namespaces secrets "
     "pods/attach pods/exec pods/portforward pods/proxy services/proxy",
     READ, NULL},
    {"admin", CORE, "serviceaccounts", "impersonate", NULL},
    {"admin", CORE, "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE, NULL},
    {"admin", CORE, "pods/eviction serviceaccounts/token", "create", NULL},
    {"admin", CORE,
     "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale "
     "secrets serviceaccounts services services/proxy",
     WRITE, NULL},
    {"admin", "apps",
     "controllerrevisions daemonsets daemonsets/status deployments deployments/scale "
     "deployments/status replicasets replicasets/scale replicasets/status statefulsets "
     "statefulsets/scale statefulsets/status",
     READ, NULL},
    {"admin", "apps",
     "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale "
     "statefulsets statefulsets/scale",
     WRITE, NULL},
    {"admin", "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ,
     NULL},
    {"admin", "autoscaling", "horizontalpodautoscalers", WRITE, NULL},
    {"admin", "batch", "cronjobs cronjobs/status jobs jobs/status", READ, NULL},
    {"admin", "batch", "cronjobs jobs", WRITE, NULL},
    {"admin", "policy", "poddisruptionbudgets poddisruptionbudgets/status", READ, NULL},
    {"admin", "policy", "poddisruptionbudgets", WRITE, NULL},
    {"admin", "networking.k8s.io", "ingresses ingresses/status networkpolicies", READ, NULL},
    {"admin", "networking.k8s.io", "ingresses networkpolicies", WRITE, NULL},
    {"admin", "discovery.k8s.io", "endpointslices", READ, NULL},
    {"admin", "events.k8s.io", "events", READ, NULL},
    {"admin", "coordination.k8s.io", "leases", READ " " WRITE, NULL},
    {"admin", "authorization.k8s.io", "localsubjectaccessreviews", "create", NULL},
    {"admin", "rbac.authorization.k8s.io", "roles rolebindings", READ " " WRITE, NULL},
    {"admin", "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates",
     READ, NULL},
    {"admin", "resource.k8s.io", "resourceclaims resourceclaimtemplates", WRITE, NULL},

    /* ---- for parts of the cluster ---- */
    {"system:kube-scheduler", CORE, "events", EVENTS, NULL},
    {"system:kube-scheduler", "events.k8s.io", "events", EVENTS, NULL},
    {"system:kube-scheduler", "coordination.k8s.io", "leases", "create get list patch update watch",
     NULL},
    {"system:kube-scheduler", CORE,
     "nodes namespaces services replicationcontrollers persistentvolumeclaims persistentvolumes",
     READ, NULL},
    {"system:kube-scheduler", CORE, "pods", "delete get list watch", NULL},
    {"system:kube-scheduler", CORE, "bindings pods/binding", "create", NULL},
    {"system:kube-scheduler", CORE, "pods/status", "patch update", NULL},
    {"system:kube-scheduler", CORE, "persistentvolumeclaims persistentvolumes", "patch update",
     NULL},
    {"system:kube-scheduler", "apps", "replicasets statefulsets", READ, NULL},
    {"system:kube-scheduler", "policy", "poddisruptionbudgets", READ, NULL},
    {"system:kube-scheduler", "scheduling.k8s.io", "priorityclasses", READ, NULL},
    {"system:kube-scheduler", "storage.k8s.io",
     "csinodes csidrivers csistoragecapacities storageclasses volumeattachments", READ, NULL},
    {"system:kube-scheduler", "resource.k8s.io", "deviceclasses resourceslices resourceclaims",
     READ, NULL},
    {"system:kube-scheduler", "resource.k8s.io", "resourceclaims/status", "patch update", NULL},

    {"system:kube-controller-manager", CORE, "events", EVENTS, NULL},
    {"system:kube-controller-manager", "events.k8s.io", "events", EVENTS, NULL},
    {"system:kube-controller-manager", "*", "*", "list watch", NULL},
    {"system:kube-controller-manager", CORE, "serviceaccounts secrets configmaps namespaces",
     "create get update", NULL},
    {"system:kube-controller-manager", CORE, "serviceaccounts/token", "create", NULL},
    {"system:kube-controller-manager", "authentication.k8s.io", "tokenreviews", "create", NULL},
    {"system:kube-controller-manager", "authorization.k8s.io", "subjectaccessreviews", "create",
     NULL},
    {"system:kube-controller-manager", "coordination.k8s.io", "leases", "create get update", NULL},

    {"system:node-proxier", CORE, "services endpoints nodes", READ, NULL},
    {"system:node-proxier", "discovery.k8s.io", "endpointslices", READ, NULL},
    {"system:node-proxier", CORE, "events", EVENTS, NULL},
    {"system:kube-dns", CORE, "endpoints services namespaces pods", "list watch", NULL},
    {"system:kube-dns", "discovery.k8s.io", "endpointslices", "list watch", NULL},
    {"system:kubelet-api-admin", CORE, "nodes", READ, NULL},
    {"system:kubelet-api-admin", CORE,
     "nodes/proxy nodes/log nodes/metrics nodes/pods nodes/stats nodes/healthz nodes/configz", "*",
     NULL},

    {"system:controller:deployment-controller", "apps", "deployments",
     "get list patch update watch", NULL},
    {"system:controller:deployment-controller", "apps", "deployments/status deployments/finalizers",
     "patch update", NULL},
    {"system:controller:deployment-controller", "apps", "replicasets",
     "create delete get list patch update watch", NULL},
    {"system:controller:deployment-controller", CORE, "pods", "get list patch update watch", NULL},
    {"system:controller:deployment-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:replicaset-controller", "apps", "replicasets",
     "get list patch update watch", NULL},
    {"system:controller:replicaset-controller", "apps", "replicasets/status replicasets/finalizers",
     "patch update", NULL},
    {"system:controller:replicaset-controller", CORE, "pods",
     "create delete get list patch update watch", NULL},
    {"system:controller:replicaset-controller", CORE, "nodes", READ, NULL},
    {"system:controller:replicaset-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:replication-controller", CORE, "replicationcontrollers",
     "get list patch update watch", NULL},
    {"system:controller:replication-controller", CORE,
     "replicationcontrollers/status replicationcontrollers/finalizers", "patch update", NULL},
    {"system:controller:replication-controller", CORE, "pods",
     "create delete get list patch update watch", NULL},
    {"system:controller:replication-controller", CORE, "nodes", READ, NULL},
    {"system:controller:replication-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:daemon-set-controller", "apps", "daemonsets", READ, NULL},
    {"system:controller:daemon-set-controller", "apps", "daemonsets/status daemonsets/finalizers",
     "patch update", NULL},
    {"system:controller:daemon-set-controller", CORE, "nodes", READ, NULL},
    {"system:controller:daemon-set-controller", CORE, "pods",
     "create delete get list patch update watch", NULL},
    {"system:controller:daemon-set-controller", CORE, "pods/binding", "create", NULL},
    {"system:controller:daemon-set-controller", "apps", "controllerrevisions",
     "create delete get list patch update watch", NULL},
    {"system:controller:daemon-set-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:disruption-controller", "apps", "deployments replicasets statefulsets",
     READ, NULL},
    {"system:controller:disruption-controller", CORE, "replicationcontrollers", READ, NULL},
    {"system:controller:disruption-controller", "policy", "poddisruptionbudgets", READ, NULL},
    {"system:controller:disruption-controller", "policy", "poddisruptionbudgets/status",
     "patch update", NULL},
    {"system:controller:disruption-controller", CORE, "pods", READ, NULL},
    {"system:controller:disruption-controller", CORE, "pods/status", "patch update", NULL},
    {"system:controller:disruption-controller", "*", "*/scale", "get", NULL},
    {"system:controller:disruption-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:persistent-volume-binder", CORE, "persistentvolumes",
     "create delete get list patch update watch", NULL},
    {"system:controller:persistent-volume-binder", CORE, "persistentvolumes/status", "patch update",
     NULL},
    {"system:controller:persistent-volume-binder", CORE, "persistentvolumeclaims",
     "get list patch update watch", NULL},
    {"system:controller:persistent-volume-binder", CORE, "persistentvolumeclaims/status",
     "patch update", NULL},
    {"system:controller:persistent-volume-binder", "storage.k8s.io", "storageclasses", READ, NULL},
    {"system:controller:persistent-volume-binder", CORE, "nodes", READ, NULL},
    {"system:controller:persistent-volume-binder", CORE, "events", EVENTS, NULL},
    {"system:controller:statefulset-controller", "apps", "statefulsets",
     "get list patch update watch", NULL},
    {"system:controller:statefulset-controller", "apps",
     "statefulsets/status statefulsets/finalizers", "patch update", NULL},
    {"system:controller:statefulset-controller", CORE, "pods",
     "create delete get list patch update watch", NULL},
    {"system:controller:statefulset-controller", "apps", "controllerrevisions",
     "create delete get list patch update watch", NULL},
    {"system:controller:statefulset-controller", CORE, "persistentvolumeclaims",
     "create delete get list patch update watch", NULL},
    {"system:controller:statefulset-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:job-controller", "batch", "jobs", "get list patch update watch", NULL},
    {"system:controller:job-controller", "batch", "jobs/status jobs/finalizers", "patch update",
     NULL},
    {"system:controller:job-controller", CORE, "pods", "create delete get list patch update watch",
     NULL},
    {"system:controller:job-controller", CORE, "pods/status", "patch update", NULL},
    {"system:controller:job-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:cronjob-controller", "batch", "cronjobs", "get list patch update watch",
     NULL},
    {"system:controller:cronjob-controller", "batch", "cronjobs/status cronjobs/finalizers",
     "patch update", NULL},
    {"system:controller:cronjob-controller", "batch", "jobs",
     "create delete get list patch update watch", NULL},
    {"system:controller:cronjob-controller", CORE, "pods", "delete list", NULL},
    {"system:controller:cronjob-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:ttl-after-finished-controller", "batch", "jobs", "delete get list watch",
     NULL},
    {"system:controller:ttl-after-finished-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:endpoint-controller", CORE, "pods services nodes", READ, NULL},
    {"system:controller:endpoint-controller", CORE, "endpoints",
     "create delete get list patch update watch", NULL},
    {"system:controller:endpoint-controller", CORE, "endpoints/restricted", "create", NULL},
    {"system:controller:endpoint-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:endpointslice-controller", CORE, "pods services nodes", READ, NULL},
    {"system:controller:endpointslice-controller", CORE, "services/finalizers", "update", NULL},
    {"system:controller:endpointslice-controller", "discovery.k8s.io", "endpointslices",
     "create delete get list patch update watch", NULL},
    {"system:controller:endpointslice-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:endpointslicemirroring-controller", CORE, "endpoints services", READ, NULL},
    {"system:controller:endpointslicemirroring-controller", CORE,
     "endpoints/finalizers services/finalizers", "update", NULL},
    {"system:controller:endpointslicemirroring-controller", "discovery.k8s.io", "endpointslices",
     "create delete get list patch update watch", NULL},
    {"system:controller:endpointslicemirroring-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:namespace-controller", CORE, "namespaces", "delete get list patch watch",
     NULL},
    {"system:controller:namespace-controller", CORE, "namespaces/finalize namespaces/status",
     "patch update", NULL},
    {"system:controller:namespace-controller", "*", "*",
     "delete deletecollection get list patch update watch", NULL},
    {"system:controller:generic-garbage-collector", "*", "*", "delete get list patch update watch",
     NULL},
    {"system:controller:generic-garbage-collector", CORE, "events", EVENTS, NULL},
    {"system:controller:service-account-controller", CORE, "serviceaccounts",
     "create get list patch update watch", NULL},
    {"system:controller:service-account-controller", CORE, "namespaces", READ, NULL},
    {"system:controller:service-account-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:root-ca-cert-publisher", CORE, "configmaps",
     "create get list patch update watch", NULL},
    {"system:controller:root-ca-cert-publisher", CORE, "namespaces", READ, NULL},
    {"system:controller:root-ca-cert-publisher", CORE, "events", EVENTS, NULL},
    {"system:controller:node-controller", CORE, "nodes", "delete get list patch update watch",
     NULL},
    {"system:controller:node-controller", CORE, "nodes/status", "patch update", NULL},
    {"system:controller:node-controller", CORE, "pods", "delete get list watch", NULL},
    {"system:controller:node-controller", CORE, "pods/status", "patch update", NULL},
    {"system:controller:node-controller", "coordination.k8s.io", "leases", "delete get list watch",
     NULL},
    {"system:controller:node-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:resourcequota-controller", "*", "*", "list watch", NULL},
    {"system:controller:resourcequota-controller", CORE, "resourcequotas/status", "update", NULL},
    {"system:controller:resourcequota-controller", CORE, "events", EVENTS, NULL},
    {"system:controller:pod-garbage-collector", CORE, "pods", "delete get list watch", NULL},
    {"system:controller:pod-garbage-collector", CORE, "pods/status", "patch", NULL},
    {"system:controller:pod-garbage-collector", CORE, "nodes", READ, NULL},
    {"system:controller:pod-garbage-collector", CORE, "events", EVENTS, NULL},
};

struct binding_row {
    const char *name, *role, *kind, *subject, *ns;
};

static const struct binding_row binding_rows[] = {
    {"cluster-admin", "cluster-admin", "Group", "system:masters", NULL},
    {"system:discovery", "system:discovery", "Group", "system:authenticated", NULL},
    {"system:basic-user", "system:basic-user", "Group", "system:authenticated", NULL},
    {"system:public-info-viewer", "system:public-info-viewer", "Group", "system:authenticated",
     NULL},
    {"system:monitoring", "system:monitoring", "Group", "system:monitoring", NULL},
    {"system:service-account-issuer-discovery", "system:service-account-issuer-discovery", "Group",
     "system:serviceaccounts", NULL},
    {"system:kube-scheduler", "system:kube-scheduler", "User", "system:kube-scheduler", NULL},
    {"system:kube-controller-manager", "system:kube-controller-manager", "User",
     "system:kube-controller-manager", NULL},
    {"system:node-proxier", "system:node-proxier", "User", "system:kube-proxy", NULL},
    {"system:kube-dns", "system:kube-dns", "ServiceAccount", "kube-dns", "kube-system"},
    {"cox:root-ca-certificate-publisher", "system:controller:root-ca-cert-publisher",
     "ServiceAccount", "root-ca-certificate-publisher", "kube-system"},
    {"cox:administrators", "cluster-admin", "Group", "cox:administrators", NULL},
};

static void set_words(struct arena *arena, struct val *object, const char *key, const char *words)
{
    struct val *list = val_set(object, str_of(key), val_new(arena, VAL_ARRAY));
    struct str rest = str_of(words);
    while (rest.p != NULL) {
        struct str word = str_cut(rest, ' ', &rest);
        if (word.n > 0) {
            val_append(list, val_new_text(arena, str_is(word, CORE) ? STR("") : word));
        }
    }
}

static struct val *rule_of(struct arena *arena, const struct rule_row *row)
{
    struct val *rule = val_new(arena, VAL_OBJECT);
    set_words(arena, rule, "verbs", row->verbs);
    if (row->groups == NULL) {
        set_words(arena, rule, "nonResourceURLs", row->resources);
        return rule;
    }
    set_words(arena, rule, "apiGroups", row->groups);
    set_words(arena, rule, "resources", row->resources);
    if (row->names != NULL) {
        set_words(arena, rule, "resourceNames", row->names);
    }
    return rule;
}

static void mark(struct arena *arena, struct bootstrap_object *object)
{
    struct val *meta = val_get(object->value, "metadata");
    val_set_text(arena, val_make_object(arena, meta, STR("labels")),
                 STR("kubernetes.io/bootstrapping"), STR("rbac-defaults"));
    val_set_text(arena, val_make_object(arena, meta, STR("annotations")),
                 STR("rbac.authorization.kubernetes.io/autoupdate"), STR("true"));
    object->reconcile = true;
}

static void bind(struct bootstrap_list *list, const char *name, const char *role, const char *kind,
                 const char *subject, const char *ns)
{
    struct arena *arena = list->arena;
    struct bootstrap_object *object =
        bootstrap_add(list, list->server->known.cluster_role_bindings, STR_NONE, str_of(name));
    mark(arena, object);
    object->compare = "subjects";
    struct val *ref = val_set(object->value, STR("roleRef"), val_new(arena, VAL_OBJECT));
    val_set_text(arena, ref, STR("apiGroup"), STR("rbac.authorization.k8s.io"));
    val_set_text(arena, ref, STR("kind"), STR("ClusterRole"));
    val_set_text(arena, ref, STR("name"), str_of(role));
    struct val *subjects = val_set(object->value, STR("subjects"), val_new(arena, VAL_ARRAY));
    struct val *s = val_append(subjects, val_new(arena, VAL_OBJECT));
    val_set_text(arena, s, STR("kind"), str_of(kind));
    if (ns == NULL) {
        val_set_text(arena, s, STR("apiGroup"), STR("rbac.authorization.k8s.io"));
    }
    val_set_text(arena, s, STR("name"), str_of(subject));
    if (ns != NULL) {
        val_set_text(arena, s, STR("namespace"), str_of(ns));
    }
}

static void add_role(struct bootstrap_list *list, size_t first, size_t end)
{
    struct arena *arena = list->arena;
    const char *name = rule_rows[first].role;
    struct bootstrap_object *object =
        bootstrap_add(list, list->server->known.cluster_roles, STR_NONE, str_of(name));
    mark(arena, object);
    object->compare = "rules";
    struct val *rules = val_set(object->value, STR("rules"), val_new(arena, VAL_ARRAY));
    for (size_t i = first; i < end; i++) {
        val_append(rules, rule_of(arena, &rule_rows[i]));
    }
    static const char prefix[] = "system:controller:";
    if (str_starts(str_of(name), str_of(prefix))) {
        bind(list, name, name, "ServiceAccount", name + sizeof prefix - 1, "kube-system");
    }
}

void bootstrap_add_rbac(struct bootstrap_list *list)
{
    const struct known_resources *known = &list->server->known;
    if (known->cluster_roles == NULL || known->cluster_role_bindings == NULL) {
        return;
    }
    size_t count = sizeof rule_rows / sizeof *rule_rows, first = 0;
    for (size_t i = 1; i <= count; i++) {
        if (i == count || !str_is(str_of(rule_rows[i].role), rule_rows[first].role)) {
            add_role(list, first, i);
            first = i;
        }
    }
    for (size_t i = 0; i < sizeof binding_rows / sizeof *binding_rows; i++) {
        const struct binding_row *b = &binding_rows[i];
        bind(list, b->name, b->role, b->kind, b->subject, b->ns);
    }
}
