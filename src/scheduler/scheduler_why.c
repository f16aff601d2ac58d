/* scheduler_why.c: why a pod has no node: asked of every node, with all reasons, and the smallest
 * change that would let it run: on the node that lacks least, or that only one rule refuses. */
#include "scheduler/scheduler_int.h"

struct best { /* the node that is easiest to change */
    size_t refusing;
    double lack;
    const char *change;
};

static void set(struct arena *arena, struct val *object, const char *key, const char *text)
{
    val_set_text(arena, object, str_of(key), str_of(text));
}

static const char *change_of(struct arena *arena, const struct node *node, const char *change)
{
    struct str name = node->name;
    return change == NULL ? NULL : arena_printf(arena, "on node %.*s: %s", STR_ARG(name), change);
}

static void note_best(struct arena *arena, struct best *best, const struct node *node,
                      const struct reasons *reasons, size_t refusing, const char *change)
{
    double lack = reasons->nearest != NULL ? reasons->nearest_lack : 0.5;
    if (best->change == NULL || refusing < best->refusing ||
        (refusing == best->refusing && lack < best->lack)) {
        *best = (struct best){refusing, lack, change_of(arena, node, change)};
    }
}

static void judge_node(struct cycle *cycle, struct arena *arena, const struct node *node,
                       struct val *list, struct best *best)
{
    struct reasons reasons = {.arena = arena, .nearest_lack = -1};
    const char *change;
    size_t refusing = cycle_explain_node(cycle, node, &reasons, &change);
    struct val *item = val_append(list, val_new(arena, VAL_OBJECT));
    val_set_text(arena, item, STR("name"), str_copy_in(arena, node->name));
    val_set_bool(arena, item, STR("fits"), refusing == 0);
    struct val *texts = val_make_array(arena, item, STR("reasons"));
    VEC_EACH (it, &reasons.list) {
        val_append(texts, val_new_text(arena, str_of(it->text)));
    }
    if (reasons.nearest != NULL) {
        set(arena, item, "lack", reasons.nearest);
    }
    if (refusing > 0) {
        note_best(arena, best, node, &reasons, refusing, change);
    }
    vec_done(&reasons.list);
}

static bool has_fitting(const struct val *nodes)
{
    VAL_EACH (it, nodes) {
        if (val_bool(val_get(it, "fits"), false)) {
            return true;
        }
    }
    return false;
}

static void judge_nodes(struct scheduler *scheduler, struct arena *arena, struct entry *entry,
                        struct val *answer)
{
    struct cycle cycle;
    struct cluster *cluster = scheduler->cluster;
    struct best best = {0};
    struct val *list = val_make_array(arena, answer, STR("nodes"));
    bool possible = cycle_prepare(&cycle, cluster, entry->pod, arena);
    for (size_t i = 0; i < cluster->node_cap && possible; i++) {
        if (cluster->nodes[i] != NULL) {
            judge_node(&cycle, arena, cluster->nodes[i], list, &best);
        }
    }
    const char *nearest;
    size_t hopeless;
    set(arena, answer, "message",
        has_fitting(list) ? "a node fits by now: the pod is tried again after its back-off"
                          : cycle_explain(&cycle, &nearest, &hopeless));
    if (best.change != NULL && !has_fitting(list)) {
        set(arena, answer, "change", best.change);
    }
}

static const char *gates_of(struct arena *arena, const struct val *pod)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    VAL_EACH (it, val_path(pod, "spec.schedulingGates")) {
        buf_addz(&text, text.n > 0 ? ", " : "");
        buf_str(&text, val_text(val_get(it, "name")));
    }
    return text.n > 0 ? arena_dup(arena, text.p, text.n) : NULL;
}

static void say_ignored(struct scheduler *scheduler, struct arena *arena, const struct val *pod,
                        struct val *answer)
{
    const char *gates = gates_of(arena, pod);
    set(arena, answer, "state", gates != NULL ? "Gated" : "NotOurs");
    set(arena, answer, "message",
        gates != NULL ? arena_printf(arena, "scheduling gates hold the pod back: %s", gates)
                      : arena_printf(arena, "the pod is left to the scheduler %.*s",
                                     STR_ARG(val_text(val_path(pod, "spec.schedulerName")))));
    if (gates != NULL) {
        set(arena, answer, "change", "remove its scheduling gates");
    }
}

static void say_waiting(struct scheduler *scheduler, struct arena *arena, struct entry *entry,
                        struct val *answer)
{
    static const char *const states[] = {[PENDING_NOWHERE] = "Waiting",
                                         [PENDING_READY] = "Waiting",
                                         [PENDING_BACKOFF] = "BackOff",
                                         [PENDING_STUCK] = "Unschedulable"};
    set(arena, answer, "state", states[entry->pending.where]);
    val_set_int(arena, answer, STR("attempts"), entry->pending.attempts);
    if (entry->pod->nominated >= 0) {
        struct str node = scheduler->cluster->nodes[entry->pod->nominated]->name;
        val_set_text(arena, answer, STR("nominatedNode"), str_copy_in(arena, node));
    }
    judge_nodes(scheduler, arena, entry, answer);
}

static void say_placed(struct scheduler *scheduler, struct arena *arena, struct entry *entry,
                       struct val *answer)
{
    bool volumes = !list_empty(&entry->volume_link);
    set(arena, answer, "state", volumes ? "WaitingForVolumes" : "Scheduled");
    set(arena, answer, "message",
        volumes ? "a node is chosen; the claims of the pod are being bound" : "the pod has a node");
    if (entry->pod->node >= 0) {
        struct str node = scheduler->cluster->nodes[entry->pod->node]->name;
        val_set_text(arena, answer, STR("node"), str_copy_in(arena, node));
    } else if (entry->node != NULL) {
        set(arena, answer, "node", arena_dup(arena, entry->node, strlen(entry->node)));
    }
}

struct val *scheduler_why(struct scheduler *scheduler, struct arena *arena, struct str ns,
                          struct str name)
{
    struct val *answer = val_new(arena, VAL_OBJECT);
    struct str key = str_of(arena_printf(arena, "%.*s/%.*s", STR_ARG(ns), STR_ARG(name)));
    struct entry *entry = map_get(&scheduler->entries, key);
    val_set_text(arena, answer, STR("pod"), key);
    if (entry == NULL) {
        set(arena, answer, "state", "Unknown");
        set(arena, answer, "message", "there is no such pod, or it has finished");
    } else if (entry->state == ENTRY_IGNORED) {
        say_ignored(scheduler, arena, object_decode(entry->object, arena), answer);
    } else if (entry->state == ENTRY_WAITING) {
        say_waiting(scheduler, arena, entry, answer);
    } else {
        say_placed(scheduler, arena, entry, answer);
    }
    return answer;
}
