/* controllers/apps/deployment.c with replicaset.c on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {&controller_deployment,
                                                       &controller_replicaset, NULL};

static void begin(struct bench *bench, uint64_t seed)
{
    bench_init(bench, seed, controllers);
    fake_kubelet_start(bench->api, "node-a", NS_PER_S);
}

static void make(struct bench *bench, int replicas, const char *more)
{
    fake_createf(bench->api, DEPLOYMENTS,
                 "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','namespace':"
                 "'default','annotations':{'note':'x'}},'spec':{'replicas':%d,%s'selector':{"
                 "'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'}},"
                 "'spec':{'containers':[{'name':'c','image':'v1'}]}}}}",
                 replicas, more);
}

static void set_image(struct bench *bench, const char *image)
{
    fake_patchf(bench->api, DEPLOYMENTS, "default", "web", "",
                "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'%s'}]}}}}", image);
}

static int64_t status(struct bench *bench, const char *path)
{
    return number_at(bench, DEPLOYMENTS, "web", path);
}

static const char *progressing(struct bench *bench, const char *member)
{
    return condition_at(bench, DEPLOYMENTS, "web", "Progressing", member);
}

struct total {
    struct bench *bench;
    int64_t active, available;
    size_t sets_with_pods;
    const char *image;
    size_t of_image;
};

static void add_pod(void *ctx, struct object *object)
{
    struct total *total = ctx;
    struct val *pod = fake_val(total->bench->api, object);
    struct val *ready = val_find(val_path(pod, "status.conditions"), "type", STR("Ready"));
    total->active += !object->deleting;
    total->available += !object->deleting && str_is(val_text(val_get(ready, "status")), "True");
    struct str image = val_text(val_get(val_at(val_path(pod, "spec.containers"), 0), "image"));
    total->of_image += total->image != NULL && str_is(image, total->image) && !object->deleting;
}

static struct total count(struct bench *bench, const char *image)
{
    struct total total = {.bench = bench, .image = image};
    fake_each(bench->api, PODS, add_pod, &total);
    return total;
}

static void rolls_out_first_time(void **state)
{
    struct bench bench;
    begin(&bench, 1);
    make(&bench, 5, "");
    bench_run(&bench, 30);
    assert_int_equal(fake_count(bench.api, REPLICASETS), 1);
    assert_int_equal(status(&bench, "status.replicas"), 5);
    assert_int_equal(status(&bench, "status.updatedReplicas"), 5);
    assert_int_equal(status(&bench, "status.availableReplicas"), 5);
    assert_int_equal(status(&bench, "status.observedGeneration"), 1);
    assert_string_equal(progressing(&bench, "reason"), "NewReplicaSetAvailable");
    assert_string_equal(condition_at(&bench, DEPLOYMENTS, "web", "Available", "reason"),
                        "MinimumReplicasAvailable");
    struct val *set = fake_val(bench.api, nth(&bench, REPLICASETS, 0));
    struct val *notes = val_path(set, "metadata.annotations");
    assert_true(str_is(val_text(val_get(notes, "note")), "x"));
    assert_true(str_is(val_text(val_get(notes, "deployment.kubernetes.io/desired-replicas")), "5"));
    assert_true(str_is(val_text(val_get(notes, "deployment.kubernetes.io/max-replicas")), "7"));
    struct str hash = val_text(val_get(val_path(set, "metadata.labels"), "pod-template-hash"));
    assert_true(hash.n > 0 && str_ends(val_name(set), hash));
    assert_true(str_eq(
        val_text(val_get(val_path(set, "spec.selector.matchLabels"), "pod-template-hash")), hash));
    assert_true(str_is(
        val_text(val_get(val_path(value_of(&bench, DEPLOYMENTS, "web"), "metadata.annotations"),
                         "deployment.kubernetes.io/revision")),
        "1"));
    assert_int_equal(count_events(&bench, "ScalingReplicaSet"), 1);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void rolls_within_its_bounds(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct bench bench;
        begin(&bench, seed);
        make(&bench, 10, "'strategy':{'rollingUpdate':{'maxSurge':'25%','maxUnavailable':'25%'}},");
        bench_run(&bench, 30);
        set_image(&bench, "v2");
        for (int i = 0; i < 600; i++) { /* surge rounds up to 3, unavailable down to 2 */
            loop_run_for(bench.loop, 100 * NS_PER_MS);
            struct total total = count(&bench, NULL);
            assert_true(total.active <= 13);
            assert_true(total.available >= 8);
        }
        assert_int_equal(count(&bench, "v2").of_image, 10);
        assert_int_equal(fake_count(bench.api, REPLICASETS), 2);
        assert_string_equal(progressing(&bench, "reason"), "NewReplicaSetAvailable");
        bench_quiet(&bench, 3600);
        bench_done(&bench);
    }
}

