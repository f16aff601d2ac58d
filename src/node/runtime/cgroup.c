/* cgroup.c: see cgroup.h. Plain files under /sys/fs/cgroup; no daemon, no systemd.
 *
 * Removing waits a little for the kernel to let go of the last process; what stays busy is left for
 * the next housekeeping pass (cgroup_each finds it). Depth is bounded by GROUP_DEPTH_MAX.
 */
#include "node/runtime/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <stdlib.h>

#include "base/mem.h"
#include "io/file.h"

#define ROOT "/sys/fs/cgroup"
enum { CONTROLLERS_MAX = 16, GROUP_DEPTH_MAX = 10, KILL_ROUNDS = 50 };
static const long CGROUP2_MAGIC = 0x63677270;

static struct {
    pthread_once_t once;
    enum cgroup_mode mode;
    char names[CONTROLLERS_MAX][32]; /* folders under ROOT; version 2: one, "." */
    size_t count;
} host = {.once = PTHREAD_ONCE_INIT};

static void detect(void)
{
    struct statfs info;
    if (statfs(ROOT, &info) != 0) {
        return;
    }
    if (info.f_type == CGROUP2_MAGIC) {
        host.mode = CGROUP_V2;
        snprintf(host.names[host.count++], sizeof host.names[0], ".");
        return;
    }
    DIR *dir = opendir(ROOT);
    if (dir == NULL) {
        return;
    }
    host.mode = CGROUP_V1;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL && host.count < CONTROLLERS_MAX) {
        char path[300];
        snprintf(path, sizeof path, ROOT "/%s/cgroup.procs", entry->d_name);
        if (entry->d_name[0] == '.' || entry->d_type != DT_DIR || access(path, F_OK) != 0) {
            continue;
        }
        if (strcmp(entry->d_name, "unified") == 0) {
            host.mode = CGROUP_HYBRID;
        } else if (strlen(entry->d_name) < sizeof host.names[0]) {
            snprintf(host.names[host.count++], sizeof host.names[0], "%s", entry->d_name);
        }
    }
    closedir(dir);
}

enum cgroup_mode cgroup_mode(void)
{
    pthread_once(&host.once, detect);
    return host.mode;
}

const char *cgroup_hide_path(void)
{
    return cgroup_mode() == CGROUP_HYBRID ? ROOT "/unified" : NULL;
}

static bool write_value(const char *controller, const char *path, const char *file,
                        const char *value)
{
    char *name MEM_CLEANUP = mem_printf(ROOT "/%s/%s/%s", controller, path, file);
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool ok = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    close(fd);
    return ok;
}

static bool write_number(const char *controller, const char *path, const char *file, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return write_value(controller, path, file, text);
}

/* A new cpuset group of version 1 is empty until it gets its parent's cpus and memory nodes. */
static void inherit_cpuset(const char *path)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    char *slash = strrchr(path, '/');
    for (size_t i = 0; i < 2; i++) {
        struct buf value BUF_CLEANUP = BUF_INIT;
        char *name MEM_CLEANUP = mem_printf(
            ROOT "/cpuset/%.*s/%s", slash != NULL ? (int)(slash - path) : 0, path, files[i]);
        if (file_read(name, 4096, &value, NULL) == 0 && value.n > 0) {
            write_value("cpuset", path, files[i], value.p);
        }
    }
}

static int make_in(const char *controller, const char *path, struct err *err)
{
    for (const char *at = path; *at != '\0';) {
        const char *slash = strchr(at, '/');
        size_t n = slash != NULL ? (size_t)(slash - path) : strlen(path);
        char *part MEM_CLEANUP = mem_dup(path, n);
        char *full MEM_CLEANUP = mem_printf(ROOT "/%s/%s", controller, part);
        if (mkdir(full, 0755) == 0) {
            if (strcmp(controller, "cpuset") == 0) {
                inherit_cpuset(part);
            }
        } else if (errno != EEXIST) {
            return err_os(err, errno, "mkdir %s", full);
        }
        if (host.mode == CGROUP_V2) { /* children may be limited only if the parent says so */
            write_value(".", part, "cgroup.subtree_control", "+cpu +memory +pids +io +cpuset");
        }
        at = slash != NULL ? slash + 1 : path + n;
    }
    return 0;
}

static void limit_v1(const char *path, const struct cgroup_limits *limits)
{
    if (limits->cpu_shares > 0) {
        write_number("cpu", path, "cpu.shares", limits->cpu_shares);
    }
    if (limits->cpu_quota_us > 0) {
        write_value("cpu", path, "cpu.cfs_period_us", "100000");
        write_number("cpu", path, "cpu.cfs_quota_us", limits->cpu_quota_us);
    }
    if (limits->memory > 0) {
        write_number("memory", path, "memory.limit_in_bytes", limits->memory);
    }
    if (limits->pids > 0) {
        write_number("pids", path, "pids.max", limits->pids);
    }
}

