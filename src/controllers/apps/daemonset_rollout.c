/* Replacing daemon pods of an old template: at most maxUnavailable nodes without a pod at a time,
 * or, with maxSurge, at most so many nodes with a second one. */
#include "controllers/apps/daemonset_int.h"

static const struct val *rolling_of(const struct daemons *set)
{
    return val_path(set->value, "spec.updateStrategy.rollingUpdate");
}

int64_t daemons_max_surge(const struct daemons *set, int64_t desired)
{
    return pods_scaled(val_get(rolling_of(set), "maxSurge"), desired, true, 0);
}

/* False: more than one of a kind; the next pass cleans that up. */
static bool find_pair(const struct daemons *set, const struct daemon_node *node,
                      struct pod_brief **ret_new, struct pod_brief **ret_old)
{
    *ret_new = *ret_old = NULL;
    for (size_t i = 0; i < node->count; i++) {
        struct pod_brief *pod = node->pods[i];
        if (pod->object->deleting) {
            continue;
        }
        struct pod_brief **slot = daemon_is_updated(set, pod) ? ret_new : ret_old;
        if (*slot != NULL) {
            return false;
        }
        *slot = pod;
    }
    return true;
}

static void plan_replacing(struct pass *pass, struct daemons *set, int64_t max_unavailable)
{
    struct pod_brief **candidates =
        arena_array(pass->arena, struct pod_brief *, set->pod_count + 1);
    size_t candidate_count = 0;
    int64_t unavailable = 0;
    for (size_t i = 0; i < set->node_count; i++) {
        struct daemon_node *node = &set->nodes[i];
        struct pod_brief *updated, *old;
        if (node->count == 0) {
            continue;
        }
        if (!find_pair(set, node, &updated, &old) || (updated == NULL) == (old == NULL)) {
            unavailable++;
        } else if (updated != NULL) {
            unavailable += !daemon_is_available(pass, set, updated);
        } else if (!daemon_is_available(pass, set, old)) {
            set->to_delete[set->to_delete_count++] = old;
        } else {
            candidates[candidate_count++] = old;
        }
    }
    for (size_t i = 0; i < candidate_count && unavailable < max_unavailable; i++, unavailable++) {
        set->to_delete[set->to_delete_count++] = candidates[i];
    }
}

static void plan_surging(struct pass *pass, struct daemons *set, int64_t max_surge)
{
    struct daemon_node **candidates =
        arena_array(pass->arena, struct daemon_node *, set->node_count + 1);
    size_t candidate_count = 0;
    int64_t surging = 0;
    for (size_t i = 0; i < set->node_count; i++) {
        struct daemon_node *node = &set->nodes[i];
        struct pod_brief *updated, *old;
        if (node->count == 0) {
            continue;
        }
        if (!find_pair(set, node, &updated, &old)) {
            surging++;
        } else if (old == NULL) {
            continue;
        } else if (updated != NULL) {
            if (daemon_is_available(pass, set, updated)) {
                set->to_delete[set->to_delete_count++] = old;
            } else {
                surging++;
            }
        } else if (!daemon_is_available(pass, set, old)) {
            set->to_make[set->to_make_count++] = node;
        } else {
            candidates[candidate_count++] = node;
        }
    }
    for (size_t i = 0; i < candidate_count && surging < max_surge; i++, surging++) {
        set->to_make[set->to_make_count++] = candidates[i];
    }
}

void daemons_plan_rollout(struct pass *pass, struct daemons *set)
{
    int64_t desired = 0;
    for (size_t i = 0; i < set->node_count; i++) {
        desired += set->nodes[i].runs;
    }
    int64_t max_surge = daemons_max_surge(set, desired);
    int64_t max_unavailable =
        pods_scaled(val_get(rolling_of(set), "maxUnavailable"), desired, true, 1);
    if (desired > 0 && max_surge == 0 && max_unavailable == 0) {
        max_unavailable = 1; /* a share that comes out as nothing would stop the rollout */
    }
    if (max_surge > 0) {
        plan_surging(pass, set, max_surge);
    } else {
        plan_replacing(pass, set, max_unavailable);
    }
}
