/* matching.c: see matching.h. Expressions (CEL) are only looked at for being there: nothing here
 * understands them yet. */
#include "api/kinds/admission/matching.h"

#include "api/warning.h"
#include "base/map.h"

enum { CONDITIONS_MAX = 64 };
const char *const failure_policies[] = {"Fail", "Ignore", NULL};
const char *const match_policies[] = {"Equivalent", "Exact", NULL};
const char *const reinvocations[] = {"IfNeeded", "Never", NULL};

struct str text_trim(struct str text)
{
    static const char space[] = " \t\n\v\f\r";
    while (text.n > 0 && memchr(space, text.p[0], sizeof space - 1) != NULL) {
        text = str_from(text, 1);
    }
    while (text.n > 0 && memchr(space, text.p[text.n - 1], sizeof space - 1) != NULL) {
        text.n--;
    }
    return text;
}

void choice_check(struct field_errors *errors, const struct path *path, const struct val *value,
                  const char *const *values)
{
    if (val_absent(value)) {
        field_required(errors, path, "");
        return;
    }
    for (size_t i = 0; values[i] != NULL; i++) {
        if (str_is(val_text(value), values[i])) {
            return;
        }
    }
    field_not_supported(errors, path, val_text(value), values);
}

static bool has_text(const struct val *list, const char *text)
{
    VAL_EACH (it, list) {
        if (str_is(val_text(it), text)) {
            return true;
        }
    }
    return false;
}

/* "*" stands alone. */
static void star_check(struct field_errors *errors, const struct path *path, const struct val *list,
                       const char *what)
{
    if (val_count(list) == 0) {
        field_required(errors, path, "");
    } else if (list->count > 1 && has_text(list, "*")) {
        field_invalid_val(errors, path, list, "if '*' is present, must not specify other %s", what);
    }
}

/* A subresource that "x/STAR" or "STAR/x" before it covers already. */
static void covered_check(struct field_errors *errors, const struct path *path,
                          const struct map *resources, const struct map *subresources,
                          struct str text)
{
    struct str sub, resource = str_cut(text, '/', &sub);
    if (map_get(resources, resource) != NULL) {
        field_invalid(errors, path, text, "if '%.*s/*' is present, must not specify %.*s",
                      STR_ARG(resource), STR_ARG(text));
    }
    if (map_get(subresources, sub) != NULL) {
        field_invalid(errors, path, text, "if '*/%.*s' is present, must not specify %.*s",
                      STR_ARG(sub), STR_ARG(text));
    }
}

static void resources_check(struct field_errors *errors, const struct path *path,
                            const struct val *list)
{
    struct map resources = MAP_INIT, subresources = MAP_INIT;
    bool plain = false;
    uint32_t i = 0;
    if (val_count(list) == 0) {
        field_required(errors, path, "");
        return;
    }
    VAL_EACH (it, list) {
        const struct path *at = AT_INDEX(path, i++);
        struct str text = val_text(it), sub, resource = str_cut(text, '/', &sub);
        if (text.n == 0) {
            field_required(errors, at, "");
        } else if (sub.p == NULL) {
            plain = !str_is(text, "*"); /* of the last one, as upstream has it */
        } else {
            covered_check(errors, at, &resources, &subresources, text);
            if (str_is(sub, "*")) {
                map_set(&resources, resource, &resources);
            }
            if (str_is(resource, "*")) {
                map_set(&subresources, sub, &subresources);
            }
        }
    }
    map_done(&resources);
    map_done(&subresources);
    if (list->count > 1 && has_text(list, "*/*")) {
        field_invalid_val(errors, path, list,
                          "if '*/*' is present, must not specify other resources");
    }
    if (plain && has_text(list, "*")) {
        field_invalid_val(
            errors, path, list,
            "if '*' is present, must not specify other resources without subresources");
    }
}

