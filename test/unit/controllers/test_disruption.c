/* controllers/disruption.c on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

#define BUDGETS kind("policy", "poddisruptionbudgets")

static const struct controller *const controllers[] = {
    &controller_disruption, &controller_replicaset, &controller_deployment, NULL};

static void make_budget(struct bench *bench, const char *spec)
{
    fake_createf(bench->api, BUDGETS,
                 "{'apiVersion':'policy/v1','kind':'PodDisruptionBudget','metadata':{'name':'b',"
                 "'namespace':'default'},'spec':{'selector':{'matchLabels':{'app':'web'}},%s}}",
                 spec);
}

static void make_deployment(struct bench *bench, int replicas)
{
    fake_createf(bench->api, DEPLOYMENTS,
                 "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','namespace':"
                 "'default'},'spec':{'replicas':%d,'selector':{'matchLabels':{'app':'web'}},"
                 "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c'"
                 ",'image':'web'}]}}}}",
                 replicas);
}

static int64_t status(struct bench *bench, const char *member)
{
    char path[64];
    snprintf(path, sizeof path, "status.%s", member);
    return number_at(bench, BUDGETS, "b", path);
}

static void counts_a_share_of_the_scale(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_deployment(&bench, 10);
    make_budget(&bench, "'maxUnavailable':'25%'");
    bench_run(&bench, 20);
    assert_int_equal(status(&bench, "expectedPods"), 10);
    assert_int_equal(status(&bench, "currentHealthy"), 10);
    assert_int_equal(status(&bench, "desiredHealthy"), 7); /* 2.5 is rounded up */
    assert_int_equal(status(&bench, "disruptionsAllowed"), 3);
    assert_string_equal(condition_at(&bench, BUDGETS, "b", "DisruptionAllowed", "reason"),
                        "SufficientPods");
    fake_patchf(bench.api, DEPLOYMENTS, "default", "web", "", "{'spec':{'replicas':4}}");
    bench_run(&bench, 60);
    assert_int_equal(status(&bench, "desiredHealthy"), 3);
    assert_int_equal(status(&bench, "disruptionsAllowed"), 1);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void counts_pods_for_a_number(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make_deployment(&bench, 3);
    make_budget(&bench, "'minAvailable':2");
    bench_run(&bench, 5); /* nobody runs them */
    assert_int_equal(status(&bench, "currentHealthy"), 0);
    assert_int_equal(status(&bench, "disruptionsAllowed"), 0);
    assert_string_equal(condition_at(&bench, BUDGETS, "b", "DisruptionAllowed", "reason"),
                        "InsufficientPods");
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    bench_run(&bench, 20);
    assert_int_equal(status(&bench, "disruptionsAllowed"), 1);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void an_evicted_pod_counts_as_gone_for_two_minutes(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_deployment(&bench, 3);
    make_budget(&bench, "'minAvailable':1");
    bench_run(&bench, 20);
    assert_int_equal(status(&bench, "disruptionsAllowed"), 2);
    struct object *pod = nth(&bench, PODS, 0);
    char now[TIME_TEXT_SIZE];
    time_format(clock_wall(loop_clock(bench.loop)), now);
    fake_patchf(bench.api, BUDGETS, "default", "b", "status",
                "{'status':{'disruptedPods':{'%.*s':'%s','long-gone':'%s'}}}", STR_ARG(pod->name),
                now, now);
    bench_run(&bench, 5);
    assert_int_equal(status(&bench, "disruptionsAllowed"), 1);
    assert_int_equal(val_count(val_path(value_of(&bench, BUDGETS, "b"), "status.disruptedPods")),
                     1);
    bench_run(&bench, 130); /* it was never deleted */
    assert_int_equal(status(&bench, "disruptionsAllowed"), 2);
    assert_int_equal(count_events(&bench, "NotDeleted"), 1);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void says_why_it_cannot_count(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    fake_createf(bench.api, PODS,
                 "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'default',"
                 "'labels':{'app':'web'},'ownerReferences':[{'apiVersion':'example.com/v1','kind':"
                 "'Thing','name':'t','uid':'u','controller':true}]},'spec':{'containers':[{'name':"
                 "'c','image':'web'}]}}");
    make_budget(&bench, "'maxUnavailable':1");
    bench_run(&bench, 5);
    assert_string_equal(condition_at(&bench, BUDGETS, "b", "DisruptionAllowed", "reason"),
                        "SyncFailed");
    assert_int_equal(status(&bench, "disruptionsAllowed"), 0);
    bench_done(&bench);
}

static void a_pod_that_stays_loses_its_mark(void **state)
{
    struct bench bench;
    bench_init(&bench, 5, controllers);
    fake_createf(bench.api, PODS,
                 "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'default'},"
                 "'spec':{'containers':[{'name':'c','image':'web'}]}}");
    char now[TIME_TEXT_SIZE];
    time_format(clock_wall(loop_clock(bench.loop)), now);
    fake_patchf(bench.api, PODS, "default", "p", "status",
                "{'status':{'conditions':[{'type':'DisruptionTarget','status':'True','reason':"
                "'EvictionByEvictionAPI','lastTransitionTime':'%s'}]}}",
                now);
    bench_run(&bench, 60);
    assert_string_equal(condition_at(&bench, PODS, "p", "DisruptionTarget", "status"), "True");
    bench_run(&bench, 70);
    assert_string_equal(condition_at(&bench, PODS, "p", "DisruptionTarget", "status"), "False");
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_a_share_of_the_scale),
        cmocka_unit_test(counts_pods_for_a_number),
        cmocka_unit_test(an_evicted_pod_counts_as_gone_for_two_minutes),
        cmocka_unit_test(says_why_it_cannot_count),
        cmocka_unit_test(a_pod_that_stays_loses_its_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
