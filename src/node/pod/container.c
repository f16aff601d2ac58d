/* container.c: one container's states: a table of (state, event) and what happens then.
 *
 * Invariants: at most one operation of a container is under way; `attempt` changes whenever an
 * answer to an older one must no longer count; a live container is ended only through
 * container_stop() and container_ended(). Whether a container should run at all is worker.c's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/pod/worker_int.h"

static const int64_t BACKOFF_FIRST = 10 * NS_PER_S, BACKOFF_MAX = 300 * NS_PER_S,
                     BACKOFF_RESET = 600 * NS_PER_S, CONFIG_RETRY = 10 * NS_PER_S,
                     GRACE_MIN = 2 * NS_PER_S;

void container_init(struct container *container, struct pod_worker *worker, struct str name,
                    enum container_kind kind)
{
    *container = (struct container){.worker = worker, .name = str_dup(name), .kind = kind};
    container_wait(container, "", "");
}

void container_done(struct container *container)
{
    timer_stop(&container->timer);
    free(container->name);
    free(container->reason);
    free(container->message);
    free(container->resources);
}

const struct val *container_spec(const struct container *container)
{
    static const char *const lists[] = {[CONTAINER_INIT] = "initContainers",
                                        [CONTAINER_SIDECAR] = "initContainers",
                                        [CONTAINER_MAIN] = "containers",
                                        [CONTAINER_EPHEMERAL] = "ephemeralContainers"};
    const struct val *spec = container->worker->view->spec;
    return val_find(val_get_str(spec, str_of(lists[container->kind])), "name",
                    str_of(container->name));
}

bool container_live(const struct container *container)
{
    return container->state == CONTAINER_STARTING || container->state == CONTAINER_RUNNING ||
           container->state == CONTAINER_STOPPING;
}

void container_wait(struct container *container, const char *reason, const char *message)
{
    free(container->reason);
    free(container->message);
    container->reason = mem_dupz(reason);
    container->message = mem_dupz(message);
}

static int64_t now(const struct container *container)
{
    return loop_mono(container->worker->loop);
}

static void changed(struct container *container)
{
    container->worker->ops->changed(container->worker);
    pod_worker_step(container->worker);
}

bool container_succeeded(const struct container *container)
{
    return container->has_end && container->end.exit_code == 0 &&
           (container->state == CONTAINER_EXITED);
}

/* restartPolicyRules: the first that names the exit code. */
static bool rule_restarts(const struct val *spec, int exit_code)
{
    VAL_EACH (rule, val_get(spec, "restartPolicyRules")) {
        const struct val *codes = val_get(rule, "exitCodes");
        bool in = false;
        VAL_EACH (it, val_get(codes, "values")) {
            in = in || val_int(it, -1) == exit_code;
        }
        if (!val_absent(codes) && in == str_is(val_text(val_get(codes, "operator")), "In")) {
            return true; /* Restart is the only action of one container */
        }
    }
    return false;
}

/* The container's rules, its own policy (sidecars: Always), then the pod's, against its exit code.
 */
bool container_should_restart(const struct container *container)
{
    if (container->restart_wanted) {
        return true;
    }
    if (container->kind == CONTAINER_SIDECAR || container->kind == CONTAINER_EPHEMERAL) {
        return container->kind == CONTAINER_SIDECAR;
    }
    const struct val *spec = container_spec(container);
    struct str policy = val_text(val_get(spec, "restartPolicy"));
    bool ok = container->end.exit_code == 0;
    if (policy.n == 0) {
        policy = val_text(val_get(container->worker->view->spec, "restartPolicy"));
    } else if (rule_restarts(spec, container->end.exit_code)) {
        return container->kind != CONTAINER_INIT || !ok;
    }
    if (container->kind == CONTAINER_INIT) {
        return !ok && !str_is(policy, "Never");
    }
    return str_is(policy, "Never") ? false : str_is(policy, "OnFailure") ? !ok : true;
}

void container_begin(struct container *container)
{
    container->attempt++;
    container->state = CONTAINER_PULLING;
    if (container->reason == NULL || container->reason[0] == '\0' ||
        strcmp(container->reason, "PodInitializing") == 0) {
        container_wait(container, "ContainerCreating", "");
    }
    container->worker->ops->pull(container);
}

