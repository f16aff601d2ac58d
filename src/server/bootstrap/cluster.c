/* cluster.c: namespaces, priority classes, the Service kubernetes and its endpoints. */
#include "api/volume_binding.h"
#include "server/address_objects.h"
#include "server/addresses.h"
#include "server/bootstrap/bootstrap.h"
#include "server/server_int.h"

static void add_namespaces(struct bootstrap_list *list)
{
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    const struct api_resource *resource = list->server->known.namespaces;
    for (size_t i = 0; resource != NULL && i < sizeof names / sizeof *names; i++) {
        bootstrap_add(list, resource, STR_NONE, str_of(names[i]));
    }
}

static void add_priorities(struct bootstrap_list *list)
{
    const struct api_resource *resource = list->server->known.priority_classes;
    if (resource == NULL) {
        return;
    }
    bootstrap_add_json(
        list, bootstrap_add(list, resource, STR_NONE, STR("system-node-critical")),
        "{\"value\":2000001000,\"description\":\"For pods that must never move from their "
        "node.\"}");
    bootstrap_add_json(
        list, bootstrap_add(list, resource, STR_NONE, STR("system-cluster-critical")),
        "{\"value\":2000000000,\"description\":\"For pods that the cluster needs, wherever "
        "they run.\"}");
}

/* Where nobody says otherwise, a claim becomes a folder on the node of its first pod. */
static void add_storage_class(struct bootstrap_list *list)
{
    const struct api_resource *resource =
        schema_resource(STR("storage.k8s.io"), STR("v1"), STR("storageclasses"));
    struct bootstrap_object *class = bootstrap_add(list, resource, STR_NONE, STR(LOCAL_CLASS));
    bootstrap_add_json(
        list, class,
        "{\"provisioner\":\"" LOCAL_PROVISIONER "\",\"reclaimPolicy\":\"Delete\","
        "\"volumeBindingMode\":\"WaitForFirstConsumer\",\"allowVolumeExpansion\":true}");
    struct val *meta = val_get(class->value, "metadata");
    val_set_text(list->arena, val_make_object(list->arena, meta, STR("annotations")),
                 STR("storageclass.kubernetes.io/is-default-class"), STR("true"));
}

static void add_service(struct bootstrap_list *list)
{
    struct server *server = list->server;
    struct arena *arena = list->arena;
    const struct server_options *o = &server->options;
    struct str ip = addresses_first(server->addresses, arena);
    if (server->known.services == NULL) {
        return;
    }
    struct bootstrap_object *service =
        bootstrap_add(list, server->known.services, STR("default"), STR("kubernetes"));
    bootstrap_add_json(
        list, service,
        arena_printf(arena,
                     "{\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"%.*s\",\"clusterIPs\":["
                     "\"%.*s\"],\"ipFamilies\":[\"IPv4\"],\"ipFamilyPolicy\":\"SingleStack\","
                     "\"ports\":[{\"name\":\"https\",\"protocol\":\"TCP\",\"port\":443,"
                     "\"targetPort\":%u}]}}",
                     STR_ARG(ip), STR_ARG(ip), o->advertise_port));
    struct val *labels = val_make_object(arena, val_get(service->value, "metadata"), STR("labels"));
    val_set_text(arena, labels, STR("component"), STR("apiserver"));
    val_set_text(arena, labels, STR("provider"), STR("kubernetes"));
    if (server->known.ip_addresses != NULL) {
        struct bootstrap_object *address =
            bootstrap_add(list, server->known.ip_addresses, STR_NONE, ip);
        bootstrap_add_json(list, address,
                           address_object_text(arena, STR("default"), STR("kubernetes")));
        address_object_label(arena, val_get(address->value, "metadata"));
    }
}

static void add_endpoints(struct bootstrap_list *list)
{
    struct server *server = list->server;
    struct arena *arena = list->arena;
    const struct server_options *o = &server->options;
    if (o->advertise_address.n == 0) {
        return;
    }
    if (server->known.endpoints != NULL) {
        struct bootstrap_object *endpoints =
            bootstrap_add(list, server->known.endpoints, STR("default"), STR("kubernetes"));
        bootstrap_add_json(
            list, endpoints,
            arena_printf(arena,
                         "{\"subsets\":[{\"addresses\":[{\"ip\":\"%.*s\"}],\"ports\":[{"
                         "\"name\":\"https\",\"port\":%u,\"protocol\":\"TCP\"}]}]}",
                         STR_ARG(o->advertise_address), o->advertise_port));
        val_set_text(arena,
                     val_make_object(arena, val_get(endpoints->value, "metadata"), STR("labels")),
                     STR("endpointslice.kubernetes.io/skip-mirror"), STR("true"));
        endpoints->reconcile = true;
        endpoints->compare = "subsets";
    }
    if (server->known.slices != NULL) {
        struct bootstrap_object *slice =
            bootstrap_add(list, server->known.slices, STR("default"), STR("kubernetes"));
        bootstrap_add_json(
            list, slice,
            arena_printf(arena,
                         "{\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"%.*s\"],"
                         "\"conditions\":{\"ready\":true}}],\"ports\":[{\"name\":\"https\","
                         "\"protocol\":\"TCP\",\"port\":%u}]}",
                         STR_ARG(o->advertise_address), o->advertise_port));
        val_set_text(arena,
                     val_make_object(arena, val_get(slice->value, "metadata"), STR("labels")),
                     STR("kubernetes.io/service-name"), STR("kubernetes"));
        slice->reconcile = true;
        slice->compare = "endpoints ports";
    }
}

void bootstrap_add_cluster(struct bootstrap_list *list)
{
    add_namespaces(list);
    add_priorities(list);
    add_storage_class(list);
    add_service(list);
    add_endpoints(list);
}
