/* eviction.c: see eviction.h. Measuring (walking folders) is a job on copied paths, and is done
 * only for pods with limits, or for all when the disk runs short; the rest is a look into /proc. */
#include "node/eviction.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/disk_usage.h"
#include "node/runtime/cgroup.h"

static const int64_t PERIOD = 10 * NS_PER_S;
enum { THRESHOLDS_MAX = 16, CRITICAL_PRIORITY = 2000000000 };
#define DEFAULT_THRESHOLDS                                                                         \
    "memory.available<100Mi,nodefs.available<10%,nodefs.inodesFree<5%,imagefs.available<15%,"      \
    "imagefs.inodesFree<5%"

enum signal {
    SIGNAL_MEMORY,
    SIGNAL_NODEFS,
    SIGNAL_NODEFS_INODES,
    SIGNAL_IMAGEFS,
    SIGNAL_IMAGEFS_INODES,
    SIGNAL_PID,
    SIGNALS
};
static const struct {
    const char *name, *resource;
    enum eviction_condition condition;
} signals[SIGNALS] = {
    [SIGNAL_MEMORY] = {"memory.available", "memory", MEMORY_PRESSURE},
    [SIGNAL_NODEFS] = {"nodefs.available", "ephemeral-storage", DISK_PRESSURE},
    [SIGNAL_NODEFS_INODES] = {"nodefs.inodesFree", "inodes", DISK_PRESSURE},
    [SIGNAL_IMAGEFS] = {"imagefs.available", "ephemeral-storage", DISK_PRESSURE},
    [SIGNAL_IMAGEFS_INODES] = {"imagefs.inodesFree", "inodes", DISK_PRESSURE},
    [SIGNAL_PID] = {"pid.available", "pids", PID_PRESSURE},
};

struct threshold {
    enum signal signal;
    bool percent;
    int64_t value;
    char text[32];
};
struct observation {
    int64_t available, capacity;
};

struct eviction {
    struct agent *agent;
    struct threshold thresholds[THRESHOLDS_MAX];
    size_t threshold_count;
    int64_t transition_ns;
    struct timer timer;
    struct {
        bool on;
        int64_t met_ns; /* mono: last */
    } pressure[PRESSURES];
    bool collected; /* images went in the round before */
    bool measuring;
};

/* ---- thresholds ---- */

static bool parse_one(struct str item, struct threshold *out)
{
    struct str value, name = str_trim(str_cut(item, '<', &value));
    struct quantity quantity;
    value = str_trim(value);
    snprintf(out->text, sizeof out->text, "%.*s", (int)value.n, value.p);
    for (out->signal = 0; out->signal < SIGNALS; out->signal++) {
        if (str_is(name, signals[out->signal].name)) {
            break;
        }
    }
    out->percent = value.n > 0 && value.p[value.n - 1] == '%';
    if (out->signal == SIGNALS || value.n == 0) {
        return false;
    }
    if (out->percent) {
        return str_i64(str_at(value.p, value.n - 1), &out->value) && out->value >= 0 &&
               out->value <= 100;
    }
    bool good = quantity_parse(value, &quantity);
    out->value = good ? quantity_value(quantity) : 0;
    return good && out->value >= 0;
}

static int parse_thresholds(struct eviction *e, struct str text, struct err *err)
{
    for (struct str rest = text; rest.p != NULL && rest.n > 0;) {
        struct str item = str_cut(rest, ',', &rest);
        if (e->threshold_count == THRESHOLDS_MAX ||
            !parse_one(item, &e->thresholds[e->threshold_count++])) {
            return err_set(err, ERR_INVALID,
                           "--eviction-hard: \"%.*s\" is no threshold: say SIGNAL<QUANTITY or "
                           "SIGNAL<PERCENT%%, such as memory.available<100Mi",
                           STR_ARG(item));
        }
    }
    return 0;
}

/* ---- observing ---- */

