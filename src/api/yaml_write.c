/* yaml_write.c: tape to YAML in block style, as kubectl -o yaml prints objects.
 *
 * Sequences inside a mapping are not indented; a string is plain when it reads back as that string,
 * quoted twice when it would read as something else, a literal block when it has lines. No
 * recursion: the containers above are on a growing stack.
 */
#include <stdlib.h>

#include "api/json_int.h"
#include "api/yaml_int.h"
#include "base/vec.h"

struct yaml_writer {
    struct buf *out;
    struct {
        VEC_OF(const struct val *);
    } stack;
};

static bool is_printable(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c < 0x20 && c != '\n') || c == 0x7f || c >= 0xf0) {
            return false;
        }
        /* C1 controls, line separators and the byte order mark are escaped */
        if (c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0) {
            return false;
        }
        if ((c == 0xe2 && i + 2 < text.n && (unsigned char)text.p[i + 1] == 0x80 &&
             ((unsigned char)text.p[i + 2] | 1) == 0xa9) ||
            (c == 0xef && i + 1 < text.n && ((unsigned char)text.p[i + 1] | 4) == 0xbf)) {
            return false;
        }
    }
    return true;
}

/* Whether a plain scalar may carry this text, apart from what it would resolve to. */
static bool is_plain(struct str text)
{
    char first = text.p[0], second = text.n > 1 ? text.p[1] : ' ';
    if (strchr(",[]{}#&*!|>'\"%@`", first) != NULL || first == ' ' || text.p[text.n - 1] == ' ' ||
        (strchr("-?:", first) != NULL && second == ' ') || str_starts(text, STR("---")) ||
        str_starts(text, STR("..."))) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        char next = i + 1 < text.n ? text.p[i + 1] : ' ';
        if ((text.p[i] == ':' && next == ' ') || (text.p[i] == ' ' && next == '#')) {
            return false;
        }
    }
    return true;
}

/* 2006-01-02, with or without a time: older readers take it for a date. */
static bool is_date(struct str text)
{
    if (text.n < 8 || text.p[4] != '-') {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        bool digit = text.p[i] >= '0' && text.p[i] <= '9';
        if (!digit && (i < 4 || memchr("-+:.TtZz ", text.p[i], 9) == NULL)) {
            return false;
        }
    }
    return true;
}

static void write_literal(struct str text, size_t indent, struct buf *out)
{
    size_t ends = 0;
    while (ends < text.n && text.p[text.n - 1 - ends] == '\n') {
        ends++;
    }
    buf_addz(out, ends == 0 ? "|-" : ends == 1 ? "|" : "|+");
    struct str rest = ends > 0 ? str_at(text.p, text.n - 1) : text;
    while (rest.p != NULL) {
        struct str line = str_cut(rest, '\n', &rest);
        buf_char(out, '\n');
        for (size_t i = 0; line.n > 0 && i < indent; i++) {
            buf_char(out, ' ');
        }
        buf_str(out, line);
    }
}

static void write_single(struct str text, struct buf *out)
{
    buf_char(out, '\'');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\'') {
            buf_char(out, '\'');
        }
        buf_char(out, text.p[i]);
    }
    buf_char(out, '\'');
}

/* A character that must not stand raw in YAML: its length, and what it is. */
static size_t unprintable(struct str text, size_t at, unsigned *ret_rune)
{
    unsigned char c = (unsigned char)text.p[at];
    unsigned char second = at + 1 < text.n ? (unsigned char)text.p[at + 1] : 0;
    unsigned char third = at + 2 < text.n ? (unsigned char)text.p[at + 2] : 0;
    if (c == 0x7f) {
        *ret_rune = c;
        return 1;
    }
    if (c == 0xc2 && second < 0xa0) {
        *ret_rune = second;
        return 2;
    }
    if ((c == 0xef && second == 0xbb && third == 0xbf) ||
        (c == 0xef && second == 0xbf && third >= 0xbe)) {
        *ret_rune = (unsigned)(0xf000 | (second & 0x3f) << 6 | (third & 0x3f));
        return 3;
    }
    return 0;
}

