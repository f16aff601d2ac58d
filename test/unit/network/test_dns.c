/* test_dns.c: the cluster's zone, and the server on UDP and TCP with an upstream, asked from a pod.
 */
#include "netns_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "list_client.h"
#include "wire/dns.h"

static struct loop *loop;
static struct list_client *list;
static struct informers *informers;
static struct network *network;
static struct pod_network pod;

static void put(const char *group, const char *plural, const char *json)
{
    list_client_put(list, netns_test_object(group, "v1", plural, json));
}

#define SERVICE(name, spec)                                                                        \
    "{'apiVersion':'v1','kind':'Service','metadata':{'name':'" name                                \
    "','namespace':'prod','uid':'u-" name "'},'spec':" spec "}"
#define SLICE(service, endpoints)                                                                  \
    "{'apiVersion':'discovery.k8s.io/v1','kind':'EndpointSlice','metadata':{'name':'" service      \
    "-1','namespace':'prod','uid':'s-" service                                                     \
    "','labels':{'kubernetes.io/service-name':'" service                                           \
    "'}},'addressType':'IPv4','ports':[{'name':'http','port':8080,'protocol':'TCP'}],"             \
    "'endpoints':" endpoints "}"

static void put_objects(void)
{
    put("", "services",
        SERVICE("web", "{'clusterIP':'10.96.0.20','ports':[{'name':'http','port':80},"
                       "{'name':'dns','port':53,'protocol':'UDP'}]}"));
    put("", "services", SERVICE("db", "{'clusterIP':'None','ports':[{'name':'http','port':80}]}"));
    put("", "services",
        SERVICE("alias", "{'type':'ExternalName','externalName':"
                         "'web.prod.svc.cluster.local'}"));
    put("", "services", SERVICE("out", "{'type':'ExternalName','externalName':'www.example.com'}"));
    put("", "services",
        SERVICE("ring", "{'type':'ExternalName','externalName':"
                        "'ring.prod.svc.cluster.local'}"));
    put("discovery.k8s.io", "endpointslices",
        SLICE("db", "[{'addresses':['10.244.0.31'],'hostname':'db-0'},"
                    "{'addresses':['10.244.0.32'],'hostname':'db-1'},"
                    "{'addresses':['10.244.0.33']},"
                    "{'addresses':['10.244.0.34'],'conditions':{'ready':false}}]"));
}

/* Asks over a socket of the pod; returns the answer's size. */
static size_t ask_raw(int type, struct str query, char *ret_answer, size_t size)
{
    int sock = netns_test_connect(pod.netns_path, type, "10.96.0.10", 53, 1000);
    uint8_t length[2] = {(uint8_t)(query.n >> 8), (uint8_t)query.n};
    struct pollfd wait = {.fd = sock, .events = POLLIN};
    ssize_t n = 0;
    assert_true(sock >= 0);
    if (type == SOCK_STREAM) {
        assert_int_equal(send(sock, length, 2, 0), 2);
    }
    assert_int_equal(send(sock, query.p, query.n, 0), (ssize_t)query.n);
    for (int i = 0; i < 100 && poll(&wait, 1, 0) == 0; i++) {
        netns_test_run(loop, 5);
    }
    n = recv(sock, ret_answer, size, MSG_DONTWAIT);
    close(sock);
    if (type == SOCK_STREAM && n >= 2) {
        memmove(ret_answer, ret_answer + 2, (size_t)(n -= 2));
    }
    return n < 0 ? 0 : (size_t)n;
}

