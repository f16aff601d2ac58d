/* controllers/network/endpointslice.c and endpoints.c on virtual time. */
#include <stdio.h>

#include "bench.h"
#include "controllers/table_int.h"

static const struct controller *const controllers[] = {&controller_endpointslice,
                                                       &controller_endpoints, NULL};

static void make_pod(struct bench *bench, const char *name, const char *ports)
{
    fake_createf(bench->api, PODS,
                 "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default',"
                 "'labels':{'app':'web'}},'spec':{'nodeName':'node-a','containers':[{'name':'c',"
                 "'image':'web','ports':[%s]}]}}",
                 name, ports);
}

static void make_service(struct bench *bench, const char *more)
{
    fake_createf(bench->api, SERVICES,
                 "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','namespace':"
                 "'default','labels':{'team':'blue'}},'spec':{'selector':{'app':'web'},"
                 "'ipFamilies':['IPv4'],'clusterIP':'10.96.0.9'%s}}",
                 more);
}

static struct val *slice_at(struct bench *bench, size_t i)
{
    return fake_val(bench->api, nth(bench, SLICES, i));
}

static struct val *endpoint_of(struct val *slice, const char *pod)
{
    VAL_EACH (it, val_get(slice, "endpoints")) {
        if (str_is(val_text(val_path(it, "targetRef.name")), pod)) {
            return it;
        }
    }
    return NULL;
}

