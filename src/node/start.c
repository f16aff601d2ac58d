/* start.c: one run of a container: gather on the loop (image, environment, devices), build and
 * start in a job, watch its monitor, read how it ended.
 *
 * The record is on disk before the runtime is asked, so a kill of the agent at any instant leaves
 * something that recover.c can judge. The end of a run is the end of its monitor: by then the exit
 * file is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/process.h"
#include "node/agent_int.h"
#include "node/env/files.h"
#include "node/runtime/cgroup.h"

enum { MESSAGE_MAX = 4096, MOUNTS_EXTRA = 8, LOCALHOST_PROFILE_MAX = 1024 * 1024 };

struct start {
    struct job job;
    struct pod_entry *entry;
    struct container *container; /* as long as the entry is held */
    struct run *run;
    uint32_t attempt;
    struct pod_view *view;
    const struct val *spec;   /* the container's, in view */
    const struct val *config; /* image config, copied */
    struct arena arena;
    struct env_list env;
    struct str *argv;
    size_t argv_count;
    const char **layers; /* top first */
    size_t layer_count;
    struct container_devices devices;  /* merged */
    const struct val *device_requests; /* the next limit to ask for */
    struct record record;
    const char *target_pid_path; /* of an ephemeral container: whose processes it sees; or NULL */
    char *old_dir, *old_id;      /* remains of the run before */
    struct runtime_status status;
    int64_t asked_ns, began_ns, built_ns, ran_ns; /* mono: where the time goes */
    const char *reason;                           /* of a failure */
    struct err err;
};

struct run *container_run(struct container *container)
{
    return container->user;
}

void run_free(struct run *run)
{
    if (run == NULL) {
        return;
    }
    pid_watch_free(run->watch);
    timer_stop(&run->watch_again);
    free(run->dir);
    free(run->cgroup);
    free(run->log_path);
    free(run->message_path);
    free(run);
}

/* ---- the job ---- */

struct mounts {
    struct spec_mount *items;
    size_t count, cap;
    struct runtime_create *create;
    struct start *s;
};

static struct spec_mount *add_mount(struct mounts *m, struct str source, struct str target,
                                    bool read_only)
{
    struct spec_mount *mount = &m->items[m->count++];
    *mount = (struct spec_mount){.source = source, .target = target, .read_only = read_only};
    return mount;
}

static bool mounts_at(const struct start *s, struct str target)
{
    VAL_EACH (it, val_get(s->spec, "volumeMounts")) {
        if (str_eq(val_text(val_get(it, "mountPath")), target)) {
            return true;
        }
    }
    return false;
}

static int mount_subpath(struct mounts *m, struct spec_mount *mount, struct str sub_path,
                         struct err *err)
{
    struct runtime_create *create = m->create;
    if (create->bind_count == RUNTIME_BINDS_MAX) {
        return err_set(err, ERR_LIMIT, "more than %d subPath mounts", RUNTIME_BINDS_MAX);
    }
    int tree;
    bool folder;
    int rc =
        volume_open_subpath(str_dup_in(&m->s->arena, mount->source), sub_path, &tree, &folder, err);
    if (rc != 0) {
        return rc;
    }
    char *target = arena_printf(&m->s->arena, "%s/sub-%zu", create->dir, create->bind_count);
    if (folder ? mkdir(target, 0700) != 0 : mknod(target, S_IFREG | 0600, 0) != 0) {
        rc = errno != EEXIST ? err_os(err, errno, "create %s", target) : 0;
    }
    create->binds[create->bind_count].tree_fd = tree;
    create->binds[create->bind_count++].target = target;
    mount->source = str_of(target);
    return rc;
}

