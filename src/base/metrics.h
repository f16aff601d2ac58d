/* metrics.h: counters, gauges and histograms in Prometheus' text format 0.0.4.
 *
 * A metric is a static struct at file scope, registered by METRIC_*; labels are a closed set of
 * values written in the code, never client text (CVE-2020-8552). Updates are single atomic
 * operations.
 */
#pragma once
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };
enum { METRIC_BUCKETS = 18 }; /* microseconds 100, 250, 500, 1000 ... and +Inf: see metrics.c */

struct metric {
    const char *name, *help;
    const char *labels; /* "verb=\"get\",code=\"200\"" or NULL */
    enum metric_kind kind;
    _Atomic int64_t value;                    /* counter, gauge */
    _Atomic uint64_t buckets[METRIC_BUCKETS]; /* histogram */
    _Atomic uint64_t sum_us;
};

#define METRIC(ident, kind_, name_, labels_, help_)                                                \
    static struct metric ident __attribute__((section("cox_metrics"), used, aligned(64))) = {      \
        .name = (name_), .help = (help_), .labels = (labels_), .kind = (kind_)}

static inline void metric_add(struct metric *metric, int64_t amount)
{
    atomic_fetch_add_explicit(&metric->value, amount, memory_order_relaxed);
}
static inline void metric_set(struct metric *metric, int64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}
void metric_observe_us(struct metric *metric, uint64_t microseconds);
void metrics_write(struct buf *out); /* all of them, sorted by name; process_* included */
