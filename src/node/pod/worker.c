/* worker.c: the pod as a whole: prepare, run init containers in order, then the others, restart by
 * policy, end in grace, tear down. pod_worker_step() is the only place that decides.
 */
#include "node/pod/worker.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/pod/worker_int.h"

static const int64_t PREPARE_RETRY_MAX = 60 * NS_PER_S;

void worker_event(struct pod_worker *worker, struct container *container, const char *type,
                  const char *reason, const char *format, ...)
{
    char message[1200];
    va_list ap;
    va_start(ap, format);
    vsnprintf(message, sizeof message, format, ap);
    va_end(ap);
    worker->ops->event(worker, container, type, reason, message);
}

static void add_container(struct pod_worker *worker, struct str name, enum container_kind kind)
{
    struct container *container = mem_new(struct container);
    container_init(container, worker, name, kind);
    worker->containers =
        mem_realloc(worker->containers, (worker->container_count + 1) * sizeof *worker->containers);
    worker->containers[worker->container_count++] = container;
}

static void add_containers(struct pod_worker *worker, const char *list, enum container_kind kind)
{
    VAL_EACH (it, val_get_str(worker->view->spec, str_of(list))) {
        bool sidecar =
            kind == CONTAINER_INIT && str_is(val_text(val_get(it, "restartPolicy")), "Always");
        add_container(worker, val_text(val_get(it, "name")), sidecar ? CONTAINER_SIDECAR : kind);
    }
}

/* Ephemeral containers come with newer versions of the object; none ever goes. */
static void add_ephemeral(struct pod_worker *worker)
{
    VAL_EACH (it, val_get(worker->view->spec, "ephemeralContainers")) {
        struct str name = val_text(val_get(it, "name"));
        if (pod_worker_container(worker, name) == NULL) {
            add_container(worker, name, CONTAINER_EPHEMERAL);
        }
    }
}

struct pod_worker *pod_worker_new(struct loop *loop, const struct pod_ops *ops,
                                  struct pod_view *view)
{
    struct pod_worker *worker = mem_new(struct pod_worker);
    worker->loop = loop;
    worker->ops = ops;
    worker->view = pod_view_ref(view);
    add_containers(worker, "initContainers", CONTAINER_INIT);
    worker->init_count = worker->container_count;
    add_containers(worker, "containers", CONTAINER_MAIN);
    worker->main_end = worker->container_count;
    add_ephemeral(worker);
    int64_t start;
    worker->start_ns = time_parse(val_text(val_get(view->status, "startTime")), &start)
                           ? start
                           : clock_wall(loop_clock(loop));
    return worker;
}

void pod_worker_free(struct pod_worker *worker)
{
    if (worker == NULL) {
        return;
    }
    timer_stop(&worker->timer);
    timer_stop(&worker->deadline_timer);
    timer_stop(&worker->stop_timer);
    for (size_t i = 0; i < worker->container_count; i++) {
        container_done(worker->containers[i]);
        free(worker->containers[i]);
    }
    free(worker->containers);
    pod_view_unref(worker->view);
    free(worker);
}

struct container *pod_worker_container(struct pod_worker *worker, struct str name)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        if (str_is(name, worker->containers[i]->name)) {
            return worker->containers[i];
        }
    }
    return NULL;
}

/* ---- the object ---- */

static void on_deadline(struct timer *timer)
{
    struct pod_worker *worker = container_of(timer, struct pod_worker, deadline_timer);
    pod_worker_evict(worker, "DeadlineExceeded",
                     "Pod was active on the node longer than the specified deadline", -1);
}

static void watch_deadline(struct pod_worker *worker)
{
    const struct val *seconds = val_get(worker->view->spec, "activeDeadlineSeconds");
    if (!val_absent(seconds) && !worker->terminating) {
        int64_t elapsed = clock_wall(loop_clock(worker->loop)) - worker->start_ns;
        int64_t left = val_int(seconds, 0) * NS_PER_S - elapsed;
        timer_start(worker->loop, &worker->deadline_timer, left > 0 ? left : 0, on_deadline);
    }
}

