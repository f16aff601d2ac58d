/* codec_protobuf.c: protobuf bodies onto the tape: the envelope "k8s\0" + runtime.Unknown, then
 * messages by the numbers of the kind's tables (proto2 as gogo writes it: members without a pointer
 * are on the wire also when zero).
 *
 * What JSON would leave out is left out here as well (empty text, zero, false of members without a
 * pointer), so that defaults and comparisons see the same tape whatever the body's form was.
 * Messages that JSON flattens (field.outer) are read into the object around them. Depth is bounded
 * by VAL_DEPTH_MAX, so recursion is too.
 */
#include "api/codec_int.h"
#include "base/clock.h"
#include "wire/protobuf.h"

struct decoding {
    struct arena *arena;
    struct err *err;
};

static int message_read(struct decoding *d, const struct api_struct *type, struct str bytes,
                        uint16_t outer, int depth, struct val *object);

static int bad(struct decoding *d, const struct api_struct *type, uint32_t number)
{
    return err_set(d->err, ERR_BAD_REQUEST, "protobuf field %u of %s is not what it should be",
                   number, type->proto_name != NULL ? type->proto_name : type->name);
}

/* The one field `number` of a wrapper message (Quantity, RawExtension ...): its bytes, empty when
 * absent. */
static bool wrapped(struct str message, uint32_t number, struct str *ret_bytes)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    *ret_bytes = STR("");
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
        if (field.number == number && field.type == 2) {
            *ret_bytes = field.bytes;
        }
    }
    return !reader.failed;
}

static bool wrapped_numbers(struct str message, int64_t values[4], struct str *ret_text)
{
    struct protobuf_reader reader;
    struct protobuf_field field;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &field)) {
        if (field.type == 0 && field.number < 4) {
            values[field.number] = (int64_t)field.value;
        } else if (field.type == 2) {
            *ret_text = field.bytes;
        }
    }
    return !reader.failed;
}

/* Time and MicroTime are a Timestamp: {1 seconds, 2 nanos}; an empty message is no time. */
static bool time_read(struct decoding *d, struct str message, bool micro, struct val **ret_value)
{
    int64_t parts[4] = {0};
    struct str ignored = STR_NONE;
    char text[TIME_TEXT_SIZE];
    const int64_t year_1 = -62135596800, year_10000 = 253402300800;
    if (!wrapped_numbers(message, parts, &ignored) || parts[1] < year_1 || parts[1] >= year_10000 ||
        parts[2] < 0 || parts[2] >= NS_PER_S) {
        return false;
    }
    if (message.n == 0 || (parts[1] == year_1 && parts[2] == 0)) {
        *ret_value = NULL;
        return true;
    }
    size_t n = time_format_seconds(parts[1], micro ? (int)(parts[2] / 1000) : -1, text);
    *ret_value = val_new_text(d->arena, str_copy_in(d->arena, str_at(text, n)));
    return true;
}

static bool int_or_string_read(struct decoding *d, struct str message, struct val **ret_value)
{
    int64_t parts[4] = {0}; /* 1: kind (0 number, 1 text), 2: number */
    struct str text = STR("");
    if (!wrapped_numbers(message, parts, &text)) {
        return false;
    }
    *ret_value =
        parts[1] == 0 ? val_new_int(d->arena, (int32_t)parts[2]) : val_new_text(d->arena, text);
    return json_text_good(text);
}

/* RawExtension, JSON, FieldsV1: {1 bytes of JSON}. */
static bool any_read(struct decoding *d, struct str message, struct val **ret_value)
{
    struct str json;
    if (!wrapped(message, 1, &json)) {
        return false;
    }
    *ret_value = NULL;
    return json.n == 0 || val_parse_json(d->arena, json, ret_value, NULL) == 0;
}

