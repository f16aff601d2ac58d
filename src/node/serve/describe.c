/* describe.c: what the agent knows, as JSON: /pods (what it was told), /runningpods (what runs),
 * /configz (how it is set up, as upstream's KubeletConfiguration). */
#include <stdlib.h>

#include "base/mem.h"
#include "node/serve/streams.h"

void serve_pods(struct serve_request *request)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
    bool first = true;
    MAP_EACH (it, &request->agent->pod_entries) {
        const struct pod_entry *entry = it->value;
        if (entry->worker->view->object == NULL) {
            continue;
        }
        if (!first) {
            buf_char(&out, ',');
        }
        object_write(entry->worker->view->object, false, &out);
        first = false;
    }
    buf_addz(&out, "]}\n");
    serve_text(request->exchange, 200, "application/json", buf_view(&out));
}

/* Name, namespace, uid and containers, from the runtime's point of view. */
static struct val *running_pod(struct arena *a, const struct pod_entry *entry)
{
    struct val *pod = val_new(a, VAL_OBJECT);
    struct val *meta = val_make_object(a, pod, STR("metadata"));
    val_set_text(a, meta, STR("name"), str_of(entry->name));
    val_set_text(a, meta, STR("namespace"), str_of(entry->ns));
    val_set_text(a, meta, STR("uid"), str_of(entry->uid));
    struct val *containers =
        val_make_array(a, val_make_object(a, pod, STR("spec")), STR("containers"));
    for (size_t i = 0; i < entry->worker->container_count; i++) {
        const struct container *c = entry->worker->containers[i];
        if (c->state == CONTAINER_RUNNING || c->state == CONTAINER_STOPPING) {
            struct val *out = val_append(containers, val_new(a, VAL_OBJECT));
            val_set_text(a, out, STR("name"), str_of(c->name));
            val_set_text(a, out, STR("image"), str_of(c->image_id));
            val_make_object(a, out, STR("resources"));
        }
    }
    val_make_object(a, pod, STR("status"));
    return val_count(containers) > 0 ? pod : NULL;
}

void serve_running_pods(struct serve_request *request)
{
    struct arena *a = request->arena;
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct val *root = val_new(a, VAL_OBJECT);
    val_set_text(a, root, STR("kind"), STR("PodList"));
    val_set_text(a, root, STR("apiVersion"), STR("v1"));
    val_make_object(a, root, STR("metadata"));
    struct val *items = val_make_array(a, root, STR("items"));
    MAP_EACH (it, &request->agent->pod_entries) {
        struct val *pod = running_pod(a, it->value);
        if (pod != NULL) {
            val_append(items, pod);
        }
    }
    val_write_json(root, &out);
    serve_text(request->exchange, 200, "application/json", buf_view(&out));
}

static void set_access(struct arena *a, struct val *config)
{
    struct val *authentication = val_make_object(a, config, STR("authentication"));
    val_set_bool(a, val_make_object(a, authentication, STR("anonymous")), STR("enabled"), false);
    struct val *webhook = val_make_object(a, authentication, STR("webhook"));
    val_set_bool(a, webhook, STR("enabled"), true);
    val_set_text(a, webhook, STR("cacheTTL"), STR("2m0s"));
    struct val *authorization = val_make_object(a, config, STR("authorization"));
    val_set_text(a, authorization, STR("mode"), STR("Webhook"));
    webhook = val_make_object(a, authorization, STR("webhook"));
    val_set_text(a, webhook, STR("cacheAuthorizedTTL"), STR("5m0s"));
    val_set_text(a, webhook, STR("cacheUnauthorizedTTL"), STR("30s"));
}

void serve_configz(struct serve_request *request)
{
    const struct agent *agent = request->agent;
    struct arena *a = request->arena;
    struct buf out BUF_CLEANUP = BUF_INIT;
    struct val *root = val_new(a, VAL_OBJECT);
    struct val *config = val_make_object(a, root, STR("kubeletconfig"));
    val_set_text(a, config, STR("kind"), STR("KubeletConfiguration"));
    val_set_text(a, config, STR("apiVersion"), STR("kubelet.config.k8s.io/v1beta1"));
    val_set_text(a, config, STR("address"), STR("0.0.0.0"));
    val_set_int(a, config, STR("port"), agent->kubelet_port);
    set_access(a, config);
    val_set_text(a, config, STR("clusterDomain"), str_of(agent->cluster_domain));
    val_append(val_make_array(a, config, STR("clusterDNS")),
               val_new_text(a, str_of(agent->cluster_dns)));
    val_set_int(a, config, STR("maxPods"), agent->max_pods);
    val_set_text(a, config, STR("podCIDR"), str_of(agent->pod_cidr));
    val_set_text(a, config, STR("resolvConf"), str_of(agent->resolv_conf));
    val_set_text(a, config, STR("podLogsDir"), str_of(agent->log_dir));
    val_set_bool(a, config, STR("enableServer"), true);
    val_set_bool(a, config, STR("seccompDefault"), agent->hardened);
    val_set_int(a, config, STR("podPidsLimit"), agent->hardened ? 1024 : -1);
    val_write_json(root, &out);
    serve_text(request->exchange, 200, "application/json", buf_view(&out));
}
