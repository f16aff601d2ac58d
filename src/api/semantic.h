/* semantic.h: equality as the API means it. */
#pragma once
#include "api/val.h"

/* Equal, where an absent member equals null and equals the empty value of a field that has no
 * pointer in the API (an empty list, map or text, 0, false). Either may be NULL (absent). */
bool semantic_equal(const struct val *a, const struct val *b);
