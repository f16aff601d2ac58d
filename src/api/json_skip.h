/* json_skip.h: where a JSON value ends, for text that is known to be well formed and compact
 * (ours). Inside api/ only. */
#pragma once
#include "base/str.h"

/* `p` is at the first byte of a value. The byte after it, or NULL when it ends nowhere before
 * `end`. 64 bytes a step. */
const char *json_skip_value(const char *p, const char *end);
