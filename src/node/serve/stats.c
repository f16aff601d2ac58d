/* stats.c: /stats/summary (JSON) and /metrics/resource (Prometheus text), from the control groups
 * of pods and containers, as metrics-server and `kubectl top` read them. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/mem.h"
#include "io/file.h"
#include "node/runtime/cgroup.h"
#include "node/serve/streams.h"

struct summary {
    struct arena *a;
    struct agent *agent;
    struct str now;
};

static struct str time_text(struct arena *a, int64_t wall_ns)
{
    char text[TIME_TEXT_SIZE];
    size_t n = time_format(wall_ns, text);
    return str_copy_in(a, str_at(text, n));
}

static void set_usage(struct summary *s, struct val *out, const char *group)
{
    struct cgroup_usage usage;
    if (!cgroup_usage(group, &usage)) {
        return;
    }
    struct val *cpu = val_make_object(s->a, out, STR("cpu"));
    val_set_text(s->a, cpu, STR("time"), s->now);
    val_set_int(s->a, cpu, STR("usageCoreNanoSeconds"), (int64_t)usage.cpu_ns);
    struct val *memory = val_make_object(s->a, out, STR("memory"));
    val_set_text(s->a, memory, STR("time"), s->now);
    val_set_int(s->a, memory, STR("usageBytes"), (int64_t)usage.memory_usage);
    val_set_int(s->a, memory, STR("workingSetBytes"), (int64_t)usage.memory_working_set);
    val_set_int(s->a, memory, STR("rssBytes"), (int64_t)usage.memory_rss);
    val_set_int(s->a, memory, STR("pageFaults"), (int64_t)usage.page_faults);
    val_set_int(s->a, memory, STR("majorPageFaults"), (int64_t)usage.major_page_faults);
}

static void add_pod(struct summary *s, struct val *pods, struct pod_entry *entry)
{
    struct val *pod = val_append(pods, val_new(s->a, VAL_OBJECT));
    struct val *ref = val_make_object(s->a, pod, STR("podRef"));
    val_set_text(s->a, ref, STR("name"), str_of(entry->name));
    val_set_text(s->a, ref, STR("namespace"), str_of(entry->ns));
    val_set_text(s->a, ref, STR("uid"), str_of(entry->uid));
    val_set_text(s->a, pod, STR("startTime"), time_text(s->a, entry->worker->start_ns));
    struct val *containers = val_make_array(s->a, pod, STR("containers"));
    for (size_t i = 0; i < entry->worker->container_count; i++) {
        const struct container *c = entry->worker->containers[i];
        const struct run *run = c->user;
        if (run != NULL && run->cgroup != NULL && container_live(c)) {
            struct val *out = val_append(containers, val_new(s->a, VAL_OBJECT));
            val_set_text(s->a, out, STR("name"), str_of(c->name));
            val_set_text(s->a, out, STR("startTime"), time_text(s->a, c->started_ns));
            set_usage(s, out, run->cgroup);
        }
    }
    set_usage(s, pod, entry->cgroup);
    struct cgroup_usage usage;
    if (cgroup_usage(entry->cgroup, &usage)) {
        struct val *processes = val_make_object(s->a, pod, STR("process_stats"));
        val_set_int(s->a, processes, STR("process_count"), (int64_t)usage.pids);
    }
}

static void set_fs(struct summary *s, struct val *node)
{
    struct statvfs info;
    if (statvfs(s->agent->root_dir, &info) != 0) {
        return;
    }
    struct val *fs = val_make_object(s->a, node, STR("fs"));
    int64_t block = (int64_t)info.f_frsize;
    val_set_text(s->a, fs, STR("time"), s->now);
    val_set_int(s->a, fs, STR("availableBytes"), (int64_t)info.f_bavail * block);
    val_set_int(s->a, fs, STR("capacityBytes"), (int64_t)info.f_blocks * block);
    val_set_int(s->a, fs, STR("usedBytes"), (int64_t)(info.f_blocks - info.f_bfree) * block);
    val_set_int(s->a, fs, STR("inodes"), (int64_t)info.f_files);
    val_set_int(s->a, fs, STR("inodesFree"), (int64_t)info.f_ffree);
}

/* Of the whole machine: /proc/stat, /proc/meminfo. */
static void machine_usage(uint64_t *ret_cpu_ns, uint64_t *ret_working_set, uint64_t *ret_available)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    uint64_t total = 0, available = 0, ticks = 0, value;
    if (file_read("/proc/stat", 256 * 1024, &text, NULL) == 0) {
        struct str rest, line = str_cut(buf_view(&text), '\n', &rest);
        str_cut(line, ' ', &line);
        line = str_trim(line);
        for (int i = 0; i < 8 && line.p != NULL; i++) {
            struct str word = str_cut(line, ' ', &line);
            if (str_u64(word, &value) && i != 3 && i != 4) { /* idle, iowait */
                ticks += value;
            }
        }
    }
    buf_clear(&text);
    if (file_read("/proc/meminfo", 16384, &text, NULL) == 0) {
        struct str rest = buf_view(&text);
        while (rest.p != NULL) {
            struct str number, line = str_cut(rest, '\n', &rest);
            struct str key = str_cut(line, ':', &number);
            number = str_trim(number);
            number = str_cut(number, ' ', &(struct str){0});
            if (str_is(key, "MemTotal")) {
                str_u64(number, &total);
            } else if (str_is(key, "MemAvailable")) {
                str_u64(number, &available);
            }
        }
    }
    *ret_cpu_ns = ticks * 10000000ULL;
    *ret_working_set = (total - available) * 1024;
    *ret_available = available * 1024;
}

