/* controllers/apps/daemonset*.c, node_fit.c and the ReplicationController on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

#define DAEMONSETS kind("apps", "daemonsets")
#define REVISIONS  kind("apps", "controllerrevisions")

static const struct controller *const controllers[] = {&controller_daemonset, NULL};

static void make_node(struct bench *bench, const char *name, const char *labels, const char *taints)
{
    fake_createf(bench->api, NODES,
                 "{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s','labels':{%s}},'spec':{"
                 "'taints':[%s]}}",
                 name, labels, taints);
}

static void make_set(struct bench *bench, const char *pod_spec, const char *more)
{
    fake_createf(bench->api, DAEMONSETS,
                 "{'apiVersion':'apps/v1','kind':'DaemonSet','metadata':{'name':'d','namespace':"
                 "'default'},'spec':{'selector':{'matchLabels':{'app':'d'}},'template':{'metadata':"
                 "{'labels':{'app':'d'}},'spec':{'containers':[{'name':'c','image':'d:1'}]%s}}%s}}",
                 pod_spec, more);
}

/* Scheduler and kubelet: binds each pod to the node of its affinity and says that it is ready. */
static void run_pods(struct bench *bench)
{
    for (size_t i = 0; i < fake_count(bench->api, PODS); i++) {
        struct arena arena ARENA_CLEANUP = ARENA_INIT;
        struct object *object = nth(bench, PODS, i);
        const struct val *pod = object_decode(object, &arena);
        const char *name = str_dup_in(&arena, object->name);
        if (val_text(val_path(pod, "spec.nodeName")).n > 0 || object->deleting) {
            continue;
        }
        struct str node = val_text(val_at(
            val_get(val_at(val_get(val_at(val_path(pod,
                                                   "spec.affinity.nodeAffinity."
                                                   "requiredDuringSchedulingIgnoredDuringExecution."
                                                   "nodeSelectorTerms"),
                                          0),
                                   "matchFields"),
                           0),
                    "values"),
            0));
        assert_true(node.n > 0);
        fake_patchf(bench->api, PODS, "default", name, "", "{'spec':{'nodeName':'%.*s'}}",
                    STR_ARG(node));
        fake_patchf(bench->api, PODS, "default", name, "status",
                    "{'status':{'phase':'Running','conditions':[{'type':'Ready','status':'True',"
                    "'lastTransitionTime':'2027-01-15T08:00:00Z'}]}}");
    }
}

static void settle(struct bench *bench, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        bench_run(bench, 1);
        /* no kubelet: what is being deleted goes at once */
        for (size_t j = fake_count(bench->api, PODS); j-- > 0;) {
            struct object *pod = nth(bench, PODS, j);
            if (pod->deleting) {
                char name[80];
                snprintf(name, sizeof name, "%.*s", STR_ARG(pod->name));
                fake_delete(bench->api, PODS, "default", name, "{'gracePeriodSeconds':0}");
            }
        }
        run_pods(bench);
    }
    bench_run(bench, 2);
}

static int64_t status(struct bench *bench, const char *member)
{
    char path[64];
    snprintf(path, sizeof path, "status.%s", member);
    return number_at(bench, DAEMONSETS, "d", path);
}

