/* rbac.c: Role, ClusterRole and their bindings: defaults, validation, rows. */
#include "api/defaults.h"
#include "api/kinds/cells.h"
#include "api/kinds/kinds.h"
#include "api/selector.h"
#include "api/semantic.h"
#include "api/validation.h"

#define GROUP "rbac.authorization.k8s.io"

static void rule_check(struct field_errors *errors, const struct path *path, const struct val *rule,
                       bool namespaced)
{
    const struct val *urls = val_get(rule, "nonResourceURLs");
    bool resources = val_count(val_get(rule, "apiGroups")) > 0 ||
                     val_count(val_get(rule, "resources")) > 0 ||
                     val_count(val_get(rule, "resourceNames")) > 0;
    if (val_count(val_get(rule, "verbs")) == 0) {
        field_required(errors, AT(path, "verbs"), "");
    }
    if (val_count(urls) > 0) {
        if (namespaced) {
            field_invalid_val(errors, AT(path, "nonResourceURLs"), urls,
                              "namespaced rules cannot apply to non-resource URLs");
        }
        if (resources) {
            field_invalid_val(errors, AT(path, "nonResourceURLs"), urls,
                              "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if (val_count(val_get(rule, "apiGroups")) == 0) {
        field_required(errors, AT(path, "apiGroups"),
                       "resource rules must supply at least one api group");
    }
    if (val_count(val_get(rule, "resources")) == 0) {
        field_required(errors, AT(path, "resources"),
                       "resource rules must supply at least one resource");
    }
}

static void rules_check(struct field_errors *errors, const struct val *role, bool namespaced)
{
    uint32_t i = 0;
    VAL_EACH (rule, val_get(role, "rules")) {
        rule_check(errors, AT_INDEX(AT(NULL, "rules"), i++), rule, namespaced);
    }
}

static void role_validate(struct api_context *ctx, const struct val *role,
                          struct field_errors *errors)
{
    rules_check(errors, role, true);
    (void)ctx;
}

static void cluster_role_validate(struct api_context *ctx, const struct val *role,
                                  struct field_errors *errors)
{
    rules_check(errors, role, false);
    const struct val *aggregation = val_get(role, "aggregationRule");
    const struct val *selectors = val_get(aggregation, "clusterRoleSelectors");
    const struct path *path = AT(AT(NULL, "aggregationRule"), "clusterRoleSelectors");
    if (!val_absent(aggregation) && val_count(selectors) == 0) {
        field_required(errors, path,
                       "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    uint32_t i = 0;
    VAL_EACH (selector, selectors) {
        struct selector parsed;
        const struct path *at = AT_INDEX(path, i++);
        check_label_selector(errors, at, selector);
        if (selector_from_val(errors->arena, selector, &parsed, NULL) != 0) {
            field_invalid_val(errors, at, NULL, "invalid label selector.");
        }
    }
    (void)ctx;
}

static void binding_default(struct arena *arena, struct val *binding)
{
    struct val *role = val_get(binding, "roleRef");
    if (!val_absent(role)) {
        default_text(arena, role, "apiGroup", GROUP);
    }
    VAL_EACH (subject, val_get(binding, "subjects")) {
        struct str kind = val_text(val_get(subject, "kind"));
        if (str_is(kind, "User") || str_is(kind, "Group")) {
            default_text(arena, subject, "apiGroup", GROUP);
        }
    }
}

static void subject_group_check(struct field_errors *errors, const struct path *path,
                                const struct val *subject, const char *wanted)
{
    struct str group = val_text(val_get(subject, "apiGroup"));
    const char *const values[] = {wanted, NULL};
    if (!str_is(group, wanted)) {
        field_not_supported(errors, AT(path, "apiGroup"), group, values);
    }
}

static void subject_check(struct field_errors *errors, const struct path *path,
                          const struct val *subject, bool namespaced)
{
    static const char *const kinds[] = {"ServiceAccount", "User", "Group", NULL};
    struct str kind = val_text(val_get(subject, "kind"));
    struct str name = val_text(val_get(subject, "name"));
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "");
    }
    if (str_is(kind, "ServiceAccount")) {
        if (name.n > 0) {
            check_name(errors, AT(path, "name"), NAME_SUBDOMAIN, name);
        }
        subject_group_check(errors, path, subject, "");
        if (!namespaced && val_text(val_get(subject, "namespace")).n == 0) {
            field_required(errors, AT(path, "namespace"), "");
        }
    } else if (str_is(kind, "User") || str_is(kind, "Group")) {
        subject_group_check(errors, path, subject, GROUP);
    } else {
        field_not_supported(errors, AT(path, "kind"), kind, kinds);
    }
}

static void binding_check(struct field_errors *errors, const struct val *binding, bool namespaced)
{
    static const char *const groups[] = {GROUP, NULL};
    static const char *const both[] = {"Role", "ClusterRole", NULL};
    static const char *const cluster[] = {"ClusterRole", NULL};
    const struct val *role = val_get(binding, "roleRef");
    const struct path *path = AT(NULL, "roleRef");
    struct str group = val_text(val_get(role, "apiGroup"));
    struct str kind = val_text(val_get(role, "kind"));
    struct str name = val_text(val_get(role, "name"));
    if (!str_is(group, GROUP)) {
        field_not_supported(errors, AT(path, "apiGroup"), group, groups);
    }
    if (!str_is(kind, "ClusterRole") && !(namespaced && str_is(kind, "Role"))) {
        field_not_supported(errors, AT(path, "kind"), kind, namespaced ? both : cluster);
    }
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "");
    } else {
        check_name(errors, AT(path, "name"), NAME_PATH, name);
    }
    uint32_t i = 0;
    VAL_EACH (subject, val_get(binding, "subjects")) {
        subject_check(errors, AT_INDEX(AT(NULL, "subjects"), i++), subject, namespaced);
    }
}

