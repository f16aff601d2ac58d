/* network.c: puts the node's network together in its namespace. See network.h.
 *
 * Order at start: bridge and sysctls, table (kept when it is there), then pods found again; what
 * the API says comes with network_start(). Nothing is undone by network_free(): a new agent finds
 * it. The parts: pods.c, services.c, nodes.c, dns_server.c.
 */
#include "network/network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/vec.h"
#include "io/file.h"
#include "io/net.h"
#include "network/conntrack.h"
#include "network/dns_server.h"
#include "network/loopback_ports.h"
#include "network/namespace.h"
#include "network/nodes.h"
#include "network/pod_link.h"
#include "network/services.h"

static const char bridge_name[] = "cox0";
enum { MTU_DEFAULT = 1500, POOL_DEFAULT = 8 };
#define DNS_PATIENCE_NS (3 * NS_PER_S)

struct network {
    struct loop *loop;
    char *node_name, *state_dir, *dns_domain, *dns_server_text, *dns_upstream;
    struct address_range pod_range, cluster_range, service_range;
    uint32_t gateway, dns_address, shared_address; /* shared: on the nodes' link, 0: none */
    uint8_t shared_prefix;
    unsigned mtu, pool;
    int netns_fd, bridge, dns_udp_fd, dns_tcp_fd;
    struct netlink netlink;
    struct service_rules *rules;
    struct loopback_ports *loopback;
    struct pods *pods;
    struct services *services;
    struct nodes *nodes;
    struct dns_server *dns;
    struct timer dns_timer; /* until the API has told its state */
    struct informers *informers;
    struct pod_network_ops ops;
};

/* ---- namespaces by name ---- */

static const char netns_dir[] = "/run/netns";

static int loopback_up(int fd, struct err *err)
{
    struct netlink netlink;
    int rc = netlink_open(&netlink, fd, NETLINK_ROUTE, err);
    if (rc == 0) {
        rc = link_up(&netlink, 1, err);
        netlink_close(&netlink);
    }
    return rc;
}