static bool scalar_read(struct decoding *d, const struct api_field *field,
                        const struct protobuf_field *wire, struct val **ret_value)
{
    struct buf base64 BUF_CLEANUP = BUF_INIT;
    int64_t number[4] = {0};
    double real = 0;
    char text[TIME_TEXT_SIZE];
    _Static_assert((int)TIME_TEXT_SIZE >= (int)DOUBLE_TEXT_SIZE, "room for both");
    struct str inner;
    switch ((enum api_type)field->type) {
    case API_TYPE_BOOL:
        *ret_value = val_new_bool(d->arena, wire->value != 0);
        return wire->type == 0;
    case API_TYPE_INT32:
        *ret_value = val_new_int(d->arena, (int32_t)wire->value);
        return wire->type == 0;
    case API_TYPE_INT64:
        *ret_value = val_new_int(d->arena, (int64_t)wire->value);
        return wire->type == 0;
    case API_TYPE_DOUBLE:
        memcpy(&real, &wire->value, sizeof real);
        *ret_value = val_new(d->arena, VAL_NUMBER);
        (*ret_value)->text = str_copy_in(d->arena, str_at(text, double_format(real, text)));
        return wire->type == 1;
    case API_TYPE_STRING:
        *ret_value = val_new_text(d->arena, wire->bytes);
        return wire->type == 2 && json_text_good(wire->bytes);
    case API_TYPE_BYTES:
        base64_encode(&base64, wire->bytes.p, wire->bytes.n);
        *ret_value = val_new_text(d->arena, str_copy_in(d->arena, buf_view(&base64)));
        return wire->type == 2;
    case API_TYPE_QUANTITY:
        if (wire->type != 2 || !wrapped(wire->bytes, 1, &inner)) {
            return false;
        }
        *ret_value = val_new_text(d->arena, inner.n > 0 ? inner : STR("0"));
        return json_text_good(inner);
    case API_TYPE_INT_OR_STRING:
        return wire->type == 2 && int_or_string_read(d, wire->bytes, ret_value);
    case API_TYPE_TIME:
    case API_TYPE_MICRO_TIME:
        return wire->type == 2 &&
               time_read(d, wire->bytes, field->type == API_TYPE_MICRO_TIME, ret_value);
    case API_TYPE_DURATION:
        if (wire->type != 2 || !wrapped_numbers(wire->bytes, number, &inner)) {
            return false;
        }
        *ret_value = val_new_text(
            d->arena, str_copy_in(d->arena, str_at(text, duration_format(number[1], text))));
        return true;
    case API_TYPE_ANY:
        return wire->type == 2 && any_read(d, wire->bytes, ret_value);
    case API_TYPE_STRUCT:
    case API_TYPE_NESTED:
        break;
    }
    return false;
}

static int member_read(struct decoding *d, const struct api_struct *type,
                       const struct api_field *field, const struct protobuf_field *wire, int depth,
                       struct val **ret_value);

/* A member that is a list itself (ExtraValue): the message {1 item, ...}. */
static int nested_read(struct decoding *d, const struct api_struct *type,
                       const struct api_field *field, struct str message, int depth,
                       struct val **ret_value)
{
    struct api_field item = field->type_struct->fields[0];
    struct protobuf_reader reader;
    struct protobuf_field wire;
    item.shape = API_SHAPE_ONE;
    *ret_value = val_new(d->arena, VAL_ARRAY);
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &wire)) {
        struct val *value = NULL;
        int rc = wire.number == 1 ? member_read(d, type, &item, &wire, depth + 1, &value) : 0;
        if (rc != 0) {
            return rc;
        }
        if (value != NULL) {
            val_append(*ret_value, value);
        }
    }
    return reader.failed ? bad(d, type, field->number) : 0;
}

/* What JSON has as a schema, a list, a truth or texts: {1 schema or truth, 2 schema, schemas or
 * texts}. */
static int form_read(struct decoding *d, const struct api_struct *around,
                     const struct api_field *field, struct str message, int depth,
                     struct val **ret_value)
{
    struct protobuf_reader reader;
    struct protobuf_field wire;
    struct val *list = NULL, *one = NULL;
    bool or_bool = field->wire == API_WIRE_SCHEMA_OR_BOOL;
    protobuf_reader_init(&reader, message);
    while (protobuf_next(&reader, &wire)) {
        struct val *value = NULL;
        bool text = field->wire == API_WIRE_SCHEMA_OR_STRINGS && wire.number == 2;
        if (or_bool && wire.number == 1 && wire.type == 0) {
            one = one != NULL ? one : val_new_bool(d->arena, wire.value != 0);
            continue;
        }
        if (wire.type != 2 || wire.number > 2 || (text && !json_text_good(wire.bytes))) {
            return bad(d, around, field->number);
        }
        value = text ? val_new_text(d->arena, wire.bytes) : val_new(d->arena, VAL_OBJECT);
        int rc = text ? 0 : message_read(d, around, wire.bytes, 0, depth + 1, value);
        if (rc != 0) {
            return rc;
        }
        if (wire.number == 1 || or_bool) {
            one = value;
        } else {
            list = list != NULL ? list : val_new(d->arena, VAL_ARRAY);
            val_append(list, value);
        }
    }
    *ret_value = one != NULL ? one : list;
    return reader.failed ? bad(d, around, field->number) : 0;
}

