/* agent.c: the agent's parts put together: options, informers, one entry a pod, housekeeping.
 *
 * Pods come from an informer filtered by spec.nodeName. An entry is made at the first sight of a
 * pod's uid and lives until its teardown is complete and the object is gone. The same name with a
 * new uid is another entry, beside the old one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/agent_int.h"
#include "node/eviction.h"
#include "node/runtime/cgroup.h"
#include "node/serve/access.h"
#include "node/serve/streams.h"
#include "node/static_pods.h"

static const int64_t EVICTION_TRANSITION = 300 * NS_PER_S;
static const int64_t HOUSEKEEPING = 10 * NS_PER_S, IMAGE_AGE = 120 * NS_PER_S;
enum { SECCOMP_MAX = 1024 * 1024, DISK_HIGH = 85 };

/* ---- entries ---- */

static void agent_free(struct agent *agent);

void agent_hold(struct agent *agent)
{
    agent->holds++;
}

void agent_release(struct agent *agent)
{
    if (--agent->holds == 0 && agent->stopping) {
        agent_free(agent);
    }
}

void entry_hold(struct pod_entry *entry)
{
    entry->holds++;
    agent_hold(entry->agent);
}

static void entry_free(struct pod_entry *entry)
{
    for (size_t i = 0; i < entry->worker->container_count; i++) {
        struct container *container = entry->worker->containers[i];
        if (container->user != NULL) {
            entry_probes(container, false);
            run_free(container->user);
            container->user = NULL;
        }
    }
    lookup_remove_pod(entry);
    tokens_free(entry);
    entry_report_done(entry);
    buf_done(&entry->told);
    pod_worker_free(entry->worker);
    free(entry->uid);
    free(entry->ns);
    free(entry->name);
    free(entry->pod_dir);
    free(entry->memory_dir);
    free(entry->cgroup);
    free(entry->log_dir);
    free(entry->pid_ns_path);
    free(entry->ipc_ns_path);
    free(entry->shm_path);
    free(entry->runtime_program);
    free(entry->mirror_uid);
    free(entry);
}

void entry_release(struct pod_entry *entry)
{
    struct agent *agent = entry->agent;
    if (--entry->holds == 0 && entry->dead) {
        entry_free(entry);
    }
    agent_release(agent);
}

void entry_remove(struct pod_entry *entry)
{
    if (!entry->dead) {
        map_remove(&entry->agent->pod_entries, str_of(entry->uid));
        entry->dead = true;
        if (entry->holds == 0) {
            entry_free(entry);
        }
    }
}

struct pod_entry *agent_entry(struct agent *agent, struct str uid)
{
    return map_get(&agent->pod_entries, uid);
}

struct pod_entry *agent_entry_named(struct agent *agent, struct str ns, struct str name)
{
    struct pod_entry *found = NULL;
    MAP_EACH (it, &agent->pod_entries) {
        struct pod_entry *entry = it->value;
        if (str_is(ns, entry->ns) && str_is(name, entry->name)) {
            found = entry; /* the newest of that name */
        }
    }
    return found;
}

static char *pod_cgroup(struct agent *agent, const struct pod_view *view)
{
    static const char *const classes[] = {"", "/burstable", "/besteffort"};
    return mem_printf("%s%s/pod%.*s", agent->cgroup_root, classes[pod_qos(view->spec)],
                      STR_ARG(view->uid));
}

static struct pod_entry *entry_new(struct agent *agent, struct pod_view *view)
{
    struct pod_entry *entry = mem_new(struct pod_entry);
    entry->agent = agent;
    entry->uid = str_dup(view->uid);
    entry->ns = str_dup(view->ns);
    entry->name = str_dup(view->name);
    entry->pod_dir = mem_printf("%s/pods/%s", agent->root_dir, entry->uid);
    entry->memory_dir = mem_printf("%s/%s", agent->memory_dir, entry->uid);
    entry->cgroup = pod_cgroup(agent, view);
    entry->log_dir = mem_printf("%s/%s_%s_%s", agent->log_dir, entry->ns, entry->name, entry->uid);
    entry->worker = pod_worker_new(agent->loop, &agent->pod_ops, view);
    entry->worker->user = entry;
    entry->worker->host_ip = str_of(agent->node_ip);
    map_set(&agent->pod_entries, view->uid, entry);
    return entry;
}

