/* prepare.c: everything a pod needs before its first container: API objects it names, tokens,
 * network, folders, control group, volumes, /etc files; keeping the API-backed volumes up to date;
 * and taking it all down.
 *
 * Idempotent: after a restart of the agent it runs again over what is there. The loop gathers and
 * computes (lookups, tokens, payloads), one job does what blocks.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/agent_int.h"
#include "node/env/files.h"
#include "node/runtime/cgroup.h"
#include "node/runtime/spawn.h"

struct prepare {
    struct job job;
    struct pod_entry *entry;
    struct pod_view *view;
    struct arena arena;
    struct {
        VEC_OF(struct volume_payload);
    } payloads; /* of the API-backed volumes, in spec order */
    struct {
        VEC_OF(struct volume_folder);
    } folders; /* of the volumes with a claim, in spec order */
    struct buf hosts, resolv, hostname;
    int64_t fs_group;
    bool refresh; /* only the payloads */
    bool shared_ipc, shared_pid, changed, hardened;
    char *self_path;
    pid_t pause_pid;
    struct err err;
};

/* ---- facts ---- */

static const struct val *find_config_map(void *ctx, struct str ns, struct str name)
{
    return lookup_get(((struct pod_entry *)ctx)->agent->lookup, LOOKUP_CONFIG_MAP, ns, name);
}

static const struct val *find_secret(void *ctx, struct str ns, struct str name)
{
    return lookup_get(((struct pod_entry *)ctx)->agent->lookup, LOOKUP_SECRET, ns, name);
}

static struct str find_token(void *ctx, const struct volume_token *token)
{
    return token_get(ctx, token);
}

struct service_list {
    struct arena *arena;
    struct str ns;
    const struct val **items;
    size_t count, cap;
};

static bool add_service(void *ctx, struct object *object)
{
    struct service_list *list = ctx;
    bool api = str_is(object->name, "kubernetes") && str_is(object->ns, "default");
    if (list->count < list->cap && (api || str_eq(object->ns, list->ns))) {
        list->items[list->count++] = object_decode(object, list->arena);
    }
    return true;
}

void entry_facts(struct pod_entry *entry, struct arena *arena, struct volume_facts *ret_facts)
{
    struct agent *agent = entry->agent;
    struct service_list list = {.arena = arena, .ns = entry->worker->view->ns};
    list.cap = informer_count(agent->services);
    list.items = arena_array(arena, const struct val *, list.cap + 1);
    informer_each(agent->services, STR_NONE, NULL, add_service, &list);
    *ret_facts = (struct volume_facts){.env = {.config_map = find_config_map,
                                               .secret = find_secret,
                                               .ctx = entry,
                                               .pod_ip = str_of(entry->network.ip),
                                               .host_ip = str_of(agent->node_ip),
                                               .node_name = str_of(agent->node_name),
                                               .node_cpu_milli = agent->cpu_milli,
                                               .node_memory = agent->memory_bytes,
                                               .node_storage = agent->storage_bytes,
                                               .services = list.items,
                                               .service_count = list.count,
                                               .api_host = str_of(agent->api_host),
                                               .api_port = agent->api_port},
                                       .token = find_token,
                                       .ctx = entry};
}

/* ---- the job ---- */

static int make_shared_ipc(const char *path, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
    }
    struct stat own, mounted;
    if (stat(path, &mounted) == 0 && stat("/proc/self/ns/ipc", &own) == 0 &&
        own.st_dev == mounted.st_dev) {
        return 0; /* already a namespace */
    }
    int before = open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC);
    int rc = 0;
    if (before < 0 || unshare(CLONE_NEWIPC) != 0) {
        rc = err_os(err, errno, "make an IPC namespace");
    } else {
        if (mount("/proc/thread-self/ns/ipc", path, NULL, MS_BIND, NULL) != 0) {
            rc = err_os(err, errno, "keep an IPC namespace");
        }
        if (setns(before, CLONE_NEWIPC) != 0) {
            abort(); /* this thread must not serve other pods in a strange namespace */
        }
    }
    if (before >= 0) {
        close(before);
    }
    return rc;
}

