/* job_check.c: validation of Jobs: counts, completion modes, failure and success policies, and what
 * of a Job may change once it is there. */
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/workload/job.h"
#include "api/kinds/workload/workload.h"
#include "api/selector.h"
#include "api/semantic.h"
#include "api/warning.h"

static bool is_indexed(const struct val *spec)
{
    return str_is(val_text(val_get(spec, "completionMode")), "Indexed");
}

static void counts_check(struct field_errors *errors, const struct path *path,
                         const struct val *spec)
{
    static const char *const counts[] = {"parallelism",
                                         "completions",
                                         "activeDeadlineSeconds",
                                         "backoffLimit",
                                         "ttlSecondsAfterFinished",
                                         "backoffLimitPerIndex",
                                         "maxFailedIndexes"};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        check_not_negative(errors, AT(path, counts[i]), val_get_str(spec, str_of(counts[i])));
    }
}

static void indexed_check(struct field_errors *errors, const struct path *path,
                          const struct val *spec)
{
    enum { PARALLEL_MAX = 100000, FAILED_MAX = 100000, SOFT = 100000, SOFT_MAX = 10000 };
    int64_t parallel = val_int(val_get(spec, "parallelism"), 0);
    int64_t completions = val_int(val_get(spec, "completions"), 0);
    const struct val *failed = val_get(spec, "maxFailedIndexes");
    if (val_absent(val_get(spec, "completions"))) {
        field_required(errors, AT(path, "completions"), "when completion mode is Indexed");
    }
    if (parallel > PARALLEL_MAX) {
        field_invalid_int(errors, AT(path, "parallelism"), parallel,
                          "must be less than or equal to %d when completion mode is Indexed",
                          PARALLEL_MAX);
    }
    if (!val_absent(failed) && val_int(failed, 0) > completions) {
        field_invalid_int(errors, AT(path, "maxFailedIndexes"), val_int(failed, 0),
                          "must be less than or equal to completions");
    }
    if (!val_absent(failed) && val_int(failed, 0) > FAILED_MAX) {
        field_invalid_int(errors, AT(path, "maxFailedIndexes"), val_int(failed, 0),
                          "must be less than or equal to %d", FAILED_MAX);
    }
    if (completions > SOFT && !val_absent(val_get(spec, "backoffLimitPerIndex"))) {
        if (val_absent(failed)) {
            field_required(errors, AT(path, "maxFailedIndexes"),
                           "must be specified when completions is above 100000");
        }
        if (parallel > SOFT_MAX) {
            field_invalid_int(errors, AT(path, "parallelism"), parallel,
                              "must be less than or equal to %d when completions are above %d and "
                              "used with backoff limit per index",
                              SOFT_MAX, SOFT);
        }
    }
}

static void plain_check(struct field_errors *errors, const struct path *path,
                        const struct val *spec)
{
    static const char *const indexed_only[] = {"backoffLimitPerIndex", "maxFailedIndexes",
                                               "successPolicy"};
    for (int i = 0; i < 3; i++) {
        const struct val *value = val_get_str(spec, str_of(indexed_only[i]));
        if (!val_absent(value)) {
            field_invalid_val(errors, AT(path, indexed_only[i]), value,
                              "requires indexed completion mode");
        }
    }
}

static void exit_codes_check(struct field_errors *errors, const struct path *path,
                             const struct val *codes, const struct val *pod)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    struct str op = val_text(val_get(codes, "operator"));
    const struct val *values = val_get(codes, "values");
    struct str name = val_text(val_get(codes, "containerName"));
    const struct path *at = AT(path, "values");
    if (op.n == 0) {
        field_required(errors, AT(path, "operator"), "valid values: [\"In\" \"NotIn\"]");
    } else {
        check_one_of(errors, AT(path, "operator"), op, operators, true);
    }
    if (name.n > 0 && val_find(val_get(pod, "containers"), "name", name) == NULL &&
        val_find(val_get(pod, "initContainers"), "name", name) == NULL) {
        field_invalid(errors, AT(path, "containerName"), name,
                      "must be one of the container or initContainer names in the pod template");
    }
    if (val_count(values) == 0) {
        field_invalid_val(errors, at, values, "at least one value is required");
    } else if (values->count > 255) {
        field_too_many(errors, at, values->count, 255);
    }
    int64_t before = INT64_MIN;
    bool ordered = true;
    uint32_t i = 0;
    VAL_EACH (value, values) {
        int64_t code = val_int(value, 0);
        if (str_is(op, "In") && code == 0) {
            field_invalid_int(errors, AT_INDEX(at, i), code, "must not be 0 for the In operator");
        }
        if (code == before) {
            field_duplicate_val(errors, AT_INDEX(at, i), value);
        }
        ordered = ordered && code >= before;
        before = code;
        i++;
    }
    if (!ordered) {
        field_invalid_val(errors, at, values, "must be ordered");
    }
}

