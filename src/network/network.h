/* network.h: the network of a node: pods' links and addresses, routes to other nodes' pods,
 * Services, DNS.
 *
 * All of it lives in one network namespace (the "cluster namespace"): the agent's own, or one named
 * in the options. Nothing outside that namespace and `run_dir`/netns is touched, and inside it
 * only:
 *
 *   link cox0         bridge; first address of the node's pod range, and the cluster DNS address
 *   links coxXXXXXXXX  one a pod, named after its address in hex, a port of cox0
 *   routes            service range via cox0; other nodes' pod ranges via their InternalIP
 *                     (protocol 99)
 *   nftables          table ip cox, never another one
 *   sockets           DNS; host ports on 127.0.0.1 (TCP, carried by the agent)
 *   sysctls           net.ipv4.ip_forward=1, redirects off on cox0 (and in "all"); with
 *                     bridge_address also net.bridge.bridge-nf-call-iptables=0
 *
 * A pod has eth0 with its address as a /32 and a default route to the bridge, so pods of one bridge
 * talk through the node as well, and a Service works with bridge-nf-call-iptables at 0 and at 1.
 * Namespaces of pods are mounted at run_dir/netns/UID@ADDRESS; those mounts are the record of who
 * has which address, and what a new agent finds again. Host ports stand beside it in a small file.
 *
 * Order of use:  network_new()  -> pods may be attached (network_pod_ops)
 *                network_start() with informers of the API -> Services, DNS and routes follow it
 *                network_free(): everything stays in the kernel and serves on
 *                network_remove(): takes it all away (cox reset)
 *
 * IPv4 only. Everything runs on options.loop but the refill of the namespace pool and the deletion
 * of links, which are jobs. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
 */
#pragma once
#include "base/err.h"
#include "base/str.h"
#include "client/informer.h"
#include "io/loop.h"
#include "node/node_interface.h"

struct network;
struct network_options {
    struct loop *loop;
    const char *netns;          /* path, or name below /run/netns; NULL: the agent's own */
    const char *run_dir;        /* NULL: /run/cox */
    struct str node_name;       /* whose endpoints are "local" */
    struct str pod_cidr;        /* this node's pods: "10.244.0.0/24" */
    struct str bridge_address;  /* second address of cox0, where it is a port of the nodes' shared
                                   link: "192.0.2.1/24"; empty: none */
    struct str cluster_cidr;    /* all pods: "10.244.0.0/16"; empty: pod_cidr */
    struct str service_cidr;    /* "10.96.0.0/16" */
    struct str dns_server;      /* "10.96.0.10"; empty: no DNS */
    struct str dns_domain;      /* empty: "cluster.local" */
    struct str dns_upstream;    /* "9.9.9.9:53,..." ; empty: names outside dns_domain are REFUSED */
    int dns_udp_fd, dns_tcp_fd; /* from network_dns_sockets(); 0: bound here, see there */
    unsigned mtu;               /* 0: 1500 */
    unsigned pool;              /* warm pod namespaces; 0: 8 */
};

/* Makes (or finds) bridge, sysctls, rules and pods' namespaces. The options are copied. */
int network_new(const struct network_options *options, struct network **ret_network,
                struct err *err);
/* Follows Services, EndpointSlices, Pods and Nodes. The informers must outlive the network. */
int network_start(struct network *network, struct informers *informers, struct err *err);
/* Whether rules and names show the whole state of the API once. */
bool network_synced(const struct network *network);
void network_free(struct network *network);
const struct pod_network_ops *network_pod_ops(struct network *network);
void network_describe(const struct network *network, struct buf *out); /* a few lines of state */

/* The DNS server's sockets, for whoever outlives the agent (the supervisor): as long as they are
 * open, questions that come while no agent runs wait in them instead of being refused. They can be
 * bound before the address exists. */
int network_dns_sockets(const char *netns, struct str dns_server, int *ret_udp_fd, int *ret_tcp_fd,
                        struct err *err);

/* Removes every trace of a network with these options (loop is not used): mounts, links, routes,
 * table. Absent is fine. */
int network_remove(const struct network_options *options, struct err *err);

/* ---- network namespaces, for `--netns NAME` ---- */
/* Makes the namespace mounted at /run/netns/NAME (as iproute2 does) with its loopback up; found
 * again when it is there. */
int network_namespace_make(const char *name, struct err *err);
int network_namespace_remove(const char *name, struct err *err); /* absent is fine */
/* A descriptor bound to `address` inside namespace `netns` ("127.0.0.1:6443" of the cluster
 * namespace, and so on); listening when `type` is SOCK_STREAM, close-on-exec, non-blocking. */
int network_socket(const char *netns, int type, struct str address, int *ret_fd, struct err *err);