static int add_volume_mounts(struct mounts *m, struct err *err)
{
    struct start *s = m->s;
    struct volume_paths paths = {s->entry->pod_dir, s->entry->memory_dir};
    VAL_EACH (it, val_get(s->spec, "volumeMounts")) {
        struct str name = val_text(val_get(it, "name"));
        const struct val *volume = val_find(val_get(s->view->spec, "volumes"), "name", name);
        struct str sub_path = val_text(val_get(it, "subPath"));
        struct str expression = val_text(val_get(it, "subPathExpr"));
        struct str propagation = val_text(val_get(it, "mountPropagation"));
        char *path MEM_CLEANUP = NULL;
        int rc =
            volume == NULL
                ? err_set(err, ERR_NOT_FOUND, "no volume \"%.*s\"", STR_ARG(name))
                : volume_prepare(volume, &paths,
                                 val_int(val_path(s->view->spec, "securityContext.fsGroup"), -1),
                                 &path, err);
        if (rc != 0) {
            return rc;
        }
        struct spec_mount *mount =
            add_mount(m, str_copy_in(&s->arena, str_of(path)), val_text(val_get(it, "mountPath")),
                      val_bool(val_get(it, "readOnly"), false));
        struct str recursive = val_text(val_get(it, "recursiveReadOnly"));
        mount->recursive_read_only =
            str_is(recursive, "Enabled") ||
            (str_is(recursive, "IfPossible") && spec_can_read_only_recursively());
        mount->propagation = str_is(propagation, "HostToContainer") ? "rslave"
                             : str_is(propagation, "Bidirectional") ? "rshared"
                                                                    : "rprivate";
        if (volume_is_api_backed(volume) ||
            val_bool(val_path(volume, "persistentVolumeClaim.readOnly"), false)) {
            mount->read_only = true;
        }
        if (expression.n > 0) {
            sub_path = env_expand(&s->arena, expression, &s->env);
        }
        if (sub_path.n > 0 && (rc = mount_subpath(m, mount, sub_path, err)) != 0) {
            return rc;
        }
        if (mount->target.n > 0 && mount->target.p[0] != '/') {
            mount->target = str_of(arena_printf(&s->arena, "/%.*s", STR_ARG(mount->target)));
        }
    }
    return 0;
}

static int add_managed_files(struct mounts *m, struct err *err)
{
    static const char *const files[][2] = {{"etc-hosts", "/etc/hosts"},
                                           {"resolv.conf", "/etc/resolv.conf"},
                                           {"hostname", "/etc/hostname"}};
    struct start *s = m->s;
    for (size_t i = 0; i < 3; i++) {
        if (!mounts_at(s, str_of(files[i][1]))) {
            char *path = arena_printf(&s->arena, "%s/%s", s->entry->pod_dir, files[i][0]);
            add_mount(m, str_of(path), str_of(files[i][1]), false);
        }
    }
    struct str target = val_text(val_get(s->spec, "terminationMessagePath"));
    char *path = s->run->message_path;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 || fchmod(fd, 0666) != 0) {
        int rc = err_os(err, errno, "create %s", path);
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    close(fd);
    add_mount(m, str_of(path), target.n > 0 ? target : STR("/dev/termination-log"), false);
    for (size_t i = 0; i < s->devices.mount_count; i++) {
        add_mount(m, s->devices.mounts[i].host_path, s->devices.mounts[i].container_path,
                  s->devices.mounts[i].read_only);
    }
    return 0;
}

/* securityContext.seccompProfile Localhost: ROOT/seccomp/NAME, no way out of the folder. */
static const struct val *localhost_profile(struct start *s)
{
    const struct val *profile = security_field(s->view->pod, s->spec, "seccompProfile");
    struct str name = val_text(val_get(profile, "localhostProfile"));
    struct buf text BUF_CLEANUP = BUF_INIT;
    struct val *document = NULL;
    if (name.n == 0 || str_contains(name, STR("..")) || name.p[0] == '/') {
        return NULL;
    }
    char *path MEM_CLEANUP =
        mem_printf("%s/seccomp/%.*s", s->entry->agent->root_dir, STR_ARG(name));
    if (file_read(path, LOCALHOST_PROFILE_MAX, &text, NULL) != 0 ||
        val_parse_json(&s->arena, str_copy_in(&s->arena, buf_view(&text)), &document, NULL) != 0) {
        return NULL;
    }
    return document;
}

static const char *ipc_path(const struct start *s)
{
    return val_bool(val_get(s->view->spec, "hostIPC"), false) ? "" : s->entry->ipc_ns_path;
}

static const char *pid_path(const struct start *s)
{
    if (s->target_pid_path != NULL) {
        return s->target_pid_path;
    }
    return val_bool(val_get(s->view->spec, "hostPID"), false) ? "" : s->entry->pid_ns_path;
}