static void conditions_check(struct field_errors *errors, const struct path *path,
                             const struct val *patterns)
{
    static const char *const statuses[] = {"False", "True", "Unknown", NULL};
    if (val_count(patterns) > 20) {
        field_too_many(errors, path, patterns->count, 20);
    }
    uint32_t i = 0;
    VAL_EACH (pattern, patterns) {
        const struct path *at = AT_INDEX(path, i++);
        check_name(errors, AT(at, "type"), NAME_LABEL_KEY, val_text(val_get(pattern, "type")));
        check_one_of(errors, AT(at, "status"), val_text(val_get(pattern, "status")), statuses,
                     true);
    }
}

static void rule_check(struct field_errors *errors, const struct path *path, const struct val *rule,
                       const struct val *spec)
{
    static const char *const actions[] = {"Count", "FailIndex", "FailJob", "Ignore", NULL};
    struct str action = val_text(val_get(rule, "action"));
    const struct val *codes = val_get(rule, "onExitCodes");
    const struct val *conditions = val_get(rule, "onPodConditions");
    if (action.n == 0) {
        field_required(errors, AT(path, "action"),
                       "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
    } else if (str_is(action, "FailIndex") && val_absent(val_get(spec, "backoffLimitPerIndex"))) {
        field_invalid(errors, AT(path, "action"), action,
                      "requires the backoffLimitPerIndex to be set");
    } else {
        check_one_of(errors, AT(path, "action"), action, actions, true);
    }
    if (!val_absent(codes)) {
        exit_codes_check(errors, AT(path, "onExitCodes"), codes, val_path(spec, "template.spec"));
    }
    conditions_check(errors, AT(path, "onPodConditions"), conditions);
    if (!val_absent(codes) && val_count(conditions) > 0) {
        field_error_add(
            errors, "FieldValueInvalid", path_text(errors, path),
            "Invalid value: specifying both OnExitCodes and OnPodConditions is not supported");
    } else if (val_absent(codes) && val_count(conditions) == 0) {
        field_error_add(
            errors, "FieldValueInvalid", path_text(errors, path),
            "Invalid value: specifying one of OnExitCodes and OnPodConditions is required");
    }
}

static void failure_policy_check(struct field_errors *errors, const struct path *path,
                                 const struct val *spec)
{
    const struct val *rules = val_path(spec, "podFailurePolicy.rules");
    const struct path *at = AT(AT(path, "podFailurePolicy"), "rules");
    if (val_absent(val_get(spec, "podFailurePolicy"))) {
        return;
    }
    if (val_count(rules) > 20) {
        field_too_many(errors, at, rules->count, 20);
    }
    uint32_t i = 0;
    VAL_EACH (rule, rules) {
        rule_check(errors, AT_INDEX(at, i++), rule, spec);
    }
}

/* "1,3-5": ascending indexes below `completions`. */
static void indexes_check(struct field_errors *errors, const struct path *path, struct str text,
                          int64_t completions)
{
    struct str rest = text;
    while (rest.p != NULL) {
        struct str end, start = str_cut(str_cut(rest, ',', &rest), '-', &end);
        for (int i = 0; i < 2; i++) {
            struct str part = i == 0 ? start : end;
            uint64_t index;
            if (i == 1 && end.p == NULL) {
                break;
            }
            if (!str_u64(part, &index)) {
                field_invalid(errors, path, text,
                              "error parsing succeededIndexes: cannot convert string to integer "
                              "for index: \"%.*s\"",
                              STR_ARG(part));
                return;
            }
            if (index >= (uint64_t)completions) {
                field_invalid(errors, path, text,
                              "error parsing succeededIndexes: too large index: \"%.*s\"",
                              STR_ARG(part));
                return;
            }
        }
    }
}

static void success_policy_check(struct field_errors *errors, const struct path *path,
                                 const struct val *spec)
{
    const struct val *policy = val_get(spec, "successPolicy");
    const struct val *rules = val_get(policy, "rules");
    const struct path *at = AT(AT(path, "successPolicy"), "rules");
    int64_t completions = val_int(val_get(spec, "completions"), 0);
    if (val_absent(policy) || !is_indexed(spec)) {
        return;
    }
    if (val_count(rules) == 0) {
        field_required(errors, at,
                       "at least one rules must be specified when the successPolicy is specified");
    } else if (rules->count > 20) {
        field_too_many(errors, at, rules->count, 20);
    }
    uint32_t i = 0;
    VAL_EACH (rule, rules) {
        const struct path *here = AT_INDEX(at, i++);
        const struct val *count = val_get(rule, "succeededCount");
        if (val_absent(count) && val_absent(val_get(rule, "succeededIndexes"))) {
            field_required(errors, here,
                           "at least one of succeededCount or succeededIndexes must be specified");
        }
        if (!val_absent(val_get(rule, "succeededIndexes"))) {
            indexes_check(errors, AT(here, "succeededIndexes"),
                          val_text(val_get(rule, "succeededIndexes")), completions);
        }
        if (!val_absent(count)) {
            check_not_negative(errors, AT(here, "succeededCount"), count);
            if (val_int(count, 0) > completions) {
                field_invalid_int(errors, AT(here, "succeededCount"), val_int(count, 0),
                                  "must be less than or equal to %lld (the number of specified "
                                  "completions)",
                                  (long long)completions);
            }
        }
    }
}

static void policies_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    static const char *const modes[] = {"NonIndexed", "Indexed", NULL};
    static const char *const replacements[] = {"Failed", "TerminatingOrFailed", NULL};
    static const char *const failed_only[] = {"Failed", NULL};
    struct str mode = val_text(val_get(spec, "completionMode"));
    struct str manager = val_text(val_get(spec, "managedBy"));
    bool policy = !val_absent(val_get(spec, "podFailurePolicy"));
    check_optional_one_of(errors, AT(path, "completionMode"), val_get(spec, "completionMode"),
                          modes);
    if (is_indexed(spec)) {
        indexed_check(errors, path, spec);
    } else if (mode.n == 0 || str_is(mode, "NonIndexed")) {
        plain_check(errors, path, spec);
    }
    if (val_absent(val_get(spec, "backoffLimitPerIndex")) &&
        !val_absent(val_get(spec, "maxFailedIndexes"))) {
        field_required(errors, AT(path, "backoffLimitPerIndex"),
                       "when maxFailedIndexes is specified");
    }
    if (!val_absent(val_get(spec, "managedBy")) && manager.n == 0) {
        field_required(errors, AT(path, "managedBy"), "");
    } else if (manager.n > 63) {
        field_too_long(errors, AT(path, "managedBy"), 63);
    } else if (manager.n > 0 && !name_is(NAME_PREFIXED_KEY, manager)) {
        check_name(errors, AT(path, "managedBy"), NAME_PREFIXED_KEY, manager);
    }
    failure_policy_check(errors, path, spec);
    success_policy_check(errors, path, spec);
    check_optional_one_of(errors, AT(path, "podReplacementPolicy"),
                          val_get(spec, "podReplacementPolicy"),
                          policy ? failed_only : replacements);
}

