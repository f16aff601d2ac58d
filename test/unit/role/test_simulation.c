/* test_simulation.c: the cores of a whole cluster in one process, on virtual time, from a seed.
 *
 * A user makes a Deployment behind a Service, scales it, rolls it, loses a node, gets it back and
 * deletes everything, beside a Job; meanwhile containers, commits, links and processes fail at
 * random, and one pod is deleted and made again under its name all the time. On the way: no name
 * runs twice, a rollout keeps its bounds, the EndpointSlices name the ready pods. Each change
 * settles within five minutes, and then nobody writes but the nodes' heartbeats. Each seed runs
 * twice and must commit the same bytes.
 *
 * COX_SEED=N runs one seed, COX_SEEDS=N the first N of them, COX_SIM_TRACE=FILE writes its trace
 * with whole objects.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim_scenario.h"

static const char *const deployment =
    "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web'},'spec':{'replicas':6,"
    "'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'}},"
    "'spec':{'terminationGracePeriodSeconds':5,'containers':[{'name':'web','image':'hello:1',"
    "'ports':[{'containerPort':80}],'resources':{'requests':{'cpu':'100m'}},"
    "'readinessProbe':{'tcpSocket':{'port':80},'periodSeconds':1}}]}}}}";
static const char *const service =
    "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web'},"
    "'spec':{'selector':{'app':'web'},'ports':[{'port':80,'targetPort':80}]}}";
static const char *const job =
    "{'apiVersion':'batch/v1','kind':'Job','metadata':{'name':'sum'},'spec':{'completions':7,"
    "'parallelism':3,'backoffLimit':50,'template':{'spec':{'restartPolicy':'Never',"
    "'containers':[{'name':'c','image':'task:1'}]}}}}";

static void scale(struct scenario *s, int replicas)
{
    char json[64];
    snprintf(json, sizeof json, "{'spec':{'replicas':%d}}", replicas);
    assert_int_equal(sim_request(&s->sim, CLIENT_PATCH, DEPLOYMENTS, "web", "scale", json), 0);
}

/* ---- the story ---- */

static void begin(struct scenario *s)
{
    s->recreates = true;
    assert_int_equal(sim_request(&s->sim, CLIENT_CREATE, SERVICES, "web", "", service), 0);
    assert_int_equal(sim_request(&s->sim, CLIENT_CREATE, DEPLOYMENTS, "web", "", deployment), 0);
    assert_int_equal(sim_request(&s->sim, CLIENT_CREATE, JOBS, "sum", "", job), 0);
    scenario_harm(s, true);
    scenario_run(s, 60);
    scenario_harm(s, false);
    scenario_settle(s, REPLICAS, 0);
    scenario_settle_job(s, "sum");
    scenario_check_slices(s);
}

static void grow_and_shrink(struct scenario *s)
{
    scale(s, 11);
    scenario_settle(s, 11, 0);
    scenario_check_slices(s);
    scale(s, 2);
    scenario_run(s, (int)random_below(&s->random, 3));
    scale(s, REPLICAS);
    scenario_settle(s, REPLICAS, 0);
    scenario_check_slices(s);
    s->recreates = false;
    scenario_quiet(s);
}

static void roll(struct scenario *s)
{
    s->rolling = true;
    assert_int_equal(sim_request(&s->sim, CLIENT_PATCH, DEPLOYMENTS, "web", "",
                                 "{'spec':{'template':{'metadata':{'annotations':{'v':'2'}}}}}"),
                     0);
    scenario_settle(s, REPLICAS, 0);
    s->rolling = false;
    scenario_check_slices(s);
    scenario_quiet(s);
    sim_server_restart(&s->sim, 0); /* finds all as it should be */
    scenario_quiet(s);
    scenario_settle(s, REPLICAS, 0);
}

static void roll_in_chaos(struct scenario *s)
{
    s->recreates = true;
    assert_int_equal(sim_request(&s->sim, CLIENT_PATCH, DEPLOYMENTS, "web", "",
                                 "{'spec':{'template':{'metadata':{'annotations':{'v':'3'}}}}}"),
                     0);
    scenario_harm(s, true);
    scenario_run(s, 60);
    scenario_harm(s, false);
    scenario_settle(s, REPLICAS, 0);
    scenario_check_slices(s);
}

