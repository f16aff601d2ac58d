/* quota.c: ResourceQuotas: validation, rows. Counting and refusing are the admission's and the
 * controller's. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/kinds/resource_names.h"
#include "api/quantity.h"
#include "api/warning.h"

#include <stdio.h>
#include <stdlib.h>

static void defaults(struct arena *arena, struct val *quota)
{
    default_resource_list(arena, val_path(quota, "spec.hard"));
    default_resource_list(arena, val_path(quota, "status.hard"));
    default_resource_list(arena, val_path(quota, "status.used"));
}

static void list_check(struct field_errors *errors, const struct path *path, const struct val *list)
{
    VAL_EACH (amount, list) {
        const struct path *at = AT_KEY(path, amount->key);
        quota_resource_name_check(errors, at, amount->key);
        resource_amount_check(errors, at, amount->key, amount);
    }
}

/* ---- scopes ---- */

static const char *const plain_scopes[] = {"BestEffort", "NotBestEffort", "Terminating",
                                           "NotTerminating", "CrossNamespacePodAffinity"};
static const char *const valued_scopes[] = {"PriorityClass", "VolumeAttributesClass"};

static bool is_plain_scope(struct str scope)
{
    for (size_t i = 0; i < sizeof plain_scopes / sizeof plain_scopes[0]; i++) {
        if (str_is(scope, plain_scopes[i])) {
            return true;
        }
    }
    return false;
}

static bool is_scope(struct str scope)
{
    return is_plain_scope(scope) || str_is(scope, valued_scopes[0]) ||
           str_is(scope, valued_scopes[1]);
}

/* Whether objects that a scope selects use the resource at all. */
static bool scope_has(struct str scope, struct str resource)
{
    static const char *const compute[] = {"cpu",           "memory",       "limits.cpu",
                                          "limits.memory", "requests.cpu", "requests.memory"};
    bool pods = str_is(resource, "pods");
    if (!is_scope(scope) || str_is(scope, "BestEffort")) {
        return pods || !is_scope(scope);
    }
    if (str_is(scope, "VolumeAttributesClass")) {
        return str_is(resource, "persistentvolumeclaims") || str_is(resource, "requests.storage");
    }
    for (size_t i = 0; i < sizeof compute / sizeof compute[0]; i++) {
        pods = pods || str_is(resource, compute[i]);
    }
    return pods;
}

static bool fits(struct str scope, const struct val *hard)
{
    VAL_EACH (amount, hard) {
        if (resource_is_quota(amount->key) && !scope_has(scope, amount->key)) {
            return false;
        }
    }
    return true;
}

struct seen { /* of two that exclude each other */
    bool best, not_best, ending, not_ending;
};

static void note(struct seen *seen, struct str scope)
{
    seen->best = seen->best || str_is(scope, "BestEffort");
    seen->not_best = seen->not_best || str_is(scope, "NotBestEffort");
    seen->ending = seen->ending || str_is(scope, "Terminating");
    seen->not_ending = seen->not_ending || str_is(scope, "NotTerminating");
}

static void conflicts_check(struct field_errors *errors, const struct path *path,
                            const struct seen *seen, const struct val *scopes)
{
    if (seen->best && seen->not_best) {
        field_invalid_val(errors, path, scopes, "conflicting scopes");
    }
    if (seen->ending && seen->not_ending) {
        field_invalid_val(errors, path, scopes, "conflicting scopes");
    }
}

static void scopes_check(struct field_errors *errors, const struct path *path,
                         const struct val *spec)
{
    const struct val *scopes = val_get(spec, "scopes");
    struct seen seen = {0};
    VAL_EACH (scope, scopes) {
        if (!is_scope(val_text(scope))) {
            field_invalid_val(errors, path, scopes, "unsupported scope");
        } else if (!fits(val_text(scope), val_get(spec, "hard"))) {
            field_invalid_val(errors, path, scopes, "unsupported scope applied to resource");
        }
        note(&seen, val_text(scope));
    }
    conflicts_check(errors, path, &seen, scopes);
}

static void values_check(struct field_errors *errors, const struct path *path,
                         const struct val *expression)
{
    struct str op = val_text(val_get(expression, "operator"));
    const struct val *values = val_get(expression, "values");
    if (str_is(op, "In") || str_is(op, "NotIn")) {
        if (val_count(values) == 0) {
            field_required(errors, AT(path, "values"),
                           "must be at least one value when `operator` is 'In' or 'NotIn'");
        }
    } else if (str_is(op, "Exists") || str_is(op, "DoesNotExist")) {
        if (val_count(values) > 0) {
            field_invalid_val(errors, AT(path, "values"), values,
                              "must be no value when `operator` is 'Exists' or 'DoesNotExist'");
        }
    } else {
        field_invalid(errors, AT(path, "operator"), op, "not a valid selector operator");
    }
}