static void limit_v2(const char *path, const struct cgroup_limits *limits)
{
    if (limits->cpu_shares > 0) {
        int64_t weight = 1 + ((limits->cpu_shares - 2) * 9999) / 262142;
        write_number(".", path, "cpu.weight", weight);
    }
    if (limits->cpu_quota_us > 0) {
        char text[64];
        snprintf(text, sizeof text, "%lld 100000", (long long)limits->cpu_quota_us);
        write_value(".", path, "cpu.max", text);
    }
    if (limits->memory > 0) {
        write_number(".", path, "memory.max", limits->memory);
    }
    if (limits->pids > 0) {
        write_number(".", path, "pids.max", limits->pids);
    }
}

int cgroup_make(const char *path, const struct cgroup_limits *limits, struct err *err)
{
    if (cgroup_mode() == CGROUP_V2) {
        write_value(".", "", "cgroup.subtree_control", "+cpu +memory +pids +io +cpuset");
    }
    for (size_t i = 0; i < host.count; i++) {
        int rc = make_in(host.names[i], path, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (limits != NULL) {
        (host.mode == CGROUP_V2 ? limit_v2 : limit_v1)(path, limits);
    }
    return 0;
}

int cgroup_limit(const char *path, const struct cgroup_limits *limits, struct err *err)
{
    bool v2 = cgroup_mode() == CGROUP_V2, good = true;
    int64_t quota = limits->cpu_quota_us, memory = limits->memory;
    if (limits->cpu_shares > 0 && v2) {
        good &=
            write_number(".", path, "cpu.weight", 1 + ((limits->cpu_shares - 2) * 9999) / 262142);
    } else if (limits->cpu_shares > 0) {
        good &= write_number("cpu", path, "cpu.shares", limits->cpu_shares);
    }
    if (v2) {
        char text[64];
        snprintf(text, sizeof text, quota > 0 ? "%lld 100000" : "max 100000", (long long)quota);
        good &= write_value(".", path, "cpu.max", text);
        snprintf(text, sizeof text, memory > 0 ? "%lld" : "max", (long long)memory);
        good &= write_value(".", path, "memory.max", text);
    } else {
        good &= write_number("cpu", path, "cpu.cfs_quota_us", quota > 0 ? quota : -1);
        good &= write_number("memory", path, "memory.limit_in_bytes", memory > 0 ? memory : -1);
    }
    return good ? 0 : err_set(err, ERR_IO, "the limits of control group %s cannot be set", path);
}

bool cgroup_holds(pid_t pid, const char *part)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    struct buf text BUF_CLEANUP = BUF_INIT;
    return file_read(path, 64 * 1024, &text, NULL) == 0 &&
           str_contains(buf_view(&text), str_of(part));
}

struct walk {
    const char *must_contain;
    size_t alive;
};

static void kill_in(const char *folder, struct walk *walk)
{
    char *path MEM_CLEANUP = mem_printf("%s/cgroup.procs", folder);
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (file_read(path, 4 * 1024 * 1024, &text, NULL) != 0) {
        return;
    }
    struct str rest = buf_view(&text);
    while (rest.p != NULL) {
        int64_t pid;
        if (str_i64(str_cut(rest, '\n', &rest), &pid) && pid > 1) {
            walk->alive++;
            if (cgroup_holds((pid_t)pid, walk->must_contain)) {
                kill((pid_t)pid, SIGKILL);
            }
        }
    }
}

/* Deepest first. */
static void each_group(const char *folder, int depth, void (*visit)(const char *, struct walk *),
                       struct walk *walk)
{
    DIR *dir = depth < GROUP_DEPTH_MAX ? opendir(folder) : NULL;
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            char *below MEM_CLEANUP = mem_printf("%s/%s", folder, entry->d_name);
            each_group(below, depth + 1, visit, walk);
        }
    }
    if (dir != NULL) {
        closedir(dir);
        visit(folder, walk);
    }
}

void cgroup_kill(const char *path, const char *must_contain)
{
    if (cgroup_mode() == CGROUP_NONE || host.count == 0) {
        return;
    }
    if (host.mode == CGROUP_V2 && write_value(".", path, "cgroup.kill", "1")) {
        return;
    }
    const char *controller = host.names[0];
    for (size_t i = 0; i < host.count; i++) {
        if (strcmp(host.names[i], "pids") == 0) {
            controller = "pids";
        }
    }
    char *folder MEM_CLEANUP = mem_printf(ROOT "/%s/%s", controller, path);
    for (int round = 0; round < KILL_ROUNDS; round++) {
        struct walk walk = {.must_contain = must_contain};
        each_group(folder, 0, kill_in, &walk);
        if (walk.alive == 0) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 2000 * 1000}, NULL);
    }
}

static void remove_in(const char *folder, struct walk *walk)
{
    for (int round = 0; round < KILL_ROUNDS; round++) {
        if (rmdir(folder) == 0 || errno != EBUSY) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000 * 1000}, NULL);
    }
}

