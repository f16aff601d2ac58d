/* Counting the ends of a Job's pods exactly once, and its conditions.
 *
 * A pod carries our finalizer from its creation. When it has ended, its uid goes into
 * status.uncountedTerminatedPods (an Indexed Job notes a success in completedIndexes instead); only
 * when that is stored the finalizer is removed; only when the pod is seen without it the uid
 * becomes a count. A crash between any two of these loses nothing and counts nothing twice. The
 * status is written with the resourceVersion it was computed from.
 *
 * A Job ends in two steps: SuccessCriteriaMet or FailureTarget first, and when no pod is left that
 * runs, ends or waits to be counted, Complete or Failed with the same reason.
 */
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "client/recorder.h"
#include "controllers/batch/job_int.h"
#include "controllers/finalizers.h"

enum { UNCOUNTED_MAX = 500 };

static bool has_condition(const struct val *job, const char *type)
{
    const struct val *condition = condition_find(val_get(job, "status"), str_of(type));
    return str_is(val_text(val_get(condition, "status")), "True");
}

bool job_is_finished(const struct val *job)
{
    return has_condition(job, "Complete") || has_condition(job, "Failed");
}

/* ---- loading ---- */

static int64_t annotation_number(const struct val *pod, const char *name, int64_t otherwise)
{
    int64_t number;
    struct str text = val_text(val_get_str(val_path(pod, "metadata.annotations"), str_of(name)));
    return str_i64(text, &number) ? number : otherwise;
}

static int64_t finish_time(const struct val *pod, int64_t otherwise)
{
    int64_t last = 0, at;
    VAL_EACH (it, val_path(pod, "status.containerStatuses")) {
        if (time_parse(val_text(val_path(it, "state.terminated.finishedAt")), &at) && at > last) {
            last = at;
        }
    }
    if (last == 0) {
        const struct val *ready = condition_find(val_get(pod, "status"), STR("Ready"));
        time_parse(val_text(val_get(ready, "lastTransitionTime")), &last);
    }
    if (last == 0) {
        time_parse(val_text(val_path(pod, "metadata.deletionTimestamp")), &last);
    }
    return last > 0 ? last : otherwise;
}

static void load_spec(struct job_pass *work)
{
    const struct val *spec = val_get(work->job, "spec");
    work->indexed = str_is(val_text(val_get(spec, "completionMode")), "Indexed");
    work->on_failure = str_is(val_text(val_path(spec, "template.spec.restartPolicy")), "OnFailure");
    work->suspended = val_bool(val_get(spec, "suspend"), false);
    work->completions = val_int(val_get(spec, "completions"), -1);
    work->parallelism = val_int(val_get(spec, "parallelism"), 1);
    work->index_limit = val_int(val_get(spec, "backoffLimitPerIndex"), -1);
    work->per_index = work->indexed && work->index_limit >= 0;
    work->backoff_limit = val_int(val_get(spec, "backoffLimit"), work->per_index ? INT32_MAX : 6);
    work->only_replace_failed = str_is(val_text(val_get(spec, "podReplacementPolicy")), "Failed") ||
                                !val_absent(val_get(spec, "podFailurePolicy"));
}

static bool is_in(const struct val *list, struct str uid)
{
    VAL_EACH (it, list) {
        if (str_eq(val_text(it), uid)) {
            return true;
        }
    }
    return false;
}

/* What only the whole pod tells: decoded for those that are not settled yet. */
static void look_inside(struct pass *pass, struct job_pass *work, struct job_pod *pod)
{
    const struct object *object = pod->brief.object;
    const struct val *uncounted = val_path(work->job, "status.uncountedTerminatedPods");
    bool ended = pod->failed || pod->succeeded;
    if (!ended && !work->per_index && !work->on_failure) {
        return;
    }
    pod->value = object_decode(object, pass->arena);
    pod->index_failures = annotation_number(pod->value, JOB_INDEX_FAILURES, 0);
    pod->index_ignored = annotation_number(pod->value, JOB_INDEX_IGNORED, 0);
    pod->uncounted = is_in(val_get(uncounted, "succeeded"), object->uid) ||
                     is_in(val_get(uncounted, "failed"), object->uid);
    pod->finished = finish_time(pod->value, pass->now);
    if (pod->failed) {
        const char *message = NULL;
        pod->action = job_policy_match(pass->arena, work->job, pod->value, &message);
        if (pod->action == JOB_FAIL_JOB && work->end_type == NULL) {
            work->end_type = "FailureTarget";
            work->end_reason = "PodFailurePolicy";
            work->end_message = message;
        }
    }
}

