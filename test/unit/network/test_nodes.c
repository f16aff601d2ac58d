/* test_nodes.c: two nodes, each a network of its own in a network namespace, on one link: pods
 * reach each other with their own addresses, Services reach endpoints on both, external policies
 * hold. */
#include "netns_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "list_client.h"
#include "network/namespace.h"
#include "network/netlink.h"

enum { NODES = 2 };
struct node {
    char name[16], netns[16], run_dir[32];
    struct network *network;
    struct pod_network pod;
    int listener;
};
struct world {
    bool shared; /* the nodes' bridges are ports of the switch; else each has a link of its own */
    struct loop *loop;
    struct list_client *list;
    struct informers *informers;
    struct node nodes[NODES];
};
static struct world w;

/* node-1 --- switch (this namespace) --- node-2, and this namespace is a client on that link. */
static void make_link(int i, int bridge)
{
    struct netlink ours, theirs;
    char name[16], gateway_name[16];
    int fd, own, index;
    struct veth_options veth = {.name = name, .master = bridge, .peer_name = "up0", .mtu = 1500};
    snprintf(name, sizeof name, "port%d", i);
    snprintf(gateway_name, sizeof gateway_name, "node-%d", i + 1);
    veth.peer_mac[0] = 2;
    veth.peer_mac[5] = (uint8_t)(i + 1);
    assert_int_equal(network_namespace_make(w.nodes[i].netns, NULL), 0);
    assert_int_equal(namespace_open(w.nodes[i].netns, &fd, NULL), 0);
    assert_int_equal(namespace_open(NULL, &own, NULL), 0);
    assert_int_equal(netlink_open(&ours, own, NETLINK_ROUTE, NULL), 0);
    assert_int_equal(netlink_open(&theirs, fd, NETLINK_ROUTE, NULL), 0);
    veth.peer_netns_fd = fd;
    assert_int_equal(link_veth_new(&ours, &veth, NULL), 0);
    assert_int_equal(link_port_up(&ours, name, NULL), 0);
    assert_int_equal(link_find(&theirs, "up0", &index, NULL), 0);
    assert_int_equal(link_up(&theirs, index, NULL), 0);
    if (!w.shared) {
        assert_int_equal(address_add(&theirs, index, 0xC0000201u + (uint32_t)i, 24, NULL), 0);
    }
    netlink_close(&ours);
    netlink_close(&theirs);
    close(fd);
    close(own);
}

/* up0 becomes a port of the node's cox0. */
static void join_bridge(int i)
{
    struct netlink netlink;
    int fd, bridge;
    assert_int_equal(namespace_open(w.nodes[i].netns, &fd, NULL), 0);
    assert_int_equal(netlink_open(&netlink, fd, NETLINK_ROUTE, NULL), 0);
    assert_int_equal(link_find(&netlink, "cox0", &bridge, NULL), 0);
    struct nlmsghdr *message = netlink_begin(&netlink, RTM_NEWLINK, 0);
    mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
    mnl_attr_put_strz(message, IFLA_IFNAME, "up0");
    mnl_attr_put_u32(message, IFLA_MASTER, (uint32_t)bridge);
    assert_int_equal(netlink_send(&netlink, message, NULL, "join"), 0);
    netlink_close(&netlink);
    close(fd);
}

static void make_switch(void)
{
    struct netlink netlink;
    int fd, bridge;
    const uint8_t mac[6] = {2, 0, 0, 0, 0, 99};
    assert_int_equal(namespace_open(NULL, &fd, NULL), 0);
    assert_int_equal(netlink_open(&netlink, fd, NETLINK_ROUTE, NULL), 0);
    assert_int_equal(link_bridge_new(&netlink, "switch", mac, 1500, NULL), 0);
    assert_int_equal(link_find(&netlink, "switch", &bridge, NULL), 0);
    assert_int_equal(address_add(&netlink, bridge, 0xC0000263u, 24, NULL), 0); /* 192.0.2.99 */
    netlink_close(&netlink);
    close(fd);
    namespace_sysctl("bridge/bridge-nf-call-iptables", "0", NULL);
    for (int i = 0; i < NODES; i++) {
        make_link(i, bridge);
    }
}

static void put(const char *group, const char *plural, const char *json)
{
    list_client_put(w.list, netns_test_object(group, "v1", plural, json));
}

static void put_node(int i)
{
    char json[512];
    snprintf(json, sizeof json,
             "{'apiVersion':'v1','kind':'Node','metadata':{'name':'node-%d','uid':'n%d'},'spec':"
             "{'podCIDR':'10.244.%d.0/24'},'status':{'addresses':[{'type':'Hostname','address':"
             "'node-%d'},{'type':'InternalIP','address':'192.0.2.%d'}]}}",
             i + 1, i, i, i + 1, i + 1);
    put("", "nodes", json);
}

