/* test_scheduler.c: the scheduler against a fake API server, on virtual time: pods get nodes, pods
 * that fit nowhere say why and are tried again when something happens, preemption, failed writes.
 */
#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "fake_client.h"
#include "scheduler/scheduler.h"

static struct loop *loop;
static struct fake_api *api;
static struct client *client;
static struct informers *informers;
static struct scheduler *scheduler;
static const struct api_resource *pods, *nodes, *namespaces, *events;

static int setup(void **state)
{
    loop = loop_new_sim(1, 1700000000 * NS_PER_S);
    api = fake_api_new(loop);
    client = fake_client_new(api, "kube-scheduler");
    informers = informers_new(client);
    pods = schema_resource(STR(""), STR("v1"), STR("pods"));
    nodes = schema_resource(STR(""), STR("v1"), STR("nodes"));
    namespaces = schema_resource(STR(""), STR("v1"), STR("namespaces"));
    events = schema_resource(STR(""), STR("v1"), STR("events"));
    fake_createf(api, namespaces, "{'metadata':{'name':'default'}}");
    return 0;
}

static int teardown(void **state)
{
    scheduler_stop(scheduler);
    informers_free(informers);
    fake_api_cancel(api);
    loop_run_for(loop, NS_PER_S);
    client->ops->free(client);
    fake_api_free(api);
    loop_free(loop);
    return 0;
}

static void start(void)
{
    scheduler = scheduler_start(loop, informers, "default-scheduler");
    loop_run_for(loop, NS_PER_S);
}

static void add_node(const char *name, int cpu, const char *more)
{
    fake_createf(api, nodes,
                 "{'metadata':{'name':'%s','labels':{'kubernetes.io/hostname':'%s'}}%s}", name,
                 name, more);
    fake_patchf(api, nodes, NULL, name, "status",
                "{'status':{'capacity':{'cpu':'%d','memory':'8Gi','pods':'110',"
                "'nvidia.com/gpu':'2'},'allocatable':{'cpu':'%d','memory':'8Gi','pods':'110',"
                "'nvidia.com/gpu':'2'}}}",
                cpu, cpu);
}

static void add_pod(const char *name, const char *requests, const char *more)
{
    fake_createf(api, pods,
                 "{'metadata':{'name':'%s','namespace':'default'},'spec':{'containers':[{'name':"
                 "'c','image':'i','resources':{'requests':{%s}}}]%s}}",
                 name, requests, more);
}

static struct val *pod_val(const char *name)
{
    struct object *object = fake_get(api, pods, "default", name);
    return object != NULL ? fake_val(api, object) : NULL;
}

static struct str node_of(const char *name)
{
    return val_text(val_path(pod_val(name), "spec.nodeName"));
}

static struct str why(const char *name)
{
    struct val *condition =
        val_find(val_path(pod_val(name), "status.conditions"), "type", STR("PodScheduled"));
    assert_true(str_is(val_text(val_get(condition, "status")), "False"));
    assert_true(str_is(val_text(val_get(condition, "reason")), "Unschedulable"));
    return val_text(val_get(condition, "message"));
}

static void pods_get_nodes_with_room(void **state)
{
    char name[16];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "n%d", i);
        add_node(name, 4, "");
    }
    start();
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "p%d", i);
        add_pod(name, "'cpu':'1'", "");
    }
    loop_run_for(loop, 5 * NS_PER_S);
    int used[4] = {0};
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "p%d", i);
        struct str node = node_of(name);
        assert_int_equal(node.n, 2);
        used[node.p[1] - '0']++;
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(used[i], 4);
    }
}

static void says_why_and_comes_back(void **state)
{
    add_node("n0", 2, "");
    add_node("n1", 4, ",'spec':{'unschedulable':true}");
    add_node("n2", 4, ",'spec':{'taints':[{'key':'k','value':'v','effect':'NoSchedule'}]}");
    start();
    add_pod("big", "'cpu':'3'", "");
    loop_run_for(loop, 2 * NS_PER_S);
    assert_int_equal(node_of("big").n, 0);
    struct str message = why("big");
    if (!str_is(message,
                "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), "
                "1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption "
                "is not helpful for scheduling. Nearest: node n0 lacks 1 cpu.")) {
        fail_msg("%.*s", STR_ARG(message));
    }
    assert_true(fake_count(api, events) > 0);
    fake_patchf(api, nodes, NULL, "n1", "", "{'spec':{'unschedulable':null}}");
    loop_run_for(loop, 3 * NS_PER_S);
    assert_true(str_is(node_of("big"), "n1"));
}

static void the_last_gpu_is_waited_for(void **state)
{
    add_node("n0", 8, "");
    start();
    add_pod("a", "'nvidia.com/gpu':'1'", "");
    add_pod("b", "'nvidia.com/gpu':'1'", "");
    loop_run_for(loop, NS_PER_S);
    add_pod("c", "'nvidia.com/gpu':'1'", "");
    loop_run_for(loop, 2 * NS_PER_S);
    assert_true(node_of("a").n > 0 && node_of("b").n > 0 && node_of("c").n == 0);
    assert_true(str_starts(why("c"), STR("0/1 nodes are available: 1 Insufficient "
                                         "nvidia.com/gpu.")));
    fake_delete(api, pods, "default", "a", "{'gracePeriodSeconds':0}");
    loop_run_for(loop, 3 * NS_PER_S);
    assert_true(str_is(node_of("c"), "n0"));
}

