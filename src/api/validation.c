/* validation.c: field errors: paths, their texts, and the checks that every kind shares.
 *
 * The sentences are the API's documented ones; clients and their tests match on them. Nothing is
 * allocated for a field that is right.
 *
 * Left to others: metadata (metadata.c), the kinds' own rules (kinds/).
 */
#include "api/validation.h"

#include <stdio.h>

#include "api/quantity.h"
#include "api/semantic.h"

enum { PATH_PARTS_MAX = 64, ERRORS_MAX = 1000 };

static void add(struct field_errors *errors, const char *type, struct str field, struct str detail)
{
    if (errors->count >= ERRORS_MAX) {
        return; /* nobody reads more, and hostile input must not make us write more */
    }
    if (errors->count == errors->cap) {
        size_t cap = errors->cap == 0 ? 8 : errors->cap * 2;
        struct field_error *grown = arena_array(errors->arena, struct field_error, cap);
        if (errors->count > 0) {
            memcpy(grown, errors->items, errors->count * sizeof *grown);
        }
        errors->items = grown;
        errors->cap = cap;
    }
    errors->items[errors->count++] = (struct field_error){type, field, detail};
}

void field_error_add(struct field_errors *errors, const char *type, struct str field,
                     const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const char *detail = arena_vprintf(errors->arena, format, ap);
    va_end(ap);
    add(errors, type, str_copy_in(errors->arena, field), str_of(detail));
}

struct str field_path(struct field_errors *errors, struct str base, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    const char *more = arena_vprintf(errors->arena, format, ap);
    va_end(ap);
    return base.n == 0 ? str_of(more)
                       : str_of(arena_printf(errors->arena, "%.*s.%s", STR_ARG(base), more));
}

struct str path_text(struct field_errors *errors, const struct path *path)
{
    const struct path *parts[PATH_PARTS_MAX];
    int n = 0;
    for (; path != NULL && n < PATH_PARTS_MAX; path = path->up) {
        parts[n++] = path;
    }
    struct buf out BUF_CLEANUP = BUF_INIT;
    while (n > 0) {
        const struct path *part = parts[--n];
        if (part->name != NULL) {
            buf_addz(&out, out.n > 0 ? "." : "");
            buf_addz(&out, part->name);
        } else if (part->key.p != NULL && part->index == -1) {
            buf_printf(&out, "%s%.*s", out.n > 0 ? "." : "", STR_ARG(part->key));
        } else if (part->key.p != NULL) {
            buf_printf(&out, "[%.*s]", STR_ARG(part->key));
        } else {
            buf_printf(&out, "[%d]", part->index);
        }
    }
    return str_copy_in(errors->arena, buf_view(&out));
}

/* As Go's %q: what is not printable is escaped. */
static void quote(struct buf *out, struct str text)
{
    buf_char(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\') {
            buf_char(out, '\\');
            buf_char(out, (char)c);
        } else if (c == '\n' || c == '\t' || c == '\r') {
            buf_addz(out, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r");
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(out, "\\x%02x", c);
        } else {
            buf_char(out, (char)c);
        }
    }
    buf_char(out, '"');
}

static void finish(struct field_errors *errors, const char *type, const struct path *path,
                   const struct buf *detail)
{
    add(errors, type, path_text(errors, path),
        detail->n > 0 ? str_copy_in(errors->arena, buf_view(detail)) : STR(""));
}

#define FINISH_FORMATTED(errors, path, out, format)                                                \
    do {                                                                                           \
        va_list ap_;                                                                               \
        va_start(ap_, format);                                                                     \
        buf_addz(out, ": ");                                                                       \
        buf_vprintf(out, format, ap_);                                                             \
        va_end(ap_);                                                                               \
        finish(errors, "FieldValueInvalid", path, out);                                            \
    } while (0)

void field_invalid(struct field_errors *errors, const struct path *path, struct str value,
                   const char *format, ...)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "Invalid value: ");
    quote(&out, value);
    FINISH_FORMATTED(errors, path, &out, format);
}

