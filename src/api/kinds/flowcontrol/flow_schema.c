/* flow_schema.c: FlowSchema: which requests belong to which priority level. Data: every request is
 * served at once. */
#include "api/kinds/cells.h"
#include "api/kinds/flowcontrol/mandatory.h"
#include "api/kinds/kinds.h"

enum { PRECEDENCE_MAX = 10000 };
static const char *const verbs[] = {"create", "delete", "deletecollection", "get",   "list",
                                    "patch",  "proxy",  "update",           "watch", NULL};

static bool has_star(const struct val *list)
{
    VAL_EACH (it, list) {
        if (str_is(val_text(it), "*")) {
            return true;
        }
    }
    return false;
}

/* A list that may not be empty, and where "*" stands alone. Says whether there is more to check. */
static bool list_check(struct field_errors *errors, const struct path *path, const struct val *list,
                       const char *what)
{
    if (val_count(list) == 0) {
        field_required(errors, path, "must contain at least one value");
        return false;
    }
    if (!has_star(list)) {
        return true;
    }
    if (list->count > 1) {
        field_invalid_val(errors, path, list, "if '*' is present, must not specify other %s", what);
    }
    return false;
}

static void verbs_check(struct field_errors *errors, const struct path *path,
                        const struct val *list)
{
    if (!list_check(errors, path, list, "verbs")) {
        return;
    }
    VAL_EACH (it, list) {
        bool known = false;
        for (size_t i = 0; verbs[i] != NULL; i++) {
            known = known || str_is(val_text(it), verbs[i]);
        }
        if (!known) { /* once, with the whole list, as upstream answers */
            struct buf text BUF_CLEANUP = BUF_INIT;
            val_write_json(list, &text);
            field_not_supported(errors, path, buf_view(&text), verbs);
            return;
        }
    }
}

static void url_check(struct field_errors *errors, const struct path *path, struct str url)
{
    const char *wrong = NULL;
    size_t stars = 0;
    for (size_t i = 0; i < url.n; i++) {
        stars += url.p[i] == '*';
    }
    if (url.n == 0) {
        wrong = "must not be empty";
    } else if (!str_starts(url, STR("/"))) {
        wrong = "must start with slash";
    } else if (str_contains(url, STR(" "))) {
        wrong = "must not contain white-space";
    } else if (str_contains(url, STR("//"))) {
        wrong = "must not contain double slash";
    } else if (stars > 1 || (stars == 1 && !str_ends(url, STR("/*")))) {
        wrong = "wildcard can only do suffix matching";
    }
    if (wrong != NULL) {
        field_invalid(errors, path, url, "%s", wrong);
    }
}

static void path_rule_check(struct field_errors *errors, const struct path *path,
                            const struct val *rule)
{
    const struct val *urls = val_get(rule, "nonResourceURLs");
    uint32_t i = 0;
    verbs_check(errors, AT(path, "verbs"), val_get(rule, "verbs"));
    if (list_check(errors, AT(path, "nonResourceURLs"), urls, "non-resource URLs")) {
        VAL_EACH (it, urls) {
            url_check(errors, AT_INDEX(AT(path, "nonResourceURLs"), i++), val_text(it));
        }
    }
}

static void resource_rule_check(struct field_errors *errors, const struct path *path,
                                const struct val *rule)
{
    const struct val *namespaces = val_get(rule, "namespaces");
    bool cluster = val_bool(val_get(rule, "clusterScope"), false);
    uint32_t i = 0;
    verbs_check(errors, AT(path, "verbs"), val_get(rule, "verbs"));
    list_check(errors, AT(path, "apiGroups"), val_get(rule, "apiGroups"), "api groups");
    list_check(errors, AT(path, "resources"), val_get(rule, "resources"), "resources");
    if (val_count(namespaces) == 0 && cluster) {
        return;
    }
    if (list_check(errors, AT(path, "namespaces"), namespaces, "namespaces")) {
        VAL_EACH (it, namespaces) {
            check_name(errors, AT_INDEX(AT(path, "namespaces"), i++), NAME_LABEL, val_text(it));
        }
    }
}

static void account_check(struct field_errors *errors, const struct path *path,
                          const struct val *account)
{
    struct str name = val_text(val_get(account, "name"));
    struct str ns = val_text(val_get(account, "namespace"));
    if (name.n == 0) {
        field_required(errors, AT(path, "name"), "");
    } else if (!str_is(name, "*")) {
        check_name(errors, AT(path, "name"), NAME_SUBDOMAIN, name);
    }
    if (ns.n == 0) {
        field_required(errors, AT(path, "namespace"), "must specify namespace for service account");
    } else {
        check_name(errors, AT(path, "namespace"), NAME_LABEL, ns);
    }
}

