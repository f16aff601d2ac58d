/* field_set.c: union and difference of FieldsV1 sets. See field_set.h.
 *
 * Members are sorted, so both are merges of two lists. Recursion is bounded by the depth of what
 * the parser lets in.
 */
#include "api/field_set.h"

#include <stdlib.h>

static bool includes_itself(const struct val *node)
{
    return field_set_includes_itself(node);
}

static const struct val *first_child(const struct val *node)
{
    return field_set_first(node);
}

/* ---- order of elements ---- */

static bool is_number_char(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '.' || c == 'e' || c == 'E' || c == '+';
}

/* Whether the byte at `at` is outside of JSON strings. */
static bool outside_strings(struct str element, size_t at)
{
    bool outside = true;
    for (size_t i = 2; i < at; i++) {
        if (element.p[i] == '"') {
            outside = !outside;
        } else if (element.p[i] == '\\') {
            i++;
        }
    }
    return outside;
}

static double number_at(struct str element, size_t at)
{
    double value = 0, scale = 1;
    bool negative = at < element.n && element.p[at] == '-';
    bool fraction = false;
    for (at += negative; at < element.n; at++) {
        char c = element.p[at];
        if (c == '.') {
            fraction = true;
        } else if (c >= '0' && c <= '9') {
            value = value * 10 + (c - '0');
            scale *= fraction ? 10 : 1;
        } else {
            break;
        }
    }
    return (negative ? -value : value) / scale;
}

/* Two keys or values: by their fields, numbers by value (80 before 443), a text that ends before
 * one that goes on. */