static int64_t meminfo(struct str text, const char *key)
{
    int64_t kib = 0;
    while (text.p != NULL) {
        struct str number, line = str_cut(text, '\n', &text), rest;
        if (str_is(str_cut(line, ':', &number), key)) {
            str_i64(str_cut(str_trim(number), ' ', &rest), &kib);
        }
    }
    return kib * 1024;
}

static void observe_disk(const char *path, struct observation *space, struct observation *inodes)
{
    struct statvfs info;
    if (statvfs(path, &info) == 0) {
        *space = (struct observation){(int64_t)(info.f_bavail * info.f_frsize),
                                      (int64_t)(info.f_blocks * info.f_frsize)};
        *inodes = (struct observation){(int64_t)info.f_favail, (int64_t)info.f_files};
    }
}

static int64_t proc_number(const char *path)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t number = 0;
    if (file_read(path, 64, &text, NULL) == 0) {
        str_i64(str_trim(buf_view(&text)), &number);
    }
    return number;
}

/* /proc/loadavg's fourth word is RUNNING/ALL threads. */
static struct observation observe_pids(void)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t pids = proc_number("/proc/sys/kernel/pid_max"),
            threads = proc_number("/proc/sys/kernel/threads-max"), all = 0;
    struct str rest;
    file_read("/proc/loadavg", 256, &text, NULL);
    struct str part = buf_view(&text);
    for (int i = 0; i < 3 && part.p != NULL; i++) {
        str_cut(part, ' ', &part);
    }
    str_cut(str_cut(part, ' ', &rest), '/', &part);
    str_i64(part, &all);
    int64_t most = pids < threads ? pids : threads;
    return (struct observation){most - all, most};
}

static void observe(const struct agent *agent, struct observation out[SIGNALS])
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    memset(out, 0, SIGNALS * sizeof *out);
    if (file_read("/proc/meminfo", 16384, &text, NULL) == 0) {
        out[SIGNAL_MEMORY] = (struct observation){meminfo(buf_view(&text), "MemAvailable"),
                                                  meminfo(buf_view(&text), "MemTotal")};
    }
    observe_disk(agent->root_dir, &out[SIGNAL_NODEFS], &out[SIGNAL_NODEFS_INODES]);
    observe_disk(agent->data_dir, &out[SIGNAL_IMAGEFS], &out[SIGNAL_IMAGEFS_INODES]);
    out[SIGNAL_PID] = observe_pids();
}

static bool is_met(const struct threshold *t, const struct observation seen[SIGNALS])
{
    const struct observation *o = &seen[t->signal];
    int64_t limit = t->percent ? o->capacity / 100 * t->value : t->value;
    return o->capacity > 0 && o->available < limit;
}

/* ---- ranking ---- */

struct candidate {
    struct pod_entry *entry;
    int64_t priority, usage, request;
};

bool pod_is_critical(const struct pod_view *view)
{
    const struct val *source =
        val_get_str(val_get(view->meta, "annotations"), STR("kubernetes.io/config.source"));
    bool is_static = source != NULL && !str_is(val_text(source), "api");
    return is_static || val_int(val_get(view->spec, "priority"), 0) >= CRITICAL_PRIORITY;
}

static int64_t request_of(const struct val *spec, const char *resource)
{
    struct pod_resources sum;
    int64_t total = 0;
    pod_resources_sum(spec, &sum);
    if (strcmp(resource, "memory") == 0) {
        return sum.memory_request;
    }
    VAL_EACH (it, val_get(spec, "containers")) {
        struct quantity quantity;
        if (pod_resource(it, "requests", resource, &quantity)) {
            total += quantity_value(quantity);
        }
    }
    return total;
}

static int by_worth(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    bool over_x = x->usage > x->request, over_y = y->usage > y->request;
    int64_t more_x = x->usage - x->request, more_y = y->usage - y->request;
    return over_x != over_y             ? (over_x ? -1 : 1)
           : x->priority != y->priority ? (x->priority < y->priority ? -1 : 1)
                                        : (more_x > more_y) * -1 + (more_x < more_y);
}

