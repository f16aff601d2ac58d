/* schema_check.c: the rules of structural schemas (KEP-1755 and the API's documentation).
 *
 * A structural schema has a type at each level, says in properties, items and additionalProperties
 * what there is, and uses allOf, anyOf, oneOf and not only to restrict values of what is said
 * there. That is what makes pruning, defaults and merging by the schema possible.
 */
#include "api/custom/schema_check.h"

enum level { LEVEL_ROOT, LEVEL_FIELD, LEVEL_ITEM };

static const char *const type_texts[] = {"array",  "boolean", "integer", "number",
                                         "object", "string",  NULL};

static struct str type_of(const struct val *schema)
{
    return val_text(val_get(schema, "type"));
}

static bool is_set(const struct val *schema, const char *name)
{
    return val_bool(val_get_str(schema, str_of(name)), false);
}

static bool has(const struct val *schema, const char *name)
{
    const struct val *member = val_get_str(schema, str_of(name));
    if (val_absent(member)) {
        return false;
    }
    return member->type == VAL_OBJECT || member->type == VAL_ARRAY ? member->count > 0
           : member->type == VAL_STRING                            ? member->text.n > 0
                                                                   : true;
}

/* ---- what no level may have ---- */

static void check_forbidden(struct field_errors *errors, const struct path *path,
                            const struct val *schema)
{
    static const char *const names[] = {"id",          "additionalItems", "patternProperties",
                                        "definitions", "dependencies",    "$ref"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (has(schema, names[i])) {
            field_forbidden(errors, AT(path, names[i]), "%s is not supported", names[i]);
        }
    }
    if (is_set(schema, "uniqueItems")) {
        field_forbidden(errors, AT(path, "uniqueItems"),
                        "uniqueItems cannot be set to true since the runtime complexity becomes "
                        "quadratic");
    }
    if (has(schema, "$schema")) {
        const struct path *root = path;
        while (root != NULL && root->up != NULL &&
               (root->name == NULL || strcmp(root->name, "openAPIV3Schema") != 0)) {
            root = root->up;
        }
        field_invalid(errors, root, STR(""), "OpenAPIV3Schema 'schema' is not supported");
    }
    struct str type = type_of(schema);
    if (str_is(type, "null")) {
        field_forbidden(errors, AT(path, "type"),
                        "type cannot be set to null, use nullable as an alternative");
    }
    if (type.n > 0) {
        check_one_of(errors, AT(path, "type"), type, type_texts, false);
    }
    if (val_is(val_get(schema, "items"), VAL_ARRAY)) {
        field_forbidden(errors, AT(path, "items"),
                        "items must be a schema object and not an array");
    }
    const struct val *additional = val_get(schema, "additionalProperties");
    if (has(schema, "properties") &&
        (val_is(additional, VAL_OBJECT) || val_is(additional, VAL_FALSE))) {
        field_forbidden(errors, AT(path, "additionalProperties"),
                        "additionalProperties and properties are mutual exclusive");
    }
}

static void check_pattern(struct field_errors *errors, const struct path *path,
                          const struct val *schema)
{
    struct str text = val_text(val_get(schema, "pattern"));
    struct pattern *pattern = NULL;
    struct err err = ERR_INIT;
    if (text.n > 0 && pattern_new(text, &pattern, &err) != 0) {
        field_invalid(errors, AT(path, "pattern"), text,
                      "must be a valid regular expression, but isn't: %s", err.message);
    }
    pattern_free(pattern);
}

/* ---- extensions ---- */

static void need_type(struct field_errors *errors, const struct path *path,
                      const struct val *schema, const char *type, const char *why)
{
    struct str has_type = type_of(schema);
    if (has_type.n == 0) {
        field_required(errors, AT(path, "type"), why);
    } else if (!str_is(has_type, type)) {
        field_invalid(errors, AT(path, "type"), has_type, "%s", why);
    }
}

static bool is_scalar(struct str type)
{
    return str_is(type, "string") || str_is(type, "integer") || str_is(type, "number") ||
           str_is(type, "boolean");
}

static bool is_required(const struct val *schema, struct str name)
{
    VAL_EACH (it, val_get(schema, "required")) {
        if (str_eq(it->text, name)) {
            return true;
        }
    }
    return false;
}

