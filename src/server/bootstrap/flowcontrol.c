/* flowcontrol.c: the priority levels and flow schemas that every cluster has. Nobody acts on them;
 * tools look for them. The mandatory ones come from where their spec is checked. */
#include "api/kinds/flowcontrol/mandatory.h"
#include "server/bootstrap/bootstrap.h"
#include "server/server_int.h"

struct level_row {
    const char *name;
    int shares, lendable, queues, hand;
};
static const struct level_row level_rows[] = {
    {"system", 30, 33, 64, 6},         {"node-high", 40, 25, 64, 6},
    {"leader-election", 10, 0, 16, 4}, {"workload-high", 40, 50, 128, 6},
    {"workload-low", 100, 90, 128, 6}, {"global-default", 20, 50, 128, 6},
};

#define GROUP(name) "{\"kind\":\"Group\",\"group\":{\"name\":\"" name "\"}}"
#define USER(name)  "{\"kind\":\"User\",\"user\":{\"name\":\"" name "\"}}"
#define ACCOUNTS(ns)                                                                               \
    "{\"kind\":\"ServiceAccount\",\"serviceAccount\":{\"namespace\":\"" ns "\",\"name\":\"*\"}}"
#define RESOURCE(verbs, groups, resources, cluster)                                                \
    "{\"verbs\":[" verbs "],\"apiGroups\":[\"" groups "\"],\"resources\":[" resources "]," cluster \
    "\"namespaces\":[\"*\"]}"
#define CLUSTER "\"clusterScope\":true,"
#define EVERYTHING                                                                                 \
    "\"resourceRules\":[" RESOURCE("\"*\"", "*", "\"*\"",                                          \
                                   CLUSTER) "],\"nonResourceRules\":[{"                            \
                                            "\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]"
#define EVERYBODY GROUP("system:unauthenticated") "," GROUP("system:authenticated")

struct flow_row {
    const char *name, *level;
    int precedence;
    const char *method; /* NULL: one flow */
    const char *subjects, *rules;
};
static const struct flow_row flow_rows[] = {
    {"system-nodes", "system", 500, "ByUser", GROUP("system:nodes"), EVERYTHING},
    {"system-node-high", "node-high", 400, "ByUser", GROUP("system:nodes"),
     "\"resourceRules\":[" RESOURCE("\"*\"", "", "\"nodes\",\"nodes/status\"",
                                    CLUSTER) "," RESOURCE("\"*\"", "coordination.k8s.io",
                                                          "\"leases\"", "") "]"},
    {"probes", "exempt", 2, NULL, EVERYBODY,
     "\"nonResourceRules\":[{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/healthz\",\"/readyz\","
     "\"/livez\"]}]"},
    {"system-leader-election", "leader-election", 100, "ByUser",
     USER("system:kube-controller-manager") "," USER("system:kube-scheduler") "," ACCOUNTS(
         "kube-system"),
     "\"resourceRules\":[" RESOURCE("\"get\",\"create\",\"update\"", "coordination.k8s.io",
                                    "\"leases\"", "") "]"},
    {"kube-controller-manager", "workload-high", 800, "ByNamespace",
     USER("system:kube-controller-manager"), EVERYTHING},
    {"kube-scheduler", "workload-high", 800, "ByNamespace", USER("system:kube-scheduler"),
     EVERYTHING},
    {"kube-system-service-accounts", "workload-high", 900, "ByNamespace", ACCOUNTS("kube-system"),
     EVERYTHING},
    {"service-accounts", "workload-low", 9000, "ByUser", GROUP("system:serviceaccounts"),
     EVERYTHING},
    {"global-default", "global-default", 9900, "ByUser", EVERYBODY, EVERYTHING},
};

static void add(struct bootstrap_list *list, const struct api_resource *resource, const char *name,
                const char *spec)
{
    struct arena *arena = list->arena;
    struct bootstrap_object *object = bootstrap_add(list, resource, STR_NONE, str_of(name));
    struct val *meta = val_make_object(arena, object->value, STR("metadata"));
    struct val *annotations = val_make_object(arena, meta, STR("annotations"));
    val_set_text(arena, annotations, STR("apf.kubernetes.io/autoupdate-spec"), STR("true"));
    bootstrap_add_json(list, object, arena_printf(arena, "{\"spec\":%s}", spec));
    object->reconcile = true;
    object->compare = "spec";
}

void bootstrap_add_flowcontrol(struct bootstrap_list *list)
{
    static const char *const mandatory[] = {"exempt", "catch-all"};
    const struct str group = STR("flowcontrol.apiserver.k8s.io");
    const struct api_resource *levels =
        schema_resource(group, STR("v1"), STR("prioritylevelconfigurations"));
    const struct api_resource *flows = schema_resource(group, STR("v1"), STR("flowschemas"));
    struct arena *arena = list->arena;
    if (levels == NULL || flows == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof mandatory / sizeof *mandatory; i++) {
        add(list, levels, mandatory[i], mandatory_spec(levels->kind, str_of(mandatory[i])));
        add(list, flows, mandatory[i], mandatory_spec(flows->kind, str_of(mandatory[i])));
    }
    for (size_t i = 0; i < sizeof level_rows / sizeof *level_rows; i++) {
        const struct level_row *row = &level_rows[i];
        add(list, levels, row->name,
            arena_printf(arena,
                         "{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":%d,"
                         "\"limitResponse\":{\"type\":\"Queue\",\"queuing\":{\"queues\":%d,"
                         "\"handSize\":%d,\"queueLengthLimit\":50}},\"lendablePercent\":%d}}",
                         row->shares, row->queues, row->hand, row->lendable));
    }
    for (size_t i = 0; i < sizeof flow_rows / sizeof *flow_rows; i++) {
        const struct flow_row *row = &flow_rows[i];
        const char *method =
            row->method == NULL
                ? ""
                : arena_printf(arena, "\"distinguisherMethod\":{\"type\":\"%s\"},", row->method);
        add(list, flows, row->name,
            arena_printf(arena,
                         "{\"priorityLevelConfiguration\":{\"name\":\"%s\"},"
                         "\"matchingPrecedence\":%d,%s\"rules\":[{\"subjects\":[%s],%s}]}",
                         row->level, row->precedence, method, row->subjects, row->rules));
    }
}
