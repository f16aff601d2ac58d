/* cadvisor.c: /metrics/cadvisor: usage of pods and containers under the names and labels that
 * dashboards ask for, from control groups and the network counters of pods. A row of the table is a
 * metric; each is written for all pods before the next begins, as the text format wants it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/runtime/cgroup.h"
#include "node/serve/streams.h"

struct subject { /* a container, or a whole pod (container "") */
    const char *labels;
    const struct cgroup_usage *usage;
    const struct container *container; /* NULL: the pod */
    const struct val *resources;
    double now;
};

typedef double value_fn(const struct subject *subject);

static double cpu_seconds(const struct subject *s)
{
    return (double)s->usage->cpu_ns / 1e9;
}
static double cpu_user(const struct subject *s)
{
    return (double)s->usage->cpu_user_ns / 1e9;
}
static double cpu_system(const struct subject *s)
{
    return (double)s->usage->cpu_system_ns / 1e9;
}
static double periods(const struct subject *s)
{
    return (double)s->usage->cfs_periods;
}
static double throttled(const struct subject *s)
{
    return (double)s->usage->cfs_throttled;
}
static double throttled_seconds(const struct subject *s)
{
    return (double)s->usage->cfs_throttled_ns / 1e9;
}
static double memory_usage(const struct subject *s)
{
    return (double)s->usage->memory_usage;
}
static double memory_working_set(const struct subject *s)
{
    return (double)s->usage->memory_working_set;
}
static double memory_rss(const struct subject *s)
{
    return (double)s->usage->memory_rss;
}
static double memory_cache(const struct subject *s)
{
    return (double)s->usage->memory_cache;
}
static double memory_max(const struct subject *s)
{
    return (double)s->usage->memory_max_usage;
}
static double memory_failcnt(const struct subject *s)
{
    return (double)s->usage->memory_failures;
}
static double processes(const struct subject *s)
{
    return (double)s->usage->pids;
}
static double started(const struct subject *s)
{
    return s->container != NULL ? (double)(s->container->started_ns / NS_PER_S) : -1;
}
static double seen(const struct subject *s)
{
    return s->now;
}
static double limit(const struct subject *s, const char *resource, bool milli)
{
    struct quantity quantity;
    if (s->container == NULL ||
        !pod_resource(container_spec(s->container), "limits", resource, &quantity)) {
        return -1;
    }
    return (double)(milli ? quantity_milli(quantity) : quantity_value(quantity));
}
static double memory_limit(const struct subject *s)
{
    double value = limit(s, "memory", false);
    return value < 0 && s->container != NULL ? 0 : value;
}
static double cpu_quota(const struct subject *s)
{
    double milli = limit(s, "cpu", true);
    return milli < 0 ? -1 : milli * 100;
}
static double cpu_period(const struct subject *s)
{
    return s->container != NULL ? 100000 : -1;
}

static const struct row {
    const char *name, *type, *help, *more; /* more labels */
    value_fn *value;                       /* below 0: there is none */
} rows[] = {
    {"container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
     "cpu=\"total\",", cpu_seconds},
    {"container_cpu_user_seconds_total", "counter", "Cumulative user cpu time in seconds.", "",
     cpu_user},
    {"container_cpu_system_seconds_total", "counter", "Cumulative system cpu time in seconds.", "",
     cpu_system},
    {"container_cpu_cfs_periods_total", "counter", "Number of elapsed enforcement periods.", "",
     periods},
    {"container_cpu_cfs_throttled_periods_total", "counter", "Number of throttled periods.", "",
     throttled},
    {"container_cpu_cfs_throttled_seconds_total", "counter", "Total time throttled.", "",
     throttled_seconds},
    {"container_memory_usage_bytes", "gauge", "Memory in use, caches included.", "", memory_usage},
    {"container_memory_working_set_bytes", "gauge", "Memory that cannot be given back easily.", "",
     memory_working_set},
    {"container_memory_rss", "gauge", "Size of anonymous memory.", "", memory_rss},
    {"container_memory_cache", "gauge", "Size of the page cache.", "", memory_cache},
    {"container_memory_max_usage_bytes", "gauge", "Most memory that was in use.", "", memory_max},
    {"container_memory_failcnt", "counter", "How often the memory limit was hit.", "",
     memory_failcnt},
    {"container_processes", "gauge", "Number of processes.", "", processes},
    {"container_start_time_seconds", "gauge", "Start time since the epoch.", "", started},
    {"container_last_seen", "gauge", "When the container was last seen.", "", seen},
    {"container_spec_memory_limit_bytes", "gauge", "Memory limit; 0: none.", "", memory_limit},
    {"container_spec_cpu_quota", "gauge", "CPU quota of a period, in microseconds.", "", cpu_quota},
    {"container_spec_cpu_period", "gauge", "CPU period in microseconds.", "", cpu_period},
};
enum { ROWS = sizeof rows / sizeof *rows };

struct page {
    struct buf texts[ROWS];
    double now;
};

static void add_subject(struct page *page, const char *group, const char *labels,
                        const struct container *container)
{
    struct cgroup_usage usage;
    struct subject subject = {
        .labels = labels, .usage = &usage, .container = container, .now = page->now};
    if (group == NULL || !cgroup_usage(group, &usage)) {
        return;
    }
    for (size_t i = 0; i < ROWS; i++) {
        double value = rows[i].value(&subject);
        if (value >= 0) {
            buf_printf(&page->texts[i], "%s{%s%s} %.15g\n", rows[i].name, rows[i].more, labels,
                       value);
        }
    }
}

