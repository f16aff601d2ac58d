/* The node life cycle controller: which nodes are alive, told in conditions and taints.
 *
 * A node is silent when neither its lease nor its Ready heartbeat has changed for the grace period,
 * measured by our own monotonic clock since we saw the last change: clocks of nodes and jumps of
 * ours mean nothing, and after a restart every node has the whole grace again. A silent node's
 * conditions become Unknown; its pods are marked not ready.
 *
 * Taints follow the conditions: NoSchedule at once; NoExecute (not-ready, unreachable), which
 * evicts pods (taint_eviction.c), at most one node in 10 s a zone, slower or not at all when most
 * of a zone is down. When no node at all is ready the fault is more likely ours than theirs: then
 * no node has a NoExecute taint of ours.
 *
 * Left to others: evictions themselves; the node's own view (the agent).
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "client/recorder.h"
#include "controllers/pods.h"
#include "controllers/table_int.h"

enum { PARALLEL = 8, LARGE_ZONE = 50 };
#define STARTUP_GRACE  (60 * NS_PER_S)
#define NOT_READY      "node.kubernetes.io/not-ready"
#define UNREACHABLE    "node.kubernetes.io/unreachable"
#define NAMESPACE      STR("kube-node-lease")
#define RATE_NORMAL    0.1 /* nodes a second */
#define RATE_SECONDARY 0.01

enum node_state { NODE_READY, NODE_NOT_READY, NODE_UNKNOWN };

struct node {
    int64_t seen_ns;    /* mono: of the last change */
    uint64_t lease;     /* revision of the lease then */
    char heartbeat[40]; /* of the Ready condition then */
    enum node_state state;
    bool started; /* has a Ready condition */
    struct zone *zone;
    bool pods_marked; /* for the present spell of not being ready */
};
struct zone {
    size_t ready, not_ready;
    double tokens;
    int64_t at_ns;
};
struct node_life {
    struct worker *worker;
    struct informer *nodes, *leases, *pods;
    const struct api_resource *resource;
    struct recorder *recorder;
    struct map states; /* node name -> struct node */
    struct map zones;  /* name -> struct zone */
    struct timer tick;
    bool all_down;
};

/* ---- observing ---- */

static enum node_state state_of(const struct val *ready)
{
    struct str status = val_text(val_get(ready, "status"));
    return str_is(status, "True")    ? NODE_READY
           : str_is(status, "False") ? NODE_NOT_READY
                                     : NODE_UNKNOWN;
}

static struct zone *zone_of(struct node_life *life, const struct object *node)
{
    struct str zone = object_label_get(node, STR("topology.kubernetes.io/zone"));
    struct str region = object_label_get(node, STR("topology.kubernetes.io/region"));
    zone.n = zone.n > 63 ? 63 : zone.n;
    region.n = region.n > 63 ? 63 : region.n;
    struct buf key BUF_CLEANUP = BUF_INIT;
    buf_printf(&key, "%.*s/%.*s", STR_ARG(region), STR_ARG(zone));
    struct zone *found = map_get(&life->zones, buf_view(&key));
    if (found == NULL) {
        found = mem_new(struct zone);
        found->tokens = 1;
        found->at_ns = loop_mono(life->worker->env.loop);
        map_set(&life->zones, buf_view(&key), found);
    }
    return found;
}

static struct node *observe(struct node_life *life, const struct object *object,
                            const struct val *value)
{
    const struct val *ready = condition_find(val_get(value, "status"), STR("Ready"));
    struct str heartbeat = val_text(val_get(ready, "lastHeartbeatTime"));
    const struct object *lease = informer_get(life->leases, NAMESPACE, object->name);
    uint64_t revision = lease != NULL ? lease->revision : 0;
    struct node *node = map_get(&life->states, object->name);
    bool is_new = node == NULL;
    if (is_new) {
        node = mem_new(struct node);
        map_set(&life->states, object->name, node);
    }
    heartbeat.n = heartbeat.n < sizeof node->heartbeat ? heartbeat.n : sizeof node->heartbeat - 1;
    if (is_new || revision != node->lease || !str_is(heartbeat, node->heartbeat)) {
        node->seen_ns = loop_mono(life->worker->env.loop);
        node->lease = revision;
        memcpy(node->heartbeat, heartbeat.p != NULL ? heartbeat.p : "", heartbeat.n);
        node->heartbeat[heartbeat.n] = '\0';
    }
    node->state = state_of(ready);
    node->started = ready != NULL;
    node->zone = zone_of(life, object);
    if (node->state == NODE_READY) {
        node->pods_marked = false;
    }
    return node;
}

