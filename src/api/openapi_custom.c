/* openapi_custom.c: schemas of custom resources in OpenAPI documents.
 *
 * The schema is written as its author wrote it, with kind, apiVersion and metadata put into whole
 * objects. OpenAPI 2 knows neither null nor alternatives nor open objects with members, and kubectl
 * takes it at its word, so there a level loses what cannot be said: what is left is looser, never
 * stricter.
 */
#include "api/custom/custom.h"
#include "api/openapi_int.h"

static void level(struct openapi_doc *doc, const struct val *schema, bool root,
                  const struct api_resource *resource);

static void text_property(struct emit *e, const char *name, const char *doc)
{
    emit_key(e, name);
    emit_open(e, '{');
    emit_member(e, "description", doc);
    emit_member(e, "type", "string");
    emit_close(e, '}');
}

static void object_properties(struct openapi_doc *doc)
{
    struct emit *e = &doc->e;
    text_property(e, "apiVersion", "Group and version whose schema this object follows.");
    text_property(e, "kind", "Which kind of object this is.");
    emit_key(e, "metadata");
    emit_open(e, '{');
    emit_member(e, "description", "Name, labels and other data that all kinds share.");
    if (doc->v3) {
        emit_key(e, "allOf");
        emit_open(e, '[');
        emit_open(e, '{');
        openapi_ref(doc, schema_struct(STR("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")));
        emit_close(e, '}');
        emit_close(e, ']');
    } else {
        emit_sep(e);
        openapi_ref(doc, schema_struct(STR("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")));
    }
    emit_close(e, '}');
}

static bool is_object_member(struct str name)
{
    return str_is(name, "apiVersion") || str_is(name, "kind") || str_is(name, "metadata");
}

static void key_str(struct emit *e, struct str name)
{
    emit_sep(e);
    json_write_string(name, e->out);
    buf_char(e->out, ':');
    e->comma = false;
}

static void properties(struct openapi_doc *doc, const struct val *schemas, bool object)
{
    struct emit *e = &doc->e;
    emit_key(e, "properties");
    emit_open(e, '{');
    if (object) {
        object_properties(doc);
    }
    VAL_EACH (it, schemas) {
        if (!object || !is_object_member(it->key)) {
            key_str(e, it->key);
            level(doc, it, false, NULL);
        }
    }
    emit_close(e, '}');
}

static void raw_member(struct emit *e, const struct val *member)
{
    key_str(e, member->key);
    emit_sep(e);
    val_write_json(member, e->out);
}

static void list_of_levels(struct openapi_doc *doc, const struct val *member)
{
    key_str(&doc->e, member->key);
    emit_open(&doc->e, '[');
    VAL_EACH (it, member) {
        level(doc, it, false, NULL);
    }
    emit_close(&doc->e, ']');
}

enum member_kind { MEMBER_RAW, MEMBER_LEVEL, MEMBER_LEVELS, MEMBER_PROPERTIES };

static enum member_kind kind_of(const struct val *member)
{
    if (str_is(member->key, "properties")) {
        return MEMBER_PROPERTIES;
    }
    if (str_is(member->key, "allOf") || str_is(member->key, "anyOf") ||
        str_is(member->key, "oneOf")) {
        return MEMBER_LEVELS;
    }
    bool inner = str_is(member->key, "items") || str_is(member->key, "additionalProperties") ||
                 str_is(member->key, "not");
    return inner && member->type == VAL_OBJECT ? MEMBER_LEVEL : MEMBER_RAW;
}

/* What OpenAPI 2 cannot say at this level. */
static bool is_unspeakable(const struct val *schema, struct str name)
{
    bool null = val_bool(val_get(schema, "nullable"), false);
    bool open = val_bool(val_get(schema, "x-kubernetes-preserve-unknown-fields"), false);
    bool shape = str_is(name, "properties") || str_is(name, "items");
    return str_is(name, "nullable") || str_is(name, "default") || str_is(name, "anyOf") ||
           str_is(name, "oneOf") || str_is(name, "allOf") || str_is(name, "not") ||
           str_is(name, "x-kubernetes-validations") || (null && (shape || str_is(name, "type"))) ||
           (open && shape);
}

static void group_version_kind(struct emit *e, const struct api_resource *resource)
{
    emit_key(e, "x-kubernetes-group-version-kind");
    emit_open(e, '[');
    emit_open(e, '{');
    emit_member(e, "group", resource->group);
    emit_member(e, "kind", resource->kind);
    emit_member(e, "version", resource->version);
    emit_close(e, '}');
    emit_close(e, ']');
}

static void level(struct openapi_doc *doc, const struct val *schema, bool root,
                  const struct api_resource *resource)
{
    struct emit *e = &doc->e;
    bool object = root || val_bool(val_get(schema, "x-kubernetes-embedded-resource"), false);
    bool closed = !val_bool(val_get(schema, "x-kubernetes-preserve-unknown-fields"), false);
    emit_open(e, '{');
    VAL_EACH (it, schema) {
        if (!doc->v3 && is_unspeakable(schema, it->key)) {
            continue;
        }
        switch (kind_of(it)) {
        case MEMBER_PROPERTIES:
            properties(doc, it, object);
            break;
        case MEMBER_LEVEL:
            key_str(e, it->key);
            level(doc, it, false, NULL);
            break;
        case MEMBER_LEVELS:
            list_of_levels(doc, it);
            break;
        case MEMBER_RAW:
            raw_member(e, it);
            break;
        }
    }
    if (object && val_get(schema, "properties") == NULL && (doc->v3 || closed)) {
        properties(doc, NULL, true);
    }
    if (root) {
        group_version_kind(e, resource);
    }
    emit_close(e, '}');
}

void openapi_custom(struct openapi_doc *doc, const struct api_struct *type)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *schema = NULL;
    if (val_parse_json(&arena, type->custom->custom->schema_json, &schema, NULL) != 0) {
        return; /* our own text: it is JSON */
    }
    emit_key(&doc->e, type->name);
    level(doc, schema, true, type->custom);
}
