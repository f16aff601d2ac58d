/* protobuf_scalar.c: one JSON value as protobuf has it: texts, numbers, times, quantities, free
 * JSON, and the few unions of apiextensions. */
#include "api/codec_int.h"
#include "api/json_int.h"
#include "api/json_skip.h"
#include "api/protobuf_int.h"
#include "base/clock.h"

void wire_close_long(struct buf *out, size_t mark)
{
    size_t n = out->n - mark, head = wire_varint_size(n);
    char *room = buf_room(out, head);
    (void)room;
    memmove(out->p + mark + head - 1, out->p + mark, n);
    out->n = mark - 1;
    wire_varint(out, n);
    out->n += n;
}

const char *wire_quote(const char *p, const char *end)
{
    p = json_to_mark(p, end);
    return p < end && *p == '"' ? p : NULL;
}

/* After the opening quote; *ret_text lies in the input, or in the scratch when it has escapes. */
static inline const char *read_text(struct protobuf_writer *w, const char *p, struct str *ret_text)
{
    const char *to = json_to_mark(p, w->end), *why = NULL;
    if (to < w->end && *to == '"') {
        *ret_text = str_at(p, (size_t)(to - p));
        return to + 1;
    }
    return to < w->end ? json_scan_string(&w->scratch, p, w->end, ret_text, &why) : NULL;
}

static inline const char *read_quoted(struct protobuf_writer *w, const char *p,
                                      struct str *ret_text)
{
    return p < w->end && *p == '"' ? read_text(w, p + 1, ret_text) : NULL;
}

static const char *read_int(const struct protobuf_writer *w, const char *p, int64_t *ret_value)
{
    bool minus = p < w->end && *p == '-';
    uint64_t value = 0;
    const char *from = p += minus;
    while (p < w->end && *p >= '0' && *p <= '9') {
        value = value * 10 + (uint64_t)(*p++ - '0');
    }
    *ret_value = minus ? (int64_t)(0 - value) : (int64_t)value;
    return p > from && p - from <= 19 ? p : NULL;
}

static const char *write_bytes(struct protobuf_writer *w, const char *p)
{
    struct str text = STR_NONE;
    p = read_quoted(w, p, &text);
    if (p == NULL) {
        return NULL;
    }
    size_t mark = wire_open(w->out);
    if (text.n > 0 && !base64_decode(w->out, text)) {
        return NULL;
    }
    wire_close(w->out, mark);
    return p;
}

static const char *write_double(struct protobuf_writer *w, const char *p)
{
    char text[400];
    const char *end = json_skip_value(p, w->end);
    double value = 0;
    if (end == NULL || (size_t)(end - p) >= sizeof text) {
        return NULL;
    }
    if (!str_double(str_at(p, (size_t)(end - p)), &value)) {
        return NULL;
    }
    buf_add(w->out, &value, sizeof value); /* little endian, as all that we run on */
    return end;
}

/* Quantity: {1 text}. */
static const char *write_quantity(struct protobuf_writer *w, const char *p)
{
    struct str text = STR_NONE;
    p = read_quoted(w, p, &text);
    if (p == NULL) {
        return NULL;
    }
    wire_varint(w->out, wire_varint_size(text.n) + 1 + text.n);
    wire_varint(w->out, 1 << 3 | 2);
    wire_text(w->out, text.p, text.n);
    return p;
}

/* IntOrString: {1 kind, 2 number, 3 text}, all of them always. */
static const char *write_int_or_string(struct protobuf_writer *w, const char *p)
{
    int64_t number = 0;
    struct str text = STR("");
    bool quoted = p < w->end && *p == '"';
    p = quoted ? read_text(w, p + 1, &text) : read_int(w, p, &number);
    if (p == NULL) {
        return NULL;
    }
    size_t mark = wire_open(w->out);
    wire_varint(w->out, 1 << 3);
    wire_varint(w->out, quoted);
    wire_varint(w->out, 2 << 3);
    wire_varint(w->out, (uint64_t)number);
    wire_varint(w->out, 3 << 3 | 2);
    wire_text(w->out, text.p, text.n);
    wire_close(w->out, mark);
    return p;
}

/* ---- times ---- */

/* Days since 1970-01-01 in the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date
 * algorithms"). */
static int64_t days_from_civil(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static inline int64_t digits(const char *p, size_t n)
{
    int64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value = value * 10 + (p[i] - '0');
    }
    return value;
}

/* Canonical: "2006-01-02T15:04:05Z", "2006-01-02T15:04:05.000000Z". A Timestamp {1 seconds, 2
 * nanos}. */
