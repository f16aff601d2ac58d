/* Counts and conditions of a Deployment: Available, Progressing (with its deadline),
 * ReplicaFailure.
 *
 * The reasons are part of the API: `kubectl rollout status` and GitOps tools read them. Progress is
 * a count that moved since the last status; its deadline runs from the condition's lastUpdateTime.
 */
#include "controllers/apps/deployment_int.h"

static struct str copy_time(struct arena *arena, int64_t wall_ns)
{
    char text[TIME_TEXT_SIZE];
    size_t n = time_format(wall_ns, text);
    return str_at(arena_dup(arena, text, n), n);
}

struct change {
    const char *type, *state, *reason, *message;
    bool refresh; /* also when state and reason are as before: lastUpdateTime moves */
};

static void remove_condition(struct val *status, const char *type)
{
    struct val *old = condition_find(status, str_of(type));
    if (old != NULL) {
        val_remove(val_get(status, "conditions"), old);
    }
}

static void set_condition(struct pass *pass, struct val *status, const struct change *change)
{
    struct arena *arena = pass->arena;
    struct val *old = condition_find(status, str_of(change->type));
    bool same_state = old != NULL && str_is(val_text(val_get(old, "status")), change->state);
    bool same_reason = old != NULL && str_is(val_text(val_get(old, "reason")), change->reason);
    if (same_state && same_reason && !change->refresh) {
        return;
    }
    struct str now = copy_time(arena, pass->now);
    struct str since = same_state ? val_text(val_get(old, "lastTransitionTime")) : now;
    if (old != NULL) {
        val_remove(val_get(status, "conditions"), old);
    }
    struct val *condition =
        val_append(val_make_array(arena, status, STR("conditions")), val_new(arena, VAL_OBJECT));
    val_set_text(arena, condition, STR("type"), str_of(change->type));
    val_set_text(arena, condition, STR("status"), str_of(change->state));
    val_set_text(arena, condition, STR("lastUpdateTime"), now);
    val_set_text(arena, condition, STR("lastTransitionTime"), since);
    val_set_text(arena, condition, STR("reason"), str_of(change->reason));
    val_set_text(arena, condition, STR("message"), str_of(change->message));
}

static int64_t count_of(const struct val *status, const char *name)
{
    return val_int(val_get_str(status, str_of(name)), 0);
}

static void set_counts(struct pass *pass, struct rollout *rollout, struct val *status)
{
    int64_t replicas = 0, ready = 0, available = 0, terminating = 0;
    for (size_t i = 0; i < rollout->count; i++) {
        const struct rollout_set *set = &rollout->sets[i];
        replicas += set->actual;
        ready += set->ready;
        available += set->available;
        terminating += set->terminating;
    }
    int64_t unavailable = rollout_sum(rollout) - available;
    struct arena *arena = pass->arena;
    val_set_int(arena, status, STR("observedGeneration"),
                val_int(val_path(rollout->value, "metadata.generation"), 0));
    val_set_int(arena, status, STR("replicas"), replicas);
    val_set_int(arena, status, STR("updatedReplicas"),
                rollout->current != NULL ? rollout->current->actual : 0);
    val_set_int(arena, status, STR("readyReplicas"), ready);
    val_set_int(arena, status, STR("availableReplicas"), available);
    val_set_int(arena, status, STR("unavailableReplicas"), unavailable > 0 ? unavailable : 0);
    val_set_int(arena, status, STR("terminatingReplicas"), terminating);
    bool enough = available >= rollout->replicas - rollout->max_unavailable;
    set_condition(pass, status,
                  enough
                      ? &(struct change){"Available", "True", "MinimumReplicasAvailable",
                                         "Deployment has minimum availability.", false}
                      : &(struct change){"Available", "False", "MinimumReplicasUnavailable",
                                         "Deployment does not have minimum availability.", false});
}

bool rollout_is_complete(const struct rollout *rollout, const struct val *status)
{
    return count_of(status, "updatedReplicas") == rollout->replicas &&
           count_of(status, "replicas") == rollout->replicas &&
           count_of(status, "availableReplicas") == rollout->replicas &&
           count_of(status, "observedGeneration") >=
               val_int(val_path(rollout->value, "metadata.generation"), 0);
}

static bool has_progressed(const struct val *old, const struct val *now)
{
    int64_t old_left = count_of(old, "replicas") - count_of(old, "updatedReplicas");
    int64_t now_left = count_of(now, "replicas") - count_of(now, "updatedReplicas");
    return count_of(now, "updatedReplicas") > count_of(old, "updatedReplicas") ||
           now_left < old_left || count_of(now, "readyReplicas") > count_of(old, "readyReplicas") ||
           count_of(now, "availableReplicas") > count_of(old, "availableReplicas");
}

static bool has_reason(const struct val *condition, const char *reason)
{
    return str_is(val_text(val_get(condition, "reason")), reason);
}

/* Wall ns at which the deadline passes; INT64_MAX when none is running. */
static int64_t deadline_at(const struct rollout *rollout, const struct val *progressing)
{
    int64_t from;
    int64_t seconds = val_int(val_path(rollout->value, "spec.progressDeadlineSeconds"), -1);
    if (progressing == NULL || seconds < 0 || seconds >= INT32_MAX ||
        has_reason(progressing, "NewReplicaSetAvailable") ||
        !time_parse(val_text(val_get(progressing, "lastUpdateTime")), &from)) {
        return INT64_MAX;
    }
    return from + seconds * NS_PER_S;
}

