/* groups.c: an APIService for every group version that is served here, and the range of the
 * cluster's Services as a ServiceCIDR. */
#include "api/discovery.h"
#include "base/clock.h"
#include "server/addresses.h"
#include "server/bootstrap/bootstrap.h"
#include "server/server_int.h"

enum { VERSIONS_MAX = 128, GROUP_OTHER = 1000, VERSION_OTHER = 15 };

struct priority_row {
    const char *group;
    int priority;
};
/* Upstream's numbers: clients sort by them. */
static const struct priority_row priority_rows[] = {
    {"", 18000},
    {"apps", 17800},
    {"events.k8s.io", 17750},
    {"authentication.k8s.io", 17700},
    {"authorization.k8s.io", 17600},
    {"autoscaling", 17500},
    {"batch", 17400},
    {"certificates.k8s.io", 17300},
    {"networking.k8s.io", 17200},
    {"policy", 17100},
    {"rbac.authorization.k8s.io", 17000},
    {"storage.k8s.io", 16800},
    {"apiextensions.k8s.io", 16700},
    {"admissionregistration.k8s.io", 16700},
    {"scheduling.k8s.io", 16600},
    {"coordination.k8s.io", 16500},
    {"node.k8s.io", 16300},
    {"discovery.k8s.io", 16200},
    {"resource.k8s.io", 16200},
    {"flowcontrol.apiserver.k8s.io", 16100},
    {"storagemigration.k8s.io", 15800},
};
struct version_row {
    const char *group, *version; /* group NULL: any */
    int priority;
};
static const struct version_row version_rows[] = {
    {"", "v1", 1},
    {"autoscaling", "v2", 30},
    {"flowcontrol.apiserver.k8s.io", "v1", 21},
    {"resource.k8s.io", "v1", 21},
    {"resource.k8s.io", "v1beta2", 15},
    {NULL, "v1beta1", 9},
};

static int group_priority(const char *group)
{
    for (size_t i = 0; i < sizeof priority_rows / sizeof *priority_rows; i++) {
        if (strcmp(priority_rows[i].group, group) == 0) {
            return priority_rows[i].priority;
        }
    }
    return GROUP_OTHER;
}

static int version_priority(const struct api_group_version *gv)
{
    for (size_t i = 0; i < sizeof version_rows / sizeof *version_rows; i++) {
        const struct version_row *row = &version_rows[i];
        if ((row->group == NULL || strcmp(row->group, gv->group) == 0) &&
            strcmp(row->version, gv->version) == 0) {
            return row->priority;
        }
    }
    return VERSION_OTHER;
}

static void add_group(struct bootstrap_list *list, const struct api_resource *resource,
                      const struct api_group_version *gv)
{
    struct arena *arena = list->arena;
    char *name = arena_printf(arena, "%s.%s", gv->version, gv->group);
    struct bootstrap_object *object = bootstrap_add(list, resource, STR_NONE, str_of(name));
    struct val *meta = val_make_object(arena, object->value, STR("metadata"));
    val_set_text(arena, val_make_object(arena, meta, STR("labels")),
                 STR("kube-aggregator.kubernetes.io/automanaged"), STR("onstart"));
    const char *group =
        gv->group[0] != '\0' ? arena_printf(arena, "\"group\":\"%s\",", gv->group) : "";
    bootstrap_add_json(list, object,
                       arena_printf(arena,
                                    "{\"spec\":{%s\"version\":\"%s\",\"groupPriorityMinimum\":%d,"
                                    "\"versionPriority\":%d}}",
                                    group, gv->version, group_priority(gv->group),
                                    version_priority(gv)));
    object->reconcile = true;
    object->compare = "spec";
}

static void add_range(struct bootstrap_list *list)
{
    struct server *server = list->server;
    const struct api_resource *resource =
        schema_resource(STR("networking.k8s.io"), STR("v1"), STR("servicecidrs"));
    char now[TIME_TEXT_SIZE];
    size_t n = time_format(clock_wall(loop_clock(server->home)), now);
    if (resource == NULL || server->options.service_cidr.n == 0) {
        return;
    }
    struct bootstrap_object *object = bootstrap_add(list, resource, STR_NONE, STR("kubernetes"));
    bootstrap_add_json(
        list, object,
        arena_printf(
            list->arena,
            "{\"spec\":{\"cidrs\":[\"%.*s\"]},\"status\":{\"conditions\":[{\"type\":"
            "\"Ready\",\"status\":\"True\",\"lastTransitionTime\":\"%.*s\",\"reason\":\"\","
            "\"message\":\"Kubernetes Service CIDR is ready\"}]}}",
            STR_ARG(server->options.service_cidr), (int)n, now));
}

void bootstrap_add_groups(struct bootstrap_list *list)
{
    const struct api_resource *resource =
        schema_resource(STR("apiregistration.k8s.io"), STR("v1"), STR("apiservices"));
    struct api_group_version rows[VERSIONS_MAX];
    size_t count = catalog_versions(catalog_builtin(), rows, VERSIONS_MAX);
    for (size_t i = 0; resource != NULL && i < count; i++) {
        add_group(list, resource, &rows[i]);
    }
    add_range(list);
}
