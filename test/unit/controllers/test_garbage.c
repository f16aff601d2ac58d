/* controllers/garbage.c, namespace.c and namespace_defaults.c on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {&controller_garbage, NULL};
static const struct controller *const namespaces[] = {
    &controller_namespace, &controller_service_account, &controller_root_ca, NULL};

/* A config map owned by others: "name" or "name!" (blocks) of config maps of the namespace. */
static void make(struct bench *bench, const char *name, const char *owner, bool blocks)
{
    char reference[512] = "";
    if (owner != NULL) {
        struct object *object = fake_get(bench->api, CONFIGMAPS, "default", owner);
        assert_non_null(object);
        snprintf(
            reference, sizeof reference,
            ",'ownerReferences':[{'apiVersion':'v1','kind':'ConfigMap','name':'%s','uid':'%.*s'"
            ",'blockOwnerDeletion':%s}]",
            owner, STR_ARG(object->uid), blocks ? "true" : "false");
    }
    fake_createf(bench->api, CONFIGMAPS,
                 "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'%s','namespace':"
                 "'default'%s}}",
                 name, reference);
}

static bool is_there(struct bench *bench, const char *name)
{
    return fake_get(bench->api, CONFIGMAPS, "default", name) != NULL;
}

static void delete_with(struct bench *bench, const char *name, const char *policy)
{
    char options[64];
    snprintf(options, sizeof options, "{'propagationPolicy':'%s'}", policy);
    fake_delete(bench->api, CONFIGMAPS, "default", name, options);
}

