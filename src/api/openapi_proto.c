/* openapi_proto.c: the OpenAPI 2 document in protobuf (gnostic's openapi.v2.Document), as kubectl
 * and client-go ask for it.
 *
 * The JSON document is made and parsed first; tables then map its members to field numbers (the
 * public OpenAPIv2.proto of gnostic). Recursion is as deep as our own document.
 */
#include "api/openapi_int.h"
#include "wire/protobuf.h"

enum kind { TEXT, BOOLEAN, TEXTS, MESSAGE, MESSAGES, NAMED, YAML, WRAP_TEXT };

struct message;
struct row {
    const char *name;
    uint32_t number;
    enum kind kind;
    const struct message *message; /* MESSAGE, MESSAGES; NAMED: of the values */
};
struct message {
    const struct row *rows;
    uint32_t extensions; /* number for x-... members; 0: none */
    /* Messages with a oneof around: the numbers to wrap the fields in, outermost first. */
    uint32_t (*wrap)(const struct val *v, uint32_t ret_numbers[3],
                     const struct message **ret_inner);
};

static void write_message(const struct message *message, const struct val *v, struct buf *out);

static const struct message schema, operation, parameter, response, path_item, items;

static const struct row schema_rows[] = {
    {"$ref", 1, TEXT, NULL},
    {"format", 2, TEXT, NULL},
    {"description", 4, TEXT, NULL},
    {"default", 5, YAML, NULL},
    {"required", 19, TEXTS, NULL},
    {"additionalProperties", 21, MESSAGE, &items}, /* AdditionalPropertiesItem{schema = 1} */
    {"type", 22, WRAP_TEXT, NULL},                 /* TypeItem{value = 1} */
    {"items", 23, MESSAGE, &items},                /* ItemsItem{schema = 1} */
    {"properties", 25, NAMED, &schema},
    {NULL, 0, TEXT, NULL},
};
static const struct message schema = {schema_rows, 31, NULL};

static uint32_t wrap_in_one(const struct val *v, uint32_t ret_numbers[3],
                            const struct message **ret_inner)
{
    ret_numbers[0] = 1;
    *ret_inner = &schema;
    return 1;
}
static const struct message items = {NULL, 0, wrap_in_one};

static const struct row body_rows[] = {
    {"description", 1, TEXT, NULL}, {"name", 2, TEXT, NULL},         {"in", 3, TEXT, NULL},
    {"required", 4, BOOLEAN, NULL}, {"schema", 5, MESSAGE, &schema}, {NULL, 0, TEXT, NULL},
};
static const struct row query_rows[] = {
    {"required", 1, BOOLEAN, NULL}, {"in", 2, TEXT, NULL},   {"description", 3, TEXT, NULL},
    {"name", 4, TEXT, NULL},        {"type", 6, TEXT, NULL}, {"uniqueItems", 20, BOOLEAN, NULL},
    {NULL, 0, TEXT, NULL},
};
static const struct row path_rows[] = {
    {"required", 1, BOOLEAN, NULL}, {"in", 2, TEXT, NULL},   {"description", 3, TEXT, NULL},
    {"name", 4, TEXT, NULL},        {"type", 5, TEXT, NULL}, {"uniqueItems", 19, BOOLEAN, NULL},
    {NULL, 0, TEXT, NULL},
};
static const struct message body_parameter = {body_rows, 6, NULL};
static const struct message query_parameter = {query_rows, 23, NULL};
static const struct message path_parameter = {path_rows, 22, NULL};

/* ParametersItem{parameter = 1 {body = 1 | non_body = 2 {query = 3 | path = 4}}} */
static uint32_t wrap_parameter(const struct val *v, uint32_t ret_numbers[3],
                               const struct message **ret_inner)
{
    struct str in = val_text(val_get(v, "in"));
    bool body = str_is(in, "body"), path = str_is(in, "path");
    ret_numbers[0] = 1;
    ret_numbers[1] = body ? 1 : 2;
    ret_numbers[2] = path ? 4 : 3;
    *ret_inner = body ? &body_parameter : path ? &path_parameter : &query_parameter;
    return body ? 2 : 3;
}
static const struct message parameter = {NULL, 0, wrap_parameter};

static const struct row answer_rows[] = {
    {"description", 1, TEXT, NULL},
    {"schema", 2, MESSAGE, &items}, /* SchemaItem{schema = 1} */
    {NULL, 0, TEXT, NULL},
};
static const struct message answer = {answer_rows, 5, NULL};

static uint32_t wrap_response(const struct val *v, uint32_t ret_numbers[3],
                              const struct message **ret_inner)
{
    ret_numbers[0] = 1;
    *ret_inner = &answer;
    return 1;
}
static const struct message response = {NULL, 0, wrap_response};

static const struct row operation_rows[] = {
    {"tags", 1, TEXTS, NULL},
    {"operationId", 5, TEXT, NULL},
    {"produces", 6, TEXTS, NULL},
    {"consumes", 7, TEXTS, NULL},
    {"parameters", 8, MESSAGES, &parameter},
    {"responses", 9, NAMED, &response},
    {"schemes", 10, TEXTS, NULL},
    {NULL, 0, TEXT, NULL},
};
static const struct message operation = {operation_rows, 13, NULL};

