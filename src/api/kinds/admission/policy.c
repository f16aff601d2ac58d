/* policy.c: ValidatingAdmissionPolicy and MutatingAdmissionPolicy. Their expressions (CEL) are
 * stored as they are; nobody evaluates them yet, and a warning says so. */
#include "api/kinds/admission/matching.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/semantic.h"
#include "base/map.h"

enum { ANNOTATIONS_MAX = 20, ANNOTATION_BYTES_MAX = 5 * 1024 };

static void required_text_check(struct field_errors *errors, const struct path *path,
                                const struct val *object, const char *name, const char *detail)
{
    if (text_trim(val_text(val_get_str(object, str_of(name)))).n == 0) {
        field_required(errors, AT(path, name), detail);
    }
}

/* ---- parameters ---- */

static void lower_kind_check(struct field_errors *errors, const struct path *path, struct str kind)
{
    char *lower = str_dup_in(errors->arena, kind);
    struct name_complaints complaints;
    for (size_t i = 0; i < kind.n; i++) {
        lower[i] = (char)(lower[i] >= 'A' && lower[i] <= 'Z' ? lower[i] + 32 : lower[i]);
    }
    if (kind.n == 0) {
        field_required(errors, path, "");
    } else if (!name_check(NAME_LABEL_1035, str_at(lower, kind.n), &complaints)) {
        field_invalid(errors, path, kind, "may have mixed case, but should otherwise match: %s",
                      complaints.items[0]);
    }
}

static void one_complaint(struct field_errors *errors, const struct path *path, enum name_rule rule,
                          struct str text)
{
    struct name_complaints complaints;
    if (!name_check(rule, text, &complaints)) {
        field_invalid(errors, path, text, "%s", complaints.items[0]);
    }
}

static void param_kind_check(struct field_errors *errors, const struct path *path,
                             const struct val *kind)
{
    const struct path *at = AT(path, "apiVersion");
    struct str text = val_text(val_get(kind, "apiVersion")), more, rest;
    struct str group = str_cut(text, '/', &rest), version = rest;
    if (rest.p == NULL) {
        group = STR(""), version = text;
    }
    str_cut(version, '/', &more);
    if (text.n == 0) {
        field_required(errors, at, "");
    } else if (more.p != NULL) {
        field_invalid(errors, at, text, "must be VERSION or GROUP/VERSION");
    } else {
        if (group.n > 0) {
            one_complaint(errors, at, NAME_SUBDOMAIN, group);
        }
        if (version.n == 0) {
            field_invalid(errors, at, text, "version must be specified");
        } else {
            one_complaint(errors, at, NAME_LABEL_1035, version);
        }
    }
    lower_kind_check(errors, AT(path, "kind"), val_text(val_get(kind, "kind")));
}

/* ---- variables ---- */

static bool is_identifier(struct str name)
{
    static const char *const reserved[] = {
        "true",      "false",  "null",     "in",   "as",     "break", "const", "continue",
        "else",      "for",    "function", "if",   "import", "let",   "loop",  "package",
        "namespace", "return", "var",      "void", "while",  NULL};
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    for (size_t i = 0; reserved[i] != NULL; i++) {
        if (str_is(name, reserved[i])) {
            return false;
        }
    }
    return name.n > 0;
}

static void variables_check(struct field_errors *errors, const struct path *path,
                            const struct val *variables)
{
    uint32_t i = 0;
    VAL_EACH (it, variables) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(it, "name"));
        if (text_trim(name).n == 0) {
            field_required(errors, AT(at, "name"), "name is not specified");
        } else if (!is_identifier(name)) {
            field_invalid(errors, AT(at, "name"), name, "must be a valid CEL identifier");
        }
        required_text_check(errors, at, it, "expression", "expression is not specified");
    }
}

/* ---- what both have ---- */

static void common_check(struct field_errors *errors, const struct path *path,
                         const struct val *next, const struct val *old)
{
    const struct val *spec = val_get(next, "spec"), *was = val_get(old, "spec");
    const struct val *kind = val_get(spec, "paramKind");
    const struct val *match = val_get(spec, "matchConstraints");
    const struct path *match_at = AT(path, "matchConstraints");
    choice_check(errors, AT(path, "failurePolicy"), val_get(spec, "failurePolicy"),
                 failure_policies);
    if (!val_absent(kind)) {
        param_kind_check(errors, AT(path, "paramKind"), kind);
    }
    if (val_absent(match)) {
        field_required(errors, match_at, "");
    } else {
        match_resources_check(errors, match_at, match);
        if (val_count(val_get(match, "resourceRules")) == 0) {
            field_required(errors, AT(match_at, "resourceRules"), "");
        }
    }
    bool same = old != NULL && semantic_equal(kind, val_get(was, "paramKind")) &&
                semantic_equal(val_get(spec, "matchConditions"), val_get(was, "matchConditions"));
    if (!same) {
        match_conditions_check(errors, AT(path, "matchConditions"),
                               val_get(spec, "matchConditions"));
    }
}

