/* test_simulation.c: the cores of a whole cluster in one process, on virtual time, from a seed.
 *
 * A user makes a Deployment behind a Service, scales it, rolls it, loses a node, gets it back and
 * deletes everything, while containers fail at random and one pod is deleted and made again under
 * its name all the time. On the way: no name runs twice, a rollout keeps its bounds, the
 * EndpointSlices name the ready pods. Each change settles within five minutes, and then nobody
 * writes but the nodes' heartbeats. Each seed runs twice and must commit the same bytes.
 *
 * COX_SEED=N runs one seed, COX_SIM_TRACE=FILE writes its trace with whole objects.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim_cluster.h"

enum { SETTLE_S = 300, QUIET_S = 60, REPLICAS = 6, NODE_GRACE_S = 50, TOLERATION_S = 300 };

#define PODS        sim_resource("", "pods")
#define NODES       sim_resource("", "nodes")
#define SERVICES    sim_resource("", "services")
#define SLICES      sim_resource("discovery.k8s.io", "endpointslices")
#define ENDPOINTS   sim_resource("", "endpoints")
#define DEPLOYMENTS sim_resource("apps", "deployments")
#define REPLICASETS sim_resource("apps", "replicasets")

struct scenario {
    struct sim sim;
    struct random random; /* the user's */
    bool recreates;       /* deletes the pod "solo" and makes it again */
    bool rolling;         /* the rollout's bounds hold */
    int solos, solo_deletes, restarts, cuts;
    bool chaos;          /* processes die, links are cut */
    int away[SIM_NODES]; /* seconds until the node's link is back */
};

static const char *const deployment =
    "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'},'spec':{'replicas':6,"
    "'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'}},"
    "'spec':{'terminationGracePeriodSeconds':5,'containers':[{'name':'web','image':'hello:1',"
    "'ports':[{'containerPort':80}],'resources':{'requests':{'cpu':'100m'}},"
    "'readinessProbe':{'tcpSocket':{'port':80},'periodSeconds':1}}]}}}}";
static const char *const service =
    "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web'},"
    "'spec':{'selector':{'app':'web'},'ports':[{'port':80,'targetPort':80}]}}";
static const char *const solo =
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'solo'},'spec':"
    "{'terminationGracePeriodSeconds':3,'containers':[{'name':'c','image':'hello:1'}]}}";

#define FAIL(s, format, ...)                                                                       \
    fail_msg("at %.3f s, seed %" PRIu64 ": " format, sim_seconds(&(s)->sim), (s)->sim.seed,        \
             ##__VA_ARGS__)

/* ---- what is there ---- */

static bool is_web(const struct val *pod)
{
    return str_is(val_text(val_path(pod, "metadata.labels.app")), "web");
}

static bool is_deleting(const struct val *pod)
{
    return !val_absent(val_path(pod, "metadata.deletionTimestamp"));
}

static bool has_condition(const struct val *object, const char *type, const char *status)
{
    const struct val *condition =
        val_find(val_path(object, "status.conditions"), "type", str_of(type));
    return str_is(val_text(val_get(condition, "status")), status);
}

struct census {
    int pods, deleting, ready, on_node[SIM_NODES];
};

static struct census count_pods(struct scenario *s)
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
        census.ready += !is_deleting(pods[i]) && has_condition(pods[i], "Ready", "True");
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
        struct census census = count_pods(s);
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
    if (s->chaos) {
        do_harm(s);
    }
    if (s->recreates) {
        recreate_solo(s);
    }
    loop_run_for(s->sim.loop, NS_PER_S - before);
    check_always(s);
}

static void run(struct scenario *s, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        run_second(s);
    }
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

static void settle(struct scenario *s, int replicas, int deleting)
{
    struct census census = {0};
    for (int i = 0; i < SETTLE_S; i++) {
        run_second(s);
        census = count_pods(s);
        if (census.pods == replicas && census.ready == replicas && census.deleting == deleting &&
            deployment_settled(s, replicas)) {
            return;
        }
    }
    FAIL(s, "not settled: %d pods of %d, %d ready, %d deleting", census.pods, replicas,
         census.ready, census.deleting);
}

