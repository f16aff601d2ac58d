/* pattern.c: RE2's language, checked and put into PCRE2's. See pattern.h.
 *
 * One pass over the text writes what PCRE2 is to compile: every character that means something
 * goes through a table of what RE2 knows, so nothing of PCRE2's own language gets in by accident.
 * Classes are written as code points. Where the two differ, RE2 wins: \s has no vertical tab, $ is
 * the very end, \v is one character, groups do not capture.
 *
 * Matching backtracks, with a limit; a short text that reaches it is matched again by PCRE2's
 * breadth-first matcher, which does not backtrack.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "api/custom/pattern.h"

#include <pcre2.h>
#include <stdlib.h>

#include "api/json_int.h"
#include "base/mem.h"

enum {
    TEXT_MAX = 64 * 1024,
    REPEAT_MAX = 1000,
    DEPTH_MAX = 1000,
    STEPS_MAX = 50000,
    HEAP_KIB_MAX = 4096,
    BREADTH_TEXT_MAX = 1024
};

struct pattern {
    pcre2_code *code;
    char *text;
};

struct translator {
    const char *start, *p, *end;
    struct buf out;
    struct err *err;
    int weight;          /* of the last atom: product of its counted repeats */
    bool atom, repeated; /* something that can be repeated stands before; it has been */
    int weights[DEPTH_MAX];
    int depth;
};

static bool fail(struct translator *t, const char *why, struct str what)
{
    err_set(t->err, ERR_INVALID, "error parsing regexp: %s: `%.*s`", why, STR_ARG(what));
    return false;
}

static struct str rest_of(const struct translator *t, const char *from)
{
    return str_at(from, (size_t)(t->end - from));
}

static struct str since(const struct translator *t, const char *from)
{
    return str_at(from, (size_t)(t->p - from));
}

static void atom(struct translator *t)
{
    t->atom = true;
    t->repeated = false;
    t->weight = 1;
}

static void put_point(struct translator *t, uint32_t c)
{
    buf_printf(&t->out, "\\x{%x}", (unsigned)c);
}

/* The next code point; the text is valid UTF-8, which the decoder has checked. */
static uint32_t next_point(struct translator *t)
{
    unsigned char c = (unsigned char)*t->p++;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    uint32_t point = more == 0 ? c : c & (0x3fu >> more);
    for (; more > 0 && t->p < t->end; more--) {
        point = point << 6 | ((unsigned char)*t->p++ & 0x3f);
    }
    return point;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* After "\x". */
static bool hex_escape(struct translator *t, const char *from, uint32_t *ret)
{
    uint32_t value = 0;
    int digits = 0;
    bool braces = t->p < t->end && *t->p == '{';
    t->p += braces;
    while (t->p < t->end && hex_of(*t->p) >= 0 && (braces || digits < 2) && value <= 0x10ffff) {
        value = value * 16 + (uint32_t)hex_of(*t->p++);
        digits++;
    }
    bool closed = !braces || (t->p < t->end && *t->p++ == '}');
    if (!closed || digits == 0 || (!braces && digits != 2) || value > 0x10ffff ||
        (value >= 0xd800 && value < 0xe000)) {
        return fail(t, "invalid escape sequence", since(t, from));
    }
    *ret = value;
    return true;
}

/* One character after a backslash; t->p is behind the backslash. */
static bool char_escape(struct translator *t, const char *from, uint32_t *ret)
{
    static const char names[] = "afnrtv", values[] = "\a\f\n\r\t\v";
    char c = *t->p;
    const char *named = c != '\0' ? strchr(names, c) : NULL;
    if (c >= '0' && c <= '7') {
        bool octal = c == '0' || (t->end - t->p > 1 && t->p[1] >= '0' && t->p[1] <= '7');
        if (!octal) {
            t->p++;
            return fail(t, "invalid escape sequence", since(t, from)); /* a backreference */
        }
        *ret = 0;
        for (int i = 0; i < 3 && t->p < t->end && *t->p >= '0' && *t->p <= '7'; i++) {
            *ret = *ret * 8 + (uint32_t)(*t->p++ - '0');
        }
        return true;
    }
    if (c == 'x') {
        t->p++;
        return hex_escape(t, from, ret);
    }
    if (named != NULL) {
        t->p++;
        *ret = (unsigned char)values[named - names];
        return true;
    }
    if ((unsigned char)c < 0x80 && !is_alnum(c)) {
        t->p++;
        *ret = (unsigned char)c;
        return true;
    }
    next_point(t);
    return fail(t, "invalid escape sequence", since(t, from));
}

/* \d \s \w and their opposites, as members of a class. */
static bool put_perl_class(struct translator *t, char c)
{
    static const struct {
        char name;
        const char *members;
    } classes[] = {
        {'d', "0-9"},
        {'D', "\\x{0}-\\x{2f}\\x{3a}-\\x{10ffff}"},
        {'s', "\\x{9}\\x{a}\\x{c}\\x{d}\\x{20}"},
        {'S', "\\x{0}-\\x{8}\\x{b}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}"},
        {'w', "0-9A-Za-z_"},
        {'W', "\\x{0}-\\x{2f}\\x{3a}-\\x{40}\\x{5b}-\\x{5e}\\x{60}\\x{7b}-\\x{10ffff}"},
    };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        if (classes[i].name == c) {
            buf_addz(&t->out, classes[i].members);
            return true;
        }
    }
    return false;
}

