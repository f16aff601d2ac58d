/* controllers/table.c: every controller is in it, and all of them together start, converge and
 * stop. */
#include "bench.h"
#include "controllers/table_int.h"

static void every_controller_has_its_row(void **state)
{
    /* clang-format off: one a line */
    const struct controller *all[] = {
        &controller_cron_job,
        &controller_daemonset,
        &controller_deployment,
        &controller_disruption,
        &controller_endpoints,
        &controller_endpointslice,
        &controller_endpointslice_mirror,
        &controller_ephemeral_volume,
        &controller_garbage,
        &controller_job,
        &controller_job_ttl,
        &controller_namespace,
        &controller_node_life,
        &controller_persistent_volume_binder,
        &controller_pod_gc,
        &controller_replicaset,
        &controller_replication,
        &controller_resource_quota,
        &controller_root_ca,
        &controller_service_account,
        &controller_statefulset,
        &controller_taint_eviction,
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bool found = false;
        for (size_t j = 0; controllers_table[j] != NULL; j++) {
            found |= controllers_table[j] == all[i];
        }
        assert_true(found);
    }
}

struct identities {
    struct client *client;
    int asked;
};

static struct client *client_for(void *ctx, const char *controller)
{
    struct identities *identities = ctx;
    identities->asked++;
    assert_true(controller[0] != '\0');
    return identities->client;
}

static void all_together_converge(void **state)
{
    static const struct controller *const none[] = {NULL};
    struct bench bench;
    bench_init(&bench, 1, none);
    struct identities identities = {bench.client, 0};
    bench.options.client_for = client_for;
    bench.options.client_ctx = &identities;
    struct controllers *controllers =
        controllers_start(bench.loop, bench.informers, &bench.options);
    int rows = 0;
    while (controllers_table[rows] != NULL) {
        rows++;
    }
    assert_int_equal(identities.asked, rows); /* each writes as itself */
    fake_createf(bench.api, NAMESPACES,
                 "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'default'}}");
    fake_createf(bench.api, NODES, "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n'}}");
    fake_patchf(bench.api, NODES, "", "n", "status",
                "{'status':{'conditions':[{'type':'Ready','status':'True','reason':'x','message':"
                "''}]}}");
    fake_kubelet_start(bench.api, "n", NS_PER_S);
    fake_createf(
        bench.api, DEPLOYMENTS,
        "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','namespace':"
        "'default'},'spec':{'replicas':3,'selector':{'matchLabels':{'app':'web'}},"
        "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c',"
        "'image':'v1'}]}}}}");
    bench_run(&bench, 30);
    assert_int_equal(number_at(&bench, DEPLOYMENTS, "web", "status.availableReplicas"), 3);
    fake_delete(bench.api, NAMESPACES, "", "default", NULL);
    bench_run(&bench, 60);
    assert_int_equal(fake_count(bench.api, DEPLOYMENTS), 0);
    assert_int_equal(fake_count(bench.api, REPLICASETS), 0);
    assert_int_equal(fake_count(bench.api, PODS), 0);
    assert_int_equal(fake_count(bench.api, NAMESPACES), 0);
    controllers_stop(controllers);
    bench_done(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_controller_has_its_row),
        cmocka_unit_test(all_together_converge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
