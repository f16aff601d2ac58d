/* The pod garbage collector: pods that nobody else will remove.
 *
 * Every 20 s: the oldest finished pods beyond the limit; pods of nodes that are gone (missing for
 * 40 s by our monotonic clock, and a GET has confirmed it); pods that are being deleted but were
 * never bound to a node; pods that are being deleted on a node marked out of service. What had not
 * finished is marked Failed with DisruptionTarget first. Deletions are without grace: no kubelet is
 * there to wait for.
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "client/owners.h"
#include "controllers/pods.h"
#include "controllers/table_int.h"

#define PERIOD     (20 * NS_PER_S)
#define QUARANTINE (40 * NS_PER_S)
#define KEY        STR("pods")

struct pod_gc {
    struct worker *worker;
    struct informer *pods, *nodes;
    const struct api_resource *node_resource;
    struct map missing; /* node name -> int64_t *: mono, since when */
};

struct collection { /* one round */
    struct pod_gc *gc;
    struct pass *pass;
    struct pod_brief *finished;
    size_t count, cap;
    struct map asked; /* node -> struct asked, in the arena */
};
struct asked {
    struct pod_gc *gc;
    struct str node;
};

/* ---- ending a pod ---- */

struct doomed {
    struct object *pod;
};

static void on_marked(struct pass *pass, void *arg, const struct client_result *result)
{
    struct doomed *doomed = arg;
    if (result->code == 0) {
        pass_delete(pass, doomed->pod, NULL, 0, NULL, NULL);
    } else if (result->code != ERR_NOT_FOUND) {
        pass_fail(pass);
    }
}

static void end_pod(struct pass *pass, struct object *pod, const char *message)
{
    struct pod_brief brief;
    pass_hold(pass, pod);
    pod_brief(pass->arena, pod, &brief);
    if (pod_is_finished(&brief)) {
        pass_delete(pass, pod, NULL, 0, NULL, NULL);
        return;
    }
    struct doomed *doomed = arena_new(pass->arena, struct doomed);
    doomed->pod = pod;
    pass_patch(pass, pod, CLIENT_PATCH_STRATEGIC, "status",
               pod_condition_patch(pass, pod, "Failed", "DisruptionTarget", "True",
                                   "DeletionByPodGC", message),
               on_marked, doomed);
}

/* ---- pods of missing nodes ---- */

static bool end_orphan(void *ctx, struct object *pod)
{
    end_pod(ctx, pod, "PodGC: node no longer exists");
    return true;
}

static void on_node(struct pass *pass, void *arg, const struct client_result *result)
{
    struct asked *asked = arg;
    if (result->code == ERR_NOT_FOUND) {
        pods_on_node(asked->gc->pods, asked->node, end_orphan, pass);
    } else if (result->code != 0) {
        pass_fail(pass);
    }
}

static void look_for_node(struct collection *round, struct str node)
{
    struct pod_gc *gc = round->gc;
    struct pass *pass = round->pass;
    int64_t now = loop_mono(gc->worker->env.loop);
    int64_t *since = map_get(&gc->missing, node);
    if (since == NULL) {
        since = mem_new(int64_t);
        *since = now;
        map_set(&gc->missing, node, since);
    }
    if (now - *since < QUARANTINE || map_get(&round->asked, node) != NULL) {
        return;
    }
    struct asked *asked = arena_new(pass->arena, struct asked);
    *asked = (struct asked){gc, str_copy_in(pass->arena, node)};
    map_set(&round->asked, node, asked);
    pass_write(
        pass,
        &(struct client_request){
            .verb = CLIENT_GET, .resource = gc->node_resource, .name = node, .subresource = ""},
        on_node, asked);
}

static bool is_out_of_service(struct pass *pass, const struct object *node)
{
    const struct val *value = object_decode(node, pass->arena);
    const struct val *ready = condition_find(val_get(value, "status"), STR("Ready"));
    return val_find(val_path(value, "spec.taints"), "key",
                    STR("node.kubernetes.io/out-of-service")) != NULL &&
           !str_is(val_text(val_get(ready, "status")), "True");
}