static bool is_silent(const struct node_life *life, const struct node *node)
{
    int64_t grace = life->worker->env.options->node_grace_ns;
    if (!node->started && grace < STARTUP_GRACE) {
        grace = STARTUP_GRACE;
    }
    return loop_mono(life->worker->env.loop) - node->seen_ns > grace;
}

/* ---- conditions ---- */

/* Whether something had to be changed. */
static bool set_unknown(struct pass *pass, struct val *status)
{
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    struct arena *arena = pass->arena;
    bool changed = false;
    char now[TIME_TEXT_SIZE];
    size_t n = time_format(pass->now, now);
    struct str at = str_at(arena_dup(arena, now, n), n);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct val *condition = condition_find(status, str_of(types[i]));
        bool is_new = condition == NULL;
        if (!is_new && str_is(val_text(val_get(condition, "status")), "Unknown")) {
            continue;
        }
        if (is_new) {
            condition = val_append(val_make_array(arena, status, STR("conditions")),
                                   val_new(arena, VAL_OBJECT));
            val_set_text(arena, condition, STR("type"), str_of(types[i]));
        }
        val_set_text(arena, condition, STR("status"), STR("Unknown"));
        val_set_text(arena, condition, STR("lastTransitionTime"), at);
        val_set_text(arena, condition, STR("reason"),
                     is_new ? STR("NodeStatusNeverUpdated") : STR("NodeStatusUnknown"));
        val_set_text(arena, condition, STR("message"),
                     is_new ? STR("Kubelet never posted node status.")
                            : STR("Kubelet stopped posting node status."));
        changed = true;
    }
    return changed;
}

/* ---- taints ---- */

static struct val *find_taint(const struct val *taints, const char *key, const char *effect)
{
    VAL_EACH (it, taints) {
        if (str_is(val_text(val_get(it, "key")), key) &&
            str_is(val_text(val_get(it, "effect")), effect)) {
            return it;
        }
    }
    return NULL;
}

struct taints {
    struct pass *pass;
    struct val *spec;
    bool changed;
};

static void set_taint(struct taints *taints, const char *key, const char *effect, bool wanted)
{
    struct arena *arena = taints->pass->arena;
    struct val *list = val_get(taints->spec, "taints");
    struct val *found = find_taint(list, key, effect);
    if ((found != NULL) == wanted) {
        return;
    }
    taints->changed = true;
    if (found != NULL) {
        val_remove(list, found);
        if (list->count == 0) {
            val_unset(taints->spec, STR("taints"));
        }
        return;
    }
    struct val *taint =
        val_append(val_make_array(arena, taints->spec, STR("taints")), val_new(arena, VAL_OBJECT));
    char now[TIME_TEXT_SIZE];
    size_t n = time_format(taints->pass->now, now);
    val_set_text(arena, taint, STR("key"), str_of(key));
    val_set_text(arena, taint, STR("effect"), str_of(effect));
    val_set_text(arena, taint, STR("timeAdded"), str_at(arena_dup(arena, now, n), n));
}

static double rate_of(const struct zone *zone)
{
    size_t all = zone->ready + zone->not_ready;
    if (zone->ready == 0 || zone->not_ready <= 2 || (double)zone->not_ready / (double)all < 0.55) {
        return RATE_NORMAL; /* a zone that is wholly down beside healthy ones is evicted as usual */
    }
    return all > LARGE_ZONE ? RATE_SECONDARY : 0;
}

/* One more node of this zone may begin to evict; else after how long to ask again. */
static bool take_token(struct node_life *life, struct zone *zone, int64_t *ret_wait)
{
    double rate = rate_of(zone);
    int64_t now = loop_mono(life->worker->env.loop);
    zone->tokens += rate * (double)(now - zone->at_ns) / (double)NS_PER_S;
    zone->tokens = zone->tokens > 1 ? 1 : zone->tokens;
    zone->at_ns = now;
    if (rate > 0 && zone->tokens >= 1 - 1e-9) {
        zone->tokens -= 1;
        return true;
    }
    *ret_wait = rate > 0 ? (int64_t)((1 - zone->tokens) / rate * (double)NS_PER_S) + NS_PER_MS
                         : life->worker->env.options->node_period_ns;
    return false;
}

