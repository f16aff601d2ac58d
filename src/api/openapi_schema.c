/* openapi_schema.c: types of the tables as JSON schemas, in the dialects of OpenAPI 2 and 3.
 *
 * A reference notes its target; openapi_schemas() walks the growing list until everything mentioned
 * is written. What kubectl needs for merging and explaining is in x-kubernetes-* members.
 */
#include "api/openapi_int.h"
#include "api/schema_int.h"

static const struct {
    const char *name, *v2, *v3, *doc;
} specials[] = {
    [OPENAPI_QUANTITY] = {"io.k8s.apimachinery.pkg.api.resource.Quantity", "\"type\":\"string\"",
                          "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]",
                          "An amount with an optional SI (m, k, M, G) or binary (Ki, Mi, Gi) "
                          "suffix, such as 250m or 64Mi."},
    [OPENAPI_INT_OR_STRING] = {"io.k8s.apimachinery.pkg.util.intstr.IntOrString",
                               "\"type\":\"string\",\"format\":\"int-or-string\"",
                               "\"format\":\"int-or-string\",\"oneOf\":[{\"type\":\"integer\"},{"
                               "\"type\":\"string\"}]",
                               "A number, or a text such as a percentage or a port name."},
    [OPENAPI_TIME] = {"io.k8s.apimachinery.pkg.apis.meta.v1.Time",
                      "\"type\":\"string\",\"format\":\"date-time\"",
                      "\"type\":\"string\",\"format\":\"date-time\"",
                      "A moment in RFC 3339, to the second."},
    [OPENAPI_MICRO_TIME] = {"io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
                            "\"type\":\"string\",\"format\":\"date-time\"",
                            "\"type\":\"string\",\"format\":\"date-time\"",
                            "A moment in RFC 3339, to the microsecond."},
    [OPENAPI_DURATION] = {"io.k8s.apimachinery.pkg.apis.meta.v1.Duration", "\"type\":\"string\"",
                          "\"type\":\"string\"", "A length of time, such as 1h30m."},
    [OPENAPI_RAW] = {"io.k8s.apimachinery.pkg.runtime.RawExtension", "\"type\":\"object\"",
                     "\"type\":\"object\"", "Any API object, with its own kind and apiVersion."},
    [OPENAPI_FIELDS] = {"io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "\"type\":\"object\"",
                        "\"type\":\"object\"",
                        "A set of fields as nested keys: f:NAME, k:{KEYS}, v:VALUE, or a dot for "
                        "the field itself."},
    [OPENAPI_PATCH] = {"io.k8s.apimachinery.pkg.apis.meta.v1.Patch", "\"type\":\"object\"",
                       "\"type\":\"object\"",
                       "The body of a PATCH; its content type says how to "
                       "read it."},
};

static void ref(struct openapi_doc *doc, const char *name)
{
    buf_addz(doc->e.out,
             doc->v3 ? "\"$ref\":\"#/components/schemas/" : "\"$ref\":\"#/definitions/");
    buf_addz(doc->e.out, name);
    buf_char(doc->e.out, '"');
    doc->e.comma = true;
}

void openapi_ref(struct openapi_doc *doc, const struct api_struct *type)
{
    bool noted = false;
    for (size_t i = 0; i < doc->types.count && !noted; i++) {
        noted = doc->types.items[i] == type;
    }
    if (!noted) {
        *vec_push(&doc->types) = type;
    }
    ref(doc, type->name);
}

void openapi_ref_special(struct openapi_doc *doc, enum openapi_special special)
{
    doc->mentions[special] = true;
    ref(doc, specials[special].name);
}

static int special_of(const struct api_field *field)
{
    switch ((enum api_type)field->type) {
    case API_TYPE_QUANTITY:
        return OPENAPI_QUANTITY;
    case API_TYPE_INT_OR_STRING:
        return OPENAPI_INT_OR_STRING;
    case API_TYPE_TIME:
        return OPENAPI_TIME;
    case API_TYPE_MICRO_TIME:
        return OPENAPI_MICRO_TIME;
    case API_TYPE_DURATION:
        return OPENAPI_DURATION;
    case API_TYPE_ANY:
        return (field->flags & API_EMBEDDED_OBJECT) != 0 ? OPENAPI_RAW
               : strcmp(field->name, "fieldsV1") == 0    ? OPENAPI_FIELDS
                                                         : -1;
    default:
        return -1;
    }
}

