/* values.c: whether a value is what its schema says.
 *
 * Errors have the types and paths that the API gives (validation of kube-openapi, put into field
 * errors); the sentences are ours. What did not change since the last write is not judged again
 * (ratcheting): a schema that got stricter does not lock objects in. Junctors look at the whole
 * value once a branch; how deep they nest is bounded by the size of a CRD, the work by a budget of
 * pattern matches that ran out.
 */
#include <math.h>
#include <stdlib.h>

#include "api/custom/structural.h"

enum { SLOW_MAX = 8 };

static void check(struct field_errors *errors, const struct structural *node,
                  const struct path *path, const struct val *value, const struct val *old);

/* ---- types ---- */

static const char *const type_names[] = {"",        "object", "array",  "string",
                                         "integer", "number", "boolean"};

static bool as_double(const struct val *v, double *ret)
{
    return v->type == VAL_NUMBER && str_double(v->text, ret);
}

static bool is_integer(const struct val *v)
{
    double number = 0;
    int64_t whole = 0;
    return v->type == VAL_NUMBER &&
           (str_i64(v->text, &whole) ||
            (as_double(v, &number) && isfinite(number) && fabs(number) < 9223372036854775808.0 &&
             floor(number) == number));
}

static bool has_type(const struct structural *node, const struct val *v)
{
    if (node->int_or_string) {
        return v->type == VAL_STRING || is_integer(v);
    }
    switch ((enum structural_type)node->type) {
    case STRUCTURAL_OBJECT:
        return v->type == VAL_OBJECT;
    case STRUCTURAL_ARRAY:
        return v->type == VAL_ARRAY;
    case STRUCTURAL_STRING:
        return v->type == VAL_STRING;
    case STRUCTURAL_INTEGER:
        return is_integer(v);
    case STRUCTURAL_NUMBER:
        return v->type == VAL_NUMBER;
    case STRUCTURAL_BOOLEAN:
        return v->type == VAL_TRUE || v->type == VAL_FALSE;
    default:
        return true;
    }
}

