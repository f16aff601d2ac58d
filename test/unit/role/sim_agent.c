/* sim_agent.c: see sim_agent.h. The node and its lease, one worker a pod, and what is told the API.
 *
 * A pod's status goes out at the end of the turn it changed in, one patch a pod under way at a
 * time, with its uid as the precondition; the last delete follows the last status. Lease each 10 s,
 * node status each 5 minutes.
 */
#include "sim_agent.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim_int.h"

static const int64_t LEASE_PERIOD = 10 * NS_PER_S, STATUS_PERIOD = 300 * NS_PER_S;

static const struct api_resource *pods(void)
{
    return schema_resource(STR_NONE, STR("v1"), STR("pods"));
}

/* ---- pods ---- */

static void on_flush(struct timer *timer);

static void queue_flush(struct sim_agent *agent)
{
    if (agent->client != NULL && !timer_armed(&agent->flush)) {
        timer_start(agent->loop, &agent->flush, 0, on_flush);
    }
}

void sim_pod_changed(struct pod_worker *worker)
{
    struct sim_pod *pod = worker->user;
    pod->dirty = true;
    queue_flush(pod->agent);
}

static void op_finalize(struct pod_worker *worker)
{
    ((struct sim_pod *)worker->user)->finalizing = true;
    sim_pod_changed(worker);
}

static void op_event(struct pod_worker *worker, struct container *container, const char *type,
                     const char *reason, const char *message)
{
    struct sim_pod *pod = worker->user;
    if (worker->view->object != NULL && pod->agent->recorder != NULL) {
        recorder_event(pod->agent->recorder, worker->view->object, type, reason, "%s", message);
    }
}

static void pod_free(struct sim_pod *pod)
{
    sim_pod_stop(pod);
    timer_stop(&pod->retry);
    pod_worker_free(pod->worker);
    buf_done(&pod->sent);
    free(pod->uid);
    free(pod->key);
    free(pod);
}

static void pod_remove(struct sim_pod *pod)
{
    pod->agent->ledger->left_behind += pod->live;
    map_remove(&pod->agent->pods, str_of(pod->uid));
    pod_free(pod);
}

static void on_retry(struct timer *timer)
{
    struct sim_pod *pod = container_of(timer, struct sim_pod, retry);
    sim_pod_changed(pod->worker);
}

static void on_deleted(void *ctx, const struct client_result *result)
{
    struct sim_pod *pod = ctx;
    pod->delete_sent = false;
    if (result->code == 0 || result->code == ERR_NOT_FOUND || result->code == ERR_CONFLICT) {
        pod_remove(pod);
    } else {
        timer_start(pod->agent->loop, &pod->retry, NS_PER_S, on_retry);
    }
}

static void send_delete(struct sim_pod *pod)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    if (pod->worker->object_gone) {
        pod_remove(pod);
        return;
    }
    struct val *body = val_new(&arena, VAL_OBJECT);
    val_set_text(&arena, body, STR("kind"), STR("DeleteOptions"));
    val_set_text(&arena, body, STR("apiVersion"), STR("v1"));
    val_set_int(&arena, body, STR("gracePeriodSeconds"), 0);
    struct val *conditions = val_make_object(&arena, body, STR("preconditions"));
    val_set_text(&arena, conditions, STR("uid"), str_of(pod->uid));
    struct client_request request = {.verb = CLIENT_DELETE,
                                     .resource = pods(),
                                     .ns = pod->worker->view->ns,
                                     .name = pod->worker->view->name,
                                     .subresource = "",
                                     .body = body};
    pod->delete_sent = true;
    client_send(pod->agent->client, &request, on_deleted, pod);
}

static void on_patched(void *ctx, const struct client_result *result)
{
    struct sim_pod *pod = ctx;
    pod->busy = false;
    if (result->code == ERR_NOT_FOUND) {
        pod->worker->object_gone = true;
    } else if (result->code != 0 && result->code != ERR_CONFLICT) {
        buf_clear(&pod->sent);
        timer_start(pod->agent->loop, &pod->retry, NS_PER_S, on_retry);
        return;
    }
    if (pod->dirty || pod->finalizing) {
        sim_pod_changed(pod->worker);
    }
}

static void send_status(struct sim_pod *pod, struct arena *arena, struct val *status)
{
    struct val *body = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, body, STR("metadata"));
    val_set_text(arena, meta, STR("uid"), str_of(pod->uid));
    val_set(body, STR("status"), status);
    struct client_request request = {.verb = CLIENT_PATCH,
                                     .resource = pods(),
                                     .ns = pod->worker->view->ns,
                                     .name = pod->worker->view->name,
                                     .subresource = "status",
                                     .body = body,
                                     .patch = CLIENT_PATCH_STRATEGIC};
    pod->busy = true;
    client_send(pod->agent->client, &request, on_patched, pod);
}

