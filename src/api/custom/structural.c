/* structural.c: from a JSONSchemaProps to nodes and tables. See structural.h.
 *
 * The schema was judged when its CRD was written (schema_check.c); what is read here again from the
 * store is taken as it is, so anything that makes no sense counts as absent. Texts are copied: the
 * tape of the CRD goes away. Recursion is as deep as the parser let the schema be.
 */
#include "api/custom/structural.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

static const char *text_in(struct structural_builder *builder, struct str text)
{
    return str_dup_in(builder->arena, text);
}

static const char *const *texts_in(struct structural_builder *builder, const struct val *list)
{
    if (val_count(list) == 0) {
        return NULL;
    }
    const char **texts = arena_array(builder->arena, const char *, list->count + 1);
    size_t n = 0;
    VAL_EACH (it, list) {
        texts[n++] = text_in(builder, val_text(it));
    }
    return texts;
}

static const struct val *value_in(struct structural_builder *builder, const struct val *value)
{
    struct val *copy = val_copy(builder->arena, value);
    if (copy != NULL) {
        copy->next = NULL;
        copy->key = STR_NONE;
    }
    return copy;
}

static enum structural_type type_of(struct str name)
{
    static const char *const names[] = {"",        "object", "array",  "string",
                                        "integer", "number", "boolean"};
    for (size_t i = 1; i < sizeof names / sizeof *names; i++) {
        if (str_is(name, names[i])) {
            return (enum structural_type)i;
        }
    }
    return STRUCTURAL_ANY;
}

/* ---- value rules ---- */

static bool number_of(const struct val *v, double *ret)
{
    return val_is(v, VAL_NUMBER) && str_double(v->text, ret);
}

static struct structural_list list_of(struct structural_builder *builder, const struct val *schemas)
{
    struct structural_list list = {0};
    if (val_count(schemas) == 0) {
        return list;
    }
    list.items = arena_array(builder->arena, const struct structural *, schemas->count);
    VAL_EACH (it, schemas) {
        const struct structural *node = structural_new(builder, it, false);
        if (node != NULL) {
            list.items[list.count++] = node;
        }
    }
    return list;
}

static const struct pattern *pattern_of(struct structural_builder *builder, struct str text)
{
    struct pattern *pattern = NULL;
    struct definition *definition = builder->definition;
    if (text.n == 0 || pattern_new(text, &pattern, builder->err) != 0) {
        return NULL;
    }
    if ((definition->pattern_count & (definition->pattern_count + 1)) == 0) {
        definition->patterns =
            mem_realloc(definition->patterns,
                        (definition->pattern_count * 2 + 2) * sizeof *definition->patterns);
    }
    definition->patterns[definition->pattern_count++] = pattern;
    return pattern;
}

static int64_t limit_of(const struct val *schema, const char *name)
{
    return val_int(val_get_str(schema, str_of(name)), -1);
}