/* \pN \p{Greek} \P...; t->p at the p. Names that PCRE2 does not know fail when it compiles. */
static bool unicode_class(struct translator *t, const char *from)
{
    bool negated = *t->p++ == 'P';
    struct str name = STR_NONE;
    if (t->p < t->end && *t->p == '{') {
        const char *close = memchr(t->p, '}', (size_t)(t->end - t->p));
        if (close == NULL) {
            return fail(t, "invalid character class range", rest_of(t, from));
        }
        name = str_at(t->p + 1, (size_t)(close - t->p - 1));
        t->p = close + 1;
    } else if (t->p < t->end) {
        name = str_at(t->p++, 1);
    }
    if (name.n > 0 && name.p[0] == '^') {
        negated = !negated;
        name = str_from(name, 1);
    }
    bool good = name.n > 0;
    for (size_t i = 0; i < name.n; i++) {
        good = good && (is_alnum(name.p[i]) || name.p[i] == '_');
    }
    if (!good || str_is(name, "L&") || str_starts(name, STR("X"))) {
        return fail(t, "invalid character class range", since(t, from));
    }
    buf_printf(&t->out, "\\%c{%.*s}", negated ? 'P' : 'p', STR_ARG(name));
    return true;
}

/* ---- [classes] ---- */

/* [:alpha:] inside a class. 1: written; 0: none here; -1: an unknown name. */
static int posix_class(struct translator *t)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                        "digit", "graph", "lower", "print", "punct",
                                        "space", "upper", "word",  "xdigit"};
    struct str rest = rest_of(t, t->p);
    if (!str_starts(rest, STR("[:"))) {
        return 0;
    }
    for (size_t i = 2; i + 1 < rest.n; i++) {
        if (rest.p[i] != ':' || rest.p[i + 1] != ']') {
            continue;
        }
        struct str all = str_at(rest.p, i + 2), name = str_at(rest.p + 2, i - 2);
        bool negated = name.n > 0 && name.p[0] == '^';
        name = negated ? str_from(name, 1) : name;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            if (str_is(name, names[k])) {
                buf_printf(&t->out, "[:%s%s:]", negated ? "^" : "", names[k]);
                t->p += all.n;
                return 1;
            }
        }
        fail(t, "invalid character class range", all);
        return -1;
    }
    return 0;
}

static bool class_char(struct translator *t, const char *open, uint32_t *ret)
{
    if (t->p >= t->end) {
        return fail(t, "missing closing ]", rest_of(t, open));
    }
    const char *from = t->p;
    if (*t->p != '\\') {
        *ret = next_point(t);
        return true;
    }
    t->p++;
    return t->p < t->end ? char_escape(t, from, ret)
                         : fail(t, "trailing backslash at end of expression", STR(""));
}