static void begin_termination(struct pod_worker *worker, int64_t grace_ns)
{
    int64_t deadline = loop_mono(worker->loop) + grace_ns;
    if (worker->terminating && worker->stop_deadline <= deadline) {
        return;
    }
    worker->terminating = true;
    worker->stop_deadline = deadline;
    timer_stop(&worker->deadline_timer);
    timer_stop(&worker->timer);
}

/* deletionTimestamp and its grace period, or the object's disappearance (1 s). */
static void read_deletion(struct pod_worker *worker)
{
    const struct val *meta = worker->view->meta;
    if (worker->object_gone) {
        worker->deleting = true;
        begin_termination(worker, NS_PER_S);
    } else if (!val_absent(val_get(meta, "deletionTimestamp"))) {
        worker->deleting = true;
        int64_t seconds = val_int(val_get(meta, "deletionGracePeriodSeconds"), 30);
        begin_termination(worker, (seconds > 0 ? seconds : 1) * NS_PER_S);
    }
}

void pod_worker_start(struct pod_worker *worker)
{
    struct str phase = val_text(val_get(worker->view->status, "phase"));
    bool over = str_is(phase, "Succeeded") || str_is(phase, "Failed");
    for (size_t i = 0; i < worker->container_count; i++) {
        over &= !container_live(worker->containers[i]);
    }
    if (over) {
        worker->state = POD_FINISHED;
    }
    watch_deadline(worker);
    read_deletion(worker);
    pod_worker_step(worker);
}

void pod_worker_update(struct pod_worker *worker, struct pod_view *view)
{
    if (view == NULL) {
        worker->object_gone = true;
    } else {
        pod_view_unref(worker->view);
        worker->view = pod_view_ref(view);
        add_ephemeral(worker);
        watch_deadline(worker);
        if (worker->ops->resize != NULL) {
            worker->ops->resize(worker);
        }
    }
    read_deletion(worker);
    pod_worker_step(worker);
}

void pod_worker_evict(struct pod_worker *worker, const char *reason, const char *message,
                      int64_t grace_seconds)
{
    if (worker->terminating || worker->state >= POD_FINISHED) {
        return;
    }
    snprintf(worker->reason, sizeof worker->reason, "%s", reason);
    snprintf(worker->message, sizeof worker->message, "%s", message);
    bool evicted = strcmp(reason, "Evicted") == 0;
    worker_event(worker, NULL, evicted ? "Warning" : "Normal", reason, "%s", message);
    int64_t seconds = val_int(val_get(worker->view->spec, "terminationGracePeriodSeconds"), 30);
    seconds = grace_seconds >= 0 && grace_seconds < seconds ? grace_seconds : seconds;
    begin_termination(worker, seconds * NS_PER_S);
    pod_worker_step(worker);
}

void pod_worker_reject(struct pod_worker *worker, const char *reason, const char *message)
{
    snprintf(worker->reason, sizeof worker->reason, "%s", reason);
    snprintf(worker->message, sizeof worker->message, "Pod was rejected: %s", message);
    worker_event(worker, NULL, "Warning", reason, "%s", message);
    worker->state = POD_FINISHED;
    worker->ops->changed(worker);
}

/* ---- preparing ---- */

static void on_prepare_again(struct timer *timer)
{
    struct pod_worker *worker = container_of(timer, struct pod_worker, timer);
    if (worker->state == POD_NEW || worker->state == POD_FINISHED) {
        pod_worker_step(worker);
    }
}

