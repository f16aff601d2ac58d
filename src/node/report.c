/* report.c: pod status to the API, events, and the last delete.
 *
 * A change marks the pod; at the end of the loop's turn its status is built and, if it differs from
 * what was sent last, patched (strategic, with the uid as a precondition). One patch a pod is under
 * way at a time; what changes meanwhile goes with the next. A pod whose teardown is complete is
 * deleted with grace 0 after its last status was accepted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/agent_int.h"

static void flush_entry(struct pod_entry *entry);

static void on_flush(struct task *task)
{
    struct agent *agent = container_of(task, struct agent, flush_task);
    agent->flush_queued = false;
    report_flush(agent);
}

static void queue_flush(struct agent *agent)
{
    if (!agent->flush_queued) {
        agent->flush_queued = true;
        agent->flush_task.run = on_flush;
        loop_defer(agent->loop, &agent->flush_task);
    }
}

void entry_changed(struct pod_worker *worker)
{
    struct pod_entry *entry = worker->user;
    entry->status_dirty = true;
    queue_flush(entry->agent);
}

void report_flush(struct agent *agent)
{
    MAP_EACH (it, &agent->pod_entries) {
        struct pod_entry *entry = it->value;
        if (entry->status_dirty && !entry->status_busy) {
            flush_entry(entry);
        }
    }
}

static void on_deleted(void *ctx, const struct client_result *result)
{
    struct pod_entry *entry = ctx;
    if (result->code != 0 && result->code != ERR_NOT_FOUND && result->code != ERR_CONFLICT) {
        entry->delete_sent = false;
        entry->status_dirty = true;
        timer_stop(&entry->status_retry);
        LOG_DEBUG("node", "deleting a pod failed, again", LOG_Z("pod", entry->name),
                  LOG_ERR(&result->error));
    } else {
        entry_remove(entry);
    }
    entry_release(entry);
}

static void send_delete(struct pod_entry *entry)
{
    if (entry->delete_sent) {
        return;
    }
    entry->delete_sent = true;
    if (entry->worker->object_gone) {
        entry_remove(entry);
        return;
    }
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val *body = val_new(&arena, VAL_OBJECT);
    val_set_text(&arena, body, STR("kind"), STR("DeleteOptions"));
    val_set_text(&arena, body, STR("apiVersion"), STR("v1"));
    val_set_int(&arena, body, STR("gracePeriodSeconds"), 0);
    struct val *conditions = val_make_object(&arena, body, STR("preconditions"));
    val_set_text(&arena, conditions, STR("uid"), str_of(entry->uid));
    struct client_request request = {.verb = CLIENT_DELETE,
                                     .resource = schema_resource(STR_NONE, STR("v1"), STR("pods")),
                                     .ns = str_of(entry->ns),
                                     .name = str_of(entry->name),
                                     .subresource = "",
                                     .body = body};
    entry_hold(entry);
    client_send(entry->agent->client, &request, on_deleted, entry);
}

static void on_retry(struct timer *timer)
{
    struct pod_entry *entry = container_of(timer, struct pod_entry, status_retry);
    entry->status_dirty = true;
    queue_flush(entry->agent);
}

static void on_patched(void *ctx, const struct client_result *result)
{
    struct pod_entry *entry = ctx;
    entry->status_busy = false;
    if (result->code != 0 && result->code != ERR_NOT_FOUND && result->code != ERR_CONFLICT &&
        result->code != ERR_INVALID) {
        buf_clear(&entry->sent);
        timer_start(entry->agent->loop, &entry->status_retry, NS_PER_S, on_retry);
    } else if (result->code == ERR_INVALID) {
        LOG_WARN("node", "the server refuses a pod's status", LOG_Z("pod", entry->name),
                 LOG_ERR(&result->error));
    }
    if (result->code == ERR_NOT_FOUND && !entry->is_static) {
        entry->worker->object_gone = true;
    }
    if (entry->status_dirty || entry->finalizing) {
        entry->status_dirty = true;
        queue_flush(entry->agent);
    }
    entry_release(entry);
}

static void send_status(struct pod_entry *entry, struct arena *arena, struct val *status)
{
    struct val *body = val_new(arena, VAL_OBJECT);
    struct val *meta = val_make_object(arena, body, STR("metadata"));
    val_set_text(arena, meta, STR("uid"),
                 str_of(entry->is_static ? entry->mirror_uid : entry->uid));
    val_set(body, STR("status"), status);
    struct client_request request = {.verb = CLIENT_PATCH,
                                     .resource = schema_resource(STR_NONE, STR("v1"), STR("pods")),
                                     .ns = str_of(entry->ns),
                                     .name = str_of(entry->name),
                                     .subresource = "status",
                                     .body = body,
                                     .patch = CLIENT_PATCH_STRATEGIC};
    entry->status_busy = true;
    entry_hold(entry);
    client_send(entry->agent->client, &request, on_patched, entry);
}

static void flush_entry(struct pod_entry *entry)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (entry->is_static && entry->mirror_uid == NULL && !entry->finalizing) {
        return; /* said when the mirror is there */
    }
    entry->status_dirty = false;
    if (timer_armed(&entry->status_retry) || entry->dead) {
        return;
    }
    if (!entry->worker->object_gone) {
        struct val *status = pod_status_build(entry->worker, &arena);
        val_write_json(status, &text);
        if (!str_eq(buf_view(&text), buf_view(&entry->sent))) {
            buf_clear(&entry->sent);
            buf_str(&entry->sent, buf_view(&text));
            send_status(entry, &arena, status);
            return;
        }
    }
    if (entry->finalizing) {
        send_delete(entry);
    }
}

void entry_finalize(struct pod_worker *worker)
{
    struct pod_entry *entry = worker->user;
    entry->finalizing = true;
    entry_changed(worker);
}

void entry_report_done(struct pod_entry *entry)
{
    timer_stop(&entry->status_retry);
    buf_done(&entry->sent);
}

void entry_event(struct pod_worker *worker, struct container *container, const char *type,
                 const char *reason, const char *message)
{
    struct pod_entry *entry = worker->user;
    char path[300] = "";
    if (container != NULL) {
        snprintf(path, sizeof path, "spec.%s{%s}",
                 container->kind == CONTAINER_MAIN ? "containers" : "initContainers",
                 container->name);
    }
    struct recorder_about about = {
        .api_version = STR("v1"),
        .kind = STR("Pod"),
        .ns = str_of(entry->ns),
        .name = str_of(entry->name),
        .uid = str_of(entry->uid),
        .field_path = str_of(path),
        .revision = worker->view->object != NULL ? worker->view->object->revision : 0};
    if (entry->agent->recorder != NULL) {
        recorder_event_about(entry->agent->recorder, &about, type, reason, "%s", message);
    }
}