static int make_shared_shm(const char *path, struct err *err)
{
    struct stat own, above;
    char *parent MEM_CLEANUP = mem_printf("%s/..", path);
    int rc = file_make_dirs(path, 0755, err);
    if (rc != 0 ||
        (stat(path, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev)) {
        return rc;
    }
    if (mount("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k") !=
        0) {
        return err_os(err, errno, "mount tmpfs on %s", path);
    }
    return 0;
}

/* The pause process: pid 1 of the pod's process namespace; found again through its pid file. */
static int make_pause(struct prepare *p, const char *pod_dir, struct err *err)
{
    char *file MEM_CLEANUP = mem_printf("%s/pause.pid", pod_dir);
    struct buf text BUF_CLEANUP = BUF_INIT;
    int64_t known;
    if (file_read(file, 32, &text, NULL) == 0 && str_i64(str_trim(buf_view(&text)), &known)) {
        char *cmdline MEM_CLEANUP = mem_printf("/proc/%lld/cmdline", (long long)known);
        struct buf words BUF_CLEANUP = BUF_INIT;
        if (file_read(cmdline, 4096, &words, NULL) == 0 &&
            str_contains(buf_view(&words), str_of(p->entry->uid))) {
            p->pause_pid = (pid_t)known;
            return 0;
        }
    }
    int before = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (before < 0 || unshare(CLONE_NEWPID) != 0) {
        int rc = err_os(err, errno, "make a process namespace");
        if (before >= 0) {
            close(before);
        }
        return rc;
    }
    const char *argv[] = {p->self_path, "pause", p->entry->uid, NULL};
    struct spawn_options options = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .new_session = true};
    int rc = spawn_start(&options, &p->pause_pid, err);
    if (setns(before, CLONE_NEWPID) != 0) {
        abort();
    }
    close(before);
    if (rc == 0) {
        char pid[32];
        snprintf(pid, sizeof pid, "%d\n", (int)p->pause_pid);
        rc = file_write_quick(file, str_of(pid), 0600, err);
    }
    return rc;
}

static int write_file(const char *dir, const char *name, const struct buf *text, struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return err_os(err, errno, "create %s", path);
    }
    int rc = write(fd, text->n > 0 ? text->p : "", text->n) != (ssize_t)text->n
                 ? err_os(err, errno, "write %s", path)
                 : 0;
    close(fd);
    return rc;
}

static int make_group(const struct prepare *p, struct err *err)
{
    struct pod_resources sum;
    pod_resources_sum(p->view->spec, &sum);
    struct cgroup_limits limits = {.cpu_shares = cgroup_shares_of_milli(sum.cpu_request_milli),
                                   .cpu_quota_us = cgroup_quota_of_milli(sum.cpu_limit_milli),
                                   .memory = sum.memory_limit,
                                   .pids = p->hardened ? 1024 : 0};
    return cgroup_make(p->entry->cgroup, &limits, err);
}

static int prepare_volumes(struct prepare *p, struct err *err)
{
    struct volume_paths paths = {p->entry->pod_dir, p->entry->memory_dir};
    size_t at = 0, claim_at = 0;
    VAL_EACH (volume, val_get(p->view->spec, "volumes")) {
        char *path MEM_CLEANUP = NULL;
        bool backed = volume_is_api_backed(volume), changed = false;
        if (p->refresh && !backed) {
            continue;
        }
        int rc = 0;
        if (volume_has_claim(volume)) {
            rc = volume_link(volume, &p->folders.items[claim_at++], &paths, p->fs_group, err);
        }
        rc = rc == 0 ? volume_prepare(volume, &paths, p->fs_group, &path, err) : rc;
        if (rc == 0 && backed) {
            rc = volume_write(path, &p->payloads.items[at++], p->fs_group, &changed, err);
            p->changed |= changed;
        }
        if (rc != 0) {
            return err_wrap(err, "MountVolume.SetUp failed for volume \"%.*s\"",
                            STR_ARG(val_text(val_get(volume, "name"))));
        }
    }
    return 0;
}