void field_invalid_int(struct field_errors *errors, const struct path *path, int64_t value,
                       const char *format, ...)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "Invalid value: ");
    buf_i64(&out, value);
    FINISH_FORMATTED(errors, path, &out, format);
}

static void show_value(struct buf *out, const struct val *value)
{
    if (val_is(value, VAL_STRING)) {
        quote(out, val_text(value));
    } else if (value == NULL) {
        buf_addz(out, "null");
    } else {
        val_write_json(value, out);
    }
}

void field_invalid_val(struct field_errors *errors, const struct path *path,
                       const struct val *value, const char *format, ...)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "Invalid value: ");
    show_value(&out, value);
    FINISH_FORMATTED(errors, path, &out, format);
}

void field_required(struct field_errors *errors, const struct path *path, const char *detail)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_printf(&out, "Required value%s%s", detail[0] != '\0' ? ": " : "", detail);
    finish(errors, "FieldValueRequired", path, &out);
}

void field_forbidden(struct field_errors *errors, const struct path *path, const char *format, ...)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    va_list ap;
    va_start(ap, format);
    buf_addz(&out, "Forbidden: ");
    buf_vprintf(&out, format, ap);
    va_end(ap);
    finish(errors, "FieldValueForbidden", path, &out);
}

void field_not_supported(struct field_errors *errors, const struct path *path, struct str value,
                         const char *const *values)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "Unsupported value: ");
    quote(&out, value);
    buf_addz(&out, ": supported values: ");
    for (size_t i = 0; values[i] != NULL; i++) {
        buf_addz(&out, i > 0 ? ", " : "");
        quote(&out, str_of(values[i]));
    }
    finish(errors, "FieldValueNotSupported", path, &out);
}

void field_duplicate(struct field_errors *errors, const struct path *path, struct str value)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "Duplicate value: ");
    quote(&out, value);
    finish(errors, "FieldValueDuplicate", path, &out);
}

void field_duplicate_val(struct field_errors *errors, const struct path *path,
                         const struct val *value)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "Duplicate value: ");
    show_value(&out, value);
    finish(errors, "FieldValueDuplicate", path, &out);
}

void field_not_found(struct field_errors *errors, const struct path *path, struct str value)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out, "Not found: ");
    quote(&out, value);
    finish(errors, "FieldValueNotFound", path, &out);
}

void field_too_long(struct field_errors *errors, const struct path *path, int64_t max_bytes)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_printf(&out, "Too long: may not be more than %lld bytes", (long long)max_bytes);
    finish(errors, "FieldValueTooLong", path, &out);
}

void field_too_many(struct field_errors *errors, const struct path *path, int64_t count,
                    int64_t max)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_printf(&out, "Too many: %lld: must have at most %lld items", (long long)count,
               (long long)max);
    finish(errors, "FieldValueTooMany", path, &out);
}

bool check_name(struct field_errors *errors, const struct path *path, enum name_rule rule,
                struct str value)
{
    struct name_complaints complaints;
    if (name_check(rule, value, &complaints)) {
        return true;
    }
    for (int i = 0; i < complaints.count; i++) {
        field_invalid(errors, path, value, "%s", complaints.items[i]);
    }
    return false;
}

bool check_one_of(struct field_errors *errors, const struct path *path, struct str value,
                  const char *const *values, bool required)
{
    for (size_t i = 0; values[i] != NULL; i++) {
        if (str_is(value, values[i])) {
            return true;
        }
    }
    if (value.n == 0) {
        if (required) {
            field_required(errors, path, "");
        }
        return !required;
    }
    field_not_supported(errors, path, value, values);
    return false;
}

bool check_optional_one_of(struct field_errors *errors, const struct path *path,
                           const struct val *value, const char *const *values)
{
    if (val_absent(value)) {
        return true;
    }
    for (size_t i = 0; values[i] != NULL; i++) {
        if (str_is(val_text(value), values[i])) {
            return true;
        }
    }
    field_not_supported(errors, path, val_text(value), values);
    return false;
}

