/* resources.c: validation of ResourceRequirements: names, amounts, requests against limits. */
#include "api/kinds/pod/pod_spec.h"
#include "api/kinds/resource_names.h"
#include "api/quantity.h"

static void name_check_pod(struct field_errors *errors, const struct path *path, struct str name)
{
    static const char *const names[] = {"cpu", "memory", NULL};
    size_t before = errors->count;
    resource_name_check(errors, path, name);
    if (errors->count > before) {
        return;
    }
    if (!str_is(name, "cpu") && !str_is(name, "memory") && !resource_is_huge_pages(name)) {
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
    resource_amount_check(errors, path, name, amount);
    struct quantity page;
    struct str size = str_from(name, sizeof "hugepages-" - 1);
    if (resource_is_huge_pages(name) && quantity_parse(size, &page) && page.nano > 0 &&
        (q.nano <= 0 || q.nano % page.nano != 0)) {
        field_invalid(errors, path, val_text(amount),
                      "%.*s is not positive integer multiple of %.*s", STR_ARG(val_text(amount)),
                      STR_ARG(name));
    }
}

static void request_check(struct field_errors *errors, const struct path *path, struct str name,
                          const struct val *request, const struct val *limit)
{
    struct quantity asked, most;
    const char *wanted = resource_may_overcommit(name) ? "less than or equal to" : "equal to";
    if (limit == NULL || !quantity_parse(val_text(request), &asked) ||
        !quantity_parse(val_text(limit), &most)) {
        return;
    }
    int order = quantity_cmp(asked, most);
    if (resource_may_overcommit(name) ? order > 0 : order != 0) {
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
                container_resource_name_check(errors, at, amount->key);
            }
            amount_check(errors, at, amount->key, amount);
            huge = huge || resource_is_huge_pages(amount->key);
            plain = plain || str_is(amount->key, "cpu") || str_is(amount->key, "memory");
        }
    }
    VAL_EACH (request, requests) {
        const struct val *limit = val_get_str(limits, request->key);
        request_check(errors, AT(path, "requests"), request->key, request, limit);
        if (limit == NULL && !resource_may_overcommit(request->key)) {
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
        container_resource_name_check(errors, at, amount->key);
        amount_check(errors, at, amount->key, amount);
    }
}
