/* admit.c: what this node takes of the pods that are bound to it. The scheduler has looked before;
 * a pod that is bound by hand, or together with another, comes here unseen, and is Failed with a
 * reason instead of being run beyond what the node has. Order, reasons and words are upstream's.
 *
 * A pod is judged once: one that has a start time was taken before, by this agent or the one
 * before it.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/node_fit.h"
#include "base/mem.h"
#include "node/agent_int.h"
#include "node/eviction.h"

struct verdict {
    struct agent *agent;
    const struct pod_view *view;
    char reason[64];
    char message[480];
};

static bool refuse(struct verdict *v, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool refuse(struct verdict *v, const char *reason, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(v->message, sizeof v->message, format, ap);
    va_end(ap);
    snprintf(v->reason, sizeof v->reason, "%s", reason);
    return false;
}

static bool node_can_take(struct verdict *v)
{
    char message[200];
    return eviction_admits(v->agent->eviction, v->view, message, sizeof message) ||
           refuse(v, "Evicted", "%s", message);
}

/* ---- sysctls ---- */

static const char *const safe_sysctls[] = {"kernel.shm_rmid_forced",
                                           "net.ipv4.ip_local_port_range",
                                           "net.ipv4.tcp_syncookies",
                                           "net.ipv4.ping_group_range",
                                           "net.ipv4.ip_unprivileged_port_start",
                                           "net.ipv4.ip_local_reserved_ports",
                                           "net.ipv4.tcp_keepalive_time",
                                           "net.ipv4.tcp_fin_timeout",
                                           "net.ipv4.tcp_keepalive_intvl",
                                           "net.ipv4.tcp_keepalive_probes",
                                           "net.ipv4.tcp_rmem",
                                           "net.ipv4.tcp_wmem"};

static bool sysctl_listed(const struct agent *agent, const char *name)
{
    for (size_t i = 0; i < sizeof safe_sysctls / sizeof *safe_sysctls; i++) {
        if (strcmp(name, safe_sysctls[i]) == 0) {
            return true;
        }
    }
    for (struct str rest = str_of(agent->unsafe_sysctls); rest.p != NULL && rest.n > 0;) {
        char *pattern MEM_CLEANUP = str_dup(str_trim(str_cut(rest, ',', &rest)));
        if (fnmatch(pattern, name, 0) == 0) {
            return true;
        }
    }
    return false;
}

/* With a namespace of the pod's own only: the others would change the node. */
static bool sysctls_allowed(struct verdict *v)
{
    const struct val *spec = v->view->spec;
    bool host_net = pod_is_host_network(spec), host_ipc = val_bool(val_get(spec, "hostIPC"), false);
    VAL_EACH (it, val_path(spec, "securityContext.sysctls")) {
        char *name MEM_CLEANUP = str_dup(val_text(val_get(it, "name")));
        for (char *c = name; *c != '\0'; c++) {
            *c = *c == '/' ? '.' : *c;
        }
        bool net = strncmp(name, "net.", 4) == 0;
        if (!sysctl_listed(v->agent, name)) {
            return refuse(v, "SysctlForbidden", "forbidden sysctl: \"%s\" not allowlisted", name);
        }
        if (net ? host_net : host_ipc) {
            return refuse(v, "SysctlForbidden",
                          "forbidden sysctl: \"%s\" not allowed with host %s enabled", name,
                          net ? "net" : "ipc");
        }
    }
    return true;
}

/* ---- resources ---- */

/* Finished, or deleted by force: what the scheduler counts no longer. The rest of such a pod goes
 * in a moment, and whoever needs its device or port waits for that instead of being refused for
 * good. */
static bool is_over(const struct pod_entry *entry)
{
    if (entry->worker->state >= POD_FINISHED || entry->is_static) {
        return entry->worker->state >= POD_FINISHED;
    }
    const struct object *object =
        informer_get(entry->agent->pods, str_of(entry->ns), str_of(entry->name));
    return object == NULL || !str_is(object->uid, entry->uid);
}

static int64_t units(const char *resource, struct quantity quantity)
{
    return strcmp(resource, "cpu") == 0 ? quantity_milli(quantity) : quantity_value(quantity);
}

static int64_t of_container(const struct val *container, const char *resource)
{
    struct quantity quantity;
    return pod_resource(container, "requests", resource, &quantity) ? units(resource, quantity) : 0;
}

/* Of the whole pod: the larger of what runs together and what an init container wants; overhead. */
static int64_t requested(const struct val *spec, const char *resource)
{
    int64_t together = 0, sidecars = 0, most = 0;
    struct quantity quantity;
    VAL_EACH (it, val_get(spec, "containers")) {
        together += of_container(it, resource);
    }
    VAL_EACH (it, val_get(spec, "initContainers")) {
        if (str_is(val_text(val_get(it, "restartPolicy")), "Always")) {
            sidecars += of_container(it, resource);
            most = sidecars > most ? sidecars : most;
        } else {
            int64_t one = sidecars + of_container(it, resource);
            most = one > most ? one : most;
        }
    }
    together += sidecars;
    together = together > most ? together : most;
    if (pod_resource(spec, "requests", resource, &quantity)) {
        together = units(resource, quantity);
    }
    struct str extra = val_text(val_get_str(val_get(spec, "overhead"), str_of(resource)));
    return together + (quantity_parse(extra, &quantity) ? units(resource, quantity) : 0);
}

static int64_t used(const struct verdict *v, const char *resource)
{
    int64_t sum = 0;
    MAP_EACH (it, &v->agent->pod_entries) {
        const struct pod_entry *entry = it->value;
        if (!is_over(entry) && !str_is(v->view->uid, entry->uid)) {
            sum +=
                strcmp(resource, "pods") == 0 ? 1 : requested(entry->worker->view->spec, resource);
        }
    }
    return sum;
}

