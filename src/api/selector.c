/* selector.c: label and field selectors: text or metav1.LabelSelector to terms, terms against
 * labels.
 *
 * A selector is a conjunction of terms. Against an object at rest a term first asks the object's
 * bloom bits, then the sorted label array; nothing is allocated when matching.
 *
 * Left to others: building object.labels and object.fields (object.c).
 */
#include "api/selector.h"

#include <stdlib.h>

#include "api/names.h"

enum { TERMS_MAX = 1024, VALUES_MAX = 4096 };

enum token {
    TOKEN_END,
    TOKEN_COMMA,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_NOT,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_GT,
    TOKEN_LT,
    TOKEN_IN,
    TOKEN_NOT_IN,
    TOKEN_WORD
};

struct lexer {
    struct arena *arena;
    struct str text;
    size_t at;
    enum token token;
    struct str word; /* the token's text */
};

static bool is_special(char c)
{
    return c == '=' || c == '!' || c == '(' || c == ')' || c == ',' || c == '>' || c == '<';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum token special_token(struct lexer *lexer)
{
    const char *p = lexer->text.p + lexer->at;
    bool doubled = lexer->at + 1 < lexer->text.n && p[1] == '=' && (p[0] == '=' || p[0] == '!');
    lexer->word = str_at(p, doubled ? 2 : 1);
    lexer->at += lexer->word.n;
    switch (p[0]) {
    case '=':
        return TOKEN_EQ;
    case '!':
        return doubled ? TOKEN_NE : TOKEN_NOT;
    case '(':
        return TOKEN_OPEN;
    case ')':
        return TOKEN_CLOSE;
    case '>':
        return TOKEN_GT;
    case '<':
        return TOKEN_LT;
    default:
        return TOKEN_COMMA;
    }
}

/* Moves on to the next token. `values`: "in" and "notin" are ordinary words there. */
static void advance(struct lexer *lexer, bool values)
{
    while (lexer->at < lexer->text.n && is_blank(lexer->text.p[lexer->at])) {
        lexer->at++;
    }
    if (lexer->at >= lexer->text.n) {
        lexer->token = TOKEN_END;
        lexer->word = STR("");
        return;
    }
    if (is_special(lexer->text.p[lexer->at])) {
        lexer->token = special_token(lexer);
        return;
    }
    size_t start = lexer->at;
    while (lexer->at < lexer->text.n && !is_special(lexer->text.p[lexer->at]) &&
           !is_blank(lexer->text.p[lexer->at])) {
        lexer->at++;
    }
    lexer->word = str_at(lexer->text.p + start, lexer->at - start);
    lexer->token = TOKEN_WORD;
    if (!values && str_is(lexer->word, "in")) {
        lexer->token = TOKEN_IN;
    } else if (!values && str_is(lexer->word, "notin")) {
        lexer->token = TOKEN_NOT_IN;
    }
}

static int unexpected(const struct lexer *lexer, const char *expected, struct err *err)
{
    return err_set(err, ERR_BAD_REQUEST, "unable to parse requirement: found '%.*s', expected: %s",
                   STR_ARG(lexer->word), expected);
}

static int compare_values(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static struct str *value_room(struct arena *arena, struct selector_term *term)
{
    if ((term->value_count & (term->value_count - 1)) == 0) { /* full at each power of two */
        size_t cap = term->value_count == 0 ? 1 : term->value_count * 2;
        struct str *grown = arena_array(arena, struct str, cap);
        if (term->value_count > 0) {
            memcpy(grown, term->values, term->value_count * sizeof *grown);
        }
        term->values = grown;
    }
    return &term->values[term->value_count++];
}

static int bad_key(struct str key, struct err *err)
{
    struct name_complaints complaints;
    name_check(NAME_LABEL_KEY, key, &complaints);
    return err_set(err, ERR_BAD_REQUEST,
                   "unable to parse requirement: key: Invalid value: \"%.*s\": %s", STR_ARG(key),
                   complaints.items[0]);
}

/* Checks a finished term and puts its values in order. */
static int term_finish(struct selector_term *term, struct err *err)
{
    if (!name_is(NAME_LABEL_KEY, term->key)) {
        return bad_key(term->key, err);
    }
    if ((term->op == SELECTOR_IN || term->op == SELECTOR_NOT_IN) && term->value_count == 0) {
        return err_set(err, ERR_BAD_REQUEST,
                       "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' "
                       "operators, values set can't be empty");
    }
    for (size_t i = 0; i < term->value_count; i++) {
        struct name_complaints complaints;
        int64_t number;
        if (!name_check(NAME_LABEL_VALUE, term->values[i], &complaints)) {
            return err_set(
                err, ERR_BAD_REQUEST,
                "unable to parse requirement: values[%zu][%.*s]: Invalid value: \"%.*s\": %s", i,
                STR_ARG(term->key), STR_ARG(term->values[i]), complaints.items[0]);
        }
        if ((term->op == SELECTOR_GT || term->op == SELECTOR_LT) &&
            !str_i64(term->values[i], &number)) {
            return err_set(err, ERR_BAD_REQUEST,
                           "unable to parse requirement: values[%zu]: Invalid value: \"%.*s\": for "
                           "'Gt', 'Lt' operators, the value must be an integer",
                           i, STR_ARG(term->values[i]));
        }
    }
    if (term->value_count > 1) {
        qsort(term->values, term->value_count, sizeof *term->values, compare_values);
    }
    if (term->op == SELECTOR_IN && term->value_count == 1) {
        term->bloom = object_label_bloom(term->key, term->values[0]);
    }
    return 0;
}

/* "(a,b,)": empty values count. The lexer is at the opening bracket. */
static int parse_set(struct lexer *lexer, struct selector_term *term, struct err *err)
{
    if (lexer->token != TOKEN_OPEN) {
        return err_set(err, ERR_BAD_REQUEST,
                       "unable to parse requirement: found '%.*s' expected: '('",
                       STR_ARG(lexer->word));
    }
    advance(lexer, true);
    if (lexer->token == TOKEN_CLOSE) {
        advance(lexer, true);
        return 0;
    }
    for (;;) {
        if (term->value_count >= VALUES_MAX) {
            return err_set(err, ERR_BAD_REQUEST, "unable to parse requirement: too many values");
        }
        if (lexer->token == TOKEN_WORD) {
            *value_room(lexer->arena, term) = lexer->word;
            advance(lexer, true);
        } else if (lexer->token == TOKEN_COMMA || lexer->token == TOKEN_CLOSE) {
            *value_room(lexer->arena, term) = STR("");
        } else {
            return unexpected(lexer, "',', ')' or identifier", err);
        }
        if (lexer->token == TOKEN_CLOSE) {
            advance(lexer, true);
            return 0;
        }
        if (lexer->token != TOKEN_COMMA) {
            return unexpected(lexer, "',' or ')'", err);
        }
        advance(lexer, true);
    }
}

static int parse_exact(struct lexer *lexer, struct selector_term *term, struct err *err)
{
    advance(lexer, true);
    if (lexer->token == TOKEN_END || lexer->token == TOKEN_COMMA) {
        *value_room(lexer->arena, term) = STR("");
        return 0;
    }
    if (lexer->token != TOKEN_WORD) {
        return unexpected(lexer, "',', or identifier", err);
    }
    *value_room(lexer->arena, term) = lexer->word;
    advance(lexer, true);
    return 0;
}

static int parse_operator(struct lexer *lexer, struct selector_term *term, struct err *err)
{
    switch (lexer->token) {
    case TOKEN_END:
    case TOKEN_COMMA:
        term->op = SELECTOR_EXISTS;
        return 0;
    case TOKEN_IN:
    case TOKEN_NOT_IN:
        term->op = lexer->token == TOKEN_IN ? SELECTOR_IN : SELECTOR_NOT_IN;
        advance(lexer, true);
        return parse_set(lexer, term, err);
    case TOKEN_EQ:
        term->op = SELECTOR_IN;
        return parse_exact(lexer, term, err);
    case TOKEN_NE:
        term->op = SELECTOR_NOT_IN;
        return parse_exact(lexer, term, err);
    case TOKEN_GT:
    case TOKEN_LT:
        term->op = lexer->token == TOKEN_GT ? SELECTOR_GT : SELECTOR_LT;
        return parse_exact(lexer, term, err);
    default:
        return unexpected(lexer, "in, notin, =, ==, !=, gt, lt", err);
    }
}

static int parse_term(struct lexer *lexer, struct selector_term *term, struct err *err)
{
    bool negated = lexer->token == TOKEN_NOT;
    if (negated) {
        advance(lexer, true);
    }
    if (lexer->token != TOKEN_WORD) {
        return unexpected(lexer, "identifier", err);
    }
    term->key = lexer->word;
    advance(lexer, false);
    if (!negated) {
        int rc = parse_operator(lexer, term, err);
        return rc != 0 ? rc : term_finish(term, err);
    }
    if (lexer->token != TOKEN_END && lexer->token != TOKEN_COMMA) {
        return unexpected(lexer, "',' or 'end of string'", err);
    }
    term->op = SELECTOR_NOT_EXISTS;
    return term_finish(term, err);
}

static struct selector_term *term_room(struct arena *arena, struct selector *selector)
{
    if ((selector->count & (selector->count - 1)) == 0) {
        size_t cap = selector->count == 0 ? 1 : selector->count * 2;
        struct selector_term *grown = arena_array(arena, struct selector_term, cap);
        if (selector->count > 0) {
            memcpy(grown, selector->terms, selector->count * sizeof *grown);
        }
        selector->terms = grown;
    }
    return &selector->terms[selector->count++];
}

int selector_parse(struct arena *arena, struct str text, struct selector *ret_selector,
                   struct err *err)
{
    struct lexer lexer = {.arena = arena, .text = text};
    struct selector selector = {0};
    for (advance(&lexer, true); lexer.token != TOKEN_END;) {
        if (lexer.token != TOKEN_WORD && lexer.token != TOKEN_NOT) {
            return unexpected(&lexer, "!, identifier, or 'end of string'", err);
        }
        if (selector.count >= TERMS_MAX) {
            return err_set(err, ERR_BAD_REQUEST, "unable to parse requirement: too many terms");
        }
        int rc = parse_term(&lexer, term_room(arena, &selector), err);
        if (rc != 0) {
            return rc;
        }
        if (lexer.token == TOKEN_END) {
            break;
        }
        if (lexer.token != TOKEN_COMMA) {
            return unexpected(&lexer, "',' or 'end of string'", err);
        }
        advance(&lexer, true);
        if (lexer.token != TOKEN_WORD && lexer.token != TOKEN_NOT) {
            return unexpected(&lexer, "identifier after ','", err);
        }
    }
    *ret_selector = selector;
    return 0;
}

static int expression_to_term(struct arena *arena, const struct val *expression,
                              struct selector_term *term, struct err *err)
{
    struct str op = val_text(val_get(expression, "operator"));
    const struct val *values = val_get(expression, "values");
    term->key = val_text(val_get(expression, "key"));
    if (str_is(op, "In")) {
        term->op = SELECTOR_IN;
    } else if (str_is(op, "NotIn")) {
        term->op = SELECTOR_NOT_IN;
    } else if (str_is(op, "Exists")) {
        term->op = SELECTOR_EXISTS;
    } else if (str_is(op, "DoesNotExist")) {
        term->op = SELECTOR_NOT_EXISTS;
    } else {
        return err_set(err, ERR_BAD_REQUEST, "\"%.*s\" is not a valid label selector operator",
                       STR_ARG(op));
    }
    if (term->op == SELECTOR_EXISTS || term->op == SELECTOR_NOT_EXISTS) {
        if (val_count(values) > 0) {
            return err_set(err, ERR_BAD_REQUEST,
                           "values: values set must be empty for exists and does not exist");
        }
        return term_finish(term, err);
    }
    VAL_EACH (value, values) {
        if (term->value_count >= VALUES_MAX) {
            return err_set(err, ERR_BAD_REQUEST, "values: too many");
        }
        *value_room(arena, term) = val_text(value);
    }
    return term_finish(term, err);
}

int selector_from_val(struct arena *arena, const struct val *label_selector,
                      struct selector *ret_selector, struct err *err)
{
    struct selector selector = {.nothing = val_absent(label_selector)};
    VAL_EACH (label, val_get(label_selector, "matchLabels")) {
        struct selector_term *term = term_room(arena, &selector);
        term->op = SELECTOR_IN;
        term->key = label->key;
        *value_room(arena, term) = val_text(label);
        int rc = term_finish(term, err);
        if (rc != 0) {
            return rc;
        }
    }
    VAL_EACH (expression, val_get(label_selector, "matchExpressions")) {
        int rc = expression_to_term(arena, expression, term_room(arena, &selector), err);
        if (rc != 0) {
            return rc;
        }
    }
    *ret_selector = selector;
    return 0;
}

void selector_from_map(struct arena *arena, const struct val *map, struct selector *ret_selector)
{
    struct selector selector = {.nothing = val_count(map) == 0};
    VAL_EACH (label, map) {
        struct selector_term *term = term_room(arena, &selector);
        term->op = SELECTOR_IN;
        term->key = label->key;
        *value_room(arena, term) = val_text(label);
        term->bloom = object_label_bloom(term->key, term->values[0]);
    }
    *ret_selector = selector;
}

bool selector_empty(const struct selector *selector)
{
    return selector->count == 0 && !selector->nothing;
}

static bool has_value(const struct selector_term *term, struct str value)
{
    size_t low = 0, high = term->value_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(value, term->values[middle]);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return false;
}

static bool compares(const struct selector_term *term, struct str value)
{
    int64_t have, want;
    if (!str_i64(value, &have) || !str_i64(term->values[0], &want)) {
        return false;
    }
    return term->op == SELECTOR_GT ? have > want : have < want;
}

/* `value`.p is NULL when the label is not there. */
static bool term_matches(const struct selector_term *term, struct str value)
{
    bool present = value.p != NULL;
    switch (term->op) {
    case SELECTOR_IN:
        return present && has_value(term, value);
    case SELECTOR_NOT_IN:
        return !present || !has_value(term, value);
    case SELECTOR_EXISTS:
        return present;
    case SELECTOR_NOT_EXISTS:
        return !present;
    case SELECTOR_GT:
    case SELECTOR_LT:
        return present && compares(term, value);
    }
    return false;
}

static struct str label_value(const struct object *object, struct str key)
{
    for (uint32_t i = 0; i < object->label_count; i++) {
        const struct object_label *label = &object->labels[i];
        if (label->key_n == key.n && memcmp(object->json + label->key_at, key.p, key.n) == 0) {
            return str_at(object->json + label->value_at, label->value_n);
        }
    }
    return STR_NONE;
}

bool selector_matches(const struct selector *selector, const struct object *object)
{
    if (selector->nothing) {
        return false;
    }
    for (size_t i = 0; i < selector->count; i++) {
        if ((selector->terms[i].bloom & ~object->label_bloom) != 0) {
            return false;
        }
    }
    for (size_t i = 0; i < selector->count; i++) {
        const struct selector_term *term = &selector->terms[i];
        if (!term_matches(term, label_value(object, term->key))) {
            return false;
        }
    }
    return true;
}

bool selector_matches_val(const struct selector *selector, const struct val *labels)
{
    if (selector->nothing) {
        return false;
    }
    for (size_t i = 0; i < selector->count; i++) {
        const struct selector_term *term = &selector->terms[i];
        const struct val *label = val_get_str(labels, term->key);
        struct str value = val_is(label, VAL_STRING) ? val_text(label) : STR_NONE;
        if (val_is(label, VAL_STRING) && value.p == NULL) {
            value = STR("");
        }
        if (!term_matches(term, value)) {
            return false;
        }
    }
    return true;
}
