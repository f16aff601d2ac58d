/* controllers/node_life.c, taint_eviction.c and pod_gc.c on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {
    &controller_node_life, &controller_taint_eviction, &controller_pod_gc, NULL};

static void make_node(struct bench *bench, const char *name)
{
    fake_createf(bench->api, NODES, "{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s'}}",
                 name);
    fake_patchf(bench->api, NODES, "", name, "status",
                "{'status':{'conditions':[{'type':'Ready','status':'True','lastHeartbeatTime':"
                "'2027-01-15T08:00:00Z','lastTransitionTime':'2027-01-15T08:00:00Z','reason':"
                "'KubeletReady','message':'ok'}]}}");
    fake_createf(bench->api, LEASES,
                 "{'apiVersion':'coordination.k8s.io/v1','kind':'Lease','metadata':{'name':'%s',"
                 "'namespace':'kube-node-lease'},'spec':{'holderIdentity':'%s',"
                 "'leaseDurationSeconds':40}}",
                 name, name);
}

static void make_pod(struct bench *bench, const char *name, const char *node,
                     const char *tolerations)
{
    fake_createf(bench->api, PODS,
                 "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default'},"
                 "'spec':{'nodeName':'%s','tolerations':[%s],'containers':[{'name':'c','image':'x'}"
                 "]}}",
                 name, node, tolerations);
    fake_patchf(bench->api, PODS, "default", name, "status",
                "{'status':{'phase':'Running','conditions':[{'type':'Ready','status':'True'}]}}");
}

#define STAYS_300                                                                                  \
    "{'key':'node.kubernetes.io/unreachable','operator':'Exists','effect':'NoExecute',"            \
    "'tolerationSeconds':300},{'key':'node.kubernetes.io/not-ready','operator':'Exists',"          \
    "'effect':'NoExecute','tolerationSeconds':300}"

static int beats;
static void beat(struct bench *bench, const char *name)
{
    fake_patchf(bench->api, LEASES, "kube-node-lease", name, "",
                "{'metadata':{'annotations':{'beat':'%d'}}}", ++beats);
}

/* Seconds pass while the named nodes renew their leases every 10 s. */
static void live(struct bench *bench, int seconds, const char *a, const char *b)
{
    for (int i = 0; i < seconds; i += 10) {
        if (a != NULL) {
            beat(bench, a);
        }
        if (b != NULL) {
            beat(bench, b);
        }
        bench_run(bench, 10);
    }
}

static bool has_taint(struct bench *bench, const char *node, const char *key, const char *effect)
{
    VAL_EACH (it, val_path(value_of(bench, NODES, node), "spec.taints")) {
        if (str_is(val_text(val_get(it, "key")), key) &&
            str_is(val_text(val_get(it, "effect")), effect)) {
            return true;
        }
    }
    return false;
}

#define UNREACHABLE "node.kubernetes.io/unreachable"
#define NOT_READY   "node.kubernetes.io/not-ready"

static void a_silent_node_is_tainted_and_emptied(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make_node(&bench, "a");
    make_node(&bench, "b");
    make_pod(&bench, "stays-300", "a", STAYS_300);
    make_pod(&bench, "stays", "a", "{'operator':'Exists'}");
    make_pod(&bench, "goes", "a", "");
    live(&bench, 100, "a", "b");
    assert_string_equal(condition_at(&bench, NODES, "a", "Ready", "status"), "True");
    live(&bench, 40, "b", NULL);
    assert_string_equal(condition_at(&bench, NODES, "a", "Ready", "status"), "True");
    live(&bench, 20, "b", NULL);
    assert_string_equal(condition_at(&bench, NODES, "a", "Ready", "status"), "Unknown");
    assert_string_equal(condition_at(&bench, NODES, "a", "Ready", "reason"), "NodeStatusUnknown");
    assert_true(has_taint(&bench, "a", UNREACHABLE, "NoSchedule"));
    assert_true(has_taint(&bench, "a", UNREACHABLE, "NoExecute"));
    assert_string_equal(condition_at(&bench, PODS, "stays", "Ready", "status"), "False");
    assert_true(fake_get(bench.api, PODS, "default", "goes")->deleting);
    assert_string_equal(condition_at(&bench, PODS, "goes", "DisruptionTarget", "reason"),
                        "DeletionByTaintManager");
    assert_false(fake_get(bench.api, PODS, "default", "stays-300")->deleting);
    live(&bench, 280, "b", NULL);
    assert_false(fake_get(bench.api, PODS, "default", "stays-300")->deleting);
    live(&bench, 30, "b", NULL);
    assert_true(fake_get(bench.api, PODS, "default", "stays-300")->deleting);
    assert_false(fake_get(bench.api, PODS, "default", "stays")->deleting);
    uint64_t before = fake_api_writes(bench.api);
    live(&bench, 600, "b", NULL);
    assert_int_equal(fake_api_writes(bench.api), before);
    bench_done(&bench);
}