int network_namespace_make(const char *name, struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", netns_dir, name);
    int fd = -1;
    if (strchr(name, '/') != NULL || name[0] == 0 || name[0] == '.') {
        return err_set(err, ERR_INVALID, "\"%s\" is no name for a network namespace", name);
    }
    mode_t mask = umask(022); /* the folder is everyone's, as iproute2 makes it */
    int rc = file_make_dirs(netns_dir, 0755, err);
    umask(mask);
    if (rc != 0) {
        return rc;
    }
    if (namespace_is_bound(path)) {
        rc = namespace_open(path, &fd, err);
    } else {
        unlink(path); /* left by a machine that went down */
        rc = namespace_new(&fd, err);
        rc = rc != 0 ? rc : namespace_bind(fd, path, err);
    }
    rc = rc != 0 ? rc : loopback_up(fd, err);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

int network_namespace_remove(const char *name, struct err *err)
{
    char *path MEM_CLEANUP = mem_printf("%s/%s", netns_dir, name);
    return namespace_unbind(path, err);
}

int network_socket(const char *netns, int type, struct str address, int *ret_fd, struct err *err)
{
    int fd, back;
    int rc = namespace_open(netns, &fd, err);
    if (rc != 0) {
        return rc;
    }
    rc = namespace_enter(fd, &back, err);
    if (rc == 0) {
        rc = type == SOCK_STREAM ? net_bind(address, ret_fd, err)
                                 : net_bind_udp(address, ret_fd, err);
        namespace_leave(back);
    }
    close(fd);
    return rc;
}

int network_dns_sockets(const char *netns, struct str dns_server, int *ret_udp_fd, int *ret_tcp_fd,
                        struct err *err)
{
    uint32_t address;
    int fd;
    if (!address_parse(dns_server, &address)) {
        return err_set(err, ERR_INVALID, "\"%.*s\" is no IPv4 address for the cluster's DNS",
                       STR_ARG(dns_server));
    }
    int rc = namespace_open(netns, &fd, err);
    if (rc == 0) {
        rc = dns_server_bind(fd, address, 0, ret_udp_fd, ret_tcp_fd, err);
        close(fd);
    }
    return rc;
}

/* ---- set-up ---- */

static int parse_shared_address(struct network *network, struct str text, struct err *err)
{
    struct address_range range;
    if (text.n == 0) {
        return 0;
    }
    int rc = address_range_parse(text, &range, err);
    if (rc == 0) {
        address_parse(str_cut(text, '/', &(struct str){0}), &network->shared_address);
        network->shared_prefix = range.prefix;
    }
    return rc;
}

static int parse_options(struct network *network, const struct network_options *options,
                         struct err *err)
{
    const char *run_dir = options->run_dir != NULL ? options->run_dir : "/run/cox";
    network->loop = options->loop;
    network->node_name = str_dup(options->node_name);
    network->state_dir = mem_printf("%s/netns", run_dir);
    network->dns_domain =
        str_dup(options->dns_domain.n > 0 ? options->dns_domain : STR("cluster.local"));
    network->dns_server_text = str_dup(options->dns_server);
    network->dns_upstream = str_dup(options->dns_upstream);
    network->mtu = options->mtu != 0 ? options->mtu : MTU_DEFAULT;
    network->dns_udp_fd = options->dns_udp_fd;
    network->dns_tcp_fd = options->dns_tcp_fd;
    network->pool = options->pool != 0 ? options->pool : POOL_DEFAULT;
    int rc = address_range_parse(options->pod_cidr, &network->pod_range, err);
    rc = rc != 0 ? rc : address_range_parse(options->cluster_cidr, &network->cluster_range, err);
    rc = rc != 0 ? rc : address_range_parse(options->service_cidr, &network->service_range, err);
    if (rc == 0 && !network->pod_range.set) {
        rc = err_set(err, ERR_INVALID, "the node has no pod range");
    }
    rc = rc != 0 ? rc : parse_shared_address(network, options->bridge_address, err);
    if (rc == 0 && options->dns_server.n > 0 &&
        !address_parse(options->dns_server, &network->dns_address)) {
        rc = err_set(err, ERR_INVALID, "\"%s\" is no IPv4 address for the cluster's DNS",
                     network->dns_server_text);
    }
    if (!network->cluster_range.set) {
        network->cluster_range = network->pod_range;
    }
    network->gateway = network->pod_range.base + 1;
    return rc;
}

static int set_up_bridge(struct network *network, struct err *err)
{
    uint8_t mac[6];
    struct err made = ERR_INIT;
    pod_link_mac(network->gateway, mac);
    int rc = link_bridge_new(&network->netlink, bridge_name, mac, network->mtu, &made);
    if (rc != 0 && made.os_errno != EEXIST) {
        return err_set(err, made.code, "%s", made.message);
    }
    rc = link_find(&network->netlink, bridge_name, &network->bridge, err);
    rc = rc != 0 ? rc : link_up(&network->netlink, network->bridge, err);
    rc = rc != 0 ? rc
                 : address_add(&network->netlink, network->bridge, network->gateway,
                               network->pod_range.prefix, err);
    if (rc == 0 && network->shared_address != 0) {
        rc = address_add(&network->netlink, network->bridge, network->shared_address,
                         network->shared_prefix, err);
    }
    if (rc == 0 && network->dns_address != 0) {
        rc = address_add(&network->netlink, network->bridge, network->dns_address, 32, err);
    }
    if (rc == 0 && network->service_range.set) {
        /* So that this node itself finds a way (and a source address) to Services where it has no
         * default route; packets are translated before they would leave. */
        struct route services = {.destination = network->service_range.base,
                                 .prefix = network->service_range.prefix,
                                 .source = network->gateway,
                                 .index = network->bridge};
        rc = route_replace(&network->netlink, &services, err);
    }
    return rc;
}

static int set_sysctls(const struct network *network, struct err *err)
{
    int back;
    int rc = namespace_enter(network->netns_fd, &back, err);
    if (rc != 0) {
        return rc;
    }
    rc = namespace_sysctl("ipv4/ip_forward", "1", err);
    /* A link sends redirects when "all" or its own says so: other links keep their own. */
    rc = rc != 0 ? rc : namespace_sysctl("ipv4/conf/all/send_redirects", "0", err);
    rc = rc != 0 ? rc : namespace_sysctl("ipv4/conf/cox0/send_redirects", "0", err);
    rc = rc != 0 ? rc : namespace_sysctl("ipv4/conf/cox0/rp_filter", "1", err);
    namespace_sysctl("ipv6/conf/cox0/disable_ipv6", "1", NULL); /* may be absent */
    if (network->shared_address != 0) {
        /* At 1, a packet for a Service whose endpoint is on another node would be bridged out of
         * the port it came by, which a bridge refuses. */
        namespace_sysctl("bridge/bridge-nf-call-iptables", "0", NULL); /* absent: off */
    }
    namespace_leave(back);
    return rc;
}

struct port_list {
    const struct host_port *ports;
    size_t count;
};

/* Flows to a host port that go to another pod than its present one. */
static bool is_stale_flow(void *ctx, const struct conntrack_flow *flow)
{
    const struct port_list *list = ctx;
    for (size_t i = 0; i < list->count; i++) {
        const struct host_port *port = &list->ports[i];
        if (port->protocol == flow->protocol && port->host_port == flow->port &&
            (port->host_address == 0 || port->host_address == flow->address)) {
            return true;
        }
    }
    return false;
}

/* TCP on loopback addresses is carried by us: on the one that was named, and, as far as it is free,
 * on 127.0.0.1 for ports on any address. */
static int change_loopback_ports(struct network *network, bool add, const struct host_port *ports,
                                 size_t count, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++) {
        bool named = ports[i].host_address >> 24 == 127;
        if (!add) {
            loopback_ports_remove(network->loopback, &ports[i]);
        } else if (named || (ports[i].host_address == 0 && ports[i].protocol == IPPROTO_TCP)) {
            rc = loopback_ports_add(network->loopback, &ports[i], named ? err : NULL);
            rc = named ? rc : 0;
        }
    }
    return rc;
}