static void check_key(struct field_errors *errors, const struct path *path, const struct val *items,
                      const struct val *keys, const struct val *key)
{
    const struct path *at = AT(path, "x-kubernetes-list-map-keys");
    const struct val *property = val_get_str(val_get(items, "properties"), key->text);
    VAL_EACH (it, keys) {
        if (it == key) {
            break;
        }
        if (str_eq(it->text, key->text)) {
            field_invalid_val(errors, at, keys, "must not contain duplicate entries");
            return;
        }
    }
    if (property == NULL) {
        field_invalid_val(errors, at, keys, "entries must all be names of item properties");
        return;
    }
    const struct path *inside = AT_KEY(AT(AT(path, "items"), "properties"), key->text);
    if (!is_scalar(type_of(property)) && !is_set(property, "x-kubernetes-int-or-string")) {
        field_invalid(errors, AT(inside, "type"), type_of(property),
                      "must be a scalar type if parent array's x-kubernetes-list-type is map");
    }
    if (is_set(property, "nullable")) {
        field_forbidden(errors, AT(inside, "nullable"),
                        "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
    }
    if (!is_required(items, key->text) && val_get(property, "default") == NULL) {
        field_required(errors, AT(inside, "default"),
                       "this property is in x-kubernetes-list-map-keys, so it must have a default "
                       "or be a required property");
    }
}

static void check_list_map(struct field_errors *errors, const struct path *path,
                           const struct val *schema)
{
    const struct val *keys = val_get(schema, "x-kubernetes-list-map-keys");
    const struct val *items = val_get(schema, "items");
    if (val_count(keys) == 0) {
        field_required(errors, AT(path, "x-kubernetes-list-map-keys"),
                       "must not be empty if x-kubernetes-list-type is map");
    }
    if (!val_is(items, VAL_OBJECT)) {
        field_required(errors, AT(path, "items"),
                       "must have a schema if x-kubernetes-list-type is map");
        return;
    }
    need_type(errors, AT(path, "items"), items, "object",
              "must be object if parent array's x-kubernetes-list-type is map");
    VAL_EACH (key, str_is(type_of(items), "object") ? keys : NULL) {
        check_key(errors, path, items, keys, key);
    }
}

static void check_list_set(struct field_errors *errors, const struct path *path,
                           const struct val *schema)
{
    const struct val *items = val_get(schema, "items");
    struct str type = type_of(items);
    if (!val_is(items, VAL_OBJECT)) {
        return;
    }
    if (is_set(items, "nullable")) {
        field_forbidden(errors, AT(AT(path, "items"), "nullable"),
                        "cannot be nullable when x-kubernetes-list-type is \"set\"");
    }
    struct str map_type = val_text(val_get(items, "x-kubernetes-map-type"));
    struct str list_type = val_text(val_get(items, "x-kubernetes-list-type"));
    if (str_is(type, "object") && !str_is(map_type, "atomic")) {
        field_invalid(errors, AT(AT(path, "items"), "x-kubernetes-map-type"), map_type,
                      "must be atomic as item of a list with x-kubernetes-list-type=set");
    }
    if (str_is(type, "array") && list_type.n > 0 && !str_is(list_type, "atomic")) {
        field_invalid(errors, AT(AT(path, "items"), "x-kubernetes-list-type"), list_type,
                      "must be atomic as item of a list with x-kubernetes-list-type=set");
    }
}

static void check_merging(struct field_errors *errors, const struct path *path,
                          const struct val *schema)
{
    static const char *const lists[] = {"atomic", "map", "set", NULL};
    static const char *const maps[] = {"atomic", "granular", NULL};
    struct str list = val_text(val_get(schema, "x-kubernetes-list-type"));
    struct str map = val_text(val_get(schema, "x-kubernetes-map-type"));
    bool keys = has(schema, "x-kubernetes-list-map-keys");
    if (list.n > 0) {
        check_one_of(errors, AT(path, "x-kubernetes-list-type"), list, lists, false);
        need_type(errors, path, schema, "array",
                  "must be array if x-kubernetes-list-type is specified");
    }
    if (keys && list.n == 0) {
        field_required(errors, AT(path, "x-kubernetes-list-type"),
                       "must be map if x-kubernetes-list-map-keys is non-empty");
    } else if (keys && !str_is(list, "map")) {
        field_invalid(errors, AT(path, "x-kubernetes-list-type"), list,
                      "must be map if x-kubernetes-list-map-keys is non-empty");
    }
    if (str_is(list, "map")) {
        check_list_map(errors, path, schema);
    } else if (str_is(list, "set")) {
        check_list_set(errors, path, schema);
    }
    if (map.n > 0) {
        check_one_of(errors, AT(path, "x-kubernetes-map-type"), map, maps, false);
        need_type(errors, path, schema, "object",
                  "must be object if x-kubernetes-map-type is specified");
    }
}

static void check_extensions(struct field_errors *errors, const struct path *path,
                             const struct val *schema)
{
    bool preserve = is_set(schema, "x-kubernetes-preserve-unknown-fields");
    if (val_is(val_get(schema, "x-kubernetes-preserve-unknown-fields"), VAL_FALSE)) {
        field_invalid_val(errors, AT(path, "x-kubernetes-preserve-unknown-fields"),
                          val_get(schema, "x-kubernetes-preserve-unknown-fields"),
                          "must be true or undefined");
    }
    if (is_set(schema, "x-kubernetes-embedded-resource")) {
        if (!has(schema, "properties") && !preserve) {
            field_required(errors, AT(path, "properties"),
                           "must not be empty if x-kubernetes-embedded-resource is true without "
                           "x-kubernetes-preserve-unknown-fields");
        }
        need_type(errors, path, schema, "object",
                  "must be object if x-kubernetes-embedded-resource is true");
    }
    check_merging(errors, path, schema);
    uint32_t i = 0;
    VAL_EACH (rule, val_get(schema, "x-kubernetes-validations")) {
        const struct path *at = AT_INDEX(AT(path, "x-kubernetes-validations"), i++);
        if (str_trim(val_text(val_get(rule, "rule"))).n == 0) {
            field_required(errors, AT(at, "rule"), "rule is not specified");
        }
    }
}

/* ---- restrictions: below allOf and its kin ---- */

enum restriction { MAY_NOT, MAY_HAVE_TYPE, ANY_OF_MAY };
static void check_restriction(struct field_errors *errors, const struct path *path,
                              const struct val *schema, const struct val *main,
                              const struct path *main_path, enum restriction kind);

/* What the junctors of a whole object restrict must be said outside (`main`; NULL: nobody asks, as
 * further inside). */
static void check_completeness(struct field_errors *errors, const struct path *path,
                               const struct val *inner, const struct val *main,
                               const struct path *main_path)
{
    const struct val *additional = val_get(main, "additionalProperties");
    VAL_EACH (it, val_get(inner, "properties")) {
        const struct path *there = AT_KEY(AT(main_path, "properties"), it->key);
        const struct path *here = AT_KEY(AT(path, "properties"), it->key);
        const struct val *same = val_get_str(val_get(main, "properties"), it->key);
        same = same == NULL && val_is(additional, VAL_OBJECT) ? additional : same;
        if (main != NULL && same == NULL) {
            field_required(errors, there,
                           arena_printf(errors->arena, "because it is defined in %s",
                                        str_dup_in(errors->arena, path_text(errors, here))));
        }
        check_restriction(errors, here, it, same, there, MAY_NOT);
    }
    const struct val *items = val_get(inner, "items");
    if (val_is(items, VAL_OBJECT)) {
        const struct val *same = val_get(main, "items");
        if (main != NULL && !val_is(same, VAL_OBJECT)) {
            const struct path *here = AT(path, "items");
            field_required(errors, AT(main_path, "items"),
                           arena_printf(errors->arena, "because it is defined in %s",
                                        str_dup_in(errors->arena, path_text(errors, here))));
            same = NULL;
        }
        check_restriction(errors, AT(path, "items"), items, same, AT(main_path, "items"), MAY_NOT);
    }
}

/* "integer or string" may be said in full, as tools do: anyOf integer, string. */
static bool says_either(const struct val *any_of)
{
    return val_count(any_of) == 2 && str_is(type_of(val_at(any_of, 0)), "integer") &&
           str_is(type_of(val_at(any_of, 1)), "string");
}

static void check_junctors(struct field_errors *errors, const struct path *path,
                           const struct val *schema, const struct val *main,
                           const struct path *main_path, bool first)
{
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    bool either = first && is_set(schema, "x-kubernetes-int-or-string");
    const struct val *all = val_at(val_get(schema, "allOf"), 0);
    for (int i = 0; i < 3; i++) {
        uint32_t index = 0;
        const struct val *list = val_get_str(schema, str_of(lists[i]));
        bool typed = either && i == 1 && says_either(list);
        VAL_EACH (it, list) {
            bool inner = either && i == 0 && it == all && says_either(val_get(it, "anyOf"));
            enum restriction kind = typed ? MAY_HAVE_TYPE : inner ? ANY_OF_MAY : MAY_NOT;
            check_restriction(errors, AT_INDEX(AT(path, lists[i]), index++), it, main, main_path,
                              kind);
        }
    }
    const struct val *not_of = val_get(schema, "not");
    if (val_is(not_of, VAL_OBJECT)) {
        check_restriction(errors, AT(path, "not"), not_of, main, main_path, MAY_NOT);
    }
}

static void check_restriction(struct field_errors *errors, const struct path *path,
                              const struct val *schema, const struct val *main,
                              const struct path *main_path, enum restriction kind)
{
    static const char *const foreign[] = {"description", "title", "default"};
    static const char *const marks[] = {"nullable", "x-kubernetes-preserve-unknown-fields",
                                        "x-kubernetes-embedded-resource",
                                        "x-kubernetes-int-or-string"};
    static const char *const words[] = {"x-kubernetes-list-map-keys", "x-kubernetes-list-type",
                                        "x-kubernetes-map-type"};
    check_forbidden(errors, path, schema);
    check_pattern(errors, path, schema);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        if (has(schema, foreign[i])) {
            field_forbidden(errors, AT(path, foreign[i]), "must be empty to be structural");
        }
    }
    if (type_of(schema).n > 0 && kind != MAY_HAVE_TYPE) {
        field_forbidden(errors, AT(path, "type"), "must be empty to be structural");
    }
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (is_set(schema, marks[i])) {
            field_forbidden(errors, AT(path, marks[i]), "must be false to be structural");
        }
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (has(schema, words[i])) {
            field_forbidden(errors, AT(path, words[i]), "must be undefined to be structural");
        }
    }
    if (!val_absent(val_get(schema, "additionalProperties"))) {
        field_forbidden(errors, AT(path, "additionalProperties"),
                        "must be undefined to be structural");
    }
    check_completeness(errors, path, schema, main, main_path);
    if (kind != ANY_OF_MAY) {
        check_junctors(errors, path, schema, main, main_path, false);
    }
}