/* "RCODE record record ..." in text: A addresses, SRV port, CNAME, PTR as "name". */
static void ask_with(int type, const char *name, uint16_t record_type, char ret_text[1024])
{
    static char bytes[65536];
    struct buf query BUF_CLEANUP = BUF_INIT;
    struct dns_answer_walk walk;
    struct dns_record record;
    assert_true(dns_build_query(&query, name, record_type));
    size_t n = ask_raw(type, buf_view(&query), bytes, sizeof bytes);
    assert_true(n >= 12);
    int at = snprintf(ret_text, 1024, "%d%s", bytes[3] & 0xF, bytes[2] & 2 ? " TC" : "");
    assert_true(dns_walk_begin(&walk, str_at(bytes, n)));
    while (dns_walk_next(&walk, &record) && at < 900) {
        const uint8_t *p = (const uint8_t *)record.data.p;
        if (record.type == DNS_TYPE_A) {
            at +=
                snprintf(ret_text + at, 1024 - (size_t)at, " %u.%u.%u.%u", p[0], p[1], p[2], p[3]);
        } else if (record.type == DNS_TYPE_SRV) {
            at += snprintf(ret_text + at, 1024 - (size_t)at, " srv:%u", p[4] << 8 | p[5]);
        } else {
            at += snprintf(ret_text + at, 1024 - (size_t)at, " name");
        }
    }
}

static void expect(const char *name, uint16_t record_type, const char *text)
{
    char got[1024];
    ask_with(SOCK_DGRAM, name, record_type, got);
    if (strcmp(got, text) != 0) {
        print_error("%s: %s, expected %s\n", name, got, text);
    }
    assert_string_equal(got, text);
    ask_with(SOCK_STREAM, name, record_type, got);
    assert_string_equal(got, text);
}

static void names_of_services(void **state)
{
    expect("web.prod.svc.cluster.local", DNS_TYPE_A, "0 10.96.0.20");
    expect("WEB.prod.svc.CLUSTER.local", DNS_TYPE_A, "0 10.96.0.20");
    expect("web.prod.svc.cluster.local", DNS_TYPE_AAAA, "0");
    expect("_http._tcp.web.prod.svc.cluster.local", DNS_TYPE_SRV, "0 srv:80");
    expect("_dns._udp.web.prod.svc.cluster.local", DNS_TYPE_SRV, "0 srv:53");
    expect("_http._udp.web.prod.svc.cluster.local", DNS_TYPE_SRV, "3");
    expect("web.prod.svc.cluster.local", DNS_TYPE_SRV, "0 srv:80 srv:53");
    expect("alias.prod.svc.cluster.local", DNS_TYPE_A, "0 name 10.96.0.20");
    expect("alias.prod.svc.cluster.local", DNS_TYPE_CNAME, "0 name");
    expect("out.prod.svc.cluster.local", DNS_TYPE_CNAME, "0 name");
    expect("20.0.96.10.in-addr.arpa", DNS_TYPE_PTR, "0 name");
}

static void names_of_pods(void **state)
{
    char got[1024];
    expect("db-1.db.prod.svc.cluster.local", DNS_TYPE_A, "0 10.244.0.32");
    expect("10-244-0-33.db.prod.svc.cluster.local", DNS_TYPE_A, "0 10.244.0.33");
    expect("db-7.db.prod.svc.cluster.local", DNS_TYPE_A, "3");
    expect("_http._tcp.db.prod.svc.cluster.local", DNS_TYPE_SRV, "0 srv:8080 srv:8080 srv:8080");
    expect("10-1-2-3.prod.pod.cluster.local", DNS_TYPE_A, "0 10.1.2.3");
    expect("31.0.244.10.in-addr.arpa", DNS_TYPE_PTR, "0 name");
    ask_with(SOCK_DGRAM, "db.prod.svc.cluster.local", DNS_TYPE_A, got); /* in any order */
    assert_non_null(strstr(got, " 10.244.0.31"));
    assert_non_null(strstr(got, " 10.244.0.32"));
    assert_non_null(strstr(got, " 10.244.0.33"));
    assert_null(strstr(got, " 10.244.0.34")); /* not ready */
}

