/* Nodes and the daemon pods on them: which there are, which should be, making and deleting the
 * difference. */
#include <stdlib.h>

#include "api/node_fit.h"
#include "base/mem.h"
#include "client/recorder.h"
#include "controllers/apps/daemonset_int.h"

enum { BURST = 250 };
#define BACK_OFF_FIRST (1 * NS_PER_S)
#define BACK_OFF_MOST  (15 * 60 * NS_PER_S)

struct back_off { /* pods of a set that fail on a node are replaced more and more slowly */
    int64_t delay, until;
};

/* ---- the pod of a node ---- */

static void add_toleration(struct arena *arena, struct val *spec, const char *key,
                           const char *effect)
{
    struct val *list = val_make_array(arena, spec, STR("tolerations"));
    VAL_EACH (it, list) {
        if (str_is(val_text(val_get(it, "key")), key) &&
            str_is(val_text(val_get(it, "operator")), "Exists") &&
            str_is(val_text(val_get(it, "effect")), effect) &&
            val_text(val_get(it, "value")).n == 0) {
            val_unset(it, STR("tolerationSeconds"));
            return;
        }
    }
    struct val *added = val_append(list, val_new(arena, VAL_OBJECT));
    val_set_text(arena, added, STR("key"), str_of(key));
    val_set_text(arena, added, STR("operator"), STR("Exists"));
    val_set_text(arena, added, STR("effect"), str_of(effect));
}

/* Daemons stay where others are kept away or sent away. */
static struct val *tolerant_spec(struct arena *arena, const struct val *template)
{
    struct val *spec = val_copy(arena, val_get(template, "spec"));
    add_toleration(arena, spec, "node.kubernetes.io/not-ready", "NoExecute");
    add_toleration(arena, spec, "node.kubernetes.io/unreachable", "NoExecute");
    add_toleration(arena, spec, "node.kubernetes.io/disk-pressure", "NoSchedule");
    add_toleration(arena, spec, "node.kubernetes.io/memory-pressure", "NoSchedule");
    add_toleration(arena, spec, "node.kubernetes.io/pid-pressure", "NoSchedule");
    add_toleration(arena, spec, "node.kubernetes.io/unschedulable", "NoSchedule");
    if (val_bool(val_get(spec, "hostNetwork"), false)) {
        add_toleration(arena, spec, "node.kubernetes.io/network-unavailable", "NoSchedule");
    }
    return spec;
}

/* The scheduler binds the pod, to this node only. */
static void bind_by_affinity(struct arena *arena, struct val *spec, struct str node)
{
    struct val *affinity = val_make_object(arena, spec, STR("affinity"));
    struct val *by_node = val_make_object(arena, affinity, STR("nodeAffinity"));
    struct val *required = val_set(by_node, STR("requiredDuringSchedulingIgnoredDuringExecution"),
                                   val_new(arena, VAL_OBJECT));
    struct val *terms = val_make_array(arena, required, STR("nodeSelectorTerms"));
    struct val *term = val_append(terms, val_new(arena, VAL_OBJECT));
    struct val *field =
        val_append(val_make_array(arena, term, STR("matchFields")), val_new(arena, VAL_OBJECT));
    val_set_text(arena, field, STR("key"), STR("metadata.name"));
    val_set_text(arena, field, STR("operator"), STR("In"));
    val_append(val_make_array(arena, field, STR("values")), val_new_text(arena, node));
}

static struct str template_generation(const struct daemons *set)
{
    return val_text(val_get_str(val_path(set->value, "metadata.annotations"),
                                STR("deprecated.daemonset.template.generation")));
}

struct val *daemon_pod(struct pass *pass, const struct daemons *set, struct str node)
{
    struct arena *arena = pass->arena;
    struct val *pod = pod_from_template(arena, val_path(set->value, "spec.template"), set->object);
    struct val *meta = val_get(pod, "metadata");
    struct val *labels = val_make_object(arena, meta, STR("labels"));
    val_set_text(arena, labels, STR("controller-revision-hash"), set->hash);
    if (template_generation(set).n > 0) {
        val_set_text(arena, labels, STR("pod-template-generation"), template_generation(set));
    }
    struct val *spec = val_set(pod, STR("spec"), val_copy(arena, set->probe));
    bind_by_affinity(arena, spec, node);
    return pod;
}