/* ---- levels ---- */

static void check_type(struct field_errors *errors, const struct path *path,
                       const struct val *schema, enum level level)
{
    static const char *const whys[] = {
        [LEVEL_ROOT] = "must not be empty at the root",
        [LEVEL_FIELD] = "must not be empty for specified object fields",
        [LEVEL_ITEM] = "must not be empty for specified array items"};
    struct str type = type_of(schema);
    bool free_type = is_set(schema, "x-kubernetes-int-or-string") ||
                     is_set(schema, "x-kubernetes-preserve-unknown-fields");
    if (type.n == 0 && (level == LEVEL_ROOT || !free_type)) {
        field_required(errors, AT(path, "type"), whys[level]);
    } else if (level == LEVEL_ROOT && type.n > 0 && !str_is(type, "object")) {
        field_invalid(errors, AT(path, "type"), type, "must be object at the root");
    }
    if (level == LEVEL_ROOT && is_set(schema, "nullable")) {
        field_forbidden(errors, AT(path, "nullable"), "nullable cannot be true at the root");
    }
}

/* Of metadata only the name may be restricted. */
static void check_metadata_level(struct field_errors *errors, const struct path *path,
                                 const struct val *schema)
{
    bool good = str_is(type_of(schema), "object") || type_of(schema).n == 0;
    VAL_EACH (it, schema) {
        good = good && (str_is(it->key, "type") || str_is(it->key, "description") ||
                        str_is(it->key, "properties"));
    }
    VAL_EACH (it, val_get(schema, "properties")) {
        good = good && (str_is(it->key, "name") || str_is(it->key, "generateName"));
    }
    if (!good) {
        field_forbidden(errors, path,
                        "must not specify anything other than name and generateName, but metadata "
                        "is implicitly specified");
    }
}

