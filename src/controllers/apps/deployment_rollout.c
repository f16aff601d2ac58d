/* Sizes of a Deployment's ReplicaSets: rolling update, recreate, proportional scaling.
 *
 * Pure: reads a struct rollout, plans new sizes into it; deployment.c writes them. Rules:
 * Deployment API (maxSurge is rounded up, maxUnavailable down, not both 0), "proportional scaling"
 * of the documentation: while several sets are active, a change of spec.replicas is shared among
 * them.
 */
#include "controllers/apps/deployment_int.h"

static int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void rollout_max(struct rollout *rollout)
{
    const struct val *strategy = val_path(rollout->value, "spec.strategy.rollingUpdate");
    if (rollout->recreate) {
        rollout->max_surge = rollout->max_unavailable = 0;
        return;
    }
    rollout->max_surge = pods_scaled(val_get(strategy, "maxSurge"), rollout->replicas, true, 1);
    rollout->max_unavailable =
        pods_scaled(val_get(strategy, "maxUnavailable"), rollout->replicas, false, 0);
    if (rollout->max_surge == 0 && rollout->max_unavailable == 0) {
        rollout->max_unavailable = 1; /* else nothing could ever move */
    }
    rollout->max_unavailable = min(rollout->max_unavailable, rollout->replicas);
}

int64_t rollout_sum(const struct rollout *rollout)
{
    int64_t sum = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        sum += rollout->sets[i].replicas;
    }
    return sum;
}

static int64_t annotation(const struct rollout_set *set, const char *name, int64_t otherwise)
{
    int64_t number;
    struct str text =
        val_text(val_get_str(val_path(set->value, "metadata.annotations"), str_of(name)));
    return str_i64(text, &number) ? number : otherwise;
}

void rollout_set_size(struct rollout *rollout, struct rollout_set *set, int64_t replicas)
{
    set->replicas = replicas;
    set->sized = replicas != set->was ||
                 annotation(set, ANNOTATION_DESIRED, -1) != rollout->replicas ||
                 annotation(set, ANNOTATION_MAX, -1) != rollout->replicas + rollout->max_surge;
    set->dirty |= set->sized;
}

/* ---- rolling update ---- */

static int64_t grown_size(const struct rollout *rollout, int64_t size)
{
    if (rollout->recreate) {
        return rollout->replicas;
    }
    int64_t room = rollout->replicas + rollout->max_surge - rollout_sum(rollout);
    return room <= 0 ? size : size + min(room, rollout->replicas - size);
}

int64_t rollout_first_size(const struct rollout *rollout)
{
    return grown_size(rollout, 0);
}

/* Pods of old sets that are not available anyway go first: they hold up nothing. */
static int64_t clean_unhealthy(struct rollout *rollout, int64_t most)
{
    int64_t done = 0;
    for (size_t i = 0; i < rollout->count && done < most; i++) {
        struct rollout_set *set = &rollout->sets[i];
        if (set != rollout->current && set->replicas > set->available) {
            int64_t count = min(most - done, set->replicas - set->available);
            rollout_set_size(rollout, set, set->replicas - count);
            done += count;
        }
    }
    return done;
}

static void shrink_old(struct rollout *rollout)
{
    int64_t old = 0, all = rollout_sum(rollout), available = 0;
    struct rollout_set *current = rollout->current;
    for (size_t i = 0; i < rollout->count; i++) {
        old += &rollout->sets[i] != current ? rollout->sets[i].replicas : 0;
        available += rollout->sets[i].available;
    }
    int64_t least = rollout->replicas - rollout->max_unavailable;
    int64_t unavailable = current->replicas - current->available;
    int64_t most = all - least - unavailable;
    if (old == 0 || most <= 0) {
        return;
    }
    clean_unhealthy(rollout, most);
    int64_t surplus = available - least;
    for (size_t i = 0; i < rollout->count && surplus > 0; i++) {
        struct rollout_set *set = &rollout->sets[i];
        if (set != current && set->replicas > 0) {
            int64_t count = min(set->replicas, surplus);
            rollout_set_size(rollout, set, set->replicas - count);
            surplus -= count;
        }
    }
}

void rollout_plan_rolling(struct rollout *rollout)
{
    struct rollout_set *current = rollout->current;
    if (current->replicas > rollout->replicas) {
        rollout_set_size(rollout, current, rollout->replicas);
    } else if (current->replicas < rollout->replicas) {
        rollout_set_size(rollout, current, grown_size(rollout, current->replicas));
    }
    if (current->replicas == current->was) {
        shrink_old(rollout); /* one direction a pass: what was grown is seen first */
    }
}

/* ---- recreate ---- */

