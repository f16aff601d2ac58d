/* spec.c: config.json of a container.
 *
 * Defaults are those of upstream's usual runtimes (capability set, masked paths, /dev). What we
 * cannot give (capabilities that we lack, negative oom_score_adj) is left out, and the pod runs.
 * Left to others: resolving users, environment, volumes (their results come in), files on disk.
 */
#include "node/runtime/spec.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "node/runtime/cgroup.h"

static const uint64_t DEFAULT_CAPABILITIES =
    1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FSETID | 1ULL << CAP_FOWNER |
    1ULL << CAP_MKNOD | 1ULL << CAP_NET_RAW | 1ULL << CAP_SETGID | 1ULL << CAP_SETUID |
    1ULL << CAP_SETFCAP | 1ULL << CAP_SETPCAP | 1ULL << CAP_NET_BIND_SERVICE |
    1ULL << CAP_SYS_CHROOT | 1ULL << CAP_KILL | 1ULL << CAP_AUDIT_WRITE;

struct writer {
    struct arena *a;
    const struct spec_input *in;
    struct val *root, *linux_part;
    bool privileged;
    uint64_t capabilities;
};

static const struct val *own_security(const struct writer *w, const char *name)
{
    return val_get_str(val_get(w->in->container, "securityContext"), str_of(name));
}

static struct val *texts(struct arena *a, const char *const *items, size_t count)
{
    struct val *list = val_new(a, VAL_ARRAY);
    for (size_t i = 0; i < count; i++) {
        val_append(list, val_new_text(a, str_of(items[i])));
    }
    return list;
}

static int change_capabilities(const struct val *list, bool add, uint64_t *mask, struct err *err)
{
    VAL_EACH (it, list) {
        int number;
        struct str name = val_text(it);
        if (str_is(name, "ALL") || str_is(name, "all")) {
            *mask = add ? ~0ULL : 0;
        } else if (!capability_number(name, &number)) {
            if (add) {
                return err_set(err, ERR_INVALID, "unknown capability \"%.*s\" to add",
                               STR_ARG(name));
            }
        } else if (add) {
            *mask |= 1ULL << number;
        } else {
            *mask &= ~(1ULL << number);
        }
    }
    return 0;
}

static int find_capabilities(struct writer *w, struct err *err)
{
    const struct val *capabilities = own_security(w, "capabilities");
    const struct val *add = val_get(capabilities, "add"), *drop = val_get(capabilities, "drop");
    uint64_t mask = w->privileged ? ~0ULL : DEFAULT_CAPABILITIES;
    if (w->in->hardened && !w->privileged) {
        mask &= ~(1ULL << CAP_NET_RAW);
    }
    bool add_all = false;
    VAL_EACH (it, add) {
        add_all |= str_is(val_text(it), "ALL");
    }
    /* "ALL" first, single names after it, as upstream's runtimes do */
    int rc = add_all ? change_capabilities(add, true, &mask, err) : 0;
    if (rc == 0 && (rc = change_capabilities(drop, false, &mask, err)) == 0 && !add_all) {
        rc = change_capabilities(add, true, &mask, err);
    }
    w->capabilities = mask & w->in->capability_mask;
    return rc;
}

static void set_capabilities(struct writer *w, struct val *process)
{
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    struct val *out = val_make_object(w->a, process, STR("capabilities"));
    for (size_t i = 0; i < 3; i++) {
        struct val *list = val_make_array(w->a, out, str_of(sets[i]));
        for (int number = 0; capability_name(number) != NULL; number++) {
            if ((w->capabilities >> number & 1) != 0) {
                val_append(list, val_new_text(w->a, str_of(capability_name(number))));
            }
        }
    }
}

static int64_t oom_score(const struct writer *w)
{
    struct quantity request;
    int64_t score = 1000;
    enum pod_qos qos = pod_qos(val_get(w->in->pod, "spec"));
    if (qos == POD_QOS_GUARANTEED ||
        str_is(val_text(val_path(w->in->pod, "spec.priorityClassName")), "system-node-critical")) {
        score = -997;
    } else if (qos == POD_QOS_BURSTABLE) {
        int64_t bytes = pod_resource(w->in->container, "requests", "memory", &request)
                            ? quantity_value(request)
                            : 0;
        score = w->in->node_memory > 0
                    ? 1000 - (int64_t)(1000.0 * (double)bytes / (double)w->in->node_memory)
                    : 999;
        score = score < 3 ? 3 : score > 999 ? 999 : score;
    }
    return score < w->in->min_oom_score_adj ? w->in->min_oom_score_adj : score;
}

