/* schema_int.h: what the generated tables give to schema.c. Inside api/ only. */
#pragma once
#include "api/schema.h"

extern const struct api_message schema_message_empty; /* has no fields */

struct schema_kind_row {
    const char *kind, *group, *version;
    const struct api_struct *type;
};

/* Discovery order; by (plural, group, version); by (kind, group, version); by definition name; and
 * the types with kind and apiVersion by (kind, group, version). Sorted bytewise. */
extern const struct api_resource *const schema_table_resources[], *const schema_table_by_plural[],
                                                                      *const schema_table_by_kind[];
extern const struct api_struct *const schema_table_structs[];
extern const struct schema_kind_row schema_table_kinds[];
extern const size_t schema_table_resources_count, schema_table_by_plural_count,
    schema_table_by_kind_count, schema_table_structs_count, schema_table_kinds_count;
