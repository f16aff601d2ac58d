/* structural.h: a schema of a custom resource, compiled: one node a level. Inside api/custom.
 *
 * A node's `table` holds its properties as fields, sorted by name; children[i] is the node of field
 * i. The tables are what codec, managedFields and apply read, the nodes what defaults and
 * validation walk. Nodes below allOf, anyOf, oneOf and not have no tables of use to the codec, but
 * are found by the same look-up. Immutable; in the arena of the definition.
 */
#pragma once
#include "api/custom/custom.h"
#include "api/custom/pattern.h"
#include "api/validation.h"

enum structural_type {
    STRUCTURAL_ANY,
    STRUCTURAL_OBJECT,
    STRUCTURAL_ARRAY,
    STRUCTURAL_STRING,
    STRUCTURAL_INTEGER,
    STRUCTURAL_NUMBER,
    STRUCTURAL_BOOLEAN,
};

struct structural_list {
    const struct structural **items;
    size_t count;
};
struct structural_rules {
    double maximum, minimum, multiple_of;
    bool has_maximum, has_minimum, has_multiple, above, below; /* above, below: exclusive */
    int64_t max_length, min_length, max_items, min_items, max_properties, min_properties; /* -1 */
    bool unique_items;
    const struct pattern *pattern;
    const char *format;
    const struct val *enum_values; /* an array, or NULL */
    const char *const *required;   /* NULL ended, or NULL */
    struct structural_list all_of, any_of, one_of;
    const struct structural *not_of;
};
struct structural {
    struct api_struct table;
    const struct structural **children;
    const struct structural *additional, *items;
    const struct val *default_value;
    const struct structural_rules *rules; /* NULL: none */
    const char *const *list_keys;
    uint8_t type; /* enum structural_type */
    uint8_t list; /* enum api_list */
    bool nullable, int_or_string, preserve, embedded, map_atomic, root;
    bool additional_free; /* additionalProperties: true */
    bool defaults;        /* there are some here or below */
    bool untyped;         /* there are values below whose members have no order of their own */
};

struct structural_builder {
    struct arena *arena;
    struct definition *definition; /* owns the compiled patterns */
    bool has_rules;                /* CEL rules were seen */
    struct err *err;
};
/* From a JSONSchemaProps. `root`: of a whole object. NULL with builder->err set. */
const struct structural *structural_new(struct structural_builder *builder,
                                        const struct val *schema, bool root);
/* A field of this name that holds what the node describes. */
void structural_describe(struct structural_builder *builder, const struct structural *node,
                         const char *name, struct api_field *ret_field);
/* Lays out the hash of a table whose fields are set. */
void structural_slots(struct arena *arena, struct api_struct *table);
const struct structural *structural_child(const struct structural *node, struct str name);

/* Validation of one value against a node; `path` of the value (NULL: the whole object). What equals
 * `old` (NULL: none) was let through once and is not judged again. */
void structural_check(struct field_errors *errors, const struct structural *node,
                      const struct path *path, const struct val *value, const struct val *old);
/* Whether a text has the format; formats that are not known have no rule. */
bool format_matches(const char *format, struct str text);
void structural_default(struct arena *arena, const struct structural *node, struct val *value);
/* Drops what the schema does not name; true when something was dropped. */
bool structural_prune(const struct structural *node, struct val *value, bool resource_root);
