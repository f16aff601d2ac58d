/* server.h: the API server as a core: requests in, answers out, writes to the sequencer.
 *
 * Putting it together (role/ does this; the tests too). Order matters:
 *
 *   struct cache *cache = cache_new(0);
 *   struct sequencer *sequencer;
 *   sequencer_new(store_loop, store, cache, &sequencer, err);    // loads the store into the cache
 *   struct server_options options = {.loops = loops, .loop_count = n, .cache = cache, ...};
 *   server_new(&options, &server, err);
 *   server_start(server, on_ready, ctx);   // on loops[0]'s thread: first-start objects; /readyz
 *   // per accepted stream (handshake done), on that stream's loop:
 *   server_serve_connection(server, stream);
 *   // per controller, scheduler, agent in the same process, on that client's loop:
 *   struct client *client = server_client_new(server, loop, identity, "kube-scheduler");
 *   ...
 *   server_drain(server);                  // GOAWAY to all; /readyz says no
 *   // stop and join the loops, then:
 *   server_free(server); sequencer_free(sequencer); cache_free(cache);
 *
 * Threads: a request runs on its connection's loop from the first byte to the last; writes go to
 * the sequencer and come back as tasks of that loop. What requests share is immutable and counted
 * (snapshots, compiled RBAC rules, identities) or behind a short mutex (token cache, address and
 * port bitmaps). loops[0], the home loop, also keeps the RBAC rules and the allocators up to date
 * and expires Events; it must run as long as the server is used. A simulated loop may be the only
 * loop: then everything but connections works on virtual time.
 */
#pragma once
#include "client/client.h"
#include "io/net.h"
#include "pki/certificate.h"
#include "pki/key.h"
#include "server/cache.h"
#include "server/identity.h"
#include "server/sequencer.h"

struct server;

/* Opens a fresh byte stream to a node's kubelet surface (HTTP/1.1; TLS and the check of the node's
 * certificate are done). done() runs on `loop`, later, exactly once: with a stream whose ops are
 * still to be set, or with err. Asked only when the node has no connection turned round (see
 * server_options). */
typedef void node_dial_done_fn(void *ctx, struct stream *stream, const struct err *err);
typedef void node_dial_fn(void *dial_ctx, struct loop *loop, struct str node,
                          node_dial_done_fn *done, void *ctx);

struct server_options {
    struct loop *const *loops; /* I/O loops; loops[0] is the home loop. Copied */
    size_t loop_count;
    struct cache *cache;         /* borrowed, outlives the server */
    struct sequencer *sequencer; /* borrowed, outlives the server */

    struct key *const *token_keys; /* service-account keys: the first signs, all verify */
    size_t token_key_count;        /* 0: no tokens are issued or accepted */
    struct str issuer;             /* n 0: https://kubernetes.default.svc.DOMAIN */
    struct str cluster_domain;     /* n 0: cluster.local */
    struct str service_cidr;       /* n 0: 10.96.0.0/16 */
    uint16_t node_port_first, node_port_last; /* 0: 30000 to 32767 */
    struct str advertise_address; /* Endpoints of the Service kubernetes; n 0: none are made */
    uint16_t advertise_port;      /* 0: 6443 */
    struct str ca_pem;            /* root of the cluster: what kube-root-ca.crt and clients trust */

    node_dial_fn *node_dial; /* NULL: only nodes with connections turned round can be reached */
    void *node_dial_ctx;

    struct str authentication_config; /* AuthenticationConfiguration, YAML; n 0: none */
    bool bootstrap_tokens;            /* bootstrap tokens authenticate */

    /* Texts of options; n 0: not given. server_new answers ERR_INVALID for what is wrong in them.
     */
    struct str enable_admission, disable_admission; /* names of plug-ins, commas between */
    struct str admission_config; /* AdmissionConfiguration or PodSecurityConfiguration, YAML */

    bool hardened;          /* security.md: DenyServiceExternalIPs and the rest of --hardened */
    const char *build_date; /* "2026-11-25T00:00:00Z" or NULL */
    const char *git_commit; /* or NULL */
};

int server_new(const struct server_options *options, struct server **ret_server, struct err *err);
/* Makes what every cluster has (namespaces, RBAC roles and bindings, priority classes, the Service
 * kubernetes) where it is missing, and puts default roles back to what they should be. on_ready
 * runs once on the home loop; code 0, or why the cluster cannot serve. */
void server_start(struct server *server, void (*on_ready)(void *ctx, const struct err *err),
                  void *ctx);
bool server_ready(const struct server *server);
void server_drain(struct server *server); /* any thread */
void server_free(struct server *server);  /* no loop of it runs any more */

/* Takes an accepted stream: HTTP/2 or HTTP/1.1 by ALPN. On the stream's loop. */
void server_serve_connection(struct server *server, struct stream *stream);

/* client.h's interface in the same process, for `identity` (a reference is taken), through the
 * whole request path. `loop`: the one that sends and gets the callbacks, any loop of the process.
 * `name` is the field manager. */
struct client *server_client_new(struct server *server, struct loop *loop,
                                 struct identity *identity, const char *name);

/* Every node's own agent keeps a few of these open: GET /cox/v1/reverse with "Upgrade: cox-reverse"
 * over HTTP/1.1 and its client certificate (system:node:NAME). After the 101 the roles turn round:
 * the agent serves HTTP/1.1 (its kubelet surface) on the stream, the server sends one request on
 * it; when it is used up, the agent opens another one. Number of idle ones of a node, any thread:
 */
size_t server_reverse_count(struct server *server, struct str node);

/* ---- endpoints of other rooms, under /cox/ ---- */
struct endpoint_call {
    struct str method, path, query, body;
    const struct identity *identity;
    struct loop *loop;
    struct arena *arena; /* lives until the answer */
};
/* Answer with endpoint_answer exactly once, on call->loop, now or later. */
typedef void endpoint_fn(void *ctx, struct endpoint_call *call);
/* `path` is exact, or a prefix when it ends in '/'. Authorized as the non-resource URL `path` with
 * the lower-case method as verb, unless `anonymous`. Before server_start. */
void server_add_endpoint(struct server *server, const char *path, bool anonymous, endpoint_fn *fn,
                         void *ctx);
void endpoint_answer(struct endpoint_call *call, int status, const char *content_type,
                     struct str body);

/* Text for the signal that prints state: requests and watches in flight. Any thread. */
void server_describe(struct server *server, struct buf *out);