/* ---- ValidatingAdmissionPolicy ---- */

static bool has_line_break(struct str text)
{
    return memchr(text.p, '\n', text.n) != NULL || memchr(text.p, '\r', text.n) != NULL;
}

static void validation_check(struct field_errors *errors, const struct path *path,
                             const struct val *validation)
{
    static const char *const reasons[] = {"Forbidden", "Invalid", "RequestEntityTooLarge", NULL};
    struct str message = val_text(val_get(validation, "message"));
    struct str expression = val_text(val_get(validation, "messageExpression"));
    const struct val *reason = val_get(validation, "reason");
    required_text_check(errors, path, validation, "expression", "expression is not specified");
    if (expression.n > 0 && text_trim(expression).n == 0) {
        field_invalid(errors, AT(path, "messageExpression"), expression,
                      "must be non-empty if specified");
    }
    if (message.n > 0 && text_trim(message).n == 0) {
        field_invalid(errors, AT(path, "message"), message, "must be non-empty if specified");
    } else if (message.n > 0 && has_line_break(text_trim(message))) {
        field_invalid(errors, AT(path, "message"), message, "must not contain line breaks");
    }
    if (!val_absent(reason)) {
        choice_check(errors, AT(path, "reason"), reason, reasons);
    }
}

static void audit_check(struct field_errors *errors, const struct path *path,
                        const struct val *policy, const struct val *annotations)
{
    struct map seen = MAP_INIT;
    struct str name = val_name(policy);
    uint32_t i = 0;
    if (val_count(annotations) > ANNOTATIONS_MAX) {
        field_invalid_val(errors, path, annotations, "must not have more than %d auditAnnotations",
                          ANNOTATIONS_MAX);
    }
    VAL_EACH (it, annotations) {
        const struct path *at = AT_INDEX(path, i++);
        struct str key = val_text(val_get(it, "key"));
        struct str value = text_trim(val_text(val_get(it, "valueExpression")));
        if (name.n == 0) {
            field_invalid(errors, AT(at, "key"), key, "requires metadata.name be non-empty");
        } else {
            check_name(
                errors, AT(at, "key"), NAME_LABEL_KEY,
                str_of(arena_printf(errors->arena, "%.*s/%.*s", STR_ARG(name), STR_ARG(key))));
        }
        if (value.n == 0 || value.n > ANNOTATION_BYTES_MAX) {
            field_required(errors, AT(at, "valueExpression"),
                           value.n == 0 ? "valueExpression is not specified"
                                        : "must not exceed 5120 bytes in length");
        }
        if (map_get(&seen, key) != NULL) {
            field_duplicate(errors, AT(at, "key"), key);
        }
        map_set(&seen, key, it);
    }
    map_done(&seen);
}

static void validating_check(struct field_errors *errors, const struct val *next,
                             const struct val *old)
{
    static const char none[] = "validations or auditAnnotations must contain at least one item";
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(next, "spec");
    const struct val *validations = val_get(spec, "validations");
    const struct val *annotations = val_get(spec, "auditAnnotations");
    uint32_t i = 0;
    common_check(errors, path, next, old);
    variables_check(errors, AT(path, "variables"), val_get(spec, "variables"));
    if (val_count(validations) == 0 && val_count(annotations) == 0) {
        field_required(errors, AT(path, "validations"), none);
        field_required(errors, AT(path, "auditAnnotations"), none);
        return;
    }
    VAL_EACH (it, validations) {
        validation_check(errors, AT_INDEX(AT(path, "validations"), i++), it);
    }
    audit_check(errors, AT(path, "auditAnnotations"), next, annotations);
}

static void validating_validate_create(struct api_context *ctx, const struct val *policy,
                                       struct field_errors *errors)
{
    validating_check(errors, policy, NULL);
    static_name_check(ctx, errors, policy, false);
    unenforced_warn(ctx, policy, "ValidatingAdmissionPolicy");
}

static void validating_status_check(struct field_errors *errors, const struct val *policy)
{
    const struct path *path = AT(NULL, "status");
    const struct path *list = AT(AT(path, "typeChecking"), "expressionWarnings");
    uint32_t i = 0;
    VAL_EACH (it, val_path(policy, "status.typeChecking.expressionWarnings")) {
        const struct path *at = AT_INDEX(list, i++);
        if (val_text(val_get(it, "warning")).n == 0) {
            field_required(errors, AT(at, "warning"), "");
        }
        required_text_check(errors, at, it, "fieldRef", "");
    }
    check_conditions(errors, AT(path, "conditions"), val_path(policy, "status.conditions"));
}

