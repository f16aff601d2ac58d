/* metrics.c: the registry is a linker section; writing is the exposition format 0.0.4. */
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"

extern struct metric __start_cox_metrics[] __attribute__((weak));
extern struct metric __stop_cox_metrics[] __attribute__((weak));

static const uint64_t bounds_us[METRIC_BUCKETS - 1] = {
    100,    250,    500,    1000,    2500,    5000,    10000,    25000,   50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000, 60000000};

void metric_observe_us(struct metric *metric, uint64_t microseconds)
{
    int i = 0;
    while (i < METRIC_BUCKETS - 1 && microseconds > bounds_us[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&metric->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->sum_us, microseconds, memory_order_relaxed);
}

static int by_name(const void *a, const void *b)
{
    const struct metric *x = *(struct metric *const *)a, *y = *(struct metric *const *)b;
    int order = strcmp(x->name, y->name);
    return order != 0
               ? order
               : strcmp(x->labels != NULL ? x->labels : "", y->labels != NULL ? y->labels : "");
}

static void histogram_write(struct buf *out, const struct metric *metric)
{
    const char *labels = metric->labels != NULL ? metric->labels : "";
    const char *comma = metric->labels != NULL ? "," : "";
    uint64_t total = 0;
    for (int i = 0; i < METRIC_BUCKETS; i++) {
        total += atomic_load(&metric->buckets[i]);
        if (i < METRIC_BUCKETS - 1) {
            buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", metric->name, labels, comma,
                       (double)bounds_us[i] / 1e6, (unsigned long long)total);
        } else {
            buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", metric->name, labels, comma,
                       (unsigned long long)total);
        }
    }
    const char *open = metric->labels != NULL ? "{" : "",
               *close = metric->labels != NULL ? "}" : "";
    buf_printf(out, "%s_sum%s%s%s %.6f\n", metric->name, open, labels, close,
               (double)atomic_load(&metric->sum_us) / 1e6);
    buf_printf(out, "%s_count%s%s%s %llu\n", metric->name, open, labels, close,
               (unsigned long long)total);
}

static void process_write(struct buf *out)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    buf_printf(out,
               "# HELP process_cpu_seconds_total User and system CPU time spent.\n"
               "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.3f\n",
               cpu);
    FILE *statm = fopen("/proc/self/statm", "re");
    if (statm != NULL) {
        unsigned long size = 0, resident = 0;
        if (fscanf(statm, "%lu %lu", &size, &resident) == 2) {
            buf_printf(
                out,
                "# HELP process_resident_memory_bytes Resident memory.\n"
                "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %lu\n",
                resident * (unsigned long)sysconf(_SC_PAGESIZE));
        }
        fclose(statm);
    }
}

void metrics_write(struct buf *out)
{
    size_t count = (size_t)(__stop_cox_metrics - __start_cox_metrics);
    struct metric **sorted = mem_array(struct metric *, count);
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &__start_cox_metrics[i];
    }
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 0; i < count; i++) {
        const struct metric *metric = sorted[i];
        if (i == 0 || strcmp(sorted[i - 1]->name, metric->name) != 0) {
            buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                       metric->name, kinds[metric->kind]);
        }
        if (metric->kind == METRIC_KIND_HISTOGRAM) {
            histogram_write(out, metric);
        } else if (metric->labels != NULL) {
            buf_printf(out, "%s{%s} %lld\n", metric->name, metric->labels,
                       (long long)atomic_load(&metric->value));
        } else {
            buf_printf(out, "%s %lld\n", metric->name, (long long)atomic_load(&metric->value));
        }
    }
    free(sorted);
    process_write(out);
}
