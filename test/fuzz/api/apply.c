/* apply.c: server-side applies that follow each other, of whatever the input says. The input is
 * JSON values, one a line: the first is an object that is there (or null), the others are
 * configurations of the managers a, b and kubectl in turn, every third with force. What an apply
 * makes is typed, defaulted, written and read again; the same configuration once more must change
 * nothing. */
#include "api/managed/apply.h"

#include <stdlib.h>

#include "api/codec.h"
#include "api/managed/reset.h"
#include "api/object.h"
#include "api/ops.h"

enum { ROUNDS = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a server keeps of it, read again. The tape borrows from the object. */
static struct object *at_rest(const struct api_resource *resource, const struct val *value)
{
    return object_new(resource, value, 1);
}

/* The object after an apply; NULL when it was refused or does not fit its type. */
static struct object *applied(struct arena *arena, const struct api_resource *resource,
                              const struct fields_writer *writer, const struct val *live,
                              const struct val *config, bool force)
{
    struct apply apply = {
        .writer = writer, .kind = resource->kind, .live = live, .config = config, .force = force};
    struct apply_result result;
    struct apply_refusal refusal;
    if (fields_apply(arena, &apply, &result, &refusal) < 0) {
        return NULL;
    }
    if (result.unchanged) {
        return at_rest(resource, live);
    }
    if (codec_apply_schema(arena, resource->type, result.object, CODEC_IGNORE, NULL, NULL) != 0) {
        return NULL;
    }
    api_default(arena, resource, result.object);
    return at_rest(resource, result.object);
}

static void check_again(struct arena *arena, const struct api_resource *resource,
                        const struct fields_writer *writer, const struct object *now,
                        const struct val *config)
{
    const struct val *live = object_decode(now, arena);
    if (val_path(live, "metadata.managedFields") == NULL) {
        return; /* it named no field: the next apply is the first one that counts */
    }
    struct object *again = applied(arena, resource, writer, live, config, true);
    if (again == NULL || !str_eq(str_at(again->json, again->n), str_at(now->json, now->n))) {
        abort();
    }
    object_unref(again);
}

static struct object *first(struct arena *arena, const struct api_resource *resource,
                            struct str line)
{
    struct val *object = NULL;
    if (val_parse_json(arena, line, &object, NULL) != 0 || object->type != VAL_OBJECT ||
        codec_apply_schema(arena, resource->type, object, CODEC_IGNORE, NULL, NULL) != 0) {
        return NULL;
    }
    api_default(arena, resource, object);
    return at_rest(resource, object);
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
    struct object *objects[ROUNDS + 1] = {first(&arena, resource, line)}, *now = objects[0];
    for (int round = 0; rest.p != NULL && round < ROUNDS; round++) {
        struct val *config = NULL;
        struct val_twins twins = {0};
        line = str_cut(rest, '\n', &rest);
        if (val_parse_json_loose(&arena, line, &twins, &config, NULL) != 0) {
            continue;
        }
        struct fields_writer writer = {.type = resource->type,
                                       .manager = str_of(managers[round % 3]),
                                       .api_version = (size & 1) != 0 ? STR("apps/v1") : STR("v1"),
                                       .reset = reset_paths(resource, STR(""))};
        const struct val *live = now != NULL ? object_decode(now, &arena) : NULL;
        struct object *next = applied(&arena, resource, &writer, live, config, round % 3 == 2);
        if (next != NULL) {
            objects[round + 1] = now = next;
            check_again(&arena, resource, &writer, next, config);
        }
    }
    for (int i = 0; i <= ROUNDS; i++) {
        object_unref(objects[i]);
    }
    return 0;
}
