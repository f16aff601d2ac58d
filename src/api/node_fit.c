/* Whether a pod may be on a node (node_fit.h). */
#include "api/node_fit.h"

bool toleration_covers(const struct val *toleration, const struct val *taint)
{
    struct str effect = val_text(val_get(toleration, "effect"));
    struct str key = val_text(val_get(toleration, "key"));
    struct str how = val_text(val_get(toleration, "operator"));
    if ((effect.n > 0 && !str_eq(effect, val_text(val_get(taint, "effect")))) ||
        (key.n > 0 && !str_eq(key, val_text(val_get(taint, "key"))))) {
        return false;
    }
    if (str_is(how, "Exists")) {
        return true;
    }
    struct str have = val_text(val_get(taint, "value"));
    struct str want = val_text(val_get(toleration, "value"));
    int64_t a, b;
    if (str_is(how, "Gt") || str_is(how, "Lt")) {
        return str_i64(have, &a) && str_i64(want, &b) && (str_is(how, "Gt") ? a > b : a < b);
    }
    return key.n > 0 && str_eq(have, want);
}

static int effect_bit(struct str effect)
{
    return str_is(effect, "NoSchedule")  ? TAINT_NO_SCHEDULE
           : str_is(effect, "NoExecute") ? TAINT_NO_EXECUTE
                                         : 0;
}

bool tolerations_cover(const struct val *tolerations, const struct val *taints, int effects)
{
    VAL_EACH (taint, taints) {
        if ((effect_bit(val_text(val_get(taint, "effect"))) & effects) == 0) {
            continue;
        }
        bool covered = false;
        VAL_EACH (it, tolerations) {
            covered |= toleration_covers(it, taint);
        }
        if (!covered) {
            return false;
        }
    }
    return true;
}

static bool is_among(const struct val *values, struct str value)
{
    VAL_EACH (it, values) {
        if (str_eq(val_text(it), value)) {
            return true;
        }
    }
    return false;
}

/* One v1.NodeSelectorRequirement; `have` NULL: the label is not there. */
static bool requirement_holds(const struct val *requirement, const struct val *have)
{
    struct str how = val_text(val_get(requirement, "operator"));
    const struct val *values = val_get(requirement, "values");
    int64_t a, b;
    if (str_is(how, "NotIn")) {
        return have == NULL || !is_among(values, val_text(have));
    }
    if (str_is(how, "DoesNotExist")) {
        return have == NULL;
    }
    if (have == NULL || str_is(how, "Exists")) {
        return have != NULL;
    }
    if (str_is(how, "In")) {
        return is_among(values, val_text(have));
    }
    return str_i64(val_text(have), &a) && str_i64(val_text(val_at(values, 0)), &b) &&
           (str_is(how, "Gt") ? a > b : str_is(how, "Lt") && a < b);
}

static bool term_holds(const struct val *term, const struct val *node)
{
    const struct val *labels = val_path(node, "metadata.labels");
    const struct val *expressions = val_get(term, "matchExpressions");
    const struct val *fields = val_get(term, "matchFields");
    VAL_EACH (it, expressions) {
        if (!requirement_holds(it, val_get_str(labels, val_text(val_get(it, "key"))))) {
            return false;
        }
    }
    VAL_EACH (it, fields) {
        bool is_name = str_is(val_text(val_get(it, "key")), "metadata.name");
        if (!is_name || !requirement_holds(it, val_path(node, "metadata.name"))) {
            return false;
        }
    }
    return val_count(expressions) + val_count(fields) > 0; /* an empty term selects nothing */
}

static bool terms_allow(const struct val *required, const struct val *node)
{
    if (val_absent(required)) {
        return true;
    }
    VAL_EACH (it, val_get(required, "nodeSelectorTerms")) {
        if (term_holds(it, node)) {
            return true;
        }
    }
    return false;
}

bool volume_node_allows(const struct val *volume, const struct val *node)
{
    return terms_allow(val_path(volume, "spec.nodeAffinity.required"), node);
}

bool node_affinity_allows(const struct val *pod_spec, const struct val *node)
{
    const struct val *labels = val_path(node, "metadata.labels");
    VAL_EACH (it, val_get(pod_spec, "nodeSelector")) {
        const struct val *have = val_get_str(labels, it->key);
        if (have == NULL || !str_eq(val_text(have), it->text)) {
            return false;
        }
    }
    return terms_allow(
        val_path(pod_spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"),
        node);
}