static int prepare_all(struct prepare *p, struct err *err)
{
    struct pod_entry *entry = p->entry;
    int rc;
    if (p->refresh) {
        return prepare_volumes(p, err);
    }
    FAILPOINT("node.prepare");
    if ((rc = file_make_dirs(entry->pod_dir, 0750, err)) != 0 ||
        (rc = file_make_dirs(entry->log_dir, 0755, err)) != 0 || (rc = make_group(p, err)) != 0 ||
        (rc = prepare_volumes(p, err)) != 0 ||
        (rc = write_file(entry->pod_dir, "etc-hosts", &p->hosts, err)) != 0 ||
        (rc = write_file(entry->pod_dir, "resolv.conf", &p->resolv, err)) != 0 ||
        (rc = write_file(entry->pod_dir, "hostname", &p->hostname, err)) != 0) {
        return rc;
    }
    if (p->shared_ipc) {
        char *ipc MEM_CLEANUP = mem_printf("%s/ns-ipc", entry->pod_dir);
        char *shm MEM_CLEANUP = mem_printf("%s/shm", entry->pod_dir);
        if ((rc = make_shared_ipc(ipc, err)) != 0 || (rc = make_shared_shm(shm, err)) != 0) {
            return rc;
        }
    }
    return p->shared_pid ? make_pause(p, entry->pod_dir, err) : 0;
}

static void prepare_work(struct job *job)
{
    struct prepare *p = container_of(job, struct prepare, job);
    prepare_all(p, &p->err);
}

static void prepare_free(struct prepare *p)
{
    VEC_EACH (it, &p->payloads) {
        vec_done(it);
    }
    vec_done(&p->payloads);
    vec_done(&p->folders);
    buf_done(&p->hosts);
    buf_done(&p->resolv);
    buf_done(&p->hostname);
    arena_done(&p->arena);
    pod_view_unref(p->view);
    free(p);
}

static void set_namespace_paths(struct pod_entry *entry, const struct prepare *p)
{
    if (p->shared_ipc && entry->ipc_ns_path == NULL) {
        entry->ipc_ns_path = mem_printf("%s/ns-ipc", entry->pod_dir);
        entry->shm_path = mem_printf("%s/shm", entry->pod_dir);
    }
    if (p->pause_pid > 0) {
        free(entry->pid_ns_path);
        entry->pause_pid = p->pause_pid;
        entry->pid_ns_path = mem_printf("/proc/%d/ns/pid", (int)p->pause_pid);
    }
}

static void prepare_done(struct job *job)
{
    struct prepare *p = container_of(job, struct prepare, job);
    struct pod_entry *entry = p->entry;
    if (p->err.code != 0) {
        entry_event(entry->worker, NULL, "Warning", "FailedMount", p->err.message);
    }
    if (!p->refresh) {
        set_namespace_paths(entry, p);
        pod_worker_prepared(entry->worker, entry->network.ip, &p->err);
    } else {
        entry->refreshing = false;
        if (entry->refresh_again) {
            entry->refresh_again = false;
            entry_refresh_volumes(entry);
        }
    }
    prepare_free(p);
    entry_release(entry);
}

/* ---- on the loop ---- */

static void read_text(const char *path, struct buf *text)
{
    if (file_read(path, 64 * 1024, text, NULL) != 0) {
        buf_clear(text);
    }
}

static void compute_files(struct prepare *p)
{
    struct agent *agent = p->entry->agent;
    struct buf resolv BUF_CLEANUP = BUF_INIT, hosts BUF_CLEANUP = BUF_INIT;
    read_text(agent->resolv_conf, &resolv);
    read_text("/etc/hosts", &hosts);
    struct pod_files_facts facts = {.pod_ip = str_of(p->entry->network.ip),
                                    .cluster_dns = str_of(agent->cluster_dns),
                                    .cluster_domain = str_of(agent->cluster_domain),
                                    .host_resolv_conf = buf_view(&resolv),
                                    .host_hosts = buf_view(&hosts),
                                    .node_name = str_of(agent->node_name)};
    pod_hosts_text(p->view->pod, &facts, &p->hosts);
    pod_resolv_text(p->view->pod, &facts, &p->resolv);
    pod_hostname_text(p->view->pod, &facts, &p->hostname);
    buf_char(&p->hostname, '\n');
}