static void one_that_comes_back_loses_its_taints(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make_node(&bench, "a");
    make_node(&bench, "b");
    make_pod(&bench, "p", "a", STAYS_300);
    live(&bench, 30, "a", "b");
    live(&bench, 100, "b", NULL);
    assert_true(has_taint(&bench, "a", UNREACHABLE, "NoExecute"));
    beat(&bench, "a");
    fake_patchf(bench.api, NODES, "", "a", "status",
                "{'status':{'conditions':[{'type':'Ready','status':'True','reason':'KubeletReady',"
                "'message':'ok'}]}}");
    live(&bench, 400, "a", "b");
    assert_int_equal(val_count(val_path(value_of(&bench, NODES, "a"), "spec.taints")), 0);
    assert_false(fake_get(bench.api, PODS, "default", "p")->deleting);
    assert_true(count_events(&bench, "TaintManagerEviction") == 1); /* called off */
    bench_done(&bench);
}

static void nobody_is_evicted_when_all_are_silent(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    make_node(&bench, "a");
    make_node(&bench, "b");
    make_pod(&bench, "p", "a", "");
    live(&bench, 30, "a", "b");
    live(&bench, 2000, NULL, NULL);
    assert_string_equal(condition_at(&bench, NODES, "a", "Ready", "status"), "Unknown");
    assert_string_equal(condition_at(&bench, NODES, "b", "Ready", "status"), "Unknown");
    assert_false(has_taint(&bench, "a", UNREACHABLE, "NoExecute"));
    assert_false(has_taint(&bench, "b", UNREACHABLE, "NoExecute"));
    assert_true(has_taint(&bench, "b", UNREACHABLE, "NoSchedule"));
    bench_quiet(&bench, 2000);
    bench_done(&bench);
}

static void taints_follow_conditions(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    make_node(&bench, "a");
    make_node(&bench, "b");
    live(&bench, 20, "a", "b");
    fake_patchf(bench.api, NODES, "", "a", "", "{'spec':{'unschedulable':true}}");
    fake_patchf(bench.api, NODES, "", "a", "status",
                "{'status':{'conditions':[{'type':'Ready','status':'False','reason':'x','message':"
                "''},{'type':'DiskPressure','status':'True','reason':'x','message':''}]}}");
    live(&bench, 10, "a", "b");
    assert_true(has_taint(&bench, "a", "node.kubernetes.io/unschedulable", "NoSchedule"));
    assert_true(has_taint(&bench, "a", "node.kubernetes.io/disk-pressure", "NoSchedule"));
    assert_true(has_taint(&bench, "a", NOT_READY, "NoSchedule"));
    assert_true(has_taint(&bench, "a", NOT_READY, "NoExecute"));
    fake_patchf(bench.api, NODES, "", "a", "", "{'spec':{'unschedulable':null}}");
    fake_patchf(bench.api, NODES, "", "a", "status",
                "{'status':{'conditions':[{'type':'Ready','status':'True','reason':'x','message':"
                "''}]}}");
    live(&bench, 10, "a", "b");
    assert_int_equal(val_count(val_path(value_of(&bench, NODES, "a"), "spec.taints")), 0);
    bench_done(&bench);
}

static void a_restart_gives_the_whole_grace_again(void **state)
{
    struct bench bench;
    bench_init(&bench, 5, controllers);
    make_node(&bench, "a");
    make_node(&bench, "b");
    live(&bench, 30, "a", "b");
    live(&bench, 40, "b", NULL);
    bench_stop(&bench);
    bench_start(&bench);
    live(&bench, 40, "b", NULL);
    assert_string_equal(condition_at(&bench, NODES, "a", "Ready", "status"), "True");
    live(&bench, 30, "b", NULL);
    assert_string_equal(condition_at(&bench, NODES, "a", "Ready", "status"), "Unknown");
    bench_done(&bench);
}

static void pods_without_a_node_are_collected(void **state)
{
    struct bench bench;
    bench_init(&bench, 6, controllers);
    make_node(&bench, "a");
    make_pod(&bench, "lost", "gone", "");
    make_pod(&bench, "kept", "a", "");
    live(&bench, 30, "a", NULL);
    assert_non_null(fake_get(bench.api, PODS, "default", "lost"));
    live(&bench, 60, "a", NULL);
    assert_null(fake_get(bench.api, PODS, "default", "lost"));
    assert_non_null(fake_get(bench.api, PODS, "default", "kept"));
    bench_done(&bench);
}

static void the_oldest_finished_pods_go(void **state)
{
    struct bench bench;
    bench_init(&bench, 7, controllers);
    bench.options.terminated_pod_limit = 5;
    make_node(&bench, "a");
    for (int i = 0; i < 12; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%02d", i);
        make_pod(&bench, name, "a", "");
        fake_patchf(bench.api, PODS, "default", name, "status", "{'status':{'phase':'Succeeded'}}");
        live(&bench, 2, "a", NULL);
    }
    live(&bench, 40, "a", NULL);
    assert_int_equal(fake_count(bench.api, PODS), 5);
    assert_null(fake_get(bench.api, PODS, "default", "p06"));
    assert_non_null(fake_get(bench.api, PODS, "default", "p07"));
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_silent_node_is_tainted_and_emptied),
        cmocka_unit_test(one_that_comes_back_loses_its_taints),
        cmocka_unit_test(nobody_is_evicted_when_all_are_silent),
        cmocka_unit_test(taints_follow_conditions),
        cmocka_unit_test(a_restart_gives_the_whole_grace_again),
        cmocka_unit_test(pods_without_a_node_are_collected),
        cmocka_unit_test(the_oldest_finished_pods_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