static void add_val(struct field_errors *errors, const char *type, const struct path *path,
                    const char *intro, const struct val *value, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
static void add_val(struct field_errors *errors, const char *type, const struct path *path,
                    const char *intro, const struct val *value, const char *format, ...)
{
    struct buf shown BUF_CLEANUP = BUF_INIT, why BUF_CLEANUP = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_vprintf(&why, format, ap);
    va_end(ap);
    if (value->type == VAL_OBJECT || value->type == VAL_ARRAY) {
        buf_addz(&shown, value->type == VAL_OBJECT ? "\"object\"" : "\"array\"");
    } else {
        val_write_json(value, &shown);
    }
    struct str view = shown.n > 256 ? str_at(shown.p, 256) : buf_view(&shown);
    field_error_add(errors, type, path_text(errors, path), "%s: %.*s: %s", intro, STR_ARG(view),
                    why.p);
}

static const char *where(struct field_errors *errors, const struct path *path)
{
    return str_dup_in(errors->arena, path_text(errors, path));
}

/* Some errors of the API name their place in the text only. */
static void add_unplaced(struct field_errors *errors, const struct path *path, const char *what)
{
    field_error_add(errors, "FieldValueInvalid", STR("<nil>"), "Invalid value: \"\": %s%s", what,
                    where(errors, path));
}

static bool check_type(struct field_errors *errors, const struct structural *node,
                       const struct path *path, const struct val *value)
{
    if (value->type == VAL_NULL
            ? node->nullable || (node->type == STRUCTURAL_ANY && !node->int_or_string)
            : has_type(node, value)) {
        return true;
    }
    static const char *const found[] = {"null",   "boolean", "boolean", "number",
                                        "string", "object",  "array"};
    const char *wanted = node->int_or_string ? "integer,string" : type_names[node->type];
    add_val(errors, "FieldValueTypeInvalid", path, "Invalid value", value,
            "%s in body must be of type %s: \"%s\"", where(errors, path), wanted,
            found[value->type]);
    if (node->type == STRUCTURAL_INTEGER && value->type == VAL_NUMBER) {
        add_unplaced(errors, path, "Checked value must be of type integer in ");
    }
    return false;
}

/* ---- rules of one value ---- */

static void check_number(struct field_errors *errors, const struct structural_rules *rules,
                         const struct path *path, const struct val *value)
{
    double number = 0;
    if (!as_double(value, &number)) {
        return;
    }
    if (rules->has_maximum && (rules->below ? number >= rules->maximum : number > rules->maximum)) {
        add_val(errors, "FieldValueInvalid", path, "Invalid value", value,
                "%s in body should be less than %s%.17g", where(errors, path),
                rules->below ? "" : "or equal to ", rules->maximum);
    }
    if (rules->has_minimum && (rules->above ? number <= rules->minimum : number < rules->minimum)) {
        add_val(errors, "FieldValueInvalid", path, "Invalid value", value,
                "%s in body should be greater than %s%.17g", where(errors, path),
                rules->above ? "" : "or equal to ", rules->minimum);
    }
    /* Whole numbers are divided as such, as the API does it. */
    int64_t whole = 0;
    double factor = str_i64(value->text, &whole) ? trunc(rules->multiple_of) : rules->multiple_of;
    double times = rules->has_multiple && factor > 0 ? number / factor : 0.5;
    if (rules->has_multiple && floor(times) != times) {
        add_val(errors, "FieldValueInvalid", path, "Invalid value", value,
                "%s in body should be a multiple of %.17g", where(errors, path),
                rules->multiple_of);
    }
    if (rules->format != NULL && strcmp(rules->format, "int32") == 0 &&
        (!str_i64(value->text, &whole) || whole != (int32_t)whole) && floor(number) == number) {
        add_unplaced(errors, path, "Checked value must be of type integer with format int32 in ");
    }
}

static int64_t points_in(struct str text)
{
    int64_t count = 0;
    for (size_t i = 0; i < text.n; i++) {
        count += ((unsigned char)text.p[i] & 0xc0) != 0x80;
    }
    return count;
}

static void check_pattern(struct field_errors *errors, const struct structural_rules *rules,
                          const struct path *path, const struct val *value)
{
    static const char slow[] = "the pattern takes too many steps on this value";
    size_t already = 0;
    for (size_t i = 0; i < errors->count; i++) {
        already += str_ends(errors->items[i].detail, str_of(slow));
    }
    if (already >= SLOW_MAX) {
        return; /* it is refused anyway; no more time goes into it */
    }
    int match = pattern_match(rules->pattern, value->text);
    if (match <= 0) {
        add_val(errors, "FieldValueInvalid", path, "Invalid value", value, "%s in body %s%s%s",
                where(errors, path), match == 0 ? "should match '" : "",
                match == 0 ? pattern_text(rules->pattern) : slow, match == 0 ? "'" : "");
    }
}

static void check_text(struct field_errors *errors, const struct structural_rules *rules,
                       const struct path *path, const struct val *value)
{
    if (value->type != VAL_STRING) {
        return;
    }
    int64_t length = rules->max_length >= 0 || rules->min_length > 0 ? points_in(value->text) : 0;
    if (rules->max_length >= 0 && length > rules->max_length) {
        field_too_long(errors, path, rules->max_length);
    }
    if (length < rules->min_length) {
        add_val(errors, "FieldValueInvalid", path, "Invalid value", value,
                "%s in body should be at least %lld chars long", where(errors, path),
                (long long)rules->min_length);
    }
    if (rules->pattern != NULL) {
        check_pattern(errors, rules, path, value);
    }
    if (rules->format != NULL && !format_matches(rules->format, value->text)) {
        add_val(errors, "FieldValueTypeInvalid", path, "Invalid value", value,
                "%s in body must be of type %s: \"%.*s\"", where(errors, path), rules->format,
                (int)(value->text.n > 256 ? 256 : value->text.n), value->text.p);
    }
}

static bool same_value(const struct val *a, const struct val *b)
{
    double x = 0, y = 0;
    if (a->type == VAL_NUMBER && b->type == VAL_NUMBER) {
        return str_eq(a->text, b->text) || (as_double(a, &x) && as_double(b, &y) && x == y);
    }
    return val_equal(a, b);
}

/* Sorted by their JSON, equal members stand together. */
static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool has_twins(struct arena *arena, const struct val *list)
{
    struct str *texts = arena_array(arena, struct str, list->count + 1);
    size_t n = 0;
    VAL_EACH (it, list) {
        struct buf json BUF_CLEANUP = BUF_INIT;
        struct val *sorted = val_copy(arena, it);
        val_sort(sorted);
        val_write_json(sorted, &json);
        texts[n++] = str_copy_in(arena, buf_view(&json));
    }
    qsort(texts, n, sizeof *texts, by_text);
    for (size_t i = 1; i < n; i++) {
        if (str_eq(texts[i - 1], texts[i])) {
            return true;
        }
    }
    return false;
}

static void check_counts(struct field_errors *errors, const struct structural_rules *rules,
                         const struct path *path, const struct val *value)
{
    bool list = value->type == VAL_ARRAY;
    if (!list && value->type != VAL_OBJECT) {
        return;
    }
    int64_t count = value->count;
    int64_t most = list ? rules->max_items : rules->max_properties;
    int64_t least = list ? rules->min_items : rules->min_properties;
    if (most >= 0 && count > most) {
        field_too_many(errors, path, count, most);
    }
    if (least >= 0 && count < least) {
        add_val(errors, "FieldValueInvalid", path, "Invalid value", value,
                "%s in body should have at least %lld %s", where(errors, path), (long long)least,
                list ? "items" : "properties");
    }
    if (list && rules->unique_items && has_twins(errors->arena, value)) {
        add_val(errors, "FieldValueInvalid", path, "Invalid value", value,
                "%s in body shouldn't contain duplicates", where(errors, path));
    }
}

static void check_enum(struct field_errors *errors, const struct structural_rules *rules,
                       const struct path *path, const struct val *value)
{
    struct buf all BUF_CLEANUP = BUF_INIT;
    VAL_EACH (it, rules->enum_values) {
        if (same_value(it, value)) {
            return;
        }
        buf_addz(&all, all.n > 0 ? ", " : "");
        if (it->type == VAL_STRING) {
            val_write_json(it, &all);
        } else {
            buf_char(&all, '"');
            val_write_json(it, &all);
            buf_char(&all, '"');
        }
    }
    add_val(errors, "FieldValueNotSupported", path, "Unsupported value", value,
            "supported values: %s", all.p);
}

/* ---- junctors ---- */

static void add_plain(struct field_errors *errors, const struct path *path, const char *what)
{
    field_error_add(errors, "FieldValueInvalid", STR("<nil>"), "Invalid value: \"\": \"%s\" %s",
                    where(errors, path), what);
}

static size_t errors_of(struct field_errors *errors, const struct structural *node,
                        const struct path *path, const struct val *value,
                        struct field_errors *ret_errors)
{
    *ret_errors = (struct field_errors){.arena = errors->arena};
    check(ret_errors, node, path, value, NULL);
    return ret_errors->count;
}

static void append(struct field_errors *errors, const struct field_errors *more)
{
    for (size_t i = 0; i < more->count; i++) {
        field_error_add(errors, more->items[i].type, more->items[i].field, "%.*s",
                        STR_ARG(more->items[i].detail));
    }
}

/* How many branches hold; the errors of the one that was nearest to holding. */
static size_t count_branches(struct field_errors *errors, const struct structural_list *list,
                             const struct path *path, const struct val *value,
                             struct field_errors *ret_nearest)
{
    size_t good = 0;
    *ret_nearest = (struct field_errors){0};
    for (size_t i = 0; i < list->count; i++) {
        struct field_errors own;
        if (errors_of(errors, list->items[i], path, value, &own) == 0) {
            good++;
        } else if (ret_nearest->count == 0 || own.count < ret_nearest->count) {
            *ret_nearest = own;
        }
    }
    return good;
}

static void check_junctors(struct field_errors *errors, const struct structural_rules *rules,
                           const struct path *path, const struct val *value)
{
    struct field_errors nearest;
    if (rules->any_of.count > 0 &&
        count_branches(errors, &rules->any_of, path, value, &nearest) == 0) {
        add_plain(errors, path, "must validate at least one schema (anyOf)");
        append(errors, &nearest);
    }
    if (rules->one_of.count > 0) {
        size_t good = count_branches(errors, &rules->one_of, path, value, &nearest);
        if (good != 1) {
            add_plain(errors, path,
                      arena_printf(errors->arena,
                                   good == 0 ? "must validate one and only one schema (oneOf). "
                                               "Found none valid"
                                             : "must validate one and only one schema (oneOf). "
                                               "Found %zu valid alternatives",
                                   good));
        }
        if (good == 0) {
            append(errors, &nearest);
        }
    }
    size_t before = errors->count;
    for (size_t i = 0; i < rules->all_of.count; i++) {
        check(errors, rules->all_of.items[i], path, value, NULL);
    }
    if (errors->count > before) {
        add_plain(errors, path, "must validate all the schemas (allOf)");
    }
    if (rules->not_of != NULL && errors_of(errors, rules->not_of, path, value, &nearest) == 0) {
        add_plain(errors, path, "must not validate the schema (not)");
    }
}

/* ---- members ---- */

static void check_required(struct field_errors *errors, const struct structural_rules *rules,
                           const struct path *path, const struct val *value)
{
    for (const char *const *name = rules->required; name != NULL && *name != NULL; name++) {
        if (value->type == VAL_OBJECT && val_get_str(value, str_of(*name)) == NULL) {
            field_required(errors, AT(path, *name), "");
        }
    }
}

static void check_object(struct field_errors *errors, const struct structural *node,
                         const struct path *path, const struct val *value, const struct val *old)
{
    VAL_EACH (it, value) {
        const struct api_field *field = schema_field(&node->table, it->key);
        const struct structural *child =
            field != NULL ? node->children[field->index] : node->additional;
        if (child != NULL) {
            check(errors, child, AT_MEMBER(path, it->key), it,
                  val_is(old, VAL_OBJECT) ? val_get_str(old, it->key) : NULL);
        }
    }
}

/* The keys of a member of a list map as one text, absent ones as their defaults. */
static struct str keys_text(struct arena *arena, const struct structural *node,
                            const struct val *member)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_char(&out, '{');
    for (const char *const *key = node->list_keys; *key != NULL; key++) {
        const struct val *value = val_get_str(member, str_of(*key));
        buf_printf(&out, "%s\"%s\":", out.n > 1 ? "," : "", *key);
        if (value != NULL) {
            val_write_json(value, &out);
        } else {
            buf_addz(&out, "null");
        }
    }
    buf_char(&out, '}');
    return str_copy_in(arena, buf_view(&out));
}