static bool class_range(struct translator *t, const char *open)
{
    const char *from = t->p;
    uint32_t low = 0, high = 0;
    if (!class_char(t, open, &low)) {
        return false;
    }
    put_point(t, low);
    if (t->end - t->p < 2 || *t->p != '-' || t->p[1] == ']') {
        return true;
    }
    t->p++;
    if (!class_char(t, open, &high)) {
        return false;
    }
    if (high < low) {
        return fail(t, "invalid character class range", since(t, from));
    }
    buf_char(&t->out, '-');
    put_point(t, high);
    return true;
}

static bool class_member(struct translator *t, const char *open)
{
    int posix = posix_class(t);
    if (posix != 0) {
        return posix > 0;
    }
    if (*t->p == '\\' && t->end - t->p > 1) {
        const char *from = t->p;
        if (t->p[1] == 'p' || t->p[1] == 'P') {
            t->p++;
            return unicode_class(t, from);
        }
        if (put_perl_class(t, t->p[1])) {
            t->p += 2;
            return true;
        }
    }
    return class_range(t, open);
}

static bool bracket(struct translator *t)
{
    const char *open = t->p++;
    buf_char(&t->out, '[');
    if (t->p < t->end && *t->p == '^') {
        buf_char(&t->out, '^');
        t->p++;
    }
    for (bool first = true; t->p < t->end && (first || *t->p != ']'); first = false) {
        if (!class_member(t, open)) {
            return false;
        }
    }
    if (t->p >= t->end) {
        return fail(t, "missing closing ]", rest_of(t, open));
    }
    t->p++;
    buf_char(&t->out, ']');
    atom(t);
    return true;
}

/* ---- groups ---- */

static bool push(struct translator *t)
{
    if (t->depth == DEPTH_MAX) {
        return fail(t, "expression nests too deeply",
                    str_at(t->start, (size_t)(t->end - t->start)));
    }
    t->weights[t->depth++] = 1;
    t->atom = false;
    t->repeated = false;
    return true;
}

static bool group_name(struct translator *t, const char *open)
{
    const char *close = memchr(t->p, '>', (size_t)(t->end - t->p));
    if (close == NULL) {
        return fail(t, "invalid named capture", rest_of(t, open));
    }
    bool good = close > t->p;
    for (const char *c = t->p; c < close; c++) {
        good = good && (is_alnum(*c) || *c == '_');
    }
    t->p = close + 1;
    if (!good) {
        return fail(t, "invalid named capture", since(t, open));
    }
    buf_addz(&t->out, "(?:");
    return push(t);
}

/* "(?flags)" and "(?flags:". */
static bool group_flags(struct translator *t, const char *open)
{
    bool minus = false, any = false;
    const char *flags = t->p;
    for (; t->p < t->end; t->p++) {
        char c = *t->p;
        if (c == 'i' || c == 'm' || c == 's' || c == 'U') {
            any = true;
        } else if (c == '-' && !minus) {
            minus = true;
            any = false;
        } else if ((c == ':' || c == ')') && (any || !minus)) {
            buf_printf(&t->out, "(?%.*s%c", STR_ARG(since(t, flags)), c);
            t->p++;
            return c == ')' ? (t->atom = false, true) : push(t);
        } else {
            break;
        }
    }
    t->p += t->p < t->end;
    return fail(t, "invalid or unsupported Perl syntax", since(t, open));
}

static bool group(struct translator *t)
{
    const char *open = t->p++;
    struct str rest = rest_of(t, t->p);
    if (!str_starts(rest, STR("?"))) {
        buf_addz(&t->out, "(?:");
        return push(t);
    }
    if (str_starts(rest, STR("?P<")) ||
        (str_starts(rest, STR("?<")) && rest.n > 2 && rest.p[2] != '=' && rest.p[2] != '!')) {
        t->p += rest.p[1] == 'P' ? 3 : 2;
        return group_name(t, open);
    }
    t->p++;
    return group_flags(t, open);
}