void rule_check(struct field_errors *errors, const struct path *path, const struct val *rule)
{
    static const char *const operations[] = {"*", "CONNECT", "CREATE", "DELETE", "UPDATE", NULL};
    static const char *const scopes[] = {"*", "Cluster", "Namespaced", NULL};
    const struct val *list = val_get(rule, "operations"), *scope = val_get(rule, "scope");
    uint32_t i = 0;
    star_check(errors, AT(path, "operations"), list, "operations");
    VAL_EACH (it, list) {
        choice_check(errors, AT_INDEX(AT(path, "operations"), i++), it, operations);
    }
    star_check(errors, AT(path, "apiGroups"), val_get(rule, "apiGroups"), "API groups");
    star_check(errors, AT(path, "apiVersions"), val_get(rule, "apiVersions"), "API versions");
    i = 0;
    VAL_EACH (it, val_get(rule, "apiVersions")) {
        if (val_text(it).n == 0) {
            field_required(errors, AT_INDEX(AT(path, "apiVersions"), i), "");
        }
        i++;
    }
    resources_check(errors, AT(path, "resources"), val_get(rule, "resources"));
    if (!val_absent(scope)) {
        choice_check(errors, AT(path, "scope"), scope, scopes);
    }
}

void named_rule_check(struct field_errors *errors, const struct path *path, const struct val *rule)
{
    struct map seen = MAP_INIT;
    uint32_t i = 0;
    VAL_EACH (it, val_get(rule, "resourceNames")) {
        const struct path *at = AT_INDEX(AT(path, "resourceNames"), i++);
        check_name(errors, at, NAME_PATH, val_text(it));
        if (map_get(&seen, val_text(it)) != NULL) {
            field_duplicate(errors, at, val_text(it));
        }
        map_set(&seen, val_text(it), it);
    }
    map_done(&seen);
    rule_check(errors, path, rule);
}

void match_resources_check(struct field_errors *errors, const struct path *path,
                           const struct val *match)
{
    static const char *const selectors[] = {"namespaceSelector", "objectSelector"};
    static const char *const rules[] = {"resourceRules", "excludeResourceRules"};
    choice_check(errors, AT(path, "matchPolicy"), val_get(match, "matchPolicy"), match_policies);
    for (size_t s = 0; s < sizeof selectors / sizeof *selectors; s++) {
        const struct val *selector = val_get_str(match, str_of(selectors[s]));
        if (val_absent(selector)) {
            field_required(errors, AT(path, selectors[s]), "");
        } else {
            check_label_selector(errors, AT(path, selectors[s]), selector);
        }
    }
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        uint32_t i = 0;
        VAL_EACH (rule, val_get_str(match, str_of(rules[r]))) {
            named_rule_check(errors, AT_INDEX(AT(path, rules[r]), i++), rule);
        }
    }
}

void match_conditions_check(struct field_errors *errors, const struct path *path,
                            const struct val *conditions)
{
    struct map seen = MAP_INIT;
    uint32_t i = 0;
    check_length(errors, path, conditions, CONDITIONS_MAX);
    VAL_EACH (it, conditions) {
        const struct path *at = AT_INDEX(path, i++);
        struct str name = val_text(val_get(it, "name"));
        if (text_trim(val_text(val_get(it, "expression"))).n == 0) {
            field_required(errors, AT(at, "expression"), "");
        }
        if (name.n == 0) {
            field_required(errors, AT(at, "name"), "");
            continue;
        }
        check_name(errors, AT(at, "name"), NAME_LABEL_KEY, name);
        if (map_get(&seen, name) != NULL) {
            field_duplicate(errors, AT(at, "name"), name);
        }
        map_set(&seen, name, it);
    }
    map_done(&seen);
}

void static_name_check(struct api_context *ctx, struct field_errors *errors,
                       const struct val *object, bool update)
{
    static const char suffix[] = ".static.k8s.io";
    const struct path *path = AT(AT(NULL, "metadata"), "name");
    if (!str_ends(val_name(object), str_of(suffix))) {
        return;
    }
    if (update) {
        api_warn(ctx, path, "names ending with \"%s\" are reserved for the server's own files",
                 suffix);
    } else {
        field_invalid(errors, path, val_name(object),
                      "names ending with \"%s\" are reserved for the server's own files", suffix);
    }
}

void unenforced_warn(struct api_context *ctx, const struct val *object, const char *what)
{
    api_warn(ctx, NULL, "%s \"%.*s\" is stored but not enforced yet", what,
             STR_ARG(val_name(object)));
}
