/* prober.c: startup, liveness and readiness probes of running containers, and lifecycle hooks.
 *
 * A probe runs at once when its container has started (after initialDelaySeconds), then each
 * period. Liveness and readiness wait for the startup probe. Results count by thresholds; only a
 * change of verdict (or a failed liveness) reaches the worker.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "node/agent_int.h"
#include "node/probe/action.h"
#include "node/serve/streams.h"

static const char *const fields[] = {"startupProbe", "livenessProbe", "readinessProbe"};
static const char *const titles[] = {"Startup", "Liveness", "Readiness"};

struct prober {
    struct run *run;
    enum probe_kind kind;
    struct timer timer;
    struct action *action;
    int64_t began_ns; /* mono */
    int64_t due_ns;   /* mono: of the next probe that counts */
    int64_t eager_ns; /* the next extra try comes after this; 0: no more */
    bool extra;       /* what runs now is an extra try */
    int successes, failures;
    uint64_t totals[2]; /* failed, successful: for /metrics/probes */
};

static const struct val *probe_spec(const struct prober *prober)
{
    return val_get_str(container_spec(prober->run->container), str_of(fields[prober->kind]));
}

static int64_t seconds(const struct val *spec, const char *field, int64_t otherwise)
{
    int64_t value = val_int(val_get_str(spec, str_of(field)), otherwise);
    return value > 0 ? value : otherwise;
}

static void prober_free(struct prober *prober)
{
    if (prober != NULL) {
        timer_stop(&prober->timer);
        action_free(prober->action);
        free(prober);
    }
}

static void on_due(struct timer *timer);

static bool may_try_early(const struct prober *prober, const struct val *spec)
{
    return prober->kind == PROBE_READINESS && prober->eager_ns > 0 &&
           !prober->run->container->ready && val_absent(val_get(spec, "exec"));
}

static void next(struct prober *prober)
{
    const struct val *spec = probe_spec(prober);
    struct loop *loop = prober->run->entry->agent->loop;
    int64_t now = loop_mono(loop);
    if (!prober->extra) {
        prober->due_ns = now + seconds(spec, "periodSeconds", 10) * NS_PER_S;
    }
    int64_t wait = prober->due_ns > now ? prober->due_ns - now : 0;
    prober->extra = may_try_early(prober, spec) && prober->eager_ns < wait;
    if (prober->extra) {
        wait = prober->eager_ns;
        prober->eager_ns *= 2;
    }
    timer_start(loop, &prober->timer, wait, on_due);
}

static void report(struct prober *prober, bool ok, struct str output)
{
    struct container *container = prober->run->container;
    const struct val *spec = probe_spec(prober);
    prober->totals[ok]++;
    prober->successes = ok ? prober->successes + 1 : 0;
    prober->failures = ok ? 0 : prober->failures + 1;
    if (!ok) {
        char message[1200];
        snprintf(message, sizeof message, "%s probe failed: %.*s", titles[prober->kind],
                 (int)(output.n > 1000 ? 1000 : output.n), output.n > 0 ? output.p : "");
        entry_event(container->worker, container, "Warning", "Unhealthy", message);
    }
    bool verdict = ok ? prober->successes >= seconds(spec, "successThreshold", 1)
                      : prober->failures >= seconds(spec, "failureThreshold", 3);
    if (verdict) {
        container_probe_result(container, prober->kind, ok);
    }
}

static void on_result(void *ctx, bool ok, struct str output)
{
    struct prober *prober = ctx;
    struct run *run = prober->run;
    enum probe_kind kind = prober->kind;
    struct action *action = prober->action;
    bool counts = ok || !prober->extra;
    prober->action = NULL;
    if (ok && kind == PROBE_READINESS) {
        prober->eager_ns = 0;
    }
    next(prober);
    if (counts) {
        report(prober, ok, output); /* may end the prober */
    }
    action_free(action);
    prober = run->probers[kind];
    if (prober != NULL && kind == PROBE_STARTUP && run->container->started) {
        prober_free(prober); /* it has done its work */
        run->probers[kind] = NULL;
    }
}

