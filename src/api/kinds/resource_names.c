/* resource_names.c: names of resources. See resource_names.h. */
#include "api/kinds/resource_names.h"

#include <stdio.h>

#include "api/quantity.h"

static const char *const compute[] = {"cpu",
                                      "memory",
                                      "ephemeral-storage",
                                      "requests.cpu",
                                      "requests.memory",
                                      "requests.ephemeral-storage",
                                      "limits.cpu",
                                      "limits.memory",
                                      "limits.ephemeral-storage",
                                      "requests.storage",
                                      NULL};
static const char *const counted[] = {"pods",
                                      "resourcequotas",
                                      "services",
                                      "replicationcontrollers",
                                      "secrets",
                                      "configmaps",
                                      "persistentvolumeclaims",
                                      "services.nodeports",
                                      "services.loadbalancers",
                                      NULL};

static bool is_in(const char *const *names, struct str name)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (str_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool resource_is_native(struct str name)
{
    return !str_contains(name, STR("/")) || str_contains(name, STR("kubernetes.io/"));
}

bool resource_is_huge_pages(struct str name)
{
    return str_starts(name, STR("hugepages-"));
}

bool resource_is_extended(struct str name)
{
    char quota[512];
    if (resource_is_native(name) || str_starts(name, STR("requests.")) ||
        name.n + sizeof "requests." > sizeof quota) {
        return false;
    }
    int n = snprintf(quota, sizeof quota, "requests.%.*s", STR_ARG(name));
    return name_is(NAME_LABEL_KEY, str_at(quota, (size_t)n));
}

bool resource_may_overcommit(struct str name)
{
    return resource_is_native(name) && !resource_is_huge_pages(name);
}

bool resource_is_quota(struct str name)
{
    return is_in(compute, name) || is_in(counted, name) || resource_is_huge_pages(name) ||
           str_starts(name, STR("requests.hugepages-"));
}

void resource_name_check(struct field_errors *errors, const struct path *path, struct str name)
{
    if (check_name(errors, path, NAME_LABEL_KEY, name) && !str_contains(name, STR("/")) &&
        !resource_is_quota(name) && !str_is(name, "storage")) {
        field_invalid(errors, path, name, "must be a standard resource type or fully qualified");
    }
}

void container_resource_name_check(struct field_errors *errors, const struct path *path,
                                   struct str name)
{
    resource_name_check(errors, path, name);
    if (!str_contains(name, STR("/"))) {
        if (!str_is(name, "cpu") && !str_is(name, "memory") && !str_is(name, "ephemeral-storage") &&
            !resource_is_huge_pages(name)) {
            field_invalid(errors, path, name, "must be a standard resource for containers");
        }
    } else if (!resource_is_native(name) && !resource_is_extended(name)) {
        field_invalid(errors, path, name, "doesn't follow extended resource name standard");
    }
}

void quota_resource_name_check(struct field_errors *errors, const struct path *path,
                               struct str name)
{
    resource_name_check(errors, path, name);
    if (!str_contains(name, STR("/")) && !resource_is_quota(name)) {
        field_invalid(errors, path, name, "must be a standard resource for quota");
    }
}

void resource_amount_check(struct field_errors *errors, const struct path *path, struct str name,
                           const struct val *amount)
{
    struct quantity q;
    if (!quantity_parse(val_text(amount), &q)) {
        return; /* the codec refused it */
    }
    if (q.nano < 0) {
        field_invalid(errors, path, val_text(amount), "must be greater than or equal to 0");
    }
    if ((is_in(counted, name) || resource_is_extended(name)) && q.nano % 1000000000 != 0) {
        field_invalid(errors, path, val_text(amount), "must be an integer");
    }
}
