/* pod_columns.c: the table row of a Pod: READY, STATUS, RESTARTS as kubectl's users know them.
 *
 * STATUS is not the phase: it is the most telling reason of the init containers, then of the
 * containers, then of the pod, in the order that the API's printer documents.
 */
#include "api/kinds/cells.h"
#include "api/kinds/pod/pod_parts.h"
#include "base/clock.h"

struct summary {
    struct api_context *ctx;
    struct str reason;
    int64_t restarts, sidecar_restarts;
    int64_t last, sidecar_last; /* wall ns of the latest finish; 0: none */
    int ready, total;
    bool initializing;
};

static void note_finish(const struct val *status, int64_t *last)
{
    int64_t at;
    const struct val *time = val_path(status, "lastState.terminated.finishedAt");
    if (time_parse(val_text(time), &at) && at > *last) {
        *last = at;
    }
}

static struct str exit_reason(struct summary *s, const char *prefix, const struct val *terminated)
{
    int64_t signal = val_int(val_get(terminated, "signal"), 0);
    return str_of(signal != 0
                      ? arena_printf(s->ctx->arena, "%sSignal:%lld", prefix, (long long)signal)
                      : arena_printf(s->ctx->arena, "%sExitCode:%lld", prefix,
                                     (long long)val_int(val_get(terminated, "exitCode"), 0)));
}

static struct str init_reason(struct summary *s, const struct val *status, uint32_t index,
                              uint32_t count)
{
    const struct val *terminated = val_path(status, "state.terminated");
    struct str why = val_text(val_get(terminated, "reason"));
    struct str waits = val_text(val_path(status, "state.waiting.reason"));
    if (!val_absent(terminated)) {
        return why.n == 0 ? exit_reason(s, "Init:", terminated)
                          : str_of(arena_printf(s->ctx->arena, "Init:%.*s", STR_ARG(why)));
    }
    if (waits.n > 0 && !str_is(waits, "PodInitializing")) {
        return str_of(arena_printf(s->ctx->arena, "Init:%.*s", STR_ARG(waits)));
    }
    return str_of(arena_printf(s->ctx->arena, "Init:%u/%u", index, count));
}

static void init_containers(struct summary *s, const struct val *pod)
{
    const struct val *specs = val_path(pod, "spec.initContainers");
    VAL_EACH (spec, specs) {
        s->total += container_is_sidecar(spec);
    }
    uint32_t i = 0;
    VAL_EACH (status, val_path(pod, "status.initContainerStatuses")) {
        const struct val *spec = val_find(specs, "name", val_text(val_get(status, "name")));
        bool sidecar = container_is_sidecar(spec);
        int64_t restarts = val_int(val_get(status, "restartCount"), 0);
        s->restarts += restarts;
        note_finish(status, &s->last);
        if (sidecar) {
            s->sidecar_restarts += restarts;
            note_finish(status, &s->sidecar_last);
        }
        const struct val *terminated = val_path(status, "state.terminated");
        bool done = !val_absent(terminated) && val_int(val_get(terminated, "exitCode"), 0) == 0;
        if (!done && sidecar && val_bool(val_get(status, "started"), false)) {
            s->ready += val_bool(val_get(status, "ready"), false);
            done = true;
        }
        if (!done) {
            s->reason = init_reason(s, status, i, val_count(specs));
            s->initializing = true;
            return;
        }
        i++;
    }
}

/* Walks the containers from the last to the first, so that the first one's reason wins. */
static bool main_containers(struct summary *s, const struct val *pod)
{
    bool running = false;
    const struct val *statuses = val_path(pod, "status.containerStatuses");
    for (uint32_t i = val_count(statuses); i > 0; i--) {
        const struct val *status = val_at(statuses, i - 1);
        const struct val *terminated = val_path(status, "state.terminated");
        struct str waits = val_text(val_path(status, "state.waiting.reason"));
        struct str ended = val_text(val_get(terminated, "reason"));
        s->restarts += val_int(val_get(status, "restartCount"), 0);
        note_finish(status, &s->last);
        if (waits.n > 0) {
            s->reason = waits;
        } else if (ended.n > 0) {
            s->reason = ended;
        } else if (!val_absent(terminated)) {
            s->reason = exit_reason(s, "", terminated);
        } else if (val_bool(val_get(status, "ready"), false) &&
                   !val_absent(val_path(status, "state.running"))) {
            running = true;
            s->ready++;
        }
    }
    return running;
}

static void summarize(struct summary *s, const struct val *pod)
{
    const struct val *status = val_get(pod, "status");
    struct str why = val_text(val_get(status, "reason"));
    s->total = (int)val_count(val_path(pod, "spec.containers"));
    s->reason = why.n > 0 ? why : val_text(val_get(status, "phase"));
    const struct val *scheduled = pod_condition(pod, "PodScheduled");
    if (str_is(val_text(val_get(scheduled, "reason")), "SchedulingGated")) {
        s->reason = STR("SchedulingGated");
    }
    init_containers(s, pod);
    if (!s->initializing || pod_condition_is_true(pod, "Initialized")) {
        s->restarts = s->sidecar_restarts;
        s->last = s->sidecar_last;
        bool running = main_containers(s, pod);
        if (str_is(s->reason, "Completed") && running) {
            s->reason = pod_condition_is_true(pod, "Ready") ? STR("Running") : STR("NotReady");
        }
    }
    if (val_absent(val_path(pod, "metadata.deletionTimestamp"))) {
        return;
    }
    if (str_is(why, "NodeLost")) {
        s->reason = STR("Unknown");
    } else if (!pod_is_finished(pod)) {
        s->reason = STR("Terminating");
    }
}

static void restarts_cell(struct summary *s, struct val *cells)
{
    if (s->restarts == 0 || s->last == 0) {
        cell_format(s->ctx, cells, "%lld", (long long)s->restarts);
        return;
    }
    char age[TIME_TEXT_SIZE];
    duration_format_age(s->ctx->now_wall_ns - s->last, age);
    cell_format(s->ctx, cells, "%lld (%s ago)", (long long)s->restarts, age);
}

static void gates_cell(struct api_context *ctx, const struct val *pod, struct val *cells)
{
    const struct val *gates = val_path(pod, "spec.readinessGates");
    int met = 0;
    VAL_EACH (gate, gates) {
        const struct val *condition = val_find(val_path(pod, "status.conditions"), "type",
                                               val_text(val_get(gate, "conditionType")));
        met += str_is(val_text(val_get(condition, "status")), "True");
    }
    if (val_count(gates) == 0) {
        cell_text(ctx, cells, STR("<none>"));
    } else {
        cell_format(ctx, cells, "%d/%u", met, val_count(gates));
    }
}

void pod_columns(struct api_context *ctx, const struct val *pod, struct val *cells)
{
    struct summary s = {.ctx = ctx};
    summarize(&s, pod);
    cell_text(ctx, cells, val_name(pod));
    cell_format(ctx, cells, "%d/%d", s.ready, s.total);
    cell_text(ctx, cells, s.reason);
    restarts_cell(&s, cells);
    cell_age(ctx, cells, pod);
    const struct val *ip = val_get(val_at(val_path(pod, "status.podIPs"), 0), "ip");
    cell_or_none(ctx, cells, val_text(ip));
    cell_or_none(ctx, cells, val_text(val_path(pod, "spec.nodeName")));
    cell_or_none(ctx, cells, val_text(val_path(pod, "status.nominatedNodeName")));
    gates_cell(ctx, pod, cells);
}