static bool has_running_pods(const struct rollout *rollout, const struct rollout_set *set)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct objects pods;
    children_of(&arena, rollout->all->pods, set->object->uid, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        struct pod_brief pod;
        pod_brief(&arena, pods.items[i], &pod);
        if (!pod_is_finished(&pod)) {
            return true;
        }
    }
    return false;
}

bool rollout_plan_recreate(struct rollout *rollout)
{
    bool shrunk = false;
    for (size_t i = 0; i < rollout->count; i++) {
        struct rollout_set *set = &rollout->sets[i];
        if (set != rollout->current && set->replicas > 0) {
            rollout_set_size(rollout, set, 0);
            shrunk = true;
        }
    }
    for (size_t i = 0; i < rollout->count && !shrunk; i++) {
        if (&rollout->sets[i] != rollout->current && has_running_pods(rollout, &rollout->sets[i])) {
            shrunk = true;
        }
    }
    if (!shrunk && rollout->current != NULL && rollout->current->replicas != rollout->replicas) {
        rollout_set_size(rollout, rollout->current, rollout->replicas);
    }
    return !shrunk;
}

/* ---- scaling ---- */

bool rollout_is_scaling(const struct rollout *rollout)
{
    for (size_t i = 0; i < rollout->count; i++) {
        const struct rollout_set *set = &rollout->sets[i];
        int64_t desired = annotation(set, ANNOTATION_DESIRED, -1);
        if (set->replicas > 0 && desired >= 0 && desired != rollout->replicas) {
            return true;
        }
    }
    return false;
}

static int64_t fraction(const struct rollout *rollout, const struct rollout_set *set)
{
    if (rollout->replicas == 0) {
        return -set->replicas;
    }
    int64_t before = annotation(set, ANNOTATION_MAX, 0);
    if (before <= 0) {
        before = val_int(val_path(rollout->value, "status.replicas"), 0);
    }
    if (before <= 0) {
        return 0;
    }
    double size =
        (double)set->replicas * (double)(rollout->replicas + rollout->max_surge) / (double)before;
    return (int64_t)(size + 0.5) - set->replicas;
}

static int64_t proportion(const struct rollout *rollout, const struct rollout_set *set,
                          int64_t to_add, int64_t added)
{
    if (set->replicas == 0 || to_add == 0 || to_add == added) {
        return 0;
    }
    int64_t part = fraction(rollout, set);
    return to_add > 0 ? min(part, to_add - added) : max(part, to_add - added);
}

/* Bigger sets first; among equals the newer one when growing, the older one when shrinking. */
static void sort_active(struct rollout_set **active, size_t count, bool growing)
{
    for (size_t i = 1; i < count; i++) {
        struct rollout_set *set = active[i];
        size_t at = i;
        while (at > 0 && (active[at - 1]->replicas < set->replicas ||
                          (growing && active[at - 1]->replicas == set->replicas))) {
            active[at] = active[at - 1];
            at--;
        }
        active[at] = set;
    }
}

static void share(struct rollout *rollout, struct rollout_set **active, size_t count)
{
    int64_t allowed = rollout->replicas > 0 ? rollout->replicas + rollout->max_surge : 0;
    int64_t to_add = allowed - rollout_sum(rollout), added = 0;
    sort_active(active, count, to_add > 0);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    int64_t *sizes = arena_array(&arena, int64_t, count + 1);
    for (size_t i = 0; i < count; i++) {
        int64_t part = proportion(rollout, active[i], to_add, added);
        sizes[i] = active[i]->replicas + part;
        added += part;
    }
    if (count > 0 && to_add != 0) {
        sizes[0] = max(sizes[0] + to_add - added, 0);
    }
    for (size_t i = 0; i < count; i++) {
        rollout_set_size(rollout, active[i], sizes[i]);
    }
}

void rollout_plan_scaling(struct rollout *rollout)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct rollout_set **active = arena_array(&arena, struct rollout_set *, rollout->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        if (rollout->sets[i].replicas > 0) {
            active[count++] = &rollout->sets[i];
        }
    }
    struct rollout_set *current = rollout->current;
    struct rollout_set *only = count == 1           ? active[0]
                               : count > 1          ? NULL
                               : current != NULL    ? current
                               : rollout->count > 0 ? &rollout->sets[rollout->count - 1]
                                                    : NULL;
    if (only != NULL) {
        rollout_set_size(rollout, only, rollout->replicas);
        return;
    }
    bool saturated = current != NULL && current->replicas == rollout->replicas &&
                     annotation(current, ANNOTATION_DESIRED, -1) == rollout->replicas &&
                     current->available == rollout->replicas;
    for (size_t i = 0; saturated && i < count; i++) {
        if (active[i] != current) {
            rollout_set_size(rollout, active[i], 0);
        }
    }
    if (!saturated && !rollout->recreate) {
        share(rollout, active, count);
    }
}