static void load_pod(struct pass *pass, struct job_pass *work, struct object *object,
                     struct job_pod *pod)
{
    pass_hold(pass, object);
    pod_cache_get(work->all->briefs, object, &pod->brief);
    pod->tracked = finalizer_has(object, JOB_FINALIZER);
    pod->index = -1;
    str_i64(object_label_get(object, STR(JOB_INDEX)), &pod->index);
    pod->succeeded = pod->brief.phase == POD_SUCCEEDED;
    pod->failed = pod->brief.phase == POD_FAILED ||
                  (!work->only_replace_failed && object->deleting && !pod->succeeded);
    if (!pod->tracked && pod_is_finished(&pod->brief) && !work->per_index) {
        return; /* counted long ago: of a big Job most pods are */
    }
    if (pod->tracked || work->per_index) {
        look_inside(pass, work, pod);
    }
}

/* Whether the pod's end is still to be noted. */
static bool is_news(const struct job_pod *pod)
{
    return pod->tracked && !pod->uncounted && (pod->failed || pod->succeeded);
}

static void count_pod(struct job_pass *work, struct job_pod *pod)
{
    if (job_pod_is_active(pod)) {
        work->active++;
        work->ready += pod->brief.ready;
    } else if (pod->brief.object->deleting && !pod_is_finished(&pod->brief)) {
        work->terminating++;
    }
    if (!is_news(pod)) {
        return;
    }
    if (pod->succeeded) {
        index_set_add(&work->completed, pod->index);
        work->new_succeeded++;
    } else if (pod->action != JOB_IGNORE) {
        work->new_failed++;
        if (work->per_index &&
            (pod->action == JOB_FAIL_INDEX || pod->index_failures >= work->index_limit)) {
            index_set_add(&work->failed_indexes, pod->index);
        }
    }
}

static int64_t attempts(const struct job_pod *pod)
{
    return pod->index_failures + pod->index_ignored;
}

static void index_pod(struct job_pass *work, struct job_pod *pod)
{
    if (pod->index < 0 || pod->index >= work->completions || !work->indexed) {
        return;
    }
    struct job_index *index = &work->by_index[pod->index];
    const struct object *object = pod->brief.object;
    bool active = job_pod_is_active(pod);
    if (active && (index->holder == NULL || pod->brief.created < index->holder->brief.created)) {
        index->holder = pod;
    }
    if (pod->failed &&
        (index->last_failed == NULL || attempts(pod) > attempts(index->last_failed))) {
        index->last_failed = pod;
    }
    index->attempts = attempts(pod) > index->attempts ? attempts(pod) : index->attempts;
    index->taken |=
        active || (work->only_replace_failed && object->deleting && !pod_is_finished(&pod->brief));
}

bool job_load(struct pass *pass, struct job_pass *work)
{
    struct jobs *all = work->all;
    struct object *object = informer_get(all->jobs, pass->ns, pass->name);
    if (object == NULL || (work->object != NULL && !str_eq(object->uid, work->object->uid))) {
        return false;
    }
    work->object = pass_hold(pass, object);
    work->job = object_decode(object, pass->arena);
    work->end_type = work->end_reason = work->end_message = NULL;
    work->active = work->terminating = work->ready = work->new_failed = work->new_succeeded = 0;
    load_spec(work);
    const struct val *status = val_get(work->job, "status");
    int64_t size = work->indexed ? work->completions : 0;
    index_set_init(pass->arena, &work->completed, size);
    index_set_init(pass->arena, &work->failed_indexes, size);
    index_set_init(pass->arena, &work->stored_completed, size);
    work->by_index = arena_array(pass->arena, struct job_index, (size > 0 ? size : 0) + 1);
    index_set_parse(&work->stored_completed, val_text(val_get(status, "completedIndexes")));
    index_set_parse(&work->completed, val_text(val_get(status, "completedIndexes")));
    index_set_parse(&work->failed_indexes, val_text(val_get(status, "failedIndexes")));
    struct objects mine;
    children_of(pass->arena, all->pods, object->uid, &mine);
    pass_cost(pass, mine.count / 4);
    work->pods = arena_array(pass->arena, struct job_pod, mine.count + 1);
    work->count = mine.count;
    for (size_t i = 0; i < mine.count; i++) {
        load_pod(pass, work, mine.items[i], &work->pods[i]);
        count_pod(work, &work->pods[i]);
        index_pod(work, &work->pods[i]);
    }
    const struct val *uncounted = val_get(status, "uncountedTerminatedPods");
    work->succeeded = work->indexed
                          ? work->completed.count
                          : val_int(val_get(status, "succeeded"), 0) +
                                val_count(val_get(uncounted, "succeeded")) + work->new_succeeded;
    work->failed = val_int(val_get(status, "failed"), 0) + val_count(val_get(uncounted, "failed")) +
                   work->new_failed;
    return true;
}

