/* job_status.c: what a status of a Job may say. Jobs may be run by controllers of others
 * (spec.managedBy), so clients rely on these rules, not on the controller.
 *
 * Most rules are only asked of what an update changes: a status that broke one before may still be
 * written otherwise.
 */
#include "api/kinds/workload/job.h"
#include "api/semantic.h"
#include "base/clock.h"
#include "base/map.h"

struct view { /* what the rules look at, of one object */
    const struct val *spec, *status;
    bool complete, failed, failure_target, success, suspended;
};

static bool condition_is(const struct val *status, const char *type, const char *value)
{
    const struct val *it = val_find(val_get(status, "conditions"), "type", str_of(type));
    return str_is(val_text(val_get(it, "status")), value);
}

static struct view view_of(const struct val *job)
{
    const struct val *status = val_get(job, "status");
    return (struct view){.spec = val_get(job, "spec"),
                         .status = status,
                         .complete = condition_is(status, "Complete", "True"),
                         .failed = condition_is(status, "Failed", "True"),
                         .failure_target = condition_is(status, "FailureTarget", "True"),
                         .success = condition_is(status, "SuccessCriteriaMet", "True"),
                         .suspended = condition_is(status, "Suspended", "True")};
}

struct judging {
    struct field_errors *errors;
    struct view now, was;
};

static const struct path *const top = &(const struct path){.name = "status"};

static const struct val *of(const struct view *view, const char *member)
{
    return val_get_str(view->status, str_of(member));
}

static bool changed(const struct judging *j, const char *member)
{
    const struct val *now = of(&j->now, member), *was = of(&j->was, member);
    return val_absent(now) != val_absent(was) || !semantic_equal(now, was);
}

static bool finished(const struct view *view)
{
    return view->complete || view->failed;
}

static bool is_indexed(const struct judging *j)
{
    return str_is(val_text(val_get(j->now.spec, "completionMode")), "Indexed");
}

/* ---- counters ---- */

static void uids_check(struct judging *j)
{
    static const char *const lists[] = {"succeeded", "failed"};
    const struct path *path = AT(top, "uncountedTerminatedPods");
    const struct val *pods = of(&j->now, "uncountedTerminatedPods");
    struct map seen = MAP_INIT;
    static char there;
    for (int l = 0; l < 2; l++) {
        uint32_t i = 0;
        VAL_EACH (uid, val_get_str(pods, str_of(lists[l]))) {
            const struct path *at = AT_INDEX(AT(path, lists[l]), i++);
            if (val_text(uid).n == 0) {
                field_invalid(j->errors, at, STR(""), "must not be empty");
            } else if (map_set(&seen, val_text(uid), &there) != NULL) {
                field_duplicate(j->errors, at, val_text(uid));
            }
        }
    }
    map_done(&seen);
}

static void counters_check(struct judging *j)
{
    static const char *const counters[] = {"active", "succeeded", "failed", "ready", "terminating"};
    const struct val *spec = j->now.spec;
    const struct val *ready = of(&j->now, "ready");
    int64_t active = val_int(of(&j->now, "active"), 0);
    int64_t failed = val_int(of(&j->now, "failed"), 0);
    int64_t succeeded = val_int(of(&j->now, "succeeded"), 0);
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        check_not_negative(j->errors, AT(top, counters[i]), of(&j->now, counters[i]));
    }
    if (failed < val_int(of(&j->was, "failed"), 0)) {
        field_invalid_int(j->errors, AT(top, "failed"), failed,
                          "cannot decrease the failed counter");
    }
    bool scales =
        is_indexed(j) && semantic_equal(val_get(spec, "completions"), val_get(spec, "parallelism"));
    if (!scales && succeeded < val_int(of(&j->was, "succeeded"), 0)) {
        field_invalid_int(j->errors, AT(top, "succeeded"), succeeded,
                          "cannot decrease the succeeded counter");
    }
    if ((changed(j, "ready") || changed(j, "active")) && !val_absent(ready) &&
        val_int(ready, 0) > active) {
        field_invalid_int(j->errors, AT(top, "ready"), val_int(ready, 0),
                          "cannot set more ready pods than active");
    }
    uids_check(j);
}