static int write_config(struct start *s, struct mounts *m, const struct user *user, struct err *err)
{
    struct agent *agent = s->entry->agent;
    bool host_network = pod_is_host_network(s->view->spec) || !agent->has_network;
    char *cgroup = arena_printf(&s->arena, "/%s", s->run->cgroup);
    struct spec_input input = {.pod = s->view->pod,
                               .container = s->spec,
                               .image_config = s->config,
                               .env = &s->env,
                               .argv = s->argv,
                               .argv_count = s->argv_count,
                               .user = user,
                               .mounts = m->items,
                               .mount_count = m->count,
                               .devices = &s->devices,
                               .hostname = host_network ? str_of(agent->node_name)
                                                        : pod_hostname(s->view->pod),
                               .netns_path = host_network ? NULL : s->entry->network.netns_path,
                               .pid_ns_path = pid_path(s),
                               .ipc_ns_path = ipc_path(s),
                               .cgroup_path = cgroup,
                               .shm_path = s->entry->shm_path,
                               .seccomp_profile = agent->seccomp_profile,
                               .localhost_profile = localhost_profile(s),
                               .node_memory = agent->memory_bytes,
                               .min_oom_score_adj = agent->min_oom_score_adj,
                               .capability_mask = agent->capability_mask,
                               .cgroup_v2 = cgroup_mode() == CGROUP_V2,
                               .hardened = agent->hardened,
                               .tty = val_bool(val_get(s->spec, "tty"), false)};
    struct buf text BUF_CLEANUP = BUF_INIT;
    int rc = spec_write(&s->arena, &input, &text, err);
    char *path MEM_CLEANUP = mem_printf("%s/config.json", s->run->dir);
    return rc == 0 ? file_write_quick(path, buf_view(&text), 0600, err) : rc;
}

static void close_binds(struct runtime_create *create)
{
    for (size_t i = 0; i < create->bind_count; i++) {
        close(create->binds[i].tree_fd);
    }
}

static char *lower_text(struct start *s)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    for (size_t i = 0; i < s->layer_count; i++) {
        buf_printf(&text, i > 0 ? ":%s" : "%s", s->layers[i]);
    }
    return str_dup_in(&s->arena, buf_view(&text));
}

static int build(struct start *s, struct runtime_create *create, struct err *err)
{
    struct agent *agent = s->entry->agent;
    struct user user;
    struct mounts m = {.create = create, .s = s};
    size_t room = val_count(val_get(s->spec, "volumeMounts")) + s->devices.mount_count;
    m.items = arena_array(&s->arena, struct spec_mount, room + MOUNTS_EXTRA);
    s->reason = "CreateContainerConfigError";
    int rc = user_resolve(s->view->pod, s->spec, s->config, image_store_layers_dir(agent->images),
                          s->layers, s->layer_count, &user, err);
    if (rc != 0) {
        return rc;
    }
    s->reason = "CreateContainerError";
    char *log_dir MEM_CLEANUP = mem_printf("%s/%s", s->entry->log_dir, s->container->name);
    if ((rc = file_make_dirs(s->run->dir, 0700, err)) != 0 ||
        (rc = file_make_dirs(log_dir, 0755, err)) != 0 ||
        (rc = record_write(&s->record, err)) != 0 || (rc = add_volume_mounts(&m, err)) != 0 ||
        (rc = add_managed_files(&m, err)) != 0) {
        return rc;
    }
    return write_config(s, &m, &user, err);
}

static void start_work(struct job *job)
{
    struct start *s = container_of(job, struct start, job);
    struct runtime_ops *runtime = &s->entry->agent->runtime;
    struct runtime_create create = {.id = s->run->id,
                                    .dir = s->run->dir,
                                    .log_path = s->run->log_path,
                                    .layers_dir = image_store_layers_dir(s->entry->agent->images),
                                    .lower = lower_text(s),
                                    .program = s->entry->runtime_program,
                                    .stdin_open = val_bool(val_get(s->spec, "stdin"), false),
                                    .stdin_once = val_bool(val_get(s->spec, "stdinOnce"), false),
                                    .tty = val_bool(val_get(s->spec, "tty"), false)};
    FAILPOINT("node.start.before");
    s->began_ns = clock_mono(clock_real());
    if (build(s, &create, &s->err) == 0) {
        s->built_ns = clock_mono(clock_real());
        s->reason = "RunContainerError";
        if (runtime->start(runtime->ctx, &create, &s->status, &s->err) == 0) {
            s->record.started_ns = clock_wall(clock_real());
            record_write(&s->record, NULL);
        }
    }
    close_binds(&create);
    s->ran_ns = clock_mono(clock_real());
    FAILPOINT("node.start.after");
}

