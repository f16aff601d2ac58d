/* patch.c: any patch of any kind on a Deployment or on what the input says. The input is two JSON
 * values, one a line: target and patch; a patch that is an array is a JSON patch. Then the result
 * goes through types, defaults, managedFields and validation, as an update would. */
#include "api/patch.h"
#include "api/codec.h"
#include "api/fields.h"
#include "api/ops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void update(struct arena *arena, const struct api_resource *resource, struct val *target,
                   struct val *next)
{
    struct api_context ctx = {.arena = arena, .subresource = ""};
    struct field_errors errors = {.arena = arena};
    struct err err = ERR_INIT;
    if (codec_apply_schema(arena, resource->type, target, CODEC_IGNORE, NULL, &err) != 0 ||
        codec_apply_schema(arena, resource->type, next, CODEC_IGNORE, NULL, &err) != 0) {
        return;
    }
    api_default(arena, resource, target);
    api_default(arena, resource, next);
    struct fields_writer writer = {
        .type = resource->type, .manager = STR("m"), .api_version = STR("apps/v1")};
    fields_track_update(arena, &writer, target, next);
    api_prepare(&ctx, resource, next, target);
    api_validate(&ctx, resource, next, target, &errors);
    struct val *cells = val_new(arena, VAL_ARRAY);
    api_columns(&ctx, resource, next, cells);
    struct buf text BUF_CLEANUP = BUF_INIT;
    codec_write(resource->type, next, &text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const plurals[] = {"deployments", "pods", "services", "jobs"};
    static const char *const groups[] = {"apps", "", "", "batch"};
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str rest, first = str_cut(str_at((const char *)data, size), '\n', &rest);
    struct val *target = NULL, *patch = NULL, *result = NULL;
    struct err err = ERR_INIT;
    if (size == 0 || size > 65536 || val_parse_json(&arena, first, &target, &err) != 0 ||
        val_parse_json(&arena, rest, &patch, &err) != 0) {
        return 0;
    }
    int kind = (int)(first.n & 3);
    const struct api_resource *resource =
        schema_resource(str_of(groups[kind]), STR("v1"), str_of(plurals[kind]));
    (void)patch_merge(&arena, target, patch, &result, &err);
    (void)patch_json(&arena, target, patch, &result, &err);
    if (patch_strategic(&arena, resource->type, target, patch, &result, &err) == 0) {
        update(&arena, resource, target, result);
    }
    return 0;
}