void cgroup_remove(const char *path)
{
    cgroup_mode();
    for (size_t i = 0; i < host.count; i++) {
        char *folder MEM_CLEANUP = mem_printf(ROOT "/%s/%s", host.names[i], path);
        struct walk walk = {0};
        each_group(folder, 0, remove_in, &walk);
    }
}

void cgroup_each(const char *path, void (*visit)(void *ctx, const char *name), void *ctx)
{
    if (cgroup_mode() == CGROUP_NONE || host.count == 0) {
        return;
    }
    char *folder MEM_CLEANUP = mem_printf(ROOT "/%s/%s", host.names[0], path);
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.') {
            visit(ctx, entry->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static bool read_text(const char *controller, const char *path, const char *file, struct buf *text)
{
    char *name MEM_CLEANUP = mem_printf(ROOT "/%s/%s/%s", controller, path, file);
    return file_read(name, 64 * 1024, text, NULL) == 0;
}

static uint64_t read_u64(const char *controller, const char *path, const char *file)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    uint64_t value = 0;
    if (read_text(controller, path, file, &text)) {
        str_u64(str_trim(buf_view(&text)), &value);
    }
    return value;
}

/* The number after `key` in "key number" lines. */
static uint64_t line_u64(struct str text, const char *key)
{
    while (text.p != NULL) {
        struct str value, line = str_cut(text, '\n', &text);
        struct str name = str_cut(line, ' ', &value);
        uint64_t number;
        if (str_is(name, key) && str_u64(str_trim(value), &number)) {
            return number;
        }
    }
    return 0;
}

static void cpu_usage(const char *path, bool v2, struct cgroup_usage *usage)
{
    struct buf stat BUF_CLEANUP = BUF_INIT, events BUF_CLEANUP = BUF_INIT,
                    times BUF_CLEANUP = BUF_INIT;
    read_text(v2 ? "." : "cpu", path, "cpu.stat", &stat);
    struct str text = buf_view(&stat);
    usage->cfs_periods = line_u64(text, "nr_periods");
    usage->cfs_throttled = line_u64(text, "nr_throttled");
    if (v2) {
        usage->cpu_ns = line_u64(text, "usage_usec") * 1000;
        usage->cpu_user_ns = line_u64(text, "user_usec") * 1000;
        usage->cpu_system_ns = line_u64(text, "system_usec") * 1000;
        usage->cfs_throttled_ns = line_u64(text, "throttled_usec") * 1000;
        read_text(".", path, "memory.events", &events);
        usage->memory_failures = line_u64(buf_view(&events), "max");
        return;
    }
    usage->cfs_throttled_ns = line_u64(text, "throttled_time");
    usage->cpu_ns = read_u64("cpuacct", path, "cpuacct.usage");
    read_text("cpuacct", path, "cpuacct.stat", &times); /* ticks of 10 ms */
    usage->cpu_user_ns = line_u64(buf_view(&times), "user") * 10000000;
    usage->cpu_system_ns = line_u64(buf_view(&times), "system") * 10000000;
    usage->memory_failures = read_u64("memory", path, "memory.failcnt");
}

bool cgroup_usage(const char *path, struct cgroup_usage *ret_usage)
{
    struct cgroup_usage usage = {0};
    bool v2 = cgroup_mode() == CGROUP_V2;
    struct buf stat BUF_CLEANUP = BUF_INIT;
    if (!read_text(v2 ? "." : "memory", path, "memory.stat", &stat)) {
        return false;
    }
    struct str text = buf_view(&stat);
    usage.memory_usage =
        read_u64(v2 ? "." : "memory", path, v2 ? "memory.current" : "memory.usage_in_bytes");
    uint64_t inactive = line_u64(text, v2 ? "inactive_file" : "total_inactive_file");
    usage.memory_working_set = usage.memory_usage > inactive ? usage.memory_usage - inactive : 0;
    usage.memory_rss = line_u64(text, v2 ? "anon" : "total_rss");
    usage.page_faults = line_u64(text, v2 ? "pgfault" : "total_pgfault");
    usage.major_page_faults = line_u64(text, v2 ? "pgmajfault" : "total_pgmajfault");
    usage.memory_cache = line_u64(text, v2 ? "file" : "total_cache");
    usage.memory_max_usage =
        read_u64(v2 ? "." : "memory", path, v2 ? "memory.peak" : "memory.max_usage_in_bytes");
    cpu_usage(path, v2, &usage);
    usage.pids = read_u64(v2 ? "." : "pids", path, "pids.current");
    *ret_usage = usage;
    return true;
}

int64_t cgroup_shares_of_milli(int64_t milli)
{
    int64_t shares = milli * 1024 / 1000;
    return shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
}

int64_t cgroup_quota_of_milli(int64_t milli)
{
    if (milli <= 0) {
        return 0;
    }
    int64_t quota = milli * 100;
    return quota < 1000 ? 1000 : quota;
}