static int member_read(struct decoding *d, const struct api_struct *type,
                       const struct api_field *field, const struct protobuf_field *wire, int depth,
                       struct val **ret_value)
{
    if (field->wire != API_WIRE_PLAIN) {
        return wire->type == 2 ? form_read(d, type, field, wire->bytes, depth, ret_value)
                               : bad(d, type, wire->number);
    }
    if (field->type == API_TYPE_NESTED) {
        return wire->type == 2 && depth < VAL_DEPTH_MAX
                   ? nested_read(d, type, field, wire->bytes, depth, ret_value)
                   : bad(d, type, wire->number);
    }
    if (field->type != API_TYPE_STRUCT) {
        return scalar_read(d, field, wire, ret_value) ? 0 : bad(d, type, wire->number);
    }
    if (wire->type != 2) {
        return bad(d, type, wire->number);
    }
    *ret_value = val_new(d->arena, VAL_OBJECT);
    return message_read(d, field->type_struct, wire->bytes, 0, depth + 1, *ret_value);
}

/* A map is repeated entries {1 key, 2 value}. A value that is a list of texts (ExtraValue) is {1
 * text, ...}. */
static int entry_read(struct decoding *d, const struct api_struct *type,
                      const struct api_field *field, struct str entry, int depth, struct val *map)
{
    struct protobuf_reader reader;
    struct protobuf_field part, value = {.number = 2, .type = 2, .bytes = STR("")};
    struct val *member = NULL;
    struct str key = STR("");
    protobuf_reader_init(&reader, entry);
    while (protobuf_next(&reader, &part)) {
        if (part.number == 1 && part.type == 2) {
            key = part.bytes;
        } else if (part.number == 2) {
            value = part;
        }
    }
    if (reader.failed || !json_text_good(key)) {
        return bad(d, type, field->number);
    }
    int rc = member_read(d, type, field, &value, depth, &member);
    if (rc == 0) {
        val_set(map, key, member != NULL ? member : val_new(d->arena, VAL_NULL));
    }
    return rc;
}

/* JSON leaves out members without a pointer that are zero. */
static bool is_left_out(const struct api_field *field, const struct val *value)
{
    if (value == NULL) {
        return true;
    }
    if ((field->flags & API_POINTER) != 0) {
        return false;
    }
    return value->type == VAL_FALSE || (value->type == VAL_STRING && value->text.n == 0) ||
           (value->type == VAL_NUMBER && str_is(value->text, "0") &&
            field->type != API_TYPE_INT_OR_STRING);
}

static int packed_read(struct decoding *d, const struct api_struct *type,
                       const struct api_field *field, struct str bytes, struct val *list)
{
    size_t at = 0;
    while (at < bytes.n) {
        struct protobuf_field one = {.number = field->number, .type = 0};
        struct val *value = NULL;
        for (int shift = 0;; shift += 7) {
            if (at >= bytes.n || shift > 63) {
                return bad(d, type, field->number);
            }
            unsigned char byte = (unsigned char)bytes.p[at++];
            one.value |= (uint64_t)(byte & 127) << shift;
            if (byte < 128) {
                break;
            }
        }
        if (!scalar_read(d, field, &one, &value)) {
            return bad(d, type, field->number);
        }
        val_append(list, value);
    }
    return 0;
}

static int field_read(struct decoding *d, const struct api_struct *type,
                      const struct api_field *field, const struct protobuf_field *wire, int depth,
                      struct val *object)
{
    struct str key = str_at(field->name, field->name_n);
    struct val *value = NULL;
    bool number = field->type == API_TYPE_INT32 || field->type == API_TYPE_INT64 ||
                  field->type == API_TYPE_BOOL;
    if (field->shape == API_SHAPE_MAP) {
        return wire->type == 2 ? entry_read(d, type, field, wire->bytes, depth,
                                            val_make_object(d->arena, object, key))
                               : bad(d, type, wire->number);
    }
    if (field->shape == API_SHAPE_LIST && number && wire->type == 2) {
        return packed_read(d, type, field, wire->bytes, val_make_array(d->arena, object, key));
    }
    int rc = member_read(d, type, field, wire, depth, &value);
    if (rc != 0) {
        return rc;
    }
    if (field->shape == API_SHAPE_LIST) {
        val_append(val_make_array(d->arena, object, key),
                   value != NULL ? value : val_new(d->arena, VAL_NULL));
    } else if (!is_left_out(field, value)) {
        val_set(object, key, value);
    }
    return 0;
}

