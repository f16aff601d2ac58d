/* reset.c: `cox reset`: takes away everything cox made on this machine, in the order that nothing
 * comes back: the supervisor first (it would start children again), then monitors and containers,
 * cgroups, mounts, network, files. Then it looks again and says what is left, which must be
 * nothing. Foreign things in shared folders (another kubelet's, other pods' logs) are not touched.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/vec.h"
#include "gpu/gpu.h"
#include "io/file.h"
#include "network/network.h"
#include "node/runtime/cgroup.h"
#include "role/commands.h"
#include "role/options.h"

struct texts {
    VEC_OF(char *);
};

static void texts_done(struct texts *texts)
{
    VEC_EACH (it, texts) {
        free(*it);
    }
    vec_done(texts);
}

static void nap(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

/* ---- processes ---- */

static bool lock_held(const struct options *o)
{
    char *path MEM_CLEANUP = mem_printf("%s/lock", o->data_dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) {
        close(fd);
    }
    return held;
}

/* The supervisor that holds the lock, by its pid in the file; through a pidfd, and only if it still
 * holds the lock then. */
static int stop_supervisor(const struct options *o, struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/lock", o->data_dir);
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t pid = 0;
    if (!lock_held(o) || file_read(path, 64, &text, NULL) != 0 ||
        !str_i64(str_trim(buf_view(&text)), &pid) || pid < 2) {
        return 0;
    }
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    for (int i = 0; fd >= 0 && lock_held(o) && i < 150; i++) {
        if (i == 0 || i == 100) {
            syscall(SYS_pidfd_send_signal, fd, i == 0 ? SIGTERM : SIGKILL, NULL, 0);
        }
        nap(100);
    }
    if (fd >= 0) {
        close(fd);
    }
    return lock_held(o)
               ? err_set(err, ERR_INTERNAL, "the cox with pid %lld does not end", (long long)pid)
               : 0;
}

/* "PROGRAM pause UID": process 1 of a pod that shares its process namespace. */
static bool is_our_pause(struct str line, const struct options *o)
{
    struct str rest = STR_NONE, uid = STR_NONE;
    str_cut(line, '\0', &rest);
    struct str word = str_cut(rest, '\0', &uid);
    uid = str_cut(uid, '\0', &rest);
    char *pod MEM_CLEANUP = mem_printf("%s/pods/%.*s", o->root_dir, STR_ARG(uid));
    return str_is(word, "pause") && uid.n > 0 && file_exists(pod);
}

/* Processes whose command line names what is ours: monitors name the container's folder, process 1
 * of a pod its uid. */
static bool is_ours(const char *pid, const struct options *o)
{
    char *path MEM_CLEANUP = mem_printf("/proc/%s/cmdline", pid);
    char *containers MEM_CLEANUP = mem_printf("%s/containers/", o->data_dir);
    struct buf line BUF_CLEANUP = BUF_INIT;
    if (file_read(path, 1 << 16, &line, NULL) != 0) {
        return false;
    }
    struct str first = str_of(line.p != NULL ? line.p : "");
    bool monitor =
        str_contains(first, STR("conmon")) && str_contains(buf_view(&line), str_of(containers));
    return monitor || is_our_pause(buf_view(&line), o);
}

static void each_process(const struct options *o, void (*visit)(void *ctx, pid_t pid), void *ctx)
{
    DIR *proc = opendir("/proc");
    for (struct dirent *entry = proc != NULL ? readdir(proc) : NULL; entry != NULL;
         entry = readdir(proc)) {
        int64_t pid = 0;
        if (str_i64(str_of(entry->d_name), &pid) && pid > 1 && is_ours(entry->d_name, o)) {
            visit(ctx, (pid_t)pid);
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
}

static void kill_one(void *ctx, pid_t pid)
{
    kill(pid, SIGKILL);
}

static void count_one(void *ctx, pid_t pid)
{
    ++*(int *)ctx;
}

/* ---- mounts ---- */

static char *mount_unescape(struct str text)
{
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < text.n; i++) {
        bool escape = text.p[i] == '\\' && i + 3 < text.n;
        buf_char(&out, escape ? (char)((text.p[i + 1] - '0') << 6 | (text.p[i + 2] - '0') << 3 |
                                       (text.p[i + 3] - '0'))
                              : text.p[i]);
        i += escape ? 3 : 0;
    }
    return buf_take(&out, NULL);
}

static bool under(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return n > 1 && strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Our mount points, newest last. */
static void mounts_find(const struct options *o, struct texts *ret_mounts)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    char *pods MEM_CLEANUP = mem_printf("%s/pods", o->root_dir);
    char *memory MEM_CLEANUP = mem_printf("%s/memory", o->root_dir);
    if (file_read("/proc/self/mountinfo", 64 << 20, &text, NULL) != 0) {
        return;
    }
    for (struct str rest = buf_view(&text); rest.n > 0;) {
        struct str line = str_cut(rest, '\n', &rest), point = STR_NONE, root = STR_NONE;
        for (int field = 0; field < 5; field++) {
            root = point; /* the folder of its file system that is mounted here */
            point = str_cut(line, ' ', &line);
        }
        char *path = mount_unescape(point);
        /* root_dir bound onto itself is ours; a disk of its own mounted there is the user's */
        bool bound = strcmp(path, o->root_dir) == 0 && !str_is(root, "/");
        if (bound || under(path, o->data_dir) || under(path, o->run_dir) || under(path, pods) ||
            under(path, memory)) {
            *vec_push(ret_mounts) = path;
        } else {
            free(path);
        }
    }
}

static void unmount_all(const struct options *o)
{
    struct texts mounts = {0};
    mounts_find(o, &mounts);
    for (size_t i = mounts.count; i > 0; i--) {
        umount2(mounts.items[i - 1], MNT_DETACH);
    }
    texts_done(&mounts);
}

/* ---- files ---- */

static void remove_in(const char *folder, const char *name)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", folder, name);
    struct stat info;
    if (lstat(path, &info) != 0) {
        return;
    }
    if (S_ISDIR(info.st_mode)) {
        file_remove_tree(path, NULL);
    } else {
        unlink(path);
    }
}

