/* controllers/apps/statefulset.c on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

#define STATEFULSETS kind("apps", "statefulsets")
#define REVISIONS    kind("apps", "controllerrevisions")
#define CLAIMS       kind("", "persistentvolumeclaims")

static const struct controller *const controllers[] = {&controller_statefulset, &controller_garbage,
                                                       NULL};

static void make_set(struct bench *bench, int replicas, const char *more)
{
    fake_createf(bench->api, STATEFULSETS,
                 "{'apiVersion':'apps/v1','kind':'StatefulSet','metadata':{'name':'web','namespace'"
                 ":'default'},'spec':{'replicas':%d,'serviceName':'web','selector':{'matchLabels':{"
                 "'app':'web'}},'template':{'metadata':{'labels':{'app':'web'}},'spec':{"
                 "'containers':[{'name':'c','image':'web:1'}]}}%s}}",
                 replicas, more);
}

static bool has_pod(struct bench *bench, const char *name)
{
    return fake_get(bench->api, PODS, "default", name) != NULL;
}

static void makes_members_in_order(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make_set(&bench, 3, "");
    bench_run(&bench, 5); /* nobody runs them: the first one is waited for */
    assert_int_equal(fake_count(bench.api, PODS), 1);
    assert_true(has_pod(&bench, "web-0"));
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    bench_run(&bench, 30);
    assert_int_equal(fake_count(bench.api, PODS), 3);
    assert_string_equal(text_at(&bench, PODS, "web-2", "spec.hostname"), "web-2");
    assert_string_equal(text_at(&bench, PODS, "web-2", "spec.subdomain"), "web");
    struct object *pod = fake_get(bench.api, PODS, "default", "web-2");
    assert_true(str_is(object_label_get(pod, STR("statefulset.kubernetes.io/pod-name")), "web-2"));
    assert_true(str_is(object_label_get(pod, STR("apps.kubernetes.io/pod-index")), "2"));
    assert_int_equal(number_at(&bench, STATEFULSETS, "web", "status.readyReplicas"), 3);
    assert_int_equal(number_at(&bench, STATEFULSETS, "web", "status.currentReplicas"), 3);
    assert_int_equal(fake_count(bench.api, REVISIONS), 1);
    assert_string_equal(text_at(&bench, STATEFULSETS, "web", "status.currentRevision"),
                        text_at(&bench, STATEFULSETS, "web", "status.updateRevision"));
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void makes_all_at_once_when_parallel(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make_set(&bench, 5, ",'podManagementPolicy':'Parallel','ordinals':{'start':3}");
    bench_run(&bench, 2);
    assert_int_equal(fake_count(bench.api, PODS), 5);
    assert_true(has_pod(&bench, "web-3") && has_pod(&bench, "web-7"));
    bench_done(&bench);
}