static void runs_on_every_node_it_may(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make_node(&bench, "a", "'disk':'ssd'", "");
    make_node(&bench, "b", "", "");
    make_node(&bench, "c", "'disk':'ssd'", "{'key':'x','effect':'NoSchedule'}");
    make_node(&bench, "d", "'disk':'ssd'",
              "{'key':'node.kubernetes.io/not-ready','effect':'NoExecute'}");
    make_set(&bench, ",'nodeSelector':{'disk':'ssd'}", "");
    settle(&bench, 3);
    assert_int_equal(fake_count(bench.api, PODS), 2); /* a, and d in spite of its taint */
    assert_int_equal(status(&bench, "desiredNumberScheduled"), 2);
    assert_int_equal(status(&bench, "numberReady"), 2);
    assert_int_equal(status(&bench, "numberAvailable"), 2);
    assert_int_equal(status(&bench, "updatedNumberScheduled"), 2);
    fake_patchf(bench.api, NODES, "", "b", "", "{'metadata':{'labels':{'disk':'ssd'}}}");
    settle(&bench, 3);
    assert_int_equal(status(&bench, "numberReady"), 3);
    /* a new NoSchedule taint lets what is there stay, a NoExecute taint does not */
    fake_patchf(bench.api, NODES, "", "b", "",
                "{'spec':{'taints':[{'key':'x','effect':'NoSchedule'}]}}");
    settle(&bench, 3);
    assert_int_equal(fake_count(bench.api, PODS), 3);
    assert_int_equal(status(&bench, "numberMisscheduled"), 1);
    fake_patchf(bench.api, NODES, "", "b", "",
                "{'spec':{'taints':[{'key':'x','effect':'NoExecute'}]}}");
    settle(&bench, 3);
    assert_int_equal(fake_count(bench.api, PODS), 2);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void replaces_one_node_at_a_time(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make_node(&bench, "a", "", "");
    make_node(&bench, "b", "", "");
    make_node(&bench, "c", "", "");
    make_set(&bench, "", "");
    settle(&bench, 3);
    fake_patchf(bench.api, DAEMONSETS, "default", "d", "",
                "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'d:2'}]}}}}");
    bench_run(&bench, 2);
    size_t deleting = 0;
    for (size_t i = 0; i < fake_count(bench.api, PODS); i++) {
        deleting += nth(&bench, PODS, i)->deleting;
    }
    assert_true(deleting <= 1 && fake_count(bench.api, PODS) >= 2);
    settle(&bench, 10);
    assert_int_equal(status(&bench, "updatedNumberScheduled"), 3);
    assert_int_equal(status(&bench, "numberAvailable"), 3);
    assert_int_equal(fake_count(bench.api, REVISIONS), 2);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void surges_before_it_ends_the_old(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    make_node(&bench, "a", "", "");
    make_node(&bench, "b", "", "");
    make_set(&bench, "",
             ",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1,"
             "'maxUnavailable':0}}");
    settle(&bench, 3);
    fake_patchf(bench.api, DAEMONSETS, "default", "d", "",
                "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'d:2'}]}}}}");
    bench_run(&bench, 2);
    assert_int_equal(fake_count(bench.api, PODS), 3); /* one more, none ended */
    settle(&bench, 10);
    assert_int_equal(fake_count(bench.api, PODS), 2);
    assert_int_equal(status(&bench, "updatedNumberScheduled"), 2);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void replaces_failed_pods_more_and_more_slowly(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    make_node(&bench, "a", "", "");
    make_set(&bench, "", "");
    settle(&bench, 2);
    for (int i = 0; i < 60; i++) {
        struct object *pod = fake_count(bench.api, PODS) > 0 ? nth(&bench, PODS, 0) : NULL;
        if (pod != NULL && !pod->deleting) {
            char name[80];
            snprintf(name, sizeof name, "%.*s", STR_ARG(pod->name));
            fake_patchf(bench.api, PODS, "default", name, "status",
                        "{'status':{'phase':'Failed'}}");
        }
        settle(&bench, 1);
    }
    size_t replaced = count_events(&bench, "FailedDaemonPod");
    assert_true(replaced >= 3 && replaced < 12);
    bench_done(&bench);
}

static void a_replication_controller_keeps_its_pods(void **state)
{
    static const struct controller *const replication[] = {&controller_replication, NULL};
    struct bench bench;
    bench_init(&bench, 5, replication);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    fake_createf(bench.api, kind("", "replicationcontrollers"),
                 "{'apiVersion':'v1','kind':'ReplicationController','metadata':{'name':'r',"
                 "'namespace':'default'},'spec':{'replicas':3,'selector':{'app':'r'},'template':{"
                 "'metadata':{'labels':{'app':'r'}},'spec':{'containers':[{'name':'c','image':'r'}]"
                 "}}}}");
    bench_run(&bench, 10);
    assert_int_equal(fake_count(bench.api, PODS), 3);
    assert_int_equal(
        number_at(&bench, kind("", "replicationcontrollers"), "r", "status.readyReplicas"), 3);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_on_every_node_it_may),
        cmocka_unit_test(replaces_one_node_at_a_time),
        cmocka_unit_test(surges_before_it_ends_the_old),
        cmocka_unit_test(replaces_failed_pods_more_and_more_slowly),
        cmocka_unit_test(a_replication_controller_keeps_its_pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
