/* limit_range.c: LimitRanges: defaults, validation. What they do to pods and claims is the
 * admission's. */
#include "api/defaults.h"
#include "api/kinds/kinds.h"
#include "api/kinds/resource_names.h"
#include "api/quantity.h"

static const char *const lists[] = {"max", "min", "default", "defaultRequest",
                                    "maxLimitRequestRatio"};
enum { LISTS = sizeof lists / sizeof lists[0] };

static void fill(struct arena *arena, struct val *list, const struct val *from)
{
    VAL_EACH (amount, from) {
        if (val_get_str(list, amount->key) == NULL) {
            default_put(list, amount->key, val_copy(arena, amount));
        }
    }
}

/* A container's limit is the most, its request the limit, else the least. */
static void defaults(struct arena *arena, struct val *range)
{
    VAL_EACH (item, val_path(range, "spec.limits")) {
        for (size_t i = 0; i < LISTS; i++) {
            default_resource_list(arena, val_get_str(item, str_of(lists[i])));
        }
        if (!str_is(val_text(val_get(item, "type")), "Container")) {
            continue;
        }
        struct val *limit = default_object(arena, item, "default");
        struct val *request = default_object(arena, item, "defaultRequest");
        fill(arena, limit, val_get(item, "max"));
        fill(arena, request, limit);
        fill(arena, request, val_get(item, "min"));
    }
}

static void type_check(struct field_errors *errors, const struct path *path, struct str type)
{
    if (check_name(errors, path, NAME_LABEL_KEY, type) && !str_contains(type, STR("/")) &&
        !str_is(type, "Pod") && !str_is(type, "Container") &&
        !str_is(type, "PersistentVolumeClaim")) {
        field_invalid(errors, path, type, "must be a standard limit type or fully qualified");
    }
}

static void names_check(struct field_errors *errors, const struct path *path,
                        const struct val *list, struct str type)
{
    VAL_EACH (amount, list) {
        const struct path *at = AT_KEY(path, amount->key);
        if (str_is(type, "Pod") || str_is(type, "Container")) {
            container_resource_name_check(errors, at, amount->key);
        } else {
            resource_name_check(errors, at, amount->key);
        }
    }
}

struct amounts { /* of one resource in an item; `has_` where it is given */
    struct str name;
    struct quantity max, min, limit, request, ratio;
    bool has_max, has_min, has_limit, has_request, has_ratio;
    struct str max_text, min_text, limit_text, request_text, ratio_text;
};

static bool amount_of(const struct val *item, const char *list, struct str name,
                      struct quantity *ret, struct str *ret_text)
{
    const struct val *amount = val_get_str(val_get_str(item, str_of(list)), name);
    *ret_text = val_text(amount);
    return amount != NULL && quantity_parse(*ret_text, ret);
}

/* `low` of `at` must not be above `high`. */
static void order_check(struct field_errors *errors, const struct path *path, const char *list,
                        struct str name, struct str shown, const char *what, struct str low,
                        const char *above, struct str high)
{
    field_invalid(errors, AT_KEY(AT(path, list), name), shown,
                  "%s value %.*s is greater than %s value %.*s", what, STR_ARG(low), above,
                  STR_ARG(high));
}

static void ratio_check(struct field_errors *errors, const struct path *path,
                        const struct amounts *a)
{
    const __int128 one = 1000000000;
    const struct path *at = AT_KEY(AT(path, "maxLimitRequestRatio"), a->name);
    if (!a->has_ratio) {
        return;
    }
    if (a->ratio.nano < one) {
        field_invalid(errors, at, a->ratio_text, "ratio %.*s is less than 1",
                      STR_ARG(a->ratio_text));
    }
    if (a->has_min && a->has_max) {
        double most = (double)a->max.nano / (double)a->min.nano;
        if ((double)a->ratio.nano / (double)one > most) {
            field_invalid(errors, at, a->ratio_text, "ratio %.*s is greater than max/min = %f",
                          STR_ARG(a->ratio_text), most);
        }
    }
}