static void background_goes_down_the_chain(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    make(&bench, "a", NULL, false);
    make(&bench, "b", "a", true);
    make(&bench, "c", "b", true);
    make(&bench, "other", NULL, false);
    bench_run(&bench, 2);
    assert_true(is_there(&bench, "c"));
    delete_with(&bench, "a", "Background");
    assert_false(is_there(&bench, "a"));
    bench_run(&bench, 5);
    assert_false(is_there(&bench, "b"));
    assert_false(is_there(&bench, "c"));
    assert_true(is_there(&bench, "other"));
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void foreground_waits_for_what_blocks(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make(&bench, "a", NULL, false);
    make(&bench, "b", "a", true);
    make(&bench, "c", "b", true);
    fake_patchf(bench.api, CONFIGMAPS, "default", "c", "", "{'metadata':{'finalizers':['x/y']}}");
    bench_run(&bench, 2);
    delete_with(&bench, "a", "Foreground");
    bench_run(&bench, 30);
    assert_true(is_there(&bench, "a"));
    assert_true(is_there(&bench, "b"));
    assert_true(fake_get(bench.api, CONFIGMAPS, "default", "c")->deleting);
    bench_quiet(&bench, 600);
    fake_patchf(bench.api, CONFIGMAPS, "default", "c", "", "{'metadata':{'finalizers':null}}");
    bench_run(&bench, 30);
    assert_int_equal(fake_count(bench.api, CONFIGMAPS), 0);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void foreground_does_not_wait_for_what_does_not_block(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    make(&bench, "a", NULL, false);
    make(&bench, "b", "a", false);
    fake_patchf(bench.api, CONFIGMAPS, "default", "b", "", "{'metadata':{'finalizers':['x/y']}}");
    bench_run(&bench, 2);
    delete_with(&bench, "a", "Foreground");
    bench_run(&bench, 5);
    assert_false(is_there(&bench, "a"));
    assert_true(fake_get(bench.api, CONFIGMAPS, "default", "b")->deleting);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void orphans_stay(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    make(&bench, "a", NULL, false);
    make(&bench, "b", "a", true);
    bench_run(&bench, 2);
    delete_with(&bench, "a", "Orphan");
    bench_run(&bench, 5);
    assert_false(is_there(&bench, "a"));
    assert_int_equal(
        val_count(val_path(value_of(&bench, CONFIGMAPS, "b"), "metadata.ownerReferences")), 0);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void an_owner_that_never_was(void **state)
{
    struct bench bench;
    bench_init(&bench, 5, controllers);
    fake_createf(bench.api, CONFIGMAPS,
                 "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'b','namespace':"
                 "'default','ownerReferences':[{'apiVersion':'v1','kind':'ConfigMap','name':'a',"
                 "'uid':'no-such-uid'}]}}");
    fake_createf(bench.api, CONFIGMAPS,
                 "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':"
                 "'default','ownerReferences':[{'apiVersion':'example.com/v9','kind':'Thing','name'"
                 ":'a','uid':'no-such-uid'}]}}");
    fake_createf(bench.api, NODES,
                 "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n','ownerReferences':[{"
                 "'apiVersion':'v1','kind':'ConfigMap','name':'a','uid':'no-such-uid'}]}}");
    bench_run(&bench, 5);
    assert_false(is_there(&bench, "b"));
    assert_true(is_there(&bench, "c")); /* a kind nobody knows is not missed */
    assert_int_equal(fake_count(bench.api, NODES), 1);
    assert_int_equal(count_events(&bench, "OwnerRefInvalidNamespace"), 1);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void one_of_two_owners_goes(void **state)
{
    struct bench bench;
    bench_init(&bench, 6, controllers);
    make(&bench, "a", NULL, false);
    make(&bench, "b", NULL, false);
    char a[64], b[64];
    snprintf(a, sizeof a, "%.*s", STR_ARG(fake_get(bench.api, CONFIGMAPS, "default", "a")->uid));
    snprintf(b, sizeof b, "%.*s", STR_ARG(fake_get(bench.api, CONFIGMAPS, "default", "b")->uid));
    fake_createf(bench.api, CONFIGMAPS,
                 "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':"
                 "'default','ownerReferences':[{'apiVersion':'v1','kind':'ConfigMap','name':'a',"
                 "'uid':'%s'},{'apiVersion':'v1','kind':'ConfigMap','name':'b','uid':'%s'}]}}",
                 a, b);
    bench_run(&bench, 2);
    delete_with(&bench, "a", "Background");
    bench_run(&bench, 5);
    struct val *owners = val_path(value_of(&bench, CONFIGMAPS, "c"), "metadata.ownerReferences");
    assert_int_equal(val_count(owners), 1);
    delete_with(&bench, "b", "Background");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, CONFIGMAPS), 0);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void make_namespace(struct bench *bench, const char *name)
{
    fake_createf(bench->api, NAMESPACES,
                 "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'%s'}}", name);
}

static void a_namespace_has_its_fixtures(void **state)
{
    struct bench bench;
    bench_init(&bench, 7, namespaces);
    make_namespace(&bench, "default");
    bench_run(&bench, 2);
    assert_non_null(fake_get(bench.api, kind("", "serviceaccounts"), "default", "default"));
    assert_true(
        str_is(val_text(val_get(val_get(value_of(&bench, CONFIGMAPS, "kube-root-ca.crt"), "data"),
                                "ca.crt")),
               "CA"));
    fake_patchf(bench.api, CONFIGMAPS, "default", "kube-root-ca.crt", "",
                "{'data':{'ca.crt':'forged'}}");
    fake_delete(bench.api, kind("", "serviceaccounts"), "default", "default", NULL);
    bench_run(&bench, 2);
    assert_non_null(fake_get(bench.api, kind("", "serviceaccounts"), "default", "default"));
    assert_true(
        str_is(val_text(val_get(val_get(value_of(&bench, CONFIGMAPS, "kube-root-ca.crt"), "data"),
                                "ca.crt")),
               "CA"));
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void a_namespace_is_emptied(void **state)
{
    struct bench bench;
    bench_init(&bench, 8, namespaces);
    make_namespace(&bench, "default");
    fake_kubelet_start(bench.api, "node-a", 3 * NS_PER_S);
    fake_createf(bench.api, PODS,
                 "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','namespace':'default'},"
                 "'spec':{'containers':[{'name':'c','image':'web'}]}}");
    make(&bench, "held", NULL, false);
    fake_patchf(bench.api, CONFIGMAPS, "default", "held", "",
                "{'metadata':{'finalizers':['x/y']}}");
    bench_run(&bench, 5);
    fake_delete(bench.api, NAMESPACES, "", "default", NULL);
    loop_run_for(bench.loop, 20 * NS_PER_MS);
    assert_non_null(fake_get(bench.api, kind("", "serviceaccounts"), "default", "default"));
    bench_run(&bench, 30);
    assert_int_equal(fake_count(bench.api, PODS), 0);
    assert_int_equal(fake_count(bench.api, kind("", "serviceaccounts")), 0);
    assert_string_equal(
        condition_at(&bench, NAMESPACES, "default", "NamespaceFinalizersRemaining", "message"),
        "Some content in the namespace has finalizers remaining: x/y in 1 resource instances");
    bench_quiet(&bench, 600);
    fake_patchf(bench.api, CONFIGMAPS, "default", "held", "", "{'metadata':{'finalizers':null}}");
    bench_run(&bench, 30);
    assert_int_equal(fake_count(bench.api, CONFIGMAPS), 0);
    assert_int_equal(fake_count(bench.api, NAMESPACES), 0);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

/* ---- crashes ---- */

static const struct controller *const both[] = {&controller_namespace, &controller_service_account,
                                                &controller_garbage, NULL};

struct crash {
    struct loop *loop;
    int left;
};

static bool crash_after(void *ctx, const struct client_request *request, struct object *object)
{
    struct crash *crash = ctx;
    if (--crash->left == 0) {
        loop_stop(crash->loop);
    }
    return true;
}

static int delete_all_with_crash(int at, bool foreground)
{
    struct bench bench;
    struct crash crash = {.left = at};
    bench_init(&bench, 50 + (uint64_t)at, both);
    crash.loop = bench.loop;
    make_namespace(&bench, "default");
    make(&bench, "a", NULL, false);
    make(&bench, "b", "a", true);
    make(&bench, "c", "b", true);
    make(&bench, "d", "b", false);
    make(&bench, "e", NULL, false);
    bench_run(&bench, 2);
    fake_api_hooks(bench.api, NULL, crash_after, &crash);
    delete_with(&bench, "a", foreground ? "Foreground" : "Background");
    for (int i = 0; i < 200; i++) {
        bool was = crash.left > 0;
        loop_run_for(bench.loop, 50 * NS_PER_MS);
        if (was && crash.left <= 0) {
            bench_stop(&bench);
            bench_start(&bench);
        }
        if (i == 100) {
            assert_int_equal(fake_count(bench.api, CONFIGMAPS), 1);
            fake_delete(bench.api, NAMESPACES, "", "default", NULL);
        }
    }
    bench_run(&bench, 30);
    assert_int_equal(fake_count(bench.api, CONFIGMAPS), 0);
    assert_int_equal(fake_count(bench.api, kind("", "serviceaccounts")), 0);
    assert_int_equal(fake_count(bench.api, NAMESPACES), 0);
    bench_quiet(&bench, 600);
    bench_done(&bench);
    return at - crash.left; /* writes seen */
}

static void a_crash_after_any_write_leaves_nothing(void **state)
{
    for (int foreground = 0; foreground < 2; foreground++) {
        int writes = delete_all_with_crash(1000, foreground == 1);
        assert_true(writes >= 5);
        for (int at = 1; at <= writes; at++) {
            delete_all_with_crash(at, foreground == 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(background_goes_down_the_chain),
        cmocka_unit_test(foreground_waits_for_what_blocks),
        cmocka_unit_test(foreground_does_not_wait_for_what_does_not_block),
        cmocka_unit_test(orphans_stay),
        cmocka_unit_test(an_owner_that_never_was),
        cmocka_unit_test(one_of_two_owners_goes),
        cmocka_unit_test(a_namespace_has_its_fixtures),
        cmocka_unit_test(a_namespace_is_emptied),
        cmocka_unit_test(a_crash_after_any_write_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