/* ---- back on the loop ---- */

static void start_free(struct start *s)
{
    free(s->old_dir);
    free(s->old_id);
    arena_done(&s->arena);
    pod_view_unref(s->view);
    free(s);
}

struct removal {
    struct job job;
    struct pod_entry *entry;
    char *id, *dir, *cgroup;
};

static void removal_work(struct job *job)
{
    struct removal *r = container_of(job, struct removal, job);
    struct runtime_ops *runtime = &r->entry->agent->runtime;
    runtime->remove(runtime->ctx, r->id, r->dir, r->cgroup, NULL);
}

static void removal_done(struct job *job)
{
    struct removal *r = container_of(job, struct removal, job);
    struct pod_entry *entry = r->entry;
    free(r->id);
    free(r->dir);
    free(r->cgroup);
    free(r);
    entry_release(entry);
}

static void remove_run(struct pod_entry *entry, const char *id, const char *dir)
{
    struct removal *r = mem_new(struct removal);
    r->entry = entry;
    r->id = mem_dupz(id);
    r->dir = mem_dupz(dir);
    r->cgroup = mem_printf("%s/%s", entry->cgroup, id);
    r->job.work = removal_work;
    r->job.done = removal_done;
    entry_hold(entry);
    loop_work(entry->agent->loop, &r->job);
}

static void start_done(struct job *job)
{
    struct start *s = container_of(job, struct start, job);
    struct pod_entry *entry = s->entry;
    struct container *container = s->container;
    struct run *run = s->run;
    if (s->old_dir != NULL) {
        remove_run(entry, s->old_id, s->old_dir);
    }
    if (s->err.code == 0 || strcmp(s->reason, "RunContainerError") == 0) {
        entry_event(entry->worker, container, "Normal", "Created", "Container created");
    }
    if (s->err.code == 0) {
        LOG_DEBUG("node", "container started", LOG_Z("container", container->name),
                  LOG_I("wait_us", (s->began_ns - s->asked_ns) / 1000),
                  LOG_I("build_us", (s->built_ns - s->began_ns) / 1000),
                  LOG_I("runtime_us", (s->ran_ns - s->built_ns) / 1000),
                  LOG_I("back_us", (loop_mono(entry->agent->loop) - s->ran_ns) / 1000));
        run->pid = s->status.pid;
        run->monitor_pid = s->status.monitor_pid;
        container_started(container, s->attempt, run->id, s->record.started_ns);
        run_watch(run);
    } else {
        if (strcmp(s->reason, "RunContainerError") != 0) {
            remove_run(entry, run->id, run->dir);
            free(run->dir);
            run->dir = NULL;
        }
        container_failed(container, s->attempt, s->reason, s->err.message);
    }
    start_free(s);
    entry_release(entry);
}

static void fail_start(struct start *s, const char *reason, const struct err *err)
{
    struct pod_entry *entry = s->entry;
    container_failed(s->container, s->attempt, reason, err->message);
    start_free(s);
    entry_release(entry);
}

static void submit(struct start *s)
{
    s->job.work = start_work;
    s->job.done = start_done;
    loop_work(s->entry->agent->loop, &s->job);
}

static bool is_device(struct str resource)
{
    return str_contains(resource, STR("/")) && !str_contains(resource, STR("kubernetes.io/"));
}