static const struct structural_rules *rules_of(struct structural_builder *builder,
                                               const struct val *schema)
{
    struct structural_rules rules = {0};
    const struct structural_rules none = {.max_length = -1,
                                          .min_length = -1,
                                          .max_items = -1,
                                          .min_items = -1,
                                          .max_properties = -1,
                                          .min_properties = -1};
    rules.has_maximum = number_of(val_get(schema, "maximum"), &rules.maximum);
    rules.has_minimum = number_of(val_get(schema, "minimum"), &rules.minimum);
    rules.has_multiple = number_of(val_get(schema, "multipleOf"), &rules.multiple_of);
    rules.above = val_bool(val_get(schema, "exclusiveMinimum"), false);
    rules.below = val_bool(val_get(schema, "exclusiveMaximum"), false);
    rules.max_length = limit_of(schema, "maxLength");
    rules.min_length = limit_of(schema, "minLength");
    rules.max_items = limit_of(schema, "maxItems");
    rules.min_items = limit_of(schema, "minItems");
    rules.max_properties = limit_of(schema, "maxProperties");
    rules.min_properties = limit_of(schema, "minProperties");
    rules.unique_items = val_bool(val_get(schema, "uniqueItems"), false);
    rules.pattern = pattern_of(builder, val_text(val_get(schema, "pattern")));
    struct str format = val_text(val_get(schema, "format"));
    rules.format = format.n > 0 ? text_in(builder, format) : NULL;
    const struct val *values = val_get(schema, "enum");
    rules.enum_values = val_count(values) > 0 ? value_in(builder, values) : NULL;
    rules.required = texts_in(builder, val_get(schema, "required"));
    rules.all_of = list_of(builder, val_get(schema, "allOf"));
    rules.any_of = list_of(builder, val_get(schema, "anyOf"));
    rules.one_of = list_of(builder, val_get(schema, "oneOf"));
    const struct val *not_of = val_get(schema, "not");
    rules.not_of = val_is(not_of, VAL_OBJECT) ? structural_new(builder, not_of, false) : NULL;
    if (memcmp(&rules, &none, sizeof rules) == 0) {
        return NULL;
    }
    struct structural_rules *kept = arena_new(builder->arena, struct structural_rules);
    *kept = rules;
    return kept;
}

/* ---- properties ---- */

static int by_key(const void *a, const void *b)
{
    return str_cmp((*(const struct val *const *)a)->key, (*(const struct val *const *)b)->key);
}

struct members { /* of a node, while it is made */
    struct api_field *fields;
    const struct structural **children;
    uint16_t count;
};

static void add_field(struct members *members, const struct api_field *field,
                      const struct structural *child)
{
    members->fields[members->count] = *field;
    members->fields[members->count].index = members->count;
    members->children[members->count++] = child;
}

/* kind, apiVersion and metadata come first in a whole object, and are typed as in built-in kinds.
 */
static void add_object_fields(struct structural_builder *builder, struct members *members,
                              const struct val *properties, bool root)
{
    static const char *const names[] = {"kind", "apiVersion"};
    static const char *const docs[] = {"Which kind of object this is.",
                                       "Group and version whose schema this object follows."};
    const uint16_t loose = root ? 0 : API_LENIENT | API_KEEP_NULL;
    for (int i = 0; i < 2; i++) {
        const struct val *schema = val_get_str(properties, str_of(names[i]));
        struct api_field field = {.name = names[i],
                                  .name_n = (uint16_t)strlen(names[i]),
                                  .type = API_TYPE_STRING,
                                  .flags = (uint16_t)(API_OMIT_EMPTY | loose),
                                  .doc = docs[i]};
        add_field(members, &field, schema != NULL ? structural_new(builder, schema, false) : NULL);
    }
    const struct val *schema = val_get(properties, "metadata");
    struct api_field field = {
        .name = "metadata",
        .name_n = 8,
        .type = API_TYPE_STRUCT,
        .flags = API_OMIT_EMPTY | API_POINTER,
        .type_struct = schema_struct(STR("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")),
        .doc = "Name, labels and other data that all kinds share."};
    add_field(members, &field, schema != NULL ? structural_new(builder, schema, false) : NULL);
}

static bool is_object_member(struct str name)
{
    return str_is(name, "kind") || str_is(name, "apiVersion") || str_is(name, "metadata");
}

static bool add_properties(struct structural_builder *builder, struct structural *node,
                           const struct val *properties)
{
    bool object = node->root || node->embedded;
    uint32_t count = val_count(properties);
    if (count > 16000) {
        err_set(builder->err, ERR_INVALID, "a schema has more than 16000 properties at one level");
        return false;
    }
    struct members members = {
        .fields = arena_array(builder->arena, struct api_field, count + 3),
        .children = arena_array(builder->arena, const struct structural *, count + 3)};
    const struct val **sorted = arena_array(builder->arena, const struct val *, count + 1);
    uint32_t n = 0;
    VAL_EACH (it, properties) {
        sorted[n++] = it;
    }
    qsort((void *)sorted, n, sizeof *sorted, by_key);
    if (object) {
        add_object_fields(builder, &members, properties, node->root);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (object && is_object_member(sorted[i]->key)) {
            continue;
        }
        const struct structural *child = structural_new(builder, sorted[i], false);
        if (child == NULL) {
            return false;
        }
        struct api_field field;
        structural_describe(builder, child, text_in(builder, sorted[i]->key), &field);
        add_field(&members, &field, child);
    }
    node->table.fields = members.fields;
    node->table.count = members.count;
    node->children = members.children;
    return true;
}