static void check_level(struct field_errors *errors, const struct path *path,
                        const struct val *schema, enum level level);

static void check_inside(struct field_errors *errors, const struct path *path,
                         const struct val *schema, enum level level)
{
    bool object = level == LEVEL_ROOT || is_set(schema, "x-kubernetes-embedded-resource");
    VAL_EACH (it, val_get(schema, "properties")) {
        const struct path *at = AT_KEY(AT(path, "properties"), it->key);
        bool head = object && (str_is(it->key, "apiVersion") || str_is(it->key, "kind"));
        if (level == LEVEL_ROOT && str_is(it->key, "metadata")) {
            check_metadata_level(errors, at, it);
        } else if (head && type_of(it).n > 0 && !str_is(type_of(it), "string")) {
            field_invalid(errors, AT(at, "type"), type_of(it), "must be string");
        }
        check_level(errors, at, it, LEVEL_FIELD);
    }
    const struct val *additional = val_get(schema, "additionalProperties");
    if (object && !val_absent(additional)) {
        field_forbidden(errors, AT(path, "additionalProperties"), "must not be used at the root");
    } else if (val_is(additional, VAL_OBJECT)) {
        check_level(errors, AT(path, "additionalProperties"), additional, LEVEL_FIELD);
    }
    const struct val *items = val_get(schema, "items");
    if (val_is(items, VAL_OBJECT)) {
        check_level(errors, AT(path, "items"), items, LEVEL_ITEM);
    } else if (str_is(type_of(schema), "array") && !val_is(items, VAL_ARRAY)) {
        field_required(errors, AT(path, "items"), "must be specified");
    }
}