static void put_service(const char *policy)
{
    char json[1024];
    snprintf(json, sizeof json,
             "{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','namespace':'default',"
             "'uid':'u1'},'spec':{'type':'NodePort','clusterIP':'10.96.0.80',"
             "'externalTrafficPolicy':'%s','ports':[{'port':80,'nodePort':30080}]}}",
             policy);
    put("", "services", json);
}

static void put_slice(bool first, bool second)
{
    char json[1024];
    snprintf(
        json, sizeof json,
        "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'web-1',"
        "'namespace':'default','uid':'s1','labels':{'kubernetes.io/service-name':'web'}},"
        "'addressType':'IPv4','ports':[{'port':8080,'protocol':'TCP'}],'endpoints':["
        "{'addresses':['%s'],'nodeName':'node-1','conditions':{'ready':%s}},"
        "{'addresses':['%s'],'nodeName':'node-2','conditions':{'ready':%s}}]}",
        w.nodes[0].pod.ip, first ? "true" : "false", w.nodes[1].pod.ip, second ? "true" : "false");
    put("discovery.k8s.io", "endpointslices", json);
    netns_test_run(w.loop, 30);
}

static void start_node(int i)
{
    struct node *node = &w.nodes[i];
    char cidr[32], uid[16], shared[24] = "";
    struct err err = ERR_INIT;
    snprintf(cidr, sizeof cidr, "10.244.%d.0/24", i);
    snprintf(uid, sizeof uid, "pod-%d", i);
    if (w.shared) {
        snprintf(shared, sizeof shared, "192.0.2.%d/24", i + 1);
    }
    snprintf(node->run_dir, sizeof node->run_dir, "/run/node-%d", i + 1);
    struct network_options options = {.loop = w.loop,
                                      .netns = node->netns,
                                      .run_dir = node->run_dir,
                                      .node_name = str_of(node->name),
                                      .pod_cidr = str_of(cidr),
                                      .bridge_address = str_of(shared),
                                      .cluster_cidr = STR("10.244.0.0/16"),
                                      .service_cidr = STR("10.96.0.0/16"),
                                      .dns_server = STR("10.96.0.10"),
                                      .pool = 2};
    struct pod_network_request request = {.pod_uid = str_of(uid)};
    int rc = network_new(&options, &node->network, &err);
    rc = rc != 0 ? rc : network_start(node->network, w.informers, &err);
    if (rc != 0) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    if (w.shared) {
        join_bridge(i);
    }
    const struct pod_network_ops *ops = network_pod_ops(node->network);
    assert_int_equal(ops->attach(ops->ctx, &request, &node->pod, NULL), 0);
    node->listener = netns_test_listen(node->pod.netns_path, SOCK_STREAM, "0.0.0.0", 8080);
}

static int start_world(bool shared)
{
    w = (struct world){.shared = shared, .loop = w.loop};
    w.list = list_client_new(w.loop);
    for (int i = 0; i < NODES; i++) {
        snprintf(w.nodes[i].name, sizeof w.nodes[i].name, "node-%d", i + 1);
        snprintf(w.nodes[i].netns, sizeof w.nodes[i].netns, "net-%d", i + 1);
        put_node(i);
    }
    put_service("Cluster");
    make_switch();
    w.informers = informers_new(list_client_client(w.list));
    for (int i = 0; i < NODES; i++) {
        start_node(i);
    }
    netns_test_run(w.loop, 150);
    put_slice(true, true);
    return 0;
}

static int start_apart(void **state)
{
    return start_world(false);
}

static int start_shared(void **state)
{
    return start_world(true);
}

static int tear_down(void **state)
{
    struct netlink netlink;
    int fd;
    for (int i = 0; i < NODES; i++) {
        struct node *node = &w.nodes[i];
        struct network_options options = {.netns = node->netns, .run_dir = node->run_dir};
        close(node->listener);
        network_free(node->network);
        assert_int_equal(network_remove(&options, NULL), 0);
        assert_int_equal(network_namespace_remove(node->netns, NULL), 0);
    }
    informers_free(w.informers);
    netns_test_run(w.loop, 50);
    list_client_free(w.list);
    assert_int_equal(namespace_open(NULL, &fd, NULL), 0);
    assert_int_equal(netlink_open(&netlink, fd, NETLINK_ROUTE, NULL), 0);
    for (int i = 0; i < NODES; i++) {
        char name[16];
        snprintf(name, sizeof name, "port%d", i);
        link_delete(&netlink, name, NULL);
    }
    assert_int_equal(link_delete(&netlink, "switch", NULL), 0);
    netlink_close(&netlink);
    close(fd);
    return 0;
}

