/* codec_write.c: canonical JSON of a typed tape.
 *
 * Struct members come in table order, map members sorted by name; nulls and empty values go unless
 * the table says that they are written, and what is always written is added when absent
 * ("status":{}). A member's field is looked up again when the tape was edited by hand. Embedded
 * free JSON is written as it is. No recursion: frames on a growing stack, member pointers in one
 * shared array.
 */
#include <stdlib.h>

#include "api/codec_int.h"
#include "base/vec.h"

struct frame {
    const struct api_struct *type;   /* of a struct, else NULL */
    const struct api_field *members; /* of a list or map */
    const struct val *container;
    const struct val *next; /* list: member to write next */
    size_t base;            /* struct, map: first of its member pointers */
    uint32_t at, count;     /* struct, map: which is next, how many */
    bool nested;
    bool first; /* nothing written yet: no comma */
};

struct codec_writer {
    struct buf *out;
    struct arena scratch;
    bool at_rest;
    struct val head[2]; /* at rest: kind and apiVersion */
    struct {
        VEC_OF(struct frame);
    } frames;
    struct {
        VEC_OF(const struct val *);
    } pointers;
};

static const struct api_field *field_of(const struct api_struct *type, const struct val *member)
{
    const struct api_field *field = member->field;
    if (field >= type->fields && field < type->fields + type->count &&
        field->name_n == member->key.n && memcmp(field->name, member->key.p, member->key.n) == 0) {
        return field;
    }
    return schema_field(type, member->key);
}

/* Room for `count` member pointers, all NULL. */
static size_t pointers_take(struct codec_writer *writer, size_t count)
{
    size_t base = writer->pointers.count;
    if (base + count > writer->pointers.cap) {
        writer->pointers.cap = (base + count) * 2 + 64;
        writer->pointers.items =
            mem_realloc(writer->pointers.items, writer->pointers.cap * sizeof(struct val *));
    }
    if (count > 0) {
        memset(writer->pointers.items + base, 0, count * sizeof(struct val *));
    }
    writer->pointers.count = base + count;
    return base;
}

static int by_key(const void *a, const void *b)
{
    return str_cmp((*(const struct val *const *)a)->key, (*(const struct val *const *)b)->key);
}

static void open_struct(struct codec_writer *writer, struct frame *frame)
{
    uint16_t count = frame->type->count;
    bool extra = (frame->type->flags & API_PRESERVE_UNKNOWN) != 0;
    frame->base = pointers_take(writer, count);
    frame->count = count;
    bool root = writer->at_rest && writer->frames.count == 0;
    VAL_EACH (it, frame->container) {
        const struct api_field *field = field_of(frame->type, it);
        if (field != NULL) {
            writer->pointers.items[frame->base + field->index] = it;
        } else if (extra) {
            *vec_push(&writer->pointers) = it;
            frame->count++;
        }
    }
    if (frame->count > count + 1u) {
        qsort(writer->pointers.items + frame->base + count, frame->count - count,
              sizeof(struct val *), by_key);
    }
    if (root) {
        writer->pointers.items[frame->base] = &writer->head[0];
        writer->pointers.items[frame->base + 1] = &writer->head[1];
    }
}

static void open_map(struct codec_writer *writer, struct frame *frame)
{
    frame->base = writer->pointers.count;
    frame->count = frame->container->count;
    const struct val *before = NULL;
    bool sorted = true;
    VAL_EACH (it, frame->container) {
        sorted = sorted && (before == NULL || str_cmp(before->key, it->key) <= 0);
        before = it;
        *vec_push(&writer->pointers) = it;
    }
    if (!sorted) {
        qsort(writer->pointers.items + frame->base, frame->count, sizeof(struct val *), by_key);
    }
}

static void open_frame(struct codec_writer *writer, const struct val *v,
                       const struct api_field *field, bool as_member)
{
    struct frame frame = {.container = v, .next = v->child, .first = true};
    if (!as_member && field->shape != API_SHAPE_ONE) {
        frame.nested = field->type == API_TYPE_NESTED;
        frame.members = frame.nested ? &field->type_struct->fields[0] : field;
    } else {
        frame.type = field->type_struct;
    }
    if (frame.type != NULL) {
        open_struct(writer, &frame);
    } else if (v->type == VAL_OBJECT) {
        open_map(writer, &frame);
    }
    buf_char(writer->out, v->type == VAL_OBJECT ? '{' : '[');
    *vec_push(&writer->frames) = frame;
}