static void important_pods_make_room(void **state)
{
    add_node("n0", 4, "");
    add_node("n1", 4, "");
    start();
    add_pod("low0", "'cpu':'3'", ",'priority':5,'terminationGracePeriodSeconds':0");
    add_pod("low1", "'cpu':'3'", ",'priority':4,'terminationGracePeriodSeconds':0");
    loop_run_for(loop, NS_PER_S);
    struct str low1 = node_of("low1");
    assert_true(low1.n > 0);
    add_pod("high", "'cpu':'2'", ",'priority':10");
    loop_run_for(loop, NS_PER_S / 2);
    fake_kubelet_start(api, NULL, NS_PER_S);
    loop_run_for(loop, 60 * NS_PER_S);
    assert_true(str_eq(node_of("high"), low1)); /* the lowest one had to go */
    assert_null(fake_get(api, pods, "default", "low1"));
    assert_non_null(fake_get(api, pods, "default", "low0"));
}

static void promised_room_is_not_given_away(void **state)
{
    add_node("n0", 4, "");
    start();
    add_pod("low", "'cpu':'3'", ",'priority':5");
    loop_run_for(loop, NS_PER_S);
    add_pod("high", "'cpu':'3'", ",'priority':10");
    loop_run_for(loop, NS_PER_S);
    struct val *high = pod_val("high"), *low = pod_val("low");
    assert_true(str_is(val_text(val_path(high, "status.nominatedNodeName")), "n0"));
    assert_non_null(val_path(low, "metadata.deletionTimestamp"));
    assert_non_null(val_find(val_path(low, "status.conditions"), "type", STR("DisruptionTarget")));
    add_pod("thief", "'cpu':'1'", ",'priority':1");
    add_pod("small", "'cpu':'1'", ",'priority':20"); /* comes before it */
    loop_run_for(loop, 2 * NS_PER_S);
    assert_int_equal(node_of("high").n, 0);
    assert_true(str_is(node_of("small"), "n0"));
    fake_delete(api, pods, "default", "small", "{'gracePeriodSeconds':0}");
    loop_run_for(loop, 2 * NS_PER_S);
    assert_int_equal(node_of("thief").n, 0); /* 1 cpu is free, and promised */
    fake_delete(api, pods, "default", "low", "{'gracePeriodSeconds':0}");
    loop_run_for(loop, 15 * NS_PER_S);
    assert_true(str_is(node_of("high"), "n0"));
    assert_true(str_is(node_of("thief"), "n0"));
}

static int refusals;

static enum err_code refuse_some(void *ctx, const struct client_request *request,
                                 uint64_t writes_done)
{
    bool binding = request->subresource != NULL && str_is(str_of(request->subresource), "binding");
    return binding && refusals++ < 3 ? ERR_UNAVAILABLE : 0;
}

static void a_refused_binding_gives_the_room_back(void **state)
{
    add_node("n0", 2, "");
    refusals = 0;
    fake_api_hooks(api, refuse_some, NULL, NULL);
    start();
    add_pod("a", "'cpu':'2'", "");
    loop_run_for(loop, 30 * NS_PER_S);
    assert_int_equal(refusals, 4);
    assert_true(str_is(node_of("a"), "n0"));
}

static void pods_known_before_their_node_count(void **state)
{
    start();
    fake_createf(api, pods,
                 "{'metadata':{'name':'static','namespace':'default'},'spec':{'nodeName':'n0',"
                 "'containers':[{'name':'c','image':'i','resources':{'requests':{'cpu':'3'}}}]}}");
    loop_run_for(loop, NS_PER_S);
    add_node("n0", 4, "");
    add_pod("a", "'cpu':'2'", "");
    loop_run_for(loop, 3 * NS_PER_S);
    assert_int_equal(node_of("a").n, 0);
    fake_delete(api, nodes, NULL, "n0", NULL);
    loop_run_for(loop, NS_PER_S);
    add_node("n0", 5, "");
    loop_run_for(loop, 20 * NS_PER_S);
    assert_true(str_is(node_of("a"), "n0"));
}

static void gates_and_other_schedulers_are_left_alone(void **state)
{
    add_node("n0", 4, "");
    start();
    add_pod("gated", "'cpu':'1'", ",'schedulingGates':[{'name':'g'}]");
    add_pod("other", "'cpu':'1'", ",'schedulerName':'mine'");
    loop_run_for(loop, 3 * NS_PER_S);
    assert_int_equal(node_of("gated").n + node_of("other").n, 0);
    fake_patchf(api, pods, "default", "gated", "", "{'spec':{'schedulingGates':null}}");
    loop_run_for(loop, 3 * NS_PER_S);
    assert_true(node_of("gated").n > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pods_get_nodes_with_room, setup, teardown),
        cmocka_unit_test_setup_teardown(says_why_and_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_gpu_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(important_pods_make_room, setup, teardown),
        cmocka_unit_test_setup_teardown(promised_room_is_not_given_away, setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_binding_gives_the_room_back, setup, teardown),
        cmocka_unit_test_setup_teardown(pods_known_before_their_node_count, setup, teardown),
        cmocka_unit_test_setup_teardown(gates_and_other_schedulers_are_left_alone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
