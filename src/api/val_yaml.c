/* val_yaml.c: YAML to tape, and tape to YAML.
 *
 * libyaml scans; this file turns its events into a tape. Refused: anchors, aliases and merge keys,
 * tags other than the core ones, several documents, keys that are no scalars, duplicate keys, more
 * than VAL_DEPTH_MAX levels, more than YAML_SIZE_MAX bytes, many directives (libyaml itself bounds
 * nothing).
 */
#include <stdlib.h>
#include <yaml.h>

#include "api/json_int.h"
#include "api/yaml_int.h"
#include "base/vec.h"

enum { YAML_SIZE_MAX = 8 << 20, YAML_DIRECTIVES_MAX = 8 };

struct reader {
    struct json_nodes nodes;
    yaml_parser_t parser;
    struct val *stack[VAL_DEPTH_MAX];
    struct val *pending; /* the member of the innermost mapping that has its key and no value yet */
    uint32_t depth;
    struct val *root;
    struct err *err;
    struct val_twins *twins; /* NULL: they are an error */
};

static int refuse(struct reader *reader, const yaml_event_t *event, const char *why)
{
    return err_set(reader->err, ERR_BAD_REQUEST, "invalid YAML: line %zu: %s",
                   event->start_mark.line + 1, why);
}

static int scanner_error(struct reader *reader)
{
    const char *why = reader->parser.problem;
    return err_set(reader->err, ERR_BAD_REQUEST, "invalid YAML: line %zu: %s",
                   reader->parser.problem_mark.line + 1, why != NULL ? why : "cannot be read");
}

/* A node for the next value: the root, the pending member, or a new one of a sequence. */
static struct val *value_node(struct reader *reader)
{
    struct val *v = reader->pending;
    reader->pending = NULL;
    if (v == NULL) {
        v = json_node(&reader->nodes);
        if (v != NULL && reader->depth > 0) {
            json_link(reader->stack[reader->depth - 1], v);
        }
    }
    if (reader->root == NULL) {
        reader->root = v;
    }
    return v;
}

static bool expects_key(const struct reader *reader)
{
    return reader->depth > 0 && reader->pending == NULL &&
           reader->stack[reader->depth - 1]->type == VAL_OBJECT;
}

static struct str copy(struct reader *reader, const void *bytes, size_t n)
{
    return arena_room(reader->nodes.arena, n + 1)
               ? str_copy_in(reader->nodes.arena, str_at(bytes, n))
               : STR_NONE;
}

/* Type and text of a scalar event into `v`. */
static int resolve(struct reader *reader, const yaml_event_t *event, struct val *v)
{
    const char *tag = (const char *)event->data.scalar.tag;
    struct str text = str_at((const char *)event->data.scalar.value, event->data.scalar.length);
    char number[YAML_NUMBER_SIZE];
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    enum yaml_scalar what = YAML_SCALAR_STRING;
    v->type = VAL_STRING;
    if (tag != NULL && strcmp(tag, YAML_STR_TAG) != 0 && strcmp(tag, YAML_INT_TAG) != 0 &&
        strcmp(tag, YAML_FLOAT_TAG) != 0 && strcmp(tag, YAML_BOOL_TAG) != 0 &&
        strcmp(tag, YAML_NULL_TAG) != 0 && strcmp(tag, "!") != 0) {
        return refuse(reader, event, "this tag is not understood");
    }
    if (tag != NULL ? strcmp(tag, YAML_STR_TAG) != 0 && strcmp(tag, "!") != 0 : plain) {
        what = yaml_scalar_resolve(text, &v->type, number);
    }
    if (what == YAML_SCALAR_ENDLESS) {
        return refuse(reader, event, "infinity and NaN have no JSON");
    }
    if (what == YAML_SCALAR_MERGE && expects_key(reader)) {
        return refuse(reader, event, "merge keys are refused");
    }
    if (what != YAML_SCALAR_VALUE) {
        v->type = VAL_STRING;
    }
    if (v->type == VAL_STRING) {
        v->text = copy(reader, text.p, text.n);
    } else if (v->type == VAL_NUMBER) {
        v->text = copy(reader, number, strlen(number));
    }
    return (v->type == VAL_STRING || v->type == VAL_NUMBER) && v->text.p == NULL
               ? err_set(reader->err, ERR_TOO_LARGE, "the document needs too much memory")
               : 0;
}

static int read_key(struct reader *reader, const yaml_event_t *event)
{
    struct val key = {0};
    int code = resolve(reader, event, &key);
    if (code != 0) {
        return code;
    }
    if (key.type == VAL_NULL) {
        return refuse(reader, event, "a key must not be null");
    }
    struct val *member = json_node(&reader->nodes);
    if (member == NULL) {
        return err_set(reader->err, ERR_TOO_LARGE, "the document needs too much memory");
    }
    member->key = key.type == VAL_TRUE    ? STR("true")
                  : key.type == VAL_FALSE ? STR("false")
                                          : key.text;
    json_link(reader->stack[reader->depth - 1], member);
    reader->pending = member;
    return 0;
}