/* A job that has ended runs nothing any more. */
static void end_check(struct judging *j)
{
    bool ended = finished(&j->now), moved = ended != finished(&j->was);
    const struct val *spec = j->now.spec, *pods = of(&j->now, "uncountedTerminatedPods");
    const struct val *completions = val_get(spec, "completions");
    bool empty = val_bool(val_get(spec, "suspend"), false) && !val_absent(completions) &&
                 val_int(completions, 1) == 0;
    int64_t active = val_int(of(&j->now, "active"), 0);
    int64_t terminating = val_int(of(&j->now, "terminating"), 0);
    if (!ended) {
        return;
    }
    if ((moved || changed(j, "active")) && active > 0) {
        field_invalid_int(j->errors, AT(top, "active"), active,
                          "active>0 is invalid for finished job");
    }
    if ((moved || changed(j, "terminating")) && terminating > 0) {
        field_invalid_int(j->errors, AT(top, "terminating"), terminating,
                          "terminating>0 is invalid for finished job");
    }
    if ((moved || changed(j, "startTime")) && !empty && val_absent(of(&j->now, "startTime"))) {
        field_required(j->errors, AT(top, "startTime"), "startTime is required for finished job");
    }
    if ((moved || changed(j, "uncountedTerminatedPods")) &&
        val_count(val_get(pods, "succeeded")) + val_count(val_get(pods, "failed")) > 0) {
        field_invalid_val(j->errors, AT(top, "uncountedTerminatedPods"), pods,
                          "must be empty for finished job");
    }
}

/* ---- times ---- */

static void times_check(struct judging *j)
{
    const struct path *at = AT(top, "completionTime");
    const struct val *done = of(&j->now, "completionTime"), *start = of(&j->now, "startTime");
    const struct val *was = of(&j->was, "completionTime");
    bool started = changed(j, "startTime"), ended = changed(j, "completionTime");
    int64_t begin, end;
    if (j->now.complete != j->was.complete || ended) {
        if (!val_absent(done) && !j->now.complete) {
            field_invalid_val(j->errors, at, done,
                              "cannot set completionTime when there is no Complete=True condition");
        } else if (val_absent(done) && j->now.complete) {
            field_required(j->errors, at, "completionTime is required for Complete jobs");
        }
    }
    if ((started || ended) && time_parse(val_text(start), &begin) &&
        time_parse(val_text(done), &end) && end < begin) {
        field_invalid_val(j->errors, at, done, "must be equal to or after `startTime`");
    }
    if (!val_absent(done) && !val_absent(was) && ended) {
        field_invalid_val(j->errors, at, done, "field is immutable");
    }
    bool resuming = j->was.suspended && condition_is(j->now.status, "Suspended", "False");
    if (started && !resuming && !val_absent(of(&j->was, "startTime")) &&
        !val_bool(val_get(j->now.spec, "suspend"), false)) {
        field_invalid_val(j->errors, AT(top, "startTime"), start,
                          "field is immutable for unsuspended job once set");
    }
}

/* ---- conditions ---- */

static void refuse_conditions(struct judging *j, bool wrong, const char *why)
{
    if (wrong) {
        field_error_add(j->errors, "FieldValueInvalid", path_text(j->errors, AT(top, "conditions")),
                        "Invalid value: %s", why);
    }
}