struct keyed {
    struct str text;
    uint32_t index;
    const struct val *value;
};

static int by_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int order = str_cmp(x->text, y->text);
    return order != 0 ? order : (x->index > y->index) - (x->index < y->index);
}

/* The members of a set or list map, sorted by what tells them apart. */
static struct keyed *keyed_members(struct arena *arena, const struct structural *node,
                                   const struct val *list)
{
    struct keyed *keyed = arena_array(arena, struct keyed, list->count + 1);
    uint32_t n = 0;
    VAL_EACH (it, list) {
        struct buf json BUF_CLEANUP = BUF_INIT;
        if (node->list == API_LIST_SET) {
            val_write_json(it, &json);
        }
        keyed[n] = (struct keyed){node->list == API_LIST_SET ? str_copy_in(arena, buf_view(&json))
                                                             : keys_text(arena, node, it),
                                  n, it};
        n++;
    }
    qsort(keyed, n, sizeof *keyed, by_keyed);
    return keyed;
}

static const struct val *find_keyed(const struct keyed *keyed, size_t count, struct str text)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(keyed[middle].text, text);
        if (order == 0) {
            return keyed[middle].value;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static void check_twins(struct field_errors *errors, const struct keyed *keyed, size_t count,
                        const struct path *path)
{
    for (size_t i = 1; i < count; i++) {
        if (str_eq(keyed[i - 1].text, keyed[i].text)) {
            field_error_add(errors, "FieldValueDuplicate",
                            path_text(errors, AT_INDEX(path, keyed[i].index)),
                            "Duplicate value: %.*s", STR_ARG(keyed[i].text));
        }
    }
}

static void check_list(struct field_errors *errors, const struct structural *node,
                       const struct path *path, const struct val *value, const struct val *old)
{
    const struct keyed *was = NULL;
    bool keyed = node->list == API_LIST_SET || node->list == API_LIST_MAP;
    bool by_keys = node->list == API_LIST_MAP && val_is(old, VAL_ARRAY);
    if (keyed && value->count > 1) {
        check_twins(errors, keyed_members(errors->arena, node, value), value->count, path);
    }
    if (by_keys) {
        was = keyed_members(errors->arena, node, old);
    }
    uint32_t i = 0;
    VAL_EACH (it, value) {
        const struct val *before =
            was != NULL ? find_keyed(was, old->count, keys_text(errors->arena, node, it)) : NULL;
        if (node->items != NULL) {
            check(errors, node->items, AT_INDEX(path, i), it, before);
        }
        if (node->list == API_LIST_MAP && it->type != VAL_OBJECT) {
            add_val(errors, "FieldValueInvalid", AT_INDEX(path, i), "Invalid value", it,
                    "must be an object for an array of list-type map");
        }
        i++;
    }
}

/* ---- objects inside ---- */

static void check_embedded(struct field_errors *errors, const struct path *path,
                           const struct val *value)
{
    static const char *const names[] = {"apiVersion", "kind"};
    for (int i = 0; i < 2; i++) {
        const struct val *text = val_get_str(value, str_of(names[i]));
        if (text == NULL) {
            field_required(errors, AT(path, names[i]), "must not be empty");
        } else if (val_text(text).n == 0) {
            field_invalid_val(errors, AT(path, names[i]), text, "must not be empty");
        }
    }
    struct str rest, version = val_text(val_get(value, "apiVersion"));
    str_cut(version, '/', &rest);
    if (str_contains(rest, STR("/"))) {
        field_invalid(errors, AT(path, "apiVersion"), version,
                      "unexpected GroupVersion string: %.*s", STR_ARG(version));
    }
    const struct val *metadata = val_get(value, "metadata");
    const struct path *inside = AT(path, "metadata");
    struct str name = val_text(val_get(metadata, "name"));
    if (name.n > 0) {
        check_name(errors, AT(inside, "name"), NAME_PATH, name);
    }
    check_labels(errors, AT(inside, "labels"), val_get(metadata, "labels"));
    check_annotations(errors, AT(inside, "annotations"), val_get(metadata, "annotations"));
}

static void check(struct field_errors *errors, const struct structural *node,
                  const struct path *path, const struct val *value, const struct val *old)
{
    const struct structural_rules *rules = node->rules;
    if (old != NULL && val_equal(value, old)) {
        return;
    }
    check_type(errors, node, path, value);
    if (value->type == VAL_NULL) {
        return;
    }
    if (rules != NULL) {
        check_number(errors, rules, path, value);
        check_text(errors, rules, path, value);
        check_counts(errors, rules, path, value);
        check_required(errors, rules, path, value);
        if (rules->enum_values != NULL) {
            check_enum(errors, rules, path, value);
        }
        check_junctors(errors, rules, path, value);
    }
    if (value->type == VAL_OBJECT) {
        if (node->embedded) {
            check_embedded(errors, path, value);
        }
        check_object(errors, node, path, value, old);
    } else if (value->type == VAL_ARRAY) {
        check_list(errors, node, path, value, old);
    }
}

void structural_check(struct field_errors *errors, const struct structural *node,
                      const struct path *path, const struct val *value, const struct val *old)
{
    check(errors, node, path, value, old);
}