static void write_quantity(struct codec_writer *writer, const struct val *v)
{
    struct val copy = *v;
    if (!codec_quantity(&writer->scratch, &copy)) {
        copy = *v; /* not ours to judge here: validation does */
    }
    copy.type = VAL_STRING;
    json_write_string(copy.text, writer->out);
}

/* What a container must be to be written as its field says. */
static enum val_type wanted_type(const struct api_field *field, bool as_member)
{
    return !as_member && field->shape == API_SHAPE_LIST ? VAL_ARRAY : VAL_OBJECT;
}

/* Writes a scalar or free JSON, or opens a container. */
static void write_value(struct codec_writer *writer, const struct val *v,
                        const struct api_field *field, bool as_member)
{
    bool container = v->type == VAL_OBJECT || v->type == VAL_ARRAY;
    bool typed = field != NULL &&
                 ((!as_member && field->shape != API_SHAPE_ONE) || field->type == API_TYPE_STRUCT);
    if (container && typed && (field->flags & API_LENIENT) != 0) {
        typed = v->type == wanted_type(field, as_member);
    }
    if (container && typed) {
        open_frame(writer, v, field, as_member);
    } else if (v->type == VAL_STRING) {
        if (field != NULL && field->type == API_TYPE_QUANTITY) {
            write_quantity(writer, v);
        } else {
            json_write_string(v->text, writer->out);
        }
    } else if (v->type == VAL_NUMBER && field != NULL && field->type == API_TYPE_QUANTITY) {
        write_quantity(writer, v);
    } else {
        val_write_json(v, writer->out);
    }
}

bool codec_is_empty(const struct api_field *field, const struct val *v)
{
    if (v->type == VAL_OBJECT || v->type == VAL_ARRAY) {
        return v->count == 0 && (field->shape != API_SHAPE_ONE || field->type == API_TYPE_STRUCT);
    }
    switch ((enum api_type)field->type) {
    case API_TYPE_STRING:
    case API_TYPE_BYTES:
        return v->text.n == 0;
    case API_TYPE_BOOL:
        return v->type == VAL_FALSE;
    case API_TYPE_INT32:
    case API_TYPE_INT64:
    case API_TYPE_DOUBLE:
        return v->type == VAL_NUMBER && str_is(v->text, "0");
    default:
        return false;
    }
}

static void write_name(struct codec_writer *writer, struct frame *frame, struct str name)
{
    if (!frame->first) {
        buf_char(writer->out, ',');
    }
    frame->first = false;
    json_write_string(name, writer->out);
    buf_char(writer->out, ':');
}

/* As write_name, for a field: its name needs no escapes. */
static void write_field_name(struct codec_writer *writer, struct frame *frame,
                             const struct api_field *field)
{
    char *start = buf_room(writer->out, field->name_n + 5u), *to = start;
    if (!frame->first) {
        *to++ = ',';
    }
    frame->first = false;
    *to++ = '"';
    memcpy(to, field->name, field->name_n);
    to += field->name_n;
    *to++ = '"';
    *to++ = ':';
    *to = '\0';
    writer->out->n += (size_t)(to - start);
}

/* What stands for an absent field that is always written. */
static void write_zero(struct codec_writer *writer, const struct api_field *field)
{
    struct val v = {0};
    if (field->shape == API_SHAPE_ONE && (field->flags & API_POINTER) == 0) {
        if (field->type == API_TYPE_STRUCT) {
            buf_addz(writer->out, field->type_struct->zero);
            return;
        }
        if (field->type == API_TYPE_DURATION) {
            buf_addz(writer->out, "\"0s\"");
            return;
        }
        if (field->type != API_TYPE_BYTES) {
            codec_zero_member(field, &v);
        }
    }
    val_write_json(&v, writer->out);
}

/* Objects at rest went through protobuf upstream, which has no empty lists and maps. */
static bool is_lost_at_rest(const struct codec_writer *writer, const struct api_struct *type,
                            const struct api_field *field, const struct val *v)
{
    return writer->at_rest && v->count == 0 && field->shape != API_SHAPE_ONE &&
           (v->type == VAL_ARRAY || v->type == VAL_OBJECT) && type->proto_name != NULL;
}

