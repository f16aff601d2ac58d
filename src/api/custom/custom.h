/* custom.h: kinds that a CustomResourceDefinition defines, compiled into the same tables as the
 * built-in ones (api/schema.h), so that everything else treats them alike.
 *
 * A struct definition is one state of one CRD: all its versions, in one arena, immutable, counted.
 * A change of the CRD makes another one; whoever works with the old one keeps it alive by a
 * reference (schema_ref), as each object at rest does with the definition it was written under.
 *
 * The codec prunes by the tables; it does not judge: a value of a wrong type stays where it is,
 * untyped, until custom_validate says so with the path and the error that the API documents.
 */
#pragma once
#include <stdatomic.h>

#include "api/ops.h"

struct structural;
struct jsonpath;

struct custom_column {
    const char *type, *format;
    const struct jsonpath *path;
};

/* What a custom resource has beyond a built-in one; api_resource.custom. */
struct custom {
    struct definition *definition; /* it is inside */
    const struct structural *schema;
    const char *warning;                 /* deprecated: the text to warn with, or NULL */
    const struct custom_column *columns; /* after the name; as many as resource.column_count - 1 */
    /* scale: member paths, STR_NONE ended; NULL: not there */
    const struct str *spec_replicas, *status_replicas, *label_selector;
    const char *scale_texts[2];          /* the first two as written */
    const struct str *const *selectable; /* member paths of resource.field_selectors */
    struct str schema_json;              /* as written, for OpenAPI */
    const struct api_struct *list_type;
};

struct definition {
    _Atomic uint32_t refs;
    struct arena arena;
    struct str name; /* of the CRD: "crontabs.example.com" */
    struct str uid;
    uint64_t digest; /* of all that it was made from */
    uint16_t id;
    bool established; /* false: nothing of it is served */
    bool webhook;     /* conversion by webhook: asked for, not done */
    bool rules;       /* CEL rules: kept, not enforced */
    _Atomic bool terminating;
    struct api_resource *versions;
    size_t version_count;
    const struct api_resource *storage;
    void **patterns; /* compiled ones, to free */
    size_t pattern_count;
};

/* Compiles a CRD that was validated when it was written. `established`: its versions are served
 * under `names` (spec.names, or status.acceptedNames). Reference count 1. */
int definition_new(const struct val *crd, const struct val *names, bool established, uint16_t id,
                   struct definition **ret_definition, struct err *err);
/* Stands for a kind whose objects are in the store while its CRD is not: serves nothing. */
struct definition *definition_dormant(struct str plural, struct str group, struct str version,
                                      struct str kind, bool namespaced, uint16_t id);
struct definition *definition_ref(struct definition *definition);
void definition_unref(struct definition *definition); /* NULL is harmless */
/* The version of this name, "example.com/v1"; borrowed, or NULL. */
const struct api_resource *definition_version(const struct definition *definition,
                                              struct str api_version);
/* The strategy of all custom kinds. */
extern const struct api_ops ops_custom;
/* Of what definition_new reads. */
uint64_t definition_digest(const struct val *crd, const struct val *names, bool established);

/* ---- objects; `custom` is resource->custom ---- */

/* Defaults out of the schema, and the order of members that the schema does not name. */
void custom_default(struct arena *arena, const struct custom *custom, struct val *object);
void custom_validate(struct api_context *ctx, const struct custom *custom, const struct val *object,
                     const struct val *old, struct field_errors *errors);
void custom_columns(struct api_context *ctx, const struct api_resource *resource,
                    const struct val *object, struct val *cells);
/* The text of a selectable field, as field selectors compare it. */
struct str custom_selectable(struct arena *arena, const struct custom *custom, size_t field,
                             const struct val *object);
/* A member path; NULL when it leads nowhere. */
struct val *custom_path(const struct val *object, const struct str *path);
/* Puts a copy of `value` there, making the objects on the way. False: something else is there. */
bool custom_path_set(struct arena *arena, struct val *object, const struct str *path,
                     struct val *value);
/* The object at rest in the definition's storage version, from bytes of any of its versions and
 * any earlier schema: pruned, defaulted, canonical. ERR_PARSE. */
int custom_load(const struct api_resource *storage, struct str json, uint64_t revision,
                struct object **ret_object, struct err *err);