static void recreate_never_mixes(void **state)
{
    struct bench bench;
    begin(&bench, 7);
    make(&bench, 4, "'strategy':{'type':'Recreate'},");
    bench_run(&bench, 30);
    assert_int_equal(count(&bench, "v1").of_image, 4);
    set_image(&bench, "v2");
    for (int i = 0; i < 300; i++) {
        loop_run_for(bench.loop, 100 * NS_PER_MS);
        size_t old = fake_count(bench.api, PODS) - count(&bench, "v2").of_image;
        assert_true(old == 0 || count(&bench, "v2").of_image == 0);
    }
    assert_int_equal(count(&bench, "v2").of_image, 4);
    assert_string_equal(progressing(&bench, "reason"), "NewReplicaSetAvailable");
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void going_back_takes_the_old_set(void **state)
{
    struct bench bench;
    begin(&bench, 8);
    make(&bench, 3, "");
    bench_run(&bench, 30);
    set_image(&bench, "v2");
    bench_run(&bench, 60);
    set_image(&bench, "v1"); /* what `kubectl rollout undo` comes to */
    bench_run(&bench, 60);
    assert_int_equal(fake_count(bench.api, REPLICASETS), 2);
    assert_int_equal(count(&bench, "v1").of_image, 3);
    const struct val *notes =
        val_path(value_of(&bench, DEPLOYMENTS, "web"), "metadata.annotations");
    assert_true(str_is(val_text(val_get(notes, "deployment.kubernetes.io/revision")), "3"));
    bool history = false;
    for (size_t i = 0; i < 2; i++) {
        struct val *set = fake_val(bench.api, nth(&bench, REPLICASETS, i));
        struct str text = val_text(val_get(val_path(set, "metadata.annotations"),
                                           "deployment.kubernetes.io/revision-history"));
        history |= str_is(text, "1");
    }
    assert_true(history);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void keeps_no_more_history_than_asked(void **state)
{
    struct bench bench;
    begin(&bench, 9);
    make(&bench, 2, "'revisionHistoryLimit':1,");
    bench_run(&bench, 30);
    for (int i = 2; i < 7; i++) {
        char image[8];
        snprintf(image, sizeof image, "v%d", i);
        set_image(&bench, image);
        bench_run(&bench, 40);
    }
    assert_int_equal(fake_count(bench.api, REPLICASETS), 2);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void paused_rolls_nothing(void **state)
{
    struct bench bench;
    begin(&bench, 10);
    make(&bench, 3, "");
    bench_run(&bench, 30);
    fake_patchf(bench.api, DEPLOYMENTS, "default", "web", "", "{'spec':{'paused':true}}");
    bench_run(&bench, 5);
    assert_string_equal(progressing(&bench, "reason"), "DeploymentPaused");
    set_image(&bench, "v2");
    fake_patchf(bench.api, DEPLOYMENTS, "default", "web", "", "{'spec':{'replicas':5}}");
    bench_run(&bench, 30);
    assert_int_equal(count(&bench, "v1").of_image, 5); /* scaling goes on */
    assert_int_equal(count(&bench, "v2").of_image, 0);
    bench_quiet(&bench, 3600);
    fake_patchf(bench.api, DEPLOYMENTS, "default", "web", "", "{'spec':{'paused':false}}");
    bench_run(&bench, 60);
    assert_int_equal(count(&bench, "v2").of_image, 5);
    assert_string_equal(progressing(&bench, "reason"), "NewReplicaSetAvailable");
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void a_bad_image_runs_into_the_deadline(void **state)
{
    struct bench bench;
    begin(&bench, 11);
    make(&bench, 4, "'progressDeadlineSeconds':60,");
    bench_run(&bench, 30);
    set_image(&bench, "broken");
    bench_run(&bench, 40);
    assert_string_equal(progressing(&bench, "reason"), "ReplicaSetUpdated");
    bench_run(&bench, 60);
    assert_string_equal(progressing(&bench, "reason"), "ProgressDeadlineExceeded");
    assert_string_equal(progressing(&bench, "status"), "False");
    assert_true(count(&bench, NULL).available >= 3);
    bench_quiet(&bench, 3600);
    set_image(&bench, "v1");
    bench_run(&bench, 60);
    assert_string_equal(progressing(&bench, "reason"), "NewReplicaSetAvailable");
    assert_int_equal(count(&bench, "v1").available, 4);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

static void scales_two_sets_in_proportion(void **state)
{
    struct bench bench;
    begin(&bench, 12);
    make(&bench, 10, "'strategy':{'rollingUpdate':{'maxSurge':3,'maxUnavailable':2}},");
    bench_run(&bench, 30);
    set_image(&bench, "broken");
    bench_run(&bench, 30);
    assert_int_equal(count(&bench, "v1").of_image, 8);
    assert_int_equal(count(&bench, "broken").of_image, 5);
    fake_patchf(bench.api, DEPLOYMENTS, "default", "web", "", "{'spec':{'replicas':15}}");
    bench_run(&bench, 30); /* the documentation's own example */
    assert_int_equal(count(&bench, "v1").of_image, 11);
    assert_int_equal(count(&bench, "broken").of_image, 7);
    bench_done(&bench);
}

static void a_taken_name_counts_as_a_collision(void **state)
{
    struct bench bench;
    begin(&bench, 13);
    make(&bench, 1, "");
    bench_run(&bench, 20);
    char name[128];
    snprintf(name, sizeof name, "%.*s", STR_ARG(nth(&bench, REPLICASETS, 0)->name));
    bench_stop(&bench);
    fake_delete(bench.api, DEPLOYMENTS, "default", "web", NULL);
    fake_delete(bench.api, REPLICASETS, "default", name, NULL);
    fake_createf(bench.api, REPLICASETS,
                 "{'apiVersion':'apps/v1','kind':'ReplicaSet','metadata':{'name':'%s','namespace':"
                 "'default'},'spec':{'replicas':0,'selector':{'matchLabels':{'app':'foreign'}},"
                 "'template':{'metadata':{'labels':{'app':'foreign'}},'spec':{'containers':[{'name'"
                 ":'c','image':'foreign'}]}}}}",
                 name);
    make(&bench, 1, "");
    bench_start(&bench);
    bench_run(&bench, 30);
    assert_int_equal(fake_count(bench.api, REPLICASETS), 2);
    assert_int_equal(status(&bench, "status.collisionCount"), 1);
    assert_int_equal(status(&bench, "status.availableReplicas"), 1);
    bench_quiet(&bench, 3600);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rolls_out_first_time),
        cmocka_unit_test(rolls_within_its_bounds),
        cmocka_unit_test(recreate_never_mixes),
        cmocka_unit_test(going_back_takes_the_old_set),
        cmocka_unit_test(keeps_no_more_history_than_asked),
        cmocka_unit_test(paused_rolls_nothing),
        cmocka_unit_test(a_bad_image_runs_into_the_deadline),
        cmocka_unit_test(scales_two_sets_in_proportion),
        cmocka_unit_test(a_taken_name_counts_as_a_collision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