static const char *say(struct pass *pass, struct rollout *rollout, const char *what)
{
    struct str name = rollout->current != NULL ? rollout->current->object->name : pass->name;
    return arena_printf(pass->arena, "%s \"%.*s\" %s",
                        rollout->current != NULL ? "ReplicaSet" : "Deployment", STR_ARG(name),
                        what);
}

static void set_progressing(struct pass *pass, struct rollout *rollout, const struct val *old,
                            struct val *status)
{
    const struct val *condition = condition_find(status, STR("Progressing"));
    bool settled = count_of(status, "replicas") == count_of(status, "updatedReplicas") &&
                   has_reason(condition, "NewReplicaSetAvailable");
    if (settled && rollout->create_error == NULL) {
        return;
    }
    if (rollout->create_error != NULL) {
        set_condition(pass, status,
                      &(struct change){"Progressing", "False", "ReplicaSetCreateError",
                                       rollout->create_error, false});
    } else if (rollout_is_complete(rollout, status)) {
        set_condition(pass, status,
                      &(struct change){"Progressing", "True", "NewReplicaSetAvailable",
                                       say(pass, rollout, "has successfully progressed."), false});
    } else if (has_progressed(old, status)) {
        set_condition(pass, status,
                      &(struct change){"Progressing", "True", "ReplicaSetUpdated",
                                       say(pass, rollout, "is progressing."), true});
    } else if (has_reason(condition, "ProgressDeadlineExceeded") ||
               deadline_at(rollout, condition) < pass->now) {
        set_condition(pass, status,
                      &(struct change){"Progressing", "False", "ProgressDeadlineExceeded",
                                       say(pass, rollout, "has timed out progressing."), false});
    }
}

static void set_replica_failure(struct pass *pass, struct rollout *rollout, struct val *status)
{
    const struct val *failure = NULL;
    for (size_t i = 0; i < rollout->count; i++) {
        const struct val *found =
            condition_find(val_get(rollout->sets[i].value, "status"), STR("ReplicaFailure"));
        if (found != NULL && (failure == NULL || &rollout->sets[i] == rollout->current)) {
            failure = found;
        }
    }
    if (failure == NULL) {
        remove_condition(status, "ReplicaFailure");
        return;
    }
    struct arena *arena = pass->arena;
    set_condition(
        pass, status,
        &(struct change){"ReplicaFailure", str_dup_in(arena, val_text(val_get(failure, "status"))),
                         str_dup_in(arena, val_text(val_get(failure, "reason"))),
                         str_dup_in(arena, val_text(val_get(failure, "message"))), false});
}

/* Pausing stops the progress clock, resuming starts it anew. */
static void set_paused(struct pass *pass, struct rollout *rollout, struct val *status)
{
    const struct val *condition = condition_find(status, STR("Progressing"));
    bool was_paused = has_reason(condition, "DeploymentPaused");
    if (has_reason(condition, "ProgressDeadlineExceeded")) {
        return;
    }
    if (rollout->paused && !was_paused) {
        set_condition(pass, status,
                      &(struct change){"Progressing", "Unknown", "DeploymentPaused",
                                       "Deployment is paused", true});
    } else if (!rollout->paused && was_paused) {
        set_condition(pass, status,
                      &(struct change){"Progressing", "Unknown", "DeploymentResumed",
                                       "Deployment is resumed", true});
    }
}

static void set_news(struct pass *pass, struct rollout *rollout, struct val *status)
{
    if (rollout->created_name != NULL) {
        set_condition(pass, status,
                      &(struct change){"Progressing", "True", "NewReplicaSetCreated",
                                       arena_printf(pass->arena, "Created new replica set \"%s\"",
                                                    rollout->created_name),
                                       true});
    } else if (rollout->found_name != NULL && condition_find(status, STR("Progressing")) == NULL) {
        set_condition(pass, status,
                      &(struct change){"Progressing", "True", "FoundNewReplicaSet",
                                       arena_printf(pass->arena, "Found new replica set \"%s\"",
                                                    rollout->found_name),
                                       true});
    }
}

void rollout_status(struct pass *pass, struct rollout *rollout, struct val *status)
{
    const struct val *old = val_copy(pass->arena, status);
    int64_t seconds = val_int(val_path(rollout->value, "spec.progressDeadlineSeconds"), -1);
    bool has_deadline = seconds >= 0 && seconds < INT32_MAX;
    set_counts(pass, rollout, status);
    if (has_deadline && !rollout->object->deleting) {
        set_paused(pass, rollout, status);
        set_news(pass, rollout, status);
    }
    if (rollout->plain_status) {
        return;
    }
    set_replica_failure(pass, rollout, status);
    if (!has_deadline) {
        remove_condition(status, "Progressing");
        return;
    }
    set_progressing(pass, rollout, old, status);
    const struct val *condition = condition_find(status, STR("Progressing"));
    int64_t due = deadline_at(rollout, condition);
    if (due != INT64_MAX && !has_reason(condition, "ProgressDeadlineExceeded") &&
        !rollout_is_complete(rollout, status)) {
        pass_after(pass, due - pass->now + NS_PER_S);
    }
}

bool rollout_same_status(const struct val *a, const struct val *b)
{
    static const char *const counts[] = {"observedGeneration",  "replicas",
                                         "updatedReplicas",     "readyReplicas",
                                         "availableReplicas",   "unavailableReplicas",
                                         "terminatingReplicas", "collisionCount"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (count_of(a, counts[i]) != count_of(b, counts[i])) {
            return false;
        }
    }
    const struct val *x = val_get(a, "conditions"), *y = val_get(b, "conditions");
    return val_count(x) == val_count(y) && (val_count(x) == 0 || val_equal(x, y));
}