/* The API does not say which expression. */
static void selector_check(struct field_errors *errors, const struct path *path,
                           const struct val *spec)
{
    const struct val *selector = val_get(spec, "scopeSelector");
    const struct path *at = AT(AT(path, "scopeSelector"), "matchExpressions");
    struct seen seen = {0};
    VAL_EACH (expression, val_get(selector, "matchExpressions")) {
        struct str scope = val_text(val_get(expression, "scopeName"));
        struct str op = val_text(val_get(expression, "operator"));
        if (!is_scope(scope)) {
            field_invalid(errors, AT(at, "scopeName"), scope, "unsupported scope");
        } else if (!fits(scope, val_get(spec, "hard"))) {
            field_invalid_val(errors, at, selector, "unsupported scope applied to resource");
        }
        if (is_plain_scope(scope) && !str_is(op, "Exists")) {
            field_invalid(errors, AT(at, "operator"), op, "must be 'Exists' when the scope is %.*s",
                          STR_ARG(scope));
        }
        values_check(errors, at, expression);
        note(&seen, scope);
    }
    conflicts_check(errors, at, &seen, val_get(spec, "scopes"));
}

static void validate(struct api_context *ctx, const struct val *quota, struct field_errors *errors)
{
    const struct val *spec = val_get(quota, "spec");
    const struct path *path = AT(NULL, "spec");
    list_check(errors, AT(path, "hard"), val_get(spec, "hard"));
    scopes_check(errors, AT(path, "scopes"), spec);
    selector_check(errors, path, spec);
    (void)ctx;
}

/* "requests.cpu", or for cpu and memory the bare name. */
static const struct val *request_of(const struct val *hard, const char *name, bool bare,
                                    const char **ret_shown)
{
    char full[64];
    int n = snprintf(full, sizeof full, "requests.%s", name);
    const struct val *amount = val_get_str(hard, str_at(full, (size_t)n));
    *ret_shown = "requests.";
    if (amount == NULL && bare) {
        amount = val_get_str(hard, str_of(name));
        *ret_shown = "";
    }
    return amount;
}

static void validate_create(struct api_context *ctx, const struct val *quota,
                            struct field_errors *errors)
{
    static const char *const names[] = {"cpu", "memory", "storage", "ephemeral-storage"};
    const struct val *hard = val_path(quota, "spec.hard");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char full[64];
        const char *prefix;
        int n = snprintf(full, sizeof full, "limits.%s", names[i]);
        const struct val *request = request_of(hard, names[i], i < 2, &prefix);
        const struct val *limit = val_get_str(hard, str_at(full, (size_t)n));
        struct quantity asked, most;
        if (quantity_parse(val_text(request), &asked) && quantity_parse(val_text(limit), &most) &&
            quantity_cmp(asked, most) > 0) {
            api_warn(ctx, AT(AT(NULL, "spec"), "hard"), "%s%s (%.*s) should be less than %s (%.*s)",
                     prefix, names[i], STR_ARG(val_text(request)), full, STR_ARG(val_text(limit)));
        }
    }
    (void)errors;
}

static bool has_all(const struct val *list, const struct val *of)
{
    VAL_EACH (it, of) {
        bool found = false;
        VAL_EACH (other, list) {
            found = found || str_eq(val_text(it), val_text(other));
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static void validate_update(struct api_context *ctx, const struct val *next, const struct val *old,
                            struct field_errors *errors)
{
    const struct val *scopes = val_path(next, "spec.scopes"), *was = val_path(old, "spec.scopes");
    const struct val *status = val_get(next, "status");
    if (strcmp(ctx->subresource, "status") == 0) {
        list_check(errors, AT(AT(NULL, "status"), "hard"), val_get(status, "hard"));
        list_check(errors, AT(AT(NULL, "status"), "used"), val_get(status, "used"));
        return;
    }
    const struct path *path = AT(AT(NULL, "spec"), "scopes");
    if (check_length(errors, path, scopes, LIST_LENGTH_MAX) &&
        !(has_all(scopes, was) && has_all(was, scopes))) {
        check_immutable(errors, path, scopes, was);
    }
}

/* ---- rows ---- */

static int by_key(const void *a, const void *b)
{
    return str_cmp((*(const struct val *const *)a)->key, (*(const struct val *const *)b)->key);
}

static void columns(struct api_context *ctx, const struct val *quota, struct val *cells)
{
    const struct val *hard = val_path(quota, "status.hard"), *used = val_path(quota, "status.used");
    const struct val **items = arena_array(ctx->arena, const struct val *, val_count(hard) + 1);
    struct buf requests BUF_CLEANUP = BUF_INIT, limits BUF_CLEANUP = BUF_INIT;
    size_t count = 0;
    VAL_EACH (it, hard) {
        items[count++] = it;
    }
    if (count > 1) {
        qsort(items, count, sizeof *items, by_key);
    }
    for (size_t i = 0; i < count; i++) {
        struct buf *out = str_starts(items[i]->key, STR("limits.")) ? &limits : &requests;
        struct str now = val_text(val_get_str(used, items[i]->key));
        buf_printf(out, "%s%.*s: %.*s/%.*s", out->n > 0 ? ", " : "", STR_ARG(items[i]->key),
                   STR_ARG(now.n > 0 ? now : STR("0")), STR_ARG(val_text(items[i])));
    }
    cell_text(ctx, cells, val_name(quota));
    cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&requests)));
    cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&limits)));
    cell_age(ctx, cells, quota);
}

const struct api_ops ops_resource_quota = {
    .defaults = defaults,
    .validate = validate,
    .validate_create = validate_create,
    .validate_update = validate_update,
    .columns = columns,
    .unconditional_update = true,
    .returns_deleted = true,
};