void structural_slots(struct arena *arena, struct api_struct *table)
{
    uint32_t size = 4;
    while (size < 2u * table->count) {
        size *= 2;
    }
    uint16_t *slots = arena_array(arena, uint16_t, size);
    for (uint16_t i = 0; i < table->count; i++) {
        uint32_t at = schema_name_hash(table->fields[i].name, table->fields[i].name_n) & (size - 1);
        while (slots[at] != 0) {
            at = (at + 1) & (size - 1);
        }
        slots[at] = (uint16_t)(i + 1);
    }
    table->slots = slots;
    table->slot_mask = (uint16_t)(size - 1);
}

/* ---- nodes ---- */

static void set_list(struct structural_builder *builder, struct structural *node,
                     const struct val *schema)
{
    struct str type = val_text(val_get(schema, "x-kubernetes-list-type"));
    if (node->type != STRUCTURAL_ARRAY) {
        return;
    }
    node->list_keys = texts_in(builder, val_get(schema, "x-kubernetes-list-map-keys"));
    node->list = str_is(type, "set")                              ? API_LIST_SET
                 : str_is(type, "map") && node->list_keys != NULL ? API_LIST_MAP
                                                                  : API_LIST_ATOMIC;
}

static bool set_inner(struct structural_builder *builder, struct structural *node,
                      const struct val *schema)
{
    const struct val *additional = val_get(schema, "additionalProperties");
    const struct val *items = val_get(schema, "items");
    if (val_is(additional, VAL_OBJECT)) {
        node->additional = structural_new(builder, additional, false);
    }
    node->additional_free = val_is(additional, VAL_TRUE);
    if (val_is(items, VAL_OBJECT)) {
        node->items = structural_new(builder, items, false);
    }
    return (node->additional != NULL || !val_is(additional, VAL_OBJECT)) &&
           (node->items != NULL || !val_is(items, VAL_OBJECT)) &&
           add_properties(builder, node, val_get(schema, "properties"));
}

/* Whether a walk for defaults, or for the order of untyped members, has something to do. */
static void sum_up(struct structural *node)
{
    bool typed = node->type != STRUCTURAL_ANY && node->type != STRUCTURAL_OBJECT;
    node->untyped =
        (!typed && (node->preserve || (node->type == STRUCTURAL_ANY))) || node->additional_free;
    for (uint16_t i = 0; i <= node->table.count + 1; i++) {
        const struct structural *child = i < node->table.count    ? node->children[i]
                                         : i == node->table.count ? node->additional
                                                                  : node->items;
        if (child != NULL) {
            node->defaults = node->defaults || child->defaults || child->default_value != NULL;
            node->untyped = node->untyped || child->untyped;
        }
    }
    /* Nulls of a map are dropped by the walk, those of a struct by the codec. */
    node->untyped = node->untyped || (node->additional != NULL && !node->additional->nullable);
}

