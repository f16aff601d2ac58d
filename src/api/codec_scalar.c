/* codec_scalar.c: whether one value is what its field wants, and its normal form.
 *
 * Quantities become canonical text, times UTC with seconds or microseconds, durations Go's text,
 * bytes base64 without line breaks: so that equal objects are equal bytes. Texts that are normal
 * already, nearly all of them, are recognised without parsing to the end and stay where they are.
 */
#include "api/codec_int.h"
#include "api/quantity.h"
#include "base/clock.h"

static const char *as_text(const struct val *v, const char *wanted)
{
    return v->type == VAL_STRING ? NULL : wanted;
}

/* Integer text in [-2^(bits-1), 2^(bits-1)), without fraction or exponent, as encoding/json wants
 * it. */
static const char *as_int(struct val *v, int bits)
{
    const char *wanted = bits == 32 ? "a 32 bit integer" : "a 64 bit integer";
    int64_t value = 0;
    if (v->type != VAL_NUMBER || !str_i64(v->text, &value)) {
        return wanted;
    }
    if (bits == 32 && (value < INT32_MIN || value > INT32_MAX)) {
        return wanted;
    }
    if (value == 0) {
        v->text = STR("0"); /* "-0" */
    }
    return NULL;
}

/* Already canonical: "7", "250m", "64Mi": few digits, no leading zero, and not shortable. */
static bool quantity_is_normal(struct str text)
{
    size_t digits = 0;
    uint64_t value = 0;
    while (digits < text.n && digits < 15 && text.p[digits] >= '0' && text.p[digits] <= '9') {
        value = value * 10 + (uint64_t)(text.p[digits++] - '0');
    }
    if (digits == 0 || (text.p[0] == '0' && text.n > 1)) {
        return false;
    }
    struct str suffix = str_from(text, digits);
    if (suffix.n == 0) {
        return value % 1000 != 0 || value == 0;
    }
    if (suffix.n == 1) {
        return strchr("mkMGTPE", suffix.p[0]) != NULL && value % 1000 != 0 && digits < 9;
    }
    return suffix.n == 2 && suffix.p[1] == 'i' && strchr("KMGT", suffix.p[0]) != NULL &&
           value % 1024 != 0 && digits < 6;
}

bool codec_quantity(struct arena *arena, struct val *v)
{
    if (v->type != VAL_STRING && v->type != VAL_NUMBER) {
        return false;
    }
    if (!quantity_is_normal(v->text)) {
        struct quantity quantity;
        char text[64];
        if (!quantity_parse(str_trim(v->text), &quantity)) {
            return false;
        }
        size_t n = quantity_format(quantity, text);
        if (!str_eq(v->text, str_at(text, n))) {
            v->text = str_copy_in(arena, str_at(text, n));
        }
    }
    v->type = VAL_STRING;
    return true;
}

/* A year that 64 bits of nanoseconds do not reach, but right otherwise: judged by a near year with
 * as many days, and left as it is. Only times in UTC. */