static void add_pod(struct agent *agent, struct pod_view *view, bool is_static)
{
    struct pod_entry *entry = entry_new(agent, view);
    entry->is_static = is_static;
    if (agent->records.count > 0) {
        entry_recover(entry);
    }
    if (entry_admit(entry)) {
        entry_tell_unsupported(entry);
        pod_worker_start(entry->worker);
    }
}

void agent_add_static(struct agent *agent, struct pod_view *view)
{
    add_pod(agent, view, true);
}

static void on_pod(void *ctx, struct object *old, struct object *now)
{
    struct agent *agent = ctx;
    if (agent->static_pods != NULL && static_pods_mirror(agent->static_pods, old, now)) {
        return;
    }
    if (old != NULL && (now == NULL || !str_eq(old->uid, now->uid))) {
        struct pod_entry *gone = agent_entry(agent, old->uid);
        if (gone != NULL && gone->finalizing) {
            gone->worker->object_gone = true;
            entry_changed(gone->worker);
        } else if (gone != NULL) {
            pod_worker_update(gone->worker, NULL);
        }
    }
    if (now == NULL) {
        return;
    }
    struct pod_view *view = pod_view_new(now);
    struct pod_entry *entry = agent_entry(agent, now->uid);
    if (entry == NULL) {
        add_pod(agent, view, false);
    } else if (!entry->finalizing) {
        size_t known = entry->worker->container_count;
        pod_worker_update(entry->worker, view);
        if (entry->worker->container_count > known && !entry->dead) { /* ephemeral ones came */
            lookup_add_pod(entry);
        }
        entry_tell_unsupported(entry);
    }
    pod_view_unref(view);
}

/* ---- options ---- */

static char *choose(const char *given, const char *otherwise)
{
    return mem_dupz(given != NULL && given[0] != '\0' ? given : otherwise);
}

static char *choose_str(struct str given, const char *otherwise)
{
    return given.n > 0 ? str_dup(given) : mem_dupz(otherwise);
}

static char *find_program(const char *given, const char *name)
{
    static const char *const folders[] = {"/usr/local/bin", "/usr/bin", "/usr/sbin",
                                          "/usr/libexec"};
    if (given != NULL) {
        return access(given, X_OK) == 0 ? mem_dupz(given) : NULL;
    }
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *path = mem_printf("%s/%s", folders[i], name);
        if (access(path, X_OK) == 0) {
            return path;
        }
        free(path);
    }
    return NULL;
}

static void copy_options(struct agent *agent, const struct agent_options *o)
{
    agent->loop = o->loop;
    agent->client = o->client;
    agent->node_name = str_dup(o->node_name);
    agent->root_dir = choose(o->root_dir, "/var/lib/kubelet");
    agent->data_dir = choose(o->data_dir, "/var/lib/cox");
    agent->run_dir = choose(o->run_dir, "/run/cox");
    agent->log_dir = choose(o->log_dir, "/var/log/pods");
    agent->cgroup_root = choose(o->cgroup_root, "cox");
    agent->self_path = choose(o->self_path, "/proc/self/exe");
    agent->resolv_conf = choose(o->resolv_conf, "/etc/resolv.conf");
    agent->pull_netns_path = mem_dupz(o->pull_netns_path);
    agent->memory_dir = mem_printf("%s/memory", agent->root_dir);
    agent->containers_dir = mem_printf("%s/containers", agent->data_dir);
    agent->node_ip = choose_str(o->node_ip, "");
    agent->pod_cidr = choose_str(o->pod_cidr, "");
    agent->api_host = choose_str(o->api_host, "");
    agent->api_port = o->api_port != 0 ? o->api_port : 443;
    agent->kubelet_port = o->kubelet_port != 0 ? o->kubelet_port : 10250;
    agent->kubelet_version = choose_str(o->kubelet_version, "v1.37.0+cox-" COX_VERSION);
    agent->labels = choose_str(o->labels, "");
    agent->unsafe_sysctls = choose_str(o->unsafe_sysctls, "");
    agent->runtime_handlers = choose_str(o->runtime_handlers, "");
    agent->mirrors = choose_str(o->registry_mirrors, "");
    agent->max_pods = o->max_pods > 0 ? o->max_pods : 110;
    agent->hardened = o->hardened;
    agent->insecure_loopback = o->insecure_loopback_registries;
    if (o->network != NULL) {
        agent->network = *o->network;
        agent->has_network = true;
    }
    if (o->devices != NULL) {
        agent->devices = *o->devices;
        agent->has_devices = true;
    }
    agent->cluster_dns = choose_str(
        o->cluster_dns.n > 0 || !agent->has_network ? o->cluster_dns : agent->network.dns_server,
        "");
    agent->cluster_domain =
        choose_str(o->cluster_domain.n > 0 || !agent->has_network ? o->cluster_domain
                                                                  : agent->network.dns_domain,
                   "cluster.local");
}

