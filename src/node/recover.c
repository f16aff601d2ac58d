/* recover.c: after a start of the agent: what runs is adopted, what ended meanwhile is reported
 * with its true exit status, what belongs to no pod any more is removed.
 *
 * A run counts as alive when its monitor is (its command line names the container's id: pids are
 * reused) and it was fully started. One that was killed between create and start is removed; its
 * container begins anew and no restart is counted.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "node/agent_int.h"
#include "node/runtime/cgroup.h"

static bool monitor_lives(pid_t pid, const char *id)
{
    char *path MEM_CLEANUP = mem_printf("/proc/%d/cmdline", (int)pid);
    struct buf words BUF_CLEANUP = BUF_INIT;
    return pid > 0 && file_read(path, 64 * 1024, &words, NULL) == 0 &&
           str_contains(buf_view(&words), str_of(id));
}

static struct run *adopt(struct pod_entry *entry, struct container *container,
                         const struct record *record)
{
    struct run *run = mem_new(struct run);
    run->entry = entry;
    run->container = container;
    snprintf(run->id, sizeof run->id, "%s", record->id);
    run->dir = mem_dupz(record->dir);
    run->cgroup = mem_printf("%s/%s", entry->cgroup, record->id);
    run->log_path = mem_printf("%s/%s/%u.log", entry->log_dir, container->name, record->restarts);
    run->message_path = mem_printf("%s/termination-log", record->dir);
    run->stop_signal = 15;
    container->user = run;
    snprintf(container->image, sizeof container->image, "%s", record->image);
    snprintf(container->image_id, sizeof container->image_id, "%s", record->image_id);
    container->has_last = record->has_last;
    container->last = record->last;
    return run;
}

static void restore_ended(struct container *container, const struct record *record,
                          const struct runtime_status *status)
{
    struct container_end end = {.started_ns = record->started_ns,
                                .exit_code = status->exited ? status->exit_code : 137,
                                .finished_ns =
                                    status->exited ? status->finished_ns : record->started_ns};
    struct buf text BUF_CLEANUP = BUF_INIT;
    char *path MEM_CLEANUP = mem_printf("%s/termination-log", record->dir);
    snprintf(end.reason, sizeof end.reason, "%s",
             !status->exited                         ? "ContainerStatusUnknown"
             : status->oom && status->exit_code != 0 ? "OOMKilled"
             : status->exit_code == 0                ? "Completed"
                                                     : "Error");
    snprintf(end.id, sizeof end.id, "%s", record->id);
    if (status->exited && file_read(path, 4096, &text, NULL) == 0) {
        snprintf(end.message, sizeof end.message, "%.*s", STR_ARG(buf_view(&text)));
    }
    container_restore_ended(container, record->restarts, &end);
}

/* What the API was told before; without that (a static pod), what holds without a probe. */
static bool probe_state(const struct container *container, const char *field, bool probed)
{
    const struct pod_view *view = container->worker->view;
    const char *name = container->name;
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
    for (size_t i = 0; i < 2; i++) {
        const struct val *status =
            val_find(val_get_str(view->status, str_of(lists[i])), "name", str_of(name));
        if (status != NULL) {
            return val_bool(val_get_str(status, str_of(field)), false);
        }
    }
    return !probed;
}

static void restore(struct pod_entry *entry, struct record *record)
{
    struct agent *agent = entry->agent;
    struct container *container = pod_worker_container(entry->worker, str_of(record->container));
    struct run *older = container != NULL ? container->user : NULL;
    if (container == NULL || (older != NULL && container->restarts >= record->restarts)) {
        return; /* teardown finds it by its folder */
    }
    struct runtime_status status = {0};
    agent->runtime.status(agent->runtime.ctx, record->dir, &status, NULL);
    bool alive = !status.exited && monitor_lives(status.monitor_pid, record->id);
    if (record->started_ns == 0 && !status.exited) { /* killed while it was being made */
        char *cgroup MEM_CLEANUP = mem_printf("%s/%s", entry->cgroup, record->id);
        if (alive) {
            agent->runtime.signal(agent->runtime.ctx, record->id, record->dir, 9, NULL);
        }
        agent->runtime.remove(agent->runtime.ctx, record->id, record->dir, cgroup, NULL);
        container->restarts = record->restarts;
        container->has_last = record->has_last;
        container->last = record->last;
        return;
    }
    run_free(older);
    struct run *run = adopt(entry, container, record);
    run->pid = status.pid;
    run->monitor_pid = status.monitor_pid;
    if (!alive) {
        restore_ended(container, record, &status);
        return;
    }
    const struct val *spec = container_spec(container);
    bool starts = !val_absent(val_get(spec, "startupProbe"));
    bool probed = starts || !val_absent(val_get(spec, "readinessProbe"));
    container_restore_running(container, record->id, record->restarts, record->started_ns,
                              probe_state(container, "started", starts),
                              probe_state(container, "ready", probed));
}

static void floor_restarts(struct pod_entry *entry)
{
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
    for (size_t i = 0; i < 2; i++) {
        VAL_EACH (it, val_get_str(entry->worker->view->status, str_of(lists[i]))) {
            struct container *container =
                pod_worker_container(entry->worker, val_text(val_get(it, "name")));
            uint32_t known = (uint32_t)val_int(val_get(it, "restartCount"), 0);
            if (container != NULL && container->user == NULL && known > container->restarts) {
                container->restarts = known;
            }
        }
    }
}