static void subject_check(struct field_errors *errors, const struct path *path,
                          const struct val *subject)
{
    static const char *const kinds[] = {"Group", "ServiceAccount", "User", NULL};
    static const char *const members[] = {"group", "serviceAccount", "user"};
    static const int order[] = {1, 2, 0}; /* in which upstream looks at them */
    struct str kind = val_text(val_get(subject, "kind"));
    int wanted = -1;
    for (int k = 0; kinds[k] != NULL; k++) {
        wanted = str_is(kind, kinds[k]) ? k : wanted;
    }
    if (wanted < 0) {
        field_not_supported(errors, AT(path, "kind"), kind, kinds);
        return;
    }
    const struct path *at = AT(path, members[wanted]);
    const struct val *body = val_get_str(subject, str_of(members[wanted]));
    if (val_absent(body)) {
        field_required(errors, at, "must go with this kind");
    } else if (wanted == 1) {
        account_check(errors, at, body);
    } else if (val_text(val_get(body, "name")).n == 0) {
        field_required(errors, AT(at, "name"), "");
    }
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const char *other = members[order[i]];
        if (order[i] != wanted && !val_absent(val_get_str(subject, str_of(other)))) {
            field_forbidden(errors, AT(path, other), "must not go with this kind");
        }
    }
}

static void rule_check(struct field_errors *errors, const struct path *path, const struct val *rule)
{
    const struct val *subjects = val_get(rule, "subjects");
    const struct val *resources = val_get(rule, "resourceRules");
    const struct val *paths = val_get(rule, "nonResourceRules");
    uint32_t i = 0;
    if (val_count(subjects) == 0) {
        field_required(errors, AT(path, "subjects"), "subjects must contain at least one value");
    }
    VAL_EACH (it, subjects) {
        subject_check(errors, AT_INDEX(AT(path, "subjects"), i++), it);
    }
    if (val_count(resources) == 0 && val_count(paths) == 0) {
        field_required(errors, path,
                       "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    i = 0;
    VAL_EACH (it, resources) {
        resource_rule_check(errors, AT_INDEX(AT(path, "resourceRules"), i++), it);
    }
    i = 0;
    VAL_EACH (it, paths) {
        path_rule_check(errors, AT_INDEX(AT(path, "nonResourceRules"), i++), it);
    }
}

static void schema_validate(struct api_context *ctx, const struct val *schema,
                            struct field_errors *errors)
{
    static const char *const methods[] = {"ByNamespace", "ByUser", NULL};
    const struct path *path = AT(NULL, "spec");
    const struct path *precedence_at = AT(path, "matchingPrecedence");
    const struct val *spec = val_get(schema, "spec");
    const struct val *method = val_get(spec, "distinguisherMethod");
    int64_t precedence = val_int(val_get(spec, "matchingPrecedence"), 0);
    struct str level = val_text(val_path(spec, "priorityLevelConfiguration.name"));
    struct str type = val_text(val_get(method, "type"));
    const struct path *level_at = AT(AT(path, "priorityLevelConfiguration"), "name");
    uint32_t i = 0;
    if (precedence <= 0) {
        field_invalid_int(errors, precedence_at, precedence, "must be a positive value");
    } else if (precedence > PRECEDENCE_MAX) {
        field_invalid_int(errors, precedence_at, precedence, "must not be greater than %d",
                          PRECEDENCE_MAX);
    } else if (precedence == 1 && !str_is(val_name(schema), "exempt")) {
        field_invalid_int(errors, precedence_at, precedence,
                          "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    if (!val_absent(method) && !str_is(type, methods[0]) && !str_is(type, methods[1])) {
        field_not_supported(errors, AT(AT(path, "distinguisherMethod"), "type"), type, methods);
    }
    if (level.n > 0) {
        check_name(errors, level_at, NAME_SUBDOMAIN, level);
    } else {
        field_required(errors, level_at, "must reference a priority level");
    }
    VAL_EACH (rule, val_get(spec, "rules")) {
        rule_check(errors, AT_INDEX(AT(path, "rules"), i++), rule);
    }
    mandatory_check(ctx, errors, schema, "FlowSchema");
}

static void schema_validate_update(struct api_context *ctx, const struct val *next,
                                   const struct val *old, struct field_errors *errors)
{
    if (strcmp(ctx->subresource, "status") == 0) {
        named_conditions_check(errors, val_path(next, "status.conditions"));
    }
    (void)old;
}

static void schema_columns(struct api_context *ctx, const struct val *schema, struct val *cells)
{
    const struct val *spec = val_get(schema, "spec");
    const struct val *method = val_get(spec, "distinguisherMethod");
    const struct val *dangling =
        val_find(val_path(schema, "status.conditions"), "type", STR("Dangling"));
    cell_text(ctx, cells, val_name(schema));
    cell_text(ctx, cells, val_text(val_path(spec, "priorityLevelConfiguration.name")));
    cell_int(ctx, cells, val_int(val_get(spec, "matchingPrecedence"), 0));
    cell_text(ctx, cells, val_absent(method) ? STR("<none>") : val_text(val_get(method, "type")));
    cell_age(ctx, cells, schema);
    cell_text(ctx, cells, dangling == NULL ? STR("?") : val_text(val_get(dangling, "status")));
}

const struct api_ops ops_flow_schema = {
    .validate = schema_validate,
    .validate_update = schema_validate_update,
    .columns = schema_columns,
    .generation = true,
    .metadata_fixed_in_status = true,
    .unconditional_update = true,
};
