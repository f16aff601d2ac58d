/* protobuf_write.c: canonical JSON to protobuf. See protobuf.h.
 *
 * A struct's members are written as they come, the zeros between them copied from its table
 * (api_message.zeros), the length put in front when it is known. Only when members came in another
 * order than their numbers, they move; where JSON has flattened a message, it is put together again
 * from the spans of its members. Recursion is bounded by VAL_DEPTH_MAX.
 */
#include "api/protobuf.h"

#include <stdlib.h>

#include "api/json_int.h"
#include "api/json_skip.h"
#include "api/protobuf_int.h"
#include "base/mem.h"

enum { TRIES = 5 };

struct protobuf_span { /* one member, in writer->out */
    uint16_t field, rank;
    uint32_t n;
    size_t at;
};

static const char *write_struct(struct protobuf_writer *w, const struct api_struct *type,
                                const char *p, unsigned depth);

void protobuf_writer_done(struct protobuf_writer *w)
{
    free(w->spans);
    buf_done(&w->sorted);
    arena_done(&w->scratch);
    *w = (struct protobuf_writer){0};
}

/* ---- members that JSON has in another order ---- */

static const struct protobuf_span *span_find(const struct protobuf_writer *w, size_t base,
                                             uint16_t field)
{
    for (size_t i = w->span_count; i-- > base;) {
        if (w->spans[i].field == field) {
            return &w->spans[i];
        }
    }
    return NULL;
}

static void put_together(struct protobuf_writer *w, const struct api_message *message, size_t base)
{
    struct buf *out = &w->sorted;
    for (uint16_t i = 0; i < message->count; i++) {
        const struct api_step *step = &message->steps[i];
        const struct protobuf_span *span =
            step->group == NULL ? span_find(w, base, step->field) : NULL;
        if (step->group != NULL) {
            wire_varint(out, step->tag);
            size_t mark = wire_open(out);
            put_together(w, step->group, base);
            wire_close(out, mark);
        } else if (span != NULL) {
            buf_add(out, w->out->p + span->at, span->n);
        } else {
            size_t until = i + 1 < message->count ? step[1].zero_at : message->zero_n;
            buf_add(out, message->zeros + step->zero_at, until - step->zero_at);
        }
    }
}

static void regroup(struct protobuf_writer *w, const struct api_message *message, size_t base,
                    size_t start)
{
    size_t mark = w->sorted.n;
    put_together(w, message, base);
    w->out->n = start;
    buf_add(w->out, w->sorted.p + mark, w->sorted.n - mark);
    w->sorted.n = mark;
}

static inline struct protobuf_span *span_push(struct protobuf_writer *w)
{
    if (w->span_count == w->span_cap) {
        w->span_cap = w->span_cap > 0 ? 2 * w->span_cap : 128;
        w->spans = mem_realloc(w->spans, w->span_cap * sizeof *w->spans);
    }
    return &w->spans[w->span_count++];
}

/* ---- structs: order of members ---- */

struct open_struct {
    const struct api_struct *type;
    const struct api_message *message;
    size_t base, start; /* first span, first byte */
    uint16_t next;      /* the step that is due */
};

static inline uint32_t zeros_at(const struct api_message *message, uint32_t step)
{
    return step < message->count ? message->steps[step].zero_at : message->zero_n;
}

static inline void put_zeros(struct protobuf_writer *w, struct open_struct *s, uint16_t upto)
{
    uint32_t from = zeros_at(s->message, s->next), to = zeros_at(s->message, upto);
    if (to > from) {
        wire_add(w->out, s->message->zeros + from, to - from);
    }
}

/* The member that was just written from `at` on belongs before others that came earlier: moves it
 * there, over its zero. Those it passes are few and short as a rule. */
static void insert_member(struct protobuf_writer *w, struct open_struct *s, uint16_t field,
                          uint16_t rank, size_t at)
{
    span_push(w);
    struct protobuf_span *spans = w->spans;
    size_t i = w->span_count - 1, n = w->out->n - at, mark = w->sorted.n;
    while (i > s->base && spans[i - 1].rank > rank) {
        i--;
    }
    bool first = i == s->base;
    size_t pos = first ? s->start : spans[i - 1].at + spans[i - 1].n;
    pos += zeros_at(s->message, rank) -
           zeros_at(s->message, first ? 0 : (uint32_t)spans[i - 1].rank + 1);
    size_t zero = zeros_at(s->message, (uint32_t)rank + 1) - zeros_at(s->message, rank);
    char *out = w->out->p;
    buf_add(&w->sorted, out + at, n);
    memmove(out + pos + n, out + pos + zero, at - pos - zero);
    memcpy(out + pos, w->sorted.p + mark, n);
    w->sorted.n = mark;
    w->out->n -= zero;
    for (size_t k = w->span_count - 1; k > i; k--) {
        spans[k] = spans[k - 1];
        spans[k].at += n - zero;
    }
    spans[i] = (struct protobuf_span){.field = field, .rank = rank, .at = pos, .n = (uint32_t)n};
}