static void add_pod(struct page *page, const struct pod_entry *entry)
{
    char *pod MEM_CLEANUP =
        mem_printf("container=\"\",id=\"/%s\",image=\"\",name=\"\",namespace=\"%s\",pod=\"%s\"",
                   entry->cgroup, entry->ns, entry->name);
    add_subject(page, entry->cgroup, pod, NULL);
    for (size_t i = 0; i < entry->worker->container_count; i++) {
        const struct container *c = entry->worker->containers[i];
        const struct run *run = c->user;
        if (run == NULL || run->cgroup == NULL || !container_live(c)) {
            continue;
        }
        char *labels MEM_CLEANUP = mem_printf(
            "container=\"%s\",id=\"/%s\",image=\"%s\",name=\"%s\",namespace=\"%s\",pod=\"%s\"",
            c->name, run->cgroup, c->image, run->id, entry->ns, entry->name);
        add_subject(page, run->cgroup, labels, c);
    }
}

/* ---- network ---- */

static const struct {
    const char *name;
    int column; /* of /proc/PID/net/dev, after the interface */
} net_rows[] = {{"container_network_receive_bytes_total", 0},
                {"container_network_receive_packets_total", 1},
                {"container_network_receive_errors_total", 2},
                {"container_network_receive_packets_dropped_total", 3},
                {"container_network_transmit_bytes_total", 8},
                {"container_network_transmit_packets_total", 9},
                {"container_network_transmit_errors_total", 10},
                {"container_network_transmit_packets_dropped_total", 11}};
enum { NET_ROWS = sizeof net_rows / sizeof *net_rows, NET_COLUMNS = 16 };

static pid_t some_process(const struct pod_entry *entry)
{
    for (size_t i = 0; i < entry->worker->container_count; i++) {
        const struct run *run = entry->worker->containers[i]->user;
        if (run != NULL && run->pid > 0 && container_live(entry->worker->containers[i])) {
            return run->pid;
        }
    }
    return 0;
}

static void add_interface(struct buf texts[NET_ROWS], const struct pod_entry *entry,
                          struct str name, struct str rest)
{
    uint64_t numbers[NET_COLUMNS] = {0};
    for (size_t i = 0; i < NET_COLUMNS && rest.p != NULL;) {
        struct str word = str_cut(rest, ' ', &rest);
        if (word.n > 0) {
            str_u64(word, &numbers[i++]);
        }
    }
    for (size_t i = 0; i < NET_ROWS; i++) {
        buf_printf(&texts[i],
                   "%s{container=\"\",id=\"/%s\",image=\"\",interface=\"%.*s\",name=\"\","
                   "namespace=\"%s\",pod=\"%s\"} %llu\n",
                   net_rows[i].name, entry->cgroup, STR_ARG(name), entry->ns, entry->name,
                   (unsigned long long)numbers[net_rows[i].column]);
    }
}

static void add_network(struct buf texts[NET_ROWS], const struct pod_entry *entry)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    pid_t pid = some_process(entry);
    char *path MEM_CLEANUP = mem_printf("/proc/%d/net/dev", (int)pid);
    if (pid == 0 || pod_is_host_network(entry->worker->view->spec) ||
        file_read(path, 64 * 1024, &text, NULL) != 0) {
        return;
    }
    struct str rest = buf_view(&text);
    while (rest.p != NULL) {
        struct str numbers, line = str_cut(rest, '\n', &rest);
        struct str name = str_trim(str_cut(line, ':', &numbers));
        if (numbers.p != NULL && !str_is(name, "lo")) {
            add_interface(texts, entry, name, numbers);
        }
    }
}

static void add_machine(const struct agent *agent, struct buf *out)
{
    buf_printf(out,
               "# HELP machine_cpu_cores Number of logical CPU cores.\n# TYPE machine_cpu_cores "
               "gauge\nmachine_cpu_cores %lld\n"
               "# HELP machine_memory_bytes Amount of memory installed on the machine.\n# TYPE "
               "machine_memory_bytes gauge\nmachine_memory_bytes %lld\n",
               (long long)(agent->cpu_milli / 1000), (long long)agent->memory_bytes);
}

void serve_metrics_cadvisor(struct serve_request *request)
{
    struct agent *agent = request->agent;
    struct page page = {.now = (double)(clock_wall(loop_clock(agent->loop)) / NS_PER_S)};
    struct buf network[NET_ROWS] = {0}, out BUF_CLEANUP = BUF_INIT;
    MAP_EACH (it, &agent->pod_entries) {
        add_pod(&page, it->value);
        add_network(network, it->value);
    }
    for (size_t i = 0; i < ROWS; i++) {
        buf_printf(&out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help, rows[i].name,
                   rows[i].type);
        buf_str(&out, buf_view(&page.texts[i]));
        buf_done(&page.texts[i]);
    }
    for (size_t i = 0; i < NET_ROWS; i++) {
        buf_printf(&out, "# HELP %s Counter of the pod's interface.\n# TYPE %s counter\n",
                   net_rows[i].name, net_rows[i].name);
        buf_str(&out, buf_view(&network[i]));
        buf_done(&network[i]);
    }
    add_machine(agent, &out);
    serve_text(request->exchange, 200, "text/plain; version=0.0.4", buf_view(&out));
}
