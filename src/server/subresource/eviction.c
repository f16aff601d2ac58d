/* eviction.c: pods/eviction: a delete that a PodDisruptionBudget may refuse.
 *
 * The budget's status is a companion of the pod's deletion (write/change.h): how many disruptions
 * are left is asked of its newest state on the store's thread, and one is taken off in the commit
 * that deletes the pod. So a budget is never overdrawn by evictions at the same time, and none is
 * spent for a pod that was not deleted. The disruption controller gives back what came to an end.
 */
#include "server/server_int.h"
#include "server/subresource/subresource.h"
#include "server/write/deletion.h"
#include "server/write/pipeline.h"

enum { DISRUPTED_MAX = 2000, PROCESSING_RETRY_S = 10, WHY_MAX = 600 };

struct eviction {
    struct deletion deletion;
    struct request *request;
    const struct api_resource *budgets;
};

enum verdict { SPENT_ONE, BEING_PROCESSED, NEGATIVE, TOO_MANY_PENDING, NONE_LEFT };

struct spend { /* one disruption of a budget */
    struct change_companion companion;
    struct str uid, pod;
    int64_t now_wall_ns;
    enum verdict verdict;
    size_t why_n;
    char why[WHY_MAX]; /* of NONE_LEFT */
};

/* ---- on the store's thread ---- */

static int64_t number(const struct val *status, const char *key)
{
    return val_int(val_get_str(status, str_of(key)), 0);
}

static void say_none_left(struct spend *spend, struct str name, const struct val *status)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    const struct val *condition =
        val_find(val_get(status, "conditions"), "type", STR("DisruptionAllowed"));
    struct str reason = val_text(val_get(condition, "reason"));
    struct str message = val_text(val_get(condition, "message"));
    bool told = str_is(val_text(val_get(condition, "status")), "False") && message.n > 0;
    buf_printf(&out, "The disruption budget %.*s ", STR_ARG(name));
    if (told && str_is(reason, "SyncFailed")) {
        buf_printf(&out, "does not allow evicting pods currently because it failed sync: %.*s",
                   STR_ARG(message));
    } else if (number(status, "currentHealthy") <= number(status, "desiredHealthy")) {
        buf_printf(&out, "needs %lld healthy pods and has %lld currently",
                   (long long)number(status, "desiredHealthy"),
                   (long long)number(status, "currentHealthy"));
    } else if (told) {
        buf_printf(&out, "does not allow evicting pods currently (%.*s): %.*s", STR_ARG(reason),
                   STR_ARG(message));
    } else {
        buf_addz(&out, "does not allow evicting pods currently");
    }
    spend->why_n = out.n < WHY_MAX ? out.n : WHY_MAX;
    memcpy(spend->why, out.p, spend->why_n);
}

static enum verdict judge(struct spend *spend, const struct val *budget, const struct val *status)
{
    int64_t allowed = number(status, "disruptionsAllowed");
    if (number(status, "observedGeneration") <
        val_int(val_path(budget, "metadata.generation"), 0)) {
        return BEING_PROCESSED;
    }
    if (allowed < 0) {
        return NEGATIVE;
    }
    if (val_count(val_get(status, "disruptedPods")) > DISRUPTED_MAX) {
        return TOO_MANY_PENDING;
    }
    if (allowed == 0) {
        say_none_left(spend, val_name(budget), status);
        return NONE_LEFT;
    }
    return SPENT_ONE;
}

/* The condition follows the number. */
static void say_insufficient(struct arena *arena, struct val *status, struct str now)
{
    struct val *list = val_make_array(arena, status, STR("conditions"));
    struct val *condition = val_find(list, "type", STR("DisruptionAllowed"));
    if (condition == NULL) {
        condition = val_append(list, val_new(arena, VAL_OBJECT));
        val_set_text(arena, condition, STR("type"), STR("DisruptionAllowed"));
    }
    if (!str_is(val_text(val_get(condition, "status")), "False")) {
        val_set_text(arena, condition, STR("lastTransitionTime"), now);
    }
    val_set_text(arena, condition, STR("status"), STR("False"));
    val_set_text(arena, condition, STR("reason"), STR("InsufficientPods"));
    val_set_text(arena, condition, STR("message"), STR(""));
    val_set_int(arena, condition, STR("observedGeneration"), number(status, "observedGeneration"));
}