/* The step of a field, in the message or a group of it. */
static const struct api_step *step_of(const struct api_message *message, uint16_t field)
{
    uint16_t rank = message->ranks[field];
    if (rank != UINT16_MAX) {
        return &message->steps[rank];
    }
    for (uint16_t i = 0; message->grouped && i < message->count; i++) {
        const struct api_step *found =
            message->steps[i].group != NULL ? step_of(message->steps[i].group, field) : NULL;
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

/* Before a member: zeros of the steps that were passed. NULL: it has no number. */
static inline const struct api_step *begin_member(struct protobuf_writer *w, struct open_struct *s,
                                                  const struct api_field *field)
{
    if (s->message->grouped) {
        return step_of(s->message, field->index);
    }
    uint16_t rank = s->message->ranks[field->index];
    if (rank == UINT16_MAX) {
        return NULL;
    }
    if (rank > s->next) {
        put_zeros(w, s, rank);
    }
    return &s->message->steps[rank];
}

static inline void end_member(struct protobuf_writer *w, struct open_struct *s,
                              const struct api_field *field, size_t at)
{
    uint16_t rank = s->message->ranks[field->index];
    if (s->message->grouped || rank >= s->next) {
        *span_push(w) = (struct protobuf_span){
            .field = field->index, .rank = rank, .at = at, .n = (uint32_t)(w->out->n - at)};
        s->next = (uint16_t)(rank + 1);
    } else {
        insert_member(w, s, field->index, rank, at);
    }
}

/* ---- containers ---- */

/* A list inside a list or map (ExtraValue): a message {1 item, ...}. */
static const char *write_nested(struct protobuf_writer *w, const struct api_field *field,
                                const char *p)
{
    const struct api_field *item = &field->type_struct->fields[0];
    if (item->shape != API_SHAPE_LIST || item->type != API_TYPE_STRING) {
        return NULL;
    }
    size_t mark = wire_open(w->out);
    if (p >= w->end || *p++ != '[') {
        return NULL;
    }
    while (p != NULL && p < w->end && *p != ']') {
        p += *p == ',';
        wire_varint(w->out, 1 << 3 | 2);
        p = wire_scalar(w, item, p);
    }
    wire_close(w->out, mark);
    return p != NULL && p < w->end ? p + 1 : NULL;
}

/* One value after its tag. */
static inline const char *write_one(struct protobuf_writer *w, const struct api_struct *around,
                                    const struct api_field *field, const char *p, unsigned depth)
{
    if (field->wire != API_WIRE_PLAIN) {
        return protobuf_write_form(w, around, field, p, depth);
    }
    if (field->type == API_TYPE_STRUCT) {
        size_t mark = wire_open(w->out);
        p = write_struct(w, field->type_struct, p, depth + 1);
        wire_close(w->out, mark);
        return p;
    }
    return field->type == API_TYPE_NESTED ? write_nested(w, field, p) : wire_scalar(w, field, p);
}

static const char *write_list(struct protobuf_writer *w, const struct api_struct *around,
                              const struct api_field *field, uint32_t tag, const char *p,
                              unsigned depth)
{
    if (*p++ != '[') {
        return NULL;
    }
    while (p != NULL && p < w->end && *p != ']') {
        p += *p == ',';
        wire_varint(w->out, tag);
        p = write_one(w, around, field, p, depth);
    }
    return p != NULL && p < w->end ? p + 1 : NULL;
}

static const char *write_map(struct protobuf_writer *w, const struct api_struct *around,
                             const struct api_field *field, uint32_t tag, const char *p,
                             unsigned depth)
{
    static const struct api_field key = {.name = "", .type = API_TYPE_STRING};
    uint32_t value_tag = 2 << 3 | wire_type(field);
    if (*p++ != '{') {
        return NULL;
    }
    while (p != NULL && p < w->end && *p != '}') {
        p += *p == ',';
        wire_varint(w->out, tag);
        size_t mark = wire_open(w->out);
        wire_varint(w->out, 1 << 3 | 2);
        p = wire_scalar(w, &key, p);
        if (p == NULL || p >= w->end || *p++ != ':') {
            return NULL;
        }
        wire_varint(w->out, value_tag);
        p = write_one(w, around, field, p, depth);
        wire_close(w->out, mark);
    }
    return p != NULL && p < w->end ? p + 1 : NULL;
}

/* ---- structs ---- */

static void put_revision(struct protobuf_writer *w, struct open_struct *s)
{
    w->revision_at = NULL;
    if (w->revision == 0) {
        return; /* a dry run's object has none */
    }
    const struct api_field *field = schema_field(s->type, STR("resourceVersion"));
    const struct api_step *step = field != NULL ? begin_member(w, s, field) : NULL;
    char digits[24];
    size_t n = 0, at = w->out->n; /* after the zeros before it */
    for (uint64_t v = w->revision; n == 0 || v > 0; v /= 10) {
        digits[sizeof digits - ++n] = (char)('0' + v % 10);
    }
    if (step != NULL) {
        wire_varint(w->out, step->tag);
        wire_text(w->out, digits + sizeof digits - n, n);
        end_member(w, s, field, at);
    }
}

static inline const char *write_member(struct protobuf_writer *w, struct open_struct *s,
                                       const struct api_field *field, const char *p, unsigned depth)
{
    const struct api_step *step = field != NULL ? begin_member(w, s, field) : NULL;
    if (step == NULL) {
        return json_skip_value(p, w->end);
    }
    size_t at = w->out->n;
    if (field->shape == API_SHAPE_ONE) {
        wire_varint(w->out, step->tag);
        p = write_one(w, s->type, field, p, depth);
    } else if (field->shape == API_SHAPE_LIST) {
        p = write_list(w, s->type, field, step->tag, p, depth);
    } else {
        p = write_map(w, s->type, field, step->tag, p, depth);
    }
    if (p != NULL) {
        end_member(w, s, field, at);
    }
    return p;
}

/* memcmp() of short texts without the call; 8 bytes of `a` may be read, n bytes of `b`. */
static inline bool same_name(const char *a, const char *b, size_t n)
{
    uint64_t x[2], y[2];
    if (n >= 8 && n <= 16) {
        memcpy(x, a, 8);
        memcpy(y, b, 8);
        memcpy(x + 1, a + n - 8, 8);
        memcpy(y + 1, b + n - 8, 8);
        return x[0] == y[0] && x[1] == y[1];
    }
    if (n >= 4 && n < 8) {
        uint32_t u[2], v[2];
        memcpy(u, a, 4);
        memcpy(v, b, 4);
        memcpy(u + 1, a + n - 4, 4);
        memcpy(v + 1, b + n - 4, 4);
        return u[0] == v[0] && u[1] == v[1];
    }
    return memcmp(a, b, n) == 0;
}

/* `p` is just after the opening quote of a member's name; *ret_value: after the colon. */
static inline const struct api_field *read_name(const struct protobuf_writer *w,
                                                const struct api_struct *type, uint16_t hint,
                                                const char *p, const char **ret_value)
{
    uint16_t upto = hint + TRIES < type->count ? (uint16_t)(hint + TRIES) : type->count;
    for (; hint < upto;
         hint++) { /* in order of the table, as a rule: the next one, or soon after */
        const struct api_field *field = &type->fields[hint];
        size_t n = field->name_n;
        if ((size_t)(w->end - p) > n + 8 && p[n] == '"' && same_name(p, field->name, n)) {
            *ret_value = p + n + 2;
            return field;
        }
    }
    const char *quote = wire_quote(p, w->end);
    if (quote == NULL || w->end - quote < 3) {
        *ret_value = NULL;
        return NULL;
    }
    *ret_value = quote + 2;
    return schema_field(type, str_at(p, (size_t)(quote - p)));
}

static inline bool is_null(const struct protobuf_writer *w, const char *p)
{
    return *p == 'n' && w->end - p >= 4;
}

static const char *write_members(struct protobuf_writer *w, struct open_struct *s, const char *p,
                                 unsigned depth)
{
    uint16_t hint = (s->type->flags & API_OBJECT) != 0 && depth > 0 ? 2 : 0;
    for (;;) {
        if (p == w->revision_at) {
            put_revision(w, s);
        }
        if (p == NULL || p >= w->end) {
            return NULL;
        }
        if (*p == '}') {
            return p + 1;
        }
        p += *p == ',';
        if (w->end - p < 4 || *p++ != '"') {
            return NULL;
        }
        const struct api_field *field = read_name(w, s->type, hint, p, &p);
        if (p == NULL || p >= w->end) {
            return NULL;
        }
        hint = field != NULL ? (uint16_t)(field->index + 1) : hint;
        p = is_null(w, p) ? p + 4 : write_member(w, s, field, p, depth);
    }
}

static const char *write_struct(struct protobuf_writer *w, const struct api_struct *type,
                                const char *p, unsigned depth)
{
    struct open_struct s = {
        .type = type, .message = type->message, .base = w->span_count, .start = w->out->n};
    if (s.message == NULL || depth > VAL_DEPTH_MAX || p >= w->end) {
        return NULL;
    }
    if (is_null(w, p)) { /* an element of a list */
        put_zeros(w, &s, s.message->count);
        return p + 4;
    }
    if (*p++ != '{') {
        return NULL;
    }
    p = write_members(w, &s, p, depth);
    if (p != NULL && s.message->grouped) {
        regroup(w, s.message, s.base, s.start);
    } else if (p != NULL) {
        put_zeros(w, &s, s.message->count);
    }
    w->span_count = s.base;
    return p;
}

const char *protobuf_write_struct(struct protobuf_writer *w, const struct api_struct *type,
                                  const char *p, unsigned depth)
{
    return write_struct(w, type, p, depth);
}

/* ---- documents ---- */

static bool write_whole(struct protobuf_writer *w, const struct api_struct *type, struct str json,
                        struct buf *out)
{
    size_t start = out->n;
    w->out = out;
    w->end = json.p + json.n;
    w->span_count = 0;
    w->sorted.n = 0;
    buf_room(out, json.n + 64);
    bool good = type->message != NULL && write_struct(w, type, json.p, 0) != NULL;
    w->revision_at = NULL;
    arena_reset(&w->scratch);
    if (!good) {
        out->n = start;
    }
    out->p[out->n] = '\0';
    return good;
}

bool protobuf_write(struct protobuf_writer *w, const struct api_struct *type, struct str json,
                    struct buf *out)
{
    w->revision_at = NULL;
    return write_whole(w, type, json, out);
}

bool protobuf_write_object(struct protobuf_writer *w, const struct api_struct *type,
                           const struct object *object, struct buf *out)
{
    w->revision_at = object->json + object->revision_at;
    w->revision = object->revision;
    return write_whole(w, type, str_at(object->json, object->n), out);
}

void protobuf_head(struct buf *out, uint32_t number, size_t size)
{
    wire_varint(out, number << 3 | 2);
    wire_varint(out, size);
}

size_t protobuf_head_size(uint32_t number, size_t size)
{
    return wire_varint_size(number << 3 | 2) + wire_varint_size(size);
}

void protobuf_envelope(struct str api_version, struct str kind, size_t size, struct buf *out)
{
    buf_add(out, "k8s\0", 4);
    protobuf_head(out, 1,
                  protobuf_head_size(1, api_version.n) + api_version.n +
                      protobuf_head_size(2, kind.n) + kind.n);
    protobuf_head(out, 1, api_version.n);
    buf_str(out, api_version);
    protobuf_head(out, 2, kind.n);
    buf_str(out, kind);
    protobuf_head(out, 2, size);
}

/* runtime.Unknown has two more texts, which are empty. */
void protobuf_envelope_end(struct buf *out)
{
    buf_add(out, "\x1a\0\x22\0", 4);
}

/* kind and apiVersion, wherever they stand at the top. */
static bool read_type(struct str json, struct str *ret_version, struct str *ret_kind)
{
    const char *p = json.p, *end = json.p + json.n;
    *ret_version = *ret_kind = STR_NONE;
    if (json.n < 2 || *p++ != '{') {
        return false;
    }
    while (p != NULL && p < end && *p != '}' && (ret_version->p == NULL || ret_kind->p == NULL)) {
        p += *p == ',';
        const char *name = p, *colon = json_skip_value(p, end);
        if (colon == NULL || *name != '"' || colon + 1 >= end) {
            return false;
        }
        struct str key = str_at(name + 1, (size_t)(colon - name) - 2);
        p = json_skip_value(colon + 1, end);
        struct str *into = str_is(key, "kind")         ? ret_kind
                           : str_is(key, "apiVersion") ? ret_version
                                                       : NULL;
        if (p != NULL && into != NULL && colon[1] == '"') {
            *into = str_at(colon + 2, (size_t)(p - colon) - 3);
        }
    }
    return ret_kind->p != NULL;
}

static const struct api_struct *type_named(struct str version, struct str kind)
{
    struct str group, rest;
    if (version.n == 0 || str_is(version, "meta.k8s.io/v1")) { /* /api has no apiVersion */
        return schema_object_type(STR(""), STR("v1"), kind);
    }
    schema_split_version(version, &group, &rest);
    return schema_object_type(group, rest, kind);
}

bool protobuf_write_document(struct protobuf_writer *w, struct str json, struct buf *out)
{
    struct str version, kind;
    struct buf message BUF_CLEANUP = BUF_INIT;
    const struct api_struct *type =
        read_type(json, &version, &kind) ? type_named(version, kind) : NULL;
    if (type == NULL || !protobuf_write(w, type, json, &message)) {
        return false;
    }
    protobuf_envelope(version, kind, message.n, out);
    buf_str(out, buf_view(&message));
    protobuf_envelope_end(out);
    return true;
}