static int host_ports_changed(void *ctx, bool add, const struct host_port *ports, size_t count,
                              struct err *err)
{
    struct network *network = ctx;
    struct host_port translated[32];
    struct port_list list = {translated, 0};
    bool datagrams = false;
    for (size_t i = 0; i < count && list.count < 32; i++) {
        if (ports[i].host_address >> 24 != 127) {
            translated[list.count++] = ports[i];
            datagrams |= ports[i].protocol == IPPROTO_UDP;
        }
    }
    int rc = list.count > 0
                 ? service_rules_host_ports(network->rules, add, translated, list.count, err)
                 : 0;
    if (rc == 0 && (rc = change_loopback_ports(network, add, ports, count, err)) != 0) {
        service_rules_host_ports(network->rules, false, translated, list.count, NULL);
        change_loopback_ports(network, false, ports, count, NULL);
        return rc;
    }
    if (rc == 0 && datagrams) {
        rc = conntrack_forget(network->netns_fd, IPPROTO_UDP, is_stale_flow, &list, err);
    }
    return rc;
}

static int open_parts(struct network *network, struct err *err)
{
    struct service_rules_options rules = {.netns_fd = network->netns_fd,
                                          .pods = network->pod_range,
                                          .cluster = network->cluster_range,
                                          .services = network->service_range,
                                          .dns_address = network->dns_address};
    int rc = service_rules_new(&rules, &network->rules, err);
    struct pods_options pods = {.loop = network->loop,
                                .netns_fd = network->netns_fd,
                                .state_dir = network->state_dir,
                                .range = network->pod_range,
                                .gateway = network->gateway,
                                .bridge = network->bridge,
                                .mtu = network->mtu,
                                .pool = network->pool};
    struct pods_ops pods_ops = {.host_ports = host_ports_changed, .ctx = network};
    network->loopback = loopback_ports_new(network->loop, network->netns_fd);
    rc = rc != 0 ? rc : pods_new(&pods, &pods_ops, &network->pods, err);
    struct nodes_options nodes = {.loop = network->loop,
                                  .netns_fd = network->netns_fd,
                                  .node_name = str_of(network->node_name)};
    return rc != 0 ? rc : nodes_new(&nodes, network->rules, &network->nodes, err);
}