static void set_environment(struct writer *w, struct val *process)
{
    struct val *list = val_make_array(w->a, process, STR("env"));
    const struct env_list *env = w->in->env;
    if (env_get(env, STR("PATH")).p == NULL) {
        val_append(list, val_new_text(w->a, STR("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                                                "/usr/bin:/sbin:/bin")));
    }
    if (env_get(env, STR("HOSTNAME")).p == NULL) {
        val_append(list, val_new_text(w->a, str_of(arena_printf(w->a, "HOSTNAME=%.*s",
                                                                STR_ARG(w->in->hostname)))));
    }
    if (env_get(env, STR("HOME")).p == NULL) {
        val_append(list,
                   val_new_text(w->a, str_of(arena_printf(w->a, "HOME=%s", w->in->user->home))));
    }
    if (w->in->tty && env_get(env, STR("TERM")).p == NULL) {
        val_append(list, val_new_text(w->a, STR("TERM=xterm")));
    }
    for (size_t i = 0; i < env->count; i++) {
        val_append(list, val_new_text(w->a, str_of(arena_printf(w->a, "%.*s=%.*s",
                                                                STR_ARG(env->items[i].name),
                                                                STR_ARG(env->items[i].value)))));
    }
    for (size_t i = 0; w->in->devices != NULL && i < w->in->devices->env_count; i++) {
        val_append(list,
                   val_new_text(w->a, str_of(arena_printf(w->a, "%.*s=%.*s",
                                                          STR_ARG(w->in->devices->env[i].name),
                                                          STR_ARG(w->in->devices->env[i].value)))));
    }
}

static void set_user(struct writer *w, struct val *process)
{
    struct val *user = val_make_object(w->a, process, STR("user"));
    val_set_int(w->a, user, STR("uid"), w->in->user->uid);
    val_set_int(w->a, user, STR("gid"), w->in->user->gid);
    struct val *groups = val_make_array(w->a, user, STR("additionalGids"));
    for (size_t i = 0; i < w->in->user->group_count; i++) {
        val_append(groups, val_new_int(w->a, w->in->user->groups[i]));
    }
}

static void set_process(struct writer *w)
{
    struct arena *a = w->a;
    struct val *process = val_make_object(a, w->root, STR("process"));
    val_set_bool(a, process, STR("terminal"), w->in->tty);
    set_user(w, process);
    struct val *args = val_make_array(a, process, STR("args"));
    for (size_t i = 0; i < w->in->argv_count; i++) {
        val_append(args, val_new_text(a, w->in->argv[i]));
    }
    set_environment(w, process);
    struct str cwd = val_text(val_get(w->in->container, "workingDir"));
    if (cwd.n == 0) {
        cwd = val_text(val_get(w->in->image_config, "WorkingDir"));
    }
    val_set_text(a, process, STR("cwd"), cwd.n > 0 ? cwd : STR("/"));
    set_capabilities(w, process);
    const struct val *escalation = own_security(w, "allowPrivilegeEscalation");
    bool no_new =
        !val_absent(escalation) ? !val_bool(escalation, true) : w->in->hardened && !w->privileged;
    val_set_bool(a, process, STR("noNewPrivileges"), no_new && !w->privileged);
    val_set_int(a, process, STR("oomScoreAdj"), oom_score(w));
}

static void add_mount(struct writer *w, struct val *mounts, struct str target, struct str type,
                      struct str source, const char *const *options, size_t count)
{
    struct val *mount = val_append(mounts, val_new(w->a, VAL_OBJECT));
    val_set_text(w->a, mount, STR("destination"), target);
    val_set_text(w->a, mount, STR("type"), type);
    val_set_text(w->a, mount, STR("source"), source);
    val_set(mount, STR("options"), texts(w->a, options, count));
}

static void add_bind(struct writer *w, struct val *mounts, const struct spec_mount *mount)
{
    const char *options[4] = {"rbind", mount->propagation != NULL ? mount->propagation : "rprivate",
                              mount->read_only ? "ro" : "rw", "rro"};
    add_mount(w, mounts, mount->target, STR("bind"), mount->source, options,
              mount->recursive_read_only ? 4 : 3);
}

static size_t depth_of(struct str path)
{
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        n += path.p[i] == '/' && i + 1 < path.n && path.p[i + 1] != '/';
    }
    return n;
}

/* Parents before what lies in them; equal depths keep the pod's order. */
static void add_binds(struct writer *w, struct val *mounts)
{
    for (size_t depth = 0, left = w->in->mount_count; left > 0 && depth < 256; depth++) {
        for (size_t i = 0; i < w->in->mount_count; i++) {
            if (depth_of(w->in->mounts[i].target) == depth) {
                add_bind(w, mounts, &w->in->mounts[i]);
                left--;
            }
        }
    }
}

static void add_system_mounts(struct writer *w, struct val *mounts)
{
    static const char *const proc[] = {"nosuid", "noexec", "nodev"};
    static const char *const dev[] = {"nosuid", "strictatime", "mode=755", "size=65536k"};
    static const char *const pts[] = {"nosuid",        "noexec",    "newinstance",
                                      "ptmxmode=0666", "mode=0620", "gid=5"};
    static const char *const shm[] = {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"};
    static const char *const sys[] = {"nosuid", "noexec", "nodev", "ro"};
    static const char *const sys_rw[] = {"nosuid", "noexec", "nodev", "rw"};
    static const char *const group[] = {"nosuid", "noexec", "nodev", "relatime", "ro"};
    add_mount(w, mounts, STR("/proc"), STR("proc"), STR("proc"), proc, 3);
    add_mount(w, mounts, STR("/dev"), STR("tmpfs"), STR("tmpfs"), dev, 4);
    add_mount(w, mounts, STR("/dev/pts"), STR("devpts"), STR("devpts"), pts, 6);
    add_mount(w, mounts, STR("/dev/mqueue"), STR("mqueue"), STR("mqueue"), proc, 3);
    if (w->in->ipc_ns_path != NULL && w->in->ipc_ns_path[0] == '\0') {
        struct spec_mount host = {.source = STR("/dev/shm"), .target = STR("/dev/shm")};
        add_bind(w, mounts, &host);
    } else if (w->in->shm_path != NULL) {
        struct spec_mount pod = {.source = str_of(w->in->shm_path), .target = STR("/dev/shm")};
        add_bind(w, mounts, &pod);
    } else {
        add_mount(w, mounts, STR("/dev/shm"), STR("tmpfs"), STR("shm"), shm, 5);
    }
    if (w->in->netns_path == NULL && !w->privileged) { /* the host's /sys needs its network */
        static const char *const bind_ro[] = {"rbind", "nosuid", "noexec", "nodev", "ro"};
        add_mount(w, mounts, STR("/sys"), STR("bind"), STR("/sys"), bind_ro, 5);
    } else {
        add_mount(w, mounts, STR("/sys"), STR("sysfs"), STR("sysfs"), w->privileged ? sys_rw : sys,
                  4);
    }
    add_mount(w, mounts, STR("/sys/fs/cgroup"), STR("cgroup"), STR("cgroup"), group,
              w->privileged ? 4 : 5);
}

static void add_namespace(struct writer *w, struct val *list, const char *type, const char *path)
{
    if (path != NULL && path[0] == '\0') {
        return; /* the host's */
    }
    struct val *ns = val_append(list, val_new(w->a, VAL_OBJECT));
    val_set_text(w->a, ns, STR("type"), str_of(type));
    if (path != NULL) {
        val_set_text(w->a, ns, STR("path"), str_of(path));
    }
}

static void set_namespaces(struct writer *w)
{
    struct val *list = val_make_array(w->a, w->linux_part, STR("namespaces"));
    add_namespace(w, list, "mount", NULL);
    add_namespace(w, list, "pid", w->in->pid_ns_path);
    add_namespace(w, list, "ipc", w->in->ipc_ns_path);
    if (w->in->netns_path != NULL) {
        add_namespace(w, list, "network", w->in->netns_path);
        add_namespace(w, list, "uts", NULL);
    }
}

static void add_device(struct writer *w, struct val *list, struct val *rules, const char *host,
                       const char *path, const char *access)
{
    struct stat info;
    if (stat(host, &info) != 0 || (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode))) {
        return;
    }
    struct str type = S_ISCHR(info.st_mode) ? STR("c") : STR("b");
    struct val *device = val_append(list, val_new(w->a, VAL_OBJECT));
    val_set_text(w->a, device, STR("path"), str_copy_in(w->a, str_of(path)));
    val_set_text(w->a, device, STR("type"), type);
    val_set_int(w->a, device, STR("major"), major(info.st_rdev));
    val_set_int(w->a, device, STR("minor"), minor(info.st_rdev));
    val_set_int(w->a, device, STR("fileMode"), info.st_mode & 0777);
    val_set_int(w->a, device, STR("uid"), info.st_uid);
    val_set_int(w->a, device, STR("gid"), info.st_gid);
    struct val *rule = val_append(rules, val_new(w->a, VAL_OBJECT));
    val_set_bool(w->a, rule, STR("allow"), true);
    val_set_text(w->a, rule, STR("type"), type);
    val_set_int(w->a, rule, STR("major"), major(info.st_rdev));
    val_set_int(w->a, rule, STR("minor"), minor(info.st_rdev));
    val_set_text(w->a, rule, STR("access"), str_copy_in(w->a, str_of(access)));
}

/* A privileged container gets the device files directly under /dev, and a few below. */
static void add_host_devices(struct writer *w, struct val *list, struct val *rules)
{
    static const char *const folders[] = {"/dev", "/dev/net", "/dev/mapper", "/dev/snd",
                                          "/dev/dri"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        DIR *dir = opendir(folders[i]);
        struct dirent *entry;
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            struct str name = str_of(entry->d_name);
            if ((entry->d_type == DT_CHR || entry->d_type == DT_BLK) && !str_is(name, "console") &&
                !str_is(name, "ptmx") && !str_is(name, "tty") && !str_is(name, "null") &&
                !str_is(name, "zero") && !str_is(name, "full") && !str_is(name, "random") &&
                !str_is(name, "urandom")) {
                char *path = arena_printf(w->a, "%s/%s", folders[i], entry->d_name);
                add_device(w, list, rules, path, path, "rwm");
            }
        }
        if (dir != NULL) {
            closedir(dir);
        }
    }
}

static void set_devices(struct writer *w, struct val *resources)
{
    struct val *rules = val_make_array(w->a, resources, STR("devices"));
    struct val *list = val_make_array(w->a, w->linux_part, STR("devices"));
    struct val *all = val_append(rules, val_new(w->a, VAL_OBJECT));
    val_set_bool(w->a, all, STR("allow"), w->privileged);
    val_set_text(w->a, all, STR("access"), STR("rwm"));
    if (w->privileged) {
        struct val *dropped = val_new(w->a, VAL_ARRAY);
        add_host_devices(w, list, dropped);
    }
    for (size_t i = 0; w->in->devices != NULL && i < w->in->devices->device_count; i++) {
        const struct device_mapping *device = &w->in->devices->devices[i];
        add_device(w, list, rules, device->host_path, device->container_path,
                   device->permissions[0] != '\0' ? device->permissions : "rw");
    }
}

static void set_resources(struct writer *w)
{
    struct arena *a = w->a;
    struct val *resources = val_make_object(a, w->linux_part, STR("resources"));
    const struct val *container = w->in->container;
    struct quantity quantity;
    int64_t request = 0, limit = 0;
    if (pod_resource(container, "limits", "cpu", &quantity)) {
        limit = quantity_milli(quantity);
    }
    request =
        pod_resource(container, "requests", "cpu", &quantity) ? quantity_milli(quantity) : limit;
    set_devices(w, resources);
    struct val *cpu = val_make_object(a, resources, STR("cpu"));
    val_set_int(a, cpu, STR("shares"), cgroup_shares_of_milli(request));
    if (limit > 0) {
        val_set_int(a, cpu, STR("quota"), cgroup_quota_of_milli(limit));
        val_set_int(a, cpu, STR("period"), 100000);
    }
    if (pod_resource(container, "limits", "memory", &quantity) && quantity.nano > 0) {
        struct val *memory = val_make_object(a, resources, STR("memory"));
        val_set_int(a, memory, STR("limit"), quantity_value(quantity));
    }
    if (w->in->hardened) {
        struct val *pids = val_make_object(a, resources, STR("pids"));
        val_set_int(a, pids, STR("limit"), 1024);
    }
}

static void set_paths(struct writer *w)
{
    static const char *const masked[] = {
        "/proc/asound",     "/proc/acpi",        "/proc/kcore",
        "/proc/keys",       "/proc/interrupts",  "/proc/latency_stats",
        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};
    static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                            "/proc/sysrq-trigger"};
    bool open = w->privileged || str_is(val_text(own_security(w, "procMount")), "Unmasked");
    if (!open) {
        val_set(w->linux_part, STR("maskedPaths"),
                texts(w->a, masked, sizeof masked / sizeof *masked));
        val_set(w->linux_part, STR("readonlyPaths"),
                texts(w->a, read_only, sizeof read_only / sizeof *read_only));
    }
}

