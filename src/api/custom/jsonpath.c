/* jsonpath.c: see jsonpath.h. A path is a list of steps; each step turns a list of values into the
 * next one. Lists are bounded, since only the first value counts in the end.
 */
#include "api/custom/jsonpath.h"

enum { STEPS_MAX = 64, VALUES_MAX = 1000, NESTED_MAX = 4 };
enum step_kind {
    STEP_FIELD,
    STEP_ALL,
    STEP_DEEP,
    STEP_SLICE,
    STEP_FIELDS,
    STEP_INDEXES,
    STEP_FILTER
};
enum compare {
    COMPARE_EXISTS,
    COMPARE_EQ,
    COMPARE_NE,
    COMPARE_LT,
    COMPARE_LE,
    COMPARE_GT,
    COMPARE_GE
};

struct operand {                 /* of a filter */
    const struct jsonpath *path; /* NULL: the literal */
    struct val literal;
};
struct step {
    enum step_kind kind;
    struct str *names; /* FIELD: one; FIELDS */
    int64_t *numbers;  /* INDEXES; SLICE: from, to, step */
    size_t count;
    bool has_from, has_to;
    enum compare compare;
    struct operand left, right;
};
struct jsonpath {
    struct step *steps;
    size_t count;
};

struct parser {
    struct arena *arena;
    const char *p, *end;
    struct err *err;
    int nested;
};
struct values {
    const struct val **items;
    size_t count;
};

static bool fail(struct parser *parser, const char *why)
{
    err_set(parser->err, ERR_INVALID, "%s", why);
    return false;
}

static bool at(const struct parser *parser, const char *text)
{
    return str_starts(str_at(parser->p, (size_t)(parser->end - parser->p)), str_of(text));
}

static void skip_space(struct parser *parser)
{
    while (parser->p < parser->end && (*parser->p == ' ' || *parser->p == '\t')) {
        parser->p++;
    }
}

/* ---- parsing ---- */

/* A bare name: up to what means something, a backslash keeps the next byte. */
static struct str bare_name(struct parser *parser)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    while (parser->p < parser->end && strchr(".[]{}()=!<>,| \t'\"?@$", *parser->p) == NULL) {
        parser->p += *parser->p == '\\' && parser->end - parser->p > 1;
        buf_char(&out, *parser->p++);
    }
    return str_copy_in(parser->arena, buf_view(&out));
}

static bool quoted(struct parser *parser, struct str *ret)
{
    char quote = *parser->p++;
    struct buf out BUF_CLEANUP = BUF_INIT;
    while (parser->p < parser->end && *parser->p != quote) {
        parser->p += *parser->p == '\\' && parser->end - parser->p > 1;
        buf_char(&out, *parser->p++);
    }
    if (parser->p >= parser->end) {
        return fail(parser, "unterminated quoted string");
    }
    parser->p++;
    *ret = str_copy_in(parser->arena, buf_view(&out));
    ret->p = ret->p != NULL ? ret->p : "";
    return true;
}

static bool integer(struct parser *parser, int64_t *ret)
{
    const char *from = parser->p;
    parser->p += parser->p < parser->end && *parser->p == '-';
    while (parser->p < parser->end && *parser->p >= '0' && *parser->p <= '9') {
        parser->p++;
    }
    return str_i64(str_at(from, (size_t)(parser->p - from)), ret);
}

static const struct jsonpath *parse_path(struct parser *parser, const char *stops);