static void scalar(struct emit *e, const char *type, const char *format)
{
    emit_member(e, "type", type);
    if (format != NULL) {
        emit_member(e, "format", format);
    }
}

static void shape(struct openapi_doc *doc, const struct api_field *field, bool as_member,
                  bool described);

/* The members of a schema for one value of the field's type. `described`: the schema has other
 * members, so that a reference in OpenAPI 3 needs an allOf around it. */
static void value(struct openapi_doc *doc, const struct api_field *field, bool described)
{
    struct emit *e = &doc->e;
    int special = special_of(field);
    if (field->type == API_TYPE_STRUCT || special >= 0) {
        bool wrap = doc->v3 && described;
        if (wrap) {
            emit_key(e, "allOf");
            emit_open(e, '[');
            emit_open(e, '{');
        } else {
            emit_sep(e);
        }
        if (special >= 0) {
            openapi_ref_special(doc, (enum openapi_special)special);
        } else {
            openapi_ref(doc, field->type_struct);
        }
        if (wrap) {
            emit_close(e, '}');
            emit_close(e, ']');
        }
        return;
    }
    switch ((enum api_type)field->type) {
    case API_TYPE_BYTES:
        scalar(e, "string", "byte");
        break;
    case API_TYPE_BOOL:
        scalar(e, "boolean", NULL);
        break;
    case API_TYPE_INT32:
        scalar(e, "integer", "int32");
        break;
    case API_TYPE_INT64:
        scalar(e, "integer", "int64");
        break;
    case API_TYPE_DOUBLE:
        scalar(e, "number", "double");
        break;
    case API_TYPE_NESTED:
        shape(doc, &field->type_struct->fields[0], false, false);
        break;
    case API_TYPE_ANY:
        break; /* no constraint */
    default:
        scalar(e, "string", NULL);
        break;
    }
    if (doc->v3 && field->enum_values != NULL) {
        emit_texts(e, "enum", field->enum_values);
    }
}

static void shape(struct openapi_doc *doc, const struct api_field *field, bool as_member,
                  bool described)
{
    struct emit *e = &doc->e;
    if (as_member || field->shape == API_SHAPE_ONE) {
        value(doc, field, described);
        return;
    }
    emit_member(e, "type", field->shape == API_SHAPE_LIST ? "array" : "object");
    emit_key(e, field->shape == API_SHAPE_LIST ? "items" : "additionalProperties");
    emit_open(e, '{');
    shape(doc, field, true, false);
    emit_close(e, '}');
}

static void merge_rules(struct emit *e, const struct api_field *field)
{
    static const char *const lists[] = {NULL, "atomic", "set", "map"};
    if (field->list_keys != NULL) {
        emit_texts(e, "x-kubernetes-list-map-keys", field->list_keys);
    }
    if (field->list != API_LIST_NONE) {
        emit_member(e, "x-kubernetes-list-type", lists[field->list]);
    }
    if ((field->flags & API_MAP_ATOMIC) != 0) {
        emit_member(e, "x-kubernetes-map-type", "atomic");
    } else if ((field->flags & API_MAP_GRANULAR) != 0) {
        emit_member(e, "x-kubernetes-map-type", "granular");
    }
    if (field->merge_key != NULL) {
        emit_member(e, "x-kubernetes-patch-merge-key", field->merge_key);
    }
    bool merge = (field->flags & API_PATCH_MERGE) != 0;
    if ((field->flags & API_RETAIN_KEYS) != 0) {
        emit_member(e, "x-kubernetes-patch-strategy", merge ? "merge,retainKeys" : "retainKeys");
    } else if (merge || (field->flags & API_PATCH_REPLACE) != 0) {
        emit_member(e, "x-kubernetes-patch-strategy", merge ? "merge" : "replace");
    }
}