static int read_scalar(struct reader *reader, const yaml_event_t *event)
{
    if (event->data.scalar.anchor != NULL) {
        return refuse(reader, event, "anchors are refused");
    }
    if (expects_key(reader)) {
        return read_key(reader, event);
    }
    struct val *v = value_node(reader);
    return v != NULL ? resolve(reader, event, v)
                     : err_set(reader->err, ERR_TOO_LARGE, "the document needs too much memory");
}

static int open_container(struct reader *reader, const yaml_event_t *event, enum val_type type,
                          const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL) {
        return refuse(reader, event, "anchors are refused");
    }
    const char *core = type == VAL_OBJECT ? YAML_MAP_TAG : YAML_SEQ_TAG;
    if (tag != NULL && strcmp((const char *)tag, core) != 0) {
        return refuse(reader, event, "this tag is not understood");
    }
    if (expects_key(reader)) {
        return refuse(reader, event, "a key must be a scalar");
    }
    if (reader->depth == VAL_DEPTH_MAX) {
        return refuse(reader, event, "nested too deep");
    }
    struct val *v = value_node(reader);
    if (v == NULL) {
        return err_set(reader->err, ERR_TOO_LARGE, "the document needs too much memory");
    }
    v->type = type;
    reader->stack[reader->depth++] = v;
    return 0;
}

static int close_container(struct reader *reader, const yaml_event_t *event)
{
    struct val *top = reader->stack[--reader->depth];
    if (top->type == VAL_OBJECT && top->count > 1 && json_duplicate(top) != NULL) {
        if (reader->twins == NULL) {
            return refuse(reader, event, "a duplicate key in the mapping that ends here");
        }
        json_drop_twins(top, reader->twins);
    }
    return 0;
}

static int read_event(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return reader->root == NULL ? 0 : refuse(reader, event, "one document is wanted, not two");
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event);
    case YAML_MAPPING_START_EVENT:
        return open_container(reader, event, VAL_OBJECT, event->data.mapping_start.anchor,
                              event->data.mapping_start.tag);
    case YAML_SEQUENCE_START_EVENT:
        return open_container(reader, event, VAL_ARRAY, event->data.sequence_start.anchor,
                              event->data.sequence_start.tag);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return close_container(reader, event);
    case YAML_ALIAS_EVENT:
        return refuse(reader, event, "aliases are refused");
    default:
        return 0;
    }
}

static int read_all(struct reader *reader)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event)) {
            return scanner_error(reader);
        }
        bool end = event.type == YAML_STREAM_END_EVENT;
        int code = read_event(reader, &event);
        yaml_event_delete(&event);
        if (code != 0 || end) {
            return code;
        }
    }
}

/* libyaml compares each %TAG with all before it: thousands of them would take minutes. A line ends
 * with a line feed, a return, or the last byte of U+0085, U+2028 or U+2029. */
static bool directives_are_few(struct str text)
{
    size_t count = 0;
    if (text.n == 0) {
        return true;
    }
    for (const char *p = text.p, *end = text.p + text.n; count <= YAML_DIRECTIVES_MAX; p++) {
        p = p < end ? memchr(p, '%', (size_t)(end - p)) : NULL;
        if (p == NULL) {
            return true;
        }
        count += p == text.p || memchr("\n\r\x85\xa8\xa9", p[-1], 5) != NULL;
    }
    return false;
}

int val_parse_yaml(struct arena *arena, struct str text, struct val **ret_value, struct err *err)
{
    return val_parse_yaml_loose(arena, text, NULL, ret_value, err);
}

int val_parse_yaml_loose(struct arena *arena, struct str text, struct val_twins *twins,
                         struct val **ret_value, struct err *err)
{
    struct reader reader = {.nodes = {.arena = arena}, .err = err, .twins = twins};
    if (text.n > YAML_SIZE_MAX) {
        return err_set(err, ERR_TOO_LARGE, "a YAML document may have %d bytes", YAML_SIZE_MAX);
    }
    if (!directives_are_few(text)) {
        return err_set(err, ERR_BAD_REQUEST, "invalid YAML: too many directives");
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        return err_set(err, ERR_INTERNAL, "the YAML parser does not start");
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.p, text.n);
    int code = read_all(&reader);
    yaml_parser_delete(&reader.parser);
    if (code == 0) {
        *ret_value = reader.root != NULL ? reader.root : val_new(arena, VAL_NULL);
    }
    return code;
}