static void what_does_not_exist(void **state)
{
    expect("nobody.prod.svc.cluster.local", DNS_TYPE_A, "3");
    expect("web.nowhere.svc.cluster.local", DNS_TYPE_A, "3");
    expect("www.example.com.prod.svc.cluster.local", DNS_TYPE_A, "3");
    expect("www.example.com.svc.cluster.local", DNS_TYPE_A, "3");
    expect("www.example.com.cluster.local", DNS_TYPE_A, "3");
    expect("prod.svc.cluster.local", DNS_TYPE_A, "0");
    expect("svc.cluster.local", DNS_TYPE_A, "0");
    expect("cluster.local", DNS_TYPE_A, "0");
    expect("ring.prod.svc.cluster.local", DNS_TYPE_CNAME, "0 name");
}

static void changes_are_seen(void **state)
{
    put("", "services", SERVICE("late", "{'clusterIP':'10.96.0.21','ports':[{'port':80}]}"));
    expect("late.prod.svc.cluster.local", DNS_TYPE_A, "0 10.96.0.21");
    put("", "services", SERVICE("late", "{'clusterIP':'10.96.0.22','ports':[{'port':80}]}"));
    expect("late.prod.svc.cluster.local", DNS_TYPE_A, "0 10.96.0.22");
}

/* An upstream that answers www.example.com with two addresses behind a CNAME, everything else with
 * NXDOMAIN; one round of reading. */