/* ---- the machine ---- */

static void measure(struct agent *agent)
{
    struct statvfs info;
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t score;
    agent->cpu_milli = sysconf(_SC_NPROCESSORS_ONLN) * 1000;
    agent->memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    if (statvfs(agent->data_dir, &info) == 0) {
        agent->storage_bytes = (int64_t)(info.f_blocks * info.f_frsize);
    }
    agent->capability_mask = capability_own_mask();
    agent->min_oom_score_adj = -1000;
    if ((agent->capability_mask >> 24 & 1) == 0 && /* no CAP_SYS_RESOURCE */
        file_read("/proc/self/oom_score_adj", 32, &text, NULL) == 0 &&
        str_i64(str_trim(buf_view(&text)), &score)) {
        agent->min_oom_score_adj = (int)score;
    }
}

static bool is_mount(const char *path)
{
    char *parent MEM_CLEANUP = mem_printf("%s/..", path);
    struct stat own, above;
    return stat(path, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;
}

static int make_folders(struct agent *agent, struct err *err)
{
    char *pods MEM_CLEANUP = mem_printf("%s/pods", agent->root_dir);
    char *crun MEM_CLEANUP = mem_printf("%s/crun", agent->run_dir);
    const char *paths[] = {pods, agent->memory_dir, agent->containers_dir,
                           crun, agent->log_dir,    agent->run_dir};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int rc = file_make_dirs(paths[i], 0750, err);
        if (rc != 0) {
            return rc;
        }
    }
    /* Monitors' mount namespaces are slaves of ours: with shared propagation an unmount here also
     * takes effect there, so a removed pod's memory volumes do not live on in others. */
    if (mount(NULL, agent->root_dir, NULL, MS_SHARED, NULL) != 0 &&
        (mount(agent->root_dir, agent->root_dir, NULL, MS_BIND | MS_REC, NULL) != 0 ||
         mount(NULL, agent->root_dir, NULL, MS_SHARED, NULL) != 0)) {
        return err_os(err, errno, "mount %s on itself (run as root)", agent->root_dir);
    }
    if (!is_mount(agent->memory_dir) &&
        mount("tmpfs", agent->memory_dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0755,size=25%,noswap") != 0 &&
        mount("tmpfs", agent->memory_dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
              "mode=0755,size=25%") != 0) {
        return err_os(err, errno, "mount tmpfs on %s", agent->memory_dir);
    }
    return 0;
}

static void load_seccomp(struct agent *agent, const char *given)
{
    static const char *const places[] = {"/etc/containers/seccomp.json",
                                         "/usr/share/containers/seccomp.json"};
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *document;
    int rc = given != NULL ? file_read(given, SECCOMP_MAX, &text, NULL) : ERR_NOT_FOUND;
    for (size_t i = 0; rc != 0 && given == NULL && i < 2; i++) {
        buf_clear(&text);
        rc = file_read(places[i], SECCOMP_MAX, &text, NULL);
    }
    if (rc == 0 &&
        val_parse_json(&agent->seccomp_arena, str_copy_in(&agent->seccomp_arena, buf_view(&text)),
                       &document, NULL) == 0) {
        agent->seccomp_profile = document;
    }
}

static int make_runtime(struct agent *agent, const struct agent_options *options, struct err *err)
{
    char *crun MEM_CLEANUP = find_program(options->crun_path, "crun");
    char *conmon MEM_CLEANUP = find_program(options->conmon_path, "conmon");
    if (crun == NULL || conmon == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "%s is not installed: apt-get install crun conmon",
                       crun == NULL ? "crun" : "conmon");
    }
    if (cgroup_mode() == CGROUP_NONE) {
        return err_set(err, ERR_UNSUPPORTED, "no control groups under /sys/fs/cgroup");
    }
    char *state MEM_CLEANUP = mem_printf("%s/crun", agent->run_dir);
    struct crun_options crun_options = {
        .crun_path = crun, .conmon_path = conmon, .state_dir = state, .hide = cgroup_hide_path()};
    agent->crun = crun_new(&crun_options);
    agent->runtime = crun_ops(agent->crun);
    return cgroup_make(agent->cgroup_root, NULL, err);
}

/* ---- housekeeping ---- */