static int derive(struct companion *companion, struct object *current, struct object **ret_next,
                  struct err *err)
{
    struct spend *spend = container_of(container_of(companion, struct change_companion, companion),
                                       struct spend, companion);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    char time[TIME_TEXT_SIZE];
    if (current == NULL || !str_eq(current->uid, spend->uid)) {
        return 0; /* the budget is gone */
    }
    struct val *budget = object_decode(current, &arena);
    struct val *status = val_make_object(&arena, budget, STR("status"));
    spend->verdict = judge(spend, budget, status);
    if (spend->verdict != SPENT_ONE) {
        return err_set(err, ERR_TOO_MANY, "the disruption budget does not allow it");
    }
    struct str now = str_at(time, time_format(spend->now_wall_ns, time));
    int64_t left = number(status, "disruptionsAllowed") - 1;
    val_set_int(&arena, status, STR("disruptionsAllowed"), left);
    if (left == 0) {
        say_insufficient(&arena, status, now);
    }
    val_set_text(&arena, val_make_object(&arena, status, STR("disruptedPods")), spend->pod, now);
    *ret_next = object_new(current->resource, budget, 0);
    return 0;
}

/* ---- on the request's loop ---- */

static void blame(struct failure *failure, struct arena *arena, struct str message)
{
    struct failure_cause *cause = arena_new(arena, struct failure_cause);
    *cause = (struct failure_cause){.reason = STR("DisruptionBudget"), .message = message};
    failure->causes = cause;
    failure->cause_count = 1;
}

static void explain(struct change_companion *companion, struct change *change,
                    struct failure *failure)
{
    const struct spend *spend = container_of(companion, struct spend, companion);
    struct arena *arena = &change->arena;
    struct str name = companion->companion.name;
    bool negative = spend->verdict == NEGATIVE;
    if (negative || spend->verdict == TOO_MANY_PENDING) {
        failure_set(failure, arena, ERR_FORBIDDEN,
                    "poddisruptionbudget.policy \"%.*s\" is forbidden: %s", STR_ARG(name),
                    negative ? "pdb disruptions allowed is negative"
                             : "DisruptedPods map too big - too many evictions not confirmed by "
                               "PDB controller");
        blame(failure, arena,
              str_of(arena_printf(
                  arena, "The disruption budget %.*s does not allow evicting pods currently: %s",
                  STR_ARG(name),
                  negative ? "pdb disruptions allowed is negative"
                           : "too many pending evictions not confirmed by PDB controller")));
        failure->name = name;
        failure->group = STR("policy");
        failure->kind = STR("poddisruptionbudget");
        return;
    }
    failure_set(failure, arena, ERR_TOO_MANY,
                "Cannot evict pod as it would violate the pod's disruption budget.");
    bool processed = spend->verdict == BEING_PROCESSED;
    failure->retry_after_s = processed ? PROCESSING_RETRY_S : 0;
    blame(failure, arena,
          processed ? str_of(arena_printf(arena,
                                          "The disruption budget %.*s is still being processed by "
                                          "the server.",
                                          STR_ARG(name)))
                    : str_at(spend->why, spend->why_n));
}

/* Finished pods, those that never ran, and those that go anyway hold no budget up. */
static bool ignores_budgets(const struct val *pod)
{
    struct str phase = val_text(val_path(pod, "status.phase"));
    return str_is(phase, "Succeeded") || str_is(phase, "Failed") || str_is(phase, "Pending") ||
           !val_absent(val_path(pod, "metadata.deletionTimestamp"));
}