static void set_execute_taints(struct node_life *life, struct taints *taints,
                               const struct node *node)
{
    bool not_ready = node->state == NODE_NOT_READY && !life->all_down;
    bool unreachable = node->state == NODE_UNKNOWN && !life->all_down;
    const struct val *list = val_get(taints->spec, "taints");
    bool has_one = find_taint(list, NOT_READY, "NoExecute") != NULL ||
                   find_taint(list, UNREACHABLE, "NoExecute") != NULL;
    int64_t wait;
    if ((not_ready || unreachable) && !has_one && !take_token(life, node->zone, &wait)) {
        pass_after(taints->pass, wait);
        return;
    }
    set_taint(taints, NOT_READY, "NoExecute", not_ready);
    set_taint(taints, UNREACHABLE, "NoExecute", unreachable);
}

static void set_schedule_taints(struct taints *taints, const struct val *value,
                                const struct node *node)
{
    static const struct {
        const char *condition, *key;
    } pressures[] = {{"MemoryPressure", "node.kubernetes.io/memory-pressure"},
                     {"DiskPressure", "node.kubernetes.io/disk-pressure"},
                     {"PIDPressure", "node.kubernetes.io/pid-pressure"},
                     {"NetworkUnavailable", "node.kubernetes.io/network-unavailable"}};
    for (size_t i = 0; i < sizeof pressures / sizeof *pressures; i++) {
        const struct val *condition =
            condition_find(val_get(value, "status"), str_of(pressures[i].condition));
        set_taint(taints, pressures[i].key, "NoSchedule",
                  str_is(val_text(val_get(condition, "status")), "True"));
    }
    set_taint(taints, NOT_READY, "NoSchedule", node->state == NODE_NOT_READY);
    set_taint(taints, UNREACHABLE, "NoSchedule", node->state == NODE_UNKNOWN);
    set_taint(taints, "node.kubernetes.io/unschedulable", "NoSchedule",
              val_bool(val_get(taints->spec, "unschedulable"), false));
}

/* ---- pods ---- */

struct marking {
    struct node_life *life;
    struct pass *pass;
};

static bool mark_pod(void *ctx, struct object *object)
{
    struct marking *marking = ctx;
    struct pass *pass = marking->pass;
    struct val *pod = object_decode(pass_hold(pass, object), pass->arena);
    const struct val *ready = condition_find(val_get(pod, "status"), STR("Ready"));
    if (str_is(val_text(val_get(ready, "status")), "True")) {
        recorder_event(marking->life->recorder, object, "Warning", "NodeNotReady",
                       "Node is not ready");
        pass_patch(pass, object, CLIENT_PATCH_STRATEGIC, "status",
                   pod_condition_patch(pass, object, NULL, "Ready", "False", NULL, NULL), NULL,
                   NULL);
    }
    return true;
}

static void on_pods_marked(struct pass *pass, void *arg)
{
    struct node_life *life = arg;
    struct node *node = map_get(&life->states, pass->name);
    if (node != NULL) {
        node->pods_marked = true;
    }
}

/* ---- a pass ---- */

static void reconcile(void *ctx, struct pass *pass)
{
    struct node_life *life = ctx;
    struct object *object = informer_get(life->nodes, STR_NONE, pass->name);
    if (object == NULL) {
        free(map_remove(&life->states, pass->name));
        return;
    }
    struct val *value = object_decode(pass_hold(pass, object), pass->arena);
    struct node *node = observe(life, object, value);
    if (is_silent(life, node) &&
        set_unknown(pass, val_make_object(pass->arena, value, STR("status")))) {
        recorder_event(life->recorder, object, "Normal", "NodeNotReady",
                       "Node %.*s status is now: NodeNotReady", STR_ARG(object->name));
        pass_update(pass, life->resource, "status", value, NULL, NULL);
        pass_again(pass);
        return;
    }
    struct taints taints = {.pass = pass, .spec = val_make_object(pass->arena, value, STR("spec"))};
    set_schedule_taints(&taints, value, node);
    set_execute_taints(life, &taints, node);
    if (taints.changed) {
        pass_update(pass, life->resource, "", value, NULL, NULL);
    }
    if (node->state != NODE_READY && !node->pods_marked) {
        pods_on_node(life->pods, pass->name, mark_pod, &(struct marking){life, pass});
        pass_then(pass, on_pods_marked, life);
    }
}

