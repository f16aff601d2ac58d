/* jsonpath.h: JSONPath as client-go's template language has it between braces, the part that
 * columns use: .name, ['name'], [0], [-1], [0:3:2], [*], .*, ..name, [0,2], ['a','b'],
 * [?(@.type=="Ready")] with == != < <= > >= and bare existence. No range, no functions.
 */
#pragma once
#include "api/val.h"

struct jsonpath;
/* In the arena; texts are copied. NULL with err (may be NULL) set when it is none. */
const struct jsonpath *jsonpath_new(struct arena *arena, struct str text, struct err *err);
/* The first value that it leads to, or NULL. */
const struct val *jsonpath_first(struct arena *arena, const struct jsonpath *path,
                                 const struct val *value);
/* A path of member names only, such as .spec.replicas, as an array that STR_NONE ends. NULL with
 * err set when it has anything else. */
const struct str *jsonpath_members(struct arena *arena, struct str text, struct err *err);
