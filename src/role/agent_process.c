/* agent_process.c: puts the node together on one loop: network, API client, node agent, its HTTPS
 * surface on 10250, and the connections that it opens to the server and turns round (HTTP/1.1
 * Upgrade: cox-reverse), on which the server asks for logs, exec and the rest.
 *
 * Containers are children of their monitors: this process may end at any time and a new one finds
 * them again.
 */
#include "role/agent_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"
#include "gpu/gpu.h"
#include "io/tls.h"
#include "network/network.h"
#include "node/agent.h"
#include "role/handoff.h"
#include "role/renewal.h"
#include "role/reverse.h"
#include "role/signals.h"
#include "role/supervisor.h"
#include "role/trim.h"

struct agent_process {
    struct handoff handoff;
    struct loop *loop;
    struct tls_context *client_tls, *server_tls;
    struct network *network;
    struct client *client;
    struct informers *informers;
    struct gpu *gpu;
    struct agent *agent;
    struct listener *listener;
    struct reverse *reverse;
    struct renewal *renewal;
    struct signals *signals;
    struct timer ended, trim;
};

/* ---- the HTTPS surface for others ---- */

static void on_request(void *ctx, struct http_exchange *exchange)
{
    agent_handle(((struct agent_process *)ctx)->agent, exchange, false);
}

static void on_abort(void *ctx, struct http_exchange *exchange)
{
    agent_abort(((struct agent_process *)ctx)->agent, exchange);
}

static const struct http_server_ops surface_ops = {.on_request = on_request, .on_abort = on_abort};

static void on_accept(void *ctx, struct listener *listener, struct stream *stream)
{
    static const struct http_server_options options = {0};
    http_serve(stream, &options, &surface_ops, ctx);
}

static const struct listener_ops accept_ops = {.on_accept = on_accept};

/* ---- parts ---- */

static int open_tls(struct agent_process *p, struct err *err)
{
    struct str ca = handoff_get_text(&p->handoff, "ca.crt"),
               certificate = handoff_get_text(&p->handoff, "node.crt"),
               key = handoff_get_text(&p->handoff, "node.key");
    struct tls_options client = {.certificate_pem = certificate, .key_pem = key, .ca_pem = ca};
    struct tls_options server = {
        .certificate_pem = certificate, .key_pem = key, .ca_pem = ca, .alpn = STR("h2,http/1.1")};
    p->client_tls = tls_client_new(&client, err);
    p->server_tls = p->client_tls != NULL ? tls_server_new(&server, err) : NULL;
    return p->server_tls == NULL ? err->code : 0;
}

/* "nameserver" lines of the host's resolver as a list, for --dns-upstream's default on the host's
 * network. */
