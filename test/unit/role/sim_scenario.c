/* sim_scenario.c: see sim_scenario.h.
 *
 * Invariants that are looked at every second: at most one pod of a name has a live container; no
 * container outlives its pod's object; a rollout without harm keeps its bounds.
 */
#include "sim_scenario.h"

#include <stdlib.h>

static const char *const solo =
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'solo'},'spec':"
    "{'terminationGracePeriodSeconds':3,'containers':[{'name':'c','image':'hello:1'}]}}";

/* ---- what is there ---- */

static bool is_web(const struct val *pod)
{
    return str_is(val_text(val_path(pod, "metadata.labels.app")), "web");
}

static bool is_deleting(const struct val *pod)
{
    return !val_absent(val_path(pod, "metadata.deletionTimestamp"));
}

bool scenario_condition(const struct val *object, const char *type, const char *status)
{
    const struct val *condition =
        val_find(val_path(object, "status.conditions"), "type", str_of(type));
    return str_is(val_text(val_get(condition, "status")), status);
}

struct census scenario_count(struct scenario *s)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val **pods;
    struct census census = {0};
    size_t count = sim_list(&s->sim, PODS, &arena, &pods);
    for (size_t i = 0; i < count; i++) {
        if (!is_web(pods[i])) {
            continue;
        }
        struct str node = val_text(val_path(pods[i], "spec.nodeName"));
        for (int n = 0; n < SIM_NODES; n++) {
            census.on_node[n] += str_is(node, sim_node_names[n]) && !is_deleting(pods[i]);
        }
        census.deleting += is_deleting(pods[i]);
        census.pods += !is_deleting(pods[i]);
        census.ready += !is_deleting(pods[i]) && scenario_condition(pods[i], "Ready", "True");
    }
    return census;
}

/* ---- what must hold at any time ---- */

static void check_always(struct scenario *s)
{
    if (s->sim.ledger.running_max > 1) {
        FAIL(s, "%d pods of one name run at once", s->sim.ledger.running_max);
    }
    if (s->sim.ledger.left_behind > 0) {
        FAIL(s, "%d containers of deleted pods run on", s->sim.ledger.left_behind);
    }
    if (s->rolling) {
        struct census census = scenario_count(s);
        if (census.pods > REPLICAS + 2 || census.ready < REPLICAS - 1) {
            FAIL(s, "rollout out of bounds: %d pods, %d ready", census.pods, census.ready);
        }
    }
}

static void count_ok(void *ctx, const struct client_result *result)
{
    *(int *)ctx += result->code == 0;
}

static void recreate_solo(struct scenario *s)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    bool delete = random_below(&s->random, 8) == 0;
    if (delete) {
        struct client_request request = {.verb = CLIENT_DELETE,
                                         .resource = PODS,
                                         .ns = STR("default"),
                                         .name = STR("solo"),
                                         .subresource = ""};
        client_send(s->sim.user, &request, count_ok, &s->solo_deletes);
    } else if (sim_get(&s->sim, PODS, "default", "solo", &arena) == NULL) {
        s->solos += sim_request(&s->sim, CLIENT_CREATE, PODS, "solo", "", solo) == 0;
    }
}

static void join_again(struct scenario *s)
{
    for (int i = 0; i < SIM_NODES; i++) {
        if (s->away[i] > 0 && --s->away[i] == 0) {
            sim_node_join(&s->sim, i);
        }
    }
}

static void do_harm(struct scenario *s)
{
    int node = (int)random_below(&s->random, SIM_NODES);
    uint64_t which = random_below(&s->random, 60);
    s->restarts += which < 6;
    if (which < 2) {
        sim_controllers_restart(&s->sim);
    } else if (which < 4) {
        sim_scheduler_restart(&s->sim);
    } else if (which < 6) {
        sim_server_restart(&s->sim, (int64_t)random_below(&s->random, 5000) * NS_PER_MS);
    } else if (which < 8 && s->sim.joined[node]) {
        s->cuts++;
        sim_node_cut(&s->sim, node);
        s->away[node] = 1 + (int)random_below(&s->random, 30);
    }
}

static void run_second(struct scenario *s)
{
    /* At any point of a second's work, also between a request and its answer. */
    int64_t before = (int64_t)random_below(&s->random, NS_PER_S);
    loop_run_for(s->sim.loop, before);
    join_again(s);
    if (s->sim.broken) { /* as the supervisor does */
        sim_server_restart(&s->sim, NS_PER_S / 5);
    } else if (s->chaos) {
        do_harm(s);
    }
    if (s->recreates) {
        recreate_solo(s);
    }
    loop_run_for(s->sim.loop, NS_PER_S - before);
    check_always(s);
}