static void merge_devices(struct start *s, const struct container_devices *more)
{
    struct container_devices *to = &s->devices;
    struct container_devices all = {0};
    all.device_count = to->device_count + more->device_count;
    all.devices = arena_array(&s->arena, struct device_mapping, all.device_count + 1);
    all.env_count = to->env_count + more->env_count;
    all.env = arena_alloc(&s->arena, sizeof *all.env * (all.env_count + 1));
    all.mount_count = to->mount_count + more->mount_count;
    all.mounts = arena_alloc(&s->arena, sizeof *all.mounts * (all.mount_count + 1));
    for (size_t i = 0; i < all.device_count; i++) {
        all.devices[i] =
            i < to->device_count ? to->devices[i] : more->devices[i - to->device_count];
    }
    for (size_t i = 0; i < all.env_count; i++) {
        bool old = i < to->env_count;
        all.env[i].name = old ? to->env[i].name : more->env[i - to->env_count].name;
        all.env[i].value = old ? to->env[i].value : more->env[i - to->env_count].value;
    }
    for (size_t i = 0; i < all.mount_count; i++) {
        memcpy(&all.mounts[i],
               i < to->mount_count ? &to->mounts[i] : &more->mounts[i - to->mount_count],
               sizeof *all.mounts);
    }
    *to = all;
}

static void ask_devices(struct start *s);

static void on_devices(void *arg, const struct container_devices *devices, const struct err *err)
{
    struct start *s = arg;
    if (devices == NULL) {
        /* The pod waits for its device: another pod may just be giving it back. */
        fail_start(s, "CreateContainerError", err);
        return;
    }
    merge_devices(s, devices);
    ask_devices(s);
}

/* One resource after the other; then the job. */
static void ask_devices(struct start *s)
{
    struct agent *agent = s->entry->agent;
    while (s->device_requests != NULL) {
        const struct val *limit = s->device_requests;
        struct quantity count;
        s->device_requests = limit->next;
        if (!is_device(limit->key) || !quantity_parse(val_text(limit), &count) ||
            quantity_value(count) <= 0) {
            continue;
        }
        if (!agent->has_devices) {
            struct err err = ERR_INIT;
            err_set(&err, ERR_UNSUPPORTED, "this node has no resource %.*s", STR_ARG(limit->key));
            fail_start(s, "CreateContainerError", &err);
            return;
        }
        agent->devices.allocate(agent->devices.ctx, str_of(s->entry->uid),
                                str_of(s->container->name), limit->key, quantity_value(count),
                                &s->arena, on_devices, s);
        return;
    }
    submit(s);
}

static int gather(struct start *s, struct err *err)
{
    struct agent *agent = s->entry->agent;
    struct volume_facts facts;
    const struct image *image = image_find(agent->images, val_text(val_get(s->spec, "image")));
    if (image == NULL) {
        return err_set(err, ERR_NOT_FOUND, "image \"%.*s\" is no longer there",
                       STR_ARG(val_text(val_get(s->spec, "image"))));
    }
    const struct val *config = val_get(image->config, "config");
    s->config = config != NULL ? val_copy(&s->arena, config) : NULL;
    s->layers = arena_array(&s->arena, const char *, image->layer_count + 1);
    s->layer_count = image->layer_count;
    for (size_t i = 0; i < image->layer_count; i++) {
        s->layers[i] = str_dup_in(&s->arena, str_of(image->layers[image->layer_count - 1 - i]));
    }
    snprintf(s->container->image, sizeof s->container->image, "%s",
             image->name_count > 0 ? image->names[0] : image->id);
    snprintf(s->container->image_id, sizeof s->container->image_id, "%s", image->id);
    if (image->layer_count == 0) {
        return err_set(err, ERR_INVALID, "the image has no layers");
    }
    entry_facts(s->entry, &s->arena, &facts);
    int rc = env_build(&s->arena, s->view->pod, s->spec, s->config, &facts.env, &s->env, err);
    return rc == 0 ? env_argv(&s->arena, s->spec, s->config, &s->env, &s->argv, &s->argv_count, err)
                   : rc;
}

