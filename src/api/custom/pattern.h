/* pattern.h: regular expressions in RE2's language, which the API documents for `pattern`.
 *
 * What RE2 does not have (look-around, backreferences, possessive and atomic groups, recursion,
 * conditions, callouts) is refused with the place; what it has is put into PCRE2's terms and
 * compiled. Matching is bounded in steps and memory, so a pattern that backtracks without end fails
 * to match in bounded time, and says so.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"

struct pattern;
/* ERR_INVALID with what is wrong. */
int pattern_new(struct str text, struct pattern **ret_pattern, struct err *err);
void pattern_free(struct pattern *pattern); /* NULL is harmless */
const char *pattern_text(const struct pattern *pattern);
/* 1: matches somewhere in the text; 0: does not; negative: it took too many steps. Any thread. */
int pattern_match(const struct pattern *pattern, struct str text);
