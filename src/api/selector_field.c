/* selector_field.c: field selectors: "metadata.name=x,spec.nodeName!=y". See selector.h.
 *
 * Only = == and != exist, and only on the fields that a resource offers; object.fields holds their
 * values in the order of resource->field_selectors.
 */
#include "api/selector.h"

#include "api/custom/custom.h"

enum { TERMS_MAX = 1024 };

/* Next comma-separated part; a backslash keeps the byte after it. */
static struct str field_part(struct str *rest)
{
    for (size_t i = 0; i < rest->n; i++) {
        if (rest->p[i] == '\\') {
            i++;
        } else if (rest->p[i] == ',') {
            struct str part = str_at(rest->p, i);
            *rest = str_from(*rest, i + 1);
            return part;
        }
    }
    struct str part = *rest;
    *rest = STR_NONE;
    return part;
}

static bool field_unescape(struct arena *arena, struct str text, struct str *ret)
{
    if (text.n == 0 || memchr(text.p, '\\', text.n) == NULL) {
        *ret = text;
        return text.n == 0 || memchr(text.p, '=', text.n) == NULL;
    }
    char *out = arena_alloc(arena, text.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '=') {
            return false; /* must be escaped in a value */
        }
        if (text.p[i] == '\\') {
            i++;
            if (i >= text.n || (text.p[i] != '\\' && text.p[i] != ',' && text.p[i] != '=')) {
                return false;
            }
        }
        out[n++] = text.p[i];
    }
    *ret = str_at(out, n);
    return true;
}

/* Splits at the first operator: "a!=b", "a==b", "a=b". */
static bool field_split(struct str part, struct str *ret_key, bool *ret_negate,
                        struct str *ret_value)
{
    for (size_t i = 0; i < part.n; i++) {
        struct str rest = str_from(part, i);
        size_t n = str_starts(rest, STR("!=")) || str_starts(rest, STR("==")) ? 2
                   : part.p[i] == '='                                         ? 1
                                                                              : 0;
        if (n > 0) {
            *ret_key = str_at(part.p, i);
            *ret_negate = part.p[i] == '!';
            *ret_value = str_from(rest, n);
            return true;
        }
    }
    return false;
}

static int field_index(const struct api_resource *resource, struct str key, int *ret_field,
                       struct err *err)
{
    if (str_is(key, "metadata.name")) {
        *ret_field = -1;
        return 0;
    }
    if (str_is(key, "metadata.namespace")) {
        *ret_field = -2;
        return 0;
    }
    const char *const *names = resource->field_selectors;
    for (int i = 0; names != NULL && names[i] != NULL; i++) {
        if (str_is(key, names[i])) {
            *ret_field = i;
            return 0;
        }
    }
    if (names == NULL) {
        return err_set(err, ERR_BAD_REQUEST,
                       "\"%.*s\" is not a known field selector: only \"metadata.name\", "
                       "\"metadata.namespace\"",
                       STR_ARG(key));
    }
    return err_set(err, ERR_BAD_REQUEST, "field label not supported: %.*s", STR_ARG(key));
}

int field_selector_parse(struct arena *arena, const struct api_resource *resource, struct str text,
                         struct field_selector *ret_selector, struct err *err)
{
    size_t parts = 1;
    for (size_t i = 0; i < text.n; i++) {
        parts += text.p[i] == ',';
    }
    if (parts > TERMS_MAX) {
        return err_set(err, ERR_BAD_REQUEST, "invalid selector: too many terms");
    }
    struct field_selector selector = {.terms = arena_array(arena, struct field_term, parts)};
    struct str rest = text;
    while (rest.p != NULL) {
        struct str part = field_part(&rest), key;
        if (part.n == 0) {
            continue;
        }
        struct field_term *term = &selector.terms[selector.count++];
        if (!field_split(part, &key, &term->negate, &term->value) ||
            !field_unescape(arena, term->value, &term->value)) {
            return err_set(err, ERR_BAD_REQUEST,
                           "invalid selector: '%.*s'; can't understand '%.*s'", STR_ARG(text),
                           STR_ARG(part));
        }
        int rc = field_index(resource, key, &term->field, err);
        if (rc != 0) {
            return rc;
        }
    }
    selector.custom = resource->custom != NULL ? resource : NULL;
    *ret_selector = selector;
    return 0;
}

/* The value under the selectors of the kind as it is asked for, not as the object was written. */
static bool custom_matches(const struct field_selector *selector, const struct field_term *term,
                           const struct object *object)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *value = object_decode(object, &arena);
    struct str text =
        custom_selectable(&arena, selector->custom->custom, (size_t)term->field, value);
    return str_eq(text, term->value) != term->negate;
}

bool field_selector_matches(const struct field_selector *selector, const struct object *object)
{
    for (size_t i = 0; i < selector->count; i++) {
        const struct field_term *term = &selector->terms[i];
        struct str value = STR_NONE;
        if (term->field >= 0 && selector->custom != NULL && object->resource != selector->custom) {
            if (!custom_matches(selector, term, object)) {
                return false;
            }
            continue;
        }
        if (term->field == -1) {
            value = object->name;
        } else if (term->field == -2) {
            value = object->ns;
        } else if ((size_t)term->field < object->field_count) {
            value = object->fields[term->field];
        }
        if (str_eq(value, term->value) == term->negate) {
            return false;
        }
    }
    return true;
}