/* ---- the ledger ---- */

static const struct job_pod *pod_of_uid(const struct job_pass *work, struct str uid)
{
    for (size_t i = 0; i < work->count; i++) {
        if (str_eq(work->pods[i].brief.object->uid, uid)) {
            return &work->pods[i];
        }
    }
    return NULL;
}

/* Moves uids whose pods have lost the finalizer into the count. */
static int64_t settle(struct val *list, const struct job_pass *work)
{
    int64_t settled = 0;
    for (struct val *it = list != NULL ? list->child : NULL, *next; it != NULL; it = next) {
        next = it->next;
        const struct job_pod *pod = pod_of_uid(work, val_text(it));
        if (pod == NULL || !pod->tracked) {
            val_remove(list, it);
            settled++;
        }
    }
    return settled;
}

/* Per-index back-off counts live on the failed pod until its successor is there. */
static bool must_stay(const struct job_pass *work, const struct job_pod *pod)
{
    if (!work->per_index || !pod->failed || work->end_type != NULL || work->suspended ||
        work->object->deleting) {
        return false;
    }
    if (index_set_has(&work->completed, pod->index) ||
        index_set_has(&work->failed_indexes, pod->index) || pod->index < 0 ||
        pod->index >= work->completions) {
        return false;
    }
    return work->by_index[pod->index].attempts == attempts(pod);
}

static void note_ends(struct arena *arena, struct job_pass *work, struct val *uncounted)
{
    struct val *succeeded = val_make_array(arena, uncounted, STR("succeeded"));
    struct val *failed = val_make_array(arena, uncounted, STR("failed"));
    for (size_t i = 0; i < work->count; i++) {
        const struct job_pod *pod = &work->pods[i];
        if (!is_news(pod) || succeeded->count + failed->count >= UNCOUNTED_MAX) {
            continue;
        }
        struct val *uid = val_new_text(arena, pod->brief.object->uid);
        if (pod->succeeded) {
            if (!work->indexed) {
                val_append(succeeded, uid);
            }
        } else if (pod->action != JOB_IGNORE && !must_stay(work, pod)) {
            val_append(failed, uid);
        }
    }
    if (succeeded->count == 0) {
        val_unset(uncounted, STR("succeeded"));
    }
    if (failed->count == 0) {
        val_unset(uncounted, STR("failed"));
    }
}

static bool update_ledger(struct arena *arena, struct job_pass *work, struct val *status)
{
    struct val *uncounted = val_make_object(arena, status, STR("uncountedTerminatedPods"));
    int64_t succeeded = settle(val_get(uncounted, "succeeded"), work);
    int64_t failed = settle(val_get(uncounted, "failed"), work);
    note_ends(arena, work, uncounted);
    val_set_int(arena, status, STR("succeeded"),
                work->indexed ? work->completed.count
                              : val_int(val_get(status, "succeeded"), 0) + succeeded);
    val_set_int(arena, status, STR("failed"), val_int(val_get(status, "failed"), 0) + failed);
    bool empty = val_count(val_get(uncounted, "succeeded")) == 0 &&
                 val_count(val_get(uncounted, "failed")) == 0;
    if (empty) {
        val_set(status, STR("uncountedTerminatedPods"), val_new(arena, VAL_OBJECT));
    }
    if (work->indexed) {
        struct str done = index_set_text(arena, &work->completed);
        struct str bad = index_set_text(arena, &work->failed_indexes);
        val_set_text(arena, status, STR("completedIndexes"), done);
        if (work->per_index) {
            val_set_text(arena, status, STR("failedIndexes"), bad);
        }
    }
    return empty;
}

/* ---- conditions ---- */