static bool group_end(struct translator *t)
{
    if (t->depth == 0) {
        return fail(t, "unexpected )", str_at(t->start, (size_t)(t->end - t->start)));
    }
    int weight = t->weights[--t->depth];
    t->p++;
    buf_char(&t->out, ')');
    atom(t);
    t->weight = weight;
    return true;
}

/* ---- repeats ---- */

static bool number(struct translator *t, int *ret)
{
    int value = 0, digits = 0;
    while (t->p < t->end && *t->p >= '0' && *t->p <= '9') {
        value = value > 100000 ? value : value * 10 + (*t->p - '0');
        t->p++;
        digits++;
    }
    *ret = value;
    return digits > 0;
}

/* {n} {n,} {n,m}: 1; 0 when it is none and so means itself. */
static int counted(struct translator *t, int *ret_low, int *ret_high)
{
    const char *from = t->p++;
    bool good = number(t, ret_low);
    *ret_high = *ret_low;
    if (good && t->p < t->end && *t->p == ',') {
        t->p++;
        if (t->p < t->end && *t->p == '}') {
            *ret_high = -1;
        } else {
            good = number(t, ret_high);
        }
    }
    if (!good || t->p >= t->end || *t->p != '}') {
        t->p = from;
        return 0;
    }
    t->p++;
    return 1;
}

static bool repeat(struct translator *t, const char *from)
{
    if (!t->atom) {
        return fail(t, "missing argument to repetition operator", since(t, from));
    }
    if (t->repeated) {
        return fail(t, "invalid nested repetition operator", since(t, from));
    }
    buf_str(&t->out, since(t, from));
    if (t->p < t->end && *t->p == '?') {
        t->p++;
        buf_char(&t->out, '?');
    }
    t->repeated = true;
    return true;
}

static bool counted_repeat(struct translator *t, bool *ret_done)
{
    const char *from = t->p;
    int low = 0, high = 0;
    *ret_done = counted(t, &low, &high) > 0;
    if (!*ret_done) {
        return true;
    }
    int most = high > low ? high : low;
    if (low > REPEAT_MAX || high > REPEAT_MAX || (high >= 0 && low > high) ||
        (int64_t)most * t->weight > REPEAT_MAX) {
        return fail(t, "invalid repeat count", since(t, from));
    }
    int weight = most > 0 ? most * t->weight : t->weight;
    bool good = repeat(t, from);
    t->weight = weight;
    return good;
}

/* ---- everything else ---- */

static void literal(struct translator *t, uint32_t point)
{
    put_point(t, point);
    atom(t);
}

static bool quoted(struct translator *t) /* \Q...\E */
{
    t->p++;
    while (t->p < t->end && !str_starts(rest_of(t, t->p), STR("\\E"))) {
        literal(t, next_point(t));
    }
    t->p += t->p < t->end ? 2 : 0;
    return true;
}

static bool escape(struct translator *t)
{
    const char *from = t->p++;
    uint32_t point = 0;
    if (t->p >= t->end) {
        return fail(t, "trailing backslash at end of expression", STR(""));
    }
    char c = *t->p;
    if (c == 'A' || c == 'b' || c == 'B' || c == 'z') {
        t->p++;
        buf_printf(&t->out, "(?:\\%c)", c);
        atom(t);
        return true;
    }
    if (c == 'Q') {
        return quoted(t);
    }
    if (c == 'p' || c == 'P') {
        bool good = unicode_class(t, from);
        atom(t);
        return good;
    }
    if (strchr("dDsSwW", c) != NULL && c != '\0') {
        t->p++;
        buf_char(&t->out, '[');
        put_perl_class(t, c);
        buf_char(&t->out, ']');
        atom(t);
        return true;
    }
    if (!char_escape(t, from, &point)) {
        return false;
    }
    literal(t, point);
    return true;
}

