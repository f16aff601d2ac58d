/* controllers/storage on virtual time. */
#include <stdio.h>

#include "api/volume_binding.h"
#include "bench.h"
#include "controllers/table_int.h"

#define CLAIMS  kind("", "persistentvolumeclaims")
#define VOLUMES kind("", "persistentvolumes")
#define CLASSES kind("storage.k8s.io", "storageclasses")

static const struct controller *const controllers[] = {&controller_persistent_volume_binder, NULL};

static void make_volume(struct bench *bench, const char *name, const char *size, const char *more)
{
    fake_createf(bench->api, VOLUMES,
                 "{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'%s'},'spec':{"
                 "'capacity':{'storage':'%s'},'accessModes':['ReadWriteOnce'],'hostPath':{'path':"
                 "'/x'}%s}}",
                 name, size, more);
}

static void make_claim(struct bench *bench, const char *name, const char *size, const char *more)
{
    fake_createf(bench->api, CLAIMS,
                 "{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'name':'%s',"
                 "'namespace':'default'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{"
                 "'requests':{'storage':'%s'}}%s}}",
                 name, size, more);
}

static void make_local(struct bench *bench)
{
    fake_createf(bench->api, CLASSES,
                 "{'apiVersion':'storage.k8s.io/v1','kind':'StorageClass','metadata':{'name':"
                 "'local'},'provisioner':'" LOCAL_PROVISIONER
                 "','reclaimPolicy':'Delete','volumeBindingMode':'WaitForFirstConsumer',"
                 "'allowVolumeExpansion':true}");
    fake_createf(bench->api, NODES,
                 "{'apiVersion':'v1','kind':'Node','metadata':{'name':'a','labels':{"
                 "'kubernetes.io/hostname':'a'},'annotations':{'" ANNOTATION_VOLUME_ROOT
                 "':'/var/lib/cox/volumes'}}}");
}

static void binds_the_smallest_that_fits(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make_volume(&bench, "large", "20Gi", "");
    make_volume(&bench, "small", "1Gi", "");
    make_volume(&bench, "right", "6Gi", "");
    make_volume(&bench, "other", "5Gi", ",'storageClassName':'x'");
    bench_run(&bench, 2);
    assert_string_equal(text_at(&bench, VOLUMES, "right", "status.phase"), "Available");
    make_claim(&bench, "c", "5Gi", "");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "c", "spec.volumeName"), "right");
    assert_string_equal(text_at(&bench, CLAIMS, "c", "status.phase"), "Bound");
    assert_string_equal(text_at(&bench, CLAIMS, "c", "status.capacity.storage"), "6Gi");
    assert_string_equal(text_at(&bench, VOLUMES, "right", "status.phase"), "Bound");
    assert_string_equal(text_at(&bench, VOLUMES, "right", "spec.claimRef.name"), "c");
    make_claim(&bench, "d", "100Gi", "");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "d", "status.phase"), "Pending");
    assert_true(count_events(&bench, "FailedBinding") >= 1);
    make_volume(&bench, "huge", "200Gi", "");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "d", "spec.volumeName"), "huge");
    bench_quiet(&bench, 600);
    /* the claim goes, the volume stays as it is */
    fake_delete(bench.api, CLAIMS, "default", "c", "{}");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, VOLUMES, "right", "status.phase"), "Released");
    make_claim(&bench, "c", "5Gi", "");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "c", "spec.volumeName"), "large");
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void binds_what_names_each_other(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make_volume(&bench, "for-c", "1Gi", ",'claimRef':{'namespace':'default','name':'c'}");
    make_volume(&bench, "v", "1Gi", "");
    make_claim(&bench, "other", "1Gi", "");
    make_claim(&bench, "c", "1Gi", "");
    make_claim(&bench, "e", "1Gi", ",'volumeName':'for-c'");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "other", "spec.volumeName"), "v");
    assert_string_equal(text_at(&bench, CLAIMS, "c", "spec.volumeName"), "for-c");
    assert_string_equal(text_at(&bench, CLAIMS, "e", "status.phase"), "Pending");
    fake_delete(bench.api, VOLUMES, "", "for-c", "{}");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "c", "status.phase"), "Lost");
    assert_int_equal(count_events(&bench, "ClaimLost"), 1);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void makes_a_folder_on_the_chosen_node(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    make_local(&bench);
    make_claim(&bench, "c", "1Gi", ",'storageClassName':'local'");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "c", "status.phase"), "Pending");
    assert_true(count_events(&bench, "WaitForFirstConsumer") >= 1);
    fake_patchf(bench.api, CLAIMS, "default", "c", "",
                "{'metadata':{'annotations':{'" ANNOTATION_SELECTED_NODE "':'a'}}}");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "c", "status.phase"), "Bound");
    assert_int_equal(fake_count(bench.api, VOLUMES), 1);
    char name[80];
    snprintf(name, sizeof name, "%s", text_at(&bench, CLAIMS, "c", "spec.volumeName"));
    assert_memory_equal(text_at(&bench, VOLUMES, name, "spec.local.path"),
                        "/var/lib/cox/volumes/pvc-", 25);
    assert_string_equal(text_at(&bench, VOLUMES, name, "spec.persistentVolumeReclaimPolicy"),
                        "Delete");
    bench_quiet(&bench, 600);
    fake_patchf(bench.api, CLAIMS, "default", "c", "",
                "{'spec':{'resources':{'requests':{'storage':'3Gi'}}}}");
    bench_run(&bench, 5);
    assert_string_equal(text_at(&bench, CLAIMS, "c", "status.capacity.storage"), "3Gi");
    assert_string_equal(text_at(&bench, VOLUMES, name, "spec.capacity.storage"), "3Gi");
    bench_quiet(&bench, 600);
    fake_delete(bench.api, CLAIMS, "default", "c", "{}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, VOLUMES), 0);
    bench_done(&bench);
}