/* Which node's pod answered (-1 none), and whom it saw. */
static int ask(const char *from, const char *address, uint16_t port, char ret_peer[16])
{
    int listeners[NODES] = {w.nodes[0].listener, w.nodes[1].listener};
    int sock = netns_test_connect(from, SOCK_STREAM, address, port, 500);
    if (sock < 0) {
        return -1;
    }
    int who = netns_test_accepted(listeners, NODES, 1000, ret_peer);
    close(sock);
    return who;
}

static void pods_reach_pods(void **state)
{
    char peer[16];
    for (int i = 0; i < NODES; i++) {
        const struct pod_network *from = &w.nodes[i].pod, *to = &w.nodes[1 - i].pod;
        assert_int_equal(ask(from->netns_path, to->ip, 8080, peer), 1 - i);
        assert_string_equal(peer, from->ip);
        /* and nodes reach pods, pods nodes, with their own addresses */
        assert_int_equal(ask(w.nodes[i].netns, to->ip, 8080, peer), 1 - i);
    }
    int node = netns_test_listen(w.nodes[1].netns, SOCK_STREAM, "192.0.2.2", 9999);
    int sock = netns_test_connect(w.nodes[0].pod.netns_path, SOCK_STREAM, "192.0.2.2", 9999, 500);
    assert_true(sock >= 0);
    assert_int_equal(netns_test_accepted(&node, 1, 1000, peer), 0);
    assert_string_equal(peer, w.nodes[0].pod.ip);
    close(node);
    close(sock);
    /* whoever is outside sees the node */
    int outside = netns_test_listen(NULL, SOCK_STREAM, "192.0.2.99", 9999);
    sock = netns_test_connect(w.nodes[0].pod.netns_path, SOCK_STREAM, "192.0.2.99", 9999, 500);
    assert_true(sock >= 0);
    assert_int_equal(netns_test_accepted(&outside, 1, 1000, peer), 0);
    assert_string_equal(peer, "192.0.2.1");
    close(outside);
    close(sock);
}

static void services_reach_both(void **state)
{
    int hits[NODES] = {0};
    char peer[16];
    for (int i = 0; i < 100; i++) {
        const char *from = i % 2 == 0 ? w.nodes[0].pod.netns_path : w.nodes[1].netns;
        int who = ask(from, "10.96.0.80", 80, peer);
        assert_true(who >= 0);
        hits[who]++;
        if (i % 2 == 0 && who == 1) {
            assert_string_equal(peer, w.nodes[0].pod.ip);
        }
    }
    assert_true(hits[0] > 20 && hits[1] > 20);
}

static void node_ports_from_outside(void **state)
{
    int hits[NODES] = {0};
    char peer[16];
    for (int i = 0; i < 60; i++) {
        int who = ask(NULL, i % 2 == 0 ? "192.0.2.1" : "192.0.2.2", 30080, peer);
        assert_true(who >= 0);
        hits[who]++;
    }
    assert_true(hits[0] > 10 && hits[1] > 10);
    put_service("Local");
    netns_test_run(w.loop, 30);
    for (int i = 0; i < NODES; i++) {
        assert_int_equal(ask(NULL, i == 0 ? "192.0.2.1" : "192.0.2.2", 30080, peer), i);
        assert_string_equal(peer, "192.0.2.99"); /* the client's own address */
    }
    put_slice(false, true);
    assert_int_equal(ask(NULL, "192.0.2.1", 30080, peer), -1);
    assert_int_equal(ask(NULL, "192.0.2.2", 30080, peer), 1);
    assert_int_equal(ask(w.nodes[0].pod.netns_path, "192.0.2.1", 30080, peer), 1); /* inside */
    put_service("Cluster");
    put_slice(true, true);
}

static void routes_follow_nodes(void **state)
{
    char json[] = "{'apiVersion':'v1','kind':'Node','metadata':{'name':'node-2','uid':'n1'},'spec':"
                  "{'podCIDR':'10.244.7.0/24'},'status':{'addresses':[{'type':'InternalIP',"
                  "'address':'192.0.2.2'}]}}";
    char peer[16];
    put("", "nodes", json);
    netns_test_run(w.loop, 30);
    assert_int_equal(ask(w.nodes[0].pod.netns_path, w.nodes[1].pod.ip, 8080, peer), -1);
    put_node(1);
    netns_test_run(w.loop, 30);
    assert_int_equal(ask(w.nodes[0].pod.netns_path, w.nodes[1].pod.ip, 8080, peer), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods_reach_pods),
        cmocka_unit_test(services_reach_both),
        cmocka_unit_test(node_ports_from_outside),
        cmocka_unit_test(routes_follow_nodes),
    };
    if (!netns_test_enter()) {
        print_message("skipped: needs root and namespaces\n");
        return 77;
    }
    w.loop = loop_new();
    int apart = cmocka_run_group_tests_name("links of their own", tests, start_apart, tear_down);
    int shared = cmocka_run_group_tests_name("one bridge", tests, start_shared, tear_down);
    loop_free(w.loop);
    return apart + shared;
}