static bool operand(struct parser *parser, struct operand *ret)
{
    static const struct {
        const char *name;
        enum val_type type;
    } words[] = {{"true", VAL_TRUE}, {"false", VAL_FALSE}, {"null", VAL_NULL}};
    skip_space(parser);
    if (parser->p >= parser->end) {
        return fail(parser, "unterminated filter");
    }
    if (*parser->p == '@' || *parser->p == '$') {
        parser->p++;
        ret->path = parse_path(parser, "=!<>) \t");
        return ret->path != NULL;
    }
    if (*parser->p == '\'' || *parser->p == '"') {
        ret->literal.type = VAL_STRING;
        return quoted(parser, &ret->literal.text);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (at(parser, words[i].name)) {
            parser->p += strlen(words[i].name);
            ret->literal.type = words[i].type;
            return true;
        }
    }
    const char *from = parser->p;
    while (parser->p < parser->end && strchr("0123456789+-.eE", *parser->p) != NULL) {
        parser->p++;
    }
    ret->literal.type = VAL_NUMBER;
    ret->literal.text = str_copy_in(parser->arena, str_at(from, (size_t)(parser->p - from)));
    return parser->p > from || fail(parser, "a path, a number or a quoted text should be here");
}

static bool filter(struct parser *parser, struct step *step) /* after "[?(" */
{
    static const char *const signs[] = {"", "==", "!=", "<=", "<", ">=", ">"};
    static const enum compare compares[] = {COMPARE_EXISTS, COMPARE_EQ, COMPARE_NE, COMPARE_LE,
                                            COMPARE_LT,     COMPARE_GE, COMPARE_GT};
    step->kind = STEP_FILTER;
    if (++parser->nested > NESTED_MAX) {
        return fail(parser, "filters are nested too deep");
    }
    if (!operand(parser, &step->left)) {
        return false;
    }
    skip_space(parser);
    for (size_t i = 1; i < sizeof signs / sizeof *signs && step->compare == COMPARE_EXISTS; i++) {
        if (at(parser, signs[i])) {
            parser->p += strlen(signs[i]);
            step->compare = compares[i];
        }
    }
    if (step->compare != COMPARE_EXISTS && !operand(parser, &step->right)) {
        return false;
    }
    skip_space(parser);
    if (!at(parser, ")]")) {
        return fail(parser, "unterminated filter");
    }
    parser->p += 2;
    parser->nested--;
    return true;
}

static bool names_in_brackets(struct parser *parser, struct step *step)
{
    step->kind = STEP_FIELDS;
    step->names = arena_array(parser->arena, struct str, STEPS_MAX);
    do {
        skip_space(parser);
        bool good = parser->p < parser->end && (*parser->p == '\'' || *parser->p == '"') &&
                    step->count < STEPS_MAX && quoted(parser, &step->names[step->count++]);
        if (!good) {
            return fail(parser, "a quoted name should be here");
        }
        skip_space(parser);
    } while (parser->p < parser->end && *parser->p == ',' && parser->p++);
    return true;
}

static bool numbers_in_brackets(struct parser *parser, struct step *step)
{
    step->numbers = arena_array(parser->arena, int64_t, STEPS_MAX);
    step->numbers[2] = 1;
    step->kind = STEP_INDEXES;
    for (size_t part = 0; step->count < STEPS_MAX; part++) {
        int64_t number = 0;
        skip_space(parser);
        bool there = integer(parser, &number);
        skip_space(parser);
        char next = parser->p < parser->end ? *parser->p : '\0';
        if (part == 0 && next == ':') {
            step->kind = STEP_SLICE;
        }
        if (step->kind == STEP_SLICE) {
            step->numbers[part < 3 ? part : 2] = there ? number : part == 2 ? 1 : 0;
            step->has_from = step->has_from || (part == 0 && there);
            step->has_to = step->has_to || (part == 1 && there);
            if (next != ':' || part == 2) {
                return step->numbers[2] > 0 || fail(parser, "a step of a slice must be positive");
            }
        } else if (!there) {
            return fail(parser, "a number, a quoted name, * or a filter should be here");
        } else {
            step->numbers[step->count++] = number;
            if (next != ',') {
                return true;
            }
        }
        parser->p++;
    }
    return fail(parser, "too many numbers");
}

static bool brackets(struct parser *parser, struct step *step)
{
    parser->p++;
    if (at(parser, "?(")) {
        parser->p += 2;
        return filter(parser, step);
    }
    bool good = true;
    skip_space(parser);
    if (at(parser, "*")) {
        parser->p++;
        step->kind = STEP_ALL;
    } else if (at(parser, "'") || at(parser, "\"")) {
        good = names_in_brackets(parser, step);
    } else {
        good = numbers_in_brackets(parser, step);
    }
    skip_space(parser);
    if (good && !at(parser, "]")) {
        return fail(parser, "a ] should be here");
    }
    parser->p += good;
    return good;
}

