/* test_pods.c: pods' namespaces: pool, attach, reach, found again, detach, removal. */
#include "netns_test.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "network/namespace.h"
#include "network/netlink.h"

static struct loop *loop;

static struct network_options options(void)
{
    return (struct network_options){.loop = loop,
                                    .node_name = STR("node-1"),
                                    .pod_cidr = STR("10.244.0.0/24"),
                                    .cluster_cidr = STR("10.244.0.0/16"),
                                    .service_cidr = STR("10.96.0.0/16"),
                                    .dns_server = STR("10.96.0.10"),
                                    .pool = 4};
}

static struct network *start(void)
{
    struct network *network = NULL;
    struct err err = ERR_INIT;
    struct network_options with = options();
    int rc = network_new(&with, &network, &err);
    if (rc != 0) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    netns_test_run(loop, 100);
    return network;
}

static struct pod_network attach(struct network *network, const char *uid)
{
    struct pod_network pod;
    struct err err = ERR_INIT;
    struct pod_network_request request = {.pod_uid = str_of(uid)};
    const struct pod_network_ops *ops = network_pod_ops(network);
    int rc = ops->attach(ops->ctx, &request, &pod, &err);
    if (rc != 0) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    return pod;
}

static void detach(struct network *network, const char *uid)
{
    const struct pod_network_ops *ops = network_pod_ops(network);
    assert_int_equal(ops->detach(ops->ctx, str_of(uid), NULL), 0);
}

static void expect_reach(const char *from, const char *to, int listener)
{
    int sock = netns_test_connect(from, SOCK_STREAM, to, 80, 2000);
    if (sock < 0) {
        print_error("%s to %s: %s\n", from, to, strerror(errno));
    }
    assert_true(sock >= 0);
    assert_int_equal(netns_test_accepted(&listener, 1, 2000, NULL), 0);
    close(sock);
}

static void pods_reach_each_other(void **state)
{
    struct network *network = start();
    int64_t before = loop_mono(loop);
    struct pod_network a = attach(network, "uid-a");
    int64_t took = loop_mono(loop) - before;
    struct pod_network b = attach(network, "uid-b");
    print_message("attach from the pool: %ld us\n", (long)(took / 1000));
    assert_string_equal(a.gateway, "10.244.0.1");
    assert_string_not_equal(a.ip, b.ip);
    int listener = netns_test_listen(b.netns_path, SOCK_STREAM, b.ip, 80);
    expect_reach(a.netns_path, b.ip, listener);
    expect_reach(NULL, b.ip, listener); /* the node reaches pods */
    expect_reach(b.netns_path, b.ip, listener);
    int node = netns_test_listen(NULL, SOCK_STREAM, "10.244.0.1", 80);
    expect_reach(a.netns_path, "10.244.0.1", node); /* and pods the node */
    int loopback = netns_test_listen(a.netns_path, SOCK_STREAM, "127.0.0.1", 80);
    expect_reach(a.netns_path, "127.0.0.1", loopback);
    close(listener);
    close(node);
    close(loopback);
    struct pod_network again = attach(network, "uid-a");
    assert_string_equal(again.ip, a.ip);
    assert_string_equal(again.netns_path, a.netns_path);
    network_free(network);
}

static void a_new_agent_finds_them(void **state)
{
    struct network *network = start();
    struct pod_network a = attach(network, "uid-a");
    assert_string_equal(a.ip, "10.244.0.2");
    struct pod_network c = attach(network, "uid-c");
    int listener = netns_test_listen(a.netns_path, SOCK_STREAM, a.ip, 80);
    expect_reach(c.netns_path, a.ip, listener);
    close(listener);
    detach(network, "uid-c");
    detach(network, "uid-c");
    const struct pod_network_ops *ops = network_pod_ops(network);
    struct str keep = STR("uid-b");
    ops->retain(ops->ctx, &keep, 1);
    assert_int_equal(access(a.netns_path, F_OK), -1);
    netns_test_run(loop, 100);
    network_free(network);
    network = start();
    struct pod_network b = attach(network, "uid-b");
    assert_string_equal(b.ip, "10.244.0.3");
    struct pod_network fresh = attach(network, "uid-a");
    assert_string_not_equal(fresh.ip, b.ip);
    network_free(network);
}

