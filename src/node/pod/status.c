/* status.c: PodStatus from a worker's state, as upstream's kubelet reports it.
 *
 * Transition times of conditions are remembered in the worker, taken over from the object's status
 * when the agent starts again. Conditions of others (readiness gates, DisruptionTarget) are never
 * written: the patch is strategic, by condition type.
 */
#include <stdlib.h>

#include "node/pod/worker_int.h"

enum condition {
    CONDITION_READY_TO_START,
    CONDITION_INITIALIZED,
    CONDITION_CONTAINERS_READY,
    CONDITION_READY,
    CONDITION_SCHEDULED,
    CONDITION_DISRUPTED,
    CONDITION_RESIZE_PENDING,
    CONDITION_RESIZE_IN_PROGRESS,
};
static const char *const condition_names[] = {
    "PodReadyToStartContainers", "Initialized",      "ContainersReady",    "Ready", "PodScheduled",
    "DisruptionTarget",          "PodResizePending", "PodResizeInProgress"};

struct building {
    struct arena *a;
    struct pod_worker *worker;
};

static void set_time(struct building *b, struct val *object, struct str key, int64_t wall_ns)
{
    char text[TIME_TEXT_SIZE];
    size_t n = time_format(wall_ns, text);
    val_set_text(b->a, object, key, str_copy_in(b->a, str_at(text, n)));
}

static void set_copy(struct building *b, struct val *object, struct str key, const char *text)
{
    val_set_text(b->a, object, key, str_copy_in(b->a, str_of(text)));
}

/* ---- phase ---- */

static const char *mains_phase(const struct pod_worker *worker)
{
    bool failed = worker->reason[0] != '\0', all_ended = true, any_run = false;
    for (size_t i = 0; i < worker->main_end; i++) {
        const struct container *c = worker->containers[i];
        if (c->kind == CONTAINER_INIT) {
            failed |= c->state == CONTAINER_EXITED && c->end.exit_code != 0 &&
                      !container_should_restart(c);
            continue;
        }
        any_run |= c->has_run;
        if (c->kind == CONTAINER_MAIN) {
            all_ended &= c->has_end;
            failed |= c->has_end && c->end.exit_code != 0;
        }
    }
    return failed ? "Failed" : all_ended || any_run ? "Succeeded" : "Failed";
}

const char *pod_worker_phase(const struct pod_worker *worker)
{
    struct str known = val_text(val_get(worker->view->status, "phase"));
    if (str_is(known, "Failed")) {
        return "Failed"; /* a phase that is over does not come back */
    }
    if (str_is(known, "Succeeded")) {
        return "Succeeded";
    }
    if (worker->state >= POD_FINISHED) {
        return mains_phase(worker);
    }
    for (size_t i = 0; i < worker->init_count; i++) {
        const struct container *c = worker->containers[i];
        if (!worker_initialized(worker) && c->kind == CONTAINER_INIT && !container_succeeded(c)) {
            return "Pending";
        }
    }
    for (size_t i = worker->init_count; i < worker->main_end; i++) {
        if (!worker->containers[i]->has_run) {
            return "Pending";
        }
    }
    return "Running";
}

/* ---- containers ---- */

static struct val *terminated(struct building *b, const struct container_end *end)
{
    struct val *out = val_new(b->a, VAL_OBJECT);
    val_set_int(b->a, out, STR("exitCode"), end->exit_code);
    set_copy(b, out, STR("reason"),
             end->reason[0] != '\0' ? end->reason : (end->exit_code == 0 ? "Completed" : "Error"));
    if (end->message[0] != '\0') {
        set_copy(b, out, STR("message"), end->message);
    }
    if (end->started_ns > 0) {
        set_time(b, out, STR("startedAt"), end->started_ns);
    }
    if (end->finished_ns > 0) {
        set_time(b, out, STR("finishedAt"), end->finished_ns);
    }
    if (end->id[0] != '\0') {
        val_set_text(b->a, out, STR("containerID"),
                     str_of(arena_printf(b->a, "cox://%s", end->id)));
    }
    return out;
}