static const char *write_time(struct protobuf_writer *w, const char *p)
{
    struct str text = STR_NONE;
    p = read_quoted(w, p, &text);
    if (p == NULL || (text.n != 20 && text.n != 27)) {
        return NULL;
    }
    const char *t = text.p;
    int64_t days = days_from_civil(digits(t, 4), digits(t + 5, 2), digits(t + 8, 2));
    int64_t seconds =
        days * 86400 + digits(t + 11, 2) * 3600 + digits(t + 14, 2) * 60 + digits(t + 17, 2);
    size_t mark = wire_open(w->out);
    wire_varint(w->out, 1 << 3);
    wire_varint(w->out, (uint64_t)seconds);
    wire_varint(w->out, 2 << 3);
    wire_varint(w->out, text.n == 27 ? (uint64_t)digits(t + 20, 6) * 1000 : 0);
    wire_close(w->out, mark);
    return p;
}

static const char *write_duration(struct protobuf_writer *w, const char *p)
{
    struct str text = STR_NONE;
    int64_t ns = 0;
    p = read_quoted(w, p, &text);
    if (p == NULL || !duration_parse(text, &ns)) {
        return NULL;
    }
    wire_varint(w->out, 1 + wire_varint_size((uint64_t)ns));
    wire_varint(w->out, 1 << 3);
    wire_varint(w->out, (uint64_t)ns);
    return p;
}

/* ---- free JSON ---- */

/* RawExtension, JSON, FieldsV1: {1 the JSON text}. */
static const char *write_any(struct protobuf_writer *w, const char *p)
{
    const char *end = json_skip_value(p, w->end);
    if (end == NULL) {
        return NULL;
    }
    size_t n = (size_t)(end - p);
    wire_varint(w->out, 1 + wire_varint_size(n) + n);
    wire_varint(w->out, 1 << 3 | 2);
    wire_text(w->out, p, n);
    return end;
}

const char *wire_scalar(struct protobuf_writer *w, const struct api_field *field, const char *p)
{
    struct str text = STR_NONE;
    int64_t number = 0;
    switch ((enum api_type)field->type) {
    case API_TYPE_STRING:
        p = read_quoted(w, p, &text);
        if (p != NULL) {
            wire_text(w->out, text.p, text.n);
        }
        return p;
    case API_TYPE_BYTES:
        return write_bytes(w, p);
    case API_TYPE_BOOL:
        wire_varint(w->out, *p == 't');
        p += *p == 't' ? 4 : 5;
        return p < w->end ? p : NULL;
    case API_TYPE_INT32:
    case API_TYPE_INT64:
        p = read_int(w, p, &number);
        wire_varint(w->out, (uint64_t)number);
        return p;
    case API_TYPE_DOUBLE:
        return write_double(w, p);
    case API_TYPE_QUANTITY:
        return write_quantity(w, p);
    case API_TYPE_INT_OR_STRING:
        return write_int_or_string(w, p);
    case API_TYPE_TIME:
    case API_TYPE_MICRO_TIME:
        return write_time(w, p);
    case API_TYPE_DURATION:
        return write_duration(w, p);
    case API_TYPE_ANY:
        return write_any(w, p);
    case API_TYPE_STRUCT:
    case API_TYPE_NESTED:
        break;
    }
    return NULL;
}

/* ---- unions of apiextensions ---- */

static const char *write_schema(struct protobuf_writer *w, const struct api_struct *around,
                                uint32_t number, const char *p, unsigned depth)
{
    wire_varint(w->out, number << 3 | 2);
    size_t mark = wire_open(w->out);
    p = protobuf_write_struct(w, around, p, depth + 1);
    wire_close(w->out, mark);
    return p;
}

/* {1 schema, 2 schemas} and {1 schema, 2 texts}. */
static const char *write_list_form(struct protobuf_writer *w, const struct api_struct *around,
                                   bool texts, const char *p, unsigned depth)
{
    static const struct api_field item = {.name = "", .type = API_TYPE_STRING};
    p++;
    while (p != NULL && p < w->end && *p != ']') {
        p += *p == ',';
        if (texts) {
            wire_varint(w->out, 2 << 3 | 2);
            p = wire_scalar(w, &item, p);
        } else {
            p = write_schema(w, around, 2, p, depth);
        }
    }
    return p != NULL && p < w->end ? p + 1 : NULL;
}

const char *protobuf_write_form(struct protobuf_writer *w, const struct api_struct *around,
                                const struct api_field *field, const char *p, unsigned depth)
{
    size_t mark = wire_open(w->out);
    bool or_bool = field->wire == API_WIRE_SCHEMA_OR_BOOL;
    if (or_bool) { /* {1 allows, 2 schema}; a schema allows */
        wire_varint(w->out, 1 << 3);
        wire_varint(w->out, *p != 'f');
    }
    if (*p == '{') {
        p = write_schema(w, around, or_bool ? 2 : 1, p, depth);
    } else if (*p == '[' && !or_bool) {
        p = write_list_form(w, around, field->wire == API_WIRE_SCHEMA_OR_STRINGS, p, depth);
    } else {
        p = json_skip_value(p, w->end);
    }
    wire_close(w->out, mark);
    return p;
}