static void check_level(struct field_errors *errors, const struct path *path,
                        const struct val *schema, enum level level)
{
    check_forbidden(errors, path, schema);
    check_pattern(errors, path, schema);
    check_extensions(errors, path, schema);
    check_type(errors, path, schema, level);
    check_inside(errors, path, schema, level);
    check_junctors(errors, path, schema, level == LEVEL_ROOT ? schema : NULL, path, true);
}

void schema_check(struct field_errors *errors, const struct path *path, const struct val *schema)
{
    check_level(errors, path, schema, LEVEL_ROOT);
}

const struct val *schema_at(const struct val *schema, const struct str *members)
{
    for (; members->p != NULL && schema != NULL; members++) {
        schema = val_get_str(val_get(schema, "properties"), *members);
    }
    return schema;
}

/* ---- defaults ---- */

static void check_default(struct field_errors *errors, const struct path *path,
                          const struct val *value, const struct structural *node)
{
    const struct path *at = AT(path, "default");
    struct val *copy = val_copy(errors->arena, value);
    if (structural_prune(node, copy, false)) {
        field_invalid_val(errors, at, value, "must not have unknown fields");
        return;
    }
    structural_default(errors->arena, node, copy);
    structural_check(errors, node, at, copy, NULL);
}

void schema_check_defaults(struct field_errors *errors, const struct path *path,
                           const struct val *schema, const struct structural *node)
{
    const struct val *value = val_get(schema, "default");
    if (node == NULL || (!node->defaults && node->default_value == NULL)) {
        return;
    }
    if (value != NULL) {
        static const char *const names[] = {"apiVersion", "kind"};
        for (int i = 0; node->root && i < 2; i++) {
            if (val_get_str(value, str_of(names[i])) == NULL) {
                field_required(errors, AT(AT(path, "default"), names[i]), "");
            }
        }
        check_default(errors, path, value, node);
    }
    VAL_EACH (it, val_get(schema, "properties")) {
        schema_check_defaults(errors, AT_KEY(AT(path, "properties"), it->key), it,
                              structural_child(node, it->key));
    }
    schema_check_defaults(errors, AT(path, "items"), val_get(schema, "items"), node->items);
    schema_check_defaults(errors, AT(path, "additionalProperties"),
                          val_get(schema, "additionalProperties"), node->additional);
}
