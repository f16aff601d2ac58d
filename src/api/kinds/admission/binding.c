/* binding.c: ValidatingAdmissionPolicyBinding and MutatingAdmissionPolicyBinding: where a policy
 * holds, with which parameters. */
#include "api/kinds/admission/matching.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"

static void param_ref_check(struct field_errors *errors, const struct path *path,
                            const struct val *ref)
{
    static const char *const actions[] = {"Allow", "Deny", NULL};
    static const char both[] = "name and selector are mutually exclusive";
    struct str name = val_text(val_get(ref, "name"));
    const struct val *selector = val_get(ref, "selector");
    if (name.n > 0) {
        check_name(errors, AT(path, "name"), NAME_PATH, name);
    }
    if (name.n > 0 && !val_absent(selector)) {
        field_forbidden(errors, AT(path, "name"), "%s", both);
    }
    if (!val_absent(selector)) {
        check_label_selector(errors, AT(path, "selector"), selector);
    }
    if (name.n > 0 && !val_absent(selector)) {
        field_forbidden(errors, AT(path, "selector"), "%s", both);
    }
    if (name.n == 0 && val_absent(selector)) {
        field_required(errors, path, "one of name or selector must be specified");
    }
    check_one_of(errors, AT(path, "parameterNotFoundAction"),
                 val_text(val_get(ref, "parameterNotFoundAction")), actions, true);
}

static void common_check(struct field_errors *errors, const struct path *path,
                         const struct val *spec)
{
    struct str policy = val_text(val_get(spec, "policyName"));
    const struct val *ref = val_get(spec, "paramRef"), *match = val_get(spec, "matchResources");
    if (policy.n == 0) {
        field_required(errors, AT(path, "policyName"), "");
    } else {
        check_name(errors, AT(path, "policyName"), NAME_SUBDOMAIN, policy);
    }
    if (!val_absent(ref)) {
        param_ref_check(errors, AT(path, "paramRef"), ref);
    }
    if (!val_absent(match)) {
        match_resources_check(errors, AT(path, "matchResources"), match);
    }
}

static void actions_check(struct field_errors *errors, const struct path *path,
                          const struct val *list)
{
    static const char *const actions[] = {"Audit", "Deny", "Warn", NULL};
    unsigned seen = 0;
    uint32_t i = 0;
    VAL_EACH (it, list) {
        const struct path *at = AT_INDEX(path, i++);
        choice_check(errors, at, it, actions);
        for (unsigned a = 0; actions[a] != NULL; a++) {
            if (str_is(val_text(it), actions[a])) {
                if ((seen >> a & 1) != 0) {
                    field_duplicate(errors, at, val_text(it));
                }
                seen |= 1U << a;
            }
        }
    }
    if ((seen & 6) == 6) {
        field_invalid_val(errors, path, list,
                          "must not contain both Deny and Warn: one answer says it already");
    }
    if (val_count(list) == 0) {
        field_required(errors, path, "at least one validation action is required");
    }
}

static void validating_validate(struct api_context *ctx, const struct val *binding,
                                struct field_errors *errors)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(binding, "spec");
    common_check(errors, path, spec);
    actions_check(errors, AT(path, "validationActions"), val_get(spec, "validationActions"));
    unenforced_warn(ctx, binding, "ValidatingAdmissionPolicyBinding");
}

static void mutating_validate(struct api_context *ctx, const struct val *binding,
                              struct field_errors *errors)
{
    static const char *const operations[] = {"*", "CONNECT", "CREATE", "UPDATE", NULL};
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(binding, "spec");
    const struct path *at = AT(AT(AT(path, "matchResources"), "resourceRules"), "operations");
    common_check(errors, path, spec);
    VAL_EACH (rule, val_path(spec, "matchResources.resourceRules")) {
        VAL_EACH (it, val_get(rule, "operations")) {
            choice_check(errors, at, it, operations);
        }
    }
    unenforced_warn(ctx, binding, "MutatingAdmissionPolicyBinding");
}

static void binding_validate_create(struct api_context *ctx, const struct val *binding,
                                    struct field_errors *errors)
{
    static_name_check(ctx, errors, binding, false);
}

static void binding_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    static_name_check(ctx, errors, next, true);
    (void)old;
}

/* Upstream prints the selector as its Go value. */
static struct str selector_text(struct api_context *ctx, const struct val *selector)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "&LabelSelector{MatchLabels:map[string]string{");
    VAL_EACH (it, val_get(selector, "matchLabels")) {
        buf_printf(&out, "%.*s: %.*s,", STR_ARG(it->key), STR_ARG(val_text(it)));
    }
    buf_addz(&out, "},MatchExpressions:[]LabelSelectorRequirement{");
    VAL_EACH (it, val_get(selector, "matchExpressions")) {
        buf_printf(&out, "LabelSelectorRequirement{Key:%.*s,Operator:%.*s,Values:[",
                   STR_ARG(val_text(val_get(it, "key"))),
                   STR_ARG(val_text(val_get(it, "operator"))));
        const char *between = "";
        VAL_EACH (value, val_get(it, "values")) {
            buf_printf(&out, "%s%.*s", between, STR_ARG(val_text(value)));
            between = " ";
        }
        buf_addz(&out, "],},");
    }
    buf_addz(&out, "},}");
    return str_copy_in(ctx->arena, buf_view(&out));
}

static void binding_columns(struct api_context *ctx, const struct val *binding, struct val *cells)
{
    const struct val *ref = val_path(binding, "spec.paramRef");
    const struct val *selector = val_get(ref, "selector");
    struct str name = val_text(val_get(ref, "name")), ns = val_text(val_get(ref, "namespace"));
    cell_text(ctx, cells, val_name(binding));
    cell_text(ctx, cells, val_text(val_path(binding, "spec.policyName")));
    if (name.n > 0) {
        cell_format(ctx, cells, "%.*s/%.*s", STR_ARG(ns.n > 0 ? ns : STR("*")), STR_ARG(name));
    } else {
        cell_text(ctx, cells, val_absent(selector) ? STR("<unset>") : selector_text(ctx, selector));
    }
    cell_age(ctx, cells, binding);
}

const struct api_ops ops_validating_policy_binding = {
    .validate = validating_validate,
    .validate_create = binding_validate_create,
    .validate_update = binding_validate_update,
    .columns = binding_columns,
    .generation = true,
    .any_finalizer = true,
};

const struct api_ops ops_mutating_policy_binding = {
    .validate = mutating_validate,
    .validate_create = binding_validate_create,
    .validate_update = binding_validate_update,
    .columns = binding_columns,
    .generation = true,
    .any_finalizer = true,
};