static void quiet(struct scenario *s)
{
    run(s, 15); /* events and conditions that come after */
    size_t before = s->sim.trace.others;
    run(s, QUIET_S);
    if (s->sim.trace.others != before) {
        FAIL(s, "%zu writes after all had settled, the last: %s", s->sim.trace.others - before,
             s->sim.trace.last_other);
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
        if (is_web(pods[i]) && !is_deleting(pods[i]) && has_condition(pods[i], "Ready", "True")) {
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

static void check_slices(struct scenario *s)
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

static void scale(struct scenario *s, int replicas)
{
    char json[64];
    snprintf(json, sizeof json, "{'spec':{'replicas':%d}}", replicas);
    assert_int_equal(sim_request(&s->sim, CLIENT_PATCH, DEPLOYMENTS, "web", "scale", json), 0);
}

/* ---- the story ---- */

static void begin(struct scenario *s)
{
    s->sim.ledger.faults = s->recreates = s->chaos = true;
    assert_int_equal(sim_request(&s->sim, CLIENT_CREATE, SERVICES, "web", "", service), 0);
    assert_int_equal(sim_request(&s->sim, CLIENT_CREATE, DEPLOYMENTS, "web", "", deployment), 0);
    run(s, 60);
    s->sim.ledger.faults = s->chaos = false;
    settle(s, REPLICAS, 0);
    check_slices(s);
}

static void grow_and_shrink(struct scenario *s)
{
    scale(s, 11);
    settle(s, 11, 0);
    check_slices(s);
    scale(s, 2);
    run(s, (int)random_below(&s->random, 3));
    scale(s, REPLICAS);
    settle(s, REPLICAS, 0);
    check_slices(s);
    s->recreates = false;
    quiet(s);
}

static void roll(struct scenario *s)
{
    s->rolling = true;
    assert_int_equal(sim_request(&s->sim, CLIENT_PATCH, DEPLOYMENTS, "web", "",
                                 "{'spec':{'template':{'metadata':{'annotations':{'v':'2'}}}}}"),
                     0);
    settle(s, REPLICAS, 0);
    s->rolling = false;
    check_slices(s);
    quiet(s);
    sim_server_restart(&s->sim, 0); /* finds all as it should be */
    quiet(s);
    settle(s, REPLICAS, 0);
}

static void roll_in_chaos(struct scenario *s)
{
    s->sim.ledger.faults = s->recreates = s->chaos = true;
    assert_int_equal(sim_request(&s->sim, CLIENT_PATCH, DEPLOYMENTS, "web", "",
                                 "{'spec':{'template':{'metadata':{'annotations':{'v':'3'}}}}}"),
                     0);
    run(s, 60);
    s->sim.ledger.faults = s->chaos = false;
    settle(s, REPLICAS, 0);
    check_slices(s);
}

static void lose_node(struct scenario *s)
{
    bool cut = random_below(&s->random, 2) == 0; /* else its power is */
    s->recreates = true;
    run(s, 30);
    struct census before = count_pods(s);
    int lost = before.on_node[0] > before.on_node[1] ? 0 : 1;
    assert_true(before.on_node[lost] > 0);
    cut ? sim_node_cut(&s->sim, lost) : sim_node_kill(&s->sim, lost);
    run(s, NODE_GRACE_S + 10);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *node = sim_get(&s->sim, NODES, NULL, sim_node_names[lost], &arena);
    assert_true(has_condition(node, "Ready", "Unknown"));
    check_slices(s);
    run(s, TOLERATION_S - 25); /* up to 10 s since the last lease: still tolerated */
    assert_int_equal(count_pods(s).deleting, 0);
    assert_int_equal(count_pods(s).on_node[lost], before.on_node[lost]);
    run(s, 30);
    assert_int_equal(count_pods(s).deleting, before.on_node[lost]);
    settle(s, REPLICAS, before.on_node[lost]);
    assert_int_equal(count_pods(s).on_node[1 - lost], REPLICAS);
    check_slices(s);
    s->recreates = false;
    quiet(s);
    cut ? sim_node_join(&s->sim, lost) : sim_node_start(&s->sim, lost);
    settle(s, REPLICAS, 0);
    quiet(s);
}

static void end(struct scenario *s)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val **items;
    sim_request(&s->sim, CLIENT_DELETE, PODS, "solo", "", NULL);
    assert_int_equal(sim_request(&s->sim, CLIENT_DELETE, SERVICES, "web", "", NULL), 0);
    assert_int_equal(sim_request(&s->sim, CLIENT_DELETE, DEPLOYMENTS, "web", "",
                                 "{'kind':'DeleteOptions','apiVersion':'v1',"
                                 "'propagationPolicy':'Background'}"),
                     0);
    for (int i = 0; i < SETTLE_S && sim_list(&s->sim, PODS, &arena, &items) > 0; i++) {
        run_second(s);
    }
    run(s, 10);
    assert_int_equal(sim_list(&s->sim, PODS, &arena, &items), 0);
    assert_int_equal(sim_list(&s->sim, REPLICASETS, &arena, &items), 0);
    assert_int_equal(sim_list(&s->sim, SLICES, &arena, &items), 1); /* the Service kubernetes' */
    assert_int_equal(sim_list(&s->sim, ENDPOINTS, &arena, &items), 1);
    quiet(s);
}

/* Runs a seed; the trace is left in *ret_trace. */
static void play(uint64_t seed, struct buf *ret_trace)
{
    struct scenario *s = mem_new(struct scenario);
    random_seeded_init(&s->random, seed + 1);
    sim_start(&s->sim, seed);
    begin(s);
    grow_and_shrink(s);
    roll(s);
    roll_in_chaos(s);
    lose_node(s);
    end(s);
    print_message("seed %" PRIu64 ": %.0f s, %zu writes, %d containers, %d failures, %d solos, "
                  "%d restarts, %d cuts, "
                  "trace %016" PRIx64 "\n",
                  seed, sim_seconds(&s->sim), s->sim.trace.writes, s->sim.ledger.starts,
                  s->sim.ledger.failures, s->solos, s->restarts, s->cuts, s->sim.trace.hash);
    *ret_trace = s->sim.trace.text;
    s->sim.trace.text = (struct buf)BUF_INIT;
    sim_stop(&s->sim);
    free(s);
}

static void write_trace(struct str trace)
{
    const char *path = getenv("COX_SIM_TRACE");
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    if (file != NULL) {
        fwrite(trace.p, 1, trace.n, file);
        fclose(file);
    }
}

static void compare(uint64_t seed, struct str first, struct str second)
{
    for (int line = 1; first.n > 0 || second.n > 0; line++) {
        struct str a = str_cut(first, '\n', &first), b = str_cut(second, '\n', &second);
        if (!str_eq(a, b)) {
            fail_msg("seed %" PRIu64 ": runs differ in line %d:\n%.*s\n%.*s", seed, line,
                     STR_ARG(a), STR_ARG(b));
        }
    }
}

static bool finished;

static void test_seed(void **state)
{
    uint64_t seed = *(const uint64_t *)*state;
    struct buf first BUF_CLEANUP = BUF_INIT, second BUF_CLEANUP = BUF_INIT;
    finished = false;
    play(seed, &first);
    write_trace(buf_view(&first));
    play(seed, &second);
    compare(seed, buf_view(&first), buf_view(&second));
    finished = true;
}

static int tell_seed(void **state)
{
    if (!finished) {
        print_error("replay: COX_SEED=%" PRIu64 " test-role-simulation\n",
                    *(const uint64_t *)*state);
    }
    return 0;
}

int main(void)
{
    enum { SEEDS = 20 };
    static uint64_t seeds[SEEDS];
    static char names[SEEDS][16];
    struct CMUnitTest tests[SEEDS];
    for (int i = 0; i < SEEDS; i++) {
        seeds[i] = (uint64_t)i + 1;
        snprintf(names[i], sizeof names[i], "seed %d", i + 1);
        tests[i] = (struct CMUnitTest){names[i], test_seed, NULL, tell_seed, &seeds[i]};
    }
    if (str_u64(str_of(getenv("COX_SEED")), &seeds[0])) {
        const struct CMUnitTest one[] = {{"COX_SEED", test_seed, NULL, tell_seed, &seeds[0]}};
        return cmocka_run_group_tests(one, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