static void shrinks_from_the_top(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_set(&bench, 4, "");
    bench_run(&bench, 60);
    fake_patchf(bench.api, STATEFULSETS, "default", "web", "", "{'spec':{'replicas':1}}");
    bench_run(&bench, 120);
    assert_int_equal(fake_count(bench.api, PODS), 1);
    assert_true(has_pod(&bench, "web-0"));
    assert_int_equal(number_at(&bench, STATEFULSETS, "web", "status.replicas"), 1);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void rolls_from_the_top_to_the_partition(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_set(&bench, 3,
             ",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':1}}");
    bench_run(&bench, 60);
    fake_patchf(bench.api, STATEFULSETS, "default", "web", "",
                "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'web:2'}]}}}}");
    bench_run(&bench, 120);
    assert_int_equal(number_at(&bench, STATEFULSETS, "web", "status.updatedReplicas"), 2);
    const char *old = text_at(&bench, STATEFULSETS, "web", "status.currentRevision");
    struct object *first = fake_get(bench.api, PODS, "default", "web-0");
    assert_true(str_is(object_label_get(first, STR("controller-revision-hash")), old));
    /* a member below the partition comes back as it was */
    fake_delete(bench.api, PODS, "default", "web-0", "{'gracePeriodSeconds':0}");
    bench_run(&bench, 30);
    first = fake_get(bench.api, PODS, "default", "web-0");
    assert_true(str_is(object_label_get(first, STR("controller-revision-hash")), old));
    fake_patchf(bench.api, STATEFULSETS, "default", "web", "",
                "{'spec':{'updateStrategy':{'rollingUpdate':{'partition':0}}}}");
    bench_run(&bench, 60);
    assert_int_equal(number_at(&bench, STATEFULSETS, "web", "status.updatedReplicas"), 3);
    assert_string_equal(text_at(&bench, STATEFULSETS, "web", "status.currentRevision"),
                        text_at(&bench, STATEFULSETS, "web", "status.updateRevision"));
    assert_int_equal(fake_count(bench.api, REVISIONS), 2);
    /* back to the first template: its revision gets the next number */
    fake_patchf(bench.api, STATEFULSETS, "default", "web", "",
                "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'web:1'}]}}}}");
    bench_run(&bench, 120);
    assert_int_equal(fake_count(bench.api, REVISIONS), 2);
    assert_string_equal(text_at(&bench, STATEFULSETS, "web", "status.updateRevision"), old);
    assert_int_equal(number_at(&bench, REVISIONS, old, "revision"), 3);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void gives_each_member_its_claims(void **state)
{
    struct bench bench;
    bench_init(&bench, 5, controllers);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_set(
        &bench, 2,
        ",'volumeClaimTemplates':[{'metadata':{'name':'data'},'spec':{'accessModes':["
        "'ReadWriteOnce'],'resources':{'requests':{'storage':'1Gi'}}}}],"
        "'persistentVolumeClaimRetentionPolicy':{'whenDeleted':'Retain','whenScaled':'Delete'}");
    bench_run(&bench, 60);
    assert_int_equal(fake_count(bench.api, CLAIMS), 2);
    struct val *volume =
        val_find(val_path(value_of(&bench, PODS, "web-1"), "spec.volumes"), "name", STR("data"));
    assert_true(
        str_is(val_text(val_path(volume, "persistentVolumeClaim.claimName")), "data-web-1"));
    struct object *claim = fake_get(bench.api, CLAIMS, "default", "data-web-1");
    assert_true(str_is(object_label_get(claim, STR("app")), "web"));
    fake_patchf(bench.api, STATEFULSETS, "default", "web", "", "{'spec':{'replicas':1}}");
    bench_run(&bench, 120);
    assert_int_equal(fake_count(bench.api, PODS), 1);
    assert_int_equal(fake_count(bench.api, CLAIMS), 1); /* went with its pod */
    assert_non_null(fake_get(bench.api, CLAIMS, "default", "data-web-0"));
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void never_has_two_of_a_name_after_crashes(void **state)
{
    for (uint64_t seed = 10; seed < 30; seed++) {
        struct bench bench;
        bench_init(&bench, seed, controllers);
        fake_kubelet_start(bench.api, "node-a", NS_PER_S);
        make_set(&bench, 3, "");
        for (int i = 0; i < 6; i++) {
            loop_run_for(bench.loop, (int64_t)(seed % 7 + 1) * 300 * NS_PER_MS);
            bench_stop(&bench);
            bench_start(&bench);
        }
        bench_run(&bench, 60);
        assert_int_equal(fake_count(bench.api, PODS), 3);
        assert_int_equal(fake_count(bench.api, REVISIONS), 1);
        assert_int_equal(number_at(&bench, STATEFULSETS, "web", "status.readyReplicas"), 3);
        bench_quiet(&bench, 600);
        bench_done(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_members_in_order),
        cmocka_unit_test(makes_all_at_once_when_parallel),
        cmocka_unit_test(shrinks_from_the_top),
        cmocka_unit_test(rolls_from_the_top_to_the_partition),
        cmocka_unit_test(gives_each_member_its_claims),
        cmocka_unit_test(never_has_two_of_a_name_after_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