static bool is_going_or_over(const struct pod_entry *entry)
{
    return entry->worker->terminating || entry->worker->state >= POD_FINISHED;
}

static int64_t usage_of(const struct pod_entry *entry, enum signal signal)
{
    struct cgroup_usage usage;
    if (signals[signal].condition == DISK_PRESSURE) {
        return entry->disk_bytes;
    }
    if (!cgroup_usage(entry->cgroup, &usage)) {
        return 0;
    }
    return signal == SIGNAL_PID ? (int64_t)usage.pids : (int64_t)usage.memory_working_set;
}

/* The pod that has to go first, or NULL. */
static struct pod_entry *choose(struct eviction *e, enum signal signal)
{
    struct candidate *items = mem_array(struct candidate, e->agent->pod_entries.count + 1);
    size_t count = 0;
    const char *resource = signals[signal].resource;
    MAP_EACH (it, &e->agent->pod_entries) {
        struct pod_entry *entry = it->value;
        const struct pod_view *view = entry->worker->view;
        if (!is_going_or_over(entry) && !pod_is_critical(view)) {
            items[count++] = (struct candidate){
                .entry = entry,
                .priority = val_int(val_get(view->spec, "priority"), 0),
                .usage = usage_of(entry, signal),
                .request = signal == SIGNAL_PID ? 0 : request_of(view->spec, resource)};
        }
    }
    qsort(items, count, sizeof *items, by_worth);
    struct pod_entry *first = count > 0 ? items[0].entry : NULL;
    free(items);
    return first;
}

/* ---- evicting ---- */

static void evict(struct pod_entry *entry, const char *message)
{
    LOG_WARN("node", "a pod is evicted", LOG_Z("namespace", entry->ns), LOG_Z("pod", entry->name),
             LOG_Z("message", message));
    pod_worker_evict(entry->worker, "Evicted", message, 0);
}

static void add_consumers(struct buf *out, const struct pod_entry *entry, enum signal signal)
{
    const char *resource = signals[signal].resource;
    for (size_t i = 0; i < entry->worker->container_count && signal == SIGNAL_MEMORY; i++) {
        const struct container *c = entry->worker->containers[i];
        const struct run *run = c->user;
        struct cgroup_usage usage;
        struct quantity request = {0};
        char used[64], asked[64] = "0";
        if (run == NULL || run->cgroup == NULL || !container_live(c) ||
            !cgroup_usage(run->cgroup, &usage)) {
            continue;
        }
        bool has = pod_resource(container_spec(c), "requests", resource, &request);
        if ((int64_t)usage.memory_working_set > (has ? quantity_value(request) : 0)) {
            quantity_format(quantity_of_value((int64_t)usage.memory_working_set / 1024 * 1024, 1),
                            used);
            if (has) {
                quantity_format(request, asked);
            }
            buf_printf(out,
                       "Container %s was using %s, request is %s, has larger consumption of %s. ",
                       c->name, used, asked, resource);
        }
    }
}

static void evict_for(struct eviction *e, const struct threshold *t, const struct observation *seen)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct pod_entry *entry = choose(e, t->signal);
    char available[64];
    if (entry == NULL) {
        LOG_WARN("node", "nothing is left to evict", LOG_Z("signal", signals[t->signal].name));
        return;
    }
    quantity_format(quantity_of_value(seen[t->signal].available, 0), available);
    buf_printf(&text, "The node was low on resource: %s. Threshold quantity: %s, available: %s. ",
               signals[t->signal].resource, t->text, available);
    add_consumers(&text, entry, t->signal);
    evict(entry, text.p);
}

/* ---- local storage ---- */