static void on_timer(struct timer *timer)
{
    struct container *container = container_of(timer, struct container, timer);
    if (container->state == CONTAINER_BACKOFF) {
        container->state = CONTAINER_WAITING;
        pod_worker_step(container->worker);
    } else if (container->state == CONTAINER_STOPPING && !container->killed) {
        container->killed = true;
        container->hook_pending = false;
        container->worker->ops->signal(container, SIGKILL);
        timer_start(container->worker->loop, &container->timer, 5 * NS_PER_S, on_timer);
    } else if (container->state == CONTAINER_STOPPING) { /* again, until it is gone */
        container->worker->ops->signal(container, SIGKILL);
        timer_start(container->worker->loop, &container->timer, 5 * NS_PER_S, on_timer);
    }
}

static void wait_for(struct container *container, int64_t delay_ns)
{
    container->attempt++;
    container->state = CONTAINER_BACKOFF;
    container->retry_at = now(container) + delay_ns;
    timer_start(container->worker->loop, &container->timer, delay_ns, on_timer);
}

static int64_t next_backoff(int64_t backoff)
{
    return backoff == 0 ? BACKOFF_FIRST : backoff * 2 > BACKOFF_MAX ? BACKOFF_MAX : backoff * 2;
}

static void pod_key(const struct container *container, char *text, size_t size)
{
    const struct pod_view *view = container->worker->view;
    snprintf(text, size, "%.*s_%.*s(%.*s)", STR_ARG(view->name), STR_ARG(view->ns),
             STR_ARG(view->uid));
}

/* The first restart is immediate, then 10 s doubling to 5 min after the end of the run; a run of 10
 * min forgets. */
void container_restart(struct container *container)
{
    int64_t ran = container->end.finished_ns - container->end.started_ns;
    if (container->end.started_ns > 0 && ran >= BACKOFF_RESET) {
        container->backoff_ns = 0;
    }
    int64_t delay = container->backoff_ns;
    container->backoff_ns = next_backoff(container->backoff_ns);
    container->last = container->end;
    container->has_last = true;
    container->has_end = false;
    container->restarts++;
    container->restart_wanted = false;
    if (delay == 0) {
        container->attempt++;
        container->state = CONTAINER_WAITING;
        container_wait(container, "", "");
        return;
    }
    char key[512], text[700], duration[TIME_TEXT_SIZE];
    pod_key(container, key, sizeof key);
    duration_format(delay, duration);
    snprintf(text, sizeof text, "back-off %s restarting failed container=%s pod=%s", duration,
             container->name, key);
    container_wait(container, "CrashLoopBackOff", text);
    worker_event(container->worker, container, "Warning", "BackOff",
                 "Back-off restarting failed container %s in pod %s", container->name, key);
    wait_for(container, delay);
}

void container_restart_for_resize(struct container *container)
{
    int64_t grace =
        val_int(val_get(container->worker->view->spec, "terminationGracePeriodSeconds"), 30);
    if (!container->restart_wanted && container->state == CONTAINER_RUNNING) {
        container->restart_wanted = true;
        container_stop(container, grace * NS_PER_S, "must be restarted to be resized");
        changed(container);
    }
}

/* What a run has that begins now, or was found again and was never told otherwise. */
static void note_resources(struct container *container, const struct val *resources)
{
    struct buf text BUF_CLEANUP = BUF_INIT;
    if (resources != NULL) {
        val_write_json(resources, &text);
    }
    free(container->resources);
    container->resources = mem_dupz(resources != NULL ? text.p : "{}");
}

void container_retry(struct container *container)
{
    bool config = container->reason != NULL &&
                  (strcmp(container->reason, "CreateContainerConfigError") == 0 ||
                   strcmp(container->reason, "CreateContainerError") == 0 ||
                   strcmp(container->reason, "ErrImageNeverPull") == 0);
    if (container->state == CONTAINER_BACKOFF && config) {
        timer_stop(&container->timer);
        container->state = CONTAINER_WAITING;
        pod_worker_step(container->worker);
    }
}

/* ---- answers ---- */