static void flush_pod(struct sim_pod *pod)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    pod->dirty = false;
    if (!pod->worker->object_gone) {
        struct val *status = pod_status_build(pod->worker, &arena);
        val_write_json(status, &text);
        if (!str_eq(buf_view(&text), buf_view(&pod->sent))) {
            buf_clear(&pod->sent);
            buf_str(&pod->sent, buf_view(&text));
            send_status(pod, &arena, status);
            return;
        }
    }
    if (pod->finalizing) {
        send_delete(pod);
    }
}

static void on_flush(struct timer *timer)
{
    struct sim_agent *agent = container_of(timer, struct sim_agent, flush);
    MAP_EACH (it, &agent->pods) {
        struct sim_pod *pod = it->value;
        if (pod->dirty && !pod->busy && !pod->delete_sent && !timer_armed(&pod->retry)) {
            flush_pod(pod);
        }
    }
}

static void add_pod(struct sim_agent *agent, struct pod_view *view)
{
    struct sim_pod *pod = mem_new(struct sim_pod);
    pod->agent = agent;
    pod->uid = str_dup(view->uid);
    pod->key = mem_printf("%.*s/%.*s", STR_ARG(view->ns), STR_ARG(view->name));
    list_init(&pod->delayed);
    pod->worker = pod_worker_new(agent->loop, &agent->ops, view);
    pod->worker->user = pod;
    pod->worker->host_ip = str_of(agent->ip);
    map_set(&agent->pods, view->uid, pod);
    pod_worker_start(pod->worker);
}

static void pod_gone(struct sim_pod *pod)
{
    if (pod->finalizing) {
        pod->worker->object_gone = true;
        sim_pod_changed(pod->worker);
    } else {
        pod_worker_update(pod->worker, NULL);
    }
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct sim_agent *agent = ctx;
    struct sim_pod *gone = old != NULL && (now == NULL || !str_eq(old->uid, now->uid))
                               ? map_get(&agent->pods, old->uid)
                               : NULL;
    if (gone != NULL) {
        pod_gone(gone);
    }
    if (now == NULL) {
        return;
    }
    struct pod_view *view = pod_view_new(now);
    struct sim_pod *pod = map_get(&agent->pods, now->uid);
    if (pod == NULL) {
        add_pod(agent, view);
    } else if (!pod->finalizing) {
        pod_worker_update(pod->worker, view);
    }
    pod_view_unref(view);
}

/* ---- the node ---- */

static void on_lease_timer(struct timer *timer);
static void on_status_timer(struct timer *timer);

static struct val *node_status(struct sim_agent *agent, struct arena *a)
{
    char now[TIME_TEXT_SIZE];
    time_format(clock_wall(loop_clock(agent->loop)), now);
    const char *text = arena_printf(
        a,
        "{\"capacity\":{\"cpu\":\"8\",\"memory\":\"16Gi\",\"pods\":\"110\"},"
        "\"allocatable\":{\"cpu\":\"8\",\"memory\":\"16Gi\",\"pods\":\"110\"},"
        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"KubeletReady\","
        "\"message\":\"hollow\",\"lastHeartbeatTime\":\"%s\",\"lastTransitionTime\":\"%s\"}],"
        "\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"%s\"}]}",
        now, now, agent->ip);
    struct val *status = NULL;
    val_parse_json(a, str_of(text), &status, NULL);
    return status;
}

static void on_status_sent(void *ctx, const struct client_result *result)
{
    struct sim_agent *agent = ctx;
    int64_t delay = result->code == 0            ? STATUS_PERIOD
                    : result->code == ERR_EXISTS ? 0 /* it was here before */
                                                 : NS_PER_S;
    timer_start(agent->loop, &agent->status, delay, on_status_timer);
}

/* Create: the Node as a whole; else its status. */
static void send_node(struct sim_agent *agent, bool create)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *node = val_new(&arena, VAL_OBJECT);
    if (create) {
        val_set_text(&arena, node, STR("kind"), STR("Node"));
        val_set_text(&arena, node, STR("apiVersion"), STR("v1"));
        struct val *meta = val_make_object(&arena, node, STR("metadata"));
        val_set_text(&arena, meta, STR("name"), str_of(agent->name));
        struct val *labels = val_make_object(&arena, meta, STR("labels"));
        val_set_text(&arena, labels, STR("kubernetes.io/hostname"), str_of(agent->name));
    }
    val_set(node, STR("status"), node_status(agent, &arena));
    struct client_request request = {.verb = create ? CLIENT_CREATE : CLIENT_PATCH,
                                     .resource = schema_resource(STR_NONE, STR("v1"), STR("nodes")),
                                     .name = str_of(agent->name),
                                     .subresource = create ? "" : "status",
                                     .body = node,
                                     .patch = CLIENT_PATCH_STRATEGIC};
    client_send(agent->client, &request, on_status_sent, agent);
}

static void on_status_timer(struct timer *timer)
{
    send_node(container_of(timer, struct sim_agent, status), false);
}

