/* table.h: printing server-side Tables (meta.k8s.io/v1) the way kubectl prints them: upper-case
 * heads, three spaces between columns. */
#pragma once
#include "api/val.h"

struct table_options {
    bool wide, no_headers, with_namespace, show_labels, kind_prefix;
    struct str prefix; /* "pod/" before names, when several types are shown */
};
/* Appends the lines. `headers` false: rows only (watch). */
void table_print(const struct val *table, const struct table_options *options, bool headers,
                 struct buf *out);