static int stop_signal_of(const struct start *s)
{
    static const struct {
        const char *name;
        int number;
    } names[] = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
                 {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"KILL", SIGKILL}, {"WINCH", SIGWINCH},
                 {"ABRT", SIGABRT}, {"PWR", SIGPWR},   {"CONT", SIGCONT}};
    struct str text = val_text(val_path(s->spec, "lifecycle.stopSignal"));
    uint64_t number;
    if (text.n == 0) {
        text = val_text(val_get(s->config, "StopSignal"));
    }
    if (str_u64(text, &number) && number > 0 && number < 65) {
        return (int)number;
    }
    if (str_starts(text, STR("SIGRTMIN+")) && str_u64(str_from(text, 9), &number) && number < 30) {
        return SIGRTMIN + (int)number;
    }
    if (str_starts(text, STR("SIG"))) {
        text = str_from(text, 3);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (str_is(text, names[i].name)) {
            return names[i].number;
        }
    }
    return SIGTERM;
}

static void new_id(struct agent *agent, char ret_id[65])
{
    unsigned char bytes[32];
    random_fill(loop_random(agent->loop), bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, ret_id);
}

static void make_run(struct start *s)
{
    struct pod_entry *entry = s->entry;
    struct container *container = s->container;
    struct run *run = container->user;
    if (run == NULL) {
        run = mem_new(struct run);
        run->entry = entry;
        run->container = container;
        container->user = run;
    } else if (run->dir != NULL) {
        s->old_dir = mem_dupz(run->dir);
        s->old_id = mem_dupz(run->id);
    }
    pid_watch_free(run->watch);
    run->watch = NULL;
    free(run->dir);
    free(run->cgroup);
    free(run->log_path);
    free(run->message_path);
    new_id(entry->agent, run->id);
    run->dir = mem_printf("%s/%.8s-%.12s", entry->agent->containers_dir, entry->uid, run->id);
    run->cgroup = mem_printf("%s/%s", entry->cgroup, run->id);
    run->log_path =
        mem_printf("%s/%s/%u.log", entry->log_dir, container->name, container->restarts);
    run->message_path = mem_printf("%s/termination-log", run->dir);
    run->stop_signal = stop_signal_of(s);
    s->run = run;
    struct record *record = &s->record;
    snprintf(record->id, sizeof record->id, "%s", run->id);
    snprintf(record->pod_uid, sizeof record->pod_uid, "%s", entry->uid);
    snprintf(record->pod_ns, sizeof record->pod_ns, "%s", entry->ns);
    snprintf(record->pod_name, sizeof record->pod_name, "%s", entry->name);
    snprintf(record->container, sizeof record->container, "%s", container->name);
    snprintf(record->image, sizeof record->image, "%s", container->image);
    snprintf(record->image_id, sizeof record->image_id, "%s", container->image_id);
    snprintf(record->dir, sizeof record->dir, "%s", run->dir);
    record->restarts = container->restarts;
    record->has_last = container->has_last;
    record->last = container->last;
}

/* targetContainerName of an ephemeral container: it joins that one's process namespace. */
static int find_target(struct start *s, struct err *err)
{
    struct str name = val_text(val_get(s->spec, "targetContainerName"));
    if (name.n == 0 || s->container->kind != CONTAINER_EPHEMERAL) {
        return 0;
    }
    const struct container *target = pod_worker_container(s->entry->worker, name);
    const struct run *run = target != NULL ? target->user : NULL;
    if (run == NULL || target->state != CONTAINER_RUNNING || run->pid <= 0) {
        return err_set(err, ERR_NOT_FOUND, "the target container \"%.*s\" is not running",
                       STR_ARG(name));
    }
    s->target_pid_path = arena_printf(&s->arena, "/proc/%d/ns/pid", (int)run->pid);
    return 0;
}

void entry_start(struct container *container)
{
    struct pod_entry *entry = container->worker->user;
    struct start *s = mem_new(struct start);
    struct err err = ERR_INIT;
    s->entry = entry;
    s->container = container;
    s->attempt = container->attempt;
    s->asked_ns = clock_mono(clock_real());
    s->view = pod_view_ref(container->worker->view);
    s->spec = container_spec(container);
    entry_hold(entry);
    int rc = gather(s, &err);
    rc = rc != 0 ? rc : find_target(s, &err);
    if (rc != 0) {
        fail_start(s, "CreateContainerConfigError", &err);
        return;
    }
    make_run(s);
    const struct val *limits = val_path(s->spec, "resources.limits");
    s->device_requests = limits != NULL ? limits->child : NULL;
    ask_devices(s);
}