static void role_binding_validate(struct api_context *ctx, const struct val *binding,
                                  struct field_errors *errors)
{
    binding_check(errors, binding, true);
    (void)ctx;
}

static void cluster_role_binding_validate(struct api_context *ctx, const struct val *binding,
                                          struct field_errors *errors)
{
    binding_check(errors, binding, false);
    (void)ctx;
}

static void binding_validate_update(struct api_context *ctx, const struct val *next,
                                    const struct val *old, struct field_errors *errors)
{
    const struct val *role = val_get(next, "roleRef");
    if (!semantic_equal(role, val_get(old, "roleRef"))) {
        field_invalid_val(errors, AT(NULL, "roleRef"), role, "field is immutable");
    }
    (void)ctx;
}

static void role_columns(struct api_context *ctx, const struct val *role, struct val *cells)
{
    cell_text(ctx, cells, val_name(role));
    cell_text(ctx, cells, val_text(val_path(role, "metadata.creationTimestamp")));
}

static void subjects_cell(struct api_context *ctx, const struct val *binding, struct val *cells,
                          const char *kind)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    VAL_EACH (subject, val_get(binding, "subjects")) {
        if (!str_is(val_text(val_get(subject, "kind")), kind)) {
            continue;
        }
        struct str ns = val_text(val_get(subject, "namespace"));
        bool account = strcmp(kind, "ServiceAccount") == 0;
        buf_addz(&out, out.n > 0 ? ", " : "");
        if (account) {
            buf_printf(&out, "%.*s/", STR_ARG(ns));
        }
        buf_str(&out, val_text(val_get(subject, "name")));
    }
    cell_text(ctx, cells, str_copy_in(ctx->arena, buf_view(&out)));
}

static void binding_columns(struct api_context *ctx, const struct val *binding, struct val *cells)
{
    cell_text(ctx, cells, val_name(binding));
    cell_format(ctx, cells, "%.*s/%.*s", STR_ARG(val_text(val_path(binding, "roleRef.kind"))),
                STR_ARG(val_text(val_path(binding, "roleRef.name"))));
    cell_age(ctx, cells, binding);
    subjects_cell(ctx, binding, cells, "User");
    subjects_cell(ctx, binding, cells, "Group");
    subjects_cell(ctx, binding, cells, "ServiceAccount");
}

const struct api_ops ops_role = {
    .validate = role_validate,
    .columns = role_columns,
    .create_on_update = true,
    .unconditional_update = true,
    .name_rule = "path",
};

const struct api_ops ops_cluster_role = {
    .validate = cluster_role_validate,
    .columns = role_columns,
    .create_on_update = true,
    .unconditional_update = true,
    .name_rule = "path",
};

const struct api_ops ops_role_binding = {
    .defaults = binding_default,
    .validate = role_binding_validate,
    .validate_update = binding_validate_update,
    .columns = binding_columns,
    .create_on_update = true,
    .unconditional_update = true,
    .name_rule = "path",
};

const struct api_ops ops_cluster_role_binding = {
    .defaults = binding_default,
    .validate = cluster_role_binding_validate,
    .validate_update = binding_validate_update,
    .columns = binding_columns,
    .create_on_update = true,
    .unconditional_update = true,
    .name_rule = "path",
};