static void lose_node(struct scenario *s)
{
    bool cut = random_below(&s->random, 2) == 0; /* else its power is */
    s->recreates = true;
    scenario_run(s, 30);
    struct census before = scenario_count(s);
    int lost = before.on_node[0] > before.on_node[1] ? 0 : 1;
    assert_true(before.on_node[lost] > 0);
    cut ? sim_node_cut(&s->sim, lost) : sim_node_kill(&s->sim, lost);
    scenario_run(s, NODE_GRACE_S + 10);
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    const struct val *node = sim_get(&s->sim, NODES, NULL, sim_node_names[lost], &arena);
    assert_true(scenario_condition(node, "Ready", "Unknown"));
    scenario_check_slices(s);
    scenario_run(s, TOLERATION_S - 25); /* up to 10 s since the last lease: still tolerated */
    assert_int_equal(scenario_count(s).deleting, 0);
    assert_int_equal(scenario_count(s).on_node[lost], before.on_node[lost]);
    scenario_run(s, 30);
    assert_int_equal(scenario_count(s).deleting, before.on_node[lost]);
    scenario_settle(s, REPLICAS, before.on_node[lost]);
    assert_int_equal(scenario_count(s).on_node[1 - lost], REPLICAS);
    scenario_check_slices(s);
    s->recreates = false;
    scenario_quiet(s);
    cut ? sim_node_join(&s->sim, lost) : sim_node_start(&s->sim, lost);
    scenario_settle(s, REPLICAS, 0);
    scenario_quiet(s);
}

static void end(struct scenario *s)
{
    struct arena arena ARENA_CLEANUP = ARENA_INIT;
    struct val **items;
    sim_request(&s->sim, CLIENT_DELETE, PODS, "solo", "", NULL);
    assert_int_equal(sim_request(&s->sim, CLIENT_DELETE, SERVICES, "web", "", NULL), 0);
    static const char *const background =
        "{'kind':'DeleteOptions','apiVersion':'v1','propagationPolicy':'Background'}";
    static const char *const foreground =
        "{'kind':'DeleteOptions','apiVersion':'v1','propagationPolicy':'Foreground'}";
    assert_int_equal(sim_request(&s->sim, CLIENT_DELETE, DEPLOYMENTS, "web", "", background), 0);
    assert_int_equal(sim_request(&s->sim, CLIENT_DELETE, JOBS, "sum", "", foreground), 0);
    for (int i = 0; i < SETTLE_S && sim_list(&s->sim, PODS, &arena, &items) > 0; i++) {
        scenario_run(s, 1);
    }
    scenario_run(s, 10);
    assert_int_equal(sim_list(&s->sim, PODS, &arena, &items), 0);
    assert_int_equal(sim_list(&s->sim, REPLICASETS, &arena, &items), 0);
    assert_int_equal(sim_list(&s->sim, JOBS, &arena, &items), 0);
    assert_int_equal(sim_list(&s->sim, SLICES, &arena, &items), 1); /* the Service kubernetes' */
    assert_int_equal(sim_list(&s->sim, ENDPOINTS, &arena, &items), 1);
    scenario_quiet(s);
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
                  "%d restarts, %d cuts, %zu commits refused, %zu stores failed, "
                  "trace %016" PRIx64 "\n",
                  seed, sim_seconds(&s->sim), s->sim.trace.writes, s->sim.ledger.starts,
                  s->sim.ledger.failures, s->solos, s->restarts, s->cuts, s->sim.trace.full,
                  s->sim.trace.failures, s->sim.trace.hash);
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

/* "seed N", made at run time: as many as wanted. */
static int run_seeds(uint64_t count)
{
    struct CMUnitTest *tests = mem_array(struct CMUnitTest, count);
    uint64_t *seeds = mem_array(uint64_t, count);
    struct arena names ARENA_CLEANUP = ARENA_INIT;
    for (uint64_t i = 0; i < count; i++) {
        seeds[i] = i + 1;
        tests[i] = (struct CMUnitTest){arena_printf(&names, "seed %" PRIu64, seeds[i]), test_seed,
                                       NULL, tell_seed, &seeds[i]};
    }
    int failed = _cmocka_run_group_tests("seeds", tests, count, NULL, NULL);
    free(tests);
    free(seeds);
    return failed;
}

int main(void)
{
    static uint64_t seed;
    uint64_t count = 20;
    if (str_u64(str_of(getenv("COX_SEED")), &seed)) {
        const struct CMUnitTest one[] = {{"COX_SEED", test_seed, NULL, tell_seed, &seed}};
        return cmocka_run_group_tests(one, NULL, NULL);
    }
    str_u64(str_of(getenv("COX_SEEDS")), &count);
    return run_seeds(count > 0 ? count : 1);
}