static const char *default_reason(const struct container *c)
{
    bool initialized = worker_initialized(c->worker);
    bool waits_for_init =
        c->worker->init_count > 0 && !initialized && c->kind != CONTAINER_EPHEMERAL;
    return waits_for_init && c->state != CONTAINER_STARTING && c->state != CONTAINER_PULLING
               ? "PodInitializing"
               : "ContainerCreating";
}

static struct val *container_state(struct building *b, const struct container *c)
{
    struct val *state = val_new(b->a, VAL_OBJECT);
    if (c->state == CONTAINER_RUNNING || c->state == CONTAINER_STOPPING) {
        struct val *running = val_make_object(b->a, state, STR("running"));
        set_time(b, running, STR("startedAt"), c->started_ns);
    } else if (c->has_end) {
        val_set(state, STR("terminated"), terminated(b, &c->end));
    } else {
        struct val *waiting = val_make_object(b->a, state, STR("waiting"));
        bool own = c->reason != NULL && c->reason[0] != '\0';
        set_copy(b, waiting, STR("reason"), own ? c->reason : default_reason(c));
        if (c->message != NULL && c->message[0] != '\0') {
            set_copy(b, waiting, STR("message"), c->message);
        }
    }
    return state;
}

static struct val *container_status(struct building *b, const struct container *c)
{
    struct val *out = val_new(b->a, VAL_OBJECT);
    const struct val *spec = container_spec(c);
    bool running = c->state == CONTAINER_RUNNING || c->state == CONTAINER_STOPPING;
    set_copy(b, out, STR("name"), c->name);
    val_set(out, STR("state"), container_state(b, c));
    struct val *last = val_make_object(b->a, out, STR("lastState"));
    if (c->has_last) {
        val_set(last, STR("terminated"), terminated(b, &c->last));
    }
    bool done = c->kind == CONTAINER_INIT && container_succeeded(c);
    bool ready = c->kind != CONTAINER_EPHEMERAL && running && c->ready;
    val_set_bool(b->a, out, STR("ready"), done || ready);
    val_set_int(b->a, out, STR("restartCount"), c->restarts);
    val_set_text(b->a, out, STR("image"),
                 c->image[0] != '\0' ? str_copy_in(b->a, str_of(c->image))
                                     : str_copy_in(b->a, val_text(val_get(spec, "image"))));
    set_copy(b, out, STR("imageID"), c->image_id);
    if (c->id[0] != '\0') {
        val_set_text(b->a, out, STR("containerID"), str_of(arena_printf(b->a, "cox://%s", c->id)));
    }
    if (c->kind != CONTAINER_EPHEMERAL) {
        val_set_bool(b->a, out, STR("started"), running && c->started);
    }
    struct val *resources = NULL;
    bool known =
        c->resources != NULL &&
        val_parse_json(b->a, str_copy_in(b->a, str_of(c->resources)), &resources, NULL) == 0;
    if (running && known && !val_absent(val_get(spec, "resources"))) {
        val_set(out, STR("resources"), val_copy(b->a, resources));
        if (!val_absent(val_get(resources, "requests"))) {
            val_set(out, STR("allocatedResources"), val_copy(b->a, val_get(resources, "requests")));
        }
    }
    return out;
}

static void add_statuses(struct building *b, struct val *status, struct str key, size_t from,
                         size_t to)
{
    if (from == to) {
        return;
    }
    struct val *list = val_make_array(b->a, status, key);
    for (size_t i = from; i < to; i++) {
        val_append(list, container_status(b, b->worker->containers[i]));
    }
}

/* ---- conditions ---- */

static void add_name(struct buf *names, const char *name)
{
    buf_printf(names, names->n > 0 ? " %s" : "%s", name);
}