static void property(struct openapi_doc *doc, const struct api_field *field)
{
    struct emit *e = &doc->e;
    emit_key(e, field->name);
    emit_open(e, '{');
    bool described = field->doc[0] != '\0' || field->default_json != NULL || field->list != 0 ||
                     (field->flags & (API_MAP_ATOMIC | API_MAP_GRANULAR | API_RETAIN_KEYS |
                                      API_PATCH_MERGE | API_PATCH_REPLACE)) != 0;
    if (field->doc[0] != '\0') {
        emit_member(e, "description", field->doc);
    }
    shape(doc, field, false, described);
    if (field->default_json != NULL) {
        emit_key(e, "default");
        emit_raw(e, field->default_json);
    }
    merge_rules(e, field);
    emit_close(e, '}');
}

/* Group and version of a type with kind and apiVersion. */
static void group_version_kind(struct emit *e, const struct api_struct *type,
                               struct api_catalog catalog)
{
    const char *group = NULL, *version = NULL, *kind = NULL;
    for (size_t i = 0; i < schema_table_kinds_count && group == NULL; i++) {
        const struct schema_kind_row *row = &schema_table_kinds[i];
        if (row->type == type) {
            group = row->group;
            version = row->version;
            kind = row->kind;
        }
    }
    for (size_t i = 0; i < catalog.count && group == NULL; i++) {
        if (catalog.resources[i]->type == type) {
            group = catalog.resources[i]->group;
            version = catalog.resources[i]->version;
            kind = catalog.resources[i]->kind;
        }
    }
    if (group == NULL) {
        return;
    }
    emit_key(e, "x-kubernetes-group-version-kind");
    emit_open(e, '[');
    emit_open(e, '{');
    emit_member(e, "group", group);
    emit_member(e, "kind", kind);
    emit_member(e, "version", version);
    emit_close(e, '}');
    emit_close(e, ']');
}

static void required(struct emit *e, const struct api_struct *type)
{
    bool any = false;
    for (uint16_t i = 0; i < type->count; i++) {
        if ((type->fields[i].flags & API_REQUIRED) == 0) {
            continue;
        }
        if (!any) {
            emit_key(e, "required");
            emit_open(e, '[');
            any = true;
        }
        emit_text(e, type->fields[i].name);
    }
    if (any) {
        emit_close(e, ']');
    }
}

static void schema(struct openapi_doc *doc, const struct api_struct *type,
                   struct api_catalog catalog)
{
    struct emit *e = &doc->e;
    if (type->custom != NULL) {
        openapi_custom(doc, type);
        return;
    }
    emit_key(e, type->name);
    emit_open(e, '{');
    if (type->doc[0] != '\0') {
        emit_member(e, "description", type->doc);
    }
    emit_member(e, "type", "object");
    required(e, type);
    if (type->count > 0) {
        emit_key(e, "properties");
        emit_open(e, '{');
        for (uint16_t i = 0; i < type->count; i++) {
            property(doc, &type->fields[i]);
        }
        emit_close(e, '}');
    }
    if ((type->flags & API_OBJECT) != 0) {
        group_version_kind(e, type, catalog);
    }
    if ((type->flags & API_MAP_ATOMIC) != 0) {
        emit_member(e, "x-kubernetes-map-type", "atomic");
    }
    if ((type->flags & API_PRESERVE_UNKNOWN) != 0) {
        emit_key(e, "x-kubernetes-preserve-unknown-fields");
        emit_raw(e, "true");
    }
    emit_close(e, '}');
}

void openapi_schemas(struct openapi_doc *doc, struct api_catalog catalog)
{
    for (size_t i = 0; i < doc->types.count; i++) { /* grows while it is walked */
        schema(doc, doc->types.items[i], catalog);
    }
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        if (doc->mentions[i]) {
            emit_key(&doc->e, specials[i].name);
            emit_open(&doc->e, '{');
            emit_member(&doc->e, "description", specials[i].doc);
            emit_raw(&doc->e, doc->v3 ? specials[i].v3 : specials[i].v2);
            emit_close(&doc->e, '}');
        }
    }
}