static bool disk_full(const char *path)
{
    struct statvfs info;
    return statvfs(path, &info) == 0 && info.f_blocks > 0 &&
           100 - info.f_bavail * 100 / info.f_blocks > DISK_HIGH;
}

struct collect {
    struct job job;
    struct agent *agent;
    struct arena arena;
    struct str *used;
    size_t count;
};

static void collect_work(struct job *job)
{
    struct collect *c = container_of(job, struct collect, job);
    struct image_store *store;
    if (image_store_open(c->agent->images_dir, c->agent->self_path, &store, NULL) == 0) {
        image_collect(store, c->used, c->count, clock_wall(clock_real()), IMAGE_AGE);
        image_store_free(store);
    }
}

static void collect_done(struct job *job)
{
    struct collect *c = container_of(job, struct collect, job);
    struct agent *agent = c->agent;
    arena_done(&c->arena);
    free(c);
    agent_release(agent);
}

void agent_collect_images(struct agent *agent)
{
    struct collect *c = mem_new(struct collect);
    size_t room = 0;
    MAP_EACH (it, &agent->pod_entries) {
        room += ((struct pod_entry *)it->value)->worker->container_count;
    }
    c->agent = agent;
    c->used = arena_array(&c->arena, struct str, room + 1);
    MAP_EACH (it, &agent->pod_entries) {
        struct pod_worker *worker = ((struct pod_entry *)it->value)->worker;
        for (size_t i = 0; i < worker->container_count; i++) {
            c->used[c->count++] = str_copy_in(&c->arena, str_of(worker->containers[i]->image_id));
        }
    }
    c->job.work = collect_work;
    c->job.done = collect_done;
    agent_hold(agent);
    loop_work(agent->loop, &c->job);
}

static void on_housekeeping(struct timer *timer)
{
    struct agent *agent = container_of(timer, struct agent, housekeeping);
    lookup_sweep(agent->lookup);
    MAP_EACH (it, &agent->pod_entries) {
        tokens_refresh(it->value);
        entry_resize(((struct pod_entry *)it->value)->worker); /* one that had to wait */
    }
    agent_rotate_logs(agent);
    claims_collect(agent);
    if (disk_full(agent->data_dir)) {
        agent_collect_images(agent);
    }
    timer_start(agent->loop, &agent->housekeeping, HOUSEKEEPING, on_housekeeping);
}

/* ---- start and stop ---- */

static void on_synced(void *ctx)
{
    struct agent *agent = ctx;
    if (!agent->stopping && !agent->recovered) {
        agent->recovered = true;
        agent_remove_orphans(agent);
    }
}

static void on_device_change(void *arg)
{
    node_reporter_changed(((struct agent *)arg)->reporter);
}

static void watch(struct agent *agent)
{
    char *selector MEM_CLEANUP = mem_printf("spec.nodeName=%s", agent->node_name);
    struct client_watch_options options = {.resource =
                                               schema_resource(STR_NONE, STR("v1"), STR("pods")),
                                           .field_selector = str_of(selector)};
    agent->informers = informers_new(agent->client);
    agent->services =
        informers_get(agent->informers, schema_resource(STR_NONE, STR("v1"), STR("services")));
    char *own MEM_CLEANUP = mem_printf("metadata.name=%s", agent->node_name);
    struct client_watch_options node = {.resource =
                                            schema_resource(STR_NONE, STR("v1"), STR("nodes")),
                                        .field_selector = str_of(own)};
    agent->own_node = informers_get_filtered(agent->informers, &node);
    agent->runtime_classes = informers_get(
        agent->informers, schema_resource(STR("node.k8s.io"), STR("v1"), STR("runtimeclasses")));
    agent->pods = informers_get_filtered(agent->informers, &options);
    informer_handle(agent->pods, (struct informer_handler){.on_change = on_pod, .ctx = agent});
    informers_on_synced(agent->informers, on_synced, agent);
}