/* What a container's first process leaves behind. In a process namespace of its own there is
 * nothing: its end is theirs. */
static void kill_rest(const struct run *run)
{
    const struct val *spec = run->entry->worker->view->spec;
    if (run->entry->pid_ns_path != NULL || val_bool(val_get(spec, "hostPID"), false) ||
        run->container->kind == CONTAINER_EPHEMERAL) {
        cgroup_kill(run->cgroup, run->id);
    }
}

void entry_signal(struct container *container, int signal)
{
    struct run *run = container->user;
    struct runtime_ops *runtime = &run->entry->agent->runtime;
    struct err err = ERR_INIT;
    int number = signal == SIGTERM ? run->stop_signal : signal;
    if (runtime->signal(runtime->ctx, run->id, run->dir, number, &err) != 0 &&
        err.code != ERR_NOT_FOUND && err.os_errno != ESRCH) {
        LOG_WARN("node", "signalling a container failed", LOG_Z("container", container->name),
                 LOG_ERR(&err));
    }
    if (signal == SIGKILL) {
        kill_rest(run);
    }
}

void entry_forget(struct container *container)
{
    struct run *run = container->user;
    if (run != NULL && run->dir != NULL) {
        remove_run(run->entry, run->id, run->dir);
        free(run->dir);
        run->dir = NULL;
    }
}

/* ---- the end of a run ---- */

static void read_message(struct run *run, bool failed, struct container_end *end)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    const struct val *spec = container_spec(run->container);
    int fd = open(run->message_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, buf_room(&text, MESSAGE_MAX), MESSAGE_MAX) : 0;
    if (fd >= 0) {
        close(fd);
    }
    text.n = n > 0 ? (size_t)n : 0;
    if (text.n == 0 && failed &&
        str_is(val_text(val_get(spec, "terminationMessagePolicy")), "FallbackToLogsOnError")) {
        agent_log_tail(run->log_path, 2048, 80, &text);
    }
    snprintf(end->message, sizeof end->message, "%.*s", STR_ARG(buf_view(&text)));
}

static void run_ended(struct run *run)
{
    struct runtime_ops *runtime = &run->entry->agent->runtime;
    struct runtime_status status = {0};
    struct container_end end = {.started_ns = run->container->started_ns};
    runtime->status(runtime->ctx, run->dir, &status, NULL);
    kill_rest(run);
    if (status.exited) {
        end.exit_code = status.exit_code;
        end.finished_ns = status.finished_ns;
        snprintf(end.reason, sizeof end.reason, "%s",
                 status.oom && status.exit_code != 0 ? "OOMKilled"
                 : status.exit_code == 0             ? "Completed"
                                                     : "Error");
    } else { /* the monitor was killed: nobody knows */
        end.exit_code = 137;
        end.finished_ns = clock_wall(loop_clock(run->entry->agent->loop));
        snprintf(end.reason, sizeof end.reason, "ContainerStatusUnknown");
        snprintf(end.message, sizeof end.message,
                 "The container could not be located when its monitor ended");
    }
    snprintf(end.id, sizeof end.id, "%s", run->id);
    if (status.exited) {
        read_message(run, end.exit_code != 0, &end);
    }
    container_ended(run->container, &end);
}

static void on_monitor_end(void *ctx, struct pid_watch *watch)
{
    struct run *run = ctx;
    pid_watch_free(run->watch);
    run->watch = NULL;
    run_ended(run);
}

static void on_watch_again(struct timer *timer)
{
    run_watch(container_of(timer, struct run, watch_again));
}

void run_watch(struct run *run)
{
    struct err err = ERR_INIT;
    if (!container_live(run->container)) {
        return;
    }
    if (run->monitor_pid <= 0 || pid_watch_new(run->entry->agent->loop, run->monitor_pid,
                                               on_monitor_end, run, &run->watch, &err) != 0) {
        if (run->monitor_pid <= 0 || err.os_errno == ESRCH) {
            run_ended(run);
            return;
        }
        LOG_WARN("node", "watching a monitor failed", LOG_ERR(&err));
        timer_start(run->entry->agent->loop, &run->watch_again, NS_PER_S, on_watch_again);
    }
}
