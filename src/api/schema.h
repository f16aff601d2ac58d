/* schema.h: what is known of a type, a field, a resource. Filled by tables that tools/gen makes
 * from schema/ into the build folder, and at run time from a CustomResourceDefinition. Immutable
 * once published.
 *
 * One description, many products (design.md, idea 5): decoder, defaults, validation, merge and
 * apply rules, OpenAPI, discovery, columns, explain, protobuf.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum api_type {
    API_TYPE_STRING,
    API_TYPE_BYTES, /* base64 text */
    API_TYPE_BOOL,
    API_TYPE_INT32,
    API_TYPE_INT64,
    API_TYPE_DOUBLE,
    API_TYPE_QUANTITY, /* string or number on input, canonical string on output */
    API_TYPE_INT_OR_STRING,
    API_TYPE_TIME, /* RFC 3339, seconds; null when zero */
    API_TYPE_MICRO_TIME,
    API_TYPE_DURATION, /* Go duration text */
    API_TYPE_STRUCT,   /* field->type_struct */
    API_TYPE_ANY,      /* any JSON value, kept as it is (RawExtension, JSON, FieldsV1) */
    API_TYPE_NESTED,   /* members of this list or map are lists or maps themselves:
                          type_struct->fields[0] describes them (nameless) */
};
enum api_shape { API_SHAPE_ONE, API_SHAPE_LIST, API_SHAPE_MAP /* string keys */ };
/* What protobuf makes of an API_TYPE_ANY that has a few forms in JSON; a schema is the struct
 * around. */
enum api_wire {
    API_WIRE_PLAIN,
    API_WIRE_SCHEMA_OR_ARRAY,
    API_WIRE_SCHEMA_OR_BOOL,
    API_WIRE_SCHEMA_OR_STRINGS
};
enum api_list { API_LIST_NONE, API_LIST_ATOMIC, API_LIST_SET, API_LIST_MAP };

/* field flags */
enum {
    API_REQUIRED = 1 << 0,
    API_OMIT_EMPTY = 1 << 1,       /* zero value is left out on output (Go omitempty) */
    API_POINTER = 1 << 2,          /* absent and zero differ */
    API_MAP_ATOMIC = 1 << 3,       /* x-kubernetes-map-type: atomic (also on structs) */
    API_RETAIN_KEYS = 1 << 4,      /* patch strategy retainKeys */
    API_PATCH_MERGE = 1 << 5,      /* patch strategy merge (with merge_key for lists of structs) */
    API_EMBEDDED_OBJECT = 1 << 6,  /* RawExtension that holds a whole API object */
    API_PRESERVE_UNKNOWN = 1 << 7, /* of structs; of API_TYPE_ANY fields: objects in it are owned
                                      member by member, otherwise the whole is one field */
    API_PATCH_REPLACE = 1 << 8,    /* patch strategy replace */
    API_OBJECT = 1 << 9,           /* of structs: carries kind and apiVersion (its first fields) */
    API_LENIENT = 1 << 10,      /* a value of another type is kept untyped: validation judges it */
    API_KEEP_NULL = 1 << 11,    /* null members of a list or map stay null */
    API_NULLABLE = 1 << 12,     /* null is a value of the field, not the same as absent */
    API_MAP_GRANULAR = 1 << 13, /* members are owned one by one, though the struct is atomic */
    API_DEFAULTED = 1 << 12,    /* of structs: an empty one gets static defaults, also deeper */
};

struct api_struct;
struct api_field {
    const char *name; /* JSON */
    uint16_t name_n;
    uint16_t number; /* protobuf; 0: none */
    uint16_t outer;  /* protobuf number of the message around it that JSON flattens (two levels:
                        outermost << 8 | next); 0: none */
    uint8_t type;    /* enum api_type: of the value, or of the members of a list or map */
    uint8_t shape;   /* enum api_shape */
    uint8_t list;    /* enum api_list */
    uint8_t wire;    /* enum api_wire */
    uint16_t flags;
    uint16_t index; /* position in its struct: canonical order on output */
    const struct api_struct *type_struct;
    const char *merge_key;          /* strategic merge patch, or NULL */
    const char *const *list_keys;   /* x-kubernetes-list-map-keys, NULL ended, or NULL */
    const char *const *enum_values; /* NULL ended, or NULL */
    const char *
        default_json; /* static default as JSON text, or NULL (computed defaults: api/defaults.h) */
    const char *doc;  /* our own words; "" when there is none yet */
};

/* A message in protobuf: what lies on the wire, in that order. Members without a pointer are
 * written also when absent: their bytes stand one after the other in `zeros`. */
struct api_message;
struct api_step {
    uint32_t tag;
    uint16_t zero_at;                /* offset in zeros of what stands for it when it is absent */
    uint16_t field;                  /* index; not with a group */
    const struct api_message *group; /* a message whose members JSON has in the struct itself */
};
struct api_message {
    const struct api_step *steps;
    const uint16_t *ranks; /* by index of the field: its step; UINT16_MAX: not in here */
    const char *zeros;
    uint16_t count, zero_n;
    bool grouped; /* some step is a group */
};