int agent_start(const struct agent_options *options, struct agent **ret_agent, struct err *err)
{
    struct agent *agent = mem_new(struct agent);
    agent->holds = 1;
    copy_options(agent, options);
    agent->pod_ops = (struct pod_ops){.prepare = entry_prepare,
                                      .pull = entry_pull,
                                      .start = entry_start,
                                      .signal = entry_signal,
                                      .hook = entry_hook,
                                      .probes = entry_probes,
                                      .settle = entry_settle,
                                      .teardown = entry_teardown,
                                      .finalize = entry_finalize,
                                      .changed = entry_changed,
                                      .resize = entry_resize,
                                      .event = entry_event,
                                      .ctx = agent};
    int rc = make_folders(agent, err);
    agent->images_dir = mem_printf("%s/images", agent->data_dir);
    agent->volumes_dir = mem_printf("%s/volumes", agent->data_dir);
    if (rc != 0 || (rc = make_runtime(agent, options, err)) != 0 ||
        (rc = image_store_open(agent->images_dir, agent->self_path, &agent->images, err)) != 0) {
        agent->stopping = true;
        agent_release(agent);
        return rc;
    }
    measure(agent);
    load_seccomp(agent, options->seccomp_path);
    agent_load_records(agent);
    agent->recorder = recorder_new(agent->client, "kubelet", agent->node_name);
    agent->lookup = lookup_new(agent);
    agent->streams = stream_set_new();
    agent->access = access_new(agent);
    rc = eviction_start(agent, options->eviction_hard,
                        options->eviction_transition_ns > 0 ? options->eviction_transition_ns
                                                            : EVICTION_TRANSITION,
                        &agent->eviction, err);
    if (rc != 0) {
        agent_stop(agent);
        return rc;
    }
    agent->reporter = node_reporter_new(agent);
    if (agent->has_devices && agent->devices.on_change != NULL) {
        agent->devices.on_change(agent->devices.ctx, on_device_change, agent);
    }
    watch(agent);
    static_pods_start(agent, options->manifest_dir != NULL ? options->manifest_dir : "");
    timer_start(agent->loop, &agent->housekeeping, HOUSEKEEPING, on_housekeeping);
    *ret_agent = agent;
    return 0;
}

static void agent_free(struct agent *agent)
{
    access_free(agent->access);
    lookup_free(agent->lookup);
    agent_pulls_done(agent);
    map_done(&agent->pod_entries);
    vec_done(&agent->records);
    image_store_free(agent->images);
    crun_free(agent->crun);
    arena_done(&agent->seccomp_arena);
    char **texts[] = {&agent->node_name,      &agent->root_dir,        &agent->data_dir,
                      &agent->run_dir,        &agent->log_dir,         &agent->cgroup_root,
                      &agent->self_path,      &agent->memory_dir,      &agent->containers_dir,
                      &agent->images_dir,     &agent->volumes_dir,     &agent->pull_netns_path,
                      &agent->resolv_conf,    &agent->node_ip,         &agent->pod_cidr,
                      &agent->api_host,       &agent->cluster_dns,     &agent->cluster_domain,
                      &agent->labels,         &agent->mirrors,         &agent->kubelet_version,
                      &agent->unsafe_sysctls, &agent->runtime_handlers};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        free(*texts[i]);
    }
    free(agent);
}

void agent_stop(struct agent *agent)
{
    if (agent == NULL) {
        return;
    }
    agent->stopping = true;
    timer_stop(&agent->housekeeping);
    eviction_free(agent->eviction);
    agent->eviction = NULL;
    static_pods_free(agent->static_pods);
    agent->static_pods = NULL;
    if (agent->has_devices && agent->devices.on_change != NULL) {
        agent->devices.on_change(agent->devices.ctx, NULL, NULL);
    }
    stream_set_free(agent->streams);
    agent->streams = NULL;
    node_reporter_free(agent->reporter);
    agent->reporter = NULL;
    informers_free(agent->informers);
    agent->informers = NULL;
    MAP_EACH (it, &agent->pod_entries) {
        entry_remove(it->value);
    }
    recorder_free(agent->recorder);
    agent->recorder = NULL;
    agent_release(agent);
}

bool agent_ready(const struct agent *agent)
{
    return node_reporter_ready(agent->reporter);
}

void agent_describe(const struct agent *agent, struct buf *out)
{
    static const char *const states[] = {"new",      "preparing", "running",
                                         "finished", "teardown",  "gone"};
    static const char *const container_states[] = {"waiting",  "pulling", "starting", "running",
                                                   "stopping", "exited",  "backoff"};
    MAP_EACH (it, &agent->pod_entries) {
        const struct pod_entry *entry = it->value;
        buf_printf(out, "pod %s/%s %s%s", entry->ns, entry->name, states[entry->worker->state],
                   entry->worker->terminating ? " terminating" : "");
        for (size_t i = 0; i < entry->worker->container_count; i++) {
            const struct container *c = entry->worker->containers[i];
            buf_printf(out, " %s=%s", c->name, container_states[c->state]);
        }
        buf_char(out, '\n');
    }
}