METRIC(attach_time, METRIC_KIND_HISTOGRAM, "cox_pod_network_attach_duration_seconds", NULL,
       "Time to give a pod its network namespace");

static int attach(void *ctx, const struct pod_network_request *request,
                  struct pod_network *ret_network, struct err *err)
{
    struct network *network = ctx;
    int64_t before = loop_mono(network->loop);
    int rc = pods_attach(network->pods, request, ret_network, err);
    metric_observe_us(&attach_time, (uint64_t)(loop_mono(network->loop) - before) / 1000);
    return rc;
}

static int detach(void *ctx, struct str pod_uid, struct err *err)
{
    return pods_detach(((struct network *)ctx)->pods, pod_uid, err);
}

static void retain(void *ctx, const struct str *uids, size_t count)
{
    pods_retain(((struct network *)ctx)->pods, uids, count);
}

int network_new(const struct network_options *options, struct network **ret_network,
                struct err *err)
{
    struct network *network = mem_new(struct network);
    network->netns_fd = -1;
    int rc = parse_options(network, options, err);
    rc = rc != 0 ? rc : namespace_open(options->netns, &network->netns_fd, err);
    rc = rc != 0 ? rc : netlink_open(&network->netlink, network->netns_fd, NETLINK_ROUTE, err);
    rc = rc != 0 ? rc : set_up_bridge(network, err);
    rc = rc != 0 ? rc : set_sysctls(network, err);
    rc = rc != 0 ? rc : open_parts(network, err);
    if (rc != 0) {
        network_free(network);
        return rc;
    }
    network->ops = (struct pod_network_ops){.attach = attach,
                                            .detach = detach,
                                            .retain = retain,
                                            .ctx = network,
                                            .dns_server = str_of(network->dns_server_text),
                                            .dns_domain = str_of(network->dns_domain)};
    *ret_network = network;
    return 0;
}

/* ---- the API's side ---- */

static void all_synced(void *ctx)
{
    struct network *network = ctx;
    services_begin(network->services);
    if (network->dns != NULL) {
        timer_stop(&network->dns_timer);
        dns_server_begin(network->dns, true);
    }
    nodes_begin(network->nodes);
}

/* The API server is away for long: names outside can be answered all the same. */
static void begin_without_state(struct timer *timer)
{
    dns_server_begin(container_of(timer, struct network, dns_timer)->dns, false);
}

int network_start(struct network *network, struct informers *informers, struct err *err)
{
    struct services_options options = {
        .loop = network->loop,
        .netns_fd = network->netns_fd,
        .model = {.node_name = str_of(network->node_name), .dns_address = network->dns_address}};
    const struct api_resource *services = schema_resource(STR(""), STR("v1"), STR("services"));
    const struct api_resource *nodes = schema_resource(STR(""), STR("v1"), STR("nodes"));
    const struct api_resource *slices =
        schema_resource(STR("discovery.k8s.io"), STR("v1"), STR("endpointslices"));
    if (services == NULL || slices == NULL || nodes == NULL) {
        return err_set(err, ERR_UNSUPPORTED, "services, endpointslices or nodes are not served");
    }
    struct informer *service_informer = informers_get(informers, services);
    struct informer *slice_informer = informers_get(informers, slices);
    network->informers = informers;
    network->services = services_new(&options, network->rules);
    if (network->dns_address != 0) {
        struct dns_server_options dns = {.loop = network->loop,
                                         .netns_fd = network->netns_fd,
                                         .address = network->dns_address,
                                         .domain = str_of(network->dns_domain),
                                         .upstream = str_of(network->dns_upstream),
                                         .udp_fd = network->dns_udp_fd,
                                         .tcp_fd = network->dns_tcp_fd,
                                         .services = service_informer,
                                         .slices = slice_informer};
        int rc = dns_server_new(&dns, &network->dns, err);
        if (rc != 0) {
            return rc;
        }
        timer_start(network->loop, &network->dns_timer, DNS_PATIENCE_NS, begin_without_state);
    }
    informer_handle(service_informer,
                    (struct informer_handler){services_change_service, network->services});
    informer_handle(slice_informer,
                    (struct informer_handler){services_change_slice, network->services});
    informer_handle(informers_get(informers, nodes),
                    (struct informer_handler){nodes_change, network->nodes});
    informers_on_synced(informers, all_synced, network);
    return 0;
}

