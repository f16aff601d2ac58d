/* controllers/storage/protection.c on virtual time: what is used stays, what is not goes. */
#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {&controller_claim_protection,
                                                       &controller_volume_protection,
                                                       &controller_class_protection, NULL};
#define CLAIMS  kind("", "persistentvolumeclaims")
#define VOLUMES kind("", "persistentvolumes")
#define CLASSES kind("storage.k8s.io", "volumeattributesclasses")

static void make_claim(struct bench *bench, const char *name)
{
    fake_createf(bench->api, CLAIMS,
                 "{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'name':'%s',"
                 "'namespace':'default'},'spec':{'accessModes':['ReadWriteOnce'],"
                 "'volumeAttributesClassName':'fast','resources':{'requests':{'storage':'1Gi'}}}}",
                 name);
}

static void make_pod(struct bench *bench, const char *name, const char *node, const char *volume)
{
    fake_createf(bench->api, PODS,
                 "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default'},"
                 "'spec':{%s'containers':[{'name':'c','image':'x'}],'volumes':[{'name':'v',%s}]}}",
                 name, node, volume);
}

static bool is_there(struct bench *bench, const char *claim)
{
    return fake_get(bench->api, CLAIMS, "default", claim) != NULL;
}

static void claims(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make_claim(&bench, "used");
    make_claim(&bench, "waiting");
    make_claim(&bench, "free");
    make_claim(&bench, "e-v");
    bench_run(&bench, 3);
    assert_string_equal(text_at(&bench, CLAIMS, "used", "metadata.name"), "used");
    assert_int_equal(val_count(val_path(value_of(&bench, CLAIMS, "free"), "metadata.finalizers")),
                     1);
    make_pod(&bench, "p", "'nodeName':'n',", "'persistentVolumeClaim':{'claimName':'used'}");
    make_pod(&bench, "w", "", "'persistentVolumeClaim':{'claimName':'waiting'}");
    make_pod(&bench, "e", "'nodeName':'n',", "'ephemeral':{}");
    const char *const all[] = {"used", "waiting", "free", "e-v"};
    for (size_t i = 0; i < 4; i++) {
        fake_delete(bench.api, CLAIMS, "default", all[i], NULL);
    }
    bench_run(&bench, 5);
    assert_true(is_there(&bench, "used"));
    assert_true(is_there(&bench, "e-v"));
    assert_false(is_there(&bench, "waiting")); /* its pod is on no node yet */
    assert_false(is_there(&bench, "free"));
    fake_delete(bench.api, PODS, "default", "p", "{'gracePeriodSeconds':0}");
    fake_delete(bench.api, PODS, "default", "e", "{'gracePeriodSeconds':0}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, CLAIMS), 0);
    bench_quiet(&bench, 30);
    bench_done(&bench);
}

static void unused(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make_claim(&bench, "c");
    bench_run(&bench, 3);
    fake_patchf(bench.api, CLAIMS, "default", "c", "status", "{'status':{'phase':'Bound'}}");
    bench_run(&bench, 3);
    assert_string_equal(condition_at(&bench, CLAIMS, "c", "Unused", "status"), "True");
    make_pod(&bench, "p", "", "'persistentVolumeClaim':{'claimName':'c'}");
    bench_run(&bench, 3);
    assert_string_equal(condition_at(&bench, CLAIMS, "c", "Unused", "status"), "False");
    fake_patchf(bench.api, PODS, "default", "p", "status", "{'status':{'phase':'Succeeded'}}");
    bench_run(&bench, 3);
    assert_string_equal(condition_at(&bench, CLAIMS, "c", "Unused", "reason"), "NoPodsUsingPVC");
    bench_quiet(&bench, 30);
    bench_done(&bench);
}

static void volumes_and_classes(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    fake_createf(bench.api, VOLUMES,
                 "{'apiVersion':'v1','kind':'PersistentVolume','metadata':{'name':'v'},'spec':{"
                 "'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOnce'],'hostPath':{'path':"
                 "'/x'}}}");
    fake_createf(bench.api, CLASSES,
                 "{'apiVersion':'storage.k8s.io/v1','kind':'VolumeAttributesClass','metadata':{"
                 "'name':'fast'},'driverName':'d'}");
    make_claim(&bench, "c");
    fake_patchf(bench.api, VOLUMES, NULL, "v", "status", "{'status':{'phase':'Bound'}}");
    bench_run(&bench, 3);
    fake_delete(bench.api, VOLUMES, NULL, "v", NULL);
    fake_delete(bench.api, CLASSES, NULL, "fast", NULL);
    bench_run(&bench, 3);
    assert_int_equal(fake_count(bench.api, VOLUMES), 1);
    assert_int_equal(fake_count(bench.api, CLASSES), 1);
    fake_patchf(bench.api, VOLUMES, NULL, "v", "status", "{'status':{'phase':'Released'}}");
    fake_delete(bench.api, CLAIMS, "default", "c", NULL);
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, VOLUMES), 0);
    assert_int_equal(fake_count(bench.api, CLASSES), 0);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(claims), cmocka_unit_test(unused),
                                       cmocka_unit_test(volumes_and_classes)};
    return cmocka_run_group_tests_name("controllers-protection", tests, NULL, NULL);
}