static bool is_far_time(struct str text)
{
    char near[TIME_TEXT_SIZE];
    uint64_t year = 0;
    int64_t ns = 0;
    if (!str_u64(str_at(text.p, 4), &year)) {
        return false;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    memcpy(near, text.p, text.n);
    memcpy(near, leap ? "2000" : "2001", 4);
    return time_parse(str_at(near, text.n), &ns);
}

/* Whether a MicroTime has its six digits, without which upstream takes none. */
static bool has_micros(struct str text)
{
    size_t n = 0;
    while (20 + n < text.n && text.p[20 + n] >= '0' && text.p[20 + n] <= '9') {
        n++;
    }
    return text.n > 20 && text.p[19] == '.' && n == 6;
}

/* The zero time is the same as none. */
static const char *as_time(struct arena *arena, struct val *v, bool micro)
{
    int64_t ns = 0;
    char text[TIME_TEXT_SIZE];
    bool utc =
        v->type == VAL_STRING && v->text.n == (micro ? 27 : 20) && v->text.p[v->text.n - 1] == 'Z';
    if (v->type == VAL_STRING && time_parse(v->text, &ns)) {
        if (micro && !has_micros(v->text)) {
            return "a time with six digits after its seconds (2006-01-02T15:04:05.000000Z)";
        }
        if (!utc) {
            size_t n = micro ? time_format_micro(ns, text) : time_format(ns, text);
            v->text = str_copy_in(arena, str_at(text, n));
        }
        return NULL;
    }
    if (v->type == VAL_STRING && str_is(v->text, "0001-01-01T00:00:00Z")) {
        v->type = VAL_NULL;
        return NULL;
    }
    return utc && is_far_time(v->text) ? NULL : "a time as RFC 3339 has it (2006-01-02T15:04:05Z)";
}

static const char *as_duration(struct arena *arena, struct val *v)
{
    int64_t ns = 0;
    char text[TIME_TEXT_SIZE];
    if (v->type != VAL_STRING || !duration_parse(v->text, &ns)) {
        return "a duration (1h30m)";
    }
    size_t n = duration_format(ns, text);
    if (!str_eq(v->text, str_at(text, n))) {
        v->text = str_copy_in(arena, str_at(text, n));
    }
    return NULL;
}

static inline bool is_base64(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* Base64 that is not in its only normal form: line breaks, unused bits. Decoded and encoded again.
 */
static const char *bytes_again(struct arena *arena, struct val *v)
{
    struct buf tidy BUF_CLEANUP = BUF_INIT, raw BUF_CLEANUP = BUF_INIT,
                    again BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < v->text.n; i++) {
        if (v->text.p[i] != '\n' && v->text.p[i] != '\r') {
            buf_char(&tidy, v->text.p[i]);
        }
    }
    if (!base64_decode(&raw, buf_view(&tidy)) || !arena_room(arena, tidy.n + 1)) {
        return "base64 text";
    }
    base64_encode(&again, raw.p, raw.n);
    v->text = str_copy_in(arena, buf_view(&again));
    return NULL;
}

static const char *as_bytes(struct arena *arena, struct val *v)
{
    if (v->type != VAL_STRING) {
        return "base64 text";
    }
    size_t n = v->text.n, pad = 0;
    const unsigned char *p = (const unsigned char *)v->text.p;
    while (pad < 2 && pad < n && p[n - 1 - pad] == '=') {
        pad++;
    }
    for (size_t i = 0; i < n - pad; i++) {
        if (!is_base64(p[i])) {
            return bytes_again(arena, v);
        }
    }
    return n % 4 == 0 && pad == 0 ? NULL : bytes_again(arena, v);
}

static const char *as_int_or_string(struct val *v)
{
    if (v->type == VAL_STRING || (v->type == VAL_NUMBER && as_int(v, 32) == NULL)) {
        return NULL;
    }
    return "an integer or a string";
}

static const char *check_one(struct arena *arena, const struct api_field *field, struct val *v)
{
    switch ((enum api_type)field->type) {
    case API_TYPE_STRING:
        return as_text(v, "a string");
    case API_TYPE_BYTES:
        return as_bytes(arena, v);
    case API_TYPE_BOOL:
        return v->type == VAL_TRUE || v->type == VAL_FALSE ? NULL : "true or false";
    case API_TYPE_INT32:
        return as_int(v, 32);
    case API_TYPE_INT64:
        return as_int(v, 64);
    case API_TYPE_DOUBLE:
        return v->type == VAL_NUMBER ? NULL : "a number";
    case API_TYPE_QUANTITY:
        return codec_quantity(arena, v) ? NULL : "a quantity (100m, 1.5, 64Mi)";
    case API_TYPE_INT_OR_STRING:
        return as_int_or_string(v);
    case API_TYPE_TIME:
        return as_time(arena, v, false);
    case API_TYPE_MICRO_TIME:
        return as_time(arena, v, true);
    case API_TYPE_DURATION:
        return as_duration(arena, v);
    case API_TYPE_STRUCT:
        return v->type == VAL_OBJECT ? NULL : "an object";
    case API_TYPE_ANY:
        return NULL;
    case API_TYPE_NESTED:
        return codec_check(arena, &field->type_struct->fields[0], false, v);
    }
    return NULL;
}

const char *codec_check(struct arena *arena, const struct api_field *field, bool as_member,
                        struct val *v)
{
    if (!as_member && field->shape == API_SHAPE_LIST) {
        return v->type == VAL_ARRAY ? NULL : "a list";
    }
    if (!as_member && field->shape == API_SHAPE_MAP) {
        return v->type == VAL_OBJECT ? NULL : "an object";
    }
    return check_one(arena, field, v);
}

void codec_zero_member(const struct api_field *field, struct val *v)
{
    switch ((enum api_type)field->type) {
    case API_TYPE_STRING:
    case API_TYPE_BYTES:
        v->type = VAL_STRING;
        break;
    case API_TYPE_BOOL:
        v->type = VAL_FALSE;
        break;
    case API_TYPE_INT32:
    case API_TYPE_INT64:
    case API_TYPE_DOUBLE:
    case API_TYPE_INT_OR_STRING:
        v->type = VAL_NUMBER;
        v->text = STR("0");
        break;
    case API_TYPE_QUANTITY:
        v->type = VAL_STRING;
        v->text = STR("0");
        break;
    case API_TYPE_STRUCT:
        v->type = VAL_OBJECT;
        break;
    case API_TYPE_NESTED:
        v->type = field->type_struct->fields[0].shape == API_SHAPE_LIST ? VAL_ARRAY : VAL_OBJECT;
        break;
    default:
        break; /* a null time, duration or anything stays null */
    }
}
