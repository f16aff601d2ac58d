/* sim_runtime.c: containers that only pretend: every operation is answered after a delay drawn from
 * the loop's random source, and while the ledger's faults are on, some fail.
 *
 * Invariant: the ledger counts a pod from its first live container to the end of its last one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim_int.h"

enum delayed_kind {
    DELAYED_PREPARED,
    DELAYED_TORN_DOWN,
    DELAYED_PULLED,
    DELAYED_STARTED,
    DELAYED_READY,
    DELAYED_EXIT, /* by itself */
    DELAYED_DONE,
    DELAYED_KILLED,
    DELAYED_HOOK,
};

struct delayed {
    struct list link;
    struct timer timer;
    struct sim_pod *pod;
    struct container *container;
    enum delayed_kind kind;
    enum hook_kind hook;
    uint32_t attempt;
};

static uint64_t draw(struct sim_pod *pod, uint64_t bound)
{
    return random_below(loop_random(pod->agent->loop), bound);
}

static bool fails(struct sim_pod *pod, uint64_t percent)
{
    bool failed = draw(pod, 100) < percent && pod->agent->ledger->faults;
    pod->agent->ledger->failures += failed;
    return failed;
}

/* ---- the ledger ---- */

void sim_ledger_done(struct sim_ledger *ledger)
{
    MAP_EACH (it, &ledger->running) {
        free(it->value);
    }
    map_done(&ledger->running);
}

static void count_live(struct sim_pod *pod, int change)
{
    struct sim_ledger *ledger = pod->agent->ledger;
    int before = pod->live > 0;
    pod->live += change;
    int *count = map_get(&ledger->running, str_of(pod->key));
    if (count == NULL) {
        count = mem_new(int);
        map_set(&ledger->running, str_of(pod->key), count);
    }
    *count += (pod->live > 0) - before;
    ledger->starts += change > 0;
    if (*count > ledger->running_max) {
        ledger->running_max = *count;
    }
}

/* ---- answers ---- */

static void on_started(struct sim_pod *pod, struct container *container, uint32_t attempt)
{
    char id[65];
    if (container->state != CONTAINER_STARTING || container->attempt != attempt) {
        return;
    }
    if (fails(pod, 10)) {
        container_failed(container, attempt, "RunContainerError", "no such program");
        return;
    }
    snprintf(id, sizeof id, "%016llx",
             (unsigned long long)random_u64(loop_random(pod->agent->loop)));
    count_live(pod, 1);
    container_started(container, attempt, id, clock_wall(loop_clock(pod->agent->loop)));
}

static void on_end(struct sim_pod *pod, struct container *container, int code)
{
    struct container_end end = {.exit_code = code,
                                .started_ns = container->started_ns,
                                .finished_ns = clock_wall(loop_clock(pod->agent->loop))};
    if (container->state != CONTAINER_RUNNING && container->state != CONTAINER_STOPPING) {
        return;
    }
    snprintf(end.id, sizeof end.id, "%s", container->id);
    snprintf(end.reason, sizeof end.reason, "%s", code == 0 ? "Completed" : "Error");
    count_live(pod, -1);
    container_ended(container, &end);
}

static void answer(struct sim_pod *pod, const struct delayed *d)
{
    bool current = d->container != NULL && d->container->attempt == d->attempt;
    bool failed;
    switch (d->kind) {
    case DELAYED_PREPARED:
        pod_worker_prepared(pod->worker, pod->ip, NULL);
        break;
    case DELAYED_TORN_DOWN:
        pod_worker_torn_down(pod->worker, NULL);
        break;
    case DELAYED_PULLED:
        failed = fails(pod, 5);
        container_pulled(d->container, d->attempt, failed ? "ErrImagePull" : NULL,
                         failed ? "the registry is away" : NULL);
        break;
    case DELAYED_STARTED:
        on_started(pod, d->container, d->attempt);
        break;
    case DELAYED_READY:
        if (current) {
            container_probe_result(d->container, PROBE_READINESS, true);
        }
        break;
    case DELAYED_EXIT:
        if (current && fails(pod, 100)) {
            on_end(pod, d->container, (int)draw(pod, 2));
        }
        break;
    case DELAYED_DONE:
        if (current) {
            on_end(pod, d->container, fails(pod, 20) ? 1 : 0);
        }
        break;
    case DELAYED_KILLED:
        if (current) {
            on_end(pod, d->container, 143);
        }
        break;
    case DELAYED_HOOK:
        container_hook_done(d->container, d->attempt, d->hook, NULL);
        break;
    }
}