static void template_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    static const char *const policies[] = {"OnFailure", "Never", NULL};
    const struct val *template = val_get(spec, "template");
    struct str policy = val_text(val_path(template, "spec.restartPolicy"));
    const struct path *at = AT(AT(AT(path, "template"), "spec"), "restartPolicy");
    pod_template_check(errors, AT(path, "template"), template);
    if (policy.n == 0 || str_is(policy, "Always")) {
        field_required(errors, at, "valid values: \"OnFailure\", \"Never\"");
    } else if (!str_is(policy, "OnFailure") && !str_is(policy, "Never")) {
        field_not_supported(errors, at, policy, policies);
    } else if (!val_absent(val_get(spec, "podFailurePolicy")) && !str_is(policy, "Never")) {
        field_invalid(errors, at, policy,
                      "only \"Never\" is supported when podFailurePolicy is specified");
    }
}

/* Nothing but the uid's label. */
static bool is_generated(const struct val *selector)
{
    VAL_EACH (label, val_get(selector, "matchLabels")) {
        if (!str_is(label->key, "batch.kubernetes.io/controller-uid") &&
            !str_is(label->key, "controller-uid")) {
            return false;
        }
    }
    return val_count(val_get(selector, "matchExpressions")) == 0;
}

/* Pods of an indexed job are named after it and their index, and that is their host name. */
static void name_fits(struct field_errors *errors, const struct val *job, const struct val *spec)
{
    long long completions = val_int(val_get(spec, "completions"), 0);
    struct str name = val_name(job);
    if (!is_indexed(spec) || completions <= 0 || name.n == 0) {
        return;
    }
    struct str host =
        str_of(arena_printf(errors->arena, "%.*s-%lld", STR_ARG(name), completions - 1));
    if (!name_is(NAME_LABEL, host)) {
        field_invalid(errors, AT(AT(NULL, "metadata"), "name"), name,
                      "will not able to create pod with invalid DNS label: %.*s", STR_ARG(host));
    }
}

