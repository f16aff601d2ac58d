/* doctor.c: `cox doctor`: one row a need: kernel features, capabilities, programs; each missing one
 * with what it costs and the line that fixes it. Exit status 1 when something that a cluster cannot
 * do without is missing.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/process.h"
#include "node/runtime/cgroup.h"
#include "role/commands.h"
#include "role/options.h"

enum need { NEED_MUST, NEED_SHOULD };
struct check {
    enum need need;
    const char *name, *cost, *fix;
    bool (*holds)(struct buf *detail);
};

static bool is_root(struct buf *detail)
{
    return geteuid() == 0;
}

static bool in_path(const char *program, struct buf *detail)
{
    static const char *const folders[] = {"/usr/local/sbin",    "/usr/local/bin", "/usr/sbin",
                                          "/usr/bin",           "/sbin",          "/bin",
                                          "/usr/libexec/podman"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *path MEM_CLEANUP = mem_printf("%s/%s", folders[i], program);
        if (access(path, X_OK) == 0) {
            buf_addz(detail, path);
            return true;
        }
    }
    return false;
}

/* Version floors: fixes of escapes. crun 1.8.1 of Debian 12 carries Debian's own backports, so the
 * floor is a warning in words only. */
static bool has_crun(struct buf *detail)
{
    const char *argv[] = {"crun", "--version", NULL};
    struct process_options options = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    struct process_result result = {0};
    struct str rest;
    if (!in_path("crun", detail) ||
        process_run(&options, STR_NONE, 5 * NS_PER_S, &result, NULL) != 0) {
        return false;
    }
    buf_printf(detail, ", %.*s", STR_ARG(str_cut(buf_view(&result.out), '\n', &rest)));
    buf_done(&result.out);
    buf_done(&result.err);
    return true;
}

static bool has_conmon(struct buf *detail)
{
    return in_path("conmon", detail);
}

static bool has_seccomp_profile(struct buf *detail)
{
    static const char *const paths[] = {"/etc/containers/seccomp.json",
                                        "/usr/share/containers/seccomp.json"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (file_exists(paths[i])) {
            buf_addz(detail, paths[i]);
            return true;
        }
    }
    return false;
}

static bool has_cgroups(struct buf *detail)
{
    static const char *const words[] = {"none", "version 1", "hybrid", "version 2"};
    enum cgroup_mode mode = cgroup_mode();
    buf_addz(detail, words[mode]);
    return mode != CGROUP_NONE;
}

static bool has_filesystem(const char *name)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    char *line MEM_CLEANUP = mem_printf("\t%s\n", name);
    return file_read("/proc/filesystems", 1 << 16, &text, NULL) == 0 &&
           str_contains(buf_view(&text), str_of(line));
}

static bool has_overlay(struct buf *detail)
{
    return has_filesystem("overlay");
}

/* Tried in a child: a namespace of its own that dies with it. */
static bool in_child(bool (*attempt)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(attempt() ? 0 : 1);
    }
    int status = 1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static bool try_netns(void)
{
    return unshare(CLONE_NEWNET) == 0;
}

static bool has_netns(struct buf *detail)
{
    return in_child(try_netns);
}

static bool try_nftables(void)
{
    enum { NETFILTER = 12 }; /* NETLINK_NETFILTER */
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETFILTER);
    return fd >= 0;
}

static bool has_nftables(struct buf *detail)
{
    return in_child(try_nftables);
}

static bool try_mountns(void)
{
    return unshare(CLONE_NEWNS) == 0;
}

static bool has_mountns(struct buf *detail)
{
    return in_child(try_mountns);
}

static bool has_capability(int capability)
{
    return prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 1;
}

static bool has_sys_admin(struct buf *detail)
{
    return has_capability(CAP_SYS_ADMIN);
}

static bool has_net_admin(struct buf *detail)
{
    return has_capability(CAP_NET_ADMIN);
}

static bool has_sys_resource(struct buf *detail)
{
    return has_capability(CAP_SYS_RESOURCE);
}