static void amounts_check(struct field_errors *errors, const struct path *path,
                          const struct amounts *a)
{
    if (a->has_min && a->has_max && quantity_cmp(a->min, a->max) > 0) {
        order_check(errors, path, "min", a->name, a->min_text, "min", a->min_text, "max",
                    a->max_text);
    }
    if (a->has_request && a->has_min && quantity_cmp(a->min, a->request) > 0) {
        order_check(errors, path, "defaultRequest", a->name, a->request_text, "min", a->min_text,
                    "default request", a->request_text);
    }
    if (a->has_request && a->has_max && quantity_cmp(a->request, a->max) > 0) {
        order_check(errors, path, "defaultRequest", a->name, a->request_text, "default request",
                    a->request_text, "max", a->max_text);
    }
    if (a->has_request && a->has_limit && quantity_cmp(a->request, a->limit) > 0) {
        order_check(errors, path, "defaultRequest", a->name, a->request_text, "default request",
                    a->request_text, "default limit", a->limit_text);
    }
    if (a->has_limit && a->has_min && quantity_cmp(a->min, a->limit) > 0) {
        order_check(errors, path, "default", a->name, a->min_text, "min", a->min_text, "default",
                    a->limit_text);
    }
    if (a->has_limit && a->has_max && quantity_cmp(a->limit, a->max) > 0) {
        order_check(errors, path, "default", a->name, a->max_text, "default", a->limit_text, "max",
                    a->max_text);
    }
    ratio_check(errors, path, a);
    if (a->has_limit && a->has_request && !resource_may_overcommit(a->name) &&
        quantity_cmp(a->limit, a->request) != 0) {
        field_invalid(errors, AT_KEY(AT(path, "defaultRequest"), a->name), a->request_text,
                      "default value %.*s must equal to defaultRequest value %.*s in %.*s",
                      STR_ARG(a->limit_text), STR_ARG(a->request_text), STR_ARG(a->name));
    }
}

static bool was_seen(const struct val *item, size_t list, struct str name)
{
    for (size_t i = 0; i < list; i++) {
        if (val_get_str(val_get_str(item, str_of(lists[i])), name) != NULL) {
            return true;
        }
    }
    return false;
}

static void item_check(struct field_errors *errors, const struct path *path, const struct val *item)
{
    struct str type = val_text(val_get(item, "type"));
    bool pod = str_is(type, "Pod");
    type_check(errors, AT(path, "type"), type);
    for (size_t i = 0; i < LISTS; i++) {
        const struct val *list = val_get_str(item, str_of(lists[i]));
        bool is_default = i == 2 || i == 3;
        if (pod && is_default && val_count(list) > 0) {
            field_forbidden(errors, AT(path, lists[i]),
                            "may not be specified when `type` is 'Pod'");
        } else if (!pod || !is_default) {
            names_check(errors, AT(path, lists[i]), list, type);
        }
    }
    if (str_is(type, "PersistentVolumeClaim") && val_get(val_get(item, "min"), "storage") == NULL &&
        val_get(val_get(item, "max"), "storage") == NULL) {
        field_required(
            errors, AT(path, "limits"),
            "either minimum or maximum storage value is required, but neither was provided");
    }
    for (size_t i = 0; i < LISTS; i++) {
        VAL_EACH (it, val_get_str(item, str_of(lists[i]))) {
            struct amounts a = {.name = it->key};
            if (was_seen(item, i, it->key)) {
                continue;
            }
            a.has_max = amount_of(item, "max", a.name, &a.max, &a.max_text);
            a.has_min = amount_of(item, "min", a.name, &a.min, &a.min_text);
            a.has_limit = !pod && amount_of(item, "default", a.name, &a.limit, &a.limit_text);
            a.has_request =
                !pod && amount_of(item, "defaultRequest", a.name, &a.request, &a.request_text);
            a.has_ratio = amount_of(item, "maxLimitRequestRatio", a.name, &a.ratio, &a.ratio_text);
            amounts_check(errors, path, &a);
        }
    }
}

static void validate(struct api_context *ctx, const struct val *range, struct field_errors *errors)
{
    const struct val *limits = val_path(range, "spec.limits");
    const struct path *path = AT(AT(NULL, "spec"), "limits");
    uint32_t i = 0;
    if (!check_length(errors, path, limits, LIST_LENGTH_MAX)) {
        return;
    }
    VAL_EACH (item, limits) {
        const struct path *at = AT_INDEX(path, i++);
        struct str type = val_text(val_get(item, "type"));
        item_check(errors, at, item);
        if (list_repeats(limits, item, "type")) {
            field_duplicate(errors, AT(at, "type"), type);
        }
    }
    (void)ctx;
}

const struct api_ops ops_limit_range = {
    .defaults = defaults,
    .validate = validate,
    .create_on_update = true,
    .unconditional_update = true,
};
