/* val_json.c: schemaless JSON: text to tape and tape to text.
 *
 * One pass, no recursion: the open containers are on a stack of VAL_DEPTH_MAX. Duplicate names are
 * errors here (the codec has softer rules). Writing keeps the order of members; the writer's stack
 * grows, since an edited tape may be deeper than a parsed one.
 */
#include <stdlib.h>

#include "api/json_int.h"
#include "base/vec.h"

bool json_nodes_refill(struct json_nodes *nodes)
{
    size_t size = sizeof(struct val) * JSON_NODES_A_BLOCK;
    if (!arena_room(nodes->arena, size)) {
        return false;
    }
    nodes->at = arena_alloc(nodes->arena, size);
    nodes->end = nodes->at + JSON_NODES_A_BLOCK;
    return true;
}

static const struct val *duplicate_hashed(const struct val *object)
{
    size_t slots = 64;
    while (slots < (size_t)object->count * 2) {
        slots *= 2;
    }
    const struct val **table = mem_array(const struct val *, slots);
    const struct val *found = NULL;
    for (const struct val *it = object->child; it != NULL && found == NULL; it = it->next) {
        size_t at = str_hash(it->key) & (slots - 1);
        while (table[at] != NULL && !str_eq(table[at]->key, it->key)) {
            at = (at + 1) & (slots - 1);
        }
        found = table[at] != NULL ? it : NULL;
        table[at] = it;
    }
    free(table);
    return found;
}

enum { GONE = 0x7f }; /* no enum val_type */

const struct val *json_duplicate(const struct val *object)
{
    if (object->count > 24) {
        return duplicate_hashed(object);
    }
    for (const struct val *it = object->child; it != NULL; it = it->next) {
        for (const struct val *before = object->child; before != it; before = before->next) {
            if (before->key.n == it->key.n && str_eq(before->key, it->key)) {
                return it;
            }
        }
    }
    return NULL;
}

void json_drop_twins(struct val *object, struct val_twins *twins)
{
    size_t slots = 64;
    while (slots < (size_t)object->count * 2) {
        slots *= 2;
    }
    struct val **table = mem_array(struct val *, slots);
    struct val *it = object->child, *next;
    VAL_EACH (member, object) {
        size_t at = str_hash(member->key) & (slots - 1);
        while (table[at] != NULL && !str_eq(table[at]->key, member->key)) {
            at = (at + 1) & (slots - 1);
        }
        if (table[at] != NULL) {
            twins->name = twins->count++ == 0 ? member->key : twins->name;
            table[at]->type = (enum val_type)GONE; /* a mark, for the sweep below */
        }
        table[at] = member;
    }
    free(table);
    object->child = object->last = NULL;
    object->count = 0;
    for (; it != NULL; it = next) {
        next = it->next;
        it->next = NULL;
        if (it->type != (enum val_type)GONE) {
            val_append(object, it);
        }
    }
}

int json_error(struct err *err, struct str text, const char *at, const char *why)
{
    size_t offset = (size_t)(at - text.p);
    if (offset >= text.n) {
        return err_set(err, ERR_BAD_REQUEST, "invalid JSON: %s at byte %zu (end of input)", why,
                       offset);
    }
    unsigned char c = (unsigned char)*at;
    if (c >= 0x20 && c < 0x7f) {
        return err_set(err, ERR_BAD_REQUEST, "invalid JSON: %s at byte %zu ('%c')", why, offset, c);
    }
    return err_set(err, ERR_BAD_REQUEST, "invalid JSON: %s at byte %zu (0x%02x)", why, offset, c);
}

struct parser {
    struct json_nodes nodes;
    struct str text;
    const char *p, *end;
    const char *why; /* of the failure, and where */
    struct val *stack[VAL_DEPTH_MAX];
    uint32_t depth;
    struct val_twins *twins; /* NULL: they are an error */
};

static bool fail(struct parser *parser, const char *why)
{
    parser->why = why;
    return false;
}

