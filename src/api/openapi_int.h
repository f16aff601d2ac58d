/* openapi_int.h: between the parts that make an OpenAPI document. Inside api/ only. */
#pragma once
#include "api/json_emit.h"
#include "api/openapi.h"
#include "base/vec.h"

struct openapi_types {
    VEC_OF(const struct api_struct *);
};
struct openapi_doc {
    struct emit e;
    bool v3;
    struct openapi_types types; /* what was referred to, in order of first mention */
    bool mentions[8];           /* enum openapi_special */
};

/* Types that are no structs in the tables. */
enum openapi_special {
    OPENAPI_QUANTITY,
    OPENAPI_INT_OR_STRING,
    OPENAPI_TIME,
    OPENAPI_MICRO_TIME,
    OPENAPI_DURATION,
    OPENAPI_RAW,
    OPENAPI_FIELDS,
    OPENAPI_PATCH,
};

/* {"$ref":"..."}'s value for a type; notes that it is needed. */
void openapi_ref(struct openapi_doc *doc, const struct api_struct *type);
void openapi_ref_special(struct openapi_doc *doc, enum openapi_special special);
/* "NAME":{schema} members for everything noted so far and all that it reaches. */
void openapi_schemas(struct openapi_doc *doc, struct api_catalog catalog);
/* The same for one type that a CustomResourceDefinition describes. */
void openapi_custom(struct openapi_doc *doc, const struct api_struct *type);
/* "PATH":{operations} members of one resource. */
void openapi_paths(struct openapi_doc *doc, const struct api_resource *resource);