static void validating_validate_update(struct api_context *ctx, const struct val *next,
                                       const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        validating_status_check(errors, next);
        return;
    }
    validating_check(errors, next, old);
    static_name_check(ctx, errors, next, true);
    unenforced_warn(ctx, next, "ValidatingAdmissionPolicy");
}

/* ---- MutatingAdmissionPolicy ---- */

static void mutation_check(struct field_errors *errors, const struct path *path,
                           const struct val *mutation)
{
    static const char *const types[] = {"ApplyConfiguration", "JSONPatch", NULL};
    static const char *const members[] = {"applyConfiguration", "jsonPatch"};
    struct str type = val_text(val_get(mutation, "patchType"));
    if (!check_one_of(errors, AT(path, "patchType"), type, types, true)) {
        return;
    }
    int wanted = str_is(type, types[1]);
    const struct val *body = val_get_str(mutation, str_of(members[wanted]));
    if (val_absent(body)) {
        field_required(errors, AT(path, members[wanted]), "must go with this patchType");
    } else {
        required_text_check(errors, AT(path, members[wanted]), body, "expression", "");
    }
    if (!val_absent(val_get_str(mutation, str_of(members[!wanted])))) {
        field_invalid(errors, AT(path, members[!wanted]), str_of(members[!wanted]),
                      "must not go with this patchType");
    }
}

/* What is deleted cannot be changed. */
static void no_delete_check(struct field_errors *errors, const struct path *path,
                            const struct val *match)
{
    static const char *const operations[] = {"*", "CONNECT", "CREATE", "UPDATE", NULL};
    VAL_EACH (rule, val_get(match, "resourceRules")) {
        VAL_EACH (it, val_get(rule, "operations")) {
            choice_check(errors, AT(AT(path, "resourceRules"), "operations"), it, operations);
        }
    }
}

static void mutating_check(struct field_errors *errors, const struct val *next,
                           const struct val *old)
{
    const struct path *path = AT(NULL, "spec");
    const struct val *spec = val_get(next, "spec");
    const struct val *mutations = val_get(spec, "mutations");
    uint32_t i = 0;
    common_check(errors, path, next, old);
    no_delete_check(errors, AT(path, "matchConstraints"), val_get(spec, "matchConstraints"));
    variables_check(errors, AT(path, "variables"), val_get(spec, "variables"));
    if (val_count(mutations) == 0) {
        field_required(errors, AT(path, "mutations"), "mutations must contain at least one item");
    }
    VAL_EACH (it, mutations) {
        mutation_check(errors, AT_INDEX(AT(path, "mutations"), i++), it);
    }
    check_one_of(errors, AT(path, "reinvocationPolicy"),
                 val_text(val_get(spec, "reinvocationPolicy")), reinvocations, true);
}

static void mutating_validate_create(struct api_context *ctx, const struct val *policy,
                                     struct field_errors *errors)
{
    mutating_check(errors, policy, NULL);
    static_name_check(ctx, errors, policy, false);
    unenforced_warn(ctx, policy, "MutatingAdmissionPolicy");
}

static void mutating_validate_update(struct api_context *ctx, const struct val *next,
                                     const struct val *old, struct field_errors *errors)
{
    mutating_check(errors, next, old);
    static_name_check(ctx, errors, next, true);
    unenforced_warn(ctx, next, "MutatingAdmissionPolicy");
}

/* ---- columns ---- */

static void columns_with(struct api_context *ctx, const struct val *policy, struct val *cells,
                         const struct val *list)
{
    const struct val *kind = val_path(policy, "spec.paramKind");
    cell_text(ctx, cells, val_name(policy));
    cell_int(ctx, cells, val_count(list));
    if (val_absent(kind)) {
        cell_text(ctx, cells, STR("<unset>"));
    } else {
        cell_format(ctx, cells, "%.*s/%.*s", STR_ARG(val_text(val_get(kind, "apiVersion"))),
                    STR_ARG(val_text(val_get(kind, "kind"))));
    }
    cell_age(ctx, cells, policy);
}

static void validating_columns(struct api_context *ctx, const struct val *policy, struct val *cells)
{
    columns_with(ctx, policy, cells, val_path(policy, "spec.validations"));
}

static void mutating_columns(struct api_context *ctx, const struct val *policy, struct val *cells)
{
    columns_with(ctx, policy, cells, val_path(policy, "spec.mutations"));
}

const struct api_ops ops_validating_policy = {
    .validate_create = validating_validate_create,
    .validate_update = validating_validate_update,
    .columns = validating_columns,
    .generation = true,
    .metadata_fixed_in_status = true,
    .any_finalizer = true,
};

const struct api_ops ops_mutating_policy = {
    .validate_create = mutating_validate_create,
    .validate_update = mutating_validate_update,
    .columns = mutating_columns,
    .generation = true,
    .any_finalizer = true,
};