static const struct row path_item_rows[] = {
    {"get", 2, MESSAGE, &operation},
    {"put", 3, MESSAGE, &operation},
    {"post", 4, MESSAGE, &operation},
    {"delete", 5, MESSAGE, &operation},
    {"patch", 8, MESSAGE, &operation},
    {"parameters", 9, MESSAGES, &parameter},
    {NULL, 0, TEXT, NULL},
};
static const struct message path_item = {path_item_rows, 10, NULL};

static const struct row info_rows[] = {
    {"title", 1, TEXT, NULL}, {"version", 2, TEXT, NULL}, {NULL, 0, TEXT, NULL}};
static const struct message info = {info_rows, 7, NULL};

static const struct row key_rows[] = {
    {"type", 1, TEXT, NULL},        {"name", 2, TEXT, NULL}, {"in", 3, TEXT, NULL},
    {"description", 4, TEXT, NULL}, {NULL, 0, TEXT, NULL},
};
static const struct message api_key = {key_rows, 5, NULL};
static uint32_t wrap_security(const struct val *v, uint32_t ret_numbers[3],
                              const struct message **ret_inner)
{
    ret_numbers[0] = 2; /* SecurityDefinitionsItem{api_key_security = 2} */
    *ret_inner = &api_key;
    return 1;
}
static const struct message security = {NULL, 0, wrap_security};

static const struct row document_rows[] = {
    {"swagger", 1, TEXT, NULL},
    {"info", 2, MESSAGE, &info},
    {"paths", 8, NAMED, &path_item},
    {"definitions", 9, NAMED, &schema},
    {"securityDefinitions", 13, NAMED, &security},
    {NULL, 0, TEXT, NULL},
};
static const struct message document = {document_rows, 16, NULL};

/* A message of its own field `number`, wrapped as the message says. */
static void write_nested(uint32_t number, const struct message *message, const struct val *v,
                         struct buf *out)
{
    size_t marks[4], depth = 0;
    marks[depth++] = protobuf_begin(out, number);
    if (message->wrap != NULL) {
        uint32_t numbers[3] = {0};
        uint32_t count = message->wrap(v, numbers, &message);
        for (uint32_t i = 0; i < count; i++) {
            marks[depth++] = protobuf_begin(out, numbers[i]);
        }
    }
    write_message(message, v, out);
    while (depth > 0) {
        protobuf_end(out, marks[--depth]);
    }
}

/* An object with free names: repeated {name = 1, value = 2}. In Paths the entries are number 2, in
 * all others 1. */
static void write_named(const struct row *row, const struct val *v, struct buf *out)
{
    size_t all = protobuf_begin(out, row->number);
    VAL_EACH (it, v) {
        size_t entry = protobuf_begin(out, row->message == &path_item ? 2 : 1);
        protobuf_bytes(out, 1, it->key);
        write_nested(2, row->message, it, out);
        protobuf_end(out, entry);
    }
    protobuf_end(out, all);
}

/* Any{yaml = 2}: JSON is YAML. */
static void write_yaml(uint32_t number, const struct val *v, struct buf *out)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    val_write_json(v, &text);
    size_t mark = protobuf_begin(out, number);
    protobuf_bytes(out, 2, buf_view(&text));
    protobuf_end(out, mark);
}

static void write_extension(uint32_t number, const struct val *v, struct buf *out)
{
    size_t mark = protobuf_begin(out, number);
    protobuf_bytes(out, 1, v->key);
    write_yaml(2, v, out);
    protobuf_end(out, mark);
}

static void write_row(const struct row *row, const struct val *v, struct buf *out)
{
    size_t mark;
    switch (row->kind) {
    case TEXT:
        protobuf_bytes(out, row->number, val_text(v));
        break;
    case BOOLEAN:
        protobuf_bool(out, row->number, val_bool(v, false));
        break;
    case TEXTS:
        VAL_EACH (it, v) {
            protobuf_bytes(out, row->number, val_text(it));
        }
        break;
    case MESSAGE:
        write_nested(row->number, row->message, v, out);
        break;
    case MESSAGES:
        VAL_EACH (it, v) {
            write_nested(row->number, row->message, it, out);
        }
        break;
    case NAMED:
        write_named(row, v, out);
        break;
    case YAML:
        write_yaml(row->number, v, out);
        break;
    case WRAP_TEXT:
        mark = protobuf_begin(out, row->number);
        protobuf_bytes(out, 1, val_text(v));
        protobuf_end(out, mark);
        break;
    }
}

static void write_message(const struct message *message, const struct val *v, struct buf *out)
{
    VAL_EACH (it, v) {
        if (message->extensions != 0 && str_starts(it->key, STR("x-"))) {
            write_extension(message->extensions, it, out);
            continue;
        }
        for (const struct row *row = message->rows; row != NULL && row->name != NULL; row++) {
            if (str_is(it->key, row->name)) {
                write_row(row, it, out);
            }
        }
    }
}

void openapi_v2_protobuf(struct api_catalog catalog, struct buf *out)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf json BUF_CLEANUP = BUF_INIT;
    struct val *v = NULL;
    openapi_v2(catalog, &json);
    if (val_parse_json(&arena, buf_view(&json), &v, NULL) == 0) { /* our own text: it is */
        write_message(&document, v, out);
    }
}