static void says_why_it_makes_none(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    make_local(&bench);
    make_claim(&bench, "block", "1Gi", ",'storageClassName':'local','volumeMode':'Block'");
    make_claim(&bench, "gone", "1Gi", ",'storageClassName':'local'");
    make_claim(&bench, "none", "1Gi", ",'storageClassName':'nowhere'");
    fake_patchf(bench.api, CLAIMS, "default", "block", "",
                "{'metadata':{'annotations':{'" ANNOTATION_SELECTED_NODE "':'a'}}}");
    fake_patchf(bench.api, CLAIMS, "default", "gone", "",
                "{'metadata':{'annotations':{'" ANNOTATION_SELECTED_NODE "':'b'}}}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, VOLUMES), 0);
    assert_true(count_events(&bench, "ProvisioningFailed") >= 3);
    assert_int_equal(val_count(val_path(value_of(&bench, CLAIMS, "gone"), "metadata.annotations")),
                     0); /* the scheduler is to choose again */
    fake_createf(bench.api, CLASSES,
                 "{'apiVersion':'storage.k8s.io/v1','kind':'StorageClass','metadata':{'name':'csi'}"
                 ",'provisioner':'csi.example.com'}");
    make_claim(&bench, "csi", "1Gi", ",'storageClassName':'csi'");
    bench_run(&bench, 5);
    struct val *annotations = val_path(value_of(&bench, CLAIMS, "csi"), "metadata.annotations");
    assert_true(
        str_is(val_text(val_get_str(annotations, STR("volume.kubernetes.io/storage-provisioner"))),
               "csi.example.com"));
    assert_true(count_events(&bench, "ExternalProvisioning") >= 1);
    bench_done(&bench);
}

static void finishes_what_a_crash_left(void **state)
{
    for (uint64_t seed = 10; seed < 40; seed++) {
        struct bench bench;
        bench_init(&bench, seed, controllers);
        make_local(&bench);
        make_claim(&bench, "c", "1Gi", ",'storageClassName':'local'");
        fake_patchf(bench.api, CLAIMS, "default", "c", "",
                    "{'metadata':{'annotations':{'" ANNOTATION_SELECTED_NODE "':'a'}}}");
        for (int i = 0; i < 8; i++) {
            loop_run_for(bench.loop, (int64_t)(seed % 9 + 1) * NS_PER_MS);
            bench_stop(&bench);
            bench_start(&bench);
        }
        bench_run(&bench, 10);
        assert_string_equal(text_at(&bench, CLAIMS, "c", "status.phase"), "Bound");
        assert_int_equal(fake_count(bench.api, VOLUMES), 1);
        bench_quiet(&bench, 100);
        bench_done(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binds_the_smallest_that_fits),
        cmocka_unit_test(binds_what_names_each_other),
        cmocka_unit_test(makes_a_folder_on_the_chosen_node),
        cmocka_unit_test(says_why_it_makes_none),
        cmocka_unit_test(finishes_what_a_crash_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