static void conditions_check(struct judging *j)
{
    const struct view *now = &j->now, *was = &j->was;
    bool complete = now->complete != was->complete, failed = now->failed != was->failed;
    bool target = now->failure_target != was->failure_target, met = now->success != was->success;
    bool policy = !val_absent(val_get(now->spec, "successPolicy"));
    refuse_conditions(j, (complete || failed) && now->complete && now->failed,
                      "cannot set Complete=True and Failed=true conditions");
    refuse_conditions(j, (complete || target) && now->complete && now->failure_target,
                      "cannot set Complete=True and FailureTarget=true conditions");
    refuse_conditions(
        j, (failed || changed(j, "failedIndexes")) && now->failed && !now->failure_target,
        "cannot set Failed=True condition without the FailureTarget=true condition");
    refuse_conditions(
        j, (complete || met) && now->complete && !now->success,
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    refuse_conditions(j, now->success && now->failed,
                      "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    refuse_conditions(j, now->success && now->failure_target,
                      "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    refuse_conditions(
        j, policy && !now->success && now->complete,
        "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
    refuse_conditions(j, was->failed && !now->failed,
                      "cannot disable the terminal Failed=True condition");
    refuse_conditions(j, was->complete && !now->complete,
                      "cannot disable the terminal Complete=True condition");
    refuse_conditions(j, was->failure_target && !now->failure_target,
                      "cannot disable the terminal FailureTarget=True condition");
    refuse_conditions(j, was->success && !now->success,
                      "cannot disable the SuccessCriteriaMet=True condition");
    refuse_conditions(
        j, was->complete && !was->success && now->success,
        "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
}

/* ---- indexes ---- */

struct interval {
    int64_t first, last;
};

/* "3" or "3-5" off the front. */
static bool take_interval(struct str *rest, struct interval *ret)
{
    struct str last, first = str_cut(str_cut(*rest, ',', rest), '-', &last);
    uint64_t from, to;
    if (!str_u64(first, &from) || from > INT32_MAX) {
        return false;
    }
    *ret = (struct interval){(int64_t)from, (int64_t)from};
    if (last.p == NULL) {
        return true;
    }
    if (!str_u64(last, &to) || to > INT32_MAX) {
        return false;
    }
    ret->last = (int64_t)to;
    return to > from;
}

static void indexes_check(struct judging *j, const char *member, struct str text, int64_t count)
{
    struct str rest = text;
    struct interval it;
    int64_t before = -1;
    while (text.n > 0 && rest.p != NULL) {
        if (!take_interval(&rest, &it) || it.first <= before || it.last >= count) {
            field_invalid(j->errors, AT(top, member), text,
                          "error parsing %s: not increasing indexes below %lld", member,
                          (long long)count);
            return;
        }
        before = it.last;
    }
}

static bool overlap(struct str a, struct str b)
{
    struct str rest_a = a, rest_b = b;
    struct interval x, y;
    if (a.n == 0 || b.n == 0 || !take_interval(&rest_a, &x) || !take_interval(&rest_b, &y)) {
        return false;
    }
    for (;;) {
        if (x.first <= y.last && y.first <= x.last) {
            return true;
        }
        struct str *rest = x.last < y.first ? &rest_a : &rest_b;
        if (rest->p == NULL || !take_interval(rest, rest == &rest_a ? &x : &y)) {
            return false;
        }
    }
}

static void all_indexes_check(struct judging *j)
{
    const struct val *count = val_get(j->now.spec, "completions");
    const struct val *failed = of(&j->now, "failedIndexes");
    struct str done = val_text(of(&j->now, "completedIndexes"));
    bool limited = !val_absent(val_get(j->now.spec, "backoffLimitPerIndex"));
    bool failed_moved = changed(j, "failedIndexes"), done_moved = changed(j, "completedIndexes");
    if (done_moved && !val_absent(count)) {
        indexes_check(j, "completedIndexes", done, val_int(count, 0));
    }
    if (failed_moved && !val_absent(count) && limited && !val_absent(failed)) {
        indexes_check(j, "failedIndexes", val_text(failed), val_int(count, 0));
    }
    if (done_moved && done.n > 0 && !is_indexed(j)) {
        field_invalid(j->errors, AT(top, "completedIndexes"), done,
                      "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if (failed_moved && !limited && !val_absent(failed)) {
        field_invalid(j->errors, AT(top, "failedIndexes"), val_text(failed),
                      "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if ((failed_moved || done_moved) && !val_absent(count) && !val_absent(failed) &&
        overlap(done, val_text(failed))) {
        field_invalid(j->errors, AT(top, "failedIndexes"), val_text(failed),
                      "must not overlap with completedIndexes");
    }
}

void job_status_check(struct field_errors *errors, const struct val *next, const struct val *old)
{
    struct judging judging = {errors, view_of(next), view_of(old)};
    counters_check(&judging);
    conditions_check(&judging);
    times_check(&judging);
    end_check(&judging);
    all_indexes_check(&judging);
}