static void on_due(struct timer *timer)
{
    struct prober *prober = container_of(timer, struct prober, timer);
    const struct val *spec = probe_spec(prober);
    struct run *run = prober->run;
    int64_t delay = val_int(val_get(spec, "initialDelaySeconds"), 0) * NS_PER_S;
    int64_t left = prober->began_ns + delay - loop_mono(run->entry->agent->loop);
    if (spec == NULL) {
        return;
    }
    if (left > 0) {
        timer_start(run->entry->agent->loop, &prober->timer, left, on_due);
    } else if (prober->kind != PROBE_STARTUP && !run->container->started) {
        timer_start(run->entry->agent->loop, &prober->timer, NS_PER_S / 10, on_due);
    } else {
        prober->action = action_start(run, spec, seconds(spec, "timeoutSeconds", 1) * NS_PER_S,
                                      on_result, prober);
    }
}

void entry_probes(struct container *container, bool on)
{
    struct run *run = container->user;
    for (int kind = PROBE_STARTUP; run != NULL && kind <= PROBE_READINESS; kind++) {
        prober_free(run->probers[kind]);
        run->probers[kind] = NULL;
        bool wanted = on && !(kind == PROBE_STARTUP && container->started);
        if (!wanted || val_absent(val_get_str(container_spec(container), str_of(fields[kind])))) {
            continue;
        }
        struct prober *prober = mem_new(struct prober);
        prober->run = run;
        prober->kind = (enum probe_kind)kind;
        prober->began_ns = loop_mono(run->entry->agent->loop);
        prober->eager_ns = 50 * NS_PER_MS;
        run->probers[kind] = prober;
        timer_start(run->entry->agent->loop, &prober->timer, 0, on_due);
    }
}

static void write_totals(const struct pod_entry *entry, const struct container *container,
                         struct buf *out)
{
    static const char *const results[] = {"failed", "successful"};
    const struct run *run = container->user;
    for (int kind = PROBE_STARTUP; run != NULL && kind <= PROBE_READINESS; kind++) {
        for (int ok = 0; run->probers[kind] != NULL && ok < 2; ok++) {
            buf_printf(out,
                       "prober_probe_total{container=\"%s\",namespace=\"%s\",pod=\"%s\",pod_uid="
                       "\"%s\",probe_type=\"%s\",result=\"%s\"} %llu\n",
                       container->name, entry->ns, entry->name, entry->uid, titles[kind],
                       results[ok], (unsigned long long)run->probers[kind]->totals[ok]);
        }
    }
}

void serve_metrics_probes(struct serve_request *request)
{
    struct buf out BUF_CLEANUP = BUF_INIT;
    buf_addz(&out,
             "# HELP prober_probe_total Cumulative number of a liveness, readiness or startup "
             "probe for a container by result.\n# TYPE prober_probe_total counter\n");
    MAP_EACH (it, &request->agent->pod_entries) {
        const struct pod_entry *entry = it->value;
        for (size_t i = 0; i < entry->worker->container_count; i++) {
            write_totals(entry, entry->worker->containers[i], &out);
        }
    }
    serve_text(request->exchange, 200, "text/plain; version=0.0.4", buf_view(&out));
}

/* ---- hooks ---- */

struct hook {
    struct pod_entry *entry;
    struct container *container;
    uint32_t attempt;
    enum hook_kind kind;
    struct action *action;
};

static void on_hook(void *ctx, bool ok, struct str output)
{
    struct hook *hook = ctx;
    struct pod_entry *entry = hook->entry;
    char message[700];
    snprintf(message, sizeof message, "%s hook failed: %.*s",
             hook->kind == HOOK_PRE_STOP ? "PreStop" : "PostStart",
             (int)(output.n > 500 ? 500 : output.n), output.n > 0 ? output.p : "");
    action_free(hook->action);
    container_hook_done(hook->container, hook->attempt, hook->kind, ok ? NULL : message);
    free(hook);
    entry_release(entry);
}

void entry_hook(struct container *container, enum hook_kind kind, int64_t timeout_ns)
{
    struct hook *hook = mem_new(struct hook);
    const struct val *handler =
        val_get_str(val_get(container_spec(container), "lifecycle"),
                    kind == HOOK_PRE_STOP ? STR("preStop") : STR("postStart"));
    *hook = (struct hook){.entry = container->worker->user,
                          .container = container,
                          .attempt = container->attempt,
                          .kind = kind};
    entry_hold(hook->entry);
    hook->action = action_start(container->user, handler, timeout_ns, on_hook, hook);
}