static bool parse_word(struct parser *parser, const char *word, size_t n)
{
    if ((size_t)(parser->end - parser->p) < n || memcmp(parser->p, word, n) != 0) {
        return fail(parser, "unexpected character where a value should be");
    }
    parser->p += n;
    return true;
}

/* One value into `v`; a container is only opened (pushed). */
static bool parse_value(struct parser *parser, struct val *v)
{
    const char *after = NULL;
    switch (parser->p < parser->end ? *parser->p : '\0') {
    case '"':
        v->type = VAL_STRING;
        after = json_scan_string(parser->nodes.arena, parser->p + 1, parser->end, &v->text,
                                 &parser->why);
        break;
    case '{':
    case '[':
        if (parser->depth == VAL_DEPTH_MAX) {
            return fail(parser, "nested too deep");
        }
        v->type = *parser->p == '{' ? VAL_OBJECT : VAL_ARRAY;
        parser->stack[parser->depth++] = v;
        after = parser->p + 1;
        break;
    case 't':
        v->type = VAL_TRUE;
        return parse_word(parser, "true", 4);
    case 'f':
        v->type = VAL_FALSE;
        return parse_word(parser, "false", 5);
    case 'n':
        v->type = VAL_NULL;
        return parse_word(parser, "null", 4);
    case '-':
    case '0' ... '9':
        v->type = VAL_NUMBER;
        after = json_scan_number(parser->p, parser->end, &v->text, &parser->why);
        break;
    default:
        return fail(parser, parser->p < parser->end ? "unexpected character where a value should be"
                                                    : "unexpected end of input");
    }
    if (after == NULL) {
        return false;
    }
    parser->p = after;
    return true;
}

static bool parse_key(struct parser *parser, struct val *member)
{
    if (parser->p >= parser->end || *parser->p != '"') {
        return fail(parser, "a member name in quotes should be here");
    }
    const char *after = json_scan_string(parser->nodes.arena, parser->p + 1, parser->end,
                                         &member->key, &parser->why);
    if (after == NULL) {
        return false;
    }
    parser->p = json_skip_space(after, parser->end);
    if (parser->p >= parser->end || *parser->p != ':') {
        return fail(parser, "a ':' should be here");
    }
    parser->p = json_skip_space(parser->p + 1, parser->end);
    return true;
}

/* Closes containers that end here; then, unless the document is whole, stands at the next member.
 */
static bool parse_between(struct parser *parser)
{
    while (parser->depth > 0) {
        struct val *top = parser->stack[parser->depth - 1];
        char close = top->type == VAL_OBJECT ? '}' : ']';
        parser->p = json_skip_space(parser->p, parser->end);
        if (parser->p >= parser->end) {
            return fail(parser, "unexpected end of input");
        }
        if (*parser->p == close) {
            if (top->type == VAL_OBJECT && top->count > 1 && json_duplicate(top) != NULL) {
                if (parser->twins == NULL) {
                    return fail(parser, "a duplicate member name in the object that ends here");
                }
                json_drop_twins(top, parser->twins);
            }
            parser->p++;
            parser->depth--;
            continue;
        }
        if (top->count == 0) {
            return true;
        }
        if (*parser->p != ',') {
            return fail(parser, close == '}' ? "a ',' or '}' should be here"
                                             : "a ',' or ']' should be here");
        }
        parser->p = json_skip_space(parser->p + 1, parser->end);
        return true;
    }
    return true;
}

static bool parse_document(struct parser *parser, struct val *root)
{
    parser->p = json_skip_space(parser->p, parser->end);
    if (!parse_value(parser, root) || !parse_between(parser)) {
        return false;
    }
    while (parser->depth > 0) {
        struct val *parent = parser->stack[parser->depth - 1];
        struct val *member = json_node(&parser->nodes);
        if (member == NULL) {
            return fail(parser, "the document needs too much memory");
        }
        if (parent->type == VAL_OBJECT && !parse_key(parser, member)) {
            return false;
        }
        json_link(parent, member);
        if (!parse_value(parser, member) || !parse_between(parser)) {
            return false;
        }
    }
    parser->p = json_skip_space(parser->p, parser->end);
    return parser->p == parser->end || fail(parser, "unexpected bytes after the value");
}

