/* schema.c: look-ups in the tables of api/schema.h.
 *
 * Fields are found by a small open-addressed hash that the generator lays out; everything else by
 * binary search in sorted indexes. The tables themselves are made from schema/ at build time;
 * nothing here changes them, so all of it may be used from any thread.
 */
#include "api/schema_int.h"

const struct api_message schema_message_empty = {.zeros = ""};

const struct api_field *schema_field(const struct api_struct *type, struct str name)
{
    if (type == NULL || type->count == 0) {
        return NULL;
    }
    for (unsigned at = schema_name_hash(name.p, name.n);; at++) {
        uint16_t slot = type->slots[at & type->slot_mask];
        if (slot == 0) {
            return NULL;
        }
        const struct api_field *field = &type->fields[slot - 1];
        if (field->name_n == name.n && memcmp(field->name, name.p, name.n) == 0) {
            return field;
        }
    }
}

const struct api_subresource *schema_subresource(const struct api_resource *resource,
                                                 struct str name)
{
    for (size_t i = 0; i < resource->subresource_count; i++) {
        if (str_is(name, resource->subresources[i].name)) {
            return &resource->subresources[i];
        }
    }
    return NULL;
}

const struct api_resource *const *schema_resources(size_t *ret_count)
{
    if (ret_count != NULL) {
        *ret_count = schema_table_resources_count;
    }
    return schema_table_resources;
}

/* Order of (name, group, version) in an index against what is sought. */
static int compare_three(const char *name, const char *group, const char *version,
                         const struct str sought[3])
{
    int order = str_cmp(str_of(name), sought[0]);
    if (order == 0) {
        order = str_cmp(str_of(group), sought[1]);
    }
    return order != 0 ? order : str_cmp(str_of(version), sought[2]);
}

static const struct api_resource *find_resource(const struct api_resource *const *table,
                                                size_t count, bool by_kind,
                                                const struct str sought[3])
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct api_resource *it = table[middle];
        int order = compare_three(by_kind ? it->kind : it->plural, it->group, it->version, sought);
        if (order == 0) {
            return it;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const struct api_resource *schema_resource(struct str group, struct str version, struct str plural)
{
    return find_resource(schema_table_by_plural, schema_table_by_plural_count, false,
                         (struct str[3]){plural, group, version});
}

const struct api_resource *schema_kind(struct str group, struct str version, struct str kind)
{
    return find_resource(schema_table_by_kind, schema_table_by_kind_count, true,
                         (struct str[3]){kind, group, version});
}

void schema_split_version(struct str api_version, struct str *ret_group, struct str *ret_version)
{
    struct str rest, first = str_cut(api_version, '/', &rest);
    *ret_group = rest.p != NULL ? first : STR("");
    *ret_version = rest.p != NULL ? rest : first;
}

const struct api_resource *schema_kind_of(struct str api_version, struct str kind)
{
    struct str group, version;
    schema_split_version(api_version, &group, &version);
    return schema_kind(group, version, kind);
}

const struct api_struct *schema_struct(struct str definition_name)
{
    size_t low = 0, high = schema_table_structs_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(str_of(schema_table_structs[middle]->name), definition_name);
        if (order == 0) {
            return schema_table_structs[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const struct api_struct *schema_object_type(struct str group, struct str version, struct str kind)
{
    const struct str sought[3] = {kind, group, version};
    size_t low = 0, high = schema_table_kinds_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct schema_kind_row *row = &schema_table_kinds[middle];
        int order = compare_three(row->kind, row->group, row->version, sought);
        if (order == 0) {
            return row->type;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}