static void one_slice_per_service(void **state)
{
    struct bench bench;
    bench_init(&bench, 1, controllers);
    fake_createf(bench.api, NODES,
                 "{'apiVersion':'v1','kind':'Node','metadata':{'name':'node-a','labels':{"
                 "'topology.kubernetes.io/zone':'z1'}}}");
    make_service(&bench, ",'ports':[{'name':'http','port':80,'targetPort':'web'}]");
    bench_run(&bench, 2);
    assert_int_equal(fake_count(bench.api, SLICES), 1); /* the empty one says: looked at */
    assert_int_equal(val_count(val_get(slice_at(&bench, 0), "endpoints")), 0);
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_pod(&bench, "a", "{'name':'web','containerPort':8080}");
    make_pod(&bench, "b", "{'name':'web','containerPort':8080}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, SLICES), 1);
    struct val *slice = slice_at(&bench, 0);
    assert_int_equal(val_count(val_get(slice, "endpoints")), 2);
    struct val *port = val_at(val_get(slice, "ports"), 0);
    assert_int_equal(val_int(val_get(port, "port"), 0), 8080);
    assert_true(str_is(val_text(val_get(port, "name")), "http"));
    struct val *endpoint = endpoint_of(slice, "a");
    assert_true(val_bool(val_path(endpoint, "conditions.ready"), false));
    assert_true(str_is(val_text(val_get(endpoint, "zone")), "z1"));
    assert_true(str_is(val_text(val_get(endpoint, "nodeName")), "node-a"));
    struct val *labels = val_path(slice, "metadata.labels");
    assert_true(str_is(val_text(val_get(labels, "kubernetes.io/service-name")), "web"));
    assert_true(str_is(val_text(val_get(labels, "team")), "blue"));
    assert_true(
        str_is(val_text(val_path(val_at(val_path(slice, "metadata.ownerReferences"), 0), "kind")),
               "Service"));
    struct val *subset = val_at(val_get(value_of(&bench, ENDPOINTS, "web"), "subsets"), 0);
    assert_int_equal(val_count(val_get(subset, "addresses")), 2);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void readiness_and_termination_show(void **state)
{
    struct bench bench;
    bench_init(&bench, 2, controllers);
    make_service(&bench, ",'ports':[{'port':80,'targetPort':8080}]");
    fake_kubelet_start(bench.api, NULL, 20 * NS_PER_S);
    make_pod(&bench, "a", "");
    make_pod(&bench, "b", "");
    bench_run(&bench, 25);
    fake_patchf(bench.api, PODS, "default", "b", "status",
                "{'status':{'conditions':[{'type':'Ready','status':'False'}]}}");
    fake_delete(bench.api, PODS, "default", "a", NULL);
    loop_run_for(bench.loop, 100 * NS_PER_MS);
    struct val *a = endpoint_of(slice_at(&bench, 0), "a");
    struct val *b = endpoint_of(slice_at(&bench, 0), "b");
    if (a != NULL) {
        assert_false(val_bool(val_path(a, "conditions.ready"), true));
        assert_true(val_bool(val_path(a, "conditions.serving"), false));
        assert_true(val_bool(val_path(a, "conditions.terminating"), false));
    }
    assert_false(val_bool(val_path(b, "conditions.ready"), true));
    struct val *subset = val_at(val_get(value_of(&bench, ENDPOINTS, "web"), "subsets"), 0);
    assert_int_equal(val_count(val_get(subset, "addresses")), 0);
    assert_int_equal(val_count(val_get(subset, "notReadyAddresses")), 1);
    bench_run(&bench, 30);
    assert_null(endpoint_of(slice_at(&bench, 0), "a"));
    fake_patchf(bench.api, SERVICES, "default", "web", "",
                "{'spec':{'publishNotReadyAddresses':true}}");
    bench_run(&bench, 2);
    b = endpoint_of(slice_at(&bench, 0), "b");
    assert_true(val_bool(val_path(b, "conditions.ready"), false));
    assert_false(val_bool(val_path(b, "conditions.serving"), true));
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void a_hundred_a_slice(void **state)
{
    struct bench bench;
    bench_init(&bench, 3, controllers);
    make_service(&bench, ",'ports':[{'port':80,'targetPort':8080}]");
    fake_kubelet_start(bench.api, "node-a", 5 * NS_PER_S);
    for (int i = 0; i < 230; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%03d", i);
        make_pod(&bench, name, "");
    }
    bench_run(&bench, 20);
    size_t total = 0;
    assert_true(fake_count(bench.api, SLICES) >= 3);
    for (size_t i = 0; i < fake_count(bench.api, SLICES); i++) {
        uint32_t count = val_count(val_get(slice_at(&bench, i), "endpoints"));
        assert_true(count <= 100);
        total += count;
    }
    assert_int_equal(total, 230);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void named_ports_are_each_pods_own(void **state)
{
    struct bench bench;
    bench_init(&bench, 4, controllers);
    make_service(&bench, ",'ports':[{'name':'http','port':80,'targetPort':'web'}]");
    fake_kubelet_start(bench.api, "node-a", NS_PER_S);
    make_pod(&bench, "a", "{'name':'web','containerPort':8080}");
    make_pod(&bench, "b", "{'name':'web','containerPort':9090}");
    make_pod(&bench, "c", "");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, SLICES), 2);
    struct val *endpoints = value_of(&bench, ENDPOINTS, "web");
    assert_int_equal(val_count(val_get(endpoints, "subsets")), 2);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static void no_selector_is_left_alone(void **state)
{
    struct bench bench;
    bench_init(&bench, 5, controllers);
    fake_createf(bench.api, SERVICES,
                 "{'apiVersion':'v1','kind':'Service','metadata':{'name':'own','namespace':"
                 "'default'},'spec':{'clusterIP':'10.96.0.9','ports':[{'port':80}]}}");
    fake_createf(bench.api, ENDPOINTS,
                 "{'apiVersion':'v1','kind':'Endpoints','metadata':{'name':'own','namespace':"
                 "'default'},'subsets':[{'addresses':[{'ip':'10.0.0.1'}]}]}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, SLICES), 0);
    fake_delete(bench.api, SERVICES, "default", "own", NULL);
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, ENDPOINTS), 1);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

static const struct controller *const mirrors[] = {&controller_endpointslice, &controller_endpoints,
                                                   &controller_endpointslice_mirror, NULL};

static void endpoints_by_hand_are_mirrored(void **state)
{
    struct bench bench;
    bench_init(&bench, 6, mirrors);
    fake_createf(bench.api, SERVICES,
                 "{'apiVersion':'v1','kind':'Service','metadata':{'name':'own','namespace':"
                 "'default'},'spec':{'clusterIP':'10.96.0.9','ports':[{'port':80}]}}");
    fake_createf(bench.api, ENDPOINTS,
                 "{'apiVersion':'v1','kind':'Endpoints','metadata':{'name':'own','namespace':"
                 "'default'},'subsets':[{'addresses':[{'ip':'192.0.2.1'}],'notReadyAddresses':[{"
                 "'ip':'192.0.2.2'}],'ports':[{'port':9000}]}]}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, SLICES), 1);
    struct val *slice = slice_at(&bench, 0);
    assert_int_equal(val_count(val_get(slice, "endpoints")), 2);
    assert_int_equal(val_int(val_get(val_at(val_get(slice, "ports"), 0), "port"), 0), 9000);
    bench_quiet(&bench, 600);
    fake_patchf(bench.api, ENDPOINTS, "default", "own", "",
                "{'subsets':[{'addresses':[{'ip':'192.0.2.3'}],'ports':[{'port':9000}]}]}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, SLICES), 1);
    slice = slice_at(&bench, 0);
    assert_true(
        str_is(val_text(val_at(val_get(val_at(val_get(slice, "endpoints"), 0), "addresses"), 0)),
               "192.0.2.3"));
    bench_quiet(&bench, 600);
    fake_patchf(bench.api, ENDPOINTS, "default", "own", "",
                "{'metadata':{'labels':{'endpointslice.kubernetes.io/skip-mirror':'true'}}}");
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, SLICES), 0);
    make_service(&bench, ",'ports':[{'port':80}]"); /* with a selector: the other controller's */
    bench_run(&bench, 5);
    assert_int_equal(fake_count(bench.api, SLICES), 1);
    bench_quiet(&bench, 600);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_slice_per_service),
        cmocka_unit_test(readiness_and_termination_show),
        cmocka_unit_test(a_hundred_a_slice),
        cmocka_unit_test(named_ports_are_each_pods_own),
        cmocka_unit_test(no_selector_is_left_alone),
        cmocka_unit_test(endpoints_by_hand_are_mirrored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