/* Texts are copied: the lookup may change while the job runs. */
static int add_folder(struct prepare *p, const struct val *volume, struct err *err)
{
    struct volume_folder folder = {0};
    int rc = claim_folder(p->entry, &p->arena, volume, &folder, err);
    if (rc == 0) {
        folder.path = str_copy_in(&p->arena, folder.path);
        folder.type = str_copy_in(&p->arena, folder.type);
        *vec_push(&p->folders) = folder;
    }
    return rc;
}

static int compute_payloads(struct prepare *p, struct err *err)
{
    struct volume_facts facts;
    entry_facts(p->entry, &p->arena, &facts);
    VAL_EACH (volume, val_get(p->view->spec, "volumes")) {
        int rc = 0;
        if (volume_is_api_backed(volume)) {
            struct volume_payload *payload = vec_push(&p->payloads);
            rc = volume_compute(&p->arena, p->view->pod, volume, &facts, payload, err);
        } else if (volume_has_claim(volume) && !p->refresh) {
            rc = add_folder(p, volume, err);
        }
        if (rc != 0) {
            return err_wrap(err, "MountVolume.SetUp failed for volume \"%.*s\"",
                            STR_ARG(val_text(val_get(volume, "name"))));
        }
    }
    return 0;
}

static struct prepare *prepare_new(struct pod_entry *entry, bool refresh)
{
    struct prepare *p = mem_new(struct prepare);
    const struct pod_view *view = entry->worker->view;
    p->entry = entry;
    p->view = pod_view_ref(entry->worker->view);
    p->refresh = refresh;
    p->hardened = entry->agent->hardened;
    p->self_path = entry->agent->self_path;
    p->fs_group = val_int(val_path(view->spec, "securityContext.fsGroup"), -1);
    p->shared_pid = val_bool(val_get(view->spec, "shareProcessNamespace"), false);
    p->shared_ipc =
        entry->worker->container_count > 1 && !val_bool(val_get(view->spec, "hostIPC"), false);
    p->job.work = prepare_work;
    p->job.done = prepare_done;
    return p;
}

static void add_host_ports(const struct val *spec, struct pod_network_request *request)
{
    static const char *const lists[] = {"initContainers", "containers"};
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (container, val_get_str(spec, str_of(lists[i]))) {
            VAL_EACH (port, val_get(container, "ports")) {
                int64_t host = val_int(val_get(port, "hostPort"), 0);
                size_t n = request->host_port_count;
                if (host <= 0 || n == sizeof request->host_ports / sizeof *request->host_ports) {
                    continue;
                }
                struct str protocol = val_text(val_get(port, "protocol"));
                request->host_ports[n].host_port = (uint16_t)host;
                request->host_ports[n].container_port =
                    (uint16_t)val_int(val_get(port, "containerPort"), 0);
                request->host_ports[n].protocol = str_is(protocol, "UDP")    ? "UDP"
                                                  : str_is(protocol, "SCTP") ? "SCTP"
                                                                             : "TCP";
                snprintf(request->host_ports[n].host_ip, sizeof request->host_ports[n].host_ip,
                         "%.*s", STR_ARG(val_text(val_get(port, "hostIP"))));
                request->host_port_count++;
            }
        }
    }
}

static int attach_network(struct pod_entry *entry, struct err *err)
{
    struct agent *agent = entry->agent;
    const struct pod_view *view = entry->worker->view;
    if (entry->attached) {
        return 0;
    }
    if (!agent->has_network || pod_is_host_network(view->spec)) {
        snprintf(entry->network.ip, sizeof entry->network.ip, "%s", agent->node_ip);
        entry->attached = true;
        return 0;
    }
    struct pod_network_request request = {
        .pod_ns = view->ns, .pod_name = view->name, .pod_uid = view->uid};
    add_host_ports(view->spec, &request);
    int rc = agent->network.attach(agent->network.ctx, &request, &entry->network, err);
    if (rc == 0) {
        entry->attached = true;
    }
    return rc;
}