static int answer_upstream(int upstream)
{
    char bytes[512];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t n =
        recvfrom(upstream, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    struct dns_question question;
    struct dns_builder builder;
    if (n < 0 || dns_parse_query(str_at(bytes, (size_t)n), &question, NULL) != 0) {
        return 0;
    }
    dns_begin(&builder, str_at(bytes, (size_t)n), &question, 512);
    bool known = strcmp(question.name, "www.example.com") == 0;
    if (known) {
        dns_add_name(&builder, question.name, DNS_TYPE_CNAME, 60, "edge.example.com");
        dns_add_a(&builder, "edge.example.com", 60, (const uint8_t *)"\xC0\0\2\1");
        dns_add_a(&builder, "edge.example.com", 60, (const uint8_t *)"\xC0\0\2\2");
    }
    dns_finish(&builder, known ? DNS_RCODE_OK : DNS_RCODE_NXDOMAIN, false);
    sendto(upstream, builder.out.p, builder.out.n, 0, (struct sockaddr *)&from, size);
    buf_done(&builder.out);
    return 1;
}

static int upstream_fd, upstream_asked;
static struct timer upstream_timer;

static void upstream_tick(struct timer *timer)
{
    upstream_asked += answer_upstream(upstream_fd);
    timer_start(loop, timer, NS_PER_MS, upstream_tick);
}

static void names_outside(void **state)
{
    timer_start(loop, &upstream_timer, 0, upstream_tick);
    expect("www.example.com", DNS_TYPE_A, "0 name 192.0.2.1 192.0.2.2");
    expect("www.example.com", DNS_TYPE_A, "0 name 192.0.2.1 192.0.2.2");
    int asked = upstream_asked;
    assert_true(asked >= 1 && asked <= 2); /* the rest came from the cache */
    expect("out.prod.svc.cluster.local", DNS_TYPE_A, "0 name 192.0.2.1 192.0.2.2");
    expect("nowhere.example.net", DNS_TYPE_A, "3");
    expect("9.9.9.9.in-addr.arpa", DNS_TYPE_PTR, "3");
    timer_stop(&upstream_timer);
}

static struct network_options network_options(void)
{
    return (struct network_options){.loop = loop,
                                    .node_name = STR("node-1"),
                                    .pod_cidr = STR("10.244.0.0/24"),
                                    .service_cidr = STR("10.96.0.0/16"),
                                    .dns_server = STR("10.96.0.10"),
                                    .dns_upstream = STR("127.0.0.1:5354")};
}

/* Somebody outlives the agent and keeps the sockets: a question asked while no agent runs waits. */
static void questions_wait_for_the_next_agent(void **state)
{
    struct buf query BUF_CLEANUP = BUF_INIT;
    char bytes[512];
    struct err err = ERR_INIT;
    struct network_options with = network_options();
    network_free(network);
    netns_test_run(loop, 20);
    int rc = network_dns_sockets(NULL, STR("10.96.0.10"), &with.dns_udp_fd, &with.dns_tcp_fd, &err);
    if (rc != 0) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    int sock = netns_test_connect(pod.netns_path, SOCK_DGRAM, "10.96.0.10", 53, 100);
    assert_true(dns_build_query(&query, "web.prod.svc.cluster.local", DNS_TYPE_A));
    assert_int_equal(send(sock, query.p, query.n, 0), (ssize_t)query.n);
    netns_test_run(loop, 50);
    assert_int_equal(network_new(&with, &network, &err), 0);
    assert_int_equal(network_start(network, informers, &err), 0);
    netns_test_run(loop, 50);
    assert_true(recv(sock, bytes, sizeof bytes, MSG_DONTWAIT) > 40);
    close(sock);
    expect("web.prod.svc.cluster.local", DNS_TYPE_A, "0 10.96.0.20");
}

/* A client that never tells anything: the API server is away. */
static struct client_watch *silent_watch(struct client *client,
                                         const struct client_watch_options *options,
                                         const struct client_watch_ops *watch_ops, void *ctx)
{
    return NULL;
}

static void the_server_is_away(void **state)
{
    static const struct client_ops client_ops = {.watch = silent_watch};
    struct client client = {.ops = &client_ops, .loop = loop, .name = "test"};
    struct informers *others = informers_new(&client);
    struct network_options with = network_options();
    network_free(network);
    netns_test_run(loop, 20);
    assert_int_equal(network_new(&with, &network, NULL), 0);
    assert_int_equal(network_start(network, others, NULL), 0);
    netns_test_run(loop, 3100);
    assert_false(network_synced(network));
    timer_start(loop, &upstream_timer, 0, upstream_tick);
    expect("web.prod.svc.cluster.local", DNS_TYPE_A, "2"); /* SERVFAIL: ask again */
    expect("www.example.com", DNS_TYPE_A, "0 name 192.0.2.1 192.0.2.2");
    timer_stop(&upstream_timer);
    network_free(network);
    informers_free(others);
    netns_test_run(loop, 20);
    assert_int_equal(network_new(&with, &network, NULL), 0);
    assert_int_equal(network_start(network, informers, NULL), 0);
    netns_test_run(loop, 50);
    expect("web.prod.svc.cluster.local", DNS_TYPE_A, "0 10.96.0.20");
}

static int set_up(void **state)
{
    struct err err = ERR_INIT;
    struct network_options options = network_options();
    struct pod_network_request request = {.pod_uid = STR("pod-1")};
    upstream_fd = netns_test_listen(NULL, SOCK_DGRAM, "127.0.0.1", 5354);
    list = list_client_new(loop);
    put_objects();
    informers = informers_new(list_client_client(list));
    assert_int_equal(network_new(&options, &network, &err), 0);
    int rc = network_start(network, informers, &err);
    if (rc != 0) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    const struct pod_network_ops *ops = network_pod_ops(network);
    assert_int_equal(ops->attach(ops->ctx, &request, &pod, NULL), 0);
    netns_test_run(loop, 100);
    assert_true(network_synced(network));
    return 0;
}

static int tear_down(void **state)
{
    network_free(network);
    informers_free(informers);
    netns_test_run(loop, 50);
    list_client_free(list);
    close(upstream_fd);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_services),   cmocka_unit_test(names_of_pods),
        cmocka_unit_test(what_does_not_exist), cmocka_unit_test(changes_are_seen),
        cmocka_unit_test(names_outside),       cmocka_unit_test(questions_wait_for_the_next_agent),
        cmocka_unit_test(the_server_is_away),
    };
    if (!netns_test_enter()) {
        print_message("skipped: needs root and namespaces\n");
        return 77;
    }
    loop = loop_new();
    int rc = cmocka_run_group_tests(tests, set_up, tear_down);
    loop_free(loop);
    return rc;
}
