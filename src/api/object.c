/* object.c: objects at rest: one block that holds the header, the canonical bytes, the labels and
 * the values of the selectable fields. See object.h for the contract.
 *
 * The bytes are written once by the codec and skimmed once by object_index.c, the same for new
 * objects and for rows of the store. Everything the header points at is inside the block or static.
 */
#include "api/object_index.h"

#include <assert.h>
#include <stdlib.h>

#include "api/codec_int.h"
#include "api/custom/custom.h"

/* ---- making ---- */

/* What an absent selectable field counts as: Go's zero value, as text. */
static struct str absent_field(const struct api_resource *resource, const char *selector)
{
    const struct api_struct *type = resource->type;
    struct str rest = str_of(selector);
    while (rest.p != NULL && type != NULL) {
        const struct api_field *field = schema_field(type, str_cut(rest, '.', &rest));
        if (field == NULL) {
            return STR("");
        }
        if (field->type == API_TYPE_BOOL) {
            return STR("false");
        }
        if (field->type == API_TYPE_INT32 || field->type == API_TYPE_INT64) {
            return STR("0");
        }
        type = field->type_struct;
    }
    return str_is(str_of(selector), "status.successful") ? STR("0") : STR("");
}

static size_t selector_count(const struct api_resource *resource)
{
    size_t count = 0;
    while (resource->field_selectors != NULL && resource->field_selectors[count] != NULL) {
        count++;
    }
    return count < OBJECT_SELECTORS_MAX ? count : OBJECT_SELECTORS_MAX;
}

/* Escaped values are unescaped behind the arrays; this much room do they need. */
static size_t unescaped_room(const struct object_index *index, size_t count)
{
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        room += index->field_escaped[i] ? index->fields[i].n : 0;
    }
    return room;
}

static void fill_fields(struct object *object, const struct api_resource *storage,
                        const struct object_index *index, char *room)
{
    for (size_t i = 0; i < object->field_count; i++) {
        struct object_span span = index->fields[i];
        struct str raw = str_at(object->json + span.at, span.n);
        if (span.at == 0) {
            raw = absent_field(storage, storage->field_selectors[i]);
        } else if (index->field_escaped[i]) {
            struct arena scratch ARENA_CLEANUP = ARENA_INIT;
            const char *why;
            struct str text = STR("");
            json_scan_string(&scratch, raw.p, raw.p + raw.n + 1, &text, &why);
            memcpy(room, text.p, text.n);
            raw = str_at(room, text.n);
            room += text.n;
        }
        object->fields[i] = raw;
    }
}

/* An event without a source component counts as its reporting controller's. */
static void fill_source(struct object *object, const struct api_resource *storage)
{
    size_t source = object->field_count, reporting = object->field_count;
    for (size_t i = 0; i < object->field_count; i++) {
        if (strcmp(storage->field_selectors[i], "source") == 0) {
            source = i;
        } else if (strcmp(storage->field_selectors[i], "reportingComponent") == 0) {
            reporting = i;
        }
    }
    if (source < object->field_count && reporting < object->field_count &&
        object->fields[source].n == 0) {
        object->fields[source] = object->fields[reporting];
    }
}

static struct str in_json(const struct object *object, struct object_span span)
{
    return span.at > 0 ? str_at(object->json + span.at, span.n) : STR_NONE;
}

static struct object *assemble(const struct api_resource *resource, struct str json,
                               const struct object_index *index, uint64_t revision)
{
    const struct api_resource *storage = resource->storage;
    size_t fields = selector_count(storage);
    size_t at = (sizeof(struct object) + json.n + 1 + 15) & ~(size_t)15;
    size_t labels_size = index->labels.count * sizeof(struct object_label);
    size_t fields_at = (at + labels_size + 15) & ~(size_t)15;
    size_t room_at = fields_at + fields * sizeof(struct str);
    size_t size = room_at + unescaped_room(index, fields);
    struct object *object = mem_alloc(size);
    char *block = (char *)object;
    *object = (struct object){
        .refs = 1,
        .resource = storage,
        .revision = revision,
        .labels = (void *)(block + at),
        .fields = (void *)(block + fields_at),
        .label_count = (uint32_t)index->labels.count,
        .field_count = (uint16_t)fields,
        .revision_at = index->revision_at,
        .type_end = index->type_end,
        .deleting = index->deleting,
        .n = (uint32_t)json.n,
    };
    memcpy(object->json, json.p, json.n);
    object->json[json.n] = '\0';
    object->name = in_json(object, index->name);
    object->ns = in_json(object, index->ns);
    object->uid = in_json(object, index->uid);
    for (size_t i = 0; i < index->labels.count; i++) {
        object->labels[i] = index->labels.items[i];
        object->label_bloom |= object_bloom_bits(index->labels.items[i].hash);
    }
    schema_ref(storage);
    fill_fields(object, storage, index, block + room_at);
    if (fields > 0) {
        fill_source(object, storage);
    }
    return object;
}