/* The program for the pod's RuntimeClass: by the class's handler and --runtime-handlers. */
static int find_runtime(struct pod_entry *entry, struct err *err)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct agent *agent = entry->agent;
    struct str name = val_text(val_get(entry->worker->view->spec, "runtimeClassName"));
    const struct object *class =
        name.n > 0 ? informer_get(agent->runtime_classes, STR_NONE, name) : NULL;
    if (name.n == 0) {
        return 0;
    }
    if (class == NULL) {
        return err_set(err, ERR_NOT_FOUND, "RuntimeClass \"%.*s\" not found", STR_ARG(name));
    }
    struct str handler = val_text(val_get(object_decode(class, &arena), "handler"));
    for (struct str rest = str_of(agent->runtime_handlers); rest.p != NULL && rest.n > 0;) {
        struct str path, item = str_cut(rest, ',', &rest);
        if (str_eq(str_trim(str_cut(item, '=', &path)), handler) && path.n > 0) {
            free(entry->runtime_program);
            entry->runtime_program = str_dup(str_trim(path));
            return 0;
        }
    }
    return str_is(handler, "crun") ? 0
                                   : err_set(err, ERR_NOT_FOUND,
                                             "failed to get sandbox runtime: no runtime for "
                                             "\"%.*s\" is configured",
                                             STR_ARG(handler));
}

void entry_prepare_continue(struct pod_entry *entry)
{
    struct err err = ERR_INIT;
    if (!entry->preparing || !lookup_known(entry) || !tokens_ready(entry)) {
        return;
    }
    entry->preparing = false;
    int rc = find_runtime(entry, &err);
    if (rc == 0 && (rc = attach_network(entry, &err)) != 0) {
        err_wrap(&err, "failed to set up the pod's network");
    }
    if (rc != 0) {
        err_wrap(&err, "Failed to create pod sandbox");
        entry_event(entry->worker, NULL, "Warning", "FailedCreatePodSandBox", err.message);
        pod_worker_prepared(entry->worker, "", &err);
        return;
    }
    struct prepare *p = prepare_new(entry, false);
    if (compute_payloads(p, &err) != 0) {
        entry_event(entry->worker, NULL, "Warning", "FailedMount", err.message);
        prepare_free(p);
        pod_worker_prepared(entry->worker, "", &err);
        return;
    }
    compute_files(p);
    entry_hold(entry);
    loop_work(entry->agent->loop, &p->job);
}

void entry_prepare(struct pod_worker *worker)
{
    struct pod_entry *entry = worker->user;
    entry->preparing = true;
    lookup_add_pod(entry);
    entry_changed(worker);
    entry_prepare_continue(entry);
}

void entry_refresh_volumes(struct pod_entry *entry)
{
    struct err err = ERR_INIT;
    if (entry->no_config || entry->worker->state != POD_RUNNING) {
        return;
    }
    if (entry->refreshing) {
        entry->refresh_again = true;
        return;
    }
    struct prepare *p = prepare_new(entry, true);
    if (compute_payloads(p, &err) != 0) { /* what is there stays until the objects are back */
        prepare_free(p);
        return;
    }
    entry->refreshing = true;
    entry_hold(entry);
    loop_work(entry->agent->loop, &p->job);
}

/* ---- the end ---- */

/* Containers that wait for a device try again at once. */
static void devices_given_back(struct agent *agent)
{
    MAP_EACH (it, &agent->pod_entries) {
        struct pod_worker *worker = ((struct pod_entry *)it->value)->worker;
        for (size_t i = 0; worker->state == POD_RUNNING && i < worker->container_count; i++) {
            container_retry(worker->containers[i]);
        }
    }
}