const struct structural *structural_new(struct structural_builder *builder,
                                        const struct val *schema, bool root)
{
    struct structural *node = arena_new(builder->arena, struct structural);
    node->root = root;
    node->type = (uint8_t)type_of(val_text(val_get(schema, "type")));
    node->nullable = val_bool(val_get(schema, "nullable"), false);
    node->int_or_string = val_bool(val_get(schema, "x-kubernetes-int-or-string"), false);
    node->preserve = val_bool(val_get(schema, "x-kubernetes-preserve-unknown-fields"), false);
    node->embedded = val_bool(val_get(schema, "x-kubernetes-embedded-resource"), false);
    node->map_atomic = str_is(val_text(val_get(schema, "x-kubernetes-map-type")), "atomic");
    builder->has_rules =
        builder->has_rules || val_count(val_get(schema, "x-kubernetes-validations")) > 0;
    set_list(builder, node, schema);
    const struct val *default_value = val_get(schema, "default");
    node->default_value = default_value != NULL ? value_in(builder, default_value) : NULL;
    node->rules = rules_of(builder, schema);
    node->table = (struct api_struct){
        .name = "",
        .doc = root ? text_in(builder, val_text(val_get(schema, "description"))) : "",
        .zero = "{}"};
    if (!set_inner(builder, node, schema)) {
        return NULL;
    }
    /* Without a type there is nothing to prune by: int-or-string, and nodes below anyOf. */
    bool keeps = node->preserve || (node->type == STRUCTURAL_ANY && !root);
    node->table.flags =
        (uint16_t)((keeps ? API_PRESERVE_UNKNOWN : 0) | (node->map_atomic ? API_MAP_ATOMIC : 0) |
                   (root ? API_OBJECT : 0));
    structural_slots(builder->arena, &node->table);
    sum_up(node);
    return node;
}

/* The members of a list or map. */
static void describe_members(struct structural_builder *builder, const struct structural *members,
                             struct api_field *field)
{
    struct api_field inner;
    if (members == NULL) { /* what they are is deduced from the values */
        field->type = API_TYPE_ANY;
        field->flags |= API_PRESERVE_UNKNOWN;
        return;
    }
    structural_describe(builder, members, "", &inner);
    if (inner.shape == API_SHAPE_ONE) {
        field->type = inner.type;
        field->flags |= inner.flags & API_PRESERVE_UNKNOWN;
        field->type_struct = inner.type_struct;
        return;
    }
    struct api_field *kept = arena_new(builder->arena, struct api_field);
    struct api_struct *around = arena_new(builder->arena, struct api_struct);
    *kept = inner;
    *around =
        (struct api_struct){.name = "", .doc = "", .fields = kept, .count = 1, .zero = "null"};
    structural_slots(builder->arena, around);
    field->type = API_TYPE_NESTED;
    field->type_struct = around;
}

void structural_describe(struct structural_builder *builder, const struct structural *node,
                         const char *name, struct api_field *ret_field)
{
    *ret_field = (struct api_field){
        .name = name,
        .name_n = (uint16_t)strlen(name),
        .type = API_TYPE_ANY,
        .flags = API_OMIT_EMPTY | API_POINTER | API_LENIENT | API_KEEP_NULL,
        .doc = "",
    };
    if (node->default_value != NULL) {
        struct buf json BUF_CLEANUP = BUF_INIT;
        val_write_json(node->default_value, &json);
        ret_field->default_json = text_in(builder, buf_view(&json));
    }
    if (node->type == STRUCTURAL_ARRAY) {
        ret_field->shape = API_SHAPE_LIST;
        ret_field->list = node->list;
        ret_field->list_keys = node->list == API_LIST_MAP ? node->list_keys : NULL;
        describe_members(builder, node->items, ret_field);
    } else if (node->type == STRUCTURAL_OBJECT &&
               (node->additional != NULL || node->additional_free)) {
        ret_field->shape = API_SHAPE_MAP;
        describe_members(builder, node->additional, ret_field);
    } else if (node->type == STRUCTURAL_OBJECT || node->table.count > 0) {
        ret_field->type = API_TYPE_STRUCT;
        ret_field->type_struct = &node->table;
    } else if (node->type == STRUCTURAL_ANY && node->preserve) {
        ret_field->flags |= API_PRESERVE_UNKNOWN;
    }
    ret_field->flags |= node->map_atomic ? API_MAP_ATOMIC : 0;
    ret_field->flags |= node->nullable ? API_NULLABLE : 0;
}