static bool one_step(struct parser *parser, struct step *step)
{
    if (*parser->p == '[') {
        return brackets(parser, step);
    }
    if (*parser->p != '.') {
        return fail(parser, "a path begins with a dot");
    }
    parser->p++;
    if (at(parser, ".")) {
        step->kind = STEP_DEEP; /* the next step follows without a dot of its own */
        return true;
    }
    if (at(parser, "[")) {
        return brackets(parser, step);
    }
    if (at(parser, "*")) {
        parser->p++;
        step->kind = STEP_ALL;
        return true;
    }
    step->kind = STEP_FIELD;
    step->names = arena_array(parser->arena, struct str, 1);
    step->names[0] = bare_name(parser);
    step->count = 1;
    return step->names[0].n > 0 || fail(parser, "a name should follow the dot");
}

static const struct jsonpath *parse_path(struct parser *parser, const char *stops)
{
    struct jsonpath *path = arena_new(parser->arena, struct jsonpath);
    path->steps = arena_array(parser->arena, struct step, STEPS_MAX);
    while (parser->p < parser->end && strchr(stops, *parser->p) == NULL) {
        if (path->count == STEPS_MAX) {
            fail(parser, "the path is too long");
            return NULL;
        }
        if (!one_step(parser, &path->steps[path->count])) {
            return NULL;
        }
        path->count++;
    }
    return path;
}

const struct jsonpath *jsonpath_new(struct arena *arena, struct str text, struct err *err)
{
    struct err ours = ERR_INIT;
    struct str inner = text;
    if (inner.n >= 2 && inner.p[0] == '{' && inner.p[inner.n - 1] == '}') {
        inner = str_at(inner.p + 1, inner.n - 2);
    }
    struct parser parser = {.arena = arena, .p = inner.p, .end = inner.p + inner.n, .err = &ours};
    if (inner.n > 0 && (inner.p[0] == '$' || inner.p[0] == '@')) {
        parser.p++;
    }
    const struct jsonpath *path = inner.n > 0 ? parse_path(&parser, "") : NULL;
    bool empty = path == NULL || (path->count == 0 && !str_is(inner, ".") && inner.n != 1);
    if (empty) {
        err_set(err, ERR_INVALID, "%s", ours.code != 0 ? ours.message : "the path is empty");
        return NULL;
    }
    return path;
}

const struct str *jsonpath_members(struct arena *arena, struct str text, struct err *err)
{
    const struct jsonpath *path = jsonpath_new(arena, text, err);
    if (path == NULL) {
        return NULL;
    }
    struct str *names = arena_array(arena, struct str, path->count + 1);
    for (size_t i = 0; i < path->count; i++) {
        const struct step *step = &path->steps[i];
        bool name = (step->kind == STEP_FIELD || step->kind == STEP_FIELDS) && step->count == 1;
        if (!name) {
            err_set(err, ERR_INVALID, "only names of members may be in it");
            return NULL;
        }
        names[i] = step->names[0];
    }
    return names;
}

/* ---- walking ---- */

static void add(struct values *values, const struct val *v)
{
    if (v != NULL && values->count < VALUES_MAX) {
        values->items[values->count++] = v;
    }
}

static struct values values_new(struct arena *arena)
{
    return (struct values){.items = arena_array(arena, const struct val *, VALUES_MAX)};
}

static void add_deep(struct values *out, const struct val *v)
{
    add(out, v);
    VAL_EACH (it, v) {
        if (out->count >= VALUES_MAX) {
            return;
        }
        if (it->type == VAL_OBJECT || it->type == VAL_ARRAY) {
            add_deep(out, it);
        }
    }
}

