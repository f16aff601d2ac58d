/* object_index.c: one skim over canonical bytes that notes where name, namespace, uid, labels and
 * the selectable fields are.
 *
 * Canonical bytes have no spaces and are well formed, since the codec wrote them; the skim only
 * matches brackets and quotes, and says false when they do not. Values that nobody asks for are
 * skipped a string at a time.
 */
#include "api/object_index.h"

#include "api/json_int.h"

struct skim {
    const char *start, *p, *end;
};

/* After the closing quote; p is after the opening one. */
static inline bool skip_string(struct skim *skim, struct str *ret_raw, bool *ret_escaped)
{
    const char *start = skim->p, *p = json_to_mark(start, skim->end);
    *ret_escaped = false;
    while (p < skim->end && *p == '\\') {
        *ret_escaped = true;
        p = json_to_mark(skim->end - p >= 2 ? p + 2 : skim->end, skim->end);
    }
    if (p >= skim->end) {
        return false;
    }
    *ret_raw = str_at(start, (size_t)(p - start));
    skim->p = p + 1;
    return true;
}

static bool skip_container(struct skim *skim)
{
    size_t depth = 0;
    struct str raw;
    bool escaped;
    while (skim->p < skim->end) {
        char c = *skim->p++;
        if (c == '"') {
            if (!skip_string(skim, &raw, &escaped)) {
                return false;
            }
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return true;
        }
    }
    return false;
}

/* Any value; *ret_raw is a string's text or a scalar's, empty for containers. */
static bool skip_value(struct skim *skim, struct str *ret_raw, bool *ret_escaped)
{
    *ret_raw = STR_NONE;
    *ret_escaped = false;
    if (skim->p >= skim->end) {
        return false;
    }
    if (*skim->p == '"') {
        skim->p++;
        return skip_string(skim, ret_raw, ret_escaped);
    }
    if (*skim->p == '{' || *skim->p == '[') {
        return skip_container(skim);
    }
    const char *start = skim->p;
    while (skim->p < skim->end && *skim->p != ',' && *skim->p != '}' && *skim->p != ']') {
        skim->p++;
    }
    *ret_raw = str_at(start, (size_t)(skim->p - start));
    return skim->p > start;
}

/* Stands at '{' or after a member. 1: a member, its name read, p at its value; 0: the object ended,
 * p after it; -1: broken. */
static int next_member(struct skim *skim, struct str *ret_name)
{
    bool escaped;
    if (skim->p < skim->end && *skim->p == '}') {
        skim->p++;
        return 0;
    }
    if (skim->end - skim->p < 2) {
        return -1;
    }
    if (*skim->p == '{' && skim->p[1] == '}') {
        skim->p += 2;
        return 0;
    }
    if ((*skim->p != '{' && *skim->p != ',') || skim->p[1] != '"') {
        return -1;
    }
    skim->p += 2;
    if (!skip_string(skim, ret_name, &escaped) || skim->p >= skim->end || *skim->p != ':') {
        return -1;
    }
    skim->p++;
    return 1;
}

static struct object_span span_of(const struct skim *skim, struct str raw)
{
    return (struct object_span){(uint32_t)(raw.p - skim->start), (uint32_t)raw.n};
}

static bool index_labels(struct skim *skim, struct object_index *index)
{
    struct str key, value, before = STR("");
    bool escaped;
    int more = 0;
    while ((more = next_member(skim, &key)) > 0) {
        if (!skip_value(skim, &value, &escaped) ||
            (index->labels.count > 0 && str_cmp(before, key) >= 0)) {
            return false;
        }
        if (value.p == NULL || key.n > UINT16_MAX || value.n > UINT16_MAX) {
            continue; /* no label that validation would let through: not selectable */
        }
        *vec_push(&index->labels) = (struct object_label){
            .key_at = (uint32_t)(key.p - skim->start),
            .value_at = (uint32_t)(value.p - skim->start),
            .key_n = (uint16_t)key.n,
            .value_n = (uint16_t)value.n,
            .hash = object_label_hash(key, value),
        };
        before = key;
    }
    return more == 0;
}

static bool index_metadata(struct skim *skim, struct object_index *index)
{
    struct str name, raw;
    bool escaped;
    int more = 0;
    index->revision_at = (uint32_t)(skim->p + 1 - skim->start);
    while ((more = next_member(skim, &name)) > 0) {
        if (str_is(name, "labels")) {
            if (!index_labels(skim, index)) {
                return false;
            }
            continue;
        }
        if (!skip_value(skim, &raw, &escaped)) {
            return false;
        }
        struct object_span *span = str_is(name, "name")        ? &index->name
                                   : str_is(name, "namespace") ? &index->ns
                                   : str_is(name, "uid")       ? &index->uid
                                                               : NULL;
        if (span != NULL) {
            *span = span_of(skim, raw);
        }
        if (span != NULL || str_is(name, "generateName") || str_is(name, "selfLink")) {
            index->revision_at = (uint32_t)(skim->p - skim->start);
        }
        index->deleting = index->deleting || str_is(name, "deletionTimestamp");
    }
    return more == 0;
}