static void selector_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct val *selector = val_get(spec, "selector");
    const struct val *labels = val_path(spec, "template.metadata.labels");
    struct selector parsed;
    if (val_absent(selector) && !val_bool(val_get(spec, "manualSelector"), false)) {
        return; /* made later, out of the uid */
    }
    if (val_absent(selector)) {
        field_required(errors, AT(path, "selector"), "");
    }
    check_label_selector(errors, AT(path, "selector"), selector);
    if (!val_bool(val_get(spec, "manualSelector"), false) && !is_generated(selector)) {
        field_invalid_val(errors, AT(path, "selector"), selector, "`selector` not auto-generated");
    }
    if (selector_from_val(errors->arena, selector, &parsed, NULL) == 0 &&
        !selector_matches_val(&parsed, labels)) {
        field_invalid_val(errors, AT(AT(AT(path, "template"), "metadata"), "labels"), labels,
                          "`selector` does not match template `labels`");
    }
}

void job_spec_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    counts_check(errors, path, spec);
    policies_check(errors, path, spec);
    template_check(errors, path, spec);
}

void job_spec_warn(struct api_context *ctx, const struct path *path, const struct val *spec)
{
    enum { COMPLETIONS_MANY = 100000, PARALLEL_MANY = 10000 };
    if (is_indexed(spec) && val_int(val_get(spec, "completions"), 0) > COMPLETIONS_MANY &&
        val_int(val_get(spec, "parallelism"), 0) > PARALLEL_MANY) {
        api_warn(ctx, path,
                 "above %d completions and %d pods in parallel, completedIndexes may not be "
                 "tracked when many indexes fail",
                 COMPLETIONS_MANY, PARALLEL_MANY);
    }
}

void job_validate(struct api_context *ctx, const struct val *job, struct field_errors *errors)
{
    const struct val *spec = val_get(job, "spec");
    const struct path *path = AT(NULL, "spec");
    job_spec_check(errors, path, spec);
    selector_check(errors, path, spec);
    name_fits(errors, job, spec);
    (void)ctx;
}

/* Placement of the template may change while the Job is suspended and has not started. */
static bool template_may_move(const struct val *next, const struct val *old)
{
    return val_bool(val_path(old, "spec.suspend"), false) &&
           val_absent(val_path(old, "status.startTime")) && next != NULL;
}

static void template_fixed(struct field_errors *errors, const struct val *next,
                           const struct val *old)
{
    static const char *const movable[] = {"nodeSelector", "affinity", "tolerations",
                                          "schedulingGates"};
    const struct val *now = val_path(next, "spec.template"), *was = val_path(old, "spec.template");
    if (semantic_equal(now, was)) {
        return;
    }
    if (template_may_move(next, old)) {
        struct val *copy = val_copy(errors->arena, now);
        struct val *spec = val_get(copy, "spec");
        for (size_t i = 0; spec != NULL && i < sizeof movable / sizeof movable[0]; i++) {
            const struct val *value = val_get_str(val_get(was, "spec"), str_of(movable[i]));
            if (value == NULL) {
                val_unset(spec, str_of(movable[i]));
            } else {
                val_set(spec, value->key, val_copy(errors->arena, value));
            }
        }
        struct val *metadata = val_get(copy, "metadata");
        const struct val *labels = val_get(was, "metadata");
        if (metadata != NULL && labels != NULL) {
            val_set(copy, STR("metadata"), val_copy(errors->arena, labels));
        }
        if (!semantic_equal(copy, was)) {
            field_invalid_val(errors, AT(AT(AT(NULL, "spec"), "template"), "spec"),
                              val_get(now, "spec"), "field is immutable");
        }
        return;
    }
    field_invalid_val(errors, AT(AT(NULL, "spec"), "template"), now, "field is immutable");
}

void job_validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                         struct field_errors *errors)
{
    static const char *const fixed[] = {"selector",       "podFailurePolicy",
                                        "completionMode", "backoffLimitPerIndex",
                                        "managedBy",      "successPolicy"};
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    const struct path *path = AT(NULL, "spec");
    if (strcmp(ctx->subresource, "status") == 0) {
        job_status_check(errors, next, old);
        return;
    }
    workload_warn(ctx, next, old);
    const struct val *completions = val_get(spec, "completions");
    bool scaled = is_indexed(spec) && !val_absent(completions) &&
                  semantic_equal(completions, val_get(spec, "parallelism"));
    if (!scaled) { /* an indexed job may be scaled in step */
        check_immutable(errors, AT(path, "completions"), completions, val_get(was, "completions"));
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        check_immutable(errors, AT(path, fixed[i]), val_get_str(spec, str_of(fixed[i])),
                        val_get_str(was, str_of(fixed[i])));
    }
    template_fixed(errors, next, old);
}
