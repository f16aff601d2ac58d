/* resources.c: validation of ResourceRequirements: names, amounts, requests against limits. */
#include "api/kinds/pod/pod_spec.h"
#include "api/quantity.h"

static bool is_native(struct str name)
{
    return !str_contains(name, STR("/")) || str_contains(name, STR("kubernetes.io/"));
}

static bool is_huge_pages(struct str name)
{
    return str_starts(name, STR("hugepages-"));
}

static bool is_standard(struct str name)
{
    return str_is(name, "cpu") || str_is(name, "memory") || str_is(name, "ephemeral-storage") ||
           is_huge_pages(name);
}

static bool may_overcommit(struct str name)
{
    return is_native(name) && !is_huge_pages(name);
}

static void name_check_container(struct field_errors *errors, const struct path *path,
                                 struct str name)
{
    if (!check_name(errors, path, NAME_LABEL_KEY, name)) {
        return;
    }
    if (!str_contains(name, STR("/"))) {
        if (!is_standard(name)) {
            field_invalid(errors, path, name,
                          "must be a standard resource type or fully qualified");
            field_invalid(errors, path, name, "must be a standard resource for containers");
        }
    } else if (is_native(name)) {
        if (!str_starts(name, STR("kubernetes.io/"))) {
            return;
        }
    } else if (str_starts(name, STR("requests."))) {
        field_invalid(errors, path, name, "doesn't follow extended resource name standard");
    }
}

static void name_check_pod(struct field_errors *errors, const struct path *path, struct str name)
{
    static const char *const names[] = {"cpu", "memory", NULL};
    if (!check_name(errors, path, NAME_LABEL_KEY, name)) {
        return;
    }
    if (!str_contains(name, STR("/")) && !is_standard(name)) {
        field_invalid(errors, path, name, "must be a standard resource type or fully qualified");
    } else if (!str_is(name, "cpu") && !str_is(name, "memory") && !is_huge_pages(name)) {
        field_not_supported(errors, path, name, names);
    }
}

static void amount_check(struct field_errors *errors, const struct path *path, struct str name,
                         const struct val *amount)
{
    struct quantity q;
    if (!quantity_parse(val_text(amount), &q)) {
        return; /* the codec refused it */
    }
    if (q.nano < 0) {
        field_invalid(errors, path, val_text(amount), "must be greater than or equal to 0");
    }
    struct quantity page;
    struct str size = str_from(name, sizeof "hugepages-" - 1);
    if (is_huge_pages(name) && quantity_parse(size, &page) && page.nano > 0 &&
        (q.nano <= 0 || q.nano % page.nano != 0)) {
        field_invalid(errors, path, val_text(amount),
                      "%.*s is not positive integer multiple of %.*s", STR_ARG(val_text(amount)),
                      STR_ARG(name));
    }
    if ((!is_native(name) || is_huge_pages(name)) && q.nano % 1000000000 != 0) {
        field_invalid(errors, path, val_text(amount), "must be an integer");
    }
}

static void request_check(struct field_errors *errors, const struct path *path, struct str name,
                          const struct val *request, const struct val *limit)
{
    struct quantity asked, most;
    const char *wanted = may_overcommit(name) ? "less than or equal to" : "equal to";
    if (limit == NULL || !quantity_parse(val_text(request), &asked) ||
        !quantity_parse(val_text(limit), &most)) {
        return;
    }
    int order = quantity_cmp(asked, most);
    if (may_overcommit(name) ? order > 0 : order != 0) {
        field_invalid(errors, path, val_text(request), "must be %s %.*s limit of %.*s", wanted,
                      STR_ARG(name), STR_ARG(val_text(limit)));
    }
}

void resources_check(struct field_errors *errors, const struct path *path,
                     const struct val *resources, bool pod_level)
{
    static const char *const lists[] = {"limits", "requests"};
    const struct val *limits = val_get(resources, "limits");
    const struct val *requests = val_get(resources, "requests");
    bool huge = false, plain = false;
    for (int l = 0; l < 2; l++) {
        VAL_EACH (amount, l == 0 ? limits : requests) {
            const struct path *at = AT_KEY(AT(path, lists[l]), amount->key);
            if (pod_level) {
                name_check_pod(errors, at, amount->key);
            } else {
                name_check_container(errors, at, amount->key);
            }
            amount_check(errors, at, amount->key, amount);
            huge = huge || is_huge_pages(amount->key);
            plain = plain || str_is(amount->key, "cpu") || str_is(amount->key, "memory");
        }
    }
    VAL_EACH (request, requests) {
        const struct val *limit = val_get_str(limits, request->key);
        request_check(errors, AT(path, "requests"), request->key, request, limit);
        if (limit == NULL && !may_overcommit(request->key)) {
            field_required(errors, AT(path, "limits"),
                           "Limit must be set for non overcommitable resources");
        }
    }
    if (huge && !plain) {
        field_forbidden(errors, path, "HugePages require cpu or memory");
    }
}

void resource_list_check(struct field_errors *errors, const struct path *path,
                         const struct val *list)
{
    VAL_EACH (amount, list) {
        const struct path *at = AT_KEY(path, amount->key);
        if (check_name(errors, at, NAME_LABEL_KEY, amount->key)) {
            amount_check(errors, at, amount->key, amount);
        }
    }
}