struct api_struct {
    const char *name; /* OpenAPI definition name: "io.k8s.api.core.v1.PodSpec" */
    const char *doc;
    const struct api_field *fields;
    uint16_t count;
    uint16_t flags;     /* API_MAP_ATOMIC, API_PRESERVE_UNKNOWN */
    uint16_t slot_mask; /* perfect-ish hash: see schema_field */
    const uint16_t
        *slots; /* hash of the name & slot_mask -> field index + 1, linear probing, 0 free */
    const char *proto_name;            /* "k8s.io.api.core.v1.PodSpec" or NULL */
    const struct api_message *message; /* NULL: has no protobuf form */
    const char *zero; /* canonical JSON of an empty value: members that are written also when
                         empty, such as {"containers":null} */
    const struct api_resource *custom; /* of a custom resource's own type: the resource */
};

/* Both the generator and run-time tables place names by this hash. */
static inline uint16_t schema_name_hash(const char *name, size_t n)
{
    const unsigned char *u = (const unsigned char *)name;
    return n == 0 ? 0 : (uint16_t)(n + u[0] * 5u + u[n - 1] * 17u + u[n / 2] * 33u);
}

enum api_verb {
    API_VERB_GET = 1 << 0,
    API_VERB_LIST = 1 << 1,
    API_VERB_WATCH = 1 << 2,
    API_VERB_CREATE = 1 << 3,
    API_VERB_UPDATE = 1 << 4,
    API_VERB_PATCH = 1 << 5,
    API_VERB_DELETE = 1 << 6,
    API_VERB_DELETE_COLLECTION = 1 << 7,
};

struct api_column { /* one column of a server-side Table */
    const char *name, *type, *format, *doc;
    int priority;
};

struct api_subresource {
    const char *name;                   /* "status", "scale", "log" ... */
    const char *group, *version, *kind; /* of its body; "" group and version: as the parent */
    uint16_t verbs; /* enum api_verb bits; connect-type subresources have GET and CREATE */
};

struct api_ops; /* api/ops.h: strategy of a kind */
struct custom;  /* api/custom/custom.h */

/* A served group/version/resource. Several versions of one resource share `storage`. */
struct api_resource {
    const char *group, *version, *kind, *list_kind, *plural, *singular;
    const char *const *short_names; /* NULL ended */
    const char *const *categories;  /* NULL ended */
    bool namespaced;
    bool served;  /* on by default */
    bool patient; /* its updates may wait a moment, so that several share one sync */
    bool stored;  /* false: virtual (TokenReview, SubjectAccessReview, Binding ...) */
    uint16_t verbs;
    uint16_t id; /* dense, stable in one process: index of registry tables and of the cache */
    const struct api_struct *type;
    const struct api_subresource *subresources;
    uint16_t subresource_count;
    const struct api_column *columns;
    uint16_t column_count;
    const struct api_resource
        *storage; /* the version that is written to the store; self for that one */
    const char *const *field_selectors; /* dotted paths allowed beside metadata.name/.namespace,
                                           NULL ended, or NULL */
    const char *deprecated;             /* what every request is warned with, or NULL */
    const struct api_ops *ops;          /* never NULL once registered */
    const struct custom *custom;        /* defined by a CustomResourceDefinition; else NULL */
};

/* Strategies are bound at link time: a resource's `ops NAME` line in schema/ makes its ops point at
 * `const struct api_ops ops_NAME`, defined in api/kinds/; without the line it is ops_generic. */

const struct api_field *schema_field(const struct api_struct *type, struct str name);
const struct api_subresource *schema_subresource(const struct api_resource *resource,
                                                 struct str name);

/* A reference to the tables of a resource: counted for custom ones, which may be replaced at any
 * moment; nothing for built-in ones. NULL is harmless. */
void schema_ref(const struct api_resource *resource);
void schema_unref(const struct api_resource *resource);

/* The built-in resources, in discovery order; `ret_count` may be NULL. */
const struct api_resource *const *schema_resources(size_t *ret_count);
const struct api_resource *schema_resource(struct str group, struct str version, struct str plural);
const struct api_resource *schema_kind(struct str group, struct str version, struct str kind);
/* By "v1" or "apps/v1". */
const struct api_resource *schema_kind_of(struct str api_version, struct str kind);
const struct api_struct *schema_struct(struct str definition_name);
/* Any type with kind and apiVersion, also those that are no resource: DeleteOptions (group ""),
 * Scale, TokenRequest, Eviction, lists. NULL when there is none. */
const struct api_struct *schema_object_type(struct str group, struct str version, struct str kind);
/* "v1" gives "" and "v1"; "apps/v1" gives both parts. */
void schema_split_version(struct str api_version, struct str *ret_group, struct str *ret_version);