static int64_t limit_of(const struct val *owner, const char *resource, char text[64])
{
    struct quantity quantity;
    if (!pod_resource(owner, "limits", resource, &quantity)) {
        return -1;
    }
    quantity_format(quantity, text);
    return quantity_value(quantity);
}

static int64_t empty_dir_limit(const struct val *volume, char text[64])
{
    struct quantity quantity;
    struct str limit = val_text(val_path(volume, "emptyDir.sizeLimit"));
    if (!quantity_parse(limit, &quantity) || quantity.nano <= 0) {
        return -1;
    }
    quantity_format(quantity, text);
    return quantity_value(quantity);
}

static bool has_storage_limits(const struct val *spec)
{
    char text[64];
    VAL_EACH (it, val_get(spec, "volumes")) {
        if (empty_dir_limit(it, text) >= 0) {
            return true;
        }
    }
    VAL_EACH (it, val_get(spec, "containers")) {
        if (limit_of(it, "ephemeral-storage", text) >= 0) {
            return true;
        }
    }
    return false;
}

/* All containers must have a limit for the pod to have one: their sum. */
static int64_t pod_limit(const struct val *spec, char text[64])
{
    int64_t sum = 0;
    VAL_EACH (it, val_get(spec, "containers")) {
        int64_t one = limit_of(it, "ephemeral-storage", text);
        if (one < 0) {
            return -1;
        }
        sum += one;
    }
    quantity_format(quantity_of_value(sum, 1), text);
    return sum;
}

static bool over_limit(const struct pod_entry *entry, const struct disk_usage *usage,
                       char message[256])
{
    const struct val *spec = entry->worker->view->spec;
    char text[64];
    VEC_EACH (it, &usage->parts) {
        const struct val *owner =
            it->is_volume ? val_find(val_get(spec, "volumes"), "name", str_of(it->name))
                          : val_find(val_get(spec, "containers"), "name", str_of(it->name));
        int64_t limit = it->is_volume ? empty_dir_limit(owner, text)
                                      : limit_of(owner, "ephemeral-storage", text);
        if (limit >= 0 && it->bytes > limit) {
            snprintf(message, 256,
                     it->is_volume
                         ? "Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\". "
                         : "Container %s exceeded its local ephemeral storage limit \"%s\". ",
                     it->name, text);
            return true;
        }
    }
    int64_t limit = pod_limit(spec, text);
    snprintf(message, 256,
             "Pod ephemeral local storage usage exceeds the total limit of containers %s. ", text);
    return limit >= 0 && entry->disk_bytes > limit;
}

static void on_measured(void *ctx, struct disk_usage *usages, size_t count)
{
    struct agent *agent = ctx;
    for (size_t i = 0; i < count; i++) {
        struct pod_entry *entry = agent_entry(agent, str_of(usages[i].uid));
        char message[256];
        if (entry == NULL || agent->stopping) {
            continue;
        }
        entry->disk_bytes = usages[i].bytes;
        if (!is_going_or_over(entry) && over_limit(entry, &usages[i], message)) {
            evict(entry, message);
        }
    }
    if (agent->eviction != NULL) {
        agent->eviction->measuring = false;
    }
    agent_release(agent);
}

static void measure(struct eviction *e, bool all)
{
    struct disk_usage_request *request = NULL;
    MAP_EACH (it, &e->agent->pod_entries) {
        struct pod_entry *entry = it->value;
        if (!e->measuring && entry->worker->state == POD_RUNNING &&
            (all || has_storage_limits(entry->worker->view->spec))) {
            request = request != NULL ? request : disk_usage_request_new();
            disk_usage_request_add(request, entry);
        }
    }
    if (request != NULL) {
        e->measuring = true;
        agent_hold(e->agent);
        disk_usage_measure(e->agent->loop, request, on_measured, e->agent);
    }
}

/* ---- the round ---- */

