/* test_services.c: Services in the kernel: every kind of address and policy, endpoints that come
 * and go under load, with bridge-nf-call-iptables off and on. */
#include "netns_test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/conntrack.h"
#include "network/namespace.h"
#include "network/pods.h"
#include "network/service_rules.h"
#include "network/services.h"

enum { BACKENDS = 3 };

struct world {
    struct loop *loop;
    struct network *network; /* bridge and pods; its rules are replaced by ours */
    struct service_rules *rules;
    struct services *services;
    struct pod_network client, backends[BACKENDS];
    int listeners[BACKENDS];
    int netns_fd;
};
static struct world world;

static void attach(const char *uid, struct pod_network *pod)
{
    struct pod_network_request request = {.pod_uid = str_of(uid)};
    const struct pod_network_ops *ops = network_pod_ops(world.network);
    assert_int_equal(ops->attach(ops->ctx, &request, pod, NULL), 0);
}

static void open_services(void)
{
    struct err err = ERR_INIT;
    struct service_rules_options rules = {.netns_fd = world.netns_fd};
    address_range_parse(STR("10.244.0.0/24"), &rules.pods, NULL);
    address_range_parse(STR("10.244.0.0/16"), &rules.cluster, NULL);
    address_range_parse(STR("10.96.0.0/16"), &rules.services, NULL);
    int rc = service_rules_new(&rules, &world.rules, &err);
    if (rc != 0) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    struct services_options options = {
        .loop = world.loop, .netns_fd = world.netns_fd, .model = {.node_name = STR("node-1")}};
    world.services = services_new(&options, world.rules);
}

static void close_services(void)
{
    services_free(world.services);
    service_rules_free(world.rules);
}

static int set_up(void **state)
{
    struct network_options options = {.loop = world.loop,
                                      .node_name = STR("node-1"),
                                      .pod_cidr = STR("10.244.0.0/24"),
                                      .cluster_cidr = STR("10.244.0.0/16"),
                                      .service_cidr = STR("10.96.0.0/16")};
    assert_int_equal(network_new(&options, &world.network, NULL), 0);
    assert_int_equal(namespace_open(NULL, &world.netns_fd, NULL), 0);
    netns_test_run(world.loop, 100);
    attach("client", &world.client);
    for (int i = 0; i < BACKENDS; i++) {
        char uid[16];
        snprintf(uid, sizeof uid, "backend-%d", i);
        attach(uid, &world.backends[i]);
        world.listeners[i] =
            netns_test_listen(world.backends[i].netns_path, SOCK_STREAM, "0.0.0.0", 8080);
    }
    open_services();
    return 0;
}

static int tear_down(void **state)
{
    close_services();
    for (int i = 0; i < BACKENDS; i++) {
        close(world.listeners[i]);
    }
    network_free(world.network);
    close(world.netns_fd);
    return 0;
}

static void sync_now(void)
{
    struct err err = ERR_INIT;
    int rc = services_sync(world.services, &err);
    if (rc != 0) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
}

static void put_service_status(const char *name, const char *spec, const char *status)
{
    char json[2048];
    snprintf(json, sizeof json,
             "{'apiVersion':'v1','kind':'Service','metadata':{'name':'%s','namespace':'default',"
             "'uid':'11111111-2222-3333-4444-%s'},'spec':%s,'status':%s}",
             name, name, spec, status);
    struct object *object = netns_test_object("", "v1", "services", json);
    services_change_service(world.services, NULL, object);
    object_unref(object);
}

static void put_service(const char *name, const char *spec)
{
    put_service_status(name, spec, "{}");
}

static void drop_service(const char *name)
{
    char json[512];
    snprintf(json, sizeof json,
             "{'apiVersion':'v1','kind':'Service','metadata':{'name':'%s','namespace':'default'}}",
             name);
    struct object *object = netns_test_object("", "v1", "services", json);
    services_change_service(world.services, object, NULL);
    object_unref(object);
}