static void set_condition(struct pass *pass, struct val *status, const char *type, bool state,
                          const char *reason, const char *message)
{
    struct arena *arena = pass->arena;
    struct val *condition = condition_find(status, str_of(type));
    const char *text = state ? "True" : "False";
    if (condition != NULL && str_is(val_text(val_get(condition, "status")), text)) {
        return;
    }
    char now[TIME_TEXT_SIZE];
    time_format(pass->now, now);
    struct str at = str_copy_in(arena, str_of(now));
    if (condition == NULL) {
        condition = val_append(val_make_array(arena, status, STR("conditions")),
                               val_new(arena, VAL_OBJECT));
        val_set_text(arena, condition, STR("type"), str_of(type));
    }
    val_set_text(arena, condition, STR("status"), str_of(text));
    val_set_text(arena, condition, STR("lastProbeTime"), at);
    val_set_text(arena, condition, STR("lastTransitionTime"), at);
    val_set_text(arena, condition, STR("reason"), str_of(reason));
    val_set_text(arena, condition, STR("message"), str_of(message));
}

static void set_suspended(struct pass *pass, struct job_pass *work, struct val *status)
{
    bool was = has_condition(work->job, "Suspended");
    char now[TIME_TEXT_SIZE];
    size_t n = time_format(pass->now, now);
    if (work->suspended && !was) {
        set_condition(pass, status, "Suspended", true, "JobSuspended", "Job suspended");
        val_unset(status, STR("startTime"));
        recorder_event(work->all->recorder, work->object, "Normal", "Suspended", "Job suspended");
    } else if (!work->suspended && was) {
        set_condition(pass, status, "Suspended", false, "JobResumed", "Job resumed");
        recorder_event(work->all->recorder, work->object, "Normal", "Resumed", "Job resumed");
    }
    if (!work->suspended && val_absent(val_get(status, "startTime"))) {
        val_set_text(pass->arena, status, STR("startTime"),
                     str_at(arena_dup(pass->arena, now, n), n));
    }
}

/* No tracked pod is left whose end is not yet noted. */
static bool is_all_counted(const struct job_pass *work)
{
    for (size_t i = 0; i < work->count; i++) {
        if (work->pods[i].tracked) {
            return false;
        }
    }
    return work->active == 0 && work->terminating == 0;
}

static void set_end(struct pass *pass, struct job_pass *work, struct val *status, bool settled)
{
    if (work->end_type == NULL) {
        return;
    }
    bool success = str_is(str_of(work->end_type), "SuccessCriteriaMet");
    set_condition(pass, status, work->end_type, true, work->end_reason, work->end_message);
    if (!settled || !is_all_counted(work)) {
        return;
    }
    set_condition(pass, status, success ? "Complete" : "Failed", true, work->end_reason,
                  work->end_message);
    if (success) {
        char now[TIME_TEXT_SIZE];
        size_t n = time_format(pass->now, now);
        val_set_text(pass->arena, status, STR("completionTime"),
                     str_at(arena_dup(pass->arena, now, n), n));
    }
}

/* ---- writing ---- */

static void remove_finalizer(struct pass *pass, const struct job_pod *pod)
{
    struct object *object = pod->brief.object;
    struct val *meta, *body = pass_patch_body(pass, object, &meta);
    struct val *list =
        val_make_array(pass->arena, meta, STR("$deleteFromPrimitiveList/finalizers"));
    val_append(list, val_new_text(pass->arena, STR(JOB_FINALIZER)));
    pass_patch(pass, object, CLIENT_PATCH_STRATEGIC, "", body, NULL, NULL);
}

static bool may_go(const struct job_pass *work, const struct job_pod *pod)
{
    if (!pod->tracked || must_stay(work, pod)) {
        return false;
    }
    if (work->object->deleting) {
        return true;
    }
    if (pod->succeeded) { /* noted by uid, or by its index */
        return pod->uncounted ||
               (work->indexed && (pod->index < 0 || pod->index >= work->completions ||
                                  index_set_has(&work->stored_completed, pod->index)));
    }
    return pod->failed && (pod->uncounted || pod->action == JOB_IGNORE);
}

/* After the ledger is stored: lets go of what it holds. */
static void release_noted(struct pass *pass, void *arg)
{
    struct job_pass *work = arg;
    const char *end = work->end_type;
    if (!job_load(pass, work)) {
        return;
    }
    work->end_type = end != NULL ? end : work->end_type;
    bool any = false;
    for (size_t i = 0; i < work->count; i++) {
        if (may_go(work, &work->pods[i])) {
            remove_finalizer(pass, &work->pods[i]);
            any = true;
        }
    }
    if (any) {
        pass_again(pass);
    }
}

