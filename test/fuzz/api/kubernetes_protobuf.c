/* Any bytes as a protobuf body, or as JSON that is then written as protobuf. The first byte picks
 * the kind, the second the form. What was decoded must be writable, and come back the same; a
 * canonical text must be one value for the skipper too. */
#include <stdlib.h>

#include "api/codec.h"
#include "api/json_skip.h"
#include "api/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Canonical JSON of a tape, to protobuf, and back. */
static bool trip(const struct api_struct *type, const struct val *v, struct buf *ret_json)
{
    struct arena arena ARENA_CLEANUP = {.limit = 64 << 20};
    struct protobuf_writer writer = {0};
    struct buf wire BUF_CLEANUP = BUF_INIT, document BUF_CLEANUP = BUF_INIT;
    struct val *back = NULL;
    codec_write(type, v, ret_json);
    const char *end = ret_json->p + ret_json->n;
    must(json_skip_value(ret_json->p, end) == end);
    bool written = protobuf_write(&writer, type, buf_view(ret_json), &wire);
    protobuf_writer_done(&writer);
    if (!written) {
        return false;
    }
    protobuf_envelope(STR("v1"), STR("X"), wire.n, &document);
    buf_str(&document, buf_view(&wire));
    protobuf_envelope_end(&document);
    must(codec_decode(&arena, type, CODEC_PROTOBUF, buf_view(&document), CODEC_IGNORE, NULL, &back,
                      NULL) == 0);
    struct val *kind = val_get(v, "kind"), *version = val_get(v, "apiVersion");
    if (kind != NULL && version != NULL) {
        val_set_text(&arena, back, STR("kind"), val_text(kind));
        val_set_text(&arena, back, STR("apiVersion"), val_text(version));
    }
    buf_clear(ret_json);
    codec_write(type, back, ret_json);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    size_t count = 0;
    const struct api_resource *const *resources = schema_resources(&count);
    const struct api_struct *type = resources[data[0] % count]->type;
    struct str text = str_at((const char *)data + 2, size - 2);
    struct arena arena ARENA_CLEANUP = {.limit = 64 << 20};
    struct buf one BUF_CLEANUP = BUF_INIT, two BUF_CLEANUP = BUF_INIT;
    struct val *v = NULL;
    enum codec_format format = (data[1] & 1) != 0 ? CODEC_JSON : CODEC_PROTOBUF;
    if (codec_decode(&arena, type, format, text, CODEC_IGNORE, NULL, &v, NULL) != 0 ||
        !val_is(v, VAL_OBJECT)) {
        return 0;
    }
    must(trip(type, v, &one)); /* what protobuf cannot hold (empty lists) is lost here ... */
    if (codec_decode(&arena, type, CODEC_JSON, buf_view(&one), CODEC_IGNORE, NULL, &v, NULL) != 0) {
        abort();
    }
    struct buf before BUF_CLEANUP = BUF_INIT;
    codec_write(type, v, &before);
    must(trip(type, v, &two)); /* ... and nothing any more */
    must(str_eq(buf_view(&before), buf_view(&two)));
    return 0;
}