/* An ephemeral container runs once: what is known to have ended does not begin again, also when
 * its folder is lost. */
static void floor_ephemeral(struct pod_entry *entry)
{
    VAL_EACH (it, val_get(entry->worker->view->status, "ephemeralContainerStatuses")) {
        struct container *container =
            pod_worker_container(entry->worker, val_text(val_get(it, "name")));
        const struct val *ended = val_path(it, "state.terminated");
        if (container != NULL && container->user == NULL && !val_absent(ended)) {
            struct container_end end = {.exit_code = (int)val_int(val_get(ended, "exitCode"), 0)};
            snprintf(end.reason, sizeof end.reason, "%.*s",
                     STR_ARG(val_text(val_get(ended, "reason"))));
            time_parse(val_text(val_get(ended, "startedAt")), &end.started_ns);
            time_parse(val_text(val_get(ended, "finishedAt")), &end.finished_ns);
            container_restore_ended(container, 0, &end);
        }
    }
}

void entry_recover(struct pod_entry *entry)
{
    VEC_EACH (it, &entry->agent->records) {
        if (!it->taken && strcmp(it->pod_uid, entry->uid) == 0) {
            it->taken = true;
            restore(entry, it);
        }
    }
    floor_restarts(entry);
    floor_ephemeral(entry);
    /* Probes go on before the network was asked again; the address is the same. */
    snprintf(entry->network.ip, sizeof entry->network.ip, "%.*s",
             STR_ARG(val_text(val_get(entry->worker->view->status, "podIP"))));
    for (size_t i = 0; i < entry->worker->container_count; i++) {
        struct container *container = entry->worker->containers[i];
        if (container->state == CONTAINER_RUNNING) {
            entry_probes(container, true);
            run_watch(container->user);
        }
    }
}

/* ---- orphans ---- */

/* Gathered on the loop, so that nothing of a pod that comes later is in it; removed by a job. */
struct orphans {
    struct job job;
    struct agent *agent;
    struct {
        VEC_OF(struct record);
    } records;
    struct map uids; /* of pods that left something; values unused */
};

static void add_orphan(struct orphans *o, const char *uid)
{
    if (uid[0] != '.' && map_get(&o->agent->pod_entries, str_of(uid)) == NULL) {
        map_set(&o->uids, str_of(uid), o);
    }
}

static void add_folders(struct orphans *o, const char *base)
{
    DIR *stream = opendir(base);
    struct dirent *item;
    while (stream != NULL && (item = readdir(stream)) != NULL) {
        add_orphan(o, item->d_name);
    }
    if (stream != NULL) {
        closedir(stream);
    }
}

static void add_group(void *ctx, const char *name)
{
    if (strncmp(name, "pod", 3) == 0) {
        add_orphan(ctx, name + 3);
    }
}

static const char *const classes[] = {"", "/burstable", "/besteffort"};

static void remove_pod(struct orphans *o, const char *uid)
{
    for (size_t i = 0; i < 3; i++) {
        char *group MEM_CLEANUP = mem_printf("%s%s/pod%s", o->agent->cgroup_root, classes[i], uid);
        cgroup_kill(group, uid);
        cgroup_remove(group);
    }
    char *pod_dir MEM_CLEANUP = mem_printf("%s/pods/%s", o->agent->root_dir, uid);
    char *memory_dir MEM_CLEANUP = mem_printf("%s/%s", o->agent->memory_dir, uid);
    struct volume_paths paths = {pod_dir, memory_dir};
    volume_remove_all(&paths, NULL);
}

static void orphans_work(struct job *job)
{
    struct orphans *o = container_of(job, struct orphans, job);
    MAP_EACH (it, &o->uids) {
        remove_pod(o, it->key.p);
    }
    VEC_EACH (it, &o->records) {
        o->agent->runtime.remove(o->agent->runtime.ctx, it->id, it->dir, "", NULL);
    }
}

static void orphans_done(struct job *job)
{
    struct orphans *o = container_of(job, struct orphans, job);
    struct agent *agent = o->agent;
    vec_done(&o->records);
    map_done(&o->uids);
    free(o);
    agent_release(agent);
}

static void tell_keepers(struct agent *agent)
{
    struct {
        VEC_OF(struct str);
    } uids = {0};
    MAP_EACH (it, &agent->pod_entries) {
        *vec_push(&uids) = it->key;
    }
    if (agent->has_network) {
        agent->network.retain(agent->network.ctx, uids.items, uids.count);
    }
    if (agent->has_devices) {
        agent->devices.retain(agent->devices.ctx, uids.items, uids.count);
    }
    vec_done(&uids);
}

void agent_remove_orphans(struct agent *agent)
{
    struct orphans *o = mem_new(struct orphans);
    o->agent = agent;
    tell_keepers(agent);
    VEC_EACH (it, &agent->records) {
        if (!it->taken) {
            *vec_push(&o->records) = *it;
            add_orphan(o, it->pod_uid);
        }
    }
    vec_done(&agent->records);
    for (size_t i = 0; i < 3; i++) {
        char *parent MEM_CLEANUP = mem_printf("%s%s", agent->cgroup_root, classes[i]);
        cgroup_each(parent, add_group, o);
    }
    char *pods MEM_CLEANUP = mem_printf("%s/pods", agent->root_dir);
    add_folders(o, pods);
    add_folders(o, agent->memory_dir);
    o->job.work = orphans_work;
    o->job.done = orphans_done;
    agent_hold(agent);
    loop_work(agent->loop, &o->job);
}
