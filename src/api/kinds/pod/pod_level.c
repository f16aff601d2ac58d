/* pod_level.c: resources of a pod as a whole: what is left out follows from the containers, and the
 * containers must fit in.
 *
 * The sum of a pod is what runs together: containers and sidecars, or an init container beside the
 * sidecars before it, whichever is more.
 */
#include "api/defaults.h"
#include "api/kinds/pod/pod_parts.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/quantity.h"

static const char *const names[] = {"cpu", "memory"};

static bool amount(const struct val *container, const char *list, const char *name,
                   struct quantity *ret)
{
    const struct val *resources = val_get(container, "resources");
    return quantity_parse(val_text(val_get_str(val_get_str(resources, str_of(list)), str_of(name))),
                          ret);
}

/* Whether any container asks for it; *ret_sum is what the pod needs. */
static bool aggregate(const struct val *spec, const char *list, const char *name,
                      struct quantity *ret_sum)
{
    struct quantity sum = {0}, sidecars = {0}, most = {0}, q;
    bool any = false;
    VAL_EACH (container, val_get(spec, "initContainers")) {
        if (!amount(container, list, name, &q)) {
            continue;
        }
        any = true;
        if (container_is_sidecar(container)) {
            sidecars = quantity_add(sidecars, q);
            q = sidecars;
        } else {
            q = quantity_add(q, sidecars);
        }
        most = quantity_cmp(q, most) > 0 ? q : most;
    }
    VAL_EACH (container, val_get(spec, "containers")) {
        if (amount(container, list, name, &q)) {
            any = true;
            sum = quantity_add(sum, q);
        }
    }
    sum = quantity_add(sum, sidecars);
    *ret_sum = quantity_cmp(most, sum) > 0 ? most : sum;
    return any;
}

static void put(struct arena *arena, struct val *list, const char *name, struct quantity q)
{
    char *text = arena_alloc(arena, 64);
    struct val *value = val_new_text(arena, str_at(text, quantity_format(q, text)));
    value->field = list->field;
    val_set(list, str_of(name), value);
}

void pod_level_default(struct arena *arena, struct val *pod)
{
    struct val *resources = val_path(pod, "spec.resources");
    if (val_count(val_get(resources, "limits")) + val_count(val_get(resources, "requests")) == 0) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct str name = str_of(names[i]);
        struct quantity q;
        if (val_get_str(val_get(resources, "requests"), name) != NULL) {
            continue;
        }
        const struct val *limit = val_get_str(val_get(resources, "limits"), name);
        if (aggregate(val_get(pod, "spec"), "requests", names[i], &q) ||
            (limit != NULL && quantity_parse(val_text(limit), &q))) {
            put(arena, default_object(arena, resources, "requests"), names[i], q);
        }
    }
}

void pod_level_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    const struct val *resources = val_get(spec, "resources");
    for (int r = 0; r < 2; r++) {
        struct str name = str_of(names[r]);
        const struct val *asked = val_get_str(val_get(resources, "requests"), name);
        const struct val *most = val_get_str(val_get(resources, "limits"), name);
        struct quantity sum, q, limit;
        char text[64];
        if (asked != NULL && quantity_parse(val_text(asked), &q) &&
            aggregate(spec, "requests", names[r], &sum) && quantity_cmp(q, sum) < 0) {
            quantity_format(sum, text);
            field_invalid(errors, AT_KEY(AT(path, "requests"), name), val_text(asked),
                          "must be greater than or equal to aggregate container requests of %s",
                          text);
        }
        uint32_t i = 0;
        VAL_EACH (container, val_get(spec, "containers")) {
            if (most != NULL && quantity_parse(val_text(most), &limit) &&
                amount(container, "limits", names[r], &q) && quantity_cmp(q, limit) > 0) {
                quantity_format(q, text);
                field_invalid(errors,
                              AT(AT_KEY(AT_INDEX(AT(path, "containers"), i), name), "limits"),
                              str_of(text), "must be less than or equal to pod limits of %.*s",
                              STR_ARG(val_text(most)));
            }
            i++;
        }
    }
}
