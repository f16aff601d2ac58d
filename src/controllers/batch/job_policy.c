/* podFailurePolicy (KEP-3329) and successPolicy (KEP-3998) of Jobs. */
#include "controllers/batch/job_int.h"

static bool has_value(const struct val *values, int64_t number)
{
    VAL_EACH (it, values) {
        if (val_int(it, -1) == number) {
            return true;
        }
    }
    return false;
}

/* The first container status whose exit code the rule matches. A code of 0 never matches. */
static const struct val *match_exit(const struct val *rule, const struct val *statuses,
                                    int64_t *ret_code)
{
    struct str name = val_text(val_get(rule, "containerName"));
    bool in = str_is(val_text(val_get(rule, "operator")), "In");
    VAL_EACH (it, statuses) {
        const struct val *ended = val_path(it, "state.terminated");
        int64_t code = val_int(val_get(ended, "exitCode"), 0);
        if (val_absent(ended) || code == 0 ||
            (name.n > 0 && !str_eq(name, val_text(val_get(it, "name"))))) {
            continue;
        }
        if (has_value(val_get(rule, "values"), code) == in) {
            *ret_code = code;
            return it;
        }
    }
    return NULL;
}

static const char *match_rule(struct arena *arena, const struct val *rule, const struct val *pod,
                              uint32_t index)
{
    struct str action = val_text(val_get(rule, "action"));
    const struct val *exits = val_get(rule, "onExitCodes");
    const struct val *status = val_get(pod, "status");
    struct str ns = val_namespace(pod), name = val_name(pod);
    int64_t code;
    if (!val_absent(exits)) {
        const struct val *container =
            match_exit(exits, val_get(status, "initContainerStatuses"), &code);
        container = container != NULL
                        ? container
                        : match_exit(exits, val_get(status, "containerStatuses"), &code);
        return container == NULL
                   ? NULL
                   : arena_printf(arena,
                                  "Container %.*s for pod %.*s/%.*s failed with exit code %lld "
                                  "matching %.*s rule at index %u",
                                  STR_ARG(val_text(val_get(container, "name"))), STR_ARG(ns),
                                  STR_ARG(name), (long long)code, STR_ARG(action), index);
    }
    VAL_EACH (it, val_get(rule, "onPodConditions")) {
        struct str type = val_text(val_get(it, "type"));
        const struct val *condition = condition_find(status, type);
        struct str wanted = val_text(val_get(it, "status"));
        if (condition != NULL &&
            str_eq(val_text(val_get(condition, "status")), wanted.n > 0 ? wanted : STR("True"))) {
            return arena_printf(arena,
                                "Pod %.*s/%.*s has condition %.*s matching %.*s rule at index %u",
                                STR_ARG(ns), STR_ARG(name), STR_ARG(type), STR_ARG(action), index);
        }
    }
    return NULL;
}

enum job_failure_action job_policy_match(struct arena *arena, const struct val *job,
                                         const struct val *pod, const char **ret_message)
{
    uint32_t index = 0;
    VAL_EACH (rule, val_path(job, "spec.podFailurePolicy.rules")) {
        const char *message = match_rule(arena, rule, pod, index++);
        if (message == NULL) {
            continue;
        }
        struct str action = val_text(val_get(rule, "action"));
        *ret_message = message;
        return str_is(action, "FailJob")     ? JOB_FAIL_JOB
               : str_is(action, "FailIndex") ? JOB_FAIL_INDEX
               : str_is(action, "Ignore")    ? JOB_IGNORE
                                             : JOB_COUNT;
    }
    return JOB_COUNT;
}

int job_success_rule(struct arena *arena, const struct val *job, const struct index_set *completed)
{
    int index = 0;
    VAL_EACH (rule, val_path(job, "spec.successPolicy.rules")) {
        const struct val *indexes = val_get(rule, "succeededIndexes");
        int64_t wanted = val_int(val_get(rule, "succeededCount"), -1);
        int64_t found = completed->count, of = completed->size;
        if (!val_absent(indexes)) {
            struct index_set named;
            index_set_init(arena, &named, completed->size);
            index_set_parse(&named, val_text(indexes));
            of = named.count;
            found = 0;
            for (int64_t i = 0; i < named.size; i++) {
                found += index_set_has(&named, i) && index_set_has(completed, i);
            }
        }
        if (found > 0 && found >= (wanted >= 0 ? wanted : of)) {
            return index;
        }
        index++;
    }
    return -1;
}