/* What the server may leave out counts as its empty value. */
static bool is_same_status(const struct val *a, const struct val *b)
{
    static const char *const numbers[] = {"active", "succeeded", "failed", "ready", "terminating"};
    static const char *const texts[] = {"startTime", "completionTime", "completedIndexes",
                                        "failedIndexes"};
    static const char *const lists[] = {"conditions"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct str key = str_of(numbers[i]);
        if (val_int(val_get_str(a, key), 0) != val_int(val_get_str(b, key), 0)) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct str key = str_of(texts[i]);
        if (!str_eq(val_text(val_get_str(a, key)), val_text(val_get_str(b, key)))) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const struct val *x = val_get_str(a, str_of(lists[i])),
                         *y = val_get_str(b, str_of(lists[i]));
        if (val_count(x) != val_count(y) || (val_count(x) > 0 && !val_equal(x, y))) {
            return false;
        }
    }
    const char *both[] = {"succeeded", "failed"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *x = val_get_str(val_get(a, "uncountedTerminatedPods"), str_of(both[i]));
        const struct val *y = val_get_str(val_get(b, "uncountedTerminatedPods"), str_of(both[i]));
        if (val_count(x) != val_count(y) || (val_count(x) > 0 && !val_equal(x, y))) {
            return false;
        }
    }
    return true;
}

struct job_backoff job_backoff_now(const struct job_pass *work)
{
    const struct job_backoff *record = map_get(work->all->backoffs, work->object->uid);
    struct job_backoff now = {0};
    if (record != NULL) {
        now = *record;
    }
    for (size_t i = 0; i < work->count; i++) {
        const struct job_pod *pod = &work->pods[i];
        if (!is_news(pod)) {
            continue;
        }
        if (pod->succeeded && pod->finished >= now.last_ns) {
            now.failures = 0;
        } else if (pod->failed && pod->action != JOB_IGNORE) {
            now.failures++;
            now.last_ns = pod->finished > now.last_ns ? pod->finished : now.last_ns;
        }
    }
    return now;
}

static void keep_backoff(struct job_pass *work)
{
    struct map *backoffs = work->all->backoffs;
    if (work->new_failed + work->new_succeeded == 0) {
        return;
    }
    struct job_backoff *record = map_get(backoffs, work->object->uid);
    if (record == NULL) {
        record = mem_new(struct job_backoff);
        map_set(backoffs, work->object->uid, record);
    }
    *record = job_backoff_now(work);
}

static bool is_new_condition(const struct val *old, const struct val *status, const char *type)
{
    return condition_find(status, str_of(type)) != NULL &&
           condition_find(old, str_of(type)) == NULL;
}

static void on_status(struct pass *pass, void *arg, const struct client_result *result)
{
    struct job_pass *work = arg;
    if (result->code != 0) {
        pass_fail(pass);
        return;
    }
    keep_backoff(work);
    if (work->tell_end && str_is(str_of(work->end_type), "FailureTarget")) {
        recorder_event(work->all->recorder, work->object, "Warning", work->end_reason, "%s",
                       work->end_message);
    } else if (work->tell_end) {
        recorder_event(work->all->recorder, work->object, "Normal", "Completed", "Job completed");
    }
}

void job_write_status(struct pass *pass, struct job_pass *work)
{
    struct arena *arena = pass->arena;
    struct val *old = val_copy(arena, val_get(work->job, "status"));
    struct val *status = val_make_object(arena, work->job, STR("status"));
    if (work->end_type == NULL) {
        job_decide_end(pass, work); /* what was found out after the pods were managed */
    }
    bool settled = update_ledger(arena, work, status);
    val_set_int(arena, status, STR("active"), work->active);
    val_set_int(arena, status, STR("ready"), work->ready);
    val_set_int(arena, status, STR("terminating"), work->terminating);
    if (!work->object->deleting) {
        set_suspended(pass, work, status);
        set_end(pass, work, status, settled);
    }
    bool same = is_same_status(old, status);
    if (!same) {
        work->tell_end =
            is_new_condition(old, status, "Complete") || is_new_condition(old, status, "Failed");
        pass_update(pass, work->all->resource, "status", work->job, on_status, work);
    }
    pass_then(pass, release_noted, work);
}