bool network_synced(const struct network *network)
{
    return network->services != NULL && services_synced(network->services);
}

static void unhandle(void *ctx, struct informer *informer)
{
    struct network *network = ctx;
    informer_unhandle(informer, network->services);
    informer_unhandle(informer, network->nodes);
}

void network_free(struct network *network)
{
    if (network == NULL) {
        return;
    }
    if (network->informers != NULL) {
        informers_forget_waiter(network->informers, network);
        informers_each(network->informers, unhandle, network);
    }
    timer_stop(&network->dns_timer);
    dns_server_free(network->dns);
    services_free(network->services);
    nodes_free(network->nodes);
    pods_free(network->pods);
    loopback_ports_free(network->loopback);
    service_rules_free(network->rules);
    netlink_close(&network->netlink);
    if (network->netns_fd >= 0) {
        close(network->netns_fd);
    }
    free(network->node_name);
    free(network->state_dir);
    free(network->dns_domain);
    free(network->dns_server_text);
    free(network->dns_upstream);
    free(network);
}

const struct pod_network_ops *network_pod_ops(struct network *network)
{
    return &network->ops;
}

void network_describe(const struct network *network, struct buf *out)
{
    buf_printf(out, "network: pods %zu, pooled %zu, rules %s\n", pods_count(network->pods),
               pods_pooled(network->pods), network_synced(network) ? "in sync" : "not yet synced");
}

struct link_names {
    VEC_OF(char *);
};

static void note_link(void *ctx, const char *name)
{
    uint32_t address;
    if (pod_link_parse(name, &address)) {
        *vec_push((struct link_names *)ctx) = mem_dupz(name);
    }
}

static int delete_link(struct netlink *netlink, const char *name, struct err *err)
{
    struct err why = ERR_INIT;
    int rc = link_delete(netlink, name, &why);
    return rc == 0 || why.os_errno == ENODEV ? 0 : err_set(err, why.code, "%s", why.message);
}

/* Pods' links, then the bridge; its addresses and routes go with it. */
static int remove_links(struct netlink *netlink, struct err *err)
{
    struct link_names names = {0};
    int bridge;
    if (link_find(netlink, bridge_name, &bridge, NULL) != 0) {
        return 0;
    }
    int rc = link_each(netlink, bridge, note_link, &names, err);
    VEC_EACH (name, &names) {
        rc = rc != 0 ? rc : delete_link(netlink, *name, err);
        free(*name);
    }
    vec_done(&names);
    return rc != 0 ? rc : delete_link(netlink, bridge_name, err);
}

int network_remove(const struct network_options *options, struct err *err)
{
    const char *run_dir = options->run_dir != NULL ? options->run_dir : "/run/cox";
    char *state_dir MEM_CLEANUP = mem_printf("%s/netns", run_dir);
    struct err gone = ERR_INIT;
    struct netlink netlink;
    int fd;
    int rc = pods_remove_all(state_dir, err);
    int opened = namespace_open(options->netns, &fd, &gone);
    if (opened != 0) {
        return rc != 0 || gone.os_errno == ENOENT ? rc
                                                  : err_set(err, gone.code, "%s", gone.message);
    }
    rc = rc != 0 ? rc : service_rules_remove(fd, err);
    rc = rc != 0 ? rc : nodes_remove_routes(fd, err);
    if (rc == 0 && (rc = netlink_open(&netlink, fd, NETLINK_ROUTE, err)) == 0) {
        rc = remove_links(&netlink, err);
        netlink_close(&netlink);
    }
    close(fd);
    return rc;
}