static bool is_ready(const struct val *pod)
{
    const struct val *condition =
        val_find(val_path(pod, "status.conditions"), "type", STR("Ready"));
    return str_is(val_text(val_get(condition, "status")), "True");
}

/* The budgets of the namespace that select the pod: how many, and the first. */
static size_t find_budget(struct eviction *eviction, const struct object *pod,
                          struct object **ret_budget)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct snapshot *snapshot = snapshot_take(eviction->request->server->cache, eviction->budgets);
    struct snapshot_iter iter;
    const struct object *it;
    size_t count = 0;
    snapshot_iter_init(&iter, snapshot, pod->ns, NULL, NULL, STR_NONE, STR_NONE);
    while ((it = snapshot_next(&iter)) != NULL) {
        struct selector selector = {0};
        arena_reset(&arena);
        const struct val *wanted = val_path(object_decode(it, &arena), "spec.selector");
        if (selector_from_val(&arena, wanted, &selector, NULL) < 0 ||
            !selector_matches(&selector, pod)) {
            continue;
        }
        if (count++ == 0) {
            *ret_budget = object_ref((struct object *)(uintptr_t)it);
        }
    }
    snapshot_release(snapshot);
    return count;
}

/* A pod that is not ready may go, when the budget says so or is met without it. */
static bool spares(const struct object *budget, const struct val *pod, struct arena *arena)
{
    const struct val *value = object_decode(budget, arena);
    const struct val *status = val_get(value, "status");
    struct str policy = val_text(val_path(value, "spec.unhealthyPodEvictionPolicy"));
    return !is_ready(pod) &&
           (str_is(policy, "AlwaysAllow") ||
            (number(status, "currentHealthy") >= number(status, "desiredHealthy") &&
             number(status, "desiredHealthy") > 0));
}

static int spend_one(struct eviction *eviction, const struct object *pod, struct failure *failure)
{
    struct change *change = &eviction->deletion.change;
    struct arena scratch ARENA_CLEANUP = ARENA_INIT;
    struct arena *arena = &change->arena;
    struct object *budget = NULL;
    const struct val *value = object_decode(pod, &scratch);
    if (eviction->budgets == NULL || ignores_budgets(value)) {
        return 0;
    }
    size_t count = find_budget(eviction, pod, &budget);
    if (count == 1 && !spares(budget, value, &scratch)) {
        struct spend *spend = arena_new(arena, struct spend);
        spend->companion.companion = (struct companion){.resource = budget->resource,
                                                        .ns = str_copy_in(arena, budget->ns),
                                                        .name = str_copy_in(arena, budget->name),
                                                        .derive = derive};
        spend->companion.explain = explain;
        spend->uid = str_copy_in(arena, budget->uid);
        spend->pod = str_copy_in(arena, pod->name);
        spend->now_wall_ns = clock_wall(loop_clock(change->loop));
        change_accompany(change, &spend->companion);
    }
    object_unref(budget);
    return count > 1 ? failure_set(failure, arena, ERR_INTERNAL,
                                   "This pod has more than one PodDisruptionBudget, which the "
                                   "eviction subresource does not support.")
                     : 0;
}

static void set_target(struct eviction *eviction, struct val *pod)
{
    struct arena *arena = &eviction->deletion.change.arena;
    char time[TIME_TEXT_SIZE];
    size_t n = time_format(clock_wall(loop_clock(eviction->request->loop)), time);
    struct val *status = val_make_object(arena, pod, STR("status"));
    struct val *list = val_make_array(arena, status, STR("conditions"));
    struct val *condition = val_find(list, "type", STR("DisruptionTarget"));
    if (condition == NULL) {
        condition = val_append(list, val_new(arena, VAL_OBJECT));
        val_set_text(arena, condition, STR("type"), STR("DisruptionTarget"));
    }
    val_set_text(arena, condition, STR("status"), STR("True"));
    val_set_text(arena, condition, STR("reason"), STR("EvictionByEvictionAPI"));
    val_set_text(arena, condition, STR("message"), STR("Eviction API: evicting"));
    val_set_text(arena, condition, STR("lastTransitionTime"), str_copy_in(arena, str_at(time, n)));
}

