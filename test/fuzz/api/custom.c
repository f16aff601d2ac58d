/* custom.c: a schema and an object of it. The input is two JSON values, one a line. A schema that
 * is taken must compile; the object is pruned, defaulted, judged and written, and what is at rest
 * must stay what it is when it is loaded again. */
#include <stdlib.h>

#include "api/codec.h"
#include "api/custom/jsonpath.h"
#include "api/custom/schema_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct definition *define(struct arena *arena, struct val *schema)
{
    static const char frame[] =
        "{\"metadata\":{\"name\":\"things.example.com\"},\"spec\":{\"group\":\"example.com\","
        "\"scope\":"
        "\"Cluster\",\"names\":{\"plural\":\"things\",\"kind\":\"Thing\",\"listKind\":"
        "\"ThingList\"},"
        "\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,\"schema\":{},"
        "\"selectableFields\":[{\"jsonPath\":\".spec.a\"}]}]}}";
    struct val *crd = NULL;
    struct definition *definition = NULL;
    val_parse_json(arena, str_of(frame), &crd, NULL);
    struct val *version = val_at(val_path(crd, "spec.versions"), 0);
    val_set(val_get(version, "schema"), STR("openAPIV3Schema"), val_copy(arena, schema));
    if (definition_new(crd, val_path(crd, "spec.names"), true, 3000, &definition, NULL) != 0) {
        return NULL;
    }
    return definition;
}

static void use(struct arena *arena, const struct api_resource *resource, struct val *value)
{
    struct api_context ctx = {.arena = arena, .subresource = ""};
    struct field_errors errors = {.arena = arena};
    struct val *cells = val_new(arena, VAL_ARRAY);
    api_default(arena, resource, value);
    api_prepare(&ctx, resource, value, NULL);
    api_validate(&ctx, resource, value, NULL, &errors);
    api_columns(&ctx, resource, value, cells);
    struct object *object = object_new(resource, value, 1), *again = NULL;
    if (object_load(resource, str_at(object->json, object->n), 1, &again, NULL) != 0 ||
        !str_eq(str_at(object->json, object->n), str_at(again->json, again->n))) {
        abort();
    }
    object_unref(object);
    object_unref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str rest, first = str_cut(str_at((const char *)data, size), '\n', &rest);
    struct val *schema = NULL, *value = NULL;
    struct field_errors errors = {.arena = &arena};
    if (size == 0 || size > 65536 || val_parse_json(&arena, first, &schema, NULL) != 0 ||
        schema->type != VAL_OBJECT) {
        return 0;
    }
    const struct api_struct *type = schema_struct(
        STR("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"));
    if (codec_apply_schema(&arena, type, schema, CODEC_IGNORE, NULL, NULL) != 0) {
        return 0;
    }
    schema_check(&errors, NULL, schema);
    struct definition *definition = errors.count == 0 ? define(&arena, schema) : NULL;
    if (definition == NULL) {
        return 0;
    }
    schema_check_defaults(&errors, NULL, schema, definition->storage->custom->schema);
    if (errors.count == 0 && codec_decode(&arena, definition->storage->type, CODEC_JSON, rest,
                                          CODEC_IGNORE, NULL, &value, NULL) == 0) {
        use(&arena, definition->storage, value);
    }
    definition_unref(definition);
    return 0;
}