static char *host_resolvers(void)
{
    struct buf out = BUF_INIT;
    FILE *file = fopen("/etc/resolv.conf", "re");
    char line[512];
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        struct str rest, word = str_cut(str_trim(str_of(line)), ' ', &rest);
        if (str_is(word, "nameserver") &&
            memchr(rest.p != NULL ? rest.p : "", '.', rest.n) != NULL) {
            buf_printf(&out, "%s%.*s", out.n > 0 ? "," : "", STR_ARG(str_trim(rest)));
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return buf_take(&out, NULL);
}

static int open_network(struct agent_process *p, struct err *err)
{
    const struct options *o = &p->handoff.options;
    bool apart = o->netns[0] != '\0';
    char *upstream MEM_CLEANUP =
        apart || o->dns_upstream[0] != '\0' ? mem_dupz(o->dns_upstream) : host_resolvers();
    struct network_options options = {
        .loop = p->loop, /* we were started inside the cluster's namespace */
        .run_dir = o->run_dir,
        .node_name = str_of(o->node_name),
        .pod_cidr = handoff_get_text(&p->handoff, "pod-cidr"),
        .cluster_cidr = str_of(o->pod_cidr),
        .service_cidr = str_of(o->service_cidr),
        .dns_server = str_of(o->cluster_dns),
        .dns_domain = str_of(o->cluster_domain),
        .dns_upstream = str_of(upstream),
        .dns_udp_fd = handoff_get_fd(&p->handoff, "dns-udp", 0),
        .dns_tcp_fd = handoff_get_fd(&p->handoff, "dns-tcp", 0),
        .bridge_address = str_of(o->bridge_address),
    };
    return network_new(&options, &p->network, err);
}

static int open_agent(struct agent_process *p, struct err *err)
{
    const struct options *o = &p->handoff.options;
    char gateway[16] = "";
    /* Images are pulled from the supervisor's network: it stayed on the host's. */
    char *host_netns MEM_CLEANUP = mem_printf("/proc/%d/ns/net", (int)getppid());
    struct str cidr = handoff_get_text(&p->handoff, "pod-cidr");
    struct buf labels BUF_CLEANUP = BUF_INIT;
    struct str of_cards = gpu_labels(p->gpu);
    supervisor_first_address(cidr, gateway);
    buf_addz(&labels, o->node_labels);
    buf_printf(&labels, "%s%.*s", labels.n > 0 && of_cards.n > 0 ? "," : "", STR_ARG(of_cards));
    struct agent_options options = {
        .node_name = str_of(o->node_name),
        .loop = p->loop,
        .client = p->client,
        .network = network_pod_ops(p->network),
        .devices = gpu_device_ops(p->gpu),
        .root_dir = o->root_dir,
        .data_dir = o->data_dir,
        .run_dir = o->run_dir,
        .log_dir = o->log_dir,
        .cgroup_root = o->cgroup_root,
        .pull_netns_path = o->netns[0] != '\0' ? host_netns : NULL,
        .node_ip = o->node_ip[0] != '\0' ? str_of(o->node_ip) : str_of(gateway),
        .pod_cidr = cidr,
        .kubelet_port = (uint16_t)o->kubelet_port,
        .labels = buf_view(&labels),
        .manifest_dir = o->pod_manifest_path,
        .eviction_hard = str_of(o->eviction_hard),
        .eviction_transition_ns = o->eviction_transition_seconds * NS_PER_S,
        .unsafe_sysctls = str_of(o->allowed_unsafe_sysctls),
        .runtime_handlers = str_of(o->runtime_handlers),
        .max_pods = (int)o->max_pods,
        .hardened = o->hardened,
        .insecure_loopback_registries = o->insecure_registries,
        .registry_mirrors = str_of(o->registry_mirrors),
        .cluster_dns = str_of(o->cluster_dns),
        .cluster_domain = str_of(o->cluster_domain),
    };
    return agent_start(&options, &p->agent, err);
}

static int open_gpu(struct agent_process *p, struct err *err)
{
    const struct options *o = &p->handoff.options;
    struct gpu_options options = {.loop = p->loop,
                                  .root_dir = o->root_dir,
                                  .run_dir = o->run_dir,
                                  .data_dir = o->data_dir,
                                  .simulated = str_of(o->sim_gpu),
                                  .node_name = str_of(o->node_name)};
    return gpu_new(&options, &p->gpu, err);
}

/* Pods of this node, for what asks the device manager about them. */
static void watch_own_pods(struct agent_process *p)
{
    char *field MEM_CLEANUP = mem_printf("spec.nodeName=%s", p->handoff.options.node_name);
    struct client_watch_options mine = {.resource = schema_kind(STR(""), STR("v1"), STR("Pod")),
                                        .field_selector = str_of(field)};
    gpu_set_pods(p->gpu, informers_get_filtered(p->informers, &mine));
}

static int open_renewal(struct agent_process *p, struct str api, struct err *err)
{
    struct renewal_options options = {.loop = p->loop,
                                      .options = &p->handoff.options,
                                      .address = api,
                                      .certificate_pem = handoff_get_text(&p->handoff, "node.crt"),
                                      .client_tls = p->client_tls,
                                      .server_tls = p->server_tls,
                                      .keep = handoff_get_text(&p->handoff, "joined").n > 0};
    p->renewal = renewal_start(&options, err);
    return p->renewal == NULL ? (int)err->code : 0;
}

static int open_all(struct agent_process *p, struct err *err)
{
    struct str api = handoff_get_text(&p->handoff, "api");
    int rc = open_tls(p, err);
    rc = rc != 0 ? rc : open_network(p, err);
    rc = rc != 0 ? rc : open_gpu(p, err);
    if (rc != 0) {
        return rc;
    }
    struct client_http_options http = {.address = api, .tls = p->client_tls, .name = "kubelet"};
    p->client = client_http_new(p->loop, &http);
    p->informers = informers_new(p->client);
    rc = network_start(p->network, p->informers, err);
    watch_own_pods(p);
    rc = rc != 0 ? rc : open_agent(p, err);
    if (rc == 0) {
        p->listener = listener_new(p->loop, handoff_get_fd(&p->handoff, "kubelet", 0),
                                   p->server_tls, &accept_ops, p);
        p->reverse = reverse_start(p->loop, p->agent, api, p->client_tls);
        rc = open_renewal(p, api, err);
    }
    return rc;
}

/* ---- life ---- */

static void on_ended(struct timer *timer)
{
    loop_stop(container_of(timer, struct agent_process, ended)->loop);
}

static void on_signal(void *ctx, int signal)
{
    struct agent_process *p = ctx;
    if (signal == SIGUSR1) {
        struct buf text BUF_CLEANUP = BUF_INIT;
        agent_describe(p->agent, &text);
        network_describe(p->network, &text);
        signals_print(&text);
    } else if (p->agent != NULL) { /* containers, rules and DNS answers of the kernel stay */
        reverse_stop(p->reverse);
        renewal_stop(p->renewal);
        agent_stop(p->agent);
        p->agent = NULL;
        network_free(p->network);
        timer_start(p->loop, &p->ended, 50 * NS_PER_MS, on_ended);
    }
}

int agent_process_main(int argc, char **argv)
{
    static struct agent_process process;
    struct agent_process *p = &process;
    struct err err = ERR_INIT;
    umask(022); /* what containers see is made here; secrets are written with modes of their own */
    signals_block("cox-agent");
    if (handoff_read(&p->handoff, &err) != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
        return EXIT_FATAL;
    }
    log_set_json(strcmp(p->handoff.options.log_format, "json") == 0);
    log_set_levels(str_of(p->handoff.options.log_level));
    signals_arm_failpoints();
    p->loop = loop_new();
    p->signals = signals_watch(p->loop, on_signal, p);
    if (open_all(p, &err) != 0) {
        fprintf(stderr, "cox: %s\n", err.message);
        return EXIT_FATAL;
    }
    trim_later(p->loop, &p->trim, 5 * NS_PER_S);
    loop_run(p->loop);
    return 0;
}