/* metadata.resourceVersion, not that of an object reference. */
static bool is_revision(const struct api_struct *type, const struct api_field *field)
{
    return strcmp(field->name, "resourceVersion") == 0 &&
           str_ends(str_of(type->name), STR(".ObjectMeta"));
}

static void write_struct_member(struct codec_writer *writer, struct frame *frame)
{
    const struct val *v = writer->pointers.items[frame->base + frame->at];
    uint32_t index = frame->at++;
    if (index >= frame->type->count) { /* a preserved unknown one */
        write_name(writer, frame, v->key);
        val_write_json(v, writer->out);
        return;
    }
    const struct api_field *field = &frame->type->fields[index];
    if (writer->at_rest && writer->frames.count == 2 && is_revision(frame->type, field)) {
        return;
    }
    if (v != NULL && v->type == VAL_NULL && (field->flags & API_NULLABLE) != 0) {
        write_field_name(writer, frame, field);
        buf_addz(writer->out, "null");
        return;
    }
    if (v == NULL || v->type == VAL_NULL || is_lost_at_rest(writer, frame->type, field, v)) {
        if ((field->flags & API_OMIT_EMPTY) == 0) {
            write_field_name(writer, frame, field);
            write_zero(writer, field);
        }
        return;
    }
    if ((field->flags & (API_OMIT_EMPTY | API_POINTER)) == API_OMIT_EMPTY &&
        codec_is_empty(field, v)) {
        return;
    }
    write_field_name(writer, frame, field);
    write_value(writer, v, field, false);
}

static void write_member(struct codec_writer *writer, struct frame *frame)
{
    const struct val *v = frame->next;
    const struct api_field *members = frame->members;
    bool as_member = !frame->nested;
    if (frame->container->type == VAL_OBJECT) {
        v = writer->pointers.items[frame->base + frame->at++];
        write_name(writer, frame, v->key);
    } else {
        if (!frame->first) {
            buf_char(writer->out, ',');
        }
        frame->first = false;
        frame->next = v->next;
    }
    write_value(writer, v, members, as_member);
}

static bool frame_is_done(const struct frame *frame)
{
    return frame->container->type == VAL_OBJECT ? frame->at == frame->count : frame->next == NULL;
}

static void close_frame(struct codec_writer *writer)
{
    const struct frame *frame = &writer->frames.items[writer->frames.count - 1];
    if (frame->container->type == VAL_OBJECT) {
        buf_char(writer->out, '}');
        writer->pointers.count = frame->base;
    } else {
        buf_char(writer->out, ']');
    }
    writer->frames.count--;
}

static void write_all(struct codec_writer *writer, const struct api_struct *type,
                      const struct val *value)
{
    const struct api_field top = {.name = "", .type = API_TYPE_STRUCT, .type_struct = type};
    write_value(writer, value, type != NULL ? &top : NULL, false);
    while (writer->frames.count > 0) {
        struct frame *frame = &writer->frames.items[writer->frames.count - 1];
        if (frame_is_done(frame)) {
            close_frame(writer);
        } else if (frame->type != NULL) {
            write_struct_member(writer, frame);
        } else {
            write_member(writer, frame);
        }
    }
    vec_done(&writer->frames);
    vec_done(&writer->pointers);
    arena_done(&writer->scratch);
}

void codec_write(const struct api_struct *type, const struct val *value, struct buf *out)
{
    struct codec_writer writer = {.out = out};
    write_all(&writer, type, value);
}

void codec_write_rest(const struct api_resource *resource, const struct val *value, struct buf *out)
{
    struct codec_writer writer = {.out = out, .at_rest = true};
    bool core = resource->group[0] == '\0';
    const char *version =
        core ? resource->version
             : arena_printf(&writer.scratch, "%s/%s", resource->group, resource->version);
    writer.head[0] = (struct val){.type = VAL_STRING, .text = str_of(resource->kind)};
    writer.head[1] = (struct val){.type = VAL_STRING, .text = str_of(version)};
    write_all(&writer, resource->type, value);
}