static int set_seccomp(struct writer *w, struct err *err)
{
    const struct val *profile = security_field(w->in->pod, w->in->container, "seccompProfile");
    struct str type = val_text(val_get(profile, "type"));
    bool runtime_default = str_is(type, "RuntimeDefault") || (type.n == 0 && w->in->hardened);
    if (w->privileged || str_is(type, "Unconfined") || (type.n == 0 && !runtime_default)) {
        return 0;
    }
    const struct val *document =
        runtime_default ? w->in->seccomp_profile : w->in->localhost_profile;
    if (document == NULL) {
        /* never silently unconfined (CVE-2023-2431) */
        return err_set(err, ERR_UNSUPPORTED,
                       runtime_default ? "no default seccomp profile on this node: install "
                                         "golang-github-containers-common"
                                       : "cannot load seccomp profile \"%.*s\"",
                       STR_ARG(val_text(val_get(profile, "localhostProfile"))));
    }
    val_set(w->linux_part, STR("seccomp"), seccomp_convert(w->a, document, w->capabilities));
    return 0;
}

bool spec_can_read_only_recursively(void)
{
    return syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) == 0 || errno != ENOSYS;
}

static void set_sysctls(struct writer *w)
{
    struct val *out = NULL;
    VAL_EACH (it, val_path(w->in->pod, "spec.securityContext.sysctls")) {
        if (out == NULL) {
            out = val_make_object(w->a, w->linux_part, STR("sysctl"));
        }
        val_set_text(w->a, out, val_text(val_get(it, "name")), val_text(val_get(it, "value")));
    }
}

