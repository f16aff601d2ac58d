/* controllers/apps/replicaset.c on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {&controller_replicaset, NULL};

static void make_set(struct bench *bench, const char *name, int replicas)
{
    fake_createf(bench->api, REPLICASETS,
                 "{'apiVersion':'apps/v1','kind':'ReplicaSet','metadata':{'name':'%s','namespace':"
                 "'default'},'spec':{'replicas':%d,'selector':{'matchLabels':{'app':'web'}},"
                 "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c'"
                 ",'image':'web'}]}}}}",
                 name, replicas);
}

static void makes_pods_and_counts_them(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_set(&bench, "web", 7);
    bench_run(&bench, 10);
    assert_int_equal(fake_count(bench.api, PODS), 7);
    assert_int_equal(number_at(&bench, REPLICASETS, "web", "status.replicas"), 7);
    assert_int_equal(number_at(&bench, REPLICASETS, "web", "status.readyReplicas"), 7);
    assert_int_equal(number_at(&bench, REPLICASETS, "web", "status.availableReplicas"), 7);
    assert_int_equal(number_at(&bench, REPLICASETS, "web", "status.fullyLabeledReplicas"), 7);
    assert_int_equal(number_at(&bench, REPLICASETS, "web", "status.observedGeneration"), 1);
    assert_int_equal(count_events(&bench, "SuccessfulCreate"), 7);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void replaces_a_lost_pod(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_set(&bench, "web", 3);
    bench_run(&bench, 10);
    char name[64];
    struct object *pod = nth(&bench, PODS, 1);
    snprintf(name, sizeof name, "%.*s", STR_ARG(pod->name));
    fake_delete(bench.api, PODS, "default", name, "{'gracePeriodSeconds':0}");
    bench_run(&bench, 10);
    assert_int_equal(fake_count(bench.api, PODS), 3);
    assert_null(fake_get(bench.api, PODS, "default", name));
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void shrinks_by_rank(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    make_set(&bench, "web", 4);
    bench_run(&bench, 5); /* all unbound */
    char kept[2][64];
    for (size_t i = 0; i < 2; i++) {
        struct object *pod = nth(&bench, PODS, i);
        snprintf(kept[i], sizeof kept[i], "%.*s", STR_ARG(pod->name));
        fake_patchf(bench.api, PODS, "default", kept[i], "", "{'spec':{'nodeName':'n'}}");
    }
    bench_run(&bench, 1);
    fake_patchf(bench.api, REPLICASETS, "default", "web", "", "{'spec':{'replicas':2}}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, PODS), 2);
    assert_non_null(fake_get(bench.api, PODS, "default", kept[0]));
    assert_non_null(fake_get(bench.api, PODS, "default", kept[1]));
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void adopts_and_releases(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    fake_createf(bench.api, PODS,
                 "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'stray','namespace':'default',"
                 "'labels':{'app':'web'}},'spec':{'containers':[{'name':'c','image':'web'}]}}");
    make_set(&bench, "web", 2);
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, PODS), 2);
    struct val *owners = val_path(value_of(&bench, PODS, "stray"), "metadata.ownerReferences");
    assert_int_equal(val_count(owners), 1);
    assert_true(val_bool(val_get(val_at(owners, 0), "controller"), false));
    fake_patchf(bench.api, PODS, "default", "stray", "", "{'metadata':{'labels':{'app':'other'}}}");
    bench_run(&bench, 5);
    assert_int_equal(
        val_count(val_path(value_of(&bench, PODS, "stray"), "metadata.ownerReferences")), 0);
    assert_int_equal(fake_count(bench.api, PODS), 3);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static enum err_code refuse_pods(void *ctx, const struct client_request *request, uint64_t done)
{
    bool *refuse = ctx;
    return *refuse && request->verb == CLIENT_CREATE && request->resource == PODS ? ERR_FORBIDDEN
                                                                                  : ERR_OK;
}

static void starts_slowly_and_says_why_it_fails(void **state)
{
    struct bench bench;
    bool refuse = true;
    bench_init(&bench, 5, controllers);
    fake_api_hooks(bench.api, refuse_pods, NULL, &refuse);
    make_set(&bench, "web", 100);
    bench_run(&bench, 1);
    assert_string_equal(condition_at(&bench, REPLICASETS, "web", "ReplicaFailure", "reason"),
                        "FailedCreate");
    assert_true(count_events(&bench, "FailedCreate") < 20); /* one a pass, with back-off */
    refuse = false;
    bench_run(&bench, 1200);
    assert_int_equal(fake_count(bench.api, PODS), 100);
    assert_string_equal(condition_at(&bench, REPLICASETS, "web", "ReplicaFailure", "reason"), "");
    bench_quiet(&bench, 2000);
    bench_done(&bench);
}

static void waits_for_min_ready_seconds(void **state)
{
    struct bench bench;
    bench_init(&bench, 6, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_MS);
    make_set(&bench, "web", 2);
    fake_patchf(bench.api, REPLICASETS, "default", "web", "", "{'spec':{'minReadySeconds':30}}");
    bench_run(&bench, 20);
    assert_int_equal(number_at(&bench, REPLICASETS, "web", "status.readyReplicas"), 2);
    assert_int_equal(number_at(&bench, REPLICASETS, "web", "status.availableReplicas"), 0);
    bench_run(&bench, 15);
    assert_int_equal(number_at(&bench, REPLICASETS, "web", "status.availableReplicas"), 2);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_pods_and_counts_them),
        cmocka_unit_test(replaces_a_lost_pod),
        cmocka_unit_test(shrinks_by_rank),
        cmocka_unit_test(adopts_and_releases),
        cmocka_unit_test(starts_slowly_and_says_why_it_fails),
        cmocka_unit_test(waits_for_min_ready_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