const struct structural *structural_child(const struct structural *node, struct str name)
{
    const struct api_field *field = schema_field(&node->table, name);
    return field != NULL ? node->children[field->index] : NULL;
}

/* ---- defaults, and the order of what has none ---- */

static void put_default(struct arena *arena, const struct structural *node, struct val *object,
                        const struct api_field *field)
{
    const struct structural *child = node->children[field->index];
    struct str name = str_at(field->name, field->name_n);
    if (child == NULL || child->default_value == NULL) {
        return;
    }
    const struct val *there = val_get_str(object, name);
    if (there == NULL || (there->type == VAL_NULL && !child->nullable)) {
        struct val *copy = val_copy(arena, child->default_value);
        copy->field = field;
        val_set(object, name, copy);
    }
}

static void default_member(struct arena *arena, const struct structural *node, struct val *member)
{
    if (node == NULL) {
        val_sort(member);
    } else if (node->defaults || node->untyped) {
        structural_default(arena, node, member);
    }
}

/* additionalProperties: true lets members in, but says nothing of theirs: objects are pruned. */
static void empty_objects(struct val *value)
{
    if (value->type == VAL_OBJECT) {
        value->child = value->last = NULL;
        value->count = 0;
        return;
    }
    VAL_EACH (it, value) {
        empty_objects(it);
    }
}

void structural_default(struct arena *arena, const struct structural *node, struct val *value)
{
    if (value->type == VAL_ARRAY && node->items != NULL) {
        VAL_EACH (it, value) {
            if (it->type == VAL_NULL && node->items->default_value != NULL &&
                !node->items->nullable) {
                struct val *copy = val_copy(arena, node->items->default_value);
                copy->next = it->next;
                *it = *copy;
            }
            default_member(arena, node->items, it);
        }
        return;
    }
    bool whole = node->type == STRUCTURAL_ANY && node->table.count == 0; /* no table to write by */
    if (value->type != VAL_OBJECT || whole) {
        if (node->untyped) {
            val_sort(value);
        }
        return;
    }
    for (uint16_t i = 0; node->defaults && i < node->table.count; i++) {
        put_default(arena, node, value, &node->table.fields[i]);
    }
    for (struct val *it = value->child, *next = NULL; it != NULL; it = next) {
        const struct api_field *field = schema_field(&node->table, it->key);
        next = it->next;
        if (field != NULL && node->children[field->index] != NULL) {
            default_member(arena, node->children[field->index], it);
        } else if (field == NULL && it->type == VAL_NULL && node->additional != NULL &&
                   !node->additional->nullable && node->additional->default_value == NULL) {
            val_remove(value, it);
        } else if (field == NULL && node->additional_free && !node->preserve) {
            empty_objects(it); /* the schema names none of their members */
        } else if (field == NULL) {
            default_member(arena, node->additional, it);
        }
    }
}

/* ---- pruning, for values that no codec has seen ---- */

static bool prune_member(const struct structural *node, struct val *object, struct val *member)
{
    const struct api_field *field = schema_field(&node->table, member->key);
    const struct structural *child =
        field != NULL ? node->children[field->index] : node->additional;
    if (field != NULL || node->additional_free || node->preserve) {
        return child != NULL && structural_prune(child, member, false);
    }
    if (node->additional != NULL) {
        return structural_prune(node->additional, member, false);
    }
    val_remove(object, member);
    return true;
}

bool structural_prune(const struct structural *node, struct val *value, bool resource_root)
{
    bool dropped = false;
    if (value->type == VAL_ARRAY && node->items != NULL) {
        VAL_EACH (it, value) {
            dropped = structural_prune(node->items, it, false) || dropped;
        }
    }
    struct val *member =
        value->type == VAL_OBJECT && node->type == STRUCTURAL_OBJECT ? value->child : NULL;
    while (member != NULL) {
        struct val *next = member->next;
        bool kept = (resource_root || node->embedded) && is_object_member(member->key);
        dropped = (!kept && prune_member(node, value, member)) || dropped;
        member = next;
    }
    return dropped;
}