/* Endpoints by mask of backends; `conditions` "" or "'ready':false,...". */
static void put_slice(const char *service, const char *protocol, unsigned backends,
                      const char *node, const char *conditions)
{
    char json[4096];
    int n = snprintf(json, sizeof json,
                     "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':"
                     "{'name':'%s-x','namespace':'default','labels':"
                     "{'kubernetes.io/service-name':'%s'}},'addressType':'IPv4',"
                     "'ports':[{'name':'web','port':8080,'protocol':'%s'}],'endpoints':[",
                     service, service, protocol);
    const char *comma = "";
    for (int i = 0; i < BACKENDS; i++) {
        if (backends >> i & 1) {
            n += snprintf(json + n, sizeof json - (size_t)n,
                          "%s{'addresses':['%s'],'nodeName':'%s','conditions':{%s}}", comma,
                          world.backends[i].ip, node, conditions);
            comma = ",";
        }
    }
    snprintf(json + n, sizeof json - (size_t)n, "]}");
    struct object *object = netns_test_object("discovery.k8s.io", "v1", "endpointslices", json);
    services_change_slice(world.services, NULL, object);
    object_unref(object);
}

#define WEB_PORTS "'ports':[{'name':'web','port':80,'targetPort':8080,'protocol':'TCP'}]"

/* Connects and returns which backend got it, -1 refused, -2 nothing. */
static int ask_peer(const char *from, const char *address, uint16_t port, char ret_peer[16])
{
    int sock = netns_test_connect(from, SOCK_STREAM, address, port, 400);
    if (sock < 0) {
        return errno == ECONNREFUSED ? -1 : -2;
    }
    int who = netns_test_accepted(world.listeners, BACKENDS, 1000, ret_peer);
    close(sock);
    return who;
}

static int ask(const char *from, const char *address, uint16_t port)
{
    return ask_peer(from, address, port, NULL);
}

static void expect_spread(const char *from, const char *address, uint16_t port, unsigned backends)
{
    int hits[BACKENDS] = {0}, total = 0;
    for (int i = 0; i < 120; i++) {
        int who = ask(from, address, port);
        assert_true(who >= 0);
        hits[who]++;
        total++;
    }
    int members = __builtin_popcount(backends);
    for (int i = 0; i < BACKENDS; i++) {
        if (backends >> i & 1) {
            assert_true(hits[i] > total / members / 3);
        } else {
            assert_int_equal(hits[i], 0);
        }
    }
}

static void cluster_ip(void **state)
{
    char peer[16];
    put_service("a1", "{'type':'ClusterIP','clusterIP':'10.96.0.50'," WEB_PORTS "}");
    put_slice("a1", "TCP", 7, "node-1", "");
    sync_now();
    expect_spread(world.client.netns_path, "10.96.0.50", 80, 7);
    expect_spread(NULL, "10.96.0.50", 80, 7); /* from the node */
    assert_true(ask_peer(world.client.netns_path, "10.96.0.50", 80, peer) >= 0);
    assert_string_equal(peer, world.client.ip); /* pods keep their address */
    assert_int_equal(ask(world.client.netns_path, "10.96.0.50", 81), -1);
    assert_int_equal(ask(world.client.netns_path, "10.96.7.7", 80), -1);
    put_slice("a1", "TCP", 2, "node-1", "");
    sync_now();
    expect_spread(world.client.netns_path, "10.96.0.50", 80, 2);
    put_slice("a1", "TCP", 0, "node-1", "");
    sync_now();
    assert_int_equal(ask(world.client.netns_path, "10.96.0.50", 80), -1);
    assert_int_equal(ask(NULL, "10.96.0.50", 80), -1);
    put_slice("a1", "TCP", 5, "node-1", "");
    sync_now();
    expect_spread(world.client.netns_path, "10.96.0.50", 80, 5);
    drop_service("a1");
    sync_now();
    assert_int_equal(ask(world.client.netns_path, "10.96.0.50", 80), -1);
}