static void host_ports_work(void **state)
{
    struct network *network = start();
    struct pod_network pod;
    struct pod_network_request request = {.pod_uid = STR("uid-h"), .host_port_count = 1};
    request.host_ports[0].host_port = 8080;
    request.host_ports[0].container_port = 80;
    request.host_ports[0].protocol = "TCP";
    const struct pod_network_ops *ops = network_pod_ops(network);
    assert_int_equal(ops->attach(ops->ctx, &request, &pod, NULL), 0);
    int listener = netns_test_listen(pod.netns_path, SOCK_STREAM, pod.ip, 80);
    struct pod_network other = attach(network, "uid-o");
    for (int round = 0; round < 2; round++) {
        const char *from[] = {NULL, other.netns_path, pod.netns_path};
        for (int i = 0; i < 3; i++) {
            int sock = netns_test_connect(from[i], SOCK_STREAM, "10.244.0.1", 8080, 2000);
            assert_true(sock >= 0);
            assert_int_equal(netns_test_accepted(&listener, 1, 2000, NULL), 0);
            close(sock);
        }
        network_free(network); /* and after a restart */
        network = start();
    }
    struct pod_network second;
    struct err err = ERR_INIT;
    request.pod_uid = STR("uid-2");
    ops = network_pod_ops(network);
    assert_int_equal(ops->attach(ops->ctx, &request, &second, &err), ERR_CONFLICT);
    assert_true(str_contains(str_of(err.message), STR("hostPort 8080 is taken")));
    assert_int_equal(access("/run/cox/netns/uid-2.ports", F_OK), -1);
    detach(network, "uid-h");
    assert_int_equal(netns_test_connect(NULL, SOCK_STREAM, "10.244.0.1", 8080, 500), -1);
    close(listener);
    network_free(network);
}

static struct timer echo_timer;
static int echo_listener, echo_sock;

