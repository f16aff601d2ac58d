/* Any bytes as an API object. The first byte picks the kind. Decoding with the tables, and parsing
 * freely with the schema applied after, must agree; canonical bytes must be stable; an object made
 * of it must survive the store. */
#include <stdlib.h>

#include "api/codec.h"
#include "api/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void through_the_store(const struct api_resource *resource, const struct val *v)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct object *object = object_new(resource, v, 7), *loaded = NULL;
    must(object_load(resource, str_at(object->json, object->n), 8, &loaded, NULL) == 0);
    struct buf one BUF_CLEANUP = BUF_INIT, two BUF_CLEANUP = BUF_INIT;
    codec_write(resource->storage->type, object_decode(loaded, &arena), &one);
    object_write(loaded, true, &two);
    must(str_eq(buf_view(&one), buf_view(&two)));
    must(object_written_size(loaded, true) == two.n);
    object_unref(object);
    object_unref(loaded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t count = 0;
    const struct api_resource *const *resources = schema_resources(&count);
    const struct api_resource *resource = resources[data[0] % count]->storage;
    struct str text = str_at((const char *)data + 1, size - 1);
    struct arena arena ARENA_CLEANUP = {.limit = 64 << 20};
    struct buf out BUF_CLEANUP = BUF_INIT, again BUF_CLEANUP = BUF_INIT;
    struct codec_warnings warnings = {0};
    struct val *v = NULL, *other = NULL;
    struct err err = ERR_INIT;
    int code =
        codec_decode(&arena, resource->type, CODEC_JSON, text, CODEC_WARN, &warnings, &v, &err);
    if (val_parse_json(&arena, text, &other, NULL) == 0) {
        int applied = codec_apply_schema(&arena, resource->type, other, CODEC_IGNORE, NULL, NULL);
        must((code == 0) == (applied == 0));
    } else {
        other = NULL;
    }
    if (code != 0) {
        return 0;
    }
    codec_write(resource->type, v, &out);
    if (other != NULL) {
        codec_write(resource->type, other, &again);
        must(str_eq(buf_view(&out), buf_view(&again)));
        buf_clear(&again);
    }
    must(codec_decode(&arena, resource->type, CODEC_JSON, buf_view(&out), CODEC_STRICT, NULL,
                      &other, NULL) == 0);
    codec_write(resource->type, other, &again);
    must(str_eq(buf_view(&out), buf_view(&again)));
    if (val_is(val_get(v, "metadata"), VAL_OBJECT) || val_get(v, "metadata") == NULL) {
        through_the_store(resource, v);
    }
    return 0;
}