void pod_worker_prepared(struct pod_worker *worker, const char *ip, const struct err *err)
{
    if (worker->state != POD_PREPARING) {
        return;
    }
    if (err != NULL && err->code != 0) {
        worker->state = POD_NEW;
        int64_t delay = worker->prepare_backoff_ns == 0 ? NS_PER_S / 2 : worker->prepare_backoff_ns;
        worker->prepare_backoff_ns = delay * 2 > PREPARE_RETRY_MAX ? PREPARE_RETRY_MAX : delay * 2;
        timer_start(worker->loop, &worker->timer, delay, on_prepare_again);
    } else {
        worker->state = POD_RUNNING;
        worker->network_ready = true;
        worker->prepare_backoff_ns = 0;
        snprintf(worker->ip, sizeof worker->ip, "%s", ip);
    }
    worker->ops->changed(worker);
    pod_worker_step(worker);
}

void pod_worker_torn_down(struct pod_worker *worker, const struct err *err)
{
    if (worker->state != POD_TEARDOWN) {
        return;
    }
    if (err != NULL && err->code != 0) { /* again later; the object stays until it worked */
        worker->state = POD_FINISHED;
        timer_start(worker->loop, &worker->timer, 5 * NS_PER_S, on_prepare_again);
        return;
    }
    worker->state = POD_GONE;
    worker->ops->finalize(worker);
}

/* ---- deciding ---- */

bool worker_initialized(const struct pod_worker *worker)
{
    for (size_t i = worker->init_count; i < worker->main_end; i++) {
        if (worker->containers[i]->has_run) { /* also when an init container's record is lost */
            return true;
        }
    }
    for (size_t i = 0; i < worker->init_count; i++) {
        const struct container *c = worker->containers[i];
        if (c->kind == CONTAINER_SIDECAR ? !c->started && !c->has_run : !container_succeeded(c)) {
            return false;
        }
    }
    return true;
}

static bool over(const struct container *container)
{
    return container->state == CONTAINER_EXITED && !container_should_restart(container);
}

bool worker_mains_over(const struct pod_worker *worker)
{
    for (size_t i = 0; i < worker->init_count; i++) { /* an init container that failed for good */
        const struct container *c = worker->containers[i];
        if (c->kind == CONTAINER_INIT && over(c) && c->end.exit_code != 0) {
            return true;
        }
    }
    for (size_t i = worker->init_count; i < worker->main_end; i++) {
        if (!over(worker->containers[i])) {
            return false;
        }
    }
    return true;
}

/* Helpers (sidecars, ephemeral containers) do not keep a pod from being over. */
static bool any_live(const struct pod_worker *worker, bool helpers, bool others)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        const struct container *c = worker->containers[i];
        bool helper = c->kind == CONTAINER_SIDECAR || c->kind == CONTAINER_EPHEMERAL;
        bool counts = helper ? helpers : others;
        if (counts && container_live(c)) {
            return true;
        }
    }
    return false;
}

/* Runs a container that should: begins it, or another attempt of it. */
static void keep_running(struct container *container)
{
    if (container->state == CONTAINER_EXITED) {
        container_restart(container);
        container->worker->ops->changed(container->worker);
    }
    if (container->state == CONTAINER_WAITING) {
        container_begin(container);
    }
}

/* Whether the next may begin. */
static bool step_init(struct container *container)
{
    if (container->kind == CONTAINER_SIDECAR) {
        keep_running(container);
        return container->started;
    }
    if (container_succeeded(container)) {
        return true;
    }
    if (container->state != CONTAINER_EXITED || container_should_restart(container)) {
        keep_running(container);
    }
    return false;
}

static void step_containers(struct pod_worker *worker)
{
    for (size_t i = worker->main_end; i < worker->container_count; i++) {
        if (worker->containers[i]->state == CONTAINER_WAITING) {
            keep_running(worker->containers[i]);
        }
    }
    bool was_initialized = worker_initialized(worker);
    for (size_t i = 0; i < worker->init_count; i++) {
        struct container *c = worker->containers[i];
        if (was_initialized && c->kind == CONTAINER_INIT) {
            continue;
        }
        if (!step_init(c) && !was_initialized) {
            return;
        }
    }
    for (size_t i = worker->init_count; i < worker->main_end; i++) {
        struct container *c = worker->containers[i];
        if (c->state == CONTAINER_WAITING ||
            (c->state == CONTAINER_EXITED && container_should_restart(c))) {
            keep_running(c);
        }
    }
}