static int plan(struct change *change, struct object *current, struct plan *ret_plan,
                struct failure *failure)
{
    struct eviction *eviction =
        container_of(container_of(change, struct deletion, change), struct eviction, deletion);
    int code = deletion_plan(change, current, ret_plan, failure);
    if (code < 0 || ret_plan->kind == PLAN_NOTHING) {
        return code;
    }
    if (ret_plan->value == NULL) {
        ret_plan->value = pipeline_decode(change, current); /* what is seen of it last */
    }
    set_target(eviction, ret_plan->value);
    return spend_one(eviction, current, failure);
}

static void done(struct change *change)
{
    struct eviction *eviction =
        container_of(container_of(change, struct deletion, change), struct eviction, deletion);
    struct request *request = eviction->request;
    if (change->failure.code != 0) {
        change_fail(change, request);
        return;
    }
    change_done(change);
    subresource_answer_created(request);
}

static int read_options(struct request *request, const struct val *options,
                        struct deletion *deletion, struct failure *failure)
{
    struct str version = val_text(val_path(options, "preconditions.resourceVersion"));
    deletion->grace_s = val_int(val_get(options, "gracePeriodSeconds"), -1);
    deletion->propagation = val_text(val_get(options, "propagationPolicy"));
    deletion->uid = val_text(val_path(options, "preconditions.uid"));
    if (version.n > 0 && !str_u64(version, &deletion->version)) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "deleteOptions.preconditions.resourceVersion: must be an unsigned "
                           "integer");
    }
    if (val_bool(val_get(options, "ignoreStoreReadErrorWithClusterBreakingPotential"), false)) {
        struct field_errors errors = {.arena = &request->arena};
        field_error_add(&errors, "FieldValueInvalid",
                        STR("deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential"),
                        "Invalid value: true: can not be set for pod eviction, try after removing "
                        "the option");
        return failure_invalid(failure, &request->arena, STR("policy"), STR("Eviction"),
                               request->route.name, &errors);
    }
    return 0;
}

static int read_body(struct request *request, struct eviction *eviction, struct failure *failure)
{
    struct val *body = NULL;
    const struct api_struct *type = schema_struct(STR("io.k8s.api.policy.v1.Eviction"));
    int code = request_decode_kind(request, type, "policy", "v1", "Eviction", &body, failure);
    if (code < 0) {
        return code;
    }
    struct str name = val_name(body);
    if (name.n > 0 && !str_eq(name, request->route.name)) {
        return failure_set(failure, &request->arena, ERR_BAD_REQUEST,
                           "name in URL does not match name in Eviction object");
    }
    const struct val *options = val_get(body, "deleteOptions");
    request->options.dry_run =
        request->options.dry_run || val_count(val_get(options, "dryRun")) > 0;
    return read_options(request, options, &eviction->deletion, failure);
}

void subresource_eviction(struct request *request)
{
    struct failure failure;
    struct eviction *eviction = arena_new(&request->arena, struct eviction);
    if (read_body(request, eviction, &failure) < 0) {
        request_fail(request, &failure);
        return;
    }
    eviction->request = request;
    eviction->budgets = request->server->known.budgets;
    eviction->deletion.request = request;
    eviction->deletion.change = (struct change){.server = request->server,
                                                .loop = request->loop,
                                                .resource = request->server->known.pods,
                                                .ns = request->route.ns,
                                                .name = request->route.name,
                                                .dry_run = request->options.dry_run,
                                                .plan = plan,
                                                .done = done};
    change_start(&eviction->deletion.change);
}
