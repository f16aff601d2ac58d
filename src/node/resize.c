/* resize.c: other cpu and memory for a running pod (pods/resize), without a restart where its
 * containers allow that.
 *
 * What a container has is kept in container.resources, and is what its status says; the spec is
 * what is wanted. A resize beyond the node is Infeasible, one that has to wait for others Deferred
 * (looked at again by housekeeping). Limits grow from the pod's group down and shrink from the
 * containers up, so that no container is ever above its pod.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/agent_int.h"
#include "node/runtime/cgroup.h"

/* cpu and memory of a container, as canonical text to compare. */
static void write_amounts(const struct val *resources, struct buf *out)
{
    static const char *const lists[] = {"requests", "limits"}, *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < 4; i++) {
        struct quantity quantity;
        const struct val *list = val_get_str(resources, str_of(lists[i / 2]));
        struct str text = val_text(val_get_str(list, str_of(names[i % 2])));
        buf_printf(out, "%lld/",
                   quantity_parse(text, &quantity) ? (long long)quantity_milli(quantity) : -1LL);
    }
}

/* Bits: cpu 1, memory 2. */
static int differences(const struct container *c)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct buf had BUF_CLEANUP = BUF_INIT, wanted BUF_CLEANUP = BUF_INIT;
    struct val *resources = NULL;
    if (c->resources == NULL ||
        val_parse_json(&arena, str_of(c->resources), &resources, NULL) != 0) {
        return 0;
    }
    write_amounts(resources, &had);
    write_amounts(val_get(container_spec(c), "resources"), &wanted);
    int bits = 0;
    struct str a = buf_view(&had), b = buf_view(&wanted);
    for (int i = 0; i < 4; i++) {
        bool same = str_eq(str_cut(a, '/', &a), str_cut(b, '/', &b));
        bits |= same ? 0 : 1 << (i % 2);
    }
    return bits;
}

static bool is_resizable(const struct container *c)
{
    return c->state == CONTAINER_RUNNING &&
           (c->kind == CONTAINER_MAIN || c->kind == CONTAINER_SIDECAR);
}

static bool needs_restart(const struct container *c, int bits)
{
    static const char *const names[] = {"cpu", "memory"};
    for (int i = 0; i < 2; i++) {
        const struct val *policy =
            val_find(val_get(container_spec(c), "resizePolicy"), "resourceName", str_of(names[i]));
        if ((bits & 1 << i) != 0 &&
            str_is(val_text(val_get(policy, "restartPolicy")), "RestartContainer")) {
            return true;
        }
    }
    return false;
}

/* ---- limits ---- */

static struct cgroup_limits container_limits(const struct container *c)
{
    const struct val *spec = container_spec(c);
    struct quantity quantity;
    struct cgroup_limits limits = {0};
    int64_t limit = pod_resource(spec, "limits", "cpu", &quantity) ? quantity_milli(quantity) : 0;
    int64_t request =
        pod_resource(spec, "requests", "cpu", &quantity) ? quantity_milli(quantity) : limit;
    limits.cpu_shares = cgroup_shares_of_milli(request);
    limits.cpu_quota_us = cgroup_quota_of_milli(limit);
    if (pod_resource(spec, "limits", "memory", &quantity)) {
        limits.memory = quantity_value(quantity);
    }
    return limits;
}

static struct cgroup_limits pod_limits(const struct pod_entry *entry)
{
    struct pod_resources sum;
    pod_resources_sum(entry->worker->view->spec, &sum);
    return (struct cgroup_limits){.cpu_shares = cgroup_shares_of_milli(sum.cpu_request_milli),
                                  .cpu_quota_us = cgroup_quota_of_milli(sum.cpu_limit_milli),
                                  .memory = sum.memory_limit};
}

/* The kernel would take the memory away by killing: the container keeps its limit instead. */
static int set_limits(const struct container *c, struct err *err)
{
    const struct run *run = c->user;
    struct cgroup_limits limits = container_limits(c);
    struct cgroup_usage usage;
    if (run == NULL || run->cgroup == NULL) {
        return err_set(err, ERR_NOT_FOUND, "the container is not running");
    }
    if (limits.memory > 0 && cgroup_usage(run->cgroup, &usage) &&
        (int64_t)usage.memory_working_set > limits.memory) {
        return err_set(err, ERR_INVALID,
                       "attempting to set container %s memory limit (%lld) below current usage "
                       "(%lld)",
                       c->name, (long long)limits.memory, (long long)usage.memory_working_set);
    }
    return cgroup_limit(run->cgroup, &limits, err);
}

static void note_resources(struct container *c)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    const struct val *resources = val_get(container_spec(c), "resources");
    if (resources != NULL) {
        val_write_json(resources, &text);
    }
    free(c->resources);
    c->resources = mem_dupz(resources != NULL ? text.p : "{}");
}

static int resize_container(struct container *c, int bits, struct err *err)
{
    if (needs_restart(c, bits)) {
        container_restart_for_resize(c);
        return 0;
    }
    int rc = set_limits(c, err);
    if (rc == 0) {
        note_resources(c);
    }
    return rc;
}

/* First what makes room, then what takes it away: the pod's group is as large as both need. */
static int resize_all(struct pod_entry *entry, struct err *err)
{
    struct pod_worker *worker = entry->worker;
    struct cgroup_limits limits = pod_limits(entry), open = limits;
    int first = 0;
    open.memory = open.cpu_quota_us = 0;
    cgroup_limit(entry->cgroup, &open, NULL);
    for (size_t i = 0; i < worker->container_count; i++) {
        struct container *c = worker->containers[i];
        struct err one = ERR_INIT;
        int bits = is_resizable(c) ? differences(c) : 0;
        if (bits != 0 && resize_container(c, bits, &one) != 0 && first == 0) {
            first = (int)one.code;
            *err = one;
        }
    }
    int rc = cgroup_limit(entry->cgroup, &limits, first == 0 ? err : NULL);
    return first != 0 ? first : rc;
}

/* ---- deciding ---- */

static bool is_wanted(const struct pod_worker *worker)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        if (is_resizable(worker->containers[i]) && differences(worker->containers[i]) != 0) {
            return true;
        }
    }
    return false;
}

static void set_state(struct pod_worker *worker, const char *reason, const char *message)
{
    bool same =
        strcmp(worker->resize_reason, reason) == 0 && strcmp(worker->resize_message, message) == 0;
    if (same) {
        return;
    }
    snprintf(worker->resize_reason, sizeof worker->resize_reason, "%s", reason);
    snprintf(worker->resize_message, sizeof worker->resize_message, "%s", message);
    if (reason[0] != '\0') {
        char event[32];
        snprintf(event, sizeof event, "Resize%s", reason);
        entry_event(worker, NULL, "Warning", event, message);
    }
    worker->ops->changed(worker);
}

void entry_resize(struct pod_worker *worker)
{
    struct pod_entry *entry = worker->user;
    struct err err = ERR_INIT;
    char message[256] = "";
    if (worker->state != POD_RUNNING || worker->terminating) {
        return;
    }
    if (!is_wanted(worker)) {
        set_state(worker, "", "");
        return;
    }
    const char *obstacle = entry_resize_obstacle(entry, message, sizeof message);
    if (obstacle != NULL) {
        set_state(worker, obstacle, message);
        return;
    }
    if (resize_all(entry, &err) != 0) {
        set_state(worker, "Error", err.message);
        return;
    }
    set_state(worker, "", "");
    entry_event(worker, NULL, "Normal", "ResizeCompleted", "Pod resize completed");
    worker->ops->changed(worker);
}