int val_parse_json(struct arena *arena, struct str text, struct val **ret_value, struct err *err)
{
    return val_parse_json_loose(arena, text, NULL, ret_value, err);
}

int val_parse_json_loose(struct arena *arena, struct str text, struct val_twins *twins,
                         struct val **ret_value, struct err *err)
{
    struct parser parser;
    parser.nodes = (struct json_nodes){.arena = arena};
    parser.text = text;
    parser.p = text.p != NULL ? text.p : "";
    parser.end = parser.p + text.n;
    parser.text.p = parser.p;
    parser.why = NULL;
    parser.depth = 0;
    parser.twins = twins;
    struct val *root = json_node(&parser.nodes);
    if (root == NULL) {
        return err_set(err, ERR_TOO_LARGE, "the document needs too much memory");
    }
    if (!parse_document(&parser, root)) {
        return json_error(err, parser.text, parser.p, parser.why);
    }
    *ret_value = root;
    return 0;
}

/* ---- writing ---- */

struct writer {
    struct buf *out;
    bool pretty;
    struct {
        VEC_OF(const struct val *);
    } stack;
};

static void new_line(struct writer *writer, size_t depth)
{
    if (writer->pretty) {
        buf_char(writer->out, '\n');
        for (size_t i = 0; i < depth; i++) {
            buf_add(writer->out, "  ", 2);
        }
    }
}

static void write_scalar(const struct val *v, struct buf *out)
{
    switch (v->type) {
    case VAL_NULL:
        buf_add(out, "null", 4);
        break;
    case VAL_FALSE:
        buf_add(out, "false", 5);
        break;
    case VAL_TRUE:
        buf_add(out, "true", 4);
        break;
    case VAL_NUMBER:
        buf_str(out, v->text);
        break;
    case VAL_STRING:
        json_write_string(v->text, out);
        break;
    case VAL_OBJECT:
        buf_add(out, "{}", 2);
        break;
    case VAL_ARRAY:
        buf_add(out, "[]", 2);
        break;
    }
}

/* What stands before a member: its line, its name. */
static void write_member_start(struct writer *writer, const struct val *v)
{
    new_line(writer, writer->stack.count);
    if (writer->stack.items[writer->stack.count - 1]->type == VAL_OBJECT) {
        json_write_string(v->key, writer->out);
        buf_add(writer->out, ": ", writer->pretty ? 2 : 1);
    }
}

/* Goes up until a member has a sibling; NULL when the root is closed. */
static const struct val *write_up(struct writer *writer, const struct val *v)
{
    while (writer->stack.count > 0) {
        if (v->next != NULL) {
            buf_char(writer->out, ',');
            return v->next;
        }
        v = writer->stack.items[--writer->stack.count];
        new_line(writer, writer->stack.count);
        buf_char(writer->out, v->type == VAL_OBJECT ? '}' : ']');
    }
    return NULL;
}

static void write_value(const struct val *v, bool pretty, struct buf *out)
{
    struct writer writer = {.out = out, .pretty = pretty};
    while (v != NULL) {
        if (v->child != NULL) {
            buf_char(out, v->type == VAL_OBJECT ? '{' : '[');
            *vec_push(&writer.stack) = v;
            v = v->child;
        } else {
            write_scalar(v, out);
            v = write_up(&writer, v);
        }
        if (v != NULL) {
            write_member_start(&writer, v);
        }
    }
    vec_done(&writer.stack);
}

void val_write_json(const struct val *v, struct buf *out)
{
    write_value(v, false, out);
}

void val_write_json_pretty(const struct val *v, struct buf *out)
{
    write_value(v, true, out);
}