static void stop_helpers(struct pod_worker *worker, int64_t grace_ns)
{
    for (size_t i = worker->main_end; i < worker->container_count; i++) {
        container_stop(worker->containers[i], grace_ns, NULL);
    }
    for (size_t i = worker->init_count; i > 0; i--) { /* in reverse order, one after the other */
        struct container *c = worker->containers[i - 1];
        if (c->kind == CONTAINER_SIDECAR && container_live(c)) {
            container_stop(c, grace_ns, NULL);
            return;
        }
    }
}

/* Nothing runs any more and nothing will. */
static void finish(struct pod_worker *worker)
{
    for (size_t i = 0; i < worker->container_count; i++) {
        timer_stop(&worker->containers[i]->timer);
    }
    bool first = worker->state != POD_FINISHED;
    if (worker->deleting) {
        worker->ops->changed(worker);
        worker->state = POD_TEARDOWN;
        worker->ops->teardown(worker);
    } else {
        worker->state = POD_FINISHED;
        if (first) {
            worker->ops->settle(worker);
        }
        worker->ops->changed(worker);
    }
}

static void on_stop_again(struct timer *timer)
{
    pod_worker_step(container_of(timer, struct pod_worker, stop_timer));
}

static void step_terminating(struct pod_worker *worker)
{
    int64_t left = worker->stop_deadline - loop_mono(worker->loop);
    left = left > 0 ? left : 0;
    for (size_t i = 0; i < worker->container_count; i++) {
        struct container *c = worker->containers[i];
        if (c->state == CONTAINER_BACKOFF || c->state == CONTAINER_PULLING) {
            timer_stop(&c->timer);
            c->attempt++;
            c->state = c->has_end ? CONTAINER_EXITED : CONTAINER_WAITING;
        }
        if (c->kind != CONTAINER_SIDECAR && container_live(c)) {
            container_stop(c, left, NULL);
        }
    }
    if (any_live(worker, false, true)) {
        return;
    }
    if (any_live(worker, true, false)) {
        stop_helpers(worker, left > 0 ? left : 2 * NS_PER_S);
        return;
    }
    if (worker->state == POD_PREPARING) { /* its answer comes first */
        timer_start(worker->loop, &worker->stop_timer, NS_PER_S / 5, on_stop_again);
        return;
    }
    finish(worker);
}

static void decide(struct pod_worker *worker)
{
    if (worker->state == POD_TEARDOWN || worker->state == POD_GONE) {
        return;
    }
    if (worker->terminating) {
        if (worker->state != POD_FINISHED || worker->deleting) {
            step_terminating(worker);
        }
        return;
    }
    if (worker->state == POD_NEW && !timer_armed(&worker->timer)) {
        worker->state = POD_PREPARING;
        worker->ops->prepare(worker);
        return;
    }
    if (worker->state != POD_RUNNING) {
        return;
    }
    if (!worker_mains_over(worker)) {
        step_containers(worker);
    } else if (any_live(worker, true, false)) {
        int64_t seconds = val_int(val_get(worker->view->spec, "terminationGracePeriodSeconds"), 30);
        stop_helpers(worker, seconds * NS_PER_S);
    } else if (!any_live(worker, true, true)) {
        finish(worker);
    }
}

void pod_worker_step(struct pod_worker *worker)
{
    if (worker->stepping) { /* an operation answered at once: look again after this look */
        worker->step_again = true;
        return;
    }
    worker->stepping = true;
    do {
        worker->step_again = false;
        decide(worker);
    } while (worker->step_again && worker->state != POD_GONE);
    worker->stepping = false;
}