int spec_write(struct arena *arena, const struct spec_input *input, struct buf *out,
               struct err *err)
{
    struct writer w = {.a = arena, .in = input};
    w.root = val_new(arena, VAL_OBJECT);
    w.privileged = val_bool(own_security(&w, "privileged"), false);
    int rc = find_capabilities(&w, err);
    if (rc != 0) {
        return rc;
    }
    val_set_text(arena, w.root, STR("ociVersion"), STR("1.0.2"));
    set_process(&w);
    struct val *root = val_make_object(arena, w.root, STR("root"));
    val_set_text(arena, root, STR("path"), STR("rootfs"));
    val_set_bool(arena, root, STR("readonly"),
                 val_bool(own_security(&w, "readOnlyRootFilesystem"), false));
    if (input->netns_path != NULL) {
        val_set_text(arena, w.root, STR("hostname"), input->hostname);
    }
    struct val *mounts = val_make_array(arena, w.root, STR("mounts"));
    add_system_mounts(&w, mounts);
    add_binds(&w, mounts);
    w.linux_part = val_make_object(arena, w.root, STR("linux"));
    val_set_text(arena, w.linux_part, STR("cgroupsPath"), str_of(input->cgroup_path));
    val_set_text(arena, w.linux_part, STR("rootfsPropagation"), STR("rslave"));
    set_namespaces(&w);
    set_resources(&w);
    set_paths(&w);
    set_sysctls(&w);
    rc = set_seccomp(&w, err);
    if (rc == 0) {
        val_write_json(w.root, out);
    }
    return rc;
}

int spec_write_exec(struct arena *arena, struct str config_json, const struct str *argv,
                    size_t argv_count, bool tty, struct buf *out, struct err *err)
{
    struct val *config;
    int rc = val_parse_json(arena, config_json, &config, err);
    if (rc != 0) {
        return rc;
    }
    struct val *process = val_get(config, "process");
    if (process == NULL || process->type != VAL_OBJECT) {
        return err_set(err, ERR_PARSE, "config.json has no process");
    }
    val_set_bool(arena, process, STR("terminal"), tty);
    val_unset(process, STR("oomScoreAdj"));
    struct val *args = val_new(arena, VAL_ARRAY);
    for (size_t i = 0; i < argv_count; i++) {
        val_append(args, val_new_text(arena, argv[i]));
    }
    val_set(process, STR("args"), args);
    struct val *env = val_get(process, "env");
    bool has_term = false;
    VAL_EACH (it, env) {
        has_term |= str_starts(val_text(it), STR("TERM="));
    }
    if (tty && !has_term && env != NULL) {
        val_append(env, val_new_text(arena, STR("TERM=xterm")));
    }
    val_write_json(process, out);
    return 0;
}