/* ---- a round ---- */

static void add_finished(struct collection *round, const struct pod_brief *brief)
{
    if (round->count == round->cap) {
        size_t cap = round->cap > 0 ? round->cap * 2 : 64;
        struct pod_brief *more = arena_array(round->pass->arena, struct pod_brief, cap);
        if (round->count > 0) {
            memcpy(more, round->finished, round->count * sizeof *more);
        }
        round->finished = more;
        round->cap = cap;
    }
    round->finished[round->count++] = *brief;
}

static bool look_at(void *ctx, struct object *pod)
{
    struct collection *round = ctx;
    struct pass *pass = round->pass;
    struct str node = pod_node_name(pod);
    struct object *object = node.n > 0 ? informer_get(round->gc->nodes, STR_NONE, node) : NULL;
    if (node.n > 0 && object == NULL) {
        look_for_node(round, node);
        return true;
    }
    if (pod->deleting && node.n == 0) {
        end_pod(pass, pod, "PodGC: the pod was never bound to a node");
        return true;
    }
    if (pod->deleting && is_out_of_service(pass, object)) {
        end_pod(pass, pod, "PodGC: the node is out of service");
        return true;
    }
    struct str phase = pod_phase_text(pod);
    if (!pod->deleting && round->gc->worker->env.options->terminated_pod_limit > 0 &&
        (str_is(phase, "Succeeded") || str_is(phase, "Failed"))) {
        add_finished(round, &(struct pod_brief){.object = pod});
    }
    return true;
}

static int compare_created(const void *a, const void *b)
{
    const struct pod_brief *one = a, *two = b;
    return one->created != two->created ? (one->created < two->created ? -1 : 1)
                                        : str_cmp(one->object->name, two->object->name);
}

static void delete_oldest(struct collection *round)
{
    size_t limit = (size_t)round->gc->worker->env.options->terminated_pod_limit;
    if (round->count <= limit) {
        return;
    }
    for (size_t i = 0; i < round->count; i++) {
        struct str created = metadata_raw(round->finished[i].object, STR("creationTimestamp"));
        if (created.n > 2) { /* a JSON string: between its quotes */
            time_parse(str_at(created.p + 1, created.n - 2), &round->finished[i].created);
        }
    }
    qsort(round->finished, round->count, sizeof *round->finished, compare_created);
    for (size_t i = 0; i < round->count - limit; i++) {
        struct object *pod = round->finished[i].object;
        pass_delete(round->pass, pass_hold(round->pass, pod), NULL, 0, NULL, NULL);
    }
}

static void forget_found_nodes(struct pod_gc *gc)
{
    MAP_EACH (it, &gc->missing) {
        if (informer_get(gc->nodes, STR_NONE, it->key) != NULL) {
            free(map_remove(&gc->missing, it->key));
        }
    }
}

static void reconcile(void *ctx, struct pass *pass)
{
    struct pod_gc *gc = ctx;
    struct collection round = {.gc = gc, .pass = pass};
    forget_found_nodes(gc);
    informer_each(gc->pods, STR_NONE, NULL, look_at, &round);
    delete_oldest(&round);
    map_done(&round.asked);
    pass_after(pass, PERIOD);
}

static void *start(struct controller_env *env)
{
    struct pod_gc *gc = mem_new(struct pod_gc);
    gc->node_resource = controller_resource("", "v1", "nodes");
    gc->pods = informers_get(env->informers, controller_resource("", "v1", "pods"));
    gc->nodes = informers_get(env->informers, gc->node_resource);
    pods_index_by_node(gc->pods);
    gc->worker = worker_new(env, "pod-garbage-collector", 1, reconcile, gc);
    queue_add(gc->worker->queue, KEY);
    return gc;
}

static void stop(void *state)
{
    struct pod_gc *gc = state;
    worker_free(gc->worker);
    MAP_EACH (it, &gc->missing) {
        free(it->value);
    }
    map_done(&gc->missing);
    free(gc);
}

const struct controller controller_pod_gc = {
    .name = "pod-garbage-collector", .start = start, .stop = stop};