static bool has_kernel(struct buf *detail)
{
    struct utsname name;
    struct str minor, rest;
    uint64_t major_n = 0, minor_n = 0;
    if (uname(&name) != 0) {
        return false;
    }
    buf_addz(detail, name.release);
    str_u64(str_cut(str_of(name.release), '.', &minor), &major_n);
    str_u64(str_cut(minor, '.', &rest), &minor_n);
    return major_n > 5 ||
           (major_n == 5 && minor_n >= 12); /* mount_setattr, openat2, pidfds, nftables maps */
}

static bool has_inotify(struct buf *detail)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    uint64_t n = 0;
    bool read = file_read("/proc/sys/fs/inotify/max_user_instances", 64, &text, NULL) == 0 &&
                str_u64(str_trim(buf_view(&text)), &n);
    buf_u64(detail, n);
    return read && n >= 64;
}

static const struct check checks[] = {
    {NEED_MUST, "root", "containers, mounts and namespaces need it", "run cox as root", is_root},
    {NEED_MUST, "kernel 5.12 or newer", "mount_setattr, openat2 and pidfds are used",
     "use a newer kernel (Debian 12 has 6.1)", has_kernel},
    {NEED_MUST, "crun", "containers cannot start", "apt-get install crun", has_crun},
    {NEED_MUST, "conmon", "containers cannot be kept", "apt-get install conmon", has_conmon},
    {NEED_MUST, "cgroups", "no limits, no containers", "mount -t cgroup2 none /sys/fs/cgroup",
     has_cgroups},
    {NEED_MUST, "overlayfs", "images cannot be mounted", "modprobe overlay", has_overlay},
    {NEED_MUST, "network namespaces", "pods cannot have addresses",
     "a kernel with CONFIG_NET_NS, and CAP_SYS_ADMIN", has_netns},
    {NEED_MUST, "mount namespaces", "containers cannot be set up", "CAP_SYS_ADMIN", has_mountns},
    {NEED_MUST, "netlink to nftables", "Services have no addresses", "modprobe nf_tables",
     has_nftables},
    {NEED_MUST, "CAP_SYS_ADMIN", "no mounts, no namespaces", "run without dropping it",
     has_sys_admin},
    {NEED_MUST, "CAP_NET_ADMIN", "no links, no Services", "run without dropping it", has_net_admin},
    {NEED_SHOULD, "CAP_SYS_RESOURCE",
     "no negative oom_score_adj, no limits above the present ones; pods run all the same",
     "run without dropping it", has_sys_resource},
    {NEED_SHOULD, "seccomp profile", "RuntimeDefault seccomp is refused",
     "apt-get install golang-github-containers-common", has_seccomp_profile},
    {NEED_SHOULD, "inotify instances", "fewer programs can watch files",
     "sysctl fs.inotify.max_user_instances=1024", has_inotify},
};

int command_doctor(int argc, char **argv)
{
    struct options o;
    struct err err = ERR_INIT;
    int missing = 0, wanting = 0;
    if (options_parse(argc, argv, ROLE_DOCTOR, &o, &err) != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
        return 2;
    }
    options_done(&o);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        const struct check *check = &checks[i];
        struct buf detail BUF_CLEANUP = BUF_INIT;
        bool holds = check->holds(&detail);
        const char *word = holds ? "ok" : check->need == NEED_MUST ? "MISSING" : "missing";
        printf("%-8s %-22s %s\n", word, check->name,
               holds ? (detail.p != NULL ? detail.p : "") : check->cost);
        if (!holds) {
            printf("%-8s %-22s fix: %s\n", "", "", check->fix);
            missing += check->need == NEED_MUST;
            wanting += check->need == NEED_SHOULD;
        }
    }
    printf("\n%s\n", missing > 0   ? "This machine cannot run a cluster yet."
                     : wanting > 0 ? "A cluster runs here; the missing parts cost what is said."
                                   : "A cluster runs here.");
    return missing > 0 ? 1 : 0;
}