static void note_weight(struct translator *t)
{
    if (t->depth > 0 && t->weight > t->weights[t->depth - 1]) {
        t->weights[t->depth - 1] = t->weight;
    }
}

static bool step(struct translator *t)
{
    const char *from = t->p;
    bool done = false;
    switch (*t->p) {
    case '\\':
        return escape(t);
    case '[':
        return bracket(t);
    case '(':
        return group(t);
    case ')':
        return group_end(t);
    case '|':
        t->p++;
        buf_char(&t->out, '|');
        t->atom = false;
        return true;
    case '*':
    case '+':
    case '?':
        t->p++;
        return repeat(t, from);
    case '{':
        if (!counted_repeat(t, &done) || done) {
            return t->err->code == 0;
        }
        break;
    case '^':
    case '$':
    case '.':
        t->p++;
        buf_printf(&t->out, *from == '.' ? "%c" : "(?:%c)", *from);
        atom(t);
        return true;
    default:
        break;
    }
    literal(t, next_point(t));
    return true;
}

static bool translate(struct translator *t)
{
    while (t->p < t->end) {
        if (!step(t)) {
            return false;
        }
        note_weight(t);
    }
    return t->depth == 0 ||
           fail(t, "missing closing )", str_at(t->start, (size_t)(t->end - t->start)));
}

static pcre2_code *compile(struct str text, struct err *err)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, DEPTH_MAX + 8);
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)(text.p != NULL ? text.p : ""), text.n,
                                         PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NO_AUTO_CAPTURE,
                                         &code, &at, context);
    pcre2_compile_context_free(context);
    if (compiled == NULL) {
        char why[128] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        err_set(err, ERR_INVALID, "error parsing regexp: %s", why);
    }
    return compiled;
}

int pattern_new(struct str text, struct pattern **ret_pattern, struct err *err)
{
    struct err ours = ERR_INIT;
    if (text.n > TEXT_MAX) {
        return err_set(err, ERR_INVALID, "error parsing regexp: expression is longer than %d bytes",
                       TEXT_MAX);
    }
    struct translator *t = mem_new(struct translator);
    t->start = t->p = text.p != NULL ? text.p : "";
    t->end = t->start + text.n;
    t->err = &ours;
    t->weight = 1;
    pcre2_code *code = translate(t) ? compile(buf_view(&t->out), &ours) : NULL;
    buf_done(&t->out);
    free(t);
    if (code == NULL) {
        return err_set(err, ERR_INVALID, "%s", ours.message);
    }
    struct pattern *pattern = mem_new(struct pattern);
    pattern->code = code;
    pattern->text = str_dup(text);
    *ret_pattern = pattern;
    return 0;
}

void pattern_free(struct pattern *pattern)
{
    if (pattern != NULL) {
        pcre2_code_free(pattern->code);
        free(pattern->text);
        free(pattern);
    }
}

const char *pattern_text(const struct pattern *pattern)
{
    return pattern->text;
}

/* Without backtracking: for short texts only, since each start is tried. */
static int match_in_breadth(const struct pattern *pattern, PCRE2_SPTR subject, size_t n,
                            pcre2_match_context *context)
{
    int workspace[4096];
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int rc = pcre2_dfa_match(pattern->code, subject, n, 0, PCRE2_NO_UTF_CHECK | PCRE2_DFA_SHORTEST,
                             data, context, workspace, sizeof workspace / sizeof *workspace);
    pcre2_match_data_free(data);
    return rc;
}

int pattern_match(const struct pattern *pattern, struct str text)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.p != NULL ? text.p : "");
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_set_match_limit(context, STEPS_MAX);
    pcre2_set_heap_limit(context, HEAP_KIB_MAX);
    int rc = pcre2_match(pattern->code, subject, text.n, 0, PCRE2_NO_UTF_CHECK, data, context);
    pcre2_match_data_free(data);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH && text.n <= BREADTH_TEXT_MAX) {
        rc = match_in_breadth(pattern, subject, text.n, context);
    }
    pcre2_match_context_free(context);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : ERR_LIMIT;
}