bool daemon_is_updated(const struct daemons *set, const struct pod_brief *pod)
{
    struct str generation = template_generation(set);
    return str_eq(object_label_get(pod->object, STR("controller-revision-hash")), set->hash) ||
           (generation.n > 0 &&
            str_eq(object_label_get(pod->object, STR("pod-template-generation")), generation));
}

bool daemon_is_available(const struct pass *pass, const struct daemons *set,
                         const struct pod_brief *pod)
{
    int64_t min_ready = val_int(val_path(set->value, "spec.minReadySeconds"), 0);
    return pod_is_available(pod, min_ready, pass->now);
}

/* ---- loading ---- */

/* The node that an unscheduled daemon pod is for: metadata.name of its required affinity. */
static struct str target_node(struct arena *arena, const struct object *pod)
{
    const struct val *terms =
        val_path(object_decode(pod, arena), "spec.affinity.nodeAffinity."
                                            "requiredDuringSchedulingIgnoredDuringExecution."
                                            "nodeSelectorTerms");
    VAL_EACH (term, terms) {
        VAL_EACH (field, val_get(term, "matchFields")) {
            if (str_is(val_text(val_get(field, "key")), "metadata.name")) {
                return val_text(val_at(val_get(field, "values"), 0));
            }
        }
    }
    return STR_NONE;
}

static void judge_node(struct pass *pass, struct daemons *set, struct daemon_node *node)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *value = object_decode(node->object, &arena);
    struct str fixed = val_text(val_get(set->probe, "nodeName"));
    if ((fixed.n > 0 && !str_eq(fixed, node->object->name)) ||
        !node_affinity_allows(set->probe, value)) {
        return;
    }
    const struct val *taints = val_path(value, "spec.taints");
    const struct val *tolerations = val_get(set->probe, "tolerations");
    node->runs = tolerations_cover(tolerations, taints, TAINT_NO_SCHEDULE | TAINT_NO_EXECUTE);
    node->may_stay = node->runs || tolerations_cover(tolerations, taints, TAINT_NO_EXECUTE);
}

struct loading {
    struct pass *pass;
    struct daemons *set;
};

static bool load_node(void *ctx, struct object *object)
{
    struct loading *loading = ctx;
    struct daemons *set = loading->set;
    struct daemon_node *node = &set->nodes[set->node_count++];
    *node = (struct daemon_node){.object = pass_hold(loading->pass, object)};
    judge_node(loading->pass, set, node);
    return true;
}