static void add_index(struct values *out, const struct val *v, int64_t index)
{
    index += index < 0 ? (int64_t)v->count : 0;
    if (v->type == VAL_ARRAY && index >= 0 && index < (int64_t)v->count) {
        add(out, val_at(v, (uint32_t)index));
    }
}

static void add_slice(struct values *out, const struct step *step, const struct val *v)
{
    int64_t n = v->count;
    int64_t from = step->has_from ? step->numbers[0] : 0, to = step->has_to ? step->numbers[1] : n;
    from += from < 0 ? n : 0;
    to += to < 0 ? n : 0;
    int64_t index = 0;
    VAL_EACH (it, v) {
        if (v->type == VAL_ARRAY && index >= from && index < to &&
            (index - from) % step->numbers[2] == 0) {
            add(out, it);
        }
        index++;
    }
}

static bool both_numbers(const struct val *a, const struct val *b, double *x, double *y)
{
    return val_is(a, VAL_NUMBER) && val_is(b, VAL_NUMBER) && str_double(a->text, x) &&
           str_double(b->text, y);
}

static bool holds(struct arena *arena, const struct step *step, const struct val *v)
{
    const struct val *left =
        step->left.path != NULL ? jsonpath_first(arena, step->left.path, v) : &step->left.literal;
    if (step->compare == COMPARE_EXISTS || left == NULL) {
        return left != NULL;
    }
    const struct val *right = step->right.path != NULL ? jsonpath_first(arena, step->right.path, v)
                                                       : &step->right.literal;
    double x = 0, y = 0;
    if (right == NULL) {
        return false;
    }
    int order;
    if (both_numbers(left, right, &x, &y)) {
        order = (x > y) - (x < y);
    } else if (val_is(left, VAL_STRING) && val_is(right, VAL_STRING)) {
        order = str_cmp(left->text, right->text);
    } else if (left->type == right->type) {
        order = 0;
    } else {
        return step->compare == COMPARE_NE;
    }
    switch (step->compare) {
    case COMPARE_EQ:
        return order == 0;
    case COMPARE_NE:
        return order != 0;
    case COMPARE_LT:
        return order < 0;
    case COMPARE_LE:
        return order <= 0;
    case COMPARE_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static void take(struct arena *arena, const struct step *step, const struct val *v,
                 struct values *out)
{
    switch (step->kind) {
    case STEP_FIELD:
    case STEP_FIELDS:
        for (size_t i = 0; i < step->count; i++) {
            add(out, val_get_str(v, step->names[i]));
        }
        break;
    case STEP_DEEP:
        add_deep(out, v);
        break;
    case STEP_SLICE:
        add_slice(out, step, v);
        break;
    case STEP_INDEXES:
        for (size_t i = 0; i < step->count; i++) {
            add_index(out, v, step->numbers[i]);
        }
        break;
    case STEP_ALL:
    case STEP_FILTER:
        VAL_EACH (it, v) {
            if (step->kind == STEP_ALL || (v->type == VAL_ARRAY && holds(arena, step, it))) {
                add(out, it);
            }
        }
        break;
    }
}

/* Most paths are names only: then there is no list. */
static const struct val *by_names(const struct jsonpath *path, const struct val *value,
                                  bool *ret_known)
{
    for (size_t i = 0; i < path->count; i++) {
        if (path->steps[i].kind != STEP_FIELD) {
            *ret_known = false;
            return NULL;
        }
        value = val_get_str(value, path->steps[i].names[0]);
    }
    *ret_known = true;
    return value;
}

const struct val *jsonpath_first(struct arena *arena, const struct jsonpath *path,
                                 const struct val *value)
{
    bool known = false;
    const struct val *found = by_names(path, value, &known);
    if (known) {
        return found;
    }
    struct values now = values_new(arena), next = values_new(arena);
    add(&now, value);
    for (size_t i = 0; i < path->count && now.count > 0; i++) {
        next.count = 0;
        for (size_t k = 0; k < now.count; k++) {
            take(arena, &path->steps[i], now.items[k], &next);
        }
        struct values swap = now;
        now = next;
        next = swap;
    }
    return now.count > 0 ? now.items[0] : NULL;
}