static bool fits_one(struct verdict *v, const char *resource, int64_t wanted, int64_t capacity)
{
    int64_t taken = used(v, resource);
    char reason[64];
    if (wanted == 0 || wanted + taken <= capacity) {
        return true;
    }
    snprintf(reason, sizeof reason, "OutOf%s", resource);
    return refuse(v, reason,
                  "Node didn't have enough resource: %s, requested: %lld, used: %lld, capacity: "
                  "%lld",
                  resource, (long long)wanted, (long long)taken, (long long)capacity);
}

/* Resources that the node does not know are somebody else's to judge. */
static bool resources_fit(struct verdict *v)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct agent *agent = v->agent;
    const struct val *spec = v->view->spec;
    struct val *capacity = val_new(&arena, VAL_OBJECT), *allocatable = val_new(&arena, VAL_OBJECT);
    if (agent->has_devices) {
        agent->devices.capacity(agent->devices.ctx, &arena, capacity, allocatable);
    }
    if (!fits_one(v, "pods", 1, agent->max_pods) ||
        !fits_one(v, "cpu", requested(spec, "cpu"), agent->cpu_milli) ||
        !fits_one(v, "memory", requested(spec, "memory"), agent->memory_bytes) ||
        !fits_one(v, "ephemeral-storage", requested(spec, "ephemeral-storage"),
                  agent->storage_bytes / 10 * 9)) {
        return false;
    }
    VAL_EACH (it, allocatable) {
        struct quantity quantity;
        char *resource = str_dup_in(&arena, it->key);
        if (quantity_parse(val_text(it), &quantity) &&
            !fits_one(v, resource, requested(spec, resource), quantity_value(quantity))) {
            return false;
        }
    }
    return true;
}

/* ---- place ---- */

static bool ports_clash(const struct val *a, const struct val *b)
{
    struct str ip_a = val_text(val_get(a, "hostIP")), ip_b = val_text(val_get(b, "hostIP"));
    bool any = ip_a.n == 0 || ip_b.n == 0 || str_is(ip_a, "0.0.0.0") || str_is(ip_b, "0.0.0.0");
    int64_t port = val_int(val_get(a, "hostPort"), 0);
    struct str protocol_a = val_text(val_get(a, "protocol")),
               protocol_b = val_text(val_get(b, "protocol"));
    return port > 0 && port == val_int(val_get(b, "hostPort"), 0) &&
           str_eq(protocol_a.n > 0 ? protocol_a : STR("TCP"),
                  protocol_b.n > 0 ? protocol_b : STR("TCP")) &&
           (any || str_eq(ip_a, ip_b));
}

static bool has_port_of(const struct val *spec, const struct val *port)
{
    VAL_EACH (container, val_get(spec, "containers")) {
        VAL_EACH (it, val_get(container, "ports")) {
            if (ports_clash(it, port)) {
                return true;
            }
        }
    }
    return false;
}

static bool ports_free(struct verdict *v)
{
    VAL_EACH (container, val_get(v->view->spec, "containers")) {
        VAL_EACH (port, val_get(container, "ports")) {
            MAP_EACH (it, &v->agent->pod_entries) {
                const struct pod_entry *entry = it->value;
                if (!is_over(entry) && !str_is(v->view->uid, entry->uid) &&
                    has_port_of(entry->worker->view->spec, port)) {
                    return refuse(v, "NodePorts",
                                  "Predicate NodePorts failed: node(s) didn't have "
                                  "free ports for the requested pod ports");
                }
            }
        }
    }
    return true;
}

static bool place_fits(struct verdict *v)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct object *node =
        informer_get(v->agent->own_node, STR_NONE, str_of(v->agent->node_name));
    if (node != NULL && !node_affinity_allows(v->view->spec, object_decode(node, &arena))) {
        return refuse(v, "NodeAffinity",
                      "Predicate NodeAffinity failed: node(s) didn't match "
                      "Pod's node affinity/selector");
    }
    return ports_free(v);
}

const char *entry_resize_obstacle(struct pod_entry *entry, char *ret_message, size_t size)
{
    struct agent *agent = entry->agent;
    struct verdict v = {.agent = agent, .view = entry->worker->view};
    const struct {
        const char *resource;
        int64_t capacity;
    } kinds[] = {{"cpu", agent->cpu_milli}, {"memory", agent->memory_bytes}};
    for (size_t i = 0; i < 2; i++) {
        int64_t wanted = requested(v.view->spec, kinds[i].resource);
        if (wanted > kinds[i].capacity) {
            snprintf(ret_message, size,
                     "Node didn't have enough capacity: %s, requested: %lld, capacity: %lld",
                     kinds[i].resource, (long long)wanted, (long long)kinds[i].capacity);
            return "Infeasible";
        }
        if (!fits_one(&v, kinds[i].resource, wanted, kinds[i].capacity)) {
            snprintf(ret_message, size, "%s", v.message);
            return "Deferred";
        }
    }
    return NULL;
}

bool entry_admit(struct pod_entry *entry)
{
    struct pod_view *view = entry->worker->view;
    struct verdict v = {.agent = entry->agent, .view = view};
    bool taken_before = val_text(val_get(view->status, "startTime")).n > 0;
    bool leaving = !val_absent(val_get(view->meta, "deletionTimestamp"));
    struct str phase = val_text(val_get(view->status, "phase"));
    if (taken_before || leaving || str_is(phase, "Failed") || str_is(phase, "Succeeded") ||
        (node_can_take(&v) && sysctls_allowed(&v) && resources_fit(&v) && place_fits(&v))) {
        return true;
    }
    pod_worker_reject(entry->worker, v.reason, v.message);
    return false;
}