void serve_summary(struct serve_request *request)
{
    struct summary s = {.a = request->arena, .agent = request->agent};
    s.now = time_text(s.a, clock_wall(loop_clock(s.agent->loop)));
    struct val *root = val_new(s.a, VAL_OBJECT);
    struct val *node = val_make_object(s.a, root, STR("node"));
    uint64_t cpu, working_set, available;
    machine_usage(&cpu, &working_set, &available);
    val_set_text(s.a, node, STR("nodeName"), str_of(s.agent->node_name));
    struct val *cpu_out = val_make_object(s.a, node, STR("cpu"));
    val_set_text(s.a, cpu_out, STR("time"), s.now);
    val_set_int(s.a, cpu_out, STR("usageCoreNanoSeconds"), (int64_t)cpu);
    struct val *memory = val_make_object(s.a, node, STR("memory"));
    val_set_text(s.a, memory, STR("time"), s.now);
    val_set_int(s.a, memory, STR("availableBytes"), (int64_t)available);
    val_set_int(s.a, memory, STR("workingSetBytes"), (int64_t)working_set);
    set_fs(&s, node);
    struct val *pods = val_make_array(s.a, root, STR("pods"));
    MAP_EACH (it, &s.agent->pod_entries) {
        add_pod(&s, pods, it->value);
    }
    struct buf out BUF_CLEANUP = BUF_INIT;
    val_write_json(root, &out);
    serve_text(request->exchange, 200, "application/json", buf_view(&out));
}

static void add_sample(struct buf *out, const char *name, const char *labels, double value)
{
    buf_printf(out, "%s%s %.9g\n", name, labels, value);
}

static void add_container_samples(struct agent *agent, struct buf *cpu, struct buf *memory)
{
    MAP_EACH (it, &agent->pod_entries) {
        const struct pod_entry *entry = it->value;
        for (size_t i = 0; i < entry->worker->container_count; i++) {
            const struct container *c = entry->worker->containers[i];
            const struct run *run = c->user;
            struct cgroup_usage usage;
            if (run == NULL || run->cgroup == NULL || !container_live(c) ||
                !cgroup_usage(run->cgroup, &usage)) {
                continue;
            }
            char labels[900];
            snprintf(labels, sizeof labels, "{container=\"%s\",namespace=\"%s\",pod=\"%s\"}",
                     c->name, entry->ns, entry->name);
            add_sample(cpu, "container_cpu_usage_seconds_total", labels,
                       (double)usage.cpu_ns / 1e9);
            add_sample(memory, "container_memory_working_set_bytes", labels,
                       (double)usage.memory_working_set);
        }
    }
}

void serve_metrics_resource(struct serve_request *request)
{
    struct buf out BUF_CLEANUP = BUF_INIT, cpu BUF_CLEANUP = BUF_INIT,
                   memory BUF_CLEANUP = BUF_INIT;
    uint64_t node_cpu, working_set, available;
    machine_usage(&node_cpu, &working_set, &available);
    add_container_samples(request->agent, &cpu, &memory);
    buf_addz(&out, "# HELP container_cpu_usage_seconds_total Cumulative cpu time of a container\n"
                   "# TYPE container_cpu_usage_seconds_total counter\n");
    buf_str(&out, buf_view(&cpu));
    buf_addz(&out, "# HELP container_memory_working_set_bytes Working set of a container\n"
                   "# TYPE container_memory_working_set_bytes gauge\n");
    buf_str(&out, buf_view(&memory));
    buf_addz(&out, "# HELP node_cpu_usage_seconds_total Cumulative cpu time of the node\n"
                   "# TYPE node_cpu_usage_seconds_total counter\n");
    add_sample(&out, "node_cpu_usage_seconds_total", "", (double)node_cpu / 1e9);
    buf_addz(&out, "# HELP node_memory_working_set_bytes Working set of the node\n"
                   "# TYPE node_memory_working_set_bytes gauge\n");
    add_sample(&out, "node_memory_working_set_bytes", "", (double)working_set);
    buf_addz(&out, "# HELP resource_scrape_error 1 if there was an error\n"
                   "# TYPE resource_scrape_error gauge\nresource_scrape_error 0\n");
    serve_text(request->exchange, 200, "text/plain; version=0.0.4", buf_view(&out));
}
