/* placement.c: validation of what steers a pod to a node: affinity, tolerations, topology spread.
 */
#include "api/kinds/pod/pod_spec.h"

static bool is_number(struct str text)
{
    int64_t value;
    return str_i64(text, &value);
}

static void requirement_check(struct field_errors *errors, const struct path *path,
                              const struct val *requirement)
{
    struct str op = val_text(val_get(requirement, "operator"));
    const struct val *values = val_get(requirement, "values");
    const struct path *at = AT(path, "values");
    if (str_is(op, "In") || str_is(op, "NotIn")) {
        if (val_count(values) == 0) {
            field_required(errors, at, "must be specified when `operator` is 'In' or 'NotIn'");
        }
    } else if (str_is(op, "Exists") || str_is(op, "DoesNotExist")) {
        if (val_count(values) > 0) {
            field_forbidden(errors, at,
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
    } else if (str_is(op, "Gt") || str_is(op, "Lt")) {
        if (val_count(values) != 1) {
            field_required(errors, at,
                           "must be specified single value when `operator` is 'Lt' or 'Gt'");
        } else if (!is_number(val_text(values->child))) {
            field_invalid(errors, AT_INDEX(at, 0), val_text(values->child),
                          "for 'Gt', 'Lt' operators, the value must be an integer");
        }
    } else {
        field_invalid(errors, AT(path, "operator"), op, "not a valid selector operator");
    }
    check_name(errors, AT(path, "key"), NAME_LABEL_KEY, val_text(val_get(requirement, "key")));
    uint32_t i = 0;
    VAL_EACH (value, values) {
        check_name(errors, AT_INDEX(at, i++), NAME_LABEL_VALUE, val_text(value));
    }
}

static void field_requirement_check(struct field_errors *errors, const struct path *path,
                                    const struct val *requirement)
{
    struct str op = val_text(val_get(requirement, "operator"));
    struct str key = val_text(val_get(requirement, "key"));
    const struct val *values = val_get(requirement, "values");
    if (!str_is(op, "In") && !str_is(op, "NotIn")) {
        field_invalid(errors, AT(path, "operator"), op, "not a valid selector operator");
    } else if (val_count(values) != 1) {
        field_required(errors, AT(path, "values"),
                       "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                       "selector");
    }
    if (!str_is(key, "metadata.name")) {
        field_invalid(errors, AT(path, "key"), key, "not a valid field selector key");
        return;
    }
    uint32_t i = 0;
    VAL_EACH (value, values) {
        check_name(errors, AT_INDEX(AT(path, "values"), i++), NAME_SUBDOMAIN, val_text(value));
    }
}

static void node_term_check(struct field_errors *errors, const struct path *path,
                            const struct val *term)
{
    uint32_t i = 0;
    VAL_EACH (requirement, val_get(term, "matchExpressions")) {
        requirement_check(errors, AT_INDEX(AT(path, "matchExpressions"), i++), requirement);
    }
    i = 0;
    VAL_EACH (requirement, val_get(term, "matchFields")) {
        field_requirement_check(errors, AT_INDEX(AT(path, "matchFields"), i++), requirement);
    }
}

void node_selector_check(struct field_errors *errors, const struct path *path,
                         const struct val *selector)
{
    const struct val *terms = val_get(selector, "nodeSelectorTerms");
    const struct path *at = AT(path, "nodeSelectorTerms");
    if (val_count(terms) == 0) {
        field_required(errors, at, "must have at least one node selector term");
    }
    uint32_t i = 0;
    VAL_EACH (term, terms) {
        node_term_check(errors, AT_INDEX(at, i++), term);
    }
}

static void weight_check(struct field_errors *errors, const struct path *path,
                         const struct val *term)
{
    int64_t weight = val_int(val_get(term, "weight"), 0);
    if (weight < 1 || weight > 100) {
        field_invalid_int(errors, AT(path, "weight"), weight, "must be in the range 1-100");
    }
}

static void keys_check(struct field_errors *errors, const struct path *path, const struct val *keys,
                       const struct val *selector)
{
    uint32_t i = 0;
    if (val_count(keys) > 0 && val_absent(selector)) {
        field_forbidden(errors, path, "must not be specified when labelSelector is not set");
        return;
    }
    VAL_EACH (key, keys) {
        check_name(errors, AT_INDEX(path, i++), NAME_LABEL_KEY, val_text(key));
    }
}

static void pod_term_check(struct field_errors *errors, const struct path *path,
                           const struct val *term)
{
    static const char *const key_lists[] = {"matchLabelKeys", "mismatchLabelKeys"};
    const struct val *selector = val_get(term, "labelSelector");
    struct str key = val_text(val_get(term, "topologyKey"));
    if (!val_absent(selector)) {
        check_label_selector(errors, AT(path, "labelSelector"), selector);
    }
    if (!val_absent(val_get(term, "namespaceSelector"))) {
        check_label_selector(errors, AT(path, "namespaceSelector"),
                             val_get(term, "namespaceSelector"));
    }
    for (int l = 0; l < 2; l++) {
        keys_check(errors, AT(path, key_lists[l]), val_get_str(term, str_of(key_lists[l])),
                   selector);
    }
    uint32_t k = 0;
    VAL_EACH (match, val_get(term, "matchLabelKeys")) {
        VAL_EACH (mismatch, val_get(term, "mismatchLabelKeys")) {
            if (str_eq(val_text(match), val_text(mismatch))) {
                field_invalid(errors, AT_INDEX(AT(path, "matchLabelKeys"), k), val_text(match),
                              "exists in both matchLabelKeys and mismatchLabelKeys");
            }
        }
        k++;
    }
    VAL_EACH (name, val_get(term, "namespaces")) {
        check_name(errors, AT(path, "namespace"), NAME_LABEL, val_text(name));
    }
    if (key.n == 0) {
        field_required(errors, AT(path, "topologyKey"), "can not be empty");
    }
    check_name(errors, AT(path, "topologyKey"), NAME_LABEL_KEY, key);
}

static void pod_affinity_check(struct field_errors *errors, const struct path *path,
                               const struct val *affinity)
{
    uint32_t i = 0;
    VAL_EACH (term, val_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution")) {
        pod_term_check(errors,
                       AT_INDEX(AT(path, "requiredDuringSchedulingIgnoredDuringExecution"), i++),
                       term);
    }
    i = 0;
    VAL_EACH (term, val_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution")) {
        const struct path *at =
            AT_INDEX(AT(path, "preferredDuringSchedulingIgnoredDuringExecution"), i++);
        weight_check(errors, at, term);
        pod_term_check(errors, AT(at, "podAffinityTerm"), val_get(term, "podAffinityTerm"));
    }
}

void affinity_check(struct field_errors *errors, const struct path *path,
                    const struct val *affinity)
{
    const struct val *node = val_get(affinity, "nodeAffinity");
    const struct path *at = AT(path, "nodeAffinity");
    const struct val *required = val_get(node, "requiredDuringSchedulingIgnoredDuringExecution");
    if (!val_absent(required)) {
        node_selector_check(errors, AT(at, "requiredDuringSchedulingIgnoredDuringExecution"),
                            required);
    }
    uint32_t i = 0;
    VAL_EACH (term, val_get(node, "preferredDuringSchedulingIgnoredDuringExecution")) {
        const struct path *here =
            AT_INDEX(AT(at, "preferredDuringSchedulingIgnoredDuringExecution"), i++);
        weight_check(errors, here, term);
        node_term_check(errors, AT(here, "preference"), val_get(term, "preference"));
    }
    pod_affinity_check(errors, AT(path, "podAffinity"), val_get(affinity, "podAffinity"));
    pod_affinity_check(errors, AT(path, "podAntiAffinity"), val_get(affinity, "podAntiAffinity"));
}

void tolerations_check(struct field_errors *errors, const struct path *path,
                       const struct val *tolerations)
{
    static const char *const operators[] = {"Equal", "Exists", NULL};
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
    uint32_t i = 0;
    VAL_EACH (toleration, tolerations) {
        const struct path *at = AT_INDEX(path, i++);
        struct str key = val_text(val_get(toleration, "key"));
        struct str op = val_text(val_get(toleration, "operator"));
        struct str value = val_text(val_get(toleration, "value"));
        struct str effect = val_text(val_get(toleration, "effect"));
        if (key.n > 0) {
            check_name(errors, AT(at, "key"), NAME_LABEL_KEY, key);
        } else if (!str_is(op, "Exists")) {
            field_invalid(errors, AT(at, "operator"), op,
                          "operator must be Exists when `key` is empty, which means \"match all "
                          "values and all keys\"");
        }
        if (!val_absent(val_get(toleration, "tolerationSeconds")) && !str_is(effect, "NoExecute")) {
            field_invalid(errors, AT(at, "effect"), effect,
                          "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        if (op.n == 0 || str_is(op, "Equal")) {
            check_name(errors, AT(at, "operator"), NAME_LABEL_VALUE, value);
        } else if (str_is(op, "Exists")) {
            if (value.n > 0) {
                field_invalid(errors, AT(at, "operator"), value,
                              "value must be empty when `operator` is 'Exists'");
            }
        } else {
            field_not_supported(errors, AT(at, "operator"), op, operators);
        }
        check_one_of(errors, AT(at, "effect"), effect, effects, false);
    }
}

static void spread_check(struct field_errors *errors, const struct path *path,
                         const struct val *constraint)
{
    static const char *const actions[] = {"DoNotSchedule", "ScheduleAnyway", NULL};
    static const char *const policies[] = {"Honor", "Ignore", NULL};
    static const char *const members[] = {"nodeAffinityPolicy", "nodeTaintsPolicy"};
    int64_t skew = val_int(val_get(constraint, "maxSkew"), 0);
    struct str key = val_text(val_get(constraint, "topologyKey"));
    struct str action = val_text(val_get(constraint, "whenUnsatisfiable"));
    const struct val *domains = val_get(constraint, "minDomains");
    const struct val *selector = val_get(constraint, "labelSelector");
    if (skew <= 0) {
        field_invalid_int(errors, AT(path, "maxSkew"), skew, "must be greater than zero");
    }
    if (key.n == 0) {
        field_required(errors, AT(path, "topologyKey"), "can not be empty");
    } else {
        check_name(errors, AT(path, "topologyKey"), NAME_LABEL_KEY, key);
    }
    if (!str_is(action, "DoNotSchedule") && !str_is(action, "ScheduleAnyway")) {
        field_not_supported(errors, AT(path, "whenUnsatisfiable"), action, actions);
    }
    if (!val_absent(domains) && val_int(domains, 0) <= 0) {
        field_invalid_int(errors, AT(path, "minDomains"), val_int(domains, 0),
                          "must be greater than zero");
    } else if (!val_absent(domains) && !str_is(action, "DoNotSchedule")) {
        field_invalid_int(errors, AT(path, "minDomains"), val_int(domains, 0),
                          "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %.*s",
                          STR_ARG(action));
    }
    for (int m = 0; m < 2; m++) {
        check_one_of(errors, AT(path, members[m]),
                     val_text(val_get_str(constraint, str_of(members[m]))), policies, false);
    }
    keys_check(errors, AT(path, "matchLabelKeys"), val_get(constraint, "matchLabelKeys"), selector);
    if (!val_absent(selector)) {
        check_label_selector(errors, AT(path, "labelSelector"), selector);
    }
}

/* The earlier of two like constraints is the one that is named. */
static void spread_repeats(struct field_errors *errors, const struct path *path,
                           const struct val *constraint)
{
    struct str key = val_text(val_get(constraint, "topologyKey"));
    struct str action = val_text(val_get(constraint, "whenUnsatisfiable"));
    for (const struct val *it = constraint->next; it != NULL; it = it->next) {
        if (str_eq(key, val_text(val_get(it, "topologyKey"))) &&
            str_eq(action, val_text(val_get(it, "whenUnsatisfiable")))) {
            const char *pair =
                arena_printf(errors->arena, "{%.*s, %.*s}", STR_ARG(key), STR_ARG(action));
            field_duplicate(errors, AT(path, "{topologyKey, whenUnsatisfiable}"), str_of(pair));
            return;
        }
    }
}

void topology_spread_check(struct field_errors *errors, const struct path *path,
                           const struct val *constraints)
{
    uint32_t i = 0;
    VAL_EACH (constraint, constraints) {
        const struct path *at = AT_INDEX(path, i++);
        spread_check(errors, at, constraint);
        spread_repeats(errors, at, constraint);
    }
}