static void hairpin(void **state)
{
    put_service("b1", "{'type':'ClusterIP','clusterIP':'10.96.0.51','internalTrafficPolicy':"
                      "'Local'," WEB_PORTS "}");
    put_slice("b1", "TCP", 1, "node-1", "");
    sync_now();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask(world.backends[0].netns_path, "10.96.0.51", 80), 0);
    }
    put_slice("b1", "TCP", 1, "node-2", ""); /* elsewhere only: dropped */
    sync_now();
    assert_int_equal(ask(world.client.netns_path, "10.96.0.51", 80), -2);
    drop_service("b1");
    sync_now();
}

static void node_port_and_external(void **state)
{
    char peer[16];
    put_service("c1", "{'type':'NodePort','clusterIP':'10.96.0.52','externalIPs':['192.0.2.1'],"
                      "'ports':[{'name':'web','port':80,'nodePort':30080,'protocol':'TCP'}]}");
    put_slice("c1", "TCP", 3, "node-1", "");
    sync_now();
    expect_spread(NULL, "10.244.0.1", 30080, 3);
    expect_spread(world.client.netns_path, "10.244.0.1", 30080, 3);
    expect_spread(world.client.netns_path, "192.0.2.1", 80, 3);
    assert_true(ask_peer(world.client.netns_path, "10.244.0.1", 30080, peer) >= 0);
    assert_string_equal(peer, "10.244.0.1"); /* cluster policy masquerades */
    put_slice("c1", "TCP", 0, "node-1", "");
    sync_now();
    assert_int_equal(ask(NULL, "10.244.0.1", 30080), -1);
    assert_true(ask(world.client.netns_path, "192.0.2.1", 80) < 0); /* no route there either */
    /* Another Service claims the same external address: it waits, then takes over. */
    put_slice("c1", "TCP", 1, "node-1", "");
    put_service("c2", "{'type':'ClusterIP','clusterIP':'10.96.0.53','externalIPs':['192.0.2.1']"
                      "," WEB_PORTS "}");
    put_slice("c2", "TCP", 2, "node-1", "");
    sync_now();
    expect_spread(world.client.netns_path, "192.0.2.1", 80, 1);
    drop_service("c1");
    sync_now();
    expect_spread(world.client.netns_path, "192.0.2.1", 80, 2);
    drop_service("c2");
    sync_now();
}

static void external_local(void **state)
{
    put_service("d1", "{'type':'NodePort','clusterIP':'10.96.0.54','externalTrafficPolicy':'Local',"
                      "'ports':[{'name':'web','port':80,'nodePort':30081,'protocol':'TCP'}]}");
    put_slice("d1", "TCP", 3, "node-2", ""); /* all elsewhere: inside may use them */
    sync_now();
    expect_spread(world.client.netns_path, "10.244.0.1", 30081, 3);
    expect_spread(NULL, "10.244.0.1", 30081, 3);
    put_slice("d1", "TCP", 3, "node-1", "");
    sync_now();
    expect_spread(world.client.netns_path, "10.244.0.1", 30081, 3);
    drop_service("d1");
    sync_now();
}

static void put_balanced(const char *source)
{
    char spec[512];
    snprintf(spec, sizeof spec,
             "{'type':'LoadBalancer','clusterIP':'10.96.0.58','loadBalancerSourceRanges':['%s'],"
             "'ports':[{'name':'web','port':80,'nodePort':30085,'protocol':'TCP'}]}",
             source);
    put_service_status("h1", spec, "{'loadBalancer':{'ingress':[{'ip':'192.0.2.9'}]}}");
}