void scenario_run(struct scenario *s, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        run_second(s);
    }
}

void scenario_harm(struct scenario *s, bool on)
{
    s->chaos = on;
    s->sim.ledger.faults = on;
    s->sim.trace.faults = on;
}

/* ---- settling ---- */

static bool deployment_settled(struct scenario *s, int replicas)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *object = sim_get(&s->sim, DEPLOYMENTS, "default", "web", &arena);
    const struct val *status = val_get(object, "status");
    return val_int(val_get(status, "observedGeneration"), 0) ==
               val_int(val_path(object, "metadata.generation"), -1) &&
           val_int(val_get(status, "replicas"), 0) == replicas &&
           val_int(val_get(status, "updatedReplicas"), 0) == replicas &&
           val_int(val_get(status, "readyReplicas"), 0) == replicas &&
           val_int(val_get(status, "availableReplicas"), 0) == replicas;
}

void scenario_settle(struct scenario *s, int replicas, int deleting)
{
    struct census census = {0};
    for (int i = 0; i < SETTLE_S; i++) {
        run_second(s);
        census = scenario_count(s);
        if (census.pods == replicas && census.ready == replicas && census.deleting == deleting &&
            deployment_settled(s, replicas)) {
            return;
        }
    }
    FAIL(s, "not settled: %d pods of %d, %d ready, %d deleting", census.pods, replicas,
         census.ready, census.deleting);
}

void scenario_quiet(struct scenario *s)
{
    scenario_run(s, 15); /* events and conditions that come after */
    size_t before = s->sim.trace.others;
    scenario_run(s, QUIET_S);
    if (s->sim.trace.others != before) {
        FAIL(s, "%zu writes after all had settled, the last: %s", s->sim.trace.others - before,
             s->sim.trace.last_other);
    }
}

void scenario_settle_job(struct scenario *s, const char *name)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *job = NULL;
    for (int i = 0; i < SETTLE_S; i++) {
        job = sim_get(&s->sim, JOBS, "default", name, &arena);
        if (scenario_condition(job, "Complete", "True")) {
            break;
        }
        run_second(s);
    }
    int64_t wanted = val_int(val_path(job, "spec.completions"), -1);
    if (!scenario_condition(job, "Complete", "True") ||
        val_int(val_path(job, "status.succeeded"), 0) != wanted) {
        FAIL(s, "the Job is not done: %lld of %lld",
             (long long)val_int(val_path(job, "status.succeeded"), 0), (long long)wanted);
    }
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static size_t ready_addresses(struct scenario *s, struct arena *arena, struct str *out)
{
    struct val **pods;
    size_t n = 0, count = sim_list(&s->sim, PODS, arena, &pods);
    for (size_t i = 0; i < count; i++) {
        if (is_web(pods[i]) && !is_deleting(pods[i]) &&
            scenario_condition(pods[i], "Ready", "True")) {
            out[n++] = val_text(val_path(pods[i], "status.podIP"));
        }
    }
    qsort(out, n, sizeof *out, by_text);
    return n;
}

static size_t slice_addresses(struct scenario *s, struct arena *arena, struct str *out)
{
    struct val **slices;
    size_t n = 0, count = sim_list(&s->sim, SLICES, arena, &slices);
    for (size_t i = 0; i < count; i++) {
        const struct val *labels = val_path(slices[i], "metadata.labels");
        if (!str_is(val_text(val_get(labels, "kubernetes.io/service-name")), "web")) {
            continue;
        }
        VAL_EACH (it, val_get(slices[i], "endpoints")) {
            if (val_bool(val_path(it, "conditions.ready"), false)) {
                out[n++] = val_text(val_at(val_get(it, "addresses"), 0));
            }
        }
    }
    qsort(out, n, sizeof *out, by_text);
    return n;
}

void scenario_check_slices(struct scenario *s)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct str pods[64], endpoints[64];
    size_t n = ready_addresses(s, &arena, pods), m = slice_addresses(s, &arena, endpoints);
    bool same = n == m;
    for (size_t i = 0; i < n && same; i++) {
        same = str_eq(pods[i], endpoints[i]);
    }
    if (!same) {
        FAIL(s, "%zu ready pods, %zu ready endpoints, or others", n, m);
    }
}
