/* yaml_int.h: scalars of YAML, between reader and writer. Inside api/ only. */
#pragma once
#include "api/val.h"

enum { YAML_NUMBER_SIZE = 96 };
enum yaml_scalar {
    YAML_SCALAR_STRING,
    YAML_SCALAR_VALUE,   /* boolean, null, or the number in ret_number */
    YAML_SCALAR_ENDLESS, /* infinity or not a number: JSON has neither */
    YAML_SCALAR_MERGE,   /* << */
};
/* What a plain (unquoted, untagged) scalar is. */
enum yaml_scalar yaml_scalar_resolve(struct str text, enum val_type *ret_type,
                                     char ret_number[YAML_NUMBER_SIZE]);