static void pull_failed(struct container *container, const char *reason, const char *message)
{
    container_wait(container, reason, message);
    bool backs_off = strcmp(reason, "ErrImagePull") == 0;
    container->worker->ops->changed(container->worker);
    if (!backs_off) {
        wait_for(container, CONFIG_RETRY);
        return;
    }
    container->pull_backoff_ns = next_backoff(container->pull_backoff_ns);
    char text[1024];
    struct str image = val_text(val_get(container_spec(container), "image"));
    snprintf(text, sizeof text, "Back-off pulling image \"%.*s\": ErrImagePull: %s", STR_ARG(image),
             message);
    worker_event(container->worker, container, "Normal", "BackOff",
                 "Back-off pulling image \"%.*s\"", STR_ARG(image));
    container_wait(container, "ImagePullBackOff", text);
    wait_for(container, container->pull_backoff_ns);
}

void container_pulled(struct container *container, uint32_t attempt, const char *reason,
                      const char *message)
{
    if (attempt != container->attempt || container->state != CONTAINER_PULLING) {
        return;
    }
    if (reason != NULL) {
        pull_failed(container, reason, message);
        changed(container);
        return;
    }
    container->pull_backoff_ns = 0;
    if (container->worker->terminating) {
        container->state = CONTAINER_WAITING;
        changed(container);
        return;
    }
    container->state = CONTAINER_STARTING;
    container->worker->ops->start(container);
}

void container_started(struct container *container, uint32_t attempt, const char *id,
                       int64_t started_ns)
{
    if (attempt != container->attempt || container->state != CONTAINER_STARTING) {
        return;
    }
    snprintf(container->id, sizeof container->id, "%s", id);
    container->state = CONTAINER_RUNNING;
    container->started_ns = started_ns;
    container->has_run = true;
    container->killed = false;
    container_wait(container, "", "");
    const struct val *spec = container_spec(container);
    note_resources(container, val_get(spec, "resources"));
    container->started = val_absent(val_get(spec, "startupProbe"));
    container->ready = container->started && val_absent(val_get(spec, "readinessProbe"));
    worker_event(container->worker, container, "Normal", "Started", "Container started");
    if (container->stop_wanted || container->worker->terminating) {
        int64_t left = container->worker->stop_deadline - now(container);
        container_stop(container, left > 0 ? left : 0, NULL);
    } else if (!val_absent(val_get(val_get(spec, "lifecycle"), "postStart"))) {
        container->hook_pending = true;
        container->worker->ops->hook(container, HOOK_POST_START, 0);
    } else {
        container->worker->ops->probes(container, true);
    }
    changed(container);
}

void container_failed(struct container *container, uint32_t attempt, const char *reason,
                      const char *message)
{
    if (attempt != container->attempt || container->state != CONTAINER_STARTING) {
        return;
    }
    worker_event(container->worker, container, "Warning", "Failed", "Error: %s", message);
    if (strcmp(reason, "RunContainerError") == 0) { /* counts as a run that failed */
        int64_t wall = clock_wall(loop_clock(container->worker->loop));
        container->end = (struct container_end){.exit_code = 128, .finished_ns = wall};
        snprintf(container->end.reason, sizeof container->end.reason, "StartError");
        snprintf(container->end.message, sizeof container->end.message, "%s", message);
        snprintf(container->end.id, sizeof container->end.id, "%s", container->id);
        container->has_end = container->has_run = true;
        container->state = CONTAINER_EXITED;
        container_wait(container, reason, message);
    } else {
        container_wait(container, reason, message);
        wait_for(container, CONFIG_RETRY);
    }
    changed(container);
}

void container_ended(struct container *container, const struct container_end *end)
{
    if (!container_live(container)) {
        return;
    }
    timer_stop(&container->timer);
    container->worker->ops->probes(container, false);
    container->attempt++;
    container->state = CONTAINER_EXITED;
    container->end = *end;
    container->has_end = true;
    container->ready = container->started = container->hook_pending = false;
    container->stop_wanted = false;
    container_wait(container, "", "");
    changed(container);
}

void container_hook_done(struct container *container, uint32_t attempt, enum hook_kind kind,
                         const char *failure)
{
    if (attempt != container->attempt || !container->hook_pending) {
        return;
    }
    container->hook_pending = false;
    if (kind == HOOK_POST_START && container->state == CONTAINER_RUNNING) {
        if (failure != NULL) {
            worker_event(container->worker, container, "Warning", "FailedPostStartHook", "%s",
                         failure);
            container_stop(container, 0, "FailedPostStartHook");
        } else {
            container->worker->ops->probes(container, true);
        }
    } else if (kind == HOOK_PRE_STOP && container->state == CONTAINER_STOPPING) {
        if (failure != NULL) {
            worker_event(container->worker, container, "Warning", "FailedPreStopHook", "%s",
                         failure);
        }
        container->worker->ops->signal(container, SIGTERM);
        int64_t left = container->stop_deadline - now(container);
        timer_start(container->worker->loop, &container->timer, left < GRACE_MIN ? GRACE_MIN : left,
                    on_timer);
    }
    changed(container);
}