static int cmp_json(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n, i = 2;
    while (i < n && a.p[i] == b.p[i]) {
        i++;
    }
    if (i == n) {
        return a.n < b.n ? -1 : a.n > b.n ? 1 : 0;
    }
    size_t start = i;
    while (start > 2 && is_number_char(a.p[start - 1])) {
        start--;
    }
    if (outside_strings(a, start) && is_number_char(a.p[start]) && is_number_char(b.p[start])) {
        double x = number_at(a, start), y = number_at(b, start);
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    if (a.p[i] == '}' || b.p[i] == '}' || a.p[i] == '"' || b.p[i] == '"') {
        bool ends = a.p[i] == '}' || (a.p[i] == '"' && b.p[i] != '}');
        return ends ? -1 : 1;
    }
    return (unsigned char)a.p[i] < (unsigned char)b.p[i] ? -1 : 1;
}

static int rank(char kind)
{
    switch (kind) {
    case 'f':
        return 0;
    case 'k':
        return 1;
    case 'v':
        return 2;
    default:
        return 3;
    }
}

int field_element_cmp(struct str a, struct str b)
{
    if (a.n < 2 || b.n < 2) { /* "." comes first */
        return str_cmp(a, b);
    }
    if (a.p[0] != b.p[0]) {
        return rank(a.p[0]) - rank(b.p[0]);
    }
    return a.p[0] == 'k' || a.p[0] == 'v' ? cmp_json(a, b) : str_cmp(a, b);
}

/* ---- making ---- */

struct val *field_set_child(struct arena *arena, struct val *node, struct str element)
{
    struct val *child = val_new(arena, VAL_OBJECT);
    child->key = element;
    return val_append(node, child);
}

static int by_key(const void *a, const void *b)
{
    return field_element_cmp((*(struct val *const *)a)->key, (*(struct val *const *)b)->key);
}

static void sort_members(struct arena *arena, struct val *node)
{
    bool sorted = true;
    for (const struct val *it = node->child; it != NULL && it->next != NULL; it = it->next) {
        sorted = sorted && field_element_cmp(it->key, it->next->key) <= 0;
    }
    if (sorted) {
        return;
    }
    uint32_t count = 0;
    struct val **members = arena_array(arena, struct val *, node->count);
    VAL_EACH (it, node) {
        members[count++] = it;
    }
    qsort(members, count, sizeof(struct val *), by_key);
    node->child = node->last = NULL;
    node->count = 0;
    for (uint32_t i = 0; i < count; i++) {
        val_append(node, members[i]);
    }
}

struct val *field_set_finish(struct arena *arena, struct val *node, bool included)
{
    if (node->count == 0) {
        return included ? node : NULL;
    }
    sort_members(arena, node);
    if (included) {
        struct val *self = val_new(arena, VAL_OBJECT);
        self->key = STR(".");
        val_insert_after(node, NULL, self);
    }
    return node;
}

/* The same node under a list of its own: nodes are linked to their siblings, so they cannot be
 * shared as they are. */
static struct val *relink(struct arena *arena, const struct val *node)
{
    struct val *copy = val_new(arena, VAL_OBJECT);
    *copy = *node;
    copy->next = NULL;
    return copy;
}

static struct val *new_like(struct arena *arena, const struct val *node, bool included)
{
    struct val *made = val_new(arena, VAL_OBJECT);
    made->key = node->key;
    if (included) {
        field_set_child(arena, made, STR("."));
    }
    return made;
}

/* {".":{}} is written {}. */
static struct val *tidy(struct val *node)
{
    if (node->count == 1 && str_is(node->child->key, ".")) {
        node->child = node->last = NULL;
        node->count = 0;
    }
    return node;
}

struct val *field_set_union(struct arena *arena, struct val *a, struct val *b)
{
    if (a == NULL || b == NULL) {
        return a != NULL ? a : b;
    }
    struct val *made = new_like(arena, a, includes_itself(a) || includes_itself(b));
    const struct val *x = first_child(a), *y = first_child(b);
    while (x != NULL || y != NULL) {
        int order = x == NULL ? 1 : y == NULL ? -1 : field_element_cmp(x->key, y->key);
        struct val *child = order < 0   ? relink(arena, x)
                            : order > 0 ? relink(arena, y)
                                        : field_set_union(arena, (struct val *)x, (struct val *)y);
        val_append(made, child);
        x = order <= 0 ? x->next : x;
        y = order >= 0 ? y->next : y;
    }
    return tidy(made);
}

struct val *field_set_difference(struct arena *arena, struct val *a, const struct val *b)
{
    if (a == NULL || b == NULL) {
        return a;
    }
    bool included = includes_itself(a) && !includes_itself(b);
    struct val *made = new_like(arena, a, included);
    const struct val *y = first_child(b);
    for (const struct val *x = first_child(a); x != NULL; x = x->next) {
        while (y != NULL && field_element_cmp(y->key, x->key) < 0) {
            y = y->next;
        }
        bool same = y != NULL && str_eq(y->key, x->key);
        struct val *child =
            same ? field_set_difference(arena, (struct val *)x, y) : relink(arena, x);
        if (child == x) {
            child = relink(arena, x);
        }
        if (child != NULL) {
            val_append(made, child);
        }
    }
    if (made->count == 0) {
        return NULL;
    }
    return tidy(made);
}

struct val *field_set_intersection(struct arena *arena, const struct val *a, const struct val *b)
{
    if (a == NULL || b == NULL) {
        return NULL;
    }
    bool included = includes_itself(a) && includes_itself(b);
    struct val *made = new_like(arena, a, included);
    const struct val *x = first_child(a), *y = first_child(b);
    while (x != NULL && y != NULL) {
        int order = field_element_cmp(x->key, y->key);
        struct val *child = order == 0 ? field_set_intersection(arena, x, y) : NULL;
        if (child != NULL) {
            val_append(made, child);
        }
        x = order <= 0 ? x->next : x;
        y = order >= 0 ? y->next : y;
    }
    return made->count == 0 ? NULL : tidy(made);
}

bool field_set_contains(const struct val *b, const struct val *a)
{
    if (a == NULL || b == NULL) {
        return a == NULL;
    }
    if (includes_itself(a) && !includes_itself(b)) {
        return false;
    }
    const struct val *y = first_child(b);
    for (const struct val *x = first_child(a); x != NULL; x = x->next) {
        while (y != NULL && field_element_cmp(y->key, x->key) < 0) {
            y = y->next;
        }
        if (y == NULL || !str_eq(y->key, x->key) || !field_set_contains(y, x)) {
            return false;
        }
    }
    return true;
}

bool field_set_equal(const struct val *a, const struct val *b)
{
    return a == b || (a != NULL && b != NULL && val_equal(a, b));
}

/* An element of a kind that a version to come may know; it is dropped. */
static bool is_foreign(struct str element)
{
    return element.n >= 2 && strchr("fkvi", element.p[0]) == NULL;
}

static bool is_sorted(const struct val *node)
{
    VAL_EACH (it, node) {
        if (is_foreign(it->key) ||
            (it->next != NULL && field_element_cmp(it->key, it->next->key) >= 0) ||
            !is_sorted(it)) {
            return false;
        }
    }
    return true;
}

static void sort_deep(struct arena *arena, struct val *node)
{
    for (struct val *it = node->child, *next; it != NULL; it = next) {
        next = it->next;
        if (is_foreign(it->key)) {
            val_remove(node, it);
        }
    }
    sort_members(arena, node);
    struct val *it = node->child;
    while (it != NULL && it->next != NULL) {
        if (str_eq(it->key, it->next->key)) {
            val_remove(node, it->next); /* twice the same: the first one counts */
        } else {
            it = it->next;
        }
    }
    VAL_EACH (member, node) {
        sort_deep(arena, member);
    }
}

struct val *field_set_sorted(struct arena *arena, struct val *set)
{
    if (set == NULL || is_sorted(set)) {
        return set;
    }
    struct val *copy = val_copy(arena, set);
    sort_deep(arena, copy);
    return copy;
}

/* Keys and values are JSON; what starts with another letter is of a version to come. */
static bool element_reads(struct str element)
{
    struct str text = str_from(element, 2);
    if (element.p[0] != 'k' && element.p[0] != 'v') {
        return true;
    }
    bool plain = text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"' &&
                 memchr(text.p + 1, '"', text.n - 2) == NULL &&
                 memchr(text.p, '\\', text.n) == NULL;
    bool object = text.n >= 2 && text.p[0] == '{' && text.p[text.n - 1] == '}';
    return plain || object || (element.p[0] == 'v' && text.n > 0 && text.p[0] != '{');
}

bool field_set_is_valid(const struct val *fields)
{
    if (!val_is(fields, VAL_OBJECT)) {
        return false;
    }
    VAL_EACH (it, fields) {
        bool self = str_is(it->key, ".");
        bool element = it->key.n >= 2 && it->key.p[1] == ':' && element_reads(it->key);
        if (!(self || element) || !val_is(it, VAL_OBJECT) || !field_set_is_valid(it)) {
            return false;
        }
    }
    return true;
}