static void give_back(struct pod_entry *entry)
{
    struct agent *agent = entry->agent;
    struct str uid = str_of(entry->uid);
    if (entry->attached && agent->has_network && !pod_is_host_network(entry->worker->view->spec)) {
        struct err err = ERR_INIT;
        if (agent->network.detach(agent->network.ctx, uid, &err) != 0) {
            LOG_WARN("node", "detaching a pod's network failed", LOG_Z("pod", entry->name),
                     LOG_ERR(&err));
        }
    }
    entry->attached = false;
    if (agent->has_devices) {
        agent->devices.release(agent->devices.ctx, uid);
        devices_given_back(agent);
    }
}

void entry_settle(struct pod_worker *worker)
{
    struct pod_entry *entry = worker->user;
    entry->no_config = true;
    give_back(entry);
}

struct teardown {
    struct job job;
    struct pod_entry *entry;
    struct runtime_ops runtime;
    const char *containers_dir;
    pid_t pause_pid;
    struct err err;
};

/* All runs of the pod, also remains of earlier attempts: folders UID8-ID12 with the pod's record.
 */
static int remove_runs(struct teardown *t)
{
    struct pod_entry *entry = t->entry;
    DIR *stream = opendir(t->containers_dir);
    struct dirent *item;
    while (stream != NULL && t->err.code == 0 && (item = readdir(stream)) != NULL) {
        struct record record;
        char *dir MEM_CLEANUP = mem_printf("%s/%s", t->containers_dir, item->d_name);
        if (strncmp(item->d_name, entry->uid, 8) == 0 && record_read(dir, &record) &&
            strcmp(record.pod_uid, entry->uid) == 0) {
            char *group MEM_CLEANUP = mem_printf("%s/%s", entry->cgroup, record.id);
            t->runtime.remove(t->runtime.ctx, record.id, dir, group, &t->err);
        }
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return t->err.code;
}

static void teardown_work(struct job *job)
{
    struct teardown *t = container_of(job, struct teardown, job);
    struct pod_entry *entry = t->entry;
    FAILPOINT("node.teardown");
    if (remove_runs(t) != 0) {
        return;
    }
    if (t->pause_pid > 0) {
        char *cmdline MEM_CLEANUP = mem_printf("/proc/%d/cmdline", (int)t->pause_pid);
        struct buf words BUF_CLEANUP = BUF_INIT;
        if (file_read(cmdline, 4096, &words, NULL) == 0 &&
            str_contains(buf_view(&words), str_of(entry->uid))) {
            kill(t->pause_pid, SIGKILL);
            spawn_wait(t->pause_pid, 2000);
        }
    }
    cgroup_kill(entry->cgroup, entry->uid);
    cgroup_remove(entry->cgroup);
    struct volume_paths paths = {entry->pod_dir, entry->memory_dir};
    if (volume_remove_all(&paths, &t->err) == 0) {
        file_remove_tree(entry->log_dir, NULL);
    }
}

static void teardown_done(struct job *job)
{
    struct teardown *t = container_of(job, struct teardown, job);
    struct pod_entry *entry = t->entry;
    if (t->err.code != 0) {
        LOG_WARN("node", "taking a pod down failed, again in 5 s", LOG_Z("pod", entry->name),
                 LOG_ERR(&t->err));
    } else {
        for (size_t i = 0; i < entry->worker->container_count; i++) {
            struct run *run = entry->worker->containers[i]->user;
            if (run != NULL) { /* sessions may still look at it: freed with the entry */
                free(run->dir);
                run->dir = NULL;
            }
        }
    }
    pod_worker_torn_down(entry->worker, &t->err);
    free(t);
    entry_release(entry);
}

void entry_teardown(struct pod_worker *worker)
{
    struct pod_entry *entry = worker->user;
    struct teardown *t = mem_new(struct teardown);
    entry->no_config = true;
    entry->preparing = false;
    give_back(entry);
    t->entry = entry;
    t->runtime = entry->agent->runtime;
    t->pause_pid = entry->pause_pid;
    t->containers_dir = entry->agent->containers_dir;
    t->job.work = teardown_work;
    t->job.done = teardown_done;
    entry_hold(entry);
    loop_work(entry->agent->loop, &t->job);
}