static bool note_pressure(struct eviction *e, const bool met[PRESSURES], int64_t now)
{
    bool changed = false;
    for (int i = 0; i < PRESSURES; i++) {
        bool was = e->pressure[i].on;
        e->pressure[i].met_ns = met[i] ? now : e->pressure[i].met_ns;
        e->pressure[i].on = met[i] || (was && now - e->pressure[i].met_ns < e->transition_ns);
        changed = changed || was != e->pressure[i].on;
    }
    return changed;
}

static void on_round(struct timer *timer)
{
    struct eviction *e = container_of(timer, struct eviction, timer);
    struct observation seen[SIGNALS];
    bool met[PRESSURES] = {false};
    const struct threshold *worst = NULL;
    observe(e->agent, seen);
    for (size_t i = 0; i < e->threshold_count; i++) {
        if (is_met(&e->thresholds[i], seen)) {
            met[signals[e->thresholds[i].signal].condition] = true;
            bool memory = e->thresholds[i].signal == SIGNAL_MEMORY; /* comes before all others */
            worst = worst == NULL || memory ? &e->thresholds[i] : worst;
        }
    }
    if (note_pressure(e, met, loop_mono(e->agent->loop))) {
        node_reporter_changed(e->agent->reporter);
    }
    measure(e, met[DISK_PRESSURE]);
    bool disk = worst != NULL && signals[worst->signal].condition == DISK_PRESSURE;
    if (disk && !e->collected) {
        agent_collect_images(e->agent);
    } else if (worst != NULL) {
        evict_for(e, worst, seen);
    }
    e->collected = disk && !e->collected;
    timer_start(e->agent->loop, &e->timer, PERIOD, on_round);
}

int eviction_start(struct agent *agent, struct str thresholds, int64_t transition_ns,
                   struct eviction **ret_eviction, struct err *err)
{
    struct eviction *e = mem_new(struct eviction);
    e->agent = agent;
    e->transition_ns = transition_ns;
    int rc = parse_thresholds(e, thresholds.n > 0 ? thresholds : STR(DEFAULT_THRESHOLDS), err);
    if (rc != 0) {
        free(e);
        return rc;
    }
    timer_start(agent->loop, &e->timer, PERIOD, on_round);
    *ret_eviction = e;
    return 0;
}

void eviction_free(struct eviction *e)
{
    if (e != NULL) {
        timer_stop(&e->timer);
        free(e);
    }
}

bool eviction_pressure(const struct eviction *e, enum eviction_condition condition)
{
    return e != NULL && e->pressure[condition].on;
}

/* ---- admission ---- */

static bool tolerates_memory_pressure(const struct val *spec)
{
    VAL_EACH (it, val_get(spec, "tolerations")) {
        struct str key = val_text(val_get(it, "key"));
        struct str effect = val_text(val_get(it, "effect"));
        if ((key.n == 0 || str_is(key, "node.kubernetes.io/memory-pressure")) &&
            (effect.n == 0 || str_is(effect, "NoSchedule")) &&
            str_is(val_text(val_get(it, "operator")), "Exists")) {
            return true;
        }
    }
    return false;
}

bool eviction_admits(const struct eviction *e, const struct pod_view *view, char *ret_message,
                     size_t size)
{
    static const char *const names[] = {"MemoryPressure", "DiskPressure", "PIDPressure"};
    struct buf list BUF_CLEANUP = BUF_INIT;
    for (int i = 0; i < PRESSURES; i++) {
        if (eviction_pressure(e, (enum eviction_condition)i)) {
            buf_printf(&list, "%s%s", list.n > 0 ? " " : "", names[i]);
        }
    }
    if (list.n == 0 || pod_is_critical(view)) {
        return true;
    }
    bool memory_only = strcmp(list.p, names[MEMORY_PRESSURE]) == 0;
    if (memory_only &&
        (pod_qos(view->spec) != POD_QOS_BEST_EFFORT || tolerates_memory_pressure(view->spec))) {
        return true;
    }
    snprintf(ret_message, size, "The node had condition: [%s]. ", list.p);
    return false;
}