/* JSON's string is YAML's, but YAML has more characters that must be escaped. */
static void write_double(struct str text, struct buf *out)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    json_write_string(text, &json);
    struct str all = buf_view(&json);
    for (size_t i = 0; i < all.n;) {
        unsigned rune = 0;
        size_t n = unprintable(all, i, &rune);
        if (n > 0) {
            buf_printf(out, "\\u%04x", rune);
        } else {
            buf_char(out, all.p[i]);
        }
        i += n > 0 ? n : 1;
    }
}

static void write_string(struct str text, size_t indent, struct buf *out)
{
    enum val_type type;
    char number[YAML_NUMBER_SIZE];
    bool lines = text.n > 0 && memchr(text.p, '\n', text.n) != NULL;
    if (!is_printable(text) || text.n == 0 || is_date(text) ||
        yaml_scalar_resolve(text, &type, number) != YAML_SCALAR_STRING) {
        write_double(text, out);
    } else if (lines && text.p[0] != ' ' && text.p[0] != '\n' && indent > 0) {
        write_literal(text, indent, out);
    } else if (lines) {
        write_double(text, out);
    } else if (is_plain(text)) {
        buf_str(out, text);
    } else {
        write_single(text, out);
    }
}

static void write_scalar(const struct val *v, size_t indent, struct buf *out)
{
    if (v->type == VAL_STRING) {
        write_string(v->text, indent, out);
    } else {
        val_write_json(v, out); /* also the empty containers */
    }
}

/* Columns before the members of the innermost container: a sequence in a mapping stays where the
 * mapping is. */
static size_t indent_of(const struct yaml_writer *writer)
{
    size_t indent = 0;
    for (size_t i = 0; i + 1 < writer->stack.count; i++) {
        bool flat = writer->stack.items[i]->type == VAL_OBJECT &&
                    writer->stack.items[i + 1]->type == VAL_ARRAY;
        indent += flat ? 0 : 2;
    }
    return indent;
}

static void pad(struct buf *out, size_t columns)
{
    for (size_t i = 0; i < columns; i++) {
        buf_char(out, ' ');
    }
}

/* The start of a member, up to where its value goes. */
static void write_start(struct yaml_writer *writer, const struct val *v, bool same_line)
{
    const struct val *top = writer->stack.items[writer->stack.count - 1];
    if (!same_line) {
        pad(writer->out, indent_of(writer));
    }
    if (top->type == VAL_ARRAY) {
        buf_addz(writer->out, "-");
    } else {
        write_string(v->key, 0, writer->out);
        buf_char(writer->out, ':');
    }
}

/* Writes `v` after its start; true when its members follow, and whether on the same line. */
static bool write_member(struct yaml_writer *writer, const struct val *v, bool *ret_same_line)
{
    const struct val *top = writer->stack.items[writer->stack.count - 1];
    if (v->child == NULL) {
        buf_char(writer->out, ' ');
        write_scalar(v, indent_of(writer) + 2, writer->out);
        buf_char(writer->out, '\n');
        return false;
    }
    *ret_same_line = top->type == VAL_ARRAY;
    buf_char(writer->out, *ret_same_line ? ' ' : '\n');
    return true;
}

void val_write_yaml(const struct val *v, struct buf *out)
{
    struct yaml_writer writer = {.out = out};
    if (v->child == NULL) {
        write_scalar(v, 2, out);
        buf_char(out, '\n');
        return;
    }
    bool same_line = true;
    *vec_push(&writer.stack) = v;
    const struct val *at = v->child;
    while (at != NULL) {
        write_start(&writer, at, same_line);
        same_line = false;
        if (write_member(&writer, at, &same_line)) {
            *vec_push(&writer.stack) = at;
            at = at->child;
            continue;
        }
        while (at->next == NULL && writer.stack.count > 1) {
            at = writer.stack.items[--writer.stack.count];
        }
        at = writer.stack.count == 1 && at->next == NULL ? NULL : at->next;
    }
    vec_done(&writer.stack);
}