static void add_condition(struct building *b, struct val *list, enum condition which, bool yes,
                          const char *reason, const char *message)
{
    struct pod_worker *worker = b->worker;
    int8_t status = yes ? 1 : -1;
    if (worker->conditions[which].status == 0) { /* what the API says, after a restart */
        const struct val *known = val_find(val_get(worker->view->status, "conditions"), "type",
                                           str_of(condition_names[which]));
        struct str text = val_text(val_get(known, "status"));
        int64_t time;
        if (time_parse(val_text(val_get(known, "lastTransitionTime")), &time)) {
            worker->conditions[which].status = str_is(text, "True") ? 1 : -1;
            worker->conditions[which].changed_ns = time;
        }
    }
    if (worker->conditions[which].status != status) {
        worker->conditions[which].status = status;
        worker->conditions[which].changed_ns = clock_wall(loop_clock(worker->loop));
    }
    struct val *out = val_append(list, val_new(b->a, VAL_OBJECT));
    set_copy(b, out, STR("type"), condition_names[which]);
    int64_t generation = val_int(val_get(worker->view->meta, "generation"), 0);
    if (generation > 0) {
        val_set_int(b->a, out, STR("observedGeneration"), generation);
    }
    set_copy(b, out, STR("status"), yes ? "True" : "False");
    val_set(out, STR("lastProbeTime"), val_new(b->a, VAL_NULL));
    set_time(b, out, STR("lastTransitionTime"), worker->conditions[which].changed_ns);
    if (!yes && reason != NULL) {
        set_copy(b, out, STR("reason"), reason);
        if (message != NULL && message[0] != '\0') {
            set_copy(b, out, STR("message"), message);
        }
    } else { /* a strategic merge keeps what is not named */
        val_set(out, STR("reason"), val_new(b->a, VAL_NULL));
        val_set(out, STR("message"), val_new(b->a, VAL_NULL));
    }
}

/* A resize that waits, or is under way; gone when there is none. */
static void add_resize(struct building *b, struct val *list)
{
    static const char *const types[] = {"PodResizePending", "PodResizeInProgress"};
    struct pod_worker *worker = b->worker;
    bool error = strcmp(worker->resize_reason, "Error") == 0;
    const struct val *told = val_get(worker->view->status, "conditions");
    for (int i = 0; i < 2; i++) {
        bool on = worker->resize_reason[0] != '\0' && error == (i == 1);
        if (on) {
            add_condition(b, list, i == 0 ? CONDITION_RESIZE_PENDING : CONDITION_RESIZE_IN_PROGRESS,
                          true, NULL, NULL);
            struct val *out = val_at(list, (uint32_t)val_count(list) - 1);
            set_copy(b, out, STR("reason"), worker->resize_reason);
            set_copy(b, out, STR("message"), worker->resize_message);
        } else if (val_find(told, "type", str_of(types[i])) != NULL) {
            struct val *out = val_append(list, val_new(b->a, VAL_OBJECT));
            set_copy(b, out, STR("$patch"), "delete");
            set_copy(b, out, STR("type"), types[i]);
        }
    }
}

static bool all_ready(const struct pod_worker *worker, struct buf *unready)
{
    for (size_t i = 0; i < worker->main_end; i++) {
        const struct container *c = worker->containers[i];
        bool running = c->state == CONTAINER_RUNNING || c->state == CONTAINER_STOPPING;
        if (c->kind != CONTAINER_INIT && !(running && c->ready)) {
            add_name(unready, c->name);
        }
    }
    return unready->n == 0;
}

static bool gates_open(struct building *b, char **ret_message)
{
    const struct val *conditions = val_get(b->worker->view->status, "conditions");
    VAL_EACH (gate, val_get(b->worker->view->spec, "readinessGates")) {
        struct str type = val_text(val_get(gate, "conditionType"));
        const struct val *condition = val_find(conditions, "type", type);
        if (!str_is(val_text(val_get(condition, "status")), "True")) {
            *ret_message =
                arena_printf(b->a,
                             condition == NULL
                                 ? "corresponding condition of pod readiness gate \"%.*s\" does "
                                   "not exist."
                                 : "the status of pod readiness gate \"%.*s\" is not \"True\", but "
                                   "False",
                             STR_ARG(type));
            return false;
        }
    }
    return true;
}