static void load_balancer_sources(void **state)
{
    put_slice("h1", "TCP", 7, "node-1", "");
    put_balanced("198.51.100.0/24");
    sync_now();
    assert_int_equal(ask(world.client.netns_path, "192.0.2.9", 80), -2);
    put_balanced("10.244.0.0/16");
    sync_now();
    expect_spread(world.client.netns_path, "192.0.2.9", 80, 7);
    drop_service("h1");
    sync_now();
}

static void terminating_fallback(void **state)
{
    put_service("e1", "{'type':'ClusterIP','clusterIP':'10.96.0.55'," WEB_PORTS "}");
    put_slice("e1", "TCP", 3, "node-1", "'ready':false,'serving':true,'terminating':true");
    sync_now();
    expect_spread(world.client.netns_path, "10.96.0.55", 80, 3);
    put_slice("e1", "TCP", 3, "node-1", "'ready':false,'serving':false,'terminating':true");
    sync_now();
    assert_int_equal(ask(world.client.netns_path, "10.96.0.55", 80), -1);
    drop_service("e1");
    sync_now();
}

static void session_affinity(void **state)
{
    put_service("f1", "{'type':'ClusterIP','clusterIP':'10.96.0.56','sessionAffinity':'ClientIP',"
                      "'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':100}}," WEB_PORTS "}");
    put_slice("f1", "TCP", 7, "node-1", "");
    sync_now();
    int first = ask(world.client.netns_path, "10.96.0.56", 80);
    assert_true(first >= 0);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(ask(world.client.netns_path, "10.96.0.56", 80), first);
    }
    /* A new agent makes the table anew and keeps the clients. */
    close_services();
    open_services();
    put_service("f1", "{'type':'ClusterIP','clusterIP':'10.96.0.56','sessionAffinity':'ClientIP',"
                      "'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':100}}," WEB_PORTS "}");
    put_slice("f1", "TCP", 7, "node-1", "");
    assert_int_equal(ask(world.client.netns_path, "10.96.0.56", 80), first); /* no gap */
    sync_now();
    for (int i = 0; i < 30; i++) {
        assert_int_equal(ask(world.client.netns_path, "10.96.0.56", 80), first);
    }
    unsigned others = 7u & ~(1u << first);
    put_slice("f1", "TCP", others, "node-1", "");
    sync_now();
    int second = ask(world.client.netns_path, "10.96.0.56", 80);
    assert_true(second >= 0 && second != first);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(ask(world.client.netns_path, "10.96.0.56", 80), second);
    }
    drop_service("f1");
    sync_now();
}

static bool never_stale(void *ctx, const struct conntrack_flow *flow)
{
    *(int *)ctx += flow->port == 53;
    return false;
}

static void udp_flows_move(void **state)
{
    int servers[2], flows = 0;
    char bytes[8];
    put_service("g1", "{'type':'ClusterIP','clusterIP':'10.96.0.57','ports':[{'name':'web',"
                      "'port':53,'protocol':'UDP'}]}");
    put_slice("g1", "UDP", 1, "node-1", "");
    sync_now();
    for (int i = 0; i < 2; i++) {
        servers[i] = netns_test_listen(world.backends[i].netns_path, SOCK_DGRAM, "0.0.0.0", 8080);
    }
    int sock = netns_test_connect(world.client.netns_path, SOCK_DGRAM, "10.96.0.57", 53, 100);
    assert_int_equal(send(sock, "one", 3, 0), 3);
    usleep(20000);
    assert_int_equal(recv(servers[0], bytes, sizeof bytes, 0), 3);
    assert_int_equal(conntrack_forget(world.netns_fd, 17, never_stale, &flows, NULL), 0);
    assert_int_equal(flows, 1);
    put_slice("g1", "UDP", 2, "node-1", "");
    sync_now();
    assert_int_equal(send(sock, "two", 3, 0), 3); /* same socket, same flow */
    usleep(20000);
    assert_int_equal(recv(servers[0], bytes, sizeof bytes, 0), -1);
    assert_int_equal(recv(servers[1], bytes, sizeof bytes, 0), 3);
    for (int i = 0; i < 2; i++) {
        close(servers[i]);
    }
    close(sock);
    drop_service("g1");
    sync_now();
}

