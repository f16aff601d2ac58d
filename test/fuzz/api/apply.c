/* apply.c: server-side applies that follow each other, of whatever the input says. The input is
 * JSON values, one a line: the first is an object that is there (or null), the others are
 * configurations of the managers a, b and kubectl in turn, every third with force. What an apply
 * makes is typed, defaulted, written and read again; the same configuration once more must change
 * nothing. */
#include "api/managed/apply.h"

#include <stdlib.h>

#include "api/codec.h"
#include "api/managed/reset.h"
#include "api/ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct val *reread(struct arena *arena, const struct api_resource *resource,
                          const struct val *value)
{
    struct val *again = NULL;
    struct buf text BUF_CLEANUP = BUF_INIT;
    codec_write(resource->type, value, &text);
    if (codec_decode(arena, resource->type, CODEC_JSON, str_copy_in(arena, buf_view(&text)),
                     CODEC_IGNORE, NULL, &again, NULL) != 0) {
        abort(); /* what was written can be read */
    }
    return again;
}

/* The object after an apply; NULL when it was refused or does not fit its type. */
static struct val *applied(struct arena *arena, const struct api_resource *resource,
                           const struct fields_writer *writer, const struct val *live,
                           const struct val *config, bool force, bool *ret_unchanged)
{
    struct apply apply = {
        .writer = writer, .kind = resource->kind, .live = live, .config = config, .force = force};
    struct apply_result result;
    struct apply_refusal refusal;
    if (fields_apply(arena, &apply, &result, &refusal) < 0) {
        return NULL;
    }
    *ret_unchanged = result.unchanged;
    if (result.unchanged) {
        return result.object;
    }
    if (codec_apply_schema(arena, resource->type, result.object, CODEC_IGNORE, NULL, NULL) != 0) {
        return NULL;
    }
    api_default(arena, resource, result.object);
    return reread(arena, resource, result.object);
}

static void check_again(struct arena *arena, const struct api_resource *resource,
                        const struct fields_writer *writer, const struct val *live,
                        const struct val *config)
{
    bool unchanged = false;
    struct buf before BUF_CLEANUP = BUF_INIT, after BUF_CLEANUP = BUF_INIT;
    if (val_path(live, "metadata.managedFields") == NULL) {
        return; /* it named no field: the next apply is the first one that counts */
    }
    struct val *again = applied(arena, resource, writer, live, config, true, &unchanged);
    if (again == NULL) {
        abort(); /* it fitted a moment ago */
    }
    codec_write(resource->type, live, &before);
    codec_write(resource->type, again, &after);
    if (!str_eq(buf_view(&before), buf_view(&after))) {
        abort();
    }
}

static struct val *first(struct arena *arena, const struct api_resource *resource, struct str line)
{
    struct val *object = NULL;
    if (val_parse_json(arena, line, &object, NULL) != 0 || object->type != VAL_OBJECT ||
        codec_apply_schema(arena, resource->type, object, CODEC_IGNORE, NULL, NULL) != 0) {
        return NULL;
    }
    api_default(arena, resource, object);
    return reread(arena, resource, object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const managers[] = {"a", "b", "kubectl"};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str rest, line = str_cut(str_at((const char *)data, size), '\n', &rest);
    const struct api_resource *resource =
        (size & 1) != 0 ? schema_resource(STR("apps"), STR("v1"), STR("deployments"))
                        : schema_resource(STR(""), STR("v1"), STR("services"));
    if (size == 0 || size > 32768) {
        return 0;
    }
    struct val *live = first(&arena, resource, line);
    for (int round = 0; rest.p != NULL && round < 8; round++) {
        struct val *config = NULL;
        struct val_twins twins = {0};
        bool unchanged = false;
        line = str_cut(rest, '\n', &rest);
        if (val_parse_json_loose(&arena, line, &twins, &config, NULL) != 0) {
            continue;
        }
        struct fields_writer writer = {.type = resource->type,
                                       .manager = str_of(managers[round % 3]),
                                       .api_version = (size & 1) != 0 ? STR("apps/v1") : STR("v1"),
                                       .reset = reset_paths(resource, STR(""))};
        struct val *next =
            applied(&arena, resource, &writer, live, config, round % 3 == 2, &unchanged);
        if (next != NULL) {
            check_again(&arena, resource, &writer, next, config);
            live = next;
        }
    }
    return 0;
}