static void add_conditions(struct building *b, struct val *status, const char *phase)
{
    struct pod_worker *worker = b->worker;
    struct val *list = val_make_array(b->a, status, STR("conditions"));
    struct buf unready BUF_CLEANUP = BUF_INIT, pending BUF_CLEANUP = BUF_INIT;
    bool succeeded = strcmp(phase, "Succeeded") == 0, failed = strcmp(phase, "Failed") == 0;
    bool initialized = worker_initialized(worker) || succeeded;
    for (size_t i = 0; i < worker->init_count && !initialized; i++) {
        if (!container_succeeded(worker->containers[i])) {
            add_name(&pending, worker->containers[i]->name);
        }
    }
    bool ready = all_ready(worker, &unready) && initialized && !succeeded && !failed;
    const char *over = succeeded ? "PodCompleted" : failed ? "PodFailed" : NULL;
    const char *why = over != NULL ? over : "ContainersNotReady";
    char *message = over != NULL ? NULL
                                 : arena_printf(b->a, "containers with unready status: [%.*s]",
                                                STR_ARG(buf_view(&unready)));
    add_condition(b, list, CONDITION_READY_TO_START,
                  worker->network_ready && worker->state < POD_FINISHED, NULL, NULL);
    add_condition(b, list, CONDITION_INITIALIZED, initialized, "ContainersNotInitialized",
                  arena_printf(b->a, "containers with incomplete status: [%.*s]",
                               STR_ARG(buf_view(&pending))));
    char *gate = NULL;
    bool open = gates_open(b, &gate);
    add_condition(b, list, CONDITION_READY, ready && open, !ready ? why : "ReadinessGatesNotReady",
                  !ready ? message : gate);
    add_condition(b, list, CONDITION_CONTAINERS_READY, ready, why, message);
    add_condition(b, list, CONDITION_SCHEDULED, true, NULL, NULL);
    add_resize(b, list);
    if (strcmp(worker->reason, "Evicted") == 0) {
        add_condition(b, list, CONDITION_DISRUPTED, true, NULL, NULL);
        struct val *disrupted = val_at(list, (uint32_t)val_count(list) - 1);
        set_copy(b, disrupted, STR("reason"), "TerminationByKubelet");
        set_copy(b, disrupted, STR("message"), worker->message);
    }
}

static void set_addresses(struct building *b, struct val *status)
{
    struct pod_worker *worker = b->worker;
    if (worker->host_ip.n > 0) {
        val_set_text(b->a, status, STR("hostIP"), worker->host_ip);
        struct val *ips = val_make_array(b->a, status, STR("hostIPs"));
        val_set_text(b->a, val_append(ips, val_new(b->a, VAL_OBJECT)), STR("ip"), worker->host_ip);
    }
    if (worker->ip[0] != '\0') {
        set_copy(b, status, STR("podIP"), worker->ip);
        struct val *ips = val_make_array(b->a, status, STR("podIPs"));
        set_copy(b, val_append(ips, val_new(b->a, VAL_OBJECT)), STR("ip"), worker->ip);
    }
}

struct val *pod_status_build(struct pod_worker *worker, struct arena *arena)
{
    struct building b = {.a = arena, .worker = worker};
    struct val *status = val_new(arena, VAL_OBJECT);
    const char *phase = pod_worker_phase(worker);
    int64_t generation = val_int(val_get(worker->view->meta, "generation"), 0);
    if (generation > 0) {
        val_set_int(arena, status, STR("observedGeneration"), generation);
    }
    set_copy(&b, status, STR("phase"), phase);
    if (worker->reason[0] != '\0') {
        set_copy(&b, status, STR("reason"), worker->reason);
        set_copy(&b, status, STR("message"), worker->message);
    }
    add_conditions(&b, status, phase);
    set_addresses(&b, status);
    set_time(&b, status, STR("startTime"), worker->start_ns);
    add_statuses(&b, status, STR("initContainerStatuses"), 0, worker->init_count);
    add_statuses(&b, status, STR("containerStatuses"), worker->init_count, worker->main_end);
    add_statuses(&b, status, STR("ephemeralContainerStatuses"), worker->main_end,
                 worker->container_count);
    set_copy(&b, status, STR("qosClass"), pod_qos_name(pod_qos(worker->view->spec)));
    return status;
}