/* ---- the tick ---- */

/* Counts of zones, whether any node is ready at all, and who has fallen silent. Reads only what was
 * kept from the nodes' last states: it runs every few seconds over all of them. */
static void survey(struct node_life *life)
{
    size_t ready = 0;
    MAP_EACH (it, &life->zones) {
        struct zone *zone = it->value;
        zone->ready = zone->not_ready = 0;
    }
    MAP_EACH (it, &life->states) {
        const struct node *node = it->value;
        bool is_ready = node->state == NODE_READY;
        node->zone->ready += is_ready;
        node->zone->not_ready += !is_ready;
        ready += is_ready;
        if (is_silent(life, node) && (!node->started || node->state != NODE_UNKNOWN)) {
            worker_add_name(life->worker, STR_NONE, it->key);
        }
    }
    bool all_down = ready == 0 && life->states.count > 0;
    if (all_down == life->all_down) {
        return;
    }
    life->all_down = all_down;
    MAP_EACH (it, &life->states) {
        if (((const struct node *)it->value)->state != NODE_READY) {
            worker_add_name(life->worker, STR_NONE, it->key);
        }
    }
}

static void tick(struct timer *timer)
{
    struct node_life *life = container_of(timer, struct node_life, tick);
    timer_start(life->worker->env.loop, &life->tick, life->worker->env.options->node_period_ns,
                tick);
    if (informer_synced(life->nodes) && informer_synced(life->leases)) {
        survey(life);
    }
}

static void on_node(void *ctx, struct object *old, struct object *now)
{
    struct node_life *life = ctx;
    const struct object *any = now != NULL ? now : old;
    const struct node *before = map_get(&life->states, any->name);
    enum node_state state = before != NULL ? before->state : NODE_READY;
    bool is_new = before == NULL;
    if (now != NULL) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        const struct node *node = observe(life, now, object_decode(now, &arena));
        is_new |= node->state != state;
    } else {
        free(map_remove(&life->states, any->name));
    }
    if ((is_new || now == NULL) && informer_synced(life->nodes)) {
        survey(life); /* a state that has just changed counts at once */
    }
    worker_add(life->worker, any);
}

static void on_lease(void *ctx, struct object *old, struct object *now)
{
    struct node_life *life = ctx;
    struct object *node = now != NULL && str_eq(now->ns, NAMESPACE)
                              ? informer_get(life->nodes, STR_NONE, now->name)
                              : NULL;
    struct node *state = node != NULL ? map_get(&life->states, now->name) : NULL;
    if (state != NULL) {
        state->seen_ns = loop_mono(life->worker->env.loop);
        state->lease = now->revision;
    }
}

static void *start(struct controller_env *env)
{
    struct node_life *life = mem_new(struct node_life);
    life->resource = controller_resource("", "v1", "nodes");
    life->nodes = informers_get(env->informers, life->resource);
    life->leases =
        informers_get(env->informers, controller_resource("coordination.k8s.io", "v1", "leases"));
    life->pods = informers_get(env->informers, controller_resource("", "v1", "pods"));
    pods_index_by_node(life->pods);
    life->recorder = recorder_new(env->client, "node-controller", "");
    life->worker = worker_new(env, "node-controller", PARALLEL, reconcile, life);
    informer_handle(life->nodes, (struct informer_handler){on_node, life});
    informer_handle(life->leases, (struct informer_handler){on_lease, life});
    timer_start(env->loop, &life->tick, env->options->node_period_ns, tick);
    return life;
}

static void free_values(struct map *map)
{
    MAP_EACH (it, map) {
        free(it->value);
    }
    map_done(map);
}

static void stop(void *state)
{
    struct node_life *life = state;
    timer_stop(&life->tick);
    informer_unhandle(life->nodes, life);
    informer_unhandle(life->leases, life);
    worker_free(life->worker);
    recorder_free(life->recorder);
    free_values(&life->states);
    free_values(&life->zones);
    free(life);
}

const struct controller controller_node_life = {
    .name = "node-controller", .start = start, .stop = stop};