void container_stop(struct container *container, int64_t grace_ns, const char *why)
{
    if (container->state == CONTAINER_STOPPING) { /* a shorter grace period counts */
        int64_t deadline = now(container) + grace_ns;
        if (deadline < container->stop_deadline) {
            container->stop_deadline = deadline;
            timer_start(container->worker->loop, &container->timer, grace_ns, on_timer);
        }
        return;
    }
    if (container->state == CONTAINER_STARTING) {
        container->stop_wanted = true;
        return;
    }
    if (container->state != CONTAINER_RUNNING) {
        return;
    }
    worker_event(container->worker, container, "Normal", "Killing",
                 why != NULL ? "Container %s %s" : "Stopping container %s", container->name,
                 why != NULL ? why : "");
    container->state = CONTAINER_STOPPING;
    container->attempt++;
    container->stop_deadline = now(container) + grace_ns;
    const struct val *lifecycle = val_get(container_spec(container), "lifecycle");
    if (grace_ns > 0 && !val_absent(val_get(lifecycle, "preStop"))) {
        container->hook_pending = true;
        timer_start(container->worker->loop, &container->timer, grace_ns, on_timer);
        container->worker->ops->hook(container, HOOK_PRE_STOP, grace_ns);
        return;
    }
    if (grace_ns == 0) {
        container->killed = true;
        container->worker->ops->signal(container, SIGKILL);
        timer_start(container->worker->loop, &container->timer, 5 * NS_PER_S, on_timer);
        return;
    }
    container->worker->ops->signal(container, SIGTERM);
    timer_start(container->worker->loop, &container->timer, grace_ns, on_timer);
}

void container_probe_result(struct container *container, enum probe_kind kind, bool ok)
{
    if (container->state != CONTAINER_RUNNING && container->state != CONTAINER_STOPPING) {
        return;
    }
    if (kind == PROBE_READINESS) {
        if (container->ready == (ok && container->started)) {
            return;
        }
        container->ready = ok && container->started;
    } else if (ok && kind == PROBE_STARTUP && !container->started) {
        container->started = true;
        container->ready = val_absent(val_get(container_spec(container), "readinessProbe"));
    } else if (!ok && container->state == CONTAINER_RUNNING) {
        int64_t grace =
            val_int(val_get(container->worker->view->spec, "terminationGracePeriodSeconds"), 30);
        const char *field = kind == PROBE_STARTUP ? "startupProbe" : "livenessProbe";
        const struct val *probe = val_get_str(container_spec(container), str_of(field));
        grace = val_int(val_get(probe, "terminationGracePeriodSeconds"), grace);
        container_stop(container, grace * NS_PER_S,
                       kind == PROBE_STARTUP ? "failed startup probe, will be restarted"
                                             : "failed liveness probe, will be restarted");
    } else {
        return;
    }
    changed(container);
}

void container_restore_running(struct container *container, const char *id, uint32_t restarts,
                               int64_t started_ns, bool started, bool ready)
{
    snprintf(container->id, sizeof container->id, "%s", id);
    container->state = CONTAINER_RUNNING;
    container->restarts = restarts;
    container->started_ns = started_ns;
    container->has_run = true;
    container->started = started;
    container->ready = ready;
    const struct val *known =
        val_find(val_get(container->worker->view->status, "containerStatuses"), "name",
                 str_of(container->name));
    const struct val *has = val_get(known, "resources");
    note_resources(container, has != NULL ? has : val_get(container_spec(container), "resources"));
}

void container_restore_ended(struct container *container, uint32_t restarts,
                             const struct container_end *end)
{
    snprintf(container->id, sizeof container->id, "%s", end->id);
    container->state = CONTAINER_EXITED;
    container->restarts = restarts;
    container->end = *end;
    container->has_end = container->has_run = true;
}