bool list_repeats(const struct val *list, const struct val *item, const char *member)
{
    struct str text = val_text(val_get_str(item, str_of(member)));
    for (const struct val *it = list->child; it != item; it = it->next) {
        if (str_eq(val_text(val_get_str(it, str_of(member))), text)) {
            return true;
        }
    }
    return false;
}

bool check_not_negative(struct field_errors *errors, const struct path *path,
                        const struct val *value)
{
    int64_t number = val_int(value, 0);
    if (number < 0) {
        field_invalid_int(errors, path, number, "must be greater than or equal to 0");
    }
    return number >= 0;
}

bool check_port_number(struct field_errors *errors, const struct path *path, int64_t value)
{
    bool ok = value >= 1 && value <= 65535;
    if (!ok) {
        field_invalid_int(errors, path, value, "must be between 1 and 65535, inclusive");
    }
    return ok;
}

bool check_port(struct field_errors *errors, const struct path *path, const struct val *value)
{
    return val_is(value, VAL_STRING) ? check_name(errors, path, NAME_PORT, val_text(value))
                                     : check_port_number(errors, path, val_int(value, 0));
}

bool check_length(struct field_errors *errors, const struct path *path, const struct val *list,
                  uint32_t max)
{
    if (val_count(list) <= max) {
        return true;
    }
    field_too_many(errors, path, list->count, max);
    return false;
}

bool check_immutable(struct field_errors *errors, const struct path *path, const struct val *next,
                     const struct val *old)
{
    bool same = semantic_equal(next, old);
    if (!same) {
        field_invalid_val(errors, path, next, "field is immutable");
    }
    return same;
}

void check_labels(struct field_errors *errors, const struct path *path, const struct val *labels)
{
    VAL_EACH (label, labels) {
        check_name(errors, path, NAME_LABEL_KEY, label->key);
        check_name(errors, path, NAME_LABEL_VALUE, val_text(label));
    }
}

static bool label_key_any_case(struct str key)
{
    char lower[320];
    if (key.n > sizeof lower) {
        return false;
    }
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return name_is(NAME_LABEL_KEY, str_at(lower, key.n));
}

void check_annotations(struct field_errors *errors, const struct path *path,
                       const struct val *annotations)
{
    enum { TOTAL_MAX = 256 * 1024 };
    size_t total = 0;
    VAL_EACH (annotation, annotations) {
        total += annotation->key.n + val_text(annotation).n;
        if (!label_key_any_case(annotation->key)) { /* unlike labels, a prefix may have capitals */
            check_name(errors, path, NAME_LABEL_KEY, annotation->key);
        }
    }
    if (total > TOTAL_MAX) {
        field_too_long(errors, path, TOTAL_MAX);
    }
}

static void check_requirement(struct field_errors *errors, const struct path *path,
                              const struct val *expression)
{
    struct str op = val_text(val_get(expression, "operator"));
    const struct val *values = val_get(expression, "values");
    if (str_is(op, "In") || str_is(op, "NotIn")) {
        if (val_count(values) == 0) {
            field_required(errors, AT(path, "values"),
                           "must be specified when `operator` is 'In' or 'NotIn'");
        }
    } else if (str_is(op, "Exists") || str_is(op, "DoesNotExist")) {
        if (val_count(values) > 0) {
            field_forbidden(errors, AT(path, "values"),
                            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
    } else {
        field_invalid(errors, AT(path, "operator"), op, "not a valid selector operator");
    }
    check_name(errors, AT(path, "key"), NAME_LABEL_KEY, val_text(val_get(expression, "key")));
    uint32_t i = 0;
    VAL_EACH (value, values) {
        check_name(errors, AT_INDEX(AT(path, "values"), i++), NAME_LABEL_VALUE, val_text(value));
    }
}

void check_label_selector(struct field_errors *errors, const struct path *path,
                          const struct val *selector)
{
    check_labels(errors, AT(path, "matchLabels"), val_get(selector, "matchLabels"));
    uint32_t i = 0;
    VAL_EACH (expression, val_get(selector, "matchExpressions")) {
        check_requirement(errors, AT_INDEX(AT(path, "matchExpressions"), i++), expression);
    }
}