/* Log folders are named NAMESPACE_NAME_UID: ours are those whose pod folder is ours. */
static void remove_logs(const struct options *o)
{
    DIR *folder = opendir(o->log_dir);
    for (struct dirent *entry = folder != NULL ? readdir(folder) : NULL; entry != NULL;
         entry = readdir(folder)) {
        const char *uid = strrchr(entry->d_name, '_');
        char *pod MEM_CLEANUP = uid != NULL ? mem_printf("%s/pods/%s", o->root_dir, uid + 1) : NULL;
        if (pod != NULL && file_exists(pod)) {
            remove_in(o->log_dir, entry->d_name);
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    rmdir(o->log_dir);
}

static void remove_files(const struct options *o)
{
    static const char *const in_data[] = {"server", "containers", "images", "lock", "gpu", "agent"};
    static const char *const in_root[] = {"pods",          "memory",  "device-plugins",
                                          "pod-resources", "plugins", "plugins_registry"};
    static const char *const in_config[] = {
        "ca.crt",           "ca.key",   "service-account.key", "storage.key",
        "admin.kubeconfig", "node.pem", "node.cidr",           "node.api"};
    remove_logs(o);
    for (size_t i = 0; i < sizeof in_root / sizeof *in_root; i++) {
        remove_in(o->root_dir, in_root[i]);
    }
    for (size_t i = 0; i < sizeof in_data / sizeof *in_data; i++) {
        remove_in(o->data_dir, in_data[i]);
    }
    for (size_t i = 0; i < sizeof in_config / sizeof *in_config; i++) {
        remove_in(o->config_dir, in_config[i]);
    }
    file_remove_tree(o->run_dir, NULL);
    rmdir(o->data_dir);
    rmdir(o->root_dir);
    rmdir(o->config_dir); /* a config.yaml of the user's stays, and the folder with it */
}

/* ---- what is left ---- */

static void count_name(void *ctx, const char *name)
{
    ++*(int *)ctx;
}

static int report(const char *what, int left)
{
    printf("  %-20s %d left\n", what, left);
    return left;
}

static int look_again(const struct options *o)
{
    struct texts mounts = {0};
    int processes = 0, cgroups = 0, files = 0, links = 0;
    const char *const folders[] = {o->data_dir, o->run_dir};
    each_process(o, count_one, &processes);
    cgroup_each(o->cgroup_root, count_name, &cgroups);
    mounts_find(o, &mounts);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        files += file_exists(folders[i]);
    }
    char *netns MEM_CLEANUP = mem_printf("/run/netns/%s", o->netns);
    int namespaces = o->netns[0] != '\0' && file_exists(netns);
    links += file_exists("/sys/class/net/cox0") && o->netns[0] == '\0';
    int left = report("processes", processes) + report("cgroups", cgroups) +
               report("mounts", (int)mounts.count);
    left += report("network namespaces", namespaces) + report("links", links) +
            report("folders", files);
    texts_done(&mounts);
    return left;
}

static int remove_network(const struct options *o, struct err *err)
{
    struct network_options options = {.netns = o->netns[0] != '\0' ? o->netns : NULL,
                                      .run_dir = o->run_dir,
                                      .node_name = STR("reset"),
                                      .pod_cidr = STR("10.244.0.0/24"),
                                      .service_cidr = STR("10.96.0.0/16")};
    char *path MEM_CLEANUP = mem_printf("/run/netns/%s", o->netns);
    if (o->netns[0] != '\0' && !file_exists(path)) {
        return 0;
    }
    int rc = network_remove(&options, err);
    return rc == 0 && o->netns[0] != '\0' ? network_namespace_remove(o->netns, err) : rc;
}

int command_reset(int argc, char **argv)
{
    struct options o;
    struct err err = ERR_INIT;
    if (options_parse(argc, argv, ROLE_RESET, &o, &err) != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
        return 2;
    }
    if (geteuid() != 0) {
        fputs("cox: reset needs root\n", stderr);
        return 1;
    }
    int rc = stop_supervisor(&o, &err);
    for (int pass = 0; pass < 3 && rc == 0;
         pass++) { /* monitors first: they would write exit files into what we remove */
        each_process(&o, kill_one, NULL);
        cgroup_kill(o.cgroup_root, "");
        nap(20);
    }
    cgroup_remove(o.cgroup_root);
    rc = rc != 0 ? rc : remove_network(&o, &err);
    rc = rc != 0 ? rc
                 : gpu_remove(&(struct gpu_options){.root_dir = o.root_dir,
                                                    .run_dir = o.run_dir,
                                                    .data_dir = o.data_dir},
                              &err);
    unmount_all(&o);
    if (rc == 0) {
        remove_files(&o);
        rc = look_again(&o) == 0
                 ? 0
                 : err_set(&err, ERR_INTERNAL,
                           "something is left: see above; a second `cox reset` may get it");
    }
    if (rc != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
    }
    options_done(&o);
    return rc != 0 ? 1 : 0;
}