/* The API server behind the "kubernetes" Service: an endpoint that is this node itself. */
static void the_node_as_endpoint(void **state)
{
    int api = netns_test_listen(NULL, SOCK_STREAM, "10.244.0.1", 6443);
    const char *from[] = {NULL, world.client.netns_path};
    struct object *slice = netns_test_object(
        "discovery.k8s.io", "v1", "endpointslices",
        "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'k-x',"
        "'namespace':'default','labels':{'kubernetes.io/service-name':'k1'}},'addressType':'IPv4',"
        "'ports':[{'name':'https','port':6443}],'endpoints':[{'addresses':['10.244.0.1']}]}");
    put_service("k1", "{'clusterIP':'10.96.0.1','ports':[{'name':'https','port':443}]}");
    services_change_slice(world.services, NULL, slice);
    sync_now();
    for (int i = 0; i < 2; i++) {
        int sock = netns_test_connect(from[i], SOCK_STREAM, "10.96.0.1", 443, 500);
        assert_true(sock >= 0);
        assert_int_equal(netns_test_accepted(&api, 1, 500, NULL), 0);
        close(sock);
    }
    services_change_slice(world.services, slice, NULL);
    object_unref(slice);
    drop_service("k1");
    sync_now();
    close(api);
}

/* N9: no new connection fails while endpoints change and the table is made anew. */
static void no_connection_is_lost(void **state)
{
    enum { CONNECTIONS = 4000, PER_CHANGE = 10 };
    int failed = 0;
    put_service("n9", "{'type':'ClusterIP','clusterIP':'10.96.0.60'," WEB_PORTS "}");
    for (int i = 0; i < CONNECTIONS; i++) {
        if (i % PER_CHANGE == 0) {
            unsigned backends = (unsigned)(i / PER_CHANGE) % 7 + 1;
            put_slice("n9", "TCP", backends, "node-1", "");
            if (i % 500 == 0) { /* the agent was killed: a new one knows nothing */
                close_services();
                open_services();
                put_service("n9", "{'type':'ClusterIP','clusterIP':'10.96.0.60'," WEB_PORTS "}");
                put_slice("n9", "TCP", backends, "node-1", "");
            }
            sync_now();
        }
        failed += ask(world.client.netns_path, "10.96.0.60", 80) < 0;
    }
    assert_int_equal(failed, 0);
    drop_service("n9");
    sync_now();
}

static int bridge_calls(const char *value)
{
    return namespace_sysctl("bridge/bridge-nf-call-iptables", value, NULL);
}

static void with_bridge_calls(void **state)
{
    if (bridge_calls("0") != 0) {
        skip(); /* no br_netfilter here: the other tests have run without */
    }
    cluster_ip(state);
    hairpin(state);
    node_port_and_external(state);
    the_node_as_endpoint(state);
    assert_int_equal(bridge_calls("1"), 0);
    the_node_as_endpoint(state);
    cluster_ip(state);
    hairpin(state);
    node_port_and_external(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cluster_ip),
        cmocka_unit_test(hairpin),
        cmocka_unit_test(node_port_and_external),
        cmocka_unit_test(external_local),
        cmocka_unit_test(load_balancer_sources),
        cmocka_unit_test(terminating_fallback),
        cmocka_unit_test(session_affinity),
        cmocka_unit_test(udp_flows_move),
        cmocka_unit_test(the_node_as_endpoint),
        cmocka_unit_test(no_connection_is_lost),
        cmocka_unit_test(with_bridge_calls),
    };
    if (!netns_test_enter()) {
        print_message("skipped: needs root and namespaces\n");
        return 77;
    }
    world.loop = loop_new();
    int rc = cmocka_run_group_tests(tests, set_up, tear_down);
    loop_free(world.loop);
    return rc;
}