/* The field `number` of the message that `outer` names; *ret_flattened: it is itself a message
 * whose members belong to the object. */
static const struct api_field *field_find(const struct api_struct *type, uint16_t outer,
                                          uint32_t number, bool *ret_flattened)
{
    *ret_flattened = false;
    for (uint16_t i = 0; i < type->count; i++) {
        const struct api_field *field = &type->fields[i];
        if (field->outer == outer && field->number == number) {
            return field;
        }
        bool first = outer == 0 && field->outer != 0 &&
                     (field->outer < 256 ? field->outer : field->outer >> 8) == number;
        bool second = outer != 0 && outer < 256 && field->outer == (uint16_t)(outer << 8 | number);
        *ret_flattened = *ret_flattened || first || second;
    }
    return NULL;
}

static int message_read(struct decoding *d, const struct api_struct *type, struct str bytes,
                        uint16_t outer, int depth, struct val *object)
{
    struct protobuf_reader reader;
    struct protobuf_field wire;
    if (depth >= VAL_DEPTH_MAX) {
        return err_set(d->err, ERR_BAD_REQUEST, "the document is nested more than %d levels deep",
                       VAL_DEPTH_MAX);
    }
    protobuf_reader_init(&reader, bytes);
    while (protobuf_next(&reader, &wire)) {
        bool flattened = false;
        const struct api_field *field =
            wire.number < 4096 ? field_find(type, outer, wire.number, &flattened) : NULL;
        int rc = 0;
        if (!arena_room(d->arena, 256)) {
            return err_set(d->err, ERR_TOO_LARGE, "the document is too large");
        }
        if (field != NULL) {
            rc = field_read(d, type, field, &wire, depth, object);
        } else if (flattened && wire.type == 2) {
            uint16_t inner =
                outer == 0 ? (uint16_t)wire.number : (uint16_t)(outer << 8 | wire.number);
            rc = message_read(d, type, wire.bytes, inner, depth + 1, object);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return reader.failed ? err_set(d->err, ERR_BAD_REQUEST, "the protobuf message is cut or broken")
                         : 0;
}

/* runtime.Unknown: {1 typeMeta {1 apiVersion, 2 kind}, 2 raw, 3 contentEncoding, 4 contentType}. */
static bool envelope_read(struct str text, struct str *ret_version, struct str *ret_kind,
                          struct str *ret_raw)
{
    struct protobuf_reader reader, meta;
    struct protobuf_field field, part;
    if (text.n < 4 || memcmp(text.p, "k8s\0", 4) != 0) {
        return false;
    }
    protobuf_reader_init(&reader, str_from(text, 4));
    while (protobuf_next(&reader, &field)) {
        if (field.number == 2 && field.type == 2) {
            *ret_raw = field.bytes;
        } else if (field.number == 1 && field.type == 2) {
            protobuf_reader_init(&meta, field.bytes);
            while (protobuf_next(&meta, &part)) {
                *(part.number == 1 ? ret_version : ret_kind) = part.bytes;
            }
        }
    }
    return !reader.failed;
}

int codec_decode_protobuf(struct arena *arena, const struct api_struct *type, struct str text,
                          struct val **ret_value, struct err *err)
{
    struct decoding d = {arena, err};
    struct str version = STR(""), kind = STR(""), raw = STR("");
    if (type == NULL || !envelope_read(text, &version, &kind, &raw)) {
        return err_set(err, ERR_BAD_REQUEST,
                       "the body is no Kubernetes protobuf (it starts with k8s and a zero byte)");
    }
    struct val *object = val_new(arena, VAL_OBJECT);
    if (!json_text_good(kind) || !json_text_good(version)) {
        return err_set(err, ERR_BAD_REQUEST, "kind and apiVersion of the body are no text");
    }
    if (kind.n > 0) {
        val_set_text(arena, object, STR("kind"), kind);
    }
    if (version.n > 0) {
        val_set_text(arena, object, STR("apiVersion"), version);
    }
    int rc = message_read(&d, type, raw, 0, 0, object);
    rc = rc != 0 ? rc : codec_apply_schema(arena, type, object, CODEC_IGNORE, NULL, err);
    if (rc == 0) {
        *ret_value = object;
    }
    return rc;
}
