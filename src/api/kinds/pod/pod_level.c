/* pod_level.c: resources of a pod as a whole (cpu, memory, huge pages): what is left out follows
 * from the containers, and the containers must fit in.
 *
 * The sum of a pod is what runs together: containers and sidecars, or an init container beside the
 * sidecars before it, whichever is more.
 */
#include "api/defaults.h"
#include "api/kinds/pod/pod_parts.h"
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/resource_names.h"
#include "api/quantity.h"

static const char *const container_lists[] = {"initContainers", "containers"};

enum { NAMES_MAX = 16 };
struct names { /* of the resources that a pod, or a container of it, names */
    struct str items[NAMES_MAX];
    size_t count;
};

static void note_names(struct names *names, const struct val *resources)
{
    static const char *const lists[] = {"limits", "requests"};
    for (int l = 0; l < 2; l++) {
        VAL_EACH (amount, val_get_str(resources, str_of(lists[l]))) {
            bool known = !str_is(amount->key, "cpu") && !str_is(amount->key, "memory") &&
                         !resource_is_huge_pages(amount->key);
            for (size_t i = 0; i < names->count; i++) {
                known = known || str_eq(names->items[i], amount->key);
            }
            if (!known && names->count < NAMES_MAX) {
                names->items[names->count++] = amount->key;
            }
        }
    }
}

static struct names names_of(const struct val *spec)
{
    struct names names = {.count = 0};
    note_names(&names, val_get(spec, "resources"));
    for (int l = 0; l < 2; l++) {
        VAL_EACH (container, val_get_str(spec, str_of(container_lists[l]))) {
            note_names(&names, val_get(container, "resources"));
        }
    }
    return names;
}

static bool amount(const struct val *holder, const char *list, struct str name,
                   struct quantity *ret)
{
    const struct val *resources = val_get(holder, "resources");
    return quantity_parse(val_text(val_get_str(val_get_str(resources, str_of(list)), name)), ret);
}

/* Whether any container names it; *ret_sum is what the pod needs. */
static bool aggregate(const struct val *spec, const char *list, struct str name,
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

static bool all_are_limited(const struct val *spec, struct str name)
{
    struct quantity q;
    for (int l = 0; l < 2; l++) {
        VAL_EACH (container, val_get_str(spec, str_of(container_lists[l]))) {
            if (!amount(container, "limits", name, &q)) {
                return false;
            }
        }
    }
    return true;
}

static void put(struct arena *arena, struct val *resources, const char *list, struct str name,
                struct quantity q)
{
    char *text = arena_alloc(arena, 64);
    struct val *amounts = default_object(arena, resources, list);
    struct val *value = val_new_text(arena, str_at(text, quantity_format(q, text)));
    value->field = amounts->field;
    val_set(amounts, name, value);
}

/* The order matters: each step looks at what the one before it filled in. */
static void default_one(struct arena *arena, struct val *spec, struct str name)
{
    struct val *resources = val_get(spec, "resources");
    struct quantity q, asked;
    bool huge = resource_is_huge_pages(name);
    bool limited = amount(spec, "limits", name, &q);
    bool requested = amount(spec, "requests", name, &asked);
    if (huge && !limited && !requested && aggregate(spec, "limits", name, &q)) {
        put(arena, resources, "limits", name, q);
        limited = true;
    }
    if (!requested && !huge && aggregate(spec, "requests", name, &asked)) {
        put(arena, resources, "requests", name, asked);
    } else if (!requested && limited && amount(spec, "limits", name, &asked)) {
        put(arena, resources, "requests", name, asked);
    } else if (!requested) {
        return;
    }
    if (!limited && all_are_limited(spec, name)) {
        aggregate(spec, "limits", name, &q);
        put(arena, resources, "limits", name, quantity_cmp(asked, q) > 0 ? asked : q);
    }
}

void pod_level_default(struct arena *arena, struct val *pod)
{
    struct val *spec = val_get(pod, "spec");
    struct val *resources = val_get(spec, "resources");
    if (val_count(val_get(resources, "limits")) + val_count(val_get(resources, "requests")) == 0) {
        return;
    }
    struct names names = names_of(spec);
    for (size_t i = 0; i < names.count; i++) {
        default_one(arena, spec, names.items[i]);
    }
}

static void containers_check(struct field_errors *errors, const struct path *path,
                             const struct val *spec, struct str name)
{
    struct quantity limit, q;
    char text[64];
    uint32_t i = 0;
    if (!amount(spec, "limits", name, &limit)) {
        return;
    }
    VAL_EACH (container, val_get(spec, "containers")) {
        if (amount(container, "limits", name, &q) && quantity_cmp(q, limit) > 0) {
            char most[64];
            quantity_format(q, text);
            quantity_format(limit, most);
            field_invalid(errors, AT(AT_KEY(AT_INDEX(AT(path, "containers"), i), name), "limits"),
                          str_of(text), "must be less than or equal to pod limits of %s", most);
        }
        i++;
    }
}

static void sum_check(struct field_errors *errors, const struct path *path, const struct val *spec,
                      const char *list, struct str name)
{
    struct quantity sum, q;
    char text[64], given[64];
    if (!amount(spec, list, name, &q) || !aggregate(spec, list, name, &sum) ||
        quantity_cmp(q, sum) >= 0) {
        return;
    }
    quantity_format(sum, text);
    quantity_format(q, given);
    field_invalid(errors, AT_KEY(AT(path, list), name), str_of(given),
                  "must be greater than or equal to aggregate container %s of %s", list, text);
}

void pod_level_check(struct field_errors *errors, const struct path *path, const struct val *spec)
{
    struct names names = names_of(spec);
    const struct val *resources = val_get(spec, "resources");
    const struct val *claims = val_get(resources, "claims");
    if (str_is(val_text(val_path(spec, "os.name")), "windows")) {
        field_forbidden(errors, path, "may not be set for a windows pod");
        return;
    }
    resources_check(errors, path, resources, true);
    if (!val_absent(claims)) {
        field_forbidden(errors, AT(path, "claims"),
                        "claims may not be set for Resources at pod-level");
        container_claims_check(errors, AT(path, "claims"), claims, spec);
    }
    for (size_t i = 0; i < names.count; i++) {
        sum_check(errors, path, spec, "requests", names.items[i]);
        if (resource_is_huge_pages(names.items[i])) {
            sum_check(errors, path, spec, "limits", names.items[i]);
        }
        containers_check(errors, path, spec, names.items[i]);
    }
}