static void send_lease(struct sim_agent *agent, bool create);

static void on_lease_sent(void *ctx, const struct client_result *result)
{
    struct sim_agent *agent = ctx;
    if (result->code == ERR_NOT_FOUND) {
        send_lease(agent, true);
        return;
    }
    timer_start(agent->loop, &agent->lease, result->code == 0 ? LEASE_PERIOD : NS_PER_S,
                on_lease_timer);
}

static void send_lease(struct sim_agent *agent, bool create)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    char now[TIME_TEXT_SIZE];
    size_t n = time_format_micro(clock_wall(loop_clock(agent->loop)), now);
    struct val *lease = val_new(&arena, VAL_OBJECT);
    if (create) {
        val_set_text(&arena, lease, STR("kind"), STR("Lease"));
        val_set_text(&arena, lease, STR("apiVersion"), STR("coordination.k8s.io/v1"));
        struct val *meta = val_make_object(&arena, lease, STR("metadata"));
        val_set_text(&arena, meta, STR("name"), str_of(agent->name));
        val_set_text(&arena, meta, STR("namespace"), STR("kube-node-lease"));
    }
    struct val *spec = val_make_object(&arena, lease, STR("spec"));
    val_set_text(&arena, spec, STR("holderIdentity"), str_of(agent->name));
    val_set_int(&arena, spec, STR("leaseDurationSeconds"), 40);
    val_set_text(&arena, spec, STR("renewTime"), str_at(now, n));
    struct client_request request = {
        .verb = create ? CLIENT_CREATE : CLIENT_PATCH,
        .resource = schema_resource(STR("coordination.k8s.io"), STR("v1"), STR("leases")),
        .ns = STR("kube-node-lease"),
        .name = str_of(agent->name),
        .subresource = "",
        .body = lease,
        .patch = CLIENT_PATCH_MERGE};
    client_send(agent->client, &request, on_lease_sent, agent);
}

static void on_lease_timer(struct timer *timer)
{
    send_lease(container_of(timer, struct sim_agent, lease), false);
}

/* ---- life ---- */

struct sim_agent *sim_agent_new(const struct sim_agent_options *options)
{
    struct sim_agent *agent = mem_new(struct sim_agent);
    agent->loop = options->loop;
    agent->name = options->name;
    agent->number = options->number;
    agent->ledger = options->ledger;
    snprintf(agent->ip, sizeof agent->ip, "10.0.0.%d", 10 + options->number);
    sim_runtime_ops(&agent->ops);
    agent->ops.finalize = op_finalize;
    agent->ops.changed = sim_pod_changed;
    agent->ops.event = op_event;
    return agent;
}

/* Pods that went while the agent was not connected. */
static void on_synced(void *ctx)
{
    struct sim_agent *agent = ctx;
    MAP_EACH (it, &agent->pods) {
        struct sim_pod *pod = it->value;
        const struct pod_view *view = pod->worker->view;
        struct object *object = informer_get(agent->watched, view->ns, view->name);
        if (object == NULL || !str_is(object->uid, pod->uid)) {
            pod_gone(pod);
        } else {
            sim_pod_changed(pod->worker);
        }
    }
}

void sim_agent_connect(struct sim_agent *agent, struct client *client)
{
    char *selector MEM_CLEANUP = mem_printf("spec.nodeName=%s", agent->name);
    struct client_watch_options watch = {.resource = pods(), .field_selector = str_of(selector)};
    agent->client = client;
    agent->recorder = recorder_new(client, "kubelet", agent->name);
    agent->informers = informers_new(client);
    agent->watched = informers_get_filtered(agent->informers, &watch);
    informer_handle(agent->watched, (struct informer_handler){.on_change = on_pod, .ctx = agent});
    informers_on_synced(agent->informers, on_synced, agent);
    send_node(agent, true);
    send_lease(agent, false);
}

void sim_agent_disconnect(struct sim_agent *agent)
{
    if (agent->client == NULL) {
        return;
    }
    timer_stop(&agent->lease);
    timer_stop(&agent->status);
    timer_stop(&agent->flush);
    recorder_free(agent->recorder);
    informers_free(agent->informers);
    client_free(agent->client); /* nothing under way is answered any more */
    agent->recorder = NULL;
    agent->informers = NULL;
    agent->client = NULL;
    MAP_EACH (it, &agent->pods) { /* nobody knows what was accepted */
        struct sim_pod *pod = it->value;
        timer_stop(&pod->retry);
        buf_clear(&pod->sent);
        pod->busy = pod->delete_sent = false;
    }
}

void sim_agent_free(struct sim_agent *agent)
{
    if (agent == NULL) {
        return;
    }
    sim_agent_disconnect(agent);
    MAP_EACH (it, &agent->pods) {
        pod_free(it->value);
    }
    map_done(&agent->pods);
    free(agent);
}