/* The pod's side: accepts, and sends back what it gets. */
static void echo_tick(struct timer *timer)
{
    char bytes[65536];
    if (echo_sock < 0) {
        echo_sock = accept4(echo_listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    ssize_t n = echo_sock >= 0 ? recv(echo_sock, bytes, sizeof bytes, MSG_DONTWAIT) : -1;
    if (n > 0) {
        assert_int_equal(send(echo_sock, bytes, (size_t)n, 0), n);
    } else if (n == 0) {
        shutdown(echo_sock, SHUT_WR);
    }
    timer_start(loop, timer, NS_PER_MS, echo_tick);
}

static void loopback_host_ports(void **state)
{
    struct network *network = start();
    struct pod_network pod;
    struct pod_network_request request = {.pod_uid = STR("uid-l"), .host_port_count = 1};
    request.host_ports[0].host_port = 8081;
    request.host_ports[0].container_port = 80;
    request.host_ports[0].protocol = "TCP";
    snprintf(request.host_ports[0].host_ip, sizeof request.host_ports[0].host_ip, "127.0.0.1");
    const struct pod_network_ops *ops = network_pod_ops(network);
    assert_int_equal(ops->attach(ops->ctx, &request, &pod, NULL), 0);
    echo_listener = netns_test_listen(pod.netns_path, SOCK_STREAM, pod.ip, 80);
    echo_sock = -1;
    timer_start(loop, &echo_timer, 0, echo_tick);
    int sock = netns_test_connect(NULL, SOCK_STREAM, "127.0.0.1", 8081, 500);
    assert_true(sock >= 0);
    char bytes[16] = "";
    assert_int_equal(send(sock, "hello", 5, 0), 5);
    shutdown(sock, SHUT_WR);
    netns_test_run(loop, 60);
    assert_int_equal(recv(sock, bytes, sizeof bytes, MSG_DONTWAIT), 5);
    assert_string_equal(bytes, "hello");
    assert_int_equal(recv(sock, bytes, sizeof bytes, MSG_DONTWAIT), 0);
    close(sock);
    timer_stop(&echo_timer);
    close(echo_sock);
    close(echo_listener);
    /* nothing listens on the node's other addresses */
    assert_int_equal(netns_test_connect(NULL, SOCK_STREAM, "10.244.0.1", 8081, 200), -1);
    detach(network, "uid-l");
    netns_test_run(loop, 30);
    assert_int_equal(netns_test_connect(NULL, SOCK_STREAM, "127.0.0.1", 8081, 200), -1);
    request.host_ports[0].protocol = "UDP";
    assert_int_equal(ops->attach(ops->ctx, &request, &pod, NULL), ERR_UNSUPPORTED);
    network_free(network);
}

static void the_range_ends(void **state)
{
    struct network *network = NULL;
    struct network_options with = options();
    with.pod_cidr = STR("10.244.9.0/29");
    with.run_dir = "/run/other";
    with.pool = 2;
    assert_int_equal(network_new(&with, &network, NULL), 0);
    netns_test_run(loop, 100);
    const struct pod_network_ops *ops = network_pod_ops(network);
    struct pod_network pod;
    char uid[16];
    int made = 0;
    for (int i = 0; i < 7; i++) {
        snprintf(uid, sizeof uid, "uid-%d", i);
        struct pod_network_request request = {.pod_uid = str_of(uid)};
        made += ops->attach(ops->ctx, &request, &pod, NULL) == 0;
        netns_test_run(loop, 30);
    }
    assert_int_equal(made, 5);
    detach(network, "uid-0");
    netns_test_run(loop, 200);
    attach(network, "uid-9");
    ops->retain(ops->ctx, NULL, 0);
    netns_test_run(loop, 200);
    network_free(network);
}

/* The node got another range: pods that run keep their old address, new ones get a new one. */
static void another_range(void **state)
{
    struct network *network = start();
    struct network_options with = options();
    struct pod_network old = attach(network, "uid-old");
    network_free(network);
    netns_test_run(loop, 20);
    with.pod_cidr = STR("10.244.5.0/24");
    assert_int_equal(network_new(&with, &network, NULL), 0);
    netns_test_run(loop, 100);
    struct pod_network again = attach(network, "uid-old"), fresh = attach(network, "uid-new");
    assert_string_equal(again.ip, old.ip);
    assert_string_equal(fresh.ip, "10.244.5.2");
    int listener = netns_test_listen(old.netns_path, SOCK_STREAM, old.ip, 80);
    expect_reach(fresh.netns_path, old.ip, listener);
    close(listener);
    detach(network, "uid-old");
    detach(network, "uid-new");
    netns_test_run(loop, 100);
    network_free(network);
}

static void count_link(void *ctx, const char *name)
{
    ++*(int *)ctx;
}

static void removal_leaves_nothing(void **state)
{
    struct err err = ERR_INIT;
    struct network_options with = options();
    assert_int_equal(network_remove(&with, &err), 0);
    with.run_dir = "/run/other";
    assert_int_equal(network_remove(&with, &err), 0);
    assert_int_equal(network_remove(&with, &err), 0); /* twice */
    assert_int_equal(access("/run/cox/netns", F_OK), -1);
    int fd, links = 0;
    struct netlink netlink;
    usleep(300000); /* the kernel takes links of dead namespaces away in its own time */
    assert_int_equal(namespace_open(NULL, &fd, NULL), 0);
    assert_int_equal(netlink_open(&netlink, fd, NETLINK_ROUTE, NULL), 0);
    assert_int_equal(link_each(&netlink, 0, count_link, &links, NULL), 0);
    assert_int_equal(links, 1); /* lo */
    netlink_close(&netlink);
    close(fd);
}

static void named_namespaces(void **state)
{
    int fd;
    assert_int_equal(network_namespace_make("cox-test", NULL), 0);
    assert_int_equal(network_namespace_make("cox-test", NULL), 0);
    assert_int_equal(network_socket("cox-test", SOCK_STREAM, STR("127.0.0.1:6443"), &fd, NULL), 0);
    close(fd);
    assert_int_equal(network_namespace_remove("cox-test", NULL), 0);
    assert_int_equal(network_namespace_remove("cox-test", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pods_reach_each_other),  cmocka_unit_test(a_new_agent_finds_them),
        cmocka_unit_test(host_ports_work),        cmocka_unit_test(the_range_ends),
        cmocka_unit_test(another_range),          cmocka_unit_test(loopback_host_ports),
        cmocka_unit_test(removal_leaves_nothing), cmocka_unit_test(named_namespaces),
    };
    if (!netns_test_enter()) {
        print_message("skipped: needs root and namespaces\n");
        return 77;
    }
    loop = loop_new();
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    loop_free(loop);
    return rc;
}
