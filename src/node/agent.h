/* agent.h: the node agent (what upstream calls kubelet), as a library on one loop.
 *
 * One agent serves one node of one cluster. It watches the pods bound to its node, runs them
 * through an OCI runtime (node/runtime), keeps their volumes, probes and logs, and reports pod
 * status, node status and events. All state that must outlive a `kill -9` is on disk: a folder a
 * container under data_dir/containers holds bundle, record, monitor's files and exit status; a new
 * agent finds the same processes again and counts no restart.
 *
 * Threads: everything runs on options.loop; calls that block (mounts, unpacking, starting a
 * container) are jobs of loop_work(). The agent needs a real loop; the pod worker alone
 * (node/pod/worker.h) also runs on a simulated one.
 *
 * Needs root. Missing capabilities cost the feature, never the pod (no CAP_SYS_RESOURCE: no
 * negative oom_score_adj).
 *
 * Layout on disk:
 *   root_dir/pods/UID/...       volumes, etc-hosts, termination logs (upstream's names)
 *   root_dir/memory             one tmpfs for secret-bearing volumes
 *   data_dir/containers/ID      one folder a container
 *   data_dir/images             image store (node/image.h)
 *   run_dir/crun                the OCI runtime's own state
 *   log_dir/NS_NAME_UID/CONTAINER/N.log   CRI log files
 */
#pragma once
#include "client/client.h"
#include "node/node_interface.h"
#include "wire/http.h"

struct agent;

struct agent_options {
    struct str node_name;
    struct loop *loop;
    struct client *client; /* identity system:node:NAME; borrowed, must outlive the agent */
    const struct pod_network_ops *network; /* NULL: every pod gets the host's network */
    const struct device_ops *devices;      /* NULL: no extended resources */

    const char *root_dir;                               /* NULL: /var/lib/kubelet */
    const char *data_dir;                               /* NULL: /var/lib/cox */
    const char *run_dir;                                /* NULL: /run/cox */
    const char *log_dir;                                /* NULL: /var/log/pods */
    const char *cgroup_root;                            /* NULL: "cox" */
    const char *crun_path, *conmon_path, *seccomp_path; /* NULL: found in the usual places */
    const char *self_path;       /* program with the hidden roles unpack, pull and pause; NULL:
                                    /proc/self/exe */
    const char *pull_netns_path; /* network namespace of image pulls, NULL: the agent's own */
    const char *resolv_conf;     /* what pods with dnsPolicy Default get; NULL: /etc/resolv.conf */

    struct str node_ip;    /* InternalIP */
    struct str pod_cidr;   /* reported in spec.podCIDR when the Node is made; may be empty */
    struct str api_host;   /* KUBERNETES_SERVICE_HOST when there is no kubernetes Service yet */
    uint16_t api_port;     /* 0: 443 */
    uint16_t kubelet_port; /* daemonEndpoints; 0: 10250 */
    struct str kubelet_version;             /* "v1.37.0" form; empty: a default */
    struct str cluster_dns, cluster_domain; /* empty: the network's */
    struct str labels;                      /* "a=b,c=d" put on the Node when it is made */
    const char *manifest_dir;               /* of static pods; NULL or "": none */
    struct str eviction_hard;               /* thresholds (eviction.h); n 0: upstream's */
    int64_t eviction_transition_ns; /* how long a condition stays after its cause; 0: 5 min */
    struct str unsafe_sysctls;   /* "kernel.msg*,net.core.somaxconn": allowed beyond the safe set */
    struct str runtime_handlers; /* "NAME=PATH,...": programs for handlers of RuntimeClasses */
    int max_pods;                /* 0: 110 */
    bool hardened; /* pids limit 1,024, RuntimeDefault seccomp, no NET_RAW, no_new_privs */
    bool insecure_loopback_registries; /* plain http to registries on 127.0.0.0/8 and names
                                          that end in .local or .test */
    struct str registry_mirrors;       /* "docker.io=http://10.0.0.1:5000,..." */
};

/* Starts: recovers containers from disk, registers the Node, begins to watch. The options are
 * copied. Fails (ERR_UNSUPPORTED, ERR_IO) with one line that says what to do. */
int agent_start(const struct agent_options *options, struct agent **ret_agent, struct err *err);
/* Stops watching and reporting and frees the agent; containers go on. Safe from any callback that
 * is not the agent's own. */
void agent_stop(struct agent *agent);
/* The Node's ready condition was accepted by the server. */
bool agent_ready(const struct agent *agent);
/* Pods in flight, one line each, for the signal that prints state. */
void agent_describe(const struct agent *agent, struct buf *out);

/* The HTTP surface of kubelet (the table in serve/handler.c). Whoever serves HTTP (port 10250, or a
 * connection that was turned round) hands each exchange here, from on_request of an http_serve on
 * the agent's loop. `trusted`: the caller is the API server, which has checked already; else the
 * agent asks for a client certificate or a bearer token and lets the API server decide
 * (serve/access.h). Takes the exchange's user pointer. */
void agent_handle(struct agent *agent, struct http_exchange *exchange, bool trusted);
/* on_abort of the same connection. */
void agent_abort(struct agent *agent, struct http_exchange *exchange);