/* Selectors whose name is not where the value is. */
static const struct {
    const char *selector, *path;
} aliases[] = {
    {"source", "source.component"},
    {"status.successful", "status.succeeded"},
};

static struct str selector_path(const char *selector)
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (strcmp(selector, aliases[i].selector) == 0) {
            return str_of(aliases[i].path);
        }
    }
    return str_of(selector);
}

/* The selectors that may still be found below where the skim is: the next member of each path, and
 * what follows it (p NULL: nothing). */
struct wanted {
    struct str outer[OBJECT_SELECTORS_MAX], inner[OBJECT_SELECTORS_MAX];
    uint8_t field[OBJECT_SELECTORS_MAX]; /* which selector it is */
    size_t count;
};

static void want_path(struct wanted *wanted, struct str path, size_t field)
{
    size_t i = wanted->count++;
    wanted->outer[i] = str_cut(path, '.', &wanted->inner[i]);
    wanted->field[i] = (uint8_t)field;
}

static void want(const struct api_resource *resource, struct wanted *wanted)
{
    const char *const *selectors = resource->field_selectors;
    wanted->count = 0;
    while (selectors != NULL && selectors[wanted->count] != NULL &&
           wanted->count < OBJECT_SELECTORS_MAX) {
        want_path(wanted, selector_path(selectors[wanted->count]), wanted->count);
    }
}

/* Notes the value of the member `name` where a path ends there. */
static void note_field(const struct wanted *wanted, const struct skim *skim, struct str name,
                       struct str raw, bool escaped, struct object_index *index)
{
    for (size_t i = 0; i < wanted->count && raw.p != NULL; i++) {
        if (wanted->inner[i].p == NULL && str_eq(wanted->outer[i], name)) {
            index->fields[wanted->field[i]] = span_of(skim, raw);
            index->field_escaped[wanted->field[i]] = escaped;
        }
    }
}

/* What is wanted inside the member `name`. */
static void want_inside(const struct wanted *wanted, struct str name, struct wanted *ret)
{
    ret->count = 0;
    for (size_t i = 0; i < wanted->count; i++) {
        if (wanted->inner[i].p != NULL && str_eq(wanted->outer[i], name)) {
            want_path(ret, wanted->inner[i], wanted->field[i]);
        }
    }
}

/* As deep as the longest path. */
static bool index_value(const struct wanted *wanted, struct skim *skim, struct str name,
                        struct object_index *index)
{
    struct str inner, raw;
    bool escaped;
    if (skim->p < skim->end && *skim->p == '{') {
        struct wanted inside;
        want_inside(wanted, name, &inside);
        if (inside.count > 0) {
            int more = 0;
            while ((more = next_member(skim, &inner)) > 0) {
                if (!index_value(&inside, skim, inner, index)) {
                    return false;
                }
            }
            return more == 0;
        }
    }
    if (!skip_value(skim, &raw, &escaped)) {
        return false;
    }
    note_field(wanted, skim, name, raw, escaped, index);
    return true;
}

static bool index_member(const struct wanted *wanted, struct skim *skim, struct str name,
                         struct object_index *index)
{
    bool metadata = str_is(name, "metadata") && skim->p < skim->end && *skim->p == '{';
    return metadata ? index_metadata(skim, index) : index_value(wanted, skim, name, index);
}

bool object_index_make(const struct api_resource *resource, struct str json,
                       struct object_index *ret_index)
{
    *ret_index = (struct object_index){0};
    struct skim skim = {json.p, json.p, json.p + json.n};
    struct str name, raw;
    bool escaped;
    const struct api_resource *storage = resource->storage;
    static const char *const head[2] = {"kind", "apiVersion"};
    struct wanted wanted;
    want(storage, &wanted);
    for (int i = 0; i < 2; i++) {
        if (next_member(&skim, &name) != 1 || !str_is(name, head[i]) ||
            !skip_value(&skim, &raw, &escaped)) {
            return false;
        }
        struct str rest = raw;
        if (i == 1 && storage->group[0] != '\0') {
            struct str group = str_cut(raw, '/', &rest);
            if (!str_is(group, storage->group)) {
                return false;
            }
        }
        if (!str_is(rest, i == 0 ? storage->kind : storage->version)) {
            return false;
        }
    }
    ret_index->type_end = (uint32_t)(skim.p + 1 - skim.start);
    int more = 0;
    while ((more = next_member(&skim, &name)) > 0) {
        if (!index_member(&wanted, &skim, name, ret_index)) {
            return false;
        }
    }
    return more == 0 && skim.p == skim.end && ret_index->revision_at > 0;
}