/* Bytes that are canonical already, in the storage version. */
static int load(const struct api_resource *resource, struct str json, uint64_t revision,
                struct object **ret_object, struct err *err)
{
    struct object_index index;
    bool whole = json.n > 0 && json.n < UINT32_MAX && object_index_make(resource, json, &index);
    if (whole) {
        *ret_object = assemble(resource, json, &index, revision);
    }
    if (json.n > 0 && json.n < UINT32_MAX) {
        vec_done(&index.labels);
    }
    return whole ? 0
                 : err_set(err, ERR_PARSE, "the bytes are no whole %s", resource->storage->kind);
}

int object_load(const struct api_resource *resource, struct str json, uint64_t revision,
                struct object **ret_object, struct err *err)
{
    return resource->custom != NULL
               ? custom_load(resource->storage, json, revision, ret_object, err)
               : load(resource, json, revision, ret_object, err);
}

struct object *object_new(const struct api_resource *resource, const struct val *value,
                          uint64_t revision)
{
    struct buf json BUF_CLEANUP = BUF_INIT;
    struct err err = ERR_INIT;
    struct object *object = NULL;
    codec_write_rest(resource->storage, value, &json);
    if (load(resource, buf_view(&json), revision, &object, &err) != 0) {
        abort(); /* the codec and the skim disagree: no input can cause that */
    }
    return object;
}

/* ---- references ---- */

struct object *object_ref(struct object *object)
{
    atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    return object;
}

void object_unref(struct object *object)
{
    if (object != NULL && atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) == 1) {
        schema_unref(object->resource);
        free(object);
    }
}

struct object *object_with_revision(struct object *object, uint64_t revision)
{
    if (atomic_load_explicit(&object->refs, memory_order_acquire) == 1) {
        object->revision = revision;
        object_keep_message_size(object, 0);
        return object;
    }
    struct object *copy = NULL;
    if (load(object->resource, str_at(object->json, object->n), revision, &copy, NULL) != 0) {
        abort(); /* they were whole once */
    }
    object_unref(object);
    return copy;
}

/* ---- reading ---- */

static size_t digits_of(uint64_t value, char ret_digits[24])
{
    char *at = ret_digits + 24;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    size_t n = (size_t)(ret_digits + 24 - at);
    memmove(ret_digits, at, n);
    return n;
}

#define REVISION_NAME "\"resourceVersion\":\""

void object_write(const struct object *object, bool with_type, struct buf *out)
{
    char digits[24];
    size_t n = digits_of(object->revision, digits);
    const char *json = object->json;
    buf_room(out, object_written_size(object, with_type));
    if (!with_type) {
        buf_char(out, '{');
        buf_add(out, json + object->type_end, object->revision_at - object->type_end);
    } else {
        buf_add(out, json, object->revision_at);
    }
    bool first = json[object->revision_at - 1] == '{';
    if (object->revision != 0) { /* a dry run's object has none */
        if (!first) {
            buf_char(out, ',');
        }
        buf_add(out, REVISION_NAME, sizeof REVISION_NAME - 1);
        buf_add(out, digits, n);
        buf_char(out, '"');
        if (first && json[object->revision_at] != '}') {
            buf_char(out, ',');
        }
    }
    buf_add(out, json + object->revision_at, object->n - object->revision_at);
}

size_t object_written_size(const struct object *object, bool with_type)
{
    char digits[24];
    const char *json = object->json;
    if (object->revision == 0) {
        return object->n - (with_type ? 0 : object->type_end - 1);
    }
    size_t size = object->n + sizeof REVISION_NAME - 1 + digits_of(object->revision, digits) + 1;
    bool alone = json[object->revision_at - 1] == '{' && json[object->revision_at] == '}';
    return size + (alone ? 0 : 1) - (with_type ? 0 : object->type_end - 1);
}

/* Puts resourceVersion behind the members that come before it in canonical order. */
static void put_revision(const struct object *object, struct val *value, struct arena *arena)
{
    if (object->revision == 0) {
        return;
    }
    struct val *metadata = val_get(value, "metadata"), *after = NULL;
    const struct api_field *field =
        schema_field(metadata->field->type_struct, STR("resourceVersion"));
    VAL_EACH (it, metadata) {
        if (it->field == NULL || it->field->index > field->index) {
            break;
        }
        after = it;
    }
    char digits[24];
    size_t n = digits_of(object->revision, digits);
    struct val *node = val_new_text(arena, str_copy_in(arena, str_at(digits, n)));
    node->key = str_at(field->name, field->name_n);
    node->field = field;
    val_insert_after(metadata, after, node);
}

struct val *object_decode(const struct object *object, struct arena *arena)
{
    struct val *value = NULL;
    struct err err = ERR_INIT;
    size_t limit = arena->limit; /* bounds what strangers send, not what we have stored */
    arena->limit = 0;
    if (codec_decode(arena, object->resource->type, CODEC_JSON, str_at(object->json, object->n),
                     CODEC_IGNORE, NULL, &value, &err) != 0) {
        abort(); /* memory was overwritten, or the store gave bytes that nobody checked */
    }
    put_revision(object, value, arena);
    arena->limit = limit;
    return value;
}

struct str object_label_get(const struct object *object, struct str key)
{
    size_t low = 0, high = object->label_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct object_label *label = &object->labels[middle];
        int order = str_cmp(str_at(object->json + label->key_at, label->key_n), key);
        if (order == 0) {
            return str_at(object->json + label->value_at, label->value_n);
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return STR_NONE;
}