static struct daemon_node *find_node(const struct daemons *set, struct str name)
{
    size_t low = 0, high = set->node_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(set->nodes[middle].object->name, name);
        if (order == 0) {
            return &set->nodes[middle];
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

static void place_pod(struct pass *pass, struct daemons *set, struct pod_brief *pod)
{
    struct str name = pod->scheduled ? pod->node : target_node(pass->arena, pod->object);
    struct daemon_node *node = find_node(set, name);
    if (node == NULL) {
        if (!pod->scheduled) {
            set->strays[set->stray_count++] = pod;
        }
        return; /* on a node that is gone: the pod collector's */
    }
    if (node->pods == NULL) {
        node->pods = arena_array(pass->arena, struct pod_brief *, 2);
    } else if (node->count >= 2 && (node->count & (node->count - 1)) == 0) {
        struct pod_brief **more = arena_array(pass->arena, struct pod_brief *, node->count * 2);
        memcpy(more, node->pods, node->count * sizeof *more);
        node->pods = more;
    }
    node->pods[node->count++] = pod;
}

void daemons_load(struct pass *pass, struct daemons *set)
{
    struct arena *arena = pass->arena;
    struct objects mine;
    if (set->nodes == NULL) {
        set->probe = tolerant_spec(arena, val_path(set->value, "spec.template"));
        set->nodes = arena_array(arena, struct daemon_node, informer_count(set->all->nodes) + 1);
        informer_each(set->all->nodes, STR_NONE, NULL, load_node, &(struct loading){pass, set});
    }
    for (size_t i = 0; i < set->node_count; i++) {
        set->nodes[i].pods = NULL;
        set->nodes[i].count = 0;
    }
    children_of(arena, set->all->pods, set->object->uid, &mine);
    set->pods = arena_array(arena, struct pod_brief, mine.count + 1);
    set->strays = arena_array(arena, struct pod_brief *, mine.count + 1);
    set->pod_count = set->stray_count = 0;
    for (size_t i = 0; i < mine.count; i++) {
        if (!selector_matches(&set->selector, mine.items[i])) {
            continue; /* released in this pass */
        }
        struct pod_brief *pod = &set->pods[set->pod_count++];
        pod_cache_get(set->all->briefs, pass_hold(pass, mine.items[i]), pod);
        place_pod(pass, set, pod);
    }
    set->to_make = arena_array(arena, struct daemon_node *, set->node_count + 1);
    set->to_delete = arena_array(arena, struct pod_brief *, set->pod_count + 1);
    set->to_make_count = set->to_delete_count = 0;
}

/* ---- what a node needs ---- */

static bool goes_first(const struct pod_brief *a, const struct pod_brief *b)
{
    if (a->scheduled != b->scheduled) {
        return a->scheduled;
    }
    return a->created != b->created ? a->created < b->created
                                    : str_cmp(a->object->name, b->object->name) < 0;
}

void daemon_sort(struct daemon_node *node)
{
    for (size_t i = 1; i < node->count; i++) { /* one or two, nearly always */
        struct pod_brief *pod = node->pods[i];
        size_t at = i;
        for (; at > 0 && goes_first(pod, node->pods[at - 1]); at--) {
            node->pods[at] = node->pods[at - 1];
        }
        node->pods[at] = pod;
    }
}

static void doom(struct daemons *set, struct pod_brief *pod)
{
    set->to_delete[set->to_delete_count++] = pod;
}

/* True: it may be replaced now. */
static bool back_off_ends(struct pass *pass, struct daemons *set, const struct daemon_node *node)
{
    struct str key = str_of(
        arena_printf(pass->arena, "%.*s/%.*s", STR_ARG(pass->key), STR_ARG(node->object->name)));
    struct back_off *entry = map_get(&set->all->back_offs, key);
    if (entry == NULL) {
        entry = mem_new(struct back_off);
        map_set(&set->all->back_offs, key, entry);
    }
    if (pass->now < entry->until) {
        pass_after(pass, entry->until - pass->now);
        return false;
    }
    if (pass->now - entry->until > 2 * BACK_OFF_MOST) {
        entry->delay = 0; /* it went well for long */
    }
    entry->delay = entry->delay == 0                  ? BACK_OFF_FIRST
                   : entry->delay * 2 < BACK_OFF_MOST ? entry->delay * 2
                                                      : BACK_OFF_MOST;
    entry->until = pass->now + entry->delay;
    return true;
}

static void doom_finished(struct pass *pass, struct daemons *set, struct daemon_node *node,
                          struct pod_brief *pod)
{
    bool failed = pod->phase == POD_FAILED;
    if (failed && !back_off_ends(pass, set, node)) {
        return;
    }
    recorder_event(set->all->recorder, set->object, failed ? "Warning" : "Normal",
                   failed ? "FailedDaemonPod" : "SucceededDaemonPod",
                   "Found %s daemon pod %.*s/%.*s on node %.*s, will try to %s it",
                   failed ? "failed" : "succeeded", STR_ARG(pod->object->ns),
                   STR_ARG(pod->object->name), STR_ARG(node->object->name),
                   failed ? "kill" : "delete");
    doom(set, pod);
}

/* With surge a node has one pod of the old and one of the new template for a while. */
static void keep_two(struct pass *pass, struct daemons *set, struct pod_brief **running,
                     size_t count)
{
    struct pod_brief *updated = NULL, *old = NULL;
    for (size_t i = 0; i < count; i++) {
        struct pod_brief **slot = daemon_is_updated(set, running[i]) ? &updated : &old;
        if (*slot == NULL) {
            *slot = running[i];
        } else {
            doom(set, running[i]);
        }
    }
    if (updated != NULL && old != NULL &&
        (!old->ready || daemon_is_available(pass, set, updated))) {
        doom(set, old);
    }
}

static void manage_node(struct pass *pass, struct daemons *set, struct daemon_node *node,
                        bool surges)
{
    if (node->count == 0) {
        if (node->runs) {
            set->to_make[set->to_make_count++] = node;
        }
        return;
    }
    daemon_sort(node);
    struct pod_brief **running = arena_array(pass->arena, struct pod_brief *, node->count);
    size_t count = 0;
    for (size_t i = 0; i < node->count; i++) {
        struct pod_brief *pod = node->pods[i];
        if (pod->object->deleting) {
            continue;
        }
        if (!node->may_stay) {
            doom(set, pod);
        } else if (pod_is_finished(pod)) {
            doom_finished(pass, set, node, pod);
        } else {
            running[count++] = pod;
        }
    }
    if (surges) {
        keep_two(pass, set, running, count);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        doom(set, running[i]);
    }
}

void daemons_manage(struct pass *pass, struct daemons *set)
{
    bool surges = daemons_max_surge(set, 1) > 0;
    for (size_t i = 0; i < set->node_count; i++) {
        manage_node(pass, set, &set->nodes[i], surges);
    }
    for (size_t i = 0; i < set->stray_count; i++) {
        if (!set->strays[i]->object->deleting) {
            doom(set, set->strays[i]);
        }
    }
}

/* ---- sending ---- */

static void on_made(struct pass *pass, void *arg, const struct client_result *result)
{
    struct daemons *set = arg;
    if (result->code == 0) {
        recorder_event(set->all->recorder, set->object, "Normal", "SuccessfulCreate",
                       "Created pod: %.*s",
                       STR_ARG(result->object != NULL ? result->object->name : STR_NONE));
        return;
    }
    set->failed_in_batch++;
    if (pass_namespace_ends(result)) {
        return; /* the namespace is going away */
    }
    recorder_event(set->all->recorder, set->object, "Warning", "FailedCreate", "Error creating: %s",
                   result->error.message);
    pass_retry(pass);
}

static void on_deleted(struct pass *pass, void *arg, const struct client_result *result)
{
    struct daemons *set = arg;
    if (result->code != 0 && result->code != ERR_NOT_FOUND && result->code != ERR_CONFLICT) {
        recorder_event(set->all->recorder, set->object, "Warning", "FailedDelete",
                       "Error deleting: %s", result->error.message);
        pass_retry(pass);
    }
}

static void make_batch(struct pass *pass, void *arg)
{
    struct daemons *set = arg;
    if (set->failed_in_batch > 0 || set->made == set->to_make_count) {
        set->then(pass, set);
        return;
    }
    size_t end = set->made + set->batch;
    end = end < set->to_make_count ? end : set->to_make_count;
    for (; set->made < end; set->made++) {
        struct str node = set->to_make[set->made]->object->name;
        pass_create(pass, set->all->pod_resource, pass->ns, daemon_pod(pass, set, node), on_made,
                    set);
    }
    set->batch *= 2;
    pass_then(pass, make_batch, set);
}

void daemons_send(struct pass *pass, struct daemons *set,
                  void (*then)(struct pass *pass, void *arg))
{
    if (set->to_make_count > BURST || set->to_delete_count > BURST) {
        pass_again(pass);
        set->to_make_count = set->to_make_count < BURST ? set->to_make_count : BURST;
        set->to_delete_count = set->to_delete_count < BURST ? set->to_delete_count : BURST;
    }
    for (size_t i = 0; i < set->to_delete_count; i++) {
        struct object *pod = set->to_delete[i]->object;
        recorder_event(set->all->recorder, set->object, "Normal", "SuccessfulDelete",
                       "Deleted pod: %.*s", STR_ARG(pod->name));
        pass_delete(pass, pod, NULL, -1, on_deleted, set);
    }
    set->made = set->failed_in_batch = 0;
    set->batch = 1;
    set->then = then;
    pass_then(pass, make_batch, set);
}