static void on_delayed(struct timer *timer)
{
    struct delayed *d = container_of(timer, struct delayed, timer);
    struct delayed copy = *d;
    list_remove(&d->link);
    free(d);
    answer(copy.pod, &copy);
}

/* Between least and most milliseconds from now. */
static struct delayed *later(struct sim_pod *pod, struct container *container,
                             enum delayed_kind kind, uint64_t least, uint64_t most)
{
    struct delayed *d = mem_new(struct delayed);
    d->pod = pod;
    d->container = container;
    d->kind = kind;
    d->attempt = container != NULL ? container->attempt : 0;
    list_append(&pod->delayed, &d->link);
    int64_t micros = (int64_t)(least * 1000 + draw(pod, (most - least) * 1000));
    timer_start(pod->agent->loop, &d->timer, micros * 1000, on_delayed);
    return d;
}

/* ---- operations ---- */

static void op_prepare(struct pod_worker *worker)
{
    struct sim_pod *pod = worker->user;
    if (pod->ip[0] == '\0') {
        snprintf(pod->ip, sizeof pod->ip, "10.244.%d.%d", pod->agent->number,
                 pod->agent->addresses++ % 250 + 2);
    }
    later(pod, NULL, DELAYED_PREPARED, 1, 50);
}

static void op_pull(struct container *container)
{
    later(container->worker->user, container, DELAYED_PULLED, 1, 400);
}

static void op_start(struct container *container)
{
    later(container->worker->user, container, DELAYED_STARTED, 5, 900);
}

static void op_signal(struct container *container, int signal)
{
    struct sim_pod *pod = container->worker->user;
    if (signal == SIGKILL || draw(pod, 100) >= 10) { /* some do not listen */
        later(pod, container, DELAYED_KILLED, 1, signal == SIGKILL ? 20 : 3000);
    }
}

static void op_hook(struct container *container, enum hook_kind kind, int64_t timeout_ns)
{
    later(container->worker->user, container, DELAYED_HOOK, 1, 500)->hook = kind;
}

static void op_forget(struct container *container)
{
}

static void op_probes(struct container *container, bool on)
{
    struct sim_pod *pod = container->worker->user;
    if (!on) {
        return;
    }
    if (!val_absent(val_get(container_spec(container), "readinessProbe"))) {
        later(pod, container, DELAYED_READY, 50, 3000);
    }
    if (str_is(val_text(val_get(container_spec(container), "image")), "task:1")) {
        later(pod, container, DELAYED_DONE, 500, 9000);
    } else if (pod->agent->ledger->faults && draw(pod, 100) < 40) {
        later(pod, container, DELAYED_EXIT, 100, 60000);
    }
}

static void op_settle(struct pod_worker *worker)
{
}

static void op_teardown(struct pod_worker *worker)
{
    later(worker->user, NULL, DELAYED_TORN_DOWN, 1, 100);
}

void sim_runtime_ops(struct pod_ops *ops)
{
    ops->prepare = op_prepare;
    ops->pull = op_pull;
    ops->start = op_start;
    ops->signal = op_signal;
    ops->hook = op_hook;
    ops->forget = op_forget;
    ops->probes = op_probes;
    ops->settle = op_settle;
    ops->teardown = op_teardown;
}

void sim_pod_stop(struct sim_pod *pod)
{
    struct list *item;
    while ((item = list_pop(&pod->delayed)) != NULL) {
        struct delayed *d = container_of(item, struct delayed, link);
        timer_stop(&d->timer);
        free(d);
    }
    while (pod->live > 0) {
        count_live(pod, -1);
    }
}
