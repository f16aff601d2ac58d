/* pod_match.c: matchLabelKeys and mismatchLabelKeys of a new Pod: the values of the pod's own
 * labels become requirements of the term's label selector, so that nobody who reads the term needs
 * the pod.
 */
#include "api/kinds/pod/pod_parts.h"

static void add_requirement(struct arena *arena, struct val *selector, struct str key,
                            const char *op, struct str value)
{
    struct val *list = val_make_array(arena, selector, STR("matchExpressions"));
    struct val *requirement = val_append(list, val_new(arena, VAL_OBJECT));
    requirement->field = list->field;
    val_set_text(arena, requirement, STR("key"), key);
    val_set_text(arena, requirement, STR("operator"), str_of(op));
    struct val *values = val_make_array(arena, requirement, STR("values"));
    val_append(values, val_new_text(arena, value));
}

static void apply_keys(struct arena *arena, struct val *term, const struct val *labels)
{
    static const char *const lists[] = {"matchLabelKeys", "mismatchLabelKeys"};
    static const char *const operators[] = {"In", "NotIn"};
    struct val *selector = val_get(term, "labelSelector");
    if (val_absent(selector)) {
        return;
    }
    for (int l = 0; l < 2; l++) {
        VAL_EACH (key, val_get_str(term, str_of(lists[l]))) {
            const struct val *label = val_get_str(labels, val_text(key));
            if (label != NULL) {
                add_requirement(arena, selector, val_text(key), operators[l], val_text(label));
            }
        }
    }
}

static void apply_affinity(struct arena *arena, struct val *affinity, const struct val *labels)
{
    VAL_EACH (term, val_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution")) {
        apply_keys(arena, term, labels);
    }
    VAL_EACH (term, val_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution")) {
        apply_keys(arena, val_get(term, "podAffinityTerm"), labels);
    }
}

void pod_apply_match_keys(struct arena *arena, struct val *pod)
{
    struct val *spec = val_get(pod, "spec");
    const struct val *labels = val_path(pod, "metadata.labels");
    apply_affinity(arena, val_path(spec, "affinity.podAffinity"), labels);
    apply_affinity(arena, val_path(spec, "affinity.podAntiAffinity"), labels);
    VAL_EACH (constraint, val_get(spec, "topologySpreadConstraints")) {
        apply_keys(arena, constraint, labels);
    }
}
